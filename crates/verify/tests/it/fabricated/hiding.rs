//! What a receipt does not show: events that a reader hid, and events that were never recorded.

use seamline_core::receipt::{ClockRead, EventKind, EvidenceType, MAX_OF_KIND};
use seamline_core::{Amount, B256, NodeId};
use seamline_verify::{Claim, Outcome, Status, Verdict};

use super::{open, place, refuted};
use crate::fixture::{World, event_mut};

/// The index of an event in the receipt, where the open event comes first.
fn index(world: &World, kind: EventKind) -> usize {
    place(world, kind) + 1
}

fn hiding(world: &World, hide: &[usize]) -> Verdict {
    world.check(&world.seal().redact(hide).unwrap().encode())
}

#[test]
fn content_under_a_hidden_signature_is_committed_and_no_more() {
    let world = World::new();
    let at = index(&world, EventKind::SignatureChecked);
    let verdict = hiding(&world, &[at]);
    open(&verdict, Claim::RequestContent, Outcome::Redacted);
    open(&verdict, Claim::OutputContent, Outcome::Redacted);
}

/// A second connection to the node, to another certificate.
fn connect_elsewhere(world: &mut World) {
    let mut bound = event_mut!(world, TlsBound).clone();
    bound.cert_sha256 = B256::repeat_byte(1);
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, bound.into()));
}

#[test]
fn hiding_the_wrong_connection_proves_nothing() {
    let mut world = World::new();
    connect_elsewhere(&mut world);
    refuted(&world.verify(), Claim::EvidenceTls);
    let hidden = world.events.len() - 1;
    let verdict = hiding(&world, &[hidden]);
    open(&verdict, Claim::EvidenceTls, Outcome::Redacted);
}

#[test]
fn hiding_the_later_evidence_makes_nobody_a_liar() {
    let mut world = World::new();
    // An earlier document of the same node, which no verdict is about.
    let mut earlier = event_mut!(world, EvidenceFetched).clone();
    earlier.evidence = world.blob(EvidenceType::Attestation, b"another".to_vec());
    let at = place(&world, EventKind::EvidenceFetched);
    world.events.insert(at, (49_000, earlier.into()));
    event_mut!(world, Admitted).offer_event += 1;
    assert_eq!(world.verify().status, Status::Satisfied);
    let verdict = hiding(&world, &[at + 2]);
    open(&verdict, Claim::EvidenceVerified, Outcome::Redacted);
}

#[test]
fn hiding_the_later_catalogue_makes_nobody_a_liar() {
    let mut world = World::new();
    let mut earlier = event_mut!(world, CatalogueRead).clone();
    let none = seamline_core::decision::Catalogue::new(Vec::new()).unwrap();
    (earlier.root, earlier.candidates) = (none.root(), none.encode());
    world.events.insert(0, (4_000, earlier.into()));
    event_mut!(world, Admitted).offer_event += 1;
    assert_eq!(world.verify().status, Status::Satisfied);
    let verdict = hiding(&world, &[2]);
    open(&verdict, Claim::DecisionReplay, Outcome::Redacted);
    open(&verdict, Claim::OfferPayTo, Outcome::Redacted);
}

#[test]
fn hiding_the_later_admission_makes_nobody_a_liar() {
    let mut world = World::new();
    let mut earlier = event_mut!(world, Admitted).clone();
    earlier.max_timeout_s = 1;
    let at = place(&world, EventKind::Admitted);
    world.events.insert(at, (60_500, earlier.into()));
    refuted(&world.verify(), Claim::OfferTerms);
    // Without its own fault, the earlier admission is only another one than the one that was paid.
    let verdict = hiding(&world, &[at + 2]);
    refuted(&verdict, Claim::OfferTerms);
    assert!(
        verdict
            .about(Claim::AuthorizationTerms)
            .all(|it| it.outcome == Outcome::Redacted)
    );
}

#[test]
fn hiding_a_reply_that_was_read_wrongly() {
    let mut world = World::new();
    event_mut!(world, SettleReplied).amount = Some(Amount::new(1));
    refuted(&world.verify(), Claim::SettlementReply);
    let at = index(&world, EventKind::SettleReplied);
    open(
        &hiding(&world, &[at]),
        Claim::SettlementReply,
        Outcome::Redacted,
    );
}

#[test]
fn events_that_were_not_recorded_corroborate_nothing() {
    let mut world = World::new();
    let clock = ClockRead {
        source: "block".into(),
        skew_ms: 0,
    };
    for _ in 0..=MAX_OF_KIND {
        let last = world.events.len() - 1;
        world.events.insert(last, (505_000, clock.clone().into()));
    }
    assert_eq!(world.seal().core().dropped, 1);
    open(&world.verify(), Claim::EventsDropped, Outcome::Absent);
}

/// Whatever a reader hides, a receipt that is refuted never becomes one that satisfies, and an
/// honest one never becomes one that is refuted.
#[test]
fn hiding_turns_nothing_into_its_opposite() {
    let lies: [fn(&mut World); 5] = [
        |_| {},
        connect_elsewhere,
        |world| event_mut!(world, SettleReplied).success = false,
        |world| event_mut!(world, RequestSent).node = NodeId::new(B256::repeat_byte(0xb0)),
        |world| event_mut!(world, Attested).leaf_not_after_ms += 1,
    ];
    for (which, lie) in lies.into_iter().enumerate() {
        let mut world = World::new();
        lie(&mut world);
        let honest = which == 0;
        let bundle = world.seal();
        let last = bundle.leaves().len() - 1;
        let status = |verdict: &Verdict| verdict.status;
        let whole = if honest {
            Status::Satisfied
        } else {
            Status::Refuted
        };
        assert_eq!(status(&world.verify()), whole, "{which}");
        for first in 1..last {
            for second in first..last {
                let verdict = world.check(&bundle.redact(&[first, second]).unwrap().encode());
                let hidden = [first, second];
                if honest {
                    assert_eq!(verdict.first_failure(), None, "{hidden:?}");
                } else {
                    assert_ne!(status(&verdict), Status::Satisfied, "{which}: {hidden:?}");
                }
            }
        }
    }
}
