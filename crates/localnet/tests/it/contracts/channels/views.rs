//! Ids and digests, against our own typed data and the golden ones.

use alloy_primitives::aliases::U40;
use alloy_primitives::{Address, B256, U256, address, b256, keccak256};
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{CONSENTING, World, artifact};
use super::{Channel, ChannelConfig, Channels, batch_digest, domain, permit2, typed};

sol! {
    interface Domain {
        function eip712Domain() external view returns (
            bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt,
            uint256[] extensions
        );
    }
}

const BASE_SEPOLIA: u64 = 84_532;
const PAYER: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
const RECEIVER: Address = address!("90F79bf6EB2c4f870365E785982E1f101E93b906");
const AUTHORIZER: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
const USDC: Address = address!("036CbD53842c5426634e7929541eC2318f3dCF7e");

fn golden() -> ChannelConfig {
    ChannelConfig {
        payer: PAYER,
        payerAuthorizer: PAYER,
        receiver: RECEIVER,
        receiverAuthorizer: AUTHORIZER,
        token: USDC,
        withdrawDelay: U40::from(900),
        salt: B256::ZERO,
    }
}

#[test]
fn the_golden_id_and_digest_come_out() {
    let world = World::on(BASE_SEPOLIA, |genesis| genesis);
    let call = Channels::getChannelIdCall { config: golden() };
    let id = b256!("78ccaa06b021dde815035a39c6937956eb75d872166a38728a6f221d05fcbbdb");
    assert_eq!(world.read(BATCH_SETTLEMENT, &call), id);
    let call = Channels::getVoucherDigestCall {
        channelId: B256::repeat_byte(0xab),
        maxClaimableAmount: 3900,
    };
    let digest = b256!("cf08e9090df8d9ce50f29be8378fa1d298c51663f27b806923a0d897d66c25c5");
    assert_eq!(world.read(BATCH_SETTLEMENT, &call), digest);
}

#[test]
fn our_typed_data_has_the_published_type_hashes() {
    let golden = golden();
    let config = typed::ChannelConfig {
        payer: golden.payer,
        payerAuthorizer: golden.payerAuthorizer,
        receiver: golden.receiver,
        receiverAuthorizer: golden.receiverAuthorizer,
        token: golden.token,
        withdrawDelay: golden.withdrawDelay,
        salt: golden.salt,
    };
    let id = B256::ZERO;
    let entry = typed::ClaimEntry {
        channelId: id,
        maxClaimableAmount: 0,
        totalClaimed: 0,
    };
    let receipt = typed::ReceiveWithAuthorization {
        from: PAYER,
        to: PAYER,
        value: U256::ZERO,
        validAfter: U256::ZERO,
        validBefore: U256::ZERO,
        nonce: id,
    };
    let hashes = [
        config.eip712_type_hash(),
        typed::Voucher {
            channelId: id,
            maxClaimableAmount: 0,
        }
        .eip712_type_hash(),
        typed::Refund {
            channelId: id,
            nonce: U256::ZERO,
            amount: 0,
        }
        .eip712_type_hash(),
        entry.eip712_type_hash(),
        typed::ClaimBatch {
            claims: vec![entry],
        }
        .eip712_type_hash(),
        receipt.eip712_type_hash(),
        permit2::token_permissions(),
        keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
        ),
    ];
    let published = [
        b256!("1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308"),
        b256!("1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69"),
        b256!("be23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216"),
        b256!("30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5"),
        b256!("42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57"),
        b256!("d099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8"),
        b256!("618358ac3db8dc274f0cd8829da7e234bd48cd73c4a740aede1adec9846d06a1"),
        b256!("6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9"),
    ];
    assert_eq!(hashes, published);
    let separator = eip712_domain! {
        name: "x402 Batch Settlement",
        version: "1",
        chain_id: BASE_SEPOLIA,
        verifying_contract: BATCH_SETTLEMENT,
    };
    let expected = b256!("fdef80764086b1e0fc6ba99f0cb9aa1d59109fda7c23d60334c89d2de44dffce");
    assert_eq!(separator.separator(), expected);
}

#[test]
fn the_views_agree_with_our_typed_data() {
    let world = World::new();
    let channel = Channel::of(&world);
    let call = Channels::getChannelIdCall {
        config: channel.config.clone(),
    };
    assert_eq!(world.read(BATCH_SETTLEMENT, &call), channel.id());
    let call = Channels::getVoucherDigestCall {
        channelId: channel.id(),
        maxClaimableAmount: 70,
    };
    assert_eq!(
        world.read(BATCH_SETTLEMENT, &call),
        channel.voucher_digest(70)
    );
    let refund = typed::Refund {
        channelId: channel.id(),
        nonce: U256::from(3),
        amount: 9,
    };
    let call = Channels::getRefundDigestCall {
        channelId: channel.id(),
        nonce: U256::from(3),
        amount: 9,
    };
    assert_eq!(
        world.read(BATCH_SETTLEMENT, &call),
        refund.eip712_signing_hash(&domain())
    );
    let other = channel.salted(1);
    let rows = [(&channel, 70, 60), (&other, 5, 5)];
    for count in 0..=2 {
        let claims = rows[..count]
            .iter()
            .map(|(channel, ceiling, total)| channel.voucher(*ceiling, *total));
        let call = Channels::getClaimBatchDigestCall {
            voucherClaims: claims.collect(),
        };
        assert_eq!(
            world.read(BATCH_SETTLEMENT, &call),
            batch_digest(&rows[..count]),
            "{count}"
        );
    }
}

#[test]
fn every_member_of_a_channel_makes_its_id() {
    let world = World::new();
    let id = |config: ChannelConfig| {
        world.read(BATCH_SETTLEMENT, &Channels::getChannelIdCall { config })
    };
    let changes: [fn(&mut ChannelConfig); 7] = [
        |config| config.payer = CONSENTING,
        |config| config.payerAuthorizer = CONSENTING,
        |config| config.receiver = CONSENTING,
        |config| config.receiverAuthorizer = CONSENTING,
        |config| config.token = CONSENTING,
        |config| config.withdrawDelay = U40::from(901),
        |config| config.salt = B256::with_last_byte(1),
    ];
    let mut seen = vec![id(golden())];
    for change in changes {
        let mut config = golden();
        change(&mut config);
        let other = id(config);
        assert!(!seen.contains(&other));
        seen.push(other);
    }
}

#[test]
fn another_chain_and_another_address_make_other_ids() {
    const ELSEWHERE: Address = address!("00000000000000000000000000000000000010e1");
    let here = World::new();
    let there = World::on(BASE_SEPOLIA, |genesis| {
        genesis.place(ELSEWHERE, artifact("X402BatchSettlement").deployed_bytecode)
    });
    let call = Channels::getChannelIdCall { config: golden() };
    let ids = [
        here.read(BATCH_SETTLEMENT, &call),
        there.read(BATCH_SETTLEMENT, &call),
        there.read(ELSEWHERE, &call),
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

#[test]
fn the_domain_can_be_asked_for() {
    let world = World::new();
    let answer = world.read(BATCH_SETTLEMENT, &Domain::eip712DomainCall {});
    assert_eq!(answer.fields.0, [0x0f]);
    assert_eq!(
        (answer.name.as_str(), answer.version.as_str()),
        ("x402 Batch Settlement", "1")
    );
    assert_eq!(answer.chainId, domain().chain_id.unwrap());
    assert_eq!(answer.verifyingContract, BATCH_SETTLEMENT);
    assert!(answer.salt.is_zero() && answer.extensions.is_empty());
}
