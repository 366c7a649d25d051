//! Charges, authorizations and settlements that do not add up.

use seamline_core::receipt::{EventKind, EvidenceType, SettlementSeen, SettlementState};
use seamline_core::{Amount, Charged};
use seamline_evm::policy::Spent;
use seamline_evm::scheme::{self, Marks};
use seamline_evm::x402::{Offer, PaymentRequired};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Outcome, Status};

use super::{open, place, refuted};
use crate::fixture::{World, event_mut, offer_terms, spend_policy};

/// Removes everything about money.
fn without_payment(world: &mut World) {
    let money = [
        EventKind::Offered,
        EventKind::Admitted,
        EventKind::Authorized,
        EventKind::SettleReplied,
        EventKind::SettlementSeen,
    ];
    world
        .events
        .retain(|(_, event)| !money.contains(&event.kind()));
}

#[test]
fn charged_for_nothing() {
    let mut world = World::new();
    without_payment(&mut world);
    refuted(&world.verify(), Claim::SettlementStates);
    // No charge, but a request that is said to have been paid.
    event_mut!(world, Closed).charged = Charged::No;
    refuted(&world.verify(), Claim::SettlementStates);
    let paid = place(&world, EventKind::ResponseFirst) - 1;
    world.events.remove(paid);
    assert_eq!(world.verify().status, Status::Satisfied);
    event_mut!(world, Closed).charged = Charged::Unknown;
    open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
}

#[test]
fn settled_nowhere() {
    let changes: [fn(&mut SettlementSeen); 3] = [
        |seen| seen.transaction = None,
        |seen| seen.block_number = None,
        |seen| seen.block_hash = None,
    ];
    for change in changes {
        let mut world = World::new();
        change(event_mut!(world, SettlementSeen));
        open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
    }
}

#[test]
fn not_settled_before_the_deadline() {
    let mut world = World::new();
    let seen = event_mut!(world, SettlementSeen);
    (seen.state, seen.amount) = (SettlementState::NotSettled, None);
    event_mut!(world, Closed).charged = Charged::No;
    open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
    // After it, the nonce is dead.
    let after = 400_000_000;
    let last = world.events.len() - 1;
    world.events[last - 1].0 = after;
    world.events[last].0 = after;
    assert_eq!(world.verify().status, Status::Satisfied);
    // But not for a reader whose clock has not come that far.
    let file = world.seal().encode();
    let verdict = seamline_verify::verify(&file, &world.trust, NOW);
    refuted(&verdict, Claim::ReceiptTime);
}

#[test]
fn more_settled_on_one_leg_than_was_authorized_on_it() {
    let mut world = World::new();
    // A further leg of the largest amount, after the first one was settled: what it allows is not
    // what the first one allowed.
    let mut first = event_mut!(world, Authorized).clone();
    let at = place(&world, EventKind::Authorized);
    (first.leg, first.amount) = (1, Amount::new(100));
    world.events.insert(at + 1, (62_500, first.into()));
    let verdict = world.verify();
    let amount = verdict.about(Claim::SettlementAmount).next().unwrap();
    assert_eq!(amount.outcome, Outcome::Fail, "{}", amount.detail);
}

/// Signs another authorization of the same amount, for a leg of its own.
fn authorize_again(world: &mut World, leg: u32, at_us: u64) {
    let mut authorized = event_mut!(world, Authorized).clone();
    let admitted = event_mut!(world, Admitted);
    let pay_to = admitted.pay_to;
    let required = PaymentRequired::new(None, None, &[Offer::new(offer_terms())]);
    let admitted = spend_policy().admit(&required, pay_to, &Spent::default());
    let nonce = seamline_core::binding::leg_nonce(&world.h_bind, leg);
    let now = NOW.saturating_add(core::time::Duration::from_micros(at_us));
    let marks = Marks::default();
    let signed = scheme::sign(&admitted.unwrap(), nonce, marks, &world.wallet, now).unwrap();
    let payload = signed.payload_json().as_bytes().to_vec();
    authorized.authorization = world.blob(EvidenceType::Authorization, payload);
    authorized.leg = leg;
    authorized.auth_nonce = signed.auth_nonce;
    authorized.digest = signed.digest;
    authorized.deadline_s = signed.deadline_s;
    let last = world.events.len() - 1;
    world.events.insert(last, (at_us, authorized.into()));
}

#[test]
fn legs_share_the_cap_of_the_call() {
    let mut world = World::new();
    // Two legs of 500 are within a cap of 1,000, and nobody knows about the second; a third is not.
    authorize_again(&mut world, 1, 505_000);
    open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
    authorize_again(&mut world, 2, 506_000);
    refuted(&world.verify(), Claim::AuthorizationCap);
}

#[test]
fn settled_and_then_forgotten() {
    let mut world = World::new();
    authorize_again(&mut world, 0, 505_000);
    refuted(&world.verify(), Claim::SettlementStates);
    // A further leg that was not settled does not undo the first.
    let mut world = World::new();
    let mut seen = event_mut!(world, SettlementSeen).clone();
    (seen.state, seen.amount) = (SettlementState::NotSettled, None);
    authorize_again(&mut world, 1, 505_000);
    let last = world.events.len() - 1;
    world.events.insert(last, (506_000, seen.into()));
    assert_eq!(world.verify().first_failure(), None);
    event_mut!(world, Closed).charged = Charged::No;
    refuted(&world.verify(), Claim::SettlementStates);
}
