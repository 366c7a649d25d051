//! A lying recorder: it has the right key, and seals whatever it wants to have happened. What other
//! parties signed, and what can be computed again, catches it by name.

mod amendments;
mod authorization;
mod channels;
mod evidence;
mod offer;
mod order;
mod policy;
mod purchase;
pub(crate) mod records;
mod response;
mod routing;
mod schemes;
mod sessions;
mod settlement;

pub(crate) use self::amendments::file as settled_later;
pub(crate) use self::purchase::world as purchased;
use seamline_verify::{Claim, Level, Outcome, Status};

use crate::fixture::World;

#[track_caller]
fn refuted(world: &World, claim: Claim) {
    let verdict = world.verify();
    let failed = verdict.first_failure().map(|finding| finding.claim);
    assert_eq!(failed, Some(claim), "{:?}", verdict.first_failure());
    assert_eq!(verdict.status, Status::Refuted);
    assert_eq!(verdict.level, Level::X);
}

#[track_caller]
fn incomplete(world: &World, claim: Claim, outcome: Outcome) {
    let verdict = world.verify();
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Incomplete);
    assert!(verdict.level < Level::L3);
    let found = verdict.about(claim).find(|it| it.outcome == outcome);
    assert!(
        found.is_some(),
        "{:?}",
        verdict.about(claim).collect::<Vec<_>>()
    );
}

/// The claim is among those that fail, not necessarily the first.
#[track_caller]
fn refuted_among(world: &World, claim: Claim) {
    let verdict = world.verify();
    let failed = verdict.about(claim).any(|it| it.outcome == Outcome::Fail);
    assert!(failed, "{:#?}", verdict.findings);
    assert_eq!(verdict.status, Status::Refuted);
}
