//! Receipts that are true: complete, redacted, withheld, read by someone who trusts less.

use seamline_core::receipt::EvidenceType;
use seamline_core::{SourceClass, Timestamp};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Level, Outcome, Status, Trust, verify};

use crate::fixture::World;

#[track_caller]
fn outcome(verdict: &seamline_verify::Verdict, claim: Claim) -> Outcome {
    verdict.about(claim).next().unwrap().outcome
}

#[test]
fn a_complete_receipt_satisfies() {
    let world = World::new();
    let verdict = world.verify();
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Satisfied, "{verdict:#?}");
    assert_eq!(verdict.level, Level::L3);
    assert!(
        verdict.ceiling.reason.contains("witness"),
        "{:?}",
        verdict.ceiling
    );
    assert!(verdict.dev);
    let evidence = verdict.about(Claim::EvidenceVerified).next().unwrap();
    assert_eq!(evidence.source, SourceClass::Dev);
    let hardware = |source| source == SourceClass::Hardware;
    assert!(!verdict.findings.iter().any(|it| hardware(it.source)));
    let signed = verdict.about(Claim::ResponseSignature).next().unwrap();
    assert_eq!(signed.source, SourceClass::SignedByNode);
    assert_eq!(outcome(&verdict, Claim::RequestContent), Outcome::Pass);
    assert_eq!(outcome(&verdict, Claim::OutputContent), Outcome::Pass);
    assert_eq!(
        outcome(&verdict, Claim::SettlementOnChain),
        Outcome::UncheckedOffline
    );
    let not_proven = verdict.not_proven.join("\n");
    for part in [
        "weights",
        "draw",
        "settlement is on the chain",
        "no other calls",
        "hardware",
    ] {
        assert!(not_proven.contains(part), "{part} in {not_proven}");
    }
}

#[test]
fn the_file_survives_a_round_trip() {
    let bundle = World::new().seal();
    let decoded = seamline_verify::Bundle::decode(&bundle.encode()).unwrap();
    assert_eq!(decoded, bundle);
    let redacted = bundle.redact(&[2, 3]).unwrap();
    let decoded = seamline_verify::Bundle::decode(&redacted.encode()).unwrap();
    assert_eq!(decoded, redacted);
}

#[test]
fn any_set_of_events_can_be_hidden() {
    let world = World::new();
    let bundle = world.seal();
    let last = bundle.leaves().len() - 1;
    for hide in [
        vec![1],
        vec![2],
        (1..last).collect(),
        bundle.private_events(),
    ] {
        let verdict = world.check(&bundle.redact(&hide).unwrap().encode());
        assert_eq!(verdict.first_failure(), None, "{hide:?}");
        assert_eq!(verdict.status, Status::Incomplete, "{hide:?}");
        assert_eq!(verdict.level, Level::L2, "{hide:?}");
        let hidden = verdict.about(Claim::EventsHidden).next().unwrap();
        assert_eq!(hidden.outcome, Outcome::Redacted);
        for index in &hide {
            let named = format!("{index} {}", bundle.core().kinds[*index].as_str());
            let cut = hidden.detail.ends_with("...");
            assert!(cut || hidden.detail.contains(&named), "{}", hidden.detail);
        }
    }
    let every_single: Vec<usize> = (1..last).collect();
    for index in every_single {
        let verdict = world.check(&bundle.redact(&[index]).unwrap().encode());
        assert_eq!(verdict.first_failure(), None, "event {index}");
        assert!(verdict.level >= Level::L2, "event {index}");
    }
}

#[test]
fn a_reader_who_asks_for_less_is_satisfied_with_a_redacted_receipt() {
    let mut world = World::new();
    world.trust.required = Level::L2;
    let bundle = world.seal();
    let verdict = world.check(&bundle.redact(&bundle.private_events()).unwrap().encode());
    assert_eq!(verdict.status, Status::Satisfied);
    assert_eq!(verdict.level, Level::L2);
}

#[test]
fn withheld_evidence_is_said_and_never_a_success() {
    let world = World::new();
    let bundle = world.seal();
    for entry in &bundle.core().evidence {
        let verdict = world.check(&bundle.without_evidence(&[entry.hash]).encode());
        assert_eq!(verdict.first_failure(), None, "{:?}", entry.kind);
        let content = matches!(entry.kind, EvidenceType::Request | EvidenceType::Output);
        let status = if content {
            Status::Satisfied
        } else {
            Status::Incomplete
        };
        assert_eq!(verdict.status, status, "{:?}", entry.kind);
    }
}

#[test]
fn who_trusts_nobody_sees_integrity_and_no_more() {
    let world = World::new();
    let verdict = verify(&world.seal().encode(), &Trust::nobody(), NOW);
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.level, Level::L1);
    assert_eq!(verdict.status, Status::Incomplete);
    assert_eq!(outcome(&verdict, Claim::RecorderTrusted), Outcome::Absent);
    assert_eq!(outcome(&verdict, Claim::EvidenceVerified), Outcome::Absent);
    // The receipt itself says that there is no hardware behind it.
    assert!(verdict.dev);
}

#[test]
fn a_receipt_from_the_future_is_refused() {
    let world = World::new();
    let early = Timestamp::from_secs(NOW.as_secs() - 301);
    let verdict = verify(&world.seal().encode(), &world.trust, early);
    assert_eq!(
        verdict.first_failure().map(|it| it.claim),
        Some(Claim::ReceiptTime)
    );
    let close = Timestamp::from_secs(NOW.as_secs() - 299);
    let verdict = verify(&world.seal().encode(), &world.trust, close);
    assert_eq!(verdict.first_failure(), None);
}
