//! A recorder that makes up more than it lies about: answers of nobody, signatures of its own keys,
//! settlements that no chain has; and readers who hide what does not suit them.

mod answers;
mod hiding;
mod money;

use seamline_core::receipt::EventKind;
use seamline_verify::{Claim, Outcome, Status, Verdict};

use crate::fixture::World;

#[track_caller]
fn refuted(verdict: &Verdict, claim: Claim) {
    let failed = verdict.first_failure().map(|finding| finding.claim);
    assert_eq!(failed, Some(claim), "{:?}", verdict.first_failure());
    assert_eq!(verdict.status, Status::Refuted);
}

#[track_caller]
fn open(verdict: &Verdict, claim: Claim, outcome: Outcome) {
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Incomplete);
    let mut found = verdict.about(claim);
    assert!(found.any(|it| it.outcome == outcome), "{verdict:#?}");
}

fn place(world: &World, kind: EventKind) -> usize {
    let mut events = world.events.iter();
    events.position(|(_, event)| event.kind() == kind).unwrap()
}
