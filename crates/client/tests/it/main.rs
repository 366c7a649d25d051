//! Tests of the SDK through its public interface, on a network of its own.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test stand outside of its function"
)]

use std::path::Path;
use std::sync::Arc;

use seamline::{Chat, Client, Config, Env, Home, Options};
use seamline_core::receipt::{
    Authorized, Bundle, Event, EvidenceFetched, EvidenceType, Offered, RequestSent, Retried,
    SealingKey,
};
use seamline_core::{Amount, Charged};
use seamline_evm::Wallet;
use seamline_localnet::{Localnet, NodeSpec};
use seamline_verify::{Claim, Outcome, Status, Trust};

const PRICE: Amount = Amount::new(2_000_000_000_000_000_000);
const PAYER: [u8; 32] = [0x51; 32];
const RECORDER: [u8; 32] = [0x52; 32];

async fn network(nodes: Vec<NodeSpec>) -> Localnet {
    let env = Env::system();
    let mut config = seamline_localnet::Config::in_memory(Arc::new(move || env.now()));
    config.nodes = nodes;
    let net = Localnet::start(config).await.unwrap();
    net.fund(&Wallet::from_bytes(&PAYER).unwrap())
        .await
        .unwrap();
    net
}

fn trust(net: &Localnet) -> Trust {
    let recorder = SealingKey::from_seed(&RECORDER).public_key();
    net.danger_trust(recorder).unwrap()
}

fn client(net: &Localnet, home: &Path) -> Client {
    client_with(net, home, Options::default())
}

fn client_with(net: &Localnet, home: &Path, options: Options) -> Client {
    let config = Config {
        signer: Arc::new(Wallet::from_bytes(&PAYER).unwrap()),
        recorder: SealingKey::from_seed(&RECORDER),
        trust: trust(net),
        budget: net.budget(PRICE, PRICE),
        network: net.network().unwrap(),
        home: Home {
            journal: home.join("journal.redb"),
            receipts: home.to_owned(),
        },
        env: Env::system(),
        options,
    };
    Client::open(config).unwrap()
}

fn question() -> Chat {
    Chat::model("seamline/guide").user("How do I cap what a call may cost?")
}

fn events(bundle: &Bundle) -> Vec<Event> {
    let slots = bundle.slots();
    slots
        .iter()
        .filter_map(|slot| slot.event().cloned())
        .collect()
}

/// The receipt of a call that failed on evidence holds the document, and nothing in it or in its
/// verdict says that the document passed.
#[tokio::test(flavor = "multi_thread")]
async fn refused_evidence_is_in_the_receipt_and_never_passes() {
    let mut liar = NodeSpec::new("liar", PRICE, PRICE);
    liar.faults.stale_nonce = true;
    let net = network(vec![liar]).await;
    let home = tempfile::tempdir().unwrap();
    let client = client(&net, home.path());
    let error = client.chat(&question()).await.unwrap_err();
    assert!(error.code().starts_with("evidence.nonce"), "{error:?}");
    assert_eq!(error.charged(), Charged::No);

    let file = std::fs::read(error.receipt().unwrap()).unwrap();
    let bundle = Bundle::decode(&file).unwrap();
    let events = events(&bundle);
    let fetched = events.iter().find_map(Event::get::<EvidenceFetched>);
    let fetched = fetched.expect("the evidence is recorded");
    let document = bundle.evidence(&fetched.evidence).unwrap();
    // Whoever has the file can find out that the node lied: the nonce asked for is not in it.
    let asked = fetched.evidence_nonce.as_slice();
    let carries = document.windows(asked.len()).any(|part| part == asked);
    assert!(!carries, "the nonce was stale");
    let kinds: Vec<_> = bundle
        .core()
        .evidence
        .iter()
        .map(|entry| entry.kind)
        .collect();
    for kind in [
        EvidenceType::Attestation,
        EvidenceType::TlsCertificate,
        EvidenceType::SigningKey,
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Attested(_)))
    );

    let verdict = seamline_verify::verify(&file, &trust(&net), Env::system().now());
    assert_ne!(verdict.status, Status::Refuted, "{verdict:?}");
    let passed = verdict.findings.iter().any(|finding| {
        finding.outcome == Outcome::Pass
            && matches!(
                finding.claim,
                Claim::EvidenceVerified | Claim::EvidenceNonce | Claim::EvidenceMeasurement
            )
    });
    assert!(!passed, "{:?}", verdict.findings);
    net.stop().await;
}

/// A broken stream is presented again with the same bytes; the money is counted once.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_presented_again_and_paid_once() {
    let mut breaks = NodeSpec::new("breaks", PRICE, PRICE);
    breaks.faults.close_mid_stream = true;
    let net = network(vec![breaks]).await;
    let home = tempfile::tempdir().unwrap();
    let client = client(&net, home.path());
    let error = client.chat(&question().stream(true)).await.unwrap_err();
    let bundle = Bundle::decode(&std::fs::read(error.receipt().unwrap()).unwrap()).unwrap();
    let events = events(&bundle);
    let paid = |event: &&Event| matches!(event, Event::RequestSent(sent) if sent.paid);
    let presented = events.iter().filter(paid).count();
    assert!((2..=3).contains(&presented), "{presented}");
    let signed = |event: &&Event| matches!(event, Event::Authorized(_));
    assert_eq!(events.iter().filter(signed).count(), 1);
    let charged = bundle.core().summary.charged;
    assert_eq!(charged, error.charged(), "receipt and error agree");
    net.stop().await;
}

/// Recovery beside calls that run: none is closed twice, and the books open again.
#[tokio::test(flavor = "multi_thread")]
async fn recovery_leaves_running_calls_alone() {
    let net = network(vec![NodeSpec::new("amber", PRICE, PRICE)]).await;
    let home = tempfile::tempdir().unwrap();
    let client = client(&net, home.path());
    let question = question();
    let recoveries = async {
        for _ in 0..50 {
            client.recover().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (reply, ()) = futures_util::future::join(client.chat(&question), recoveries).await;
    assert_eq!(reply.unwrap().charged, Charged::Yes);
    drop(client);
    let journal = seamline::Journal::open(&home.path().join("journal.redb")).unwrap();
    assert_eq!(journal.log().unwrap().len(), 2);
    net.stop().await;
}

/// The requests of a call, and whether its last offer was remembered.
fn asked(receipt: &[u8]) -> (usize, Option<bool>) {
    let bundle = Bundle::decode(receipt).unwrap();
    let events = events(&bundle);
    let requests = events.iter().filter_map(Event::get::<RequestSent>);
    let mut offers = events.iter().rev().filter_map(Event::get::<Offered>);
    (
        requests.count(),
        offers.next().map(|offer| offer.remembered),
    )
}

/// A steady call takes one round trip: the node's last offer is accepted again while it covers what the
/// call can cost, also for a shorter question; a longer one asks anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_steady_call_takes_one_round_trip() {
    let net = network(vec![NodeSpec::new("amber", PRICE, PRICE)]).await;
    let home = tempfile::tempdir().unwrap();
    let client = client(&net, home.path());
    let ask = |text: &str| Chat::model("seamline/guide").user(text);
    let long = "How do I cap what a call may cost? ".repeat(8);
    let mut ceilings = Vec::new();
    for (text, requests, remembered) in [
        ("How do I cap what a call may cost?", 2, false),
        ("How do I cap what a call may cost?", 1, true),
        ("How do I cap the cost?", 1, true),
        (long.as_str(), 2, false),
        ("How do I cap what a call may cost?", 1, true),
    ] {
        let reply = client.chat(&ask(text)).await.unwrap();
        assert_eq!(
            asked(&reply.receipt),
            (requests, Some(remembered)),
            "{text}"
        );
        assert_eq!(reply.charged, Charged::Yes, "{text}");
        assert_eq!(
            reply.verdict.status,
            Status::Satisfied,
            "{:?}",
            reply.verdict
        );
        assert!(reply.settled.unwrap() <= reply.authorized);
        ceilings.push(reply.authorized);
    }
    // A remembered offer is authorized as it was made; what is settled is what was metered.
    assert_eq!(ceilings[0], ceilings[2]);
    assert_eq!(ceilings[3], ceilings[4]);
    let paid = client.history().unwrap();
    assert_eq!(paid.len(), 5);
    net.stop().await;
}

/// With remembering switched off each call asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_remembers_no_offers_asks_each_time() {
    let net = network(vec![NodeSpec::new("amber", PRICE, PRICE)]).await;
    let home = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.offer_ttl = core::time::Duration::ZERO;
    let client = client_with(&net, home.path(), options);
    for _ in 0..2 {
        let reply = client.chat(&question()).await.unwrap();
        assert_eq!(asked(&reply.receipt), (2, Some(false)));
    }
    net.stop().await;
}

/// A node that refuses what was remembered is asked anew within the call: the same nonce for its new
/// offer, so that one of both settles at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_memory_costs_a_round_trip_and_nothing_else() {
    let mut dearer = NodeSpec::new("dearer", PRICE, PRICE);
    dearer.faults.later_offers_times = Some(3);
    dearer.faults.honest_offers = 2;
    let net = network(vec![dearer]).await;
    let home = tempfile::tempdir().unwrap();
    let client = client(&net, home.path());
    let first = client.chat(&question()).await.unwrap();
    let reply = client.chat(&question()).await.unwrap();
    assert_eq!(asked(&reply.receipt), (2, Some(false)));
    assert_eq!(reply.authorized.get(), first.authorized.get() * 3);
    assert_eq!(reply.charged, Charged::Yes);
    assert_eq!(
        reply.verdict.status,
        Status::Satisfied,
        "{:?}",
        reply.verdict
    );

    let bundle = Bundle::decode(&reply.receipt).unwrap();
    let events = events(&bundle);
    let signed: Vec<_> = events.iter().filter_map(Event::get::<Authorized>).collect();
    assert_eq!(signed.len(), 2);
    assert_eq!(signed[0].auth_nonce, signed[1].auth_nonce, "one nonce");
    let retried = events.iter().filter_map(Event::get::<Retried>);
    let causes: Vec<_> = retried
        .map(|retried| retried.cause.as_str().to_owned())
        .collect();
    assert_eq!(causes, ["offer.remembered"]);
    let remembered = events.iter().filter_map(Event::get::<Offered>);
    let remembered: Vec<_> = remembered.map(|offer| offer.remembered).collect();
    assert_eq!(remembered, [true, false]);
    // The next call remembers the new one.
    let third = client.chat(&question()).await.unwrap();
    assert_eq!(asked(&third.receipt), (1, Some(true)));
    let paid = client.history().unwrap();
    let settled: u128 = paid.iter().map(|one| one.settled.unwrap().get()).sum();
    let budget = &client.budget_status()[0];
    let day = budget
        .windows
        .iter()
        .find(|it| it.scope == seamline::journal::Scope::Day);
    let day = day.unwrap();
    assert_eq!((day.settled.get(), day.reserved), (settled, Amount::ZERO));
    net.stop().await;
}
