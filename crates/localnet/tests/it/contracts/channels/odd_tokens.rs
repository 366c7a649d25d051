//! Tokens that do not do what a token should.

use alloy_primitives::{Address, U256, address};
use alloy_sol_types::{SolCall as _, SolError as _, sol};
use seamline_evm::bindings::{IToken, PERMIT2};
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{World, artifact};
use super::permit2::Permit;
use super::{Channel, Channels, claim, refused, signed_batch};

sol! {
    interface Odd {
        function mint(address to, uint256 value) external;
        function setFee(uint256 fee) external;
        function setCall(address target, bytes input) external;
        function entered() external view returns (uint256);
        function refused() external view returns (uint256);
        function refusal() external view returns (bytes);
    }
}

const ODD: Address = address!("00000000000000000000000000000000000010d2");

/// A world with the token, the payer rich in it, and a channel of it.
fn world() -> World {
    let world = World::with(|genesis| genesis.construct(ODD, artifact("test/OddToken").bytecode));
    let mint = Odd::mintCall {
        to: world.payer.address(),
        value: U256::from(1_000),
    };
    world.send(&world.stranger, ODD, &mint);
    let approve = IToken::approveCall {
        spender: PERMIT2,
        value: U256::MAX,
    };
    world.send(&world.payer, ODD, &approve);
    world
}

fn channel(world: &World) -> Channel<'_> {
    Channel::of(world).but(|config| config.token = ODD)
}

#[test]
fn a_token_that_keeps_a_fee_fills_no_channel() {
    let world = world();
    let deposit = Permit::of(&channel(&world), 100).signed(&world.payer);
    world.accepts(&world.stranger, BATCH_SETTLEMENT, &deposit);
    world.send(
        &world.stranger,
        ODD,
        &Odd::setFeeCall { fee: U256::from(1) },
    );
    refused::<Channels::DepositCollectionFailed>(&world, &world.stranger, &deposit);
}

#[test]
fn a_token_cannot_enter_again() {
    let world = world();
    let channel = channel(&world);
    let deposit = Permit::of(&channel, 100).signed(&world.payer);
    world.send(&world.stranger, BATCH_SETTLEMENT, &deposit);
    let config = channel.config.clone();
    let refund = Channels::refundCall {
        config: config.clone(),
        amount: 1,
    };
    let by_signature = Channels::refundWithSignatureCall {
        config: config.clone(),
        amount: 1,
        nonce: U256::ZERO,
        receiverAuthorizerSignature: channel.refund_signature(&world.facilitator, 0, 1),
    };
    let settle = Channels::settleCall {
        receiver: config.receiver,
        token: ODD,
    };
    let inner = [
        deposit.abi_encode(),
        claim(&[channel.voucher(1, 1)]).abi_encode(),
        signed_batch(&world.facilitator, &[(&channel, 1, 1)]).abi_encode(),
        settle.abi_encode(),
        refund.abi_encode(),
        by_signature.abi_encode(),
        Channels::initiateWithdrawCall {
            config: config.clone(),
            amount: 1,
        }
        .abi_encode(),
        Channels::finalizeWithdrawCall { config }.abi_encode(),
    ];
    for (index, input) in (1_u64..).zip(&inner) {
        let call = Odd::setCallCall {
            target: BATCH_SETTLEMENT,
            input: input.clone().into(),
        };
        world.send(&world.stranger, ODD, &call);
        world.send(&world.admin, BATCH_SETTLEMENT, &refund);
        assert_eq!(world.read(ODD, &Odd::refusedCall {}), U256::from(index));
        assert_eq!(
            world.read(ODD, &Odd::refusalCall {})[..],
            Channels::ReentrancyGuardReentrantCall::SELECTOR
        );
    }
    assert_eq!(world.read(ODD, &Odd::enteredCall {}), U256::ZERO);
    // Nor through several calls in one.
    let data = vec![settle.abi_encode().into()];
    let input = Channels::multicallCall { data }.abi_encode().into();
    world.send(
        &world.stranger,
        ODD,
        &Odd::setCallCall {
            target: BATCH_SETTLEMENT,
            input,
        },
    );
    world.send(&world.admin, BATCH_SETTLEMENT, &refund);
    assert_eq!(world.read(ODD, &Odd::enteredCall {}), U256::ZERO);
    assert_eq!(channel.state(), (91, 0), "nine refunds");
}
