//! Nodes that lie: each is caught, named, and paid only where it delivered something to pay for.

use seamline::{Error, Options, Step};
use seamline_core::receipt::Bundle;
use seamline_core::{Charged, Fault, Retry, Timestamp};
use seamline_enclave::EnclaveIdentity;
use seamline_localnet::NodeSpec;
use std::sync::Arc;

use crate::support::{Seen, World, books, honest, question};

/// Makes one call to a network whose only node is `liar`, and returns what came of it together with what
/// the payer lost.
async fn caught(liar: NodeSpec, stream: bool) -> (Error, bool) {
    let mut world = World::new(vec![liar]);
    world.options = Options::default();
    let (net, client) = world.start().await;
    let payer = world.wallet().address();
    let (total, before) = books(&net, payer).await;
    let mut seen = Seen::default();
    let error = client
        .chat_watched(&question().stream(stream), &mut seen)
        .await
        .unwrap_err();
    let (total_after, after) = books(&net, payer).await;
    assert_eq!(total, total_after, "tokens were made or lost");
    let receipt = std::fs::read(error.receipt().expect("a failed call leaves a receipt")).unwrap();
    let bundle = Bundle::decode(&receipt).expect("the receipt of a failure is a receipt");
    let code = bundle.core().summary.error_code.clone().unwrap();
    assert_eq!(
        code.as_str(),
        error.code(),
        "the receipt names the same failure"
    );
    let verdict =
        seamline_verify::verify(&receipt, &world.trust(&net), seamline::Env::system().now());
    assert_ne!(verdict.level, seamline_verify::Level::L0, "{verdict:?}");
    net.stop().await;
    (error, before != after)
}

fn other() -> Arc<EnclaveIdentity> {
    let now = Timestamp::from_millis(seamline::Env::system().now().as_millis());
    Arc::new(EnclaveIdentity::generate(now).unwrap())
}

#[track_caller]
fn assert_blames_node(error: &Error, code: &str, step: Step, charged: Charged) {
    assert_eq!(error.code(), code);
    assert_eq!(error.step(), step);
    assert_eq!(error.fault(), Fault::Node);
    assert_eq!(error.charged(), charged);
    let retry = if charged == Charged::No {
        Retry::Other
    } else {
        Retry::Never
    };
    assert_eq!(error.retry(), retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_measurement() {
    let mut liar = honest("liar");
    liar.lies_about_measurement = true;
    let (error, paid) = caught(liar, false).await;
    assert_blames_node(
        &error,
        "evidence.unknown_measurement",
        Step::Attest,
        Charged::No,
    );
    assert!(!paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_for_another_key() {
    let mut liar = honest("liar");
    liar.faults.evidence_for = Some(other());
    let (error, paid) = caught(liar, false).await;
    assert!(error.code().starts_with("evidence."), "{}", error.code());
    assert_blames_node(&error, &error.code(), Step::Attest, Charged::No);
    assert!(!paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_nonce() {
    let mut liar = honest("liar");
    liar.faults.stale_nonce = true;
    let (error, paid) = caught(liar, false).await;
    assert!(
        error.code().starts_with("evidence.nonce"),
        "{}",
        error.code()
    );
    assert_blames_node(&error, &error.code(), Step::Attest, Charged::No);
    assert!(!paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_response_byte() {
    for stream in [false, true] {
        let mut liar = honest("liar");
        liar.faults.altered_text = true;
        let (error, paid) = caught(liar, stream).await;
        assert_blames_node(&error, "signature.output", Step::Verify, Charged::Yes);
        assert!(paid, "the node took the money; the caller is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_by_another_enclave() {
    let mut liar = honest("liar");
    liar.faults.signed_by = Some(other());
    let (error, paid) = caught(liar, false).await;
    assert_blames_node(&error, "signature.key", Step::Verify, Charged::Yes);
    assert!(paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn price_above_the_offer() {
    let mut liar = honest("liar");
    liar.faults.later_offers_times = Some(3);
    let (error, paid) = caught(liar, false).await;
    assert_eq!(error.code(), "offer.changed");
    assert_eq!(error.fault(), Fault::Node);
    // The authorization is out: until its deadline the node could still settle what it first offered.
    assert_eq!(error.charged(), Charged::Unknown);
    assert_eq!(error.retry(), Retry::Never);
    assert!(!paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_to_swapped() {
    let mut liar = honest("liar");
    liar.faults.pay_to = Some(alloy_primitives::Address::repeat_byte(0x99));
    let (error, paid) = caught(liar, false).await;
    assert_blames_node(&error, "offer.pay_to", Step::Admit, Charged::No);
    assert!(!paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_of_another_hour() {
    let mut liar = honest("liar");
    liar.faults.clock_skew_s = -3_600;
    let (error, paid) = caught(liar, false).await;
    assert_blames_node(&error, "signature.time", Step::Verify, Charged::Yes);
    assert!(paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_breaks_off() {
    let mut liar = honest("liar");
    liar.faults.close_mid_stream = true;
    let (error, _) = caught(liar, true).await;
    assert_eq!(error.fault(), Fault::Node);
    assert_ne!(error.charged(), Charged::No, "{error}");
}
