//! Refunds by the receiver's side.

use alloy_primitives::U256;
use seamline_evm::Wallet;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{SUPPLY, World};
use super::{Channel, Channels, held, logged, refused, voucher_key};

fn refund(channel: &Channel<'_>, amount: u128) -> Channels::refundCall {
    Channels::refundCall {
        config: channel.config.clone(),
        amount,
    }
}

fn signed(
    channel: &Channel<'_>,
    by: &Wallet,
    nonce: u64,
    amount: u128,
) -> Channels::refundWithSignatureCall {
    Channels::refundWithSignatureCall {
        config: channel.config.clone(),
        amount,
        nonce: U256::from(nonce),
        receiverAuthorizerSignature: channel.refund_signature(by, nonce, amount),
    }
}

#[test]
fn the_receiver_and_its_authorizer_refund() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let sent = world.send(&world.admin, BATCH_SETTLEMENT, &refund(&channel, 10));
    let refunded: Vec<Channels::Refunded> = logged(&sent);
    assert_eq!(
        (refunded[0].sender, refunded[0].amount),
        (world.admin.address(), 10)
    );
    world.send(&world.facilitator, BATCH_SETTLEMENT, &refund(&channel, 20));
    assert_eq!(
        (channel.state(), channel.refund_nonce()),
        ((70, 0), U256::from(2))
    );
    assert_eq!(
        world.balance(world.payer.address()),
        U256::from(SUPPLY - 70),
        "to the payer"
    );
    assert_eq!(held(&world), U256::from(70));
}

#[test]
fn anybody_brings_a_refund_that_the_authorizer_signed() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    world.send(
        &world.stranger,
        BATCH_SETTLEMENT,
        &signed(&channel, &world.facilitator, 0, 30),
    );
    world.send(
        &world.stranger,
        BATCH_SETTLEMENT,
        &signed(&channel, &world.facilitator, 1, 30),
    );
    assert_eq!(
        (channel.state(), channel.refund_nonce()),
        ((40, 0), U256::from(2))
    );
}

#[test]
fn what_is_claimed_is_not_refunded() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    channel.claim(60);
    let sent = world.send(&world.admin, BATCH_SETTLEMENT, &refund(&channel, u128::MAX));
    assert_eq!(logged::<Channels::Refunded>(&sent)[0].amount, 40, "capped");
    assert!(
        logged::<Channels::ChannelClosed>(&sent).is_empty(),
        "it has a history"
    );
    assert_eq!(channel.state(), (60, 60));
}

#[test]
fn a_refund_of_all_closes_a_channel_that_nobody_claimed_of() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let sent = world.send(&world.admin, BATCH_SETTLEMENT, &refund(&channel, 100));
    assert_eq!(
        logged::<Channels::ChannelClosed>(&sent)[0].channelId,
        channel.id()
    );
    assert_eq!(channel.state(), (0, 0));
}

#[test]
fn a_refund_without_effect_still_counts() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    channel.claim(100);
    let call = signed(&channel, &world.facilitator, 0, 10);
    let sent = world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    assert!(sent.logs.is_empty());
    assert_eq!(channel.refund_nonce(), U256::from(1));
    refused::<Channels::InvalidRefundNonce>(&world, &world.stranger, &call);
    // So it does in a channel that does not exist.
    let unknown = channel.salted(9);
    world.send(&world.admin, BATCH_SETTLEMENT, &refund(&unknown, 1));
    assert_eq!(unknown.refund_nonce(), U256::from(1));
}

#[test]
fn a_refund_takes_from_a_pending_withdrawal_first() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let withdraw = Channels::initiateWithdrawCall {
        config: channel.config.clone(),
        amount: 50,
    };
    world.send(&world.payer, BATCH_SETTLEMENT, &withdraw);
    let started = world.now();
    world.send(&world.admin, BATCH_SETTLEMENT, &refund(&channel, 20));
    assert_eq!(channel.pending(), (30, started));
    world.send(&world.admin, BATCH_SETTLEMENT, &refund(&channel, 30));
    assert_eq!((channel.pending(), channel.state()), ((0, 0), (50, 0)));
}

#[test]
fn only_the_receivers_side_refunds_without_a_signature() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    for caller in [&world.stranger, &world.payer, &voucher_key()] {
        refused::<Channels::NotAuthorizedToRefund>(&world, caller, &refund(&channel, 10));
    }
}

#[test]
fn nothing_is_no_refund() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    refused::<Channels::ZeroRefund>(&world, &world.admin, &refund(&channel, 0));
    let call = signed(&channel, &world.facilitator, 0, 0);
    refused::<Channels::ZeroRefund>(&world, &world.stranger, &call);
    assert_eq!(channel.refund_nonce(), U256::ZERO, "and does not count");
}

#[test]
fn a_signed_refund_names_the_count_and_is_used_once() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let call = signed(&channel, &world.facilitator, 0, 10);
    let early = signed(&channel, &world.facilitator, 1, 10);
    refused::<Channels::InvalidRefundNonce>(&world, &world.stranger, &early);
    world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    refused::<Channels::InvalidRefundNonce>(&world, &world.stranger, &call);
    // A direct refund spends the count too.
    world.accepts(&world.stranger, BATCH_SETTLEMENT, &early);
    world.send(&world.admin, BATCH_SETTLEMENT, &refund(&channel, 1));
    refused::<Channels::InvalidRefundNonce>(&world, &world.stranger, &early);
}

#[test]
fn a_refund_signature_is_the_authorizers_over_channel_count_and_amount() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let other = channel.salted(1);
    other.fund(100);
    let good = signed(&channel, &world.facilitator, 0, 10);
    let with = |signature| Channels::refundWithSignatureCall {
        receiverAuthorizerSignature: signature,
        ..good.clone()
    };
    let bent = [
        channel.refund_signature(&world.admin, 0, 10),
        channel.refund_signature(&world.stranger, 0, 10),
        channel.refund_signature(&world.facilitator, 0, 11),
        channel.refund_signature(&world.facilitator, 1, 10),
        other.refund_signature(&world.facilitator, 0, 10),
        good.receiverAuthorizerSignature.slice(..64),
        alloy_primitives::Bytes::new(),
    ];
    for signature in bent {
        refused::<Channels::InvalidSignature>(&world, &world.stranger, &with(signature));
    }
    world.accepts(&world.stranger, BATCH_SETTLEMENT, &good);
}
