//! Claims by vouchers.

use alloy_primitives::{B256, U256, uint};
use seamline_evm::Wallet;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{PAYEE, World};
use super::{
    Channel, Channels, VoucherClaim, claim, held, logged, refused, refused_with, signed_batch,
    voucher_key,
};

#[test]
fn the_receiver_and_its_authorizer_claim() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let sent = channel.claim(30);
    let claimed: Vec<Channels::Claimed> = logged(&sent);
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        (claimed[0].claimAmount, claimed[0].newTotalClaimed),
        (30, 30)
    );
    assert_eq!(
        (claimed[0].channelId, claimed[0].sender),
        (channel.id(), world.admin.address())
    );
    // The rest of the ceiling, by the authorizer.
    let sent = world.send(
        &world.facilitator,
        BATCH_SETTLEMENT,
        &claim(&[channel.voucher(100, 100)]),
    );
    assert_eq!(logged::<Channels::Claimed>(&sent)[0].claimAmount, 70);
    assert_eq!(channel.state(), (100, 100));
    assert_eq!(channel.earned(), (100, 0));
    assert_eq!(held(&world), U256::from(100), "a claim moves nothing");
}

#[test]
fn less_than_the_ceiling_is_claimed_more_than_once() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    for total in [1, 40, 41] {
        world.send(
            &world.admin,
            BATCH_SETTLEMENT,
            &claim(&[channel.voucher(41, total)]),
        );
        assert_eq!(channel.state(), (100, total));
    }
}

#[test]
fn a_total_that_is_claimed_already_changes_nothing() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    channel.claim(50);
    // Neither the ceiling nor the signature is looked at.
    for row in [
        channel.voucher(50, 50),
        channel.voucher(49, 49),
        channel.row(b"", 0, 50),
        channel.row(b"", 0, 0),
    ] {
        let sent = world.send(&world.admin, BATCH_SETTLEMENT, &claim(&[row]));
        assert!(sent.logs.is_empty());
    }
    assert_eq!((channel.state(), channel.earned()), ((100, 50), (50, 0)));
}

#[test]
fn a_batch_is_not_empty() {
    let world = World::new();
    refused::<Channels::EmptyBatch>(&world, &world.admin, &claim(&[]));
    refused::<Channels::EmptyBatch>(&world, &world.admin, &signed_batch(&world.facilitator, &[]));
}

#[test]
fn only_the_receivers_side_claims_without_a_signature() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let call = claim(&[channel.voucher(50, 50)]);
    for caller in [&world.stranger, &world.payer, &voucher_key()] {
        refused::<Channels::NotAuthorizedToClaim>(&world, caller, &call);
    }
    // In every row, also in one that would change nothing.
    let other = channel.but(|config| (config.receiver, config.receiverAuthorizer) = (PAYEE, PAYEE));
    let call = claim(&[channel.voucher(50, 50), other.voucher(0, 0)]);
    refused::<Channels::NotAuthorizedToClaim>(&world, &world.admin, &call);
    assert_eq!(channel.state(), (100, 0));
}

#[test]
fn nobody_claims_more_than_was_promised() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    for (ceiling, total) in [(50, 51), (0, 1), (99, 100), (50, u128::MAX)] {
        let call = claim(&[channel.voucher(ceiling, total)]);
        refused::<Channels::ClaimExceedsCeiling>(&world, &world.admin, &call);
    }
}

#[test]
fn nobody_claims_more_than_is_there() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let rich = channel.salted(1);
    rich.fund(1_000);
    let call = claim(&[channel.voucher(101, 101)]);
    refused::<Channels::ClaimExceedsBalance>(&world, &world.admin, &call);
    let unknown = channel.salted(2);
    let call = claim(&[unknown.voucher(1, 1)]);
    refused::<Channels::ClaimExceedsBalance>(&world, &world.admin, &call);
}

#[test]
fn a_voucher_is_signed_by_the_payers_key_over_channel_and_ceiling() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let twin = channel.salted(1);
    twin.fund(100);
    let mut bent = vec![
        channel.voucher_by(&world.payer, 50, 50),
        channel.voucher_by(&world.admin, 50, 50),
        VoucherClaim {
            signature: twin.voucher(50, 50).signature,
            ..channel.voucher(50, 50)
        },
        VoucherClaim {
            signature: channel.voucher(50, 50).signature,
            ..channel.voucher(51, 51)
        },
        VoucherClaim {
            signature: channel.voucher(50, 50).signature,
            ..channel.voucher(49, 49)
        },
    ];
    // Signed by the right key for the channel's parties, yet not for this channel.
    let elsewhere = channel.but(|config| config.receiver = PAYEE);
    bent.push(VoucherClaim {
        signature: elsewhere.voucher(50, 50).signature,
        ..channel.voucher(50, 50)
    });
    for row in bent {
        refused::<Channels::InvalidSignature>(&world, &world.admin, &claim(&[row]));
    }
    assert_eq!(channel.state(), (100, 0));
}

#[test]
fn a_signature_has_one_form() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let good = channel.voucher(50, 50).signature;
    for length in [0, 64, 66] {
        let mut bytes = good.to_vec();
        bytes.resize(length, 0);
        let error = Channels::ECDSAInvalidSignatureLength {
            length: U256::from(length),
        };
        refused_with(
            &world,
            &world.admin,
            &claim(&[channel.row(&bytes, 50, 50)]),
            &error,
        );
    }
    let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let s = B256::from(order - U256::from_be_slice(&good[32..64]));
    let high = [&good[..32], s.as_slice(), &[good[64] ^ 27 ^ 28]].concat();
    let error = Channels::ECDSAInvalidSignatureS { s };
    refused_with(
        &world,
        &world.admin,
        &claim(&[channel.row(&high, 50, 50)]),
        &error,
    );
}

#[test]
fn anybody_brings_a_batch_that_the_authorizer_signed() {
    let world = World::new();
    let channels: Vec<_> = (0..10)
        .map(|salt| Channel::of(&world).salted(salt))
        .collect();
    for channel in &channels {
        channel.fund(100);
    }
    let totals = || (1..=10).map(|index: u128| index * 10);
    let rows: Vec<_> = channels
        .iter()
        .zip(totals())
        .map(|(channel, total)| (channel, 100, total))
        .collect();
    let call = signed_batch(&world.facilitator, &rows);
    let sent = world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    assert_eq!(logged::<Channels::Claimed>(&sent).len(), 10);
    for (channel, total) in channels.iter().zip(totals()) {
        assert_eq!(channel.state(), (100, total));
    }
    assert_eq!(channels[0].earned(), (550, 0));
    // Again it is a no-op; it needs no nonce.
    assert!(
        world
            .send(&world.stranger, BATCH_SETTLEMENT, &call)
            .logs
            .is_empty()
    );
}

#[test]
fn a_batch_signature_covers_every_row_in_order() {
    let world = World::new();
    let one = Channel::funded(&world, 100);
    let two = one.salted(1);
    two.fund(100);
    let good = signed_batch(&world.facilitator, &[(&one, 50, 50), (&two, 60, 60)]);
    world.accepts(&world.stranger, BATCH_SETTLEMENT, &good);
    let mut rows = vec![
        vec![two.voucher(60, 60), one.voucher(50, 50)],
        vec![one.voucher(50, 50)],
        vec![
            one.voucher(50, 50),
            two.voucher(60, 60),
            one.voucher(50, 50),
        ],
        vec![one.voucher(50, 49), two.voucher(60, 60)],
        vec![one.voucher(51, 50), two.voucher(60, 60)],
    ];
    rows.push(vec![one.voucher(50, 50), one.salted(2).voucher(60, 60)]);
    for voucher_claims in rows {
        let call = Channels::claimWithSignatureCall {
            voucherClaims: voucher_claims,
            ..good.clone()
        };
        refused::<Channels::InvalidSignature>(&world, &world.stranger, &call);
    }
    // Nor does anybody else's signature do, not even the receiver's own.
    for signer in [&world.admin, &world.stranger, &voucher_key()] {
        let call = signed_batch(signer, &[(&one, 50, 50)]);
        refused::<Channels::InvalidSignature>(&world, &world.admin, &call);
    }
}

#[test]
fn a_signed_batch_has_one_authorizer() {
    let world = World::new();
    let one = Channel::funded(&world, 100);
    let two = one.but(|config| config.receiverAuthorizer = world.stranger.address());
    two.fund(100);
    let call = signed_batch(&world.facilitator, &[(&one, 50, 50), (&two, 60, 60)]);
    refused::<Channels::NotReceiverAuthorizer>(&world, &world.stranger, &call);
    let call = signed_batch(&world.facilitator, &[(&two, 60, 60), (&one, 50, 50)]);
    refused::<Channels::InvalidSignature>(&world, &world.stranger, &call);
}

#[test]
fn one_bad_row_stops_the_batch() {
    let world = World::new();
    let one = Channel::funded(&world, 100);
    let two = one.salted(1);
    two.fund(100);
    let forger = Wallet::from_bytes(&[6; 32]).unwrap();
    let rows = [one.voucher(50, 50), two.voucher_by(&forger, 50, 50)];
    refused::<Channels::InvalidSignature>(&world, &world.admin, &claim(&rows));
    let call = signed_batch(&world.facilitator, &[(&one, 50, 50), (&two, 101, 101)]);
    refused::<Channels::ClaimExceedsBalance>(&world, &world.stranger, &call);
    assert_eq!((one.state(), two.state()), ((100, 0), (100, 0)));
}
