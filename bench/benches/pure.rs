//! The pure parts: deciding, recording, sealing, verifying.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set itself up should stop"
)]

use divan::{Bencher, black_box};
use seamline_bench::{World, catalogue, policy};
use seamline_core::decision::decide;
use seamline_core::receipt::{
    Bundle, ClockRead, Closed, EvidenceType, Opened, Outcome, Recorder, SealingKey, Word,
};
use seamline_core::{B256, Charged, Timestamp, binding};
use seamline_verify::{Status, Trust, verify};

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);

#[divan::bench(args = [8, 64, 1000])]
fn decide_among(bencher: Bencher<'_, '_>, size: u64) {
    let (policy, catalogue, draw) = (policy(), catalogue(size), B256::repeat_byte(7));
    bencher.bench(|| decide(black_box(&policy), black_box(&catalogue), NOW, &draw));
}

fn key() -> SealingKey {
    SealingKey::from_seed(&[1; 32])
}

fn opened() -> Opened {
    let recorder = *key().public_key().as_bytes();
    let (spend_policy, route_policy) = (vec![0xa0; 120], policy().encode());
    Opened {
        seq: 0,
        call_id: binding::call_id(&recorder, 0),
        req_commitment: B256::repeat_byte(2),
        policy_hash: binding::policy_hash(&spend_policy, &route_policy),
        spend_policy,
        route_policy,
        wall_ms: NOW.as_millis(),
        draw_commitment: B256::repeat_byte(3),
        recorder,
    }
}

fn event() -> ClockRead {
    ClockRead {
        source: Word::new("signature"),
        skew_ms: 12,
    }
}

/// One event appended to a call's record.
#[divan::bench]
fn append_event(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| Recorder::new([9; 32], 0, opened()))
        .bench_refs(|recorder| recorder.record(black_box(5), event()));
}

/// Everything that recording adds while the caller waits: opening the record, twenty events, and the
/// hashing of a call's evidence (about 7 KiB in six pieces).
#[divan::bench]
fn record_a_call(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(opened).bench_values(recorded);
}

/// What happens after the last byte has reached the caller: tree, summary, signature.
#[divan::bench]
fn seal_a_call(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| recorded(opened()))
        .bench_values(|recorder| recorder.seal(B256::ZERO, &key()).unwrap());
}

fn recorded(opened: Opened) -> Recorder {
    let mut recorder = Recorder::new([9; 32], 0, opened);
    for (kind, length) in [
        (EvidenceType::Attestation, 4_000),
        (EvidenceType::TlsCertificate, 410),
        (EvidenceType::SigningKey, 294),
        (EvidenceType::Offer, 530),
        (EvidenceType::Authorization, 1_150),
        (EvidenceType::SettleResponse, 210),
    ] {
        recorder.attach(kind, vec![0x42; length]);
    }
    for at_us in 0..19 {
        recorder.record(at_us, event());
    }
    let close = Closed {
        outcome: Outcome::Answered,
        error_code: None,
        charged: Charged::Yes,
    };
    recorder.record(20, close);
    recorder
}

/// A receipt of a real call, what its reader trusts, and the time.
fn real() -> (Bundle, Trust, Timestamp) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let world = World::start(folder.path(), seamline_localnet::three_nodes())
            .await
            .unwrap();
        let reply = world.client.chat(&World::question()).await.unwrap();
        let trust = world.trust().unwrap();
        let bundle = Bundle::decode(&reply.receipt).unwrap();
        world.net.stop().await;
        (bundle, trust, seamline::Env::system().now())
    })
}

/// A real receipt without its attached evidence: format, tree, signature, decision, hesitations.
#[divan::bench]
fn verify_core(bencher: Bencher<'_, '_>) {
    let (bundle, trust, now) = real();
    let all: Vec<B256> = bundle.evidence_hashes().copied().collect();
    let bytes = bundle.without_evidence(&all).encode();
    bencher.bench(|| verify(black_box(&bytes), &trust, now));
}

/// A real receipt with everything: also the document's certificate chain and signature, the response
/// signature and the payer's.
#[divan::bench]
fn verify_with_evidence(bencher: Bencher<'_, '_>) {
    let (bundle, trust, now) = real();
    let bytes = bundle.encode();
    assert_eq!(verify(&bytes, &trust, now).status, Status::Satisfied);
    bencher.bench(|| verify(black_box(&bytes), &trust, now));
}
