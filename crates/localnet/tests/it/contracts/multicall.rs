//! Multicall3.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{Revert, SolCall as _, SolError as _, SolValue as _, sol};
use seamline_evm::bindings::IToken;
use seamline_localnet::chain::CHAIN_ID;
use seamline_localnet::contracts::MULTICALL3;

use super::{PAYEE, SUPPLY, TOKEN, Token, World};

sol! {
    struct Call { address target; bytes callData; }
    struct Call3 { address target; bool allowFailure; bytes callData; }
    struct Call3Value { address target; bool allowFailure; uint256 value; bytes callData; }
    struct Result3 { bool success; bytes returnData; }

    interface Multicall {
        function aggregate(Call[] calls) external payable returns (uint256 blockNumber, bytes[] returnData);
        function tryAggregate(bool requireSuccess, Call[] calls) external payable returns (Result3[] returnData);
        function tryBlockAndAggregate(bool requireSuccess, Call[] calls)
            external payable returns (uint256 blockNumber, bytes32 blockHash, Result3[] returnData);
        function aggregate3(Call3[] calls) external payable returns (Result3[] returnData);
        function aggregate3Value(Call3Value[] calls) external payable returns (Result3[] returnData);
        function getCurrentBlockTimestamp() external view returns (uint256);
        function getChainId() external view returns (uint256);
        function getEthBalance(address account) external view returns (uint256);
    }
}

/// Reads the payer's balance.
fn good(world: &World) -> Call {
    let owner = world.payer.address();
    Call {
        target: TOKEN,
        callData: IToken::balanceOfCall { owner }.abi_encode().into(),
    }
}

/// Sends tokens that the contract has not got.
fn bad() -> Call {
    let call = IToken::transferCall {
        to: PAYEE,
        value: U256::from(1),
    };
    Call {
        target: TOKEN,
        callData: call.abi_encode().into(),
    }
}

fn reason() -> Bytes {
    let error = Token::ERC20InsufficientBalance {
        sender: MULTICALL3,
        balance: U256::ZERO,
        needed: U256::from(1),
    };
    error.abi_encode().into()
}

fn failed() -> Vec<u8> {
    Revert::from("Multicall3: call failed").abi_encode()
}

#[test]
fn many_reads_are_one() {
    let world = World::new();
    let calls = vec![good(&world), good(&world)];
    let answer = world.read(MULTICALL3, &Multicall::aggregateCall { calls });
    let balance = Bytes::from(U256::from(SUPPLY).abi_encode());
    assert_eq!(answer.returnData, [balance.clone(), balance]);
    let none = world.read(MULTICALL3, &Multicall::aggregateCall { calls: Vec::new() });
    assert!(none.returnData.is_empty());
}

#[test]
fn one_failure_fails_all_unless_it_is_allowed() {
    let world = World::new();
    let calls = vec![good(&world), bad()];
    let all = Multicall::aggregateCall {
        calls: calls.clone(),
    };
    assert_eq!(
        world.refusal(&world.stranger, MULTICALL3, &all)[..],
        failed()
    );
    let strict = Multicall::tryAggregateCall {
        requireSuccess: true,
        calls: calls.clone(),
    };
    assert_eq!(
        world.refusal(&world.stranger, MULTICALL3, &strict)[..],
        failed()
    );
    let lax = Multicall::tryAggregateCall {
        requireSuccess: false,
        calls: calls.clone(),
    };
    let answers = world.read(MULTICALL3, &lax);
    assert!(answers[0].success && !answers[1].success);
    assert_eq!(answers[1].returnData, reason());
    let lax = Multicall::tryBlockAndAggregateCall {
        requireSuccess: false,
        calls,
    };
    assert!(!world.read(MULTICALL3, &lax).returnData[1].success);
}

#[test]
fn each_call_says_whether_it_may_fail() {
    let world = World::new();
    let of = |call: Call, lax: bool| Call3 {
        target: call.target,
        allowFailure: lax,
        callData: call.callData,
    };
    let calls = vec![of(bad(), true), of(good(&world), false)];
    let answers = world.read(MULTICALL3, &Multicall::aggregate3Call { calls });
    assert!(!answers[0].success && answers[1].success);
    let calls = vec![of(good(&world), true), of(bad(), false)];
    let refusal = world.refusal(
        &world.stranger,
        MULTICALL3,
        &Multicall::aggregate3Call { calls },
    );
    assert_eq!(refusal[..], failed());
}

#[test]
fn values_must_add_up() {
    let world = World::new();
    let of = |value: u64, lax: bool| Call3Value {
        target: PAYEE,
        allowFailure: lax,
        value: U256::from(value),
        callData: Bytes::new(),
    };
    world.accepts(
        &world.stranger,
        MULTICALL3,
        &Multicall::aggregate3ValueCall {
            calls: vec![of(0, false)],
        },
    );
    let call = Multicall::aggregate3ValueCall {
        calls: vec![of(1, false)],
    };
    assert_eq!(
        world.refusal(&world.stranger, MULTICALL3, &call)[..],
        failed()
    );
    let call = Multicall::aggregate3ValueCall {
        calls: vec![of(1, true)],
    };
    let mismatch = Revert::from("Multicall3: value mismatch").abi_encode();
    assert_eq!(
        world.refusal(&world.stranger, MULTICALL3, &call)[..],
        mismatch
    );
}

#[test]
fn a_target_without_code_succeeds_with_nothing() {
    let world = World::new();
    let calls = vec![Call {
        target: PAYEE,
        callData: Bytes::from_static(b"anything"),
    }];
    let answer = world.read(MULTICALL3, &Multicall::aggregateCall { calls });
    assert_eq!(answer.returnData, [Bytes::new()]);
}

#[test]
fn it_tells_where_it_is() {
    let world = World::new();
    assert_eq!(
        world.read(MULTICALL3, &Multicall::getChainIdCall {}),
        U256::from(CHAIN_ID)
    );
    let time = world.read(MULTICALL3, &Multicall::getCurrentBlockTimestampCall {});
    assert_eq!(time, U256::from(world.now()));
    let account: Address = world.stranger.address();
    let balance = world.read(MULTICALL3, &Multicall::getEthBalanceCall { account });
    assert_eq!(balance, U256::from(10).pow(U256::from(20)));
}
