//! Paying receivers what was claimed, and several calls in one.

use alloy_primitives::U256;
use alloy_sol_types::{SolCall as _, SolEvent as _};
use seamline_evm::bindings::IToken;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{PAYEE, TOKEN, World, has_event};
use super::{Channel, Channels, claim, held, logged, refused};

fn settle(world: &World) -> Channels::settleCall {
    Channels::settleCall {
        receiver: world.admin.address(),
        token: TOKEN,
    }
}

#[test]
fn anybody_settles_all_that_was_claimed_for_a_receiver() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let other = channel.salted(1);
    other.fund(100);
    channel.claim(30);
    other.claim(40);
    let sent = world.send(&world.stranger, BATCH_SETTLEMENT, &settle(&world));
    let settled: Vec<Channels::Settled> = logged(&sent);
    assert_eq!(settled.len(), 1);
    assert_eq!(
        (settled[0].receiver, settled[0].token),
        (world.admin.address(), TOKEN)
    );
    assert_eq!(
        (settled[0].sender, settled[0].amount),
        (world.stranger.address(), 70)
    );
    assert_eq!(world.balance(world.admin.address()), U256::from(70));
    assert_eq!(
        (held(&world), channel.earned()),
        (U256::from(130), (70, 70))
    );
    channel.claim(35);
    world.send(&world.stranger, BATCH_SETTLEMENT, &settle(&world));
    assert_eq!(world.balance(world.admin.address()), U256::from(75));
}

#[test]
fn with_nothing_due_nothing_happens() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let quiet = |call: &Channels::settleCall| {
        assert!(
            world
                .send(&world.stranger, BATCH_SETTLEMENT, call)
                .logs
                .is_empty()
        );
    };
    // A deposit alone is not the receiver's.
    quiet(&settle(&world));
    channel.claim(30);
    quiet(&Channels::settleCall {
        receiver: PAYEE,
        token: TOKEN,
    });
    quiet(&Channels::settleCall {
        receiver: world.admin.address(),
        token: PAYEE,
    });
    quiet(&Channels::settleCall {
        receiver: world.payer.address(),
        token: TOKEN,
    });
    world.send(&world.stranger, BATCH_SETTLEMENT, &settle(&world));
    quiet(&settle(&world));
    assert_eq!(held(&world), U256::from(70));
}

#[test]
fn a_claim_and_its_settlement_fit_one_call() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let data = vec![
        claim(&[channel.voucher(60, 60)]).abi_encode().into(),
        settle(&world).abi_encode().into(),
    ];
    let sent = world.send(
        &world.admin,
        BATCH_SETTLEMENT,
        &Channels::multicallCall { data },
    );
    assert_eq!(
        logged::<Channels::Claimed>(&sent)[0].sender,
        world.admin.address()
    );
    assert!(has_event(&sent, TOKEN, IToken::Transfer::SIGNATURE_HASH));
    assert_eq!(world.balance(world.admin.address()), U256::from(60));
}

#[test]
fn of_several_calls_one_that_fails_undoes_all() {
    let world = World::new();
    let channel = Channel::funded(&world, 100);
    let good = claim(&[channel.voucher(60, 60)]).abi_encode();
    let bad = Channels::refundCall {
        config: channel.config.clone(),
        amount: 0,
    }
    .abi_encode();
    let call = Channels::multicallCall {
        data: vec![good.clone().into(), bad.into()],
    };
    refused::<Channels::ZeroRefund>(&world, &world.admin, &call);
    // The rules ask who calls, not who is called.
    let call = Channels::multicallCall {
        data: vec![good.into()],
    };
    refused::<Channels::NotAuthorizedToClaim>(&world, &world.stranger, &call);
    let unknown = Channels::multicallCall {
        data: vec![vec![1, 2, 3, 4].into()],
    };
    world.refusal(&world.stranger, BATCH_SETTLEMENT, &unknown);
    assert_eq!(channel.state(), (100, 0));
}
