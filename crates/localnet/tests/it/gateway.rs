//! A client against OpenGradient's public gateway: honest, and in twelve ways not.

mod double;

use std::sync::Arc;
use std::time::Duration;

use seamline::{Chat, Client, Error, Reply, Step, Watch};
use seamline_core::hesitation::Code;
use seamline_core::receipt::{Bundle, RecordSeen, RecordStage, events_of};
use seamline_core::{B256, Charged, Fault, Retry, SourceClass};
use seamline_enclave::EnclaveIdentity;
use seamline_evm::settlement::SettlementType;
use seamline_localnet::contracts::SETTLEMENT;
use seamline_localnet::{Localnet, NodeSpec};
use seamline_verify::Claim;
use serde_json::json;

use self::double::{CAP, COST, Double, Lie, TEXT};
use crate::support::{Seen, World, books, honest};

/// A network whose only node is a gateway, and a client that knows the gateway's measurement.
struct Gateway {
    world: World,
    net: Localnet,
    client: Client,
    double: Arc<Double>,
}

impl Gateway {
    async fn start(lie: Lie) -> Self {
        Self::start_with(lie, SettlementType::Private, |_| {}).await
    }

    async fn start_with(
        lie: Lie,
        data: SettlementType,
        change: impl FnOnce(&mut NodeSpec),
    ) -> Self {
        let double = Double::lying(lie);
        let mut node = honest("gateway");
        node.danger_served = Some(double.served());
        change(&mut node);
        let mut world = World::new(vec![node]);
        world.options.settlement = data;
        world.options.settlement_contract = Some(SETTLEMENT);
        // A liar is asked again, to lie again.
        world.options.cooling = Duration::ZERO;
        let (net, client) = world.start().await;
        drop(client);
        let info = net.nodes().remove(0);
        world.options.gateways = vec![info.measurement];
        double.place(
            net.seller(),
            &net.facilitator().to_checksum(None),
            &info.pay_to.to_checksum(None),
            &format!("eip155:{}", net.chain().chain_id()),
        );
        let client = world.client(&net);
        Self {
            world,
            net,
            client,
            double,
        }
    }

    async fn ask(&self, stream: bool) -> Result<Reply, Error> {
        self.client.chat(&question().stream(stream)).await
    }

    /// One call that fails: its receipt names the same failure, and no token was made or lost.
    async fn caught(&self, chat: &Chat) -> Error {
        let payer = self.world.wallet().address();
        let (total, _) = books(&self.net, payer).await;
        let error = self.client.chat(chat).await.map(drop).unwrap_err();
        let (total_after, _) = books(&self.net, payer).await;
        assert_eq!(total, total_after, "tokens were made or lost");
        let path = error.receipt().expect("a failed call leaves a receipt");
        let receipt = std::fs::read(path).unwrap();
        let bundle = Bundle::decode(&receipt).unwrap();
        let summary = &bundle.core().summary;
        let code = summary.error_code.clone().unwrap();
        assert_eq!(code.as_str(), error.code());
        let trust = self.world.trust(&self.net);
        let verdict = seamline_verify::verify(&receipt, &trust, seamline::Env::system().now());
        assert_ne!(verdict.level, seamline_verify::Level::L0, "{verdict:?}");
        error
    }
}

/// A gateway has models that it lists nowhere.
fn question() -> Chat {
    Chat::model("gpt-5").user("What is the capital of France?")
}

fn with_tool() -> Chat {
    question().tool(json!({
        "type": "function",
        "function": { "name": "get_weather", "parameters": { "type": "object" } },
    }))
}

/// Before anything was signed: another node may be asked, and nothing was charged.
#[track_caller]
fn assert_unpaid(error: &Error, code: &str) {
    assert_eq!(error.code(), code);
    assert_eq!((error.fault(), error.charged()), (Fault::Node, Charged::No));
    assert_eq!(error.retry(), Retry::Other);
    assert_eq!(error.step(), Step::Attest);
}

/// After the payment: the gateway may settle until the deadline, so nobody knows, and nothing is repeated.
#[track_caller]
fn assert_paid(error: &Error, code: &str, step: Step) {
    assert_eq!(error.code(), code);
    assert_eq!((error.fault(), error.step()), (Fault::Node, step));
    assert_eq!(error.charged(), Charged::Unknown);
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_gateway_answers_and_settles_later() {
    let gateway = Gateway::start(Lie::None).await;
    for stream in [false, true] {
        let reply = gateway.ask(stream).await.unwrap();
        assert_eq!(reply.text, TEXT);
        assert_eq!(reply.authorized.get(), CAP);
        // The gateway has no word about the settlement; the chain will.
        assert_eq!((reply.settled, reply.charged), (None, Charged::Unknown));
    }
    let recovered = gateway.client.recover().await.unwrap();
    assert_eq!(recovered.len(), 2);
    assert_eq!(gateway.double.reap().await, 2);
    let settled = gateway.client.recover().await.unwrap();
    for call in &settled {
        assert_eq!(call.charged, Charged::Yes);
        assert_eq!(call.settled.unwrap().get(), COST);
    }
    assert_eq!(settled.len(), 2);
    assert_eq!(*gateway.double.paid.lock().unwrap(), 2, "one each");
    // Its ceiling was asked for without a prompt, before there was evidence.
    let unpaid = gateway.double.unpaid.lock().unwrap().clone();
    assert_eq!(unpaid[0].as_ref(), b"{}");
    gateway.net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_called_as_signed() {
    let gateway = Gateway::start(Lie::None).await;
    for stream in [false, true] {
        let mut seen = Seen::default();
        let asked = with_tool().stream(stream);
        let reply = gateway.client.chat_watched(&asked, &mut seen).await;
        let reply = reply.unwrap();
        // Text beside the call is not signed: nobody gets to see it.
        assert_eq!(seen.text, "");
        assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("", 1));
        assert_eq!(reply.tool_calls[0].name, "get_weather");
        assert_eq!(reply.tool_calls[0].arguments, "{\"city\": \"Paris\"}");
    }
    gateway.net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_record_names_its_own_settlement() {
    let gateway = Gateway::start_with(Lie::None, SettlementType::Individual, |_| {}).await;
    let reply = gateway.ask(false).await.unwrap();
    assert_eq!(reply.text, TEXT);
    // Nobody has seen that transaction: the receipt says whose word it is, and hesitates.
    let seen = records(&reply.receipt);
    let stages: Vec<_> = seen.iter().map(|it| it.stage).collect();
    assert_eq!(stages, [RecordStage::Named]);
    assert_eq!(seen[0].transaction, Some(B256::repeat_byte(0x77)));
    let on_chain = reply.verdict.about(Claim::RecordOnChain).next().unwrap();
    assert_eq!(on_chain.source, SourceClass::Asserted);
    let bundle = Bundle::decode(&reply.receipt).unwrap();
    let mut hesitations = bundle.core().summary.hesitations.iter();
    let say_so = hesitations.find(|it| it.code == Code::SaySo).unwrap();
    assert_eq!(say_so.arg, 2, "usage and record");
    // The same transaction for a second answer is one of another call.
    let error = gateway.caught(&question()).await;
    assert_paid(&error, "claim.settlement_other", Step::Verify);
    gateway.net.stop().await;
}

/// One lie, told whole and streamed.
async fn told(lie: Lie, chat: Chat, code: &str) {
    let gateway = Gateway::start(lie).await;
    for stream in [false, true] {
        let error = gateway.caught(&chat.clone().stream(stream)).await;
        assert_paid(&error, code, Step::Verify);
    }
    let paid = *gateway.double.paid.lock().unwrap();
    assert_eq!(paid, 2, "no paid request was repeated");
    gateway.net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_altered_text() {
    told(Lie::AlteredText, question(), "signature.output").await;
    told(Lie::AlteredTextAndHash, question(), "signature.key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_swapped_tool_call() {
    told(Lie::SwappedTool, with_tool(), "signature.output").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_answer_signed_by_another_enclave() {
    told(Lie::OtherEnclave, question(), "signature.node").await;
    told(Lie::OtherKey, question(), "signature.key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_old_signature() {
    told(Lie::OldSignature, question(), "signature.time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_wrong_timestamp() {
    told(Lie::WrongTimestamp, question(), "signature.key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_stream_cut_before_the_signature() {
    for (lie, code, step) in [
        (Lie::CutBeforeSignature, "node.interrupted", Step::Execute),
        (Lie::DoneWithoutSignature, "signature.missing", Step::Verify),
    ] {
        let gateway = Gateway::start(lie).await;
        let error = gateway.caught(&question().stream(true)).await;
        assert_paid(&error, code, step);
        let paid = *gateway.double.paid.lock().unwrap();
        assert_eq!(paid, 1, "a gateway would answer, and charge, a second time");
        gateway.net.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_inflated_usage() {
    told(Lie::InflatedUsage, question(), "claim.usage").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_certificate_not_in_evidence() {
    let certificate = |node: &mut NodeSpec| node.faults.evidence_certificate = Some(other());
    let gateway = Gateway::start_with(Lie::None, SettlementType::Private, certificate).await;
    let error = gateway.caught(&question()).await;
    assert_unpaid(&error, "evidence.binding");
    assert!(
        why(&error).contains("the TLS certificate is not the attested one"),
        "{}",
        why(&error)
    );
    gateway.net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_evidence_for_another_key() {
    let key = |node: &mut NodeSpec| node.faults.evidence_for = Some(other());
    let gateway = Gateway::start_with(Lie::None, SettlementType::Private, key).await;
    let error = gateway.caught(&question()).await;
    assert_unpaid(&error, "evidence.binding");
    assert!(
        why(&error).contains("the signing key is not the attested one"),
        "{}",
        why(&error)
    );
    gateway.net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_revoked_measurement() {
    let gateway = Gateway::start(Lie::None).await;
    let measurement = gateway.net.nodes().remove(0).measurement;
    gateway.net.revoke(measurement).unwrap();
    let error = gateway.caught(&question()).await;
    assert_eq!(error.code(), "registry.empty");
    assert_eq!(
        (error.fault(), error.charged()),
        (Fault::Chain, Charged::No)
    );
    assert_eq!(*gateway.double.paid.lock().unwrap(), 0);
    gateway.net.stop().await;
    // And one that runs other code than the registry approved.
    let runs = |node: &mut NodeSpec| node.lies_about_measurement = true;
    let gateway = Gateway::start_with(Lie::None, SettlementType::Private, runs).await;
    let error = gateway.caught(&question()).await;
    assert_unpaid(&error, "evidence.unknown_measurement");
    gateway.net.stop().await;
}

/// Revokes the measurement when the call reaches a step.
struct RevokeAt<'a>(&'a Localnet, Step);

impl Watch for RevokeAt<'_> {
    fn step(&mut self, step: Step, _: &str) {
        if step == self.1 {
            let measurement = self.0.nodes().remove(0).measurement;
            self.0.revoke(measurement).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_is_revoked_during_the_call_is_not_paid() {
    for step in [Step::Decide, Step::Attest, Step::Offer, Step::Admit] {
        let gateway = Gateway::start(Lie::None).await;
        let mut revoke = RevokeAt(&gateway.net, step);
        let asked = gateway.client.chat_watched(&question(), &mut revoke).await;
        let error = asked.map(drop).unwrap_err();
        assert_eq!(error.code(), "registry.inactive", "{step}");
        assert_eq!(error.charged(), Charged::No);
        assert_eq!(error.step(), Step::Admit);
        assert_eq!(*gateway.double.paid.lock().unwrap(), 0);
        // The next call reads the registry anew, and finds nobody.
        let error = gateway.ask(false).await.map(drop).unwrap_err();
        assert_eq!(error.code(), "registry.empty");
        gateway.net.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_may_spare_the_question_and_pays_for_it() {
    let mut gateway = Gateway::start(Lie::None).await;
    gateway.world.options.active_ttl = gateway.world.options.registry_ttl;
    let Gateway {
        world, net, client, ..
    } = gateway;
    drop(client);
    let client = world.client(&net);
    let mut revoke = RevokeAt(&net, Step::Offer);
    let reply = client.chat_watched(&question(), &mut revoke).await;
    assert_eq!(reply.unwrap().text, TEXT);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_replayed_response() {
    let gateway = Gateway::start(Lie::Replayed).await;
    assert_eq!(gateway.ask(false).await.unwrap().text, TEXT);
    let error = gateway.caught(&question()).await;
    assert_paid(&error, "signature.replayed", Step::Verify);
    // Another process of the same home remembers it too.
    let Gateway {
        world, net, client, ..
    } = gateway;
    drop(client);
    let client = world.client(&net);
    let error = client.chat(&question()).await.map(drop).unwrap_err();
    assert_paid(&error, "signature.replayed", Step::Verify);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_answer_to_another_question() {
    let gateway = Gateway::start(Lie::Replayed).await;
    assert_eq!(gateway.ask(false).await.unwrap().text, TEXT);
    let error = gateway.caught(&question().user("And another one?")).await;
    assert_paid(&error, "signature.request", Step::Verify);
    gateway.net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_settlement_of_another_call() {
    let individual = SettlementType::Individual;
    let gateway = Gateway::start_with(Lie::OtherSettlement, individual, |_| {}).await;
    let error = gateway.caught(&question()).await;
    assert_paid(&error, "claim.settlement_other", Step::Verify);
    gateway.net.stop().await;
    told(
        Lie::UnaskedSettlement,
        question(),
        "claim.settlement_unasked",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lie_transaction_that_records_nothing() {
    let gateway = Gateway::start_with(Lie::None, SettlementType::Individual, |_| {}).await;
    // A settlement of money, which is on the chain and about something else.
    gateway.ask(false).await.unwrap();
    assert_eq!(gateway.double.reap().await, 1);
    let settled = gateway.client.recover().await.unwrap().remove(0);
    let transaction = settled.call.payment.unwrap().transaction.unwrap();
    gateway.double.lie(Lie::OtherTransaction(transaction));
    let error = gateway.caught(&question()).await;
    assert_paid(&error, "claim.settlement_other", Step::Verify);
    let receipt = std::fs::read(error.receipt().unwrap()).unwrap();
    let stages: Vec<_> = records(&receipt).iter().map(|it| it.stage).collect();
    assert_eq!(stages, [RecordStage::Named, RecordStage::Missing]);
    gateway.net.stop().await;
}

/// What a receipt says about the answer's record.
fn records(receipt: &[u8]) -> Vec<RecordSeen> {
    let bundle = Bundle::decode(receipt).unwrap();
    let slots = bundle.slots();
    let events = events_of::<RecordSeen>(&slots);
    events.map(|(_, _, seen)| seen.clone()).collect()
}

/// The check that refused, in words.
fn why(error: &Error) -> String {
    seamline_core::chain(error)
}

fn other() -> Arc<EnclaveIdentity> {
    let now = seamline::Env::system().now();
    Arc::new(EnclaveIdentity::generate(now).unwrap())
}
