//! Withdrawals by the payer's side.

use std::time::Duration;

use alloy_primitives::U256;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{SUPPLY, World};
use super::{Channel, Channels, NOBODY, claim, held, logged, refused, voucher_key};

const DELAY: Duration = Duration::from_secs(900);

fn initiate(channel: &Channel<'_>, amount: u128) -> Channels::initiateWithdrawCall {
    Channels::initiateWithdrawCall {
        config: channel.config.clone(),
        amount,
    }
}

fn finalize(channel: &Channel<'_>) -> Channels::finalizeWithdrawCall {
    Channels::finalizeWithdrawCall {
        config: channel.config.clone(),
    }
}

#[test]
fn the_payer_takes_back_after_the_delay() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let sent = world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 60));
    let initiated: Vec<Channels::WithdrawInitiated> = logged(&sent);
    assert_eq!(initiated[0].amount, 60);
    assert_eq!(initiated[0].finalizeAfter.to::<u64>(), world.now() + 900);
    assert_eq!(
        (channel.pending(), channel.state()),
        ((60, world.now()), (100, 0))
    );
    world.advance(DELAY);
    let sent = world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    assert_eq!(logged::<Channels::WithdrawFinalized>(&sent)[0].amount, 60);
    assert!(logged::<Channels::ChannelClosed>(&sent).is_empty());
    assert_eq!((channel.pending(), channel.state()), ((0, 0), (40, 0)));
    assert_eq!(
        world.balance(world.payer.address()),
        U256::from(SUPPLY - 40)
    );
    // And once more, to the end.
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 40));
    world.advance(DELAY);
    let sent = world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    assert_eq!(logged::<Channels::ChannelClosed>(&sent).len(), 1);
    assert_eq!(held(&world), U256::ZERO);
}

#[test]
fn the_payers_key_may_and_the_tokens_go_to_the_payer() {
    let world = World::new();
    let channel =
        Channel::of(&world).but(|config| config.payerAuthorizer = world.stranger.address());
    channel.fund(100);
    world.send(&world.stranger, BATCH_SETTLEMENT, &initiate(&channel, 100));
    world.advance(DELAY);
    world.send(&world.stranger, BATCH_SETTLEMENT, &finalize(&channel));
    assert_eq!(world.balance(world.payer.address()), U256::from(SUPPLY));
    assert_eq!(world.balance(world.stranger.address()), U256::ZERO);
}

#[test]
fn a_claim_in_time_comes_first() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 100));
    channel.claim(70);
    world.advance(DELAY);
    let sent = world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    assert_eq!(
        logged::<Channels::WithdrawFinalized>(&sent)[0].amount,
        30,
        "what is left"
    );
    assert!(logged::<Channels::ChannelClosed>(&sent).is_empty());
    assert_eq!(channel.state(), (70, 70));
}

#[test]
fn a_claim_of_all_leaves_a_withdrawal_of_nothing() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 100));
    channel.claim(100);
    world.advance(DELAY);
    let sent = world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    assert_eq!(logged::<Channels::WithdrawFinalized>(&sent)[0].amount, 0);
    assert_eq!(sent.logs.len(), 1, "and no transfer");
}

#[test]
fn a_claim_too_late_finds_nothing() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let late = claim(&[channel.voucher(70, 70)]);
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 100));
    world.advance(DELAY);
    // Until the payer comes for it, it can still be claimed.
    world.accepts(&world.admin, BATCH_SETTLEMENT, &late);
    world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    refused::<Channels::ClaimExceedsBalance>(&world, &world.admin, &late);
}

#[test]
fn only_the_payers_side_withdraws() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    for caller in [&world.stranger, &world.admin, &world.facilitator] {
        refused::<Channels::InvalidChannel>(&world, caller, &initiate(&channel, 10));
    }
    world.accepts(&voucher_key(), BATCH_SETTLEMENT, &initiate(&channel, 10));
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 10));
    world.advance(DELAY);
    for caller in [&world.stranger, &world.admin, &world.facilitator] {
        refused::<Channels::NotAuthorizedToFinalizeWithdraw>(&world, caller, &finalize(&channel));
    }
    world.accepts(&voucher_key(), BATCH_SETTLEMENT, &finalize(&channel));
    // The caller is who it is, whatever channel it names: this one is empty.
    let own = channel.but(|config| config.payer = world.stranger.address());
    refused::<Channels::WithdrawAmountExceedsAvailable>(
        &world,
        &world.stranger,
        &initiate(&own, 10),
    );
}

#[test]
fn nothing_is_no_withdrawal() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    refused::<Channels::NothingToWithdraw>(&world, &world.payer, &initiate(&channel, 0));
}

#[test]
fn one_withdrawal_is_pending_at_a_time() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 10));
    world.advance(DELAY);
    refused::<Channels::WithdrawalAlreadyPending>(&world, &world.payer, &initiate(&channel, 10));
}

#[test]
fn a_withdrawal_is_of_what_is_there() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let excess = |amount| {
        refused::<Channels::WithdrawAmountExceedsAvailable>(
            &world,
            &world.payer,
            &initiate(&channel, amount),
        );
    };
    excess(101);
    excess(u128::MAX);
    channel.claim(30);
    excess(71);
    world.accepts(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 70));
    let unknown = channel.but(|config| config.payerAuthorizer = NOBODY);
    refused::<Channels::WithdrawAmountExceedsAvailable>(
        &world,
        &world.payer,
        &initiate(&unknown, 1),
    );
}

#[test]
fn a_withdrawal_waits() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    refused::<Channels::WithdrawalNotPending>(&world, &world.payer, &finalize(&channel));
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 10));
    refused::<Channels::WithdrawDelayNotElapsed>(&world, &world.payer, &finalize(&channel));
    world.advance(DELAY - Duration::from_secs(1));
    refused::<Channels::WithdrawDelayNotElapsed>(&world, &world.payer, &finalize(&channel));
    world.advance(Duration::from_secs(1));
    world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    refused::<Channels::WithdrawalNotPending>(&world, &world.payer, &finalize(&channel));
}

#[test]
fn a_deposit_does_not_change_what_is_announced() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    world.send(&world.payer, BATCH_SETTLEMENT, &initiate(&channel, 100));
    channel.fund(50);
    world.advance(DELAY);
    world.send(&world.payer, BATCH_SETTLEMENT, &finalize(&channel));
    assert_eq!(channel.state(), (50, 0));
}
