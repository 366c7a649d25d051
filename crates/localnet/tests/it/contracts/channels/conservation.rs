//! What the contract owes is what it holds, whatever happens in whatever order.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use seamline_evm::Wallet;
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{SUPPLY, TOKEN, World};
use super::{Channel, Channels, Receipt, claim, held, signed_batch};

const STEPS: u64 = 300;
const KINDS: usize = 8;

/// Knuth's MMIX generator: the same steps on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_made() {
    for seed in 1..=3 {
        run(seed);
    }
}

fn run(seed: u64) {
    let world = World::new();
    let one = Channel::of(&world);
    let other = one.but(|config| config.receiver = world.stranger.address());
    let channels = [one.clone(), one.salted(1), other.salted(2)];
    let mut dice = Dice(seed);
    let mut done = [0_u32; KINDS];
    for step in 0..STEPS {
        let channel = &channels[usize::try_from(dice.below(3)).unwrap()];
        let amount = u128::from(dice.below(120));
        let kind = usize::try_from(dice.below(8)).unwrap();
        if act(&world, channel, kind, amount, step) {
            done[kind] += 1;
        }
        check(&world, &channels);
    }
    assert!(done.iter().all(|count| *count > 0), "{done:?}");
}

/// Tries something; most of it may be refused, and then nothing has happened.
fn act(world: &World, channel: &Channel<'_>, kind: usize, amount: u128, step: u64) -> bool {
    let config = channel.config.clone();
    let by = &world.facilitator;
    match kind {
        0 => {
            let receipt = Receipt {
                salt: U256::from(step),
                ..Receipt::of(channel, amount)
            };
            tried(world, &world.stranger, &receipt.signed(&world.payer))
        }
        1 => tried(
            world,
            by,
            &claim(&[channel.voucher(amount.max(100), amount)]),
        ),
        2 => tried(
            world,
            &world.stranger,
            &signed_batch(by, &[(channel, 120, amount)]),
        ),
        3 => {
            let call = Channels::settleCall {
                receiver: config.receiver,
                token: TOKEN,
            };
            tried(world, &world.stranger, &call)
        }
        4 => tried(
            world,
            by,
            &Channels::refundCall {
                config,
                amount: amount / 4,
            },
        ),
        5 => {
            let nonce = channel.refund_nonce();
            let signature = channel.refund_signature(by, nonce.to(), amount / 4);
            let call = Channels::refundWithSignatureCall {
                config,
                amount: amount / 4,
                nonce,
                receiverAuthorizerSignature: signature,
            };
            tried(world, &world.stranger, &call)
        }
        6 => tried(
            world,
            &world.payer,
            &Channels::initiateWithdrawCall {
                config,
                amount: amount / 2,
            },
        ),
        _ => {
            world.advance(Duration::from_secs(500));
            tried(
                world,
                &world.payer,
                &Channels::finalizeWithdrawCall { config },
            )
        }
    }
}

fn tried(world: &World, from: &Wallet, call: &impl SolCall) -> bool {
    let input = call.abi_encode().into();
    let sent = world
        .chain
        .transact(from, Some(BATCH_SETTLEMENT), U256::ZERO, input);
    sent.is_ok_and(|sent| !sent.logs.is_empty())
}

fn check(world: &World, channels: &[Channel<'_>]) {
    let mut owed = 0;
    for channel in channels {
        let (balance, claimed) = channel.state();
        assert!(claimed <= balance);
        owed += balance - claimed;
    }
    for channel in [&channels[0], &channels[2]] {
        let (claimed, settled) = channel.earned();
        assert!(settled <= claimed);
        owed += claimed - settled;
        assert_eq!(world.balance(channel.config.receiver), U256::from(settled));
    }
    assert_eq!(held(world), U256::from(owed));
    let parties: [Address; 4] = [
        BATCH_SETTLEMENT,
        world.payer.address(),
        world.admin.address(),
        world.stranger.address(),
    ];
    let all = parties
        .map(|party| world.balance(party))
        .into_iter()
        .sum::<U256>();
    assert_eq!(all, U256::from(SUPPLY));
}
