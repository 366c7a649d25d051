//! Purchases from plain servers, and calls of nodes that pretend to be one.

use seamline_core::receipt::{Event, EventKind, Offered, Purchased, ResponseEnded};
use seamline_core::{NodeId, SourceClass, binding};
use seamline_verify::{Claim, Level, Outcome, Status};

use super::{refuted, refuted_among};
use crate::fixture::{World, event_mut};

const ORIGIN: &str = "https://api.example";

/// A call without registry, decision and evidence, at one origin.
pub(crate) fn world() -> World {
    let mut world = World::new();
    let of_nodes = [
        EventKind::CatalogueRead,
        EventKind::Decided,
        EventKind::EvidenceFetched,
        EventKind::Attested,
        EventKind::TlsBound,
        EventKind::SignatureChecked,
    ];
    // An admission names its offer by its place.
    let dropped = |event: &Event| of_nodes.contains(&event.kind());
    let offer = |events: &[(u64, Event)]| {
        let at = events
            .iter()
            .position(|(_, it)| it.get::<Offered>().is_some());
        u32::try_from(at.unwrap()).unwrap()
    };
    let before = offer(&world.events);
    world.events.retain(|(_, event)| !dropped(event));
    let purchase = Purchased {
        origin: ORIGIN.into(),
        payee: "listed".into(),
    };
    world.events.insert(0, (1, purchase.into()));
    let moved = before - offer(&world.events);
    event_mut!(world, Admitted).offer_event -= moved;
    let node = NodeId::new(binding::origin_id(ORIGIN));
    for (_, event) in &mut world.events {
        match event {
            Event::RequestSent(sent) => sent.node = node,
            Event::Offered(offered) => offered.node = node,
            _ => {}
        }
    }
    let shown = world.events.clone();
    let used = |hash| shown.iter().any(|(_, it)| it.evidence() == Some(hash));
    world
        .blobs
        .retain(|(_, blob)| used(seamline_core::sha256(&[blob])));
    world
}

#[test]
fn purchase_is_complete_and_says_what_is_asserted() {
    let verdict = world().verify();
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(
        (verdict.status, verdict.level),
        (Status::Satisfied, Level::L2),
        "{:#?}",
        verdict.findings
    );
    for claim in [Claim::DecisionFollowed, Claim::OfferPayTo] {
        let found = verdict.about(claim).next().unwrap();
        let passed = (found.source, found.outcome);
        assert_eq!(passed, (SourceClass::Asserted, Outcome::Pass));
        assert!(!found.detail.is_empty());
    }
    // Nothing is claimed about hardware or a signed answer, and that is said.
    for claim in [Claim::EvidenceVerified, Claim::ResponseSignature] {
        assert_eq!(verdict.about(claim).next(), None);
    }
    let said = "Who answered, and what";
    assert!(verdict.not_proven.iter().any(|it| it.starts_with(said)));
}

#[test]
fn call_of_a_node_is_no_purchase() {
    let mut world = World::new();
    let purchase = Purchased {
        origin: ORIGIN.into(),
        payee: "listed".into(),
    };
    let last = world.events.len() - 1;
    let at_us = world.events[last].0;
    world.events.insert(last, (at_us, purchase.into()));
    refuted_among(&world, Claim::DecisionFollowed);
}

#[test]
fn request_to_another_origin() {
    let mut world = world();
    event_mut!(world, RequestSent).node = NodeId::new(binding::origin_id("https://b.example"));
    refuted(&world, Claim::DecisionFollowed);
}

#[test]
fn offer_of_another_origin() {
    let mut world = world();
    event_mut!(world, Offered).node = NodeId::new(binding::origin_id("https://b.example"));
    refuted(&world, Claim::DecisionFollowed);
}

#[test]
fn two_purchases_in_one_receipt() {
    let mut world = world();
    let again = world.events[0].clone();
    world.events.insert(1, again);
    event_mut!(world, Admitted).offer_event += 1;
    refuted(&world, Claim::DecisionFollowed);
}

#[test]
fn purchase_that_is_said_afterwards() {
    let mut world = world();
    let (_, purchase) = world.events.remove(0);
    event_mut!(world, Admitted).offer_event -= 1;
    let ended = |event: &Event| event.get::<ResponseEnded>().is_some();
    let place = world.events.iter().position(|(_, it)| ended(it)).unwrap();
    let at_us = world.events[place].0;
    world.events.insert(place, (at_us, purchase));
    refuted(&world, Claim::DecisionFollowed);
}

#[test]
fn decision_in_a_purchase() {
    let decided = {
        let mut world = World::new();
        event_mut!(world, Decided).clone()
    };
    let mut world = world();
    let at_us = world.events[0].0;
    world.events.insert(1, (at_us, decided.into()));
    event_mut!(world, Admitted).offer_event += 1;
    refuted_among(&world, Claim::DecisionFollowed);
}

#[test]
fn hidden_purchase_is_reported_and_no_success() {
    let world = world();
    let bundle = world.seal();
    let verdict = world.check(&bundle.redact(&[1]).unwrap().encode());
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Incomplete);
    let found = verdict.about(Claim::OfferPayTo).next().unwrap();
    assert_eq!(found.outcome, Outcome::Redacted);
}
