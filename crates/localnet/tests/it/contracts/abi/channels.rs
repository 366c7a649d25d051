//! x402's payment channels, their collectors, and Multicall3.

use alloy_primitives::{B256, b256};
use alloy_sol_types::sol;
use seamline_evm::bindings::PERMIT2;
use seamline_localnet::contracts::{BATCH_SETTLEMENT, ERC3009_COLLECTOR, PERMIT2_COLLECTOR};

use super::super::World;
use super::{expect, interface};

sol! {
    interface Constants {
        function CHANNEL_CONFIG_TYPEHASH() external view returns (bytes32);
        function VOUCHER_TYPEHASH() external view returns (bytes32);
        function REFUND_TYPEHASH() external view returns (bytes32);
        function CLAIM_ENTRY_TYPEHASH() external view returns (bytes32);
        function CLAIM_BATCH_TYPEHASH() external view returns (bytes32);
        function MIN_WITHDRAW_DELAY() external view returns (uint40);
        function MAX_WITHDRAW_DELAY() external view returns (uint40);
    }

    interface Collectors {
        function x402BatchSettlement() external view returns (address);
        function PERMIT2() external view returns (address);
        function DEPOSIT_WITNESS_TYPEHASH() external view returns (bytes32);
        function DEPOSIT_WITNESS_TYPE_STRING() external view returns (string);
    }
}

const NAME: &str = "X402BatchSettlement";

#[test]
fn channels_have_the_published_selectors() {
    expect(
        NAME,
        "function",
        &[
            ("140f1e75", "deposit"),
            ("29237b0c", "claim"),
            ("e43ce1f2", "claimWithSignature"),
            ("9db32a8f", "settle"),
            ("b77433e9", "refundWithSignature"),
            ("cf5cf3dc", "initiateWithdraw"),
            ("e88377b1", "finalizeWithdraw"),
            ("7a7ebd7b", "channels"),
            ("b7f06ebe", "pendingWithdrawals"),
            ("f0dc792e", "refundNonce"),
            ("ac9650d8", "multicall"),
            ("84b0196e", "eip712Domain"),
        ],
    );
    expect(
        NAME,
        "error",
        &[
            ("7d8242b6", "ClaimExceedsBalance"),
            ("f1789775", "ClaimExceedsCeiling"),
            ("164f1afe", "InvalidRefundNonce"),
            ("8baa579f", "InvalidSignature"),
        ],
    );
}

#[test]
fn channels_have_the_published_topics() {
    expect(
        NAME,
        "event",
        &[
            (
                "6c2a09353b5e75e70d0b9778b80a413809bb235d46c211811c474b3346791d89",
                "Deposited",
            ),
            (
                "36bd546bb573e8921fdbfd934bbed62d872796b01792cd240cce27f79dd3eddd",
                "Claimed",
            ),
            (
                "7337b4386b690fdb8ba66905b92b9d45d33bc6626ee2620c905fb150ec0cc47d",
                "Settled",
            ),
            (
                "e4280d0d903c7f258f62b07c62f262377cbaa23f7791d78126e6446e0f0e3c23",
                "WithdrawInitiated",
            ),
            (
                "a84286cf8ebc7903a663c77c8d99aa92b600d4c2fcca872a5d4a663db4eb394b",
                "Refunded",
            ),
            (
                "69d8248d5566bdb2ebc4d218970710d8378a2ff9b709a999e052b71970f808fa",
                "ChannelCreated",
            ),
        ],
    );
}

#[test]
fn channels_have_the_published_signatures() {
    let config = "(address,address,address,address,address,uint40,bytes32)";
    let rows = format!("(({config},uint128),bytes,uint128)[]");
    let found: Vec<String> = interface(NAME)
        .into_iter()
        .map(|(_, signature, _)| signature)
        .collect();
    for expected in [
        format!("deposit({config},uint128,address,bytes)"),
        format!("claim({rows})"),
        format!("claimWithSignature({rows},bytes)"),
        "settle(address,address)".to_owned(),
        format!("refund({config},uint128)"),
        format!("refundWithSignature({config},uint128,uint256,bytes)"),
        format!("initiateWithdraw({config},uint128)"),
        format!("finalizeWithdraw({config})"),
        "multicall(bytes[])".to_owned(),
        "receivers(address,address)".to_owned(),
        format!("getChannelId({config})"),
        "getVoucherDigest(bytes32,uint128)".to_owned(),
        "getRefundDigest(bytes32,uint256,uint128)".to_owned(),
        format!("getClaimBatchDigest({rows})"),
        format!("ChannelClosed(bytes32,{config})"),
        "WithdrawFinalized(bytes32,address,uint128)".to_owned(),
    ] {
        assert!(found.contains(&expected), "{expected}");
    }
    for error in [
        "InvalidChannel",
        "ZeroDeposit",
        "DepositOverflow",
        "InvalidSignature",
        "NotReceiverAuthorizer",
        "NotAuthorizedToClaim",
        "NotAuthorizedToRefund",
        "ClaimExceedsCeiling",
        "ClaimExceedsBalance",
        "WithdrawalAlreadyPending",
        "WithdrawalNotPending",
        "NotAuthorizedToFinalizeWithdraw",
        "WithdrawDelayNotElapsed",
        "NothingToWithdraw",
        "WithdrawAmountExceedsAvailable",
        "WithdrawDelayOutOfRange",
        "EmptyBatch",
        "DepositCollectionFailed",
        "InvalidCollector",
        "InvalidRefundNonce",
        "ZeroRefund",
    ] {
        assert!(found.contains(&format!("{error}()")), "{error}");
    }
}

#[test]
fn channels_have_the_published_constants() {
    let world = World::new();
    let read = |hash: B256, expected: B256| assert_eq!(hash, expected);
    read(
        world.read(BATCH_SETTLEMENT, &Constants::CHANNEL_CONFIG_TYPEHASHCall {}),
        b256!("1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308"),
    );
    read(
        world.read(BATCH_SETTLEMENT, &Constants::VOUCHER_TYPEHASHCall {}),
        b256!("1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69"),
    );
    read(
        world.read(BATCH_SETTLEMENT, &Constants::REFUND_TYPEHASHCall {}),
        b256!("be23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216"),
    );
    read(
        world.read(BATCH_SETTLEMENT, &Constants::CLAIM_ENTRY_TYPEHASHCall {}),
        b256!("30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5"),
    );
    read(
        world.read(BATCH_SETTLEMENT, &Constants::CLAIM_BATCH_TYPEHASHCall {}),
        b256!("42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57"),
    );
    assert_eq!(
        world
            .read(BATCH_SETTLEMENT, &Constants::MIN_WITHDRAW_DELAYCall {})
            .to::<u64>(),
        900
    );
    assert_eq!(
        world
            .read(BATCH_SETTLEMENT, &Constants::MAX_WITHDRAW_DELAYCall {})
            .to::<u64>(),
        2_592_000
    );
}

#[test]
fn collectors_serve_the_one_contract() {
    let world = World::new();
    for collector in [ERC3009_COLLECTOR, PERMIT2_COLLECTOR] {
        let serves = world.read(collector, &Collectors::x402BatchSettlementCall {});
        assert_eq!(serves, BATCH_SETTLEMENT);
    }
    assert_eq!(
        world.read(PERMIT2_COLLECTOR, &Collectors::PERMIT2Call {}),
        PERMIT2
    );
    let hash = world.read(
        PERMIT2_COLLECTOR,
        &Collectors::DEPOSIT_WITNESS_TYPEHASHCall {},
    );
    assert_eq!(
        hash,
        alloy_primitives::keccak256("DepositWitness(bytes32 channelId)")
    );
    assert_eq!(
        world.read(
            PERMIT2_COLLECTOR,
            &Collectors::DEPOSIT_WITNESS_TYPE_STRINGCall {}
        ),
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)"
    );
    for name in ["ERC3009DepositCollector", "Permit2DepositCollector"] {
        let found = interface(name);
        for expected in [
            "collect(address,address,uint256,bytes32,bytes)",
            "OnlyX402BatchSettlement()",
        ] {
            assert!(
                found.iter().any(|(_, signature, _)| signature == expected),
                "{name}: {expected}"
            );
        }
    }
    expect(
        "Permit2DepositCollector",
        "error",
        &[("050cda49", "Permit2612AmountMismatch")],
    );
    let events = interface("Permit2DepositCollector");
    for expected in [
        "EIP2612PermitFailedWithReason(address,address,string)",
        "EIP2612PermitFailedWithPanic(address,address,uint256)",
        "EIP2612PermitFailedWithData(address,address,bytes)",
    ] {
        assert!(
            events
                .iter()
                .any(|(kind, signature, _)| kind == "event" && signature == expected)
        );
    }
}

#[test]
fn multicall_has_the_published_interface() {
    expect(
        "Multicall3",
        "function",
        &[
            ("252dba42", "aggregate"),
            ("bce38bd7", "tryAggregate"),
            ("82ad56cb", "aggregate3"),
            ("174dea71", "aggregate3Value"),
            ("c3077fa9", "blockAndAggregate"),
            ("399542e9", "tryBlockAndAggregate"),
            ("ee82ac5e", "getBlockHash"),
            ("42cbb15c", "getBlockNumber"),
            ("a8b0574e", "getCurrentBlockCoinbase"),
            ("72425d9d", "getCurrentBlockDifficulty"),
            ("86d516e8", "getCurrentBlockGasLimit"),
            ("0f28c97d", "getCurrentBlockTimestamp"),
            ("4d2301cc", "getEthBalance"),
            ("27e86d6e", "getLastBlockHash"),
            ("3e64a696", "getBasefee"),
            ("3408e470", "getChainId"),
        ],
    );
}

#[test]
fn wallets_answer_as_erc_1271_asks() {
    for name in [
        "test/OwnedWallet",
        "test/GasBurningWallet",
        "test/FickleWallet",
    ] {
        expect(name, "function", &[("1626ba7e", "isValidSignature")]);
    }
}
