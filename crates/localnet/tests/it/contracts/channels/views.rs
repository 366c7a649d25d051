//! Ids and digests, against our own typed data and the golden ones.

use alloy_primitives::aliases::U40;
use alloy_primitives::{Address, B256, U256, address, b256};
use alloy_sol_types::{SolStruct as _, sol};
use seamline_localnet::contracts::BATCH_SETTLEMENT;

use super::super::{CONSENTING, World, artifact};
use super::{Channel, ChannelConfig, Channels, batch_digest, domain, typed};

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
