//! Deposits, and those over ERC-3009.

use alloy_primitives::aliases::U40;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_sol_types::{SolError as _, SolValue as _};
use seamline_localnet::contracts::{BATCH_SETTLEMENT, ERC3009_COLLECTOR, PERMIT2_COLLECTOR};

use super::super::{CONSENTING, PAYEE, SUPPLY, TOKEN, Token, WithBytes, World};
use super::{
    Channel, ChannelConfig, Channels, Collector, NOBODY, Receipt, held, logged, refused,
    refused_with,
};

#[test]
fn a_deposit_opens_a_channel_and_the_next_adds_to_it() {
    let world = World::new();
    let channel = Channel::of(&world);
    let first = channel.fund(100);
    let opened: Vec<Channels::ChannelCreated> = logged(&first);
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].channelId, channel.id());
    assert_eq!(opened[0].config.abi_encode(), channel.config.abi_encode());
    let added: Vec<Channels::Deposited> = logged(&first);
    assert_eq!((added[0].amount, added[0].newBalance), (100, 100));
    assert_eq!(added[0].sender, world.stranger.address(), "who relayed it");

    let second = channel.fund(50);
    assert!(logged::<Channels::ChannelCreated>(&second).is_empty());
    assert_eq!(logged::<Channels::Deposited>(&second)[0].newBalance, 150);
    assert_eq!(channel.state(), (150, 0));
    assert_eq!(held(&world), U256::from(150));
    assert_eq!(
        world.balance(ERC3009_COLLECTOR),
        U256::ZERO,
        "it keeps nothing"
    );
    assert_eq!(
        world.balance(world.payer.address()),
        U256::from(SUPPLY - 150)
    );
}

#[test]
fn a_channel_that_was_emptied_opens_again_and_one_that_was_claimed_does_not() {
    let world = World::new();
    let empty = Channel::funded(&world, 100);
    let call = Channels::refundCall {
        config: empty.config.clone(),
        amount: 100,
    };
    world.send(&world.admin, BATCH_SETTLEMENT, &call);
    assert_eq!(logged::<Channels::ChannelCreated>(&empty.fund(10)).len(), 1);
    let claimed = empty.salted(1);
    claimed.fund(100);
    claimed.claim(100);
    assert!(logged::<Channels::ChannelCreated>(&claimed.fund(10)).is_empty());
    assert_eq!(claimed.state(), (110, 100));
}

#[test]
fn every_party_but_the_payers_key_must_be_named() {
    let world = World::new();
    let changes: [fn(&mut ChannelConfig); 4] = [
        |config| config.payer = NOBODY,
        |config| config.receiver = NOBODY,
        |config| config.receiverAuthorizer = NOBODY,
        |config| config.token = NOBODY,
    ];
    for change in changes {
        let call = Receipt::of(&Channel::of(&world).but(change), 1).signed(&world.payer);
        refused::<Channels::InvalidChannel>(&world, &world.stranger, &call);
    }
    let channel = Channel::of(&world).but(|config| config.payerAuthorizer = NOBODY);
    let call = Receipt::of(&channel, 1).signed(&world.payer);
    world.accepts(&world.stranger, BATCH_SETTLEMENT, &call);
}

#[test]
fn the_delay_is_between_a_quarter_of_an_hour_and_thirty_days() {
    let world = World::new();
    let of = |delay: u64| {
        let channel = Channel::of(&world).but(|config| config.withdrawDelay = U40::from(delay));
        Receipt::of(&channel, 1).signed(&world.payer)
    };
    for delay in [0, 899, 2_592_001, (1 << 40) - 1] {
        refused::<Channels::WithdrawDelayOutOfRange>(&world, &world.stranger, &of(delay));
    }
    for delay in [900, 2_592_000] {
        world.accepts(&world.stranger, BATCH_SETTLEMENT, &of(delay));
    }
}

#[test]
fn nothing_is_no_deposit() {
    let world = World::new();
    let call = Receipt::of(&Channel::of(&world), 0).signed(&world.payer);
    refused::<Channels::ZeroDeposit>(&world, &world.stranger, &call);
}

#[test]
fn a_balance_does_not_overflow() {
    let world = World::new();
    let channel = Channel::funded(&world, 1);
    let call = Receipt::of(&channel, u128::MAX).signed(&world.payer);
    refused::<Channels::DepositOverflow>(&world, &world.stranger, &call);
}

#[test]
fn a_collector_must_be_there_and_must_deliver() {
    let world = World::new();
    let by = |collector: Address| Channels::depositCall {
        collector,
        ..Receipt::of(&Channel::of(&world), 100).signed(&world.payer)
    };
    refused::<Channels::InvalidCollector>(&world, &world.stranger, &by(NOBODY));
    refused::<Channels::DepositCollectionFailed>(&world, &world.stranger, &by(CONSENTING));
    let refusal = world.refusal(&world.stranger, BATCH_SETTLEMENT, &by(PAYEE));
    assert!(refusal.is_empty(), "no code to call");
}

#[test]
fn a_collector_obeys_the_channels_contract_alone() {
    let world = World::new();
    let receipt = Receipt::of(&Channel::of(&world), 100);
    let call = Collector::collectCall {
        payer: world.payer.address(),
        token: TOKEN,
        amount: U256::from(100),
        channelId: receipt.channel.id(),
        collectorData: receipt.signed(&world.payer).collectorData,
    };
    for collector in [ERC3009_COLLECTOR, PERMIT2_COLLECTOR] {
        for caller in [&world.stranger, &world.payer] {
            let refusal = world.refusal(caller, collector, &call);
            assert_eq!(refusal[..], Collector::OnlyX402BatchSettlement::SELECTOR);
        }
    }
}

#[test]
fn what_the_payer_signed_for_the_collector_serves_nobody_else() {
    let world = World::new();
    let receipt = Receipt::of(&Channel::of(&world), 100);
    let call = WithBytes::receiveWithAuthorizationCall {
        from: world.payer.address(),
        to: ERC3009_COLLECTOR,
        value: U256::from(100),
        validAfter: U256::ZERO,
        validBefore: U256::from(receipt.valid_before),
        nonce: keccak256((receipt.channel.id(), receipt.salt).abi_encode()),
        signature: receipt.signature(&world.payer),
    };
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    let error = Token::ERC20InvalidReceiver {
        receiver: ERC3009_COLLECTOR,
    };
    assert_eq!(refusal[..], error.abi_encode());
}

#[test]
fn a_receipt_is_for_one_payer_channel_amount_and_salt() {
    let world = World::new();
    let channel = Channel::of(&world);
    let receipt = Receipt::of(&channel, 100);
    let good = receipt.signature(&world.payer);
    world.accepts(
        &world.stranger,
        BATCH_SETTLEMENT,
        &receipt.with(good.clone()),
    );
    let bent = [
        Receipt {
            channel: channel.salted(1),
            ..receipt.clone()
        },
        Receipt {
            channel: channel.but(|config| config.receiver = PAYEE),
            ..receipt.clone()
        },
        Receipt {
            channel: channel.but(|config| config.payer = PAYEE),
            ..receipt.clone()
        },
        Receipt {
            amount: 99,
            ..receipt.clone()
        },
        Receipt {
            amount: 101,
            ..receipt.clone()
        },
        Receipt {
            salt: U256::from(8),
            ..receipt.clone()
        },
        Receipt {
            valid_before: receipt.valid_before + 1,
            ..receipt.clone()
        },
        Receipt {
            valid_after: 1,
            ..receipt.clone()
        },
    ];
    for bent in bent {
        refused::<Token::ERC3009InvalidSignature>(
            &world,
            &world.stranger,
            &bent.with(good.clone()),
        );
    }
    let other = receipt.signed(&world.stranger);
    refused::<Token::ERC3009InvalidSignature>(&world, &world.stranger, &other);
    let empty = receipt.with(Bytes::new());
    refused::<Token::ERC3009InvalidSignature>(&world, &world.stranger, &empty);
}

#[test]
fn a_receipt_is_used_once() {
    let world = World::new();
    let receipt = Receipt::of(&Channel::of(&world), 100);
    let call = receipt.signed(&world.payer);
    world.send(&world.stranger, BATCH_SETTLEMENT, &call);
    let used = Token::ERC3009UsedAuthorization {
        authorizer: world.payer.address(),
        nonce: keccak256((receipt.channel.id(), receipt.salt).abi_encode()),
    };
    refused_with(&world, &world.stranger, &call, &used);
    assert_eq!(receipt.channel.state(), (100, 0));
}

#[test]
fn a_receipt_has_its_time() {
    let world = World::new();
    let receipt = Receipt::of(&Channel::of(&world), 100);
    let now = world.now();
    for (after, before) in [(now, now + 60), (now + 1, now + 60), (0, now), (0, now - 1)] {
        let bent = Receipt {
            valid_after: after,
            valid_before: before,
            ..receipt.clone()
        };
        let error = Token::ERC3009InvalidAuthorizationTime {
            validAfter: U256::from(after),
            validBefore: U256::from(before),
        };
        refused_with(&world, &world.stranger, &bent.signed(&world.payer), &error);
    }
}

#[test]
fn a_payer_without_tokens_deposits_nothing() {
    let world = World::new();
    let channel = Channel::of(&world).but(|config| config.payer = world.stranger.address());
    let call = Receipt::of(&channel, 100).signed(&world.stranger);
    let error = Token::ERC20InsufficientBalance {
        sender: world.stranger.address(),
        balance: U256::ZERO,
        needed: U256::from(100),
    };
    refused_with(&world, &world.stranger, &call, &error);
}

#[test]
fn data_that_does_not_decode_is_refused() {
    let world = World::new();
    for collector in [ERC3009_COLLECTOR, PERMIT2_COLLECTOR] {
        let mut call = Receipt::of(&Channel::of(&world), 100).signed(&world.payer);
        call.collector = collector;
        for cut in [128, 96, 32, 0] {
            call.collectorData.truncate(cut);
            let refusal = world.refusal(&world.stranger, BATCH_SETTLEMENT, &call);
            assert!(refusal.is_empty(), "{cut}");
        }
    }
}
