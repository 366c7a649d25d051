//! The settlement and the charge.

use seamline_core::receipt::{SettlementSeen, SettlementState};
use seamline_core::{Amount, B256, Charged};
use seamline_verify::{Claim, Outcome};

use super::{incomplete, refuted};
use crate::fixture::{World, event_mut};

#[test]
fn settle_reply_read_otherwise() {
    let mut world = World::new();
    event_mut!(world, SettleReplied).amount = Some(Amount::new(1));
    refuted(&world, Claim::SettlementReply);
}

#[test]
fn more_settled_than_authorized() {
    let mut world = World::new();
    event_mut!(world, SettlementSeen).amount = Some(Amount::new(501));
    refuted(&world, Claim::SettlementAmount);
}

#[test]
fn settled_without_an_amount() {
    let mut world = World::new();
    event_mut!(world, SettlementSeen).amount = None;
    refuted(&world, Claim::SettlementAmount);
}

/// Inserts a further settlement event before the close event.
fn settle_again(world: &mut World, change: impl FnOnce(&mut SettlementSeen)) {
    let mut seen = event_mut!(world, SettlementSeen).clone();
    change(&mut seen);
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, seen.into()));
}

#[test]
fn settlement_taken_back() {
    let mut world = World::new();
    settle_again(&mut world, |seen| seen.state = SettlementState::NotSettled);
    refuted(&world, Claim::SettlementStates);
}

#[test]
fn settlement_in_two_transactions() {
    let mut world = World::new();
    settle_again(&mut world, |seen| {
        seen.transaction = Some(B256::repeat_byte(1));
    });
    refuted(&world, Claim::SettlementStates);
}

#[test]
fn settled_and_not_charged() {
    let mut world = World::new();
    event_mut!(world, Closed).charged = Charged::No;
    refuted(&world, Claim::SettlementStates);
}

#[test]
fn settlement_unknown_is_not_a_success() {
    let mut world = World::new();
    let seen = event_mut!(world, SettlementSeen);
    seen.state = SettlementState::Unknown;
    event_mut!(world, Closed).charged = Charged::Unknown;
    incomplete(&world, Claim::SettlementFinal, Outcome::Absent);
}
