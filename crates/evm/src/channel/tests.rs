use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolValue as _;
use seamline_core::Amount;
use serde_json::{Value, json};

use super::fixtures::{config, offer, read, terms};
use super::{
    ChannelConfig, Claim, CorrectiveState, Deposit, Payload, Terms, Voucher, VoucherCheck, typed,
};
use crate::scheme::Method;
use crate::typed::TokenDomain;
use crate::x402::{Offer, Reason};
use crate::{Malformed, Wallet};

mod malformed;

fn golden() -> Value {
    seamline_testkit::json_vector("channel/golden.json")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn wallet(vectors: &Value, name: &str) -> Wallet {
    Wallet::from_hex(text(vectors, name)).unwrap()
}

fn payload(vectors: &Value, name: &str) -> Payload {
    let json: Value = serde_json::from_str(text(&vectors["payloads"], name)).unwrap();
    Payload::parse(&json).unwrap()
}

#[test]
fn channel_id_is_the_official_one() {
    let vectors = golden();
    let config = ChannelConfig::parse(&vectors["channel_config"]).unwrap();
    let id: B256 = text(&vectors, "channel_id").parse().unwrap();
    assert_eq!(config.id(84532), id);
    assert_ne!(config.id(84533), id);
    let written: Value = serde_json::from_str(&config.write()).unwrap();
    assert_eq!(written, vectors["channel_config"]);
}

#[test]
fn every_member_of_a_channel_is_in_its_id() {
    let mut ids = vec![config().id(1)];
    let other = Address::repeat_byte(0x77);
    let changes: [fn(&mut ChannelConfig, Address); 7] = [
        |it, other| it.payer = other,
        |it, other| it.payer_authorizer = other,
        |it, other| it.receiver = other,
        |it, other| it.receiver_authorizer = other,
        |it, other| it.token = other,
        |it, _| it.withdraw_delay_s += 1,
        |it, _| it.salt = B256::repeat_byte(1),
    ];
    for change in changes {
        let mut changed = config();
        change(&mut changed, other);
        ids.push(changed.id(1));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[test]
fn vouchers_claims_and_refunds_are_signed_as_the_official_package_does() {
    let vectors = golden();
    let key = wallet(&vectors, "private_key");
    let voucher = &vectors["voucher"];
    let id: B256 = text(voucher, "channel_id").parse().unwrap();
    let signed = Voucher::sign(id, Amount::new(3_900), 84532, &key).unwrap();
    assert_eq!(signed.digest(84532).to_string(), text(voucher, "digest"));
    assert_eq!(
        hex::encode_prefixed(&signed.signature),
        text(voucher, "signature")
    );

    let authorizer = wallet(&vectors, "authorizer_private_key");
    let Payload::Claim { claims, .. } = payload(&vectors, "claim") else {
        panic!("a claim");
    };
    let digest = typed::claim_batch_digest(&claims, 84532);
    assert_eq!(digest.to_string(), text(&vectors["claim_batch"], "digest"));
    assert_eq!(
        authorizer.sign_hash(&digest).to_hex(),
        text(&vectors["claim_batch"], "signature")
    );

    let channel_id: B256 = text(&vectors, "channel_id").parse().unwrap();
    let digest = typed::refund_digest(&channel_id, U256::from(4), Amount::new(1_500), 84532);
    assert_eq!(digest.to_string(), text(&vectors["refund"], "digest"));
    assert_eq!(
        authorizer.sign_hash(&digest).to_hex(),
        text(&vectors["refund"], "signature")
    );
}

#[test]
fn deposits_are_signed_and_encoded_as_the_official_package_does() {
    let vectors = golden();
    let key = wallet(&vectors, "private_key");
    let channel_id: B256 = text(&vectors, "channel_id").parse().unwrap();
    let domain = TokenDomain {
        name: "USDC".to_owned(),
        version: "2".to_owned(),
        chain_id: 84532,
        token: text(&vectors["requirements"], "asset").parse().unwrap(),
    };
    for (name, method) in [
        ("deposit_erc3009", Method::Eip3009),
        ("deposit_permit2", Method::Permit2),
    ] {
        let Payload::Deposit { deposit, .. } = payload(&vectors, name) else {
            panic!("a deposit");
        };
        assert_eq!(deposit.method(), method);
        let digest = deposit.digest(&channel_id, key.address(), &domain);
        assert_eq!(
            key.sign_hash(&digest).as_bytes().as_slice(),
            deposit.signature(),
            "{name}"
        );
        assert_eq!(
            deposit.collector_data(&[]).to_string(),
            text(&vectors[name], "collector_data"),
            "{name}"
        );
    }
    let nonce = typed::deposit_nonce(&channel_id, U256::from_be_bytes([0x77; 32]));
    assert_eq!(
        nonce.to_string(),
        text(&vectors["deposit_erc3009"], "nonce")
    );
    let Payload::Deposit { deposit, .. } = payload(&vectors, "deposit_permit2") else {
        panic!("a deposit");
    };
    let sponsored = (
        U256::from(5_000),
        U256::from(1_763_597_100),
        U256::from(27),
        B256::repeat_byte(0x11),
        B256::repeat_byte(0x22),
    );
    assert_eq!(
        deposit
            .collector_data(&sponsored.abi_encode_params())
            .to_string(),
        text(&vectors["deposit_permit2"], "collector_data_sponsored")
    );
}

#[test]
fn payloads_are_written_byte_for_byte_as_the_official_package_does() {
    let vectors = golden();
    let all = vectors["payloads"].as_object().unwrap();
    assert_eq!(all.len(), 7);
    for (name, json) in all {
        assert_eq!(
            payload(&vectors, name).write(),
            json.as_str().unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_voucher_is_only_its_authorizers() {
    let key = super::fixtures::payer();
    let mut config = config();
    let id = config.id(1);
    let voucher = Voucher::sign(id, Amount::new(5), 1, &key).unwrap();
    assert_eq!(voucher.check(&config, 1), VoucherCheck::Valid);
    assert_eq!(voucher.check(&config, 2), VoucherCheck::Invalid);
    let mut more = voucher.clone();
    more.max_claimable = Amount::new(6);
    assert_eq!(more.check(&config, 1), VoucherCheck::Invalid);
    let mut long = voucher.clone();
    long.signature.push(0);
    assert_eq!(long.check(&config, 1), VoucherCheck::Invalid);
    config.payer_authorizer = Address::repeat_byte(9);
    assert_eq!(voucher.check(&config, 1), VoucherCheck::Invalid);
    config.payer_authorizer = Address::ZERO;
    assert_eq!(
        voucher.check(&config, 1),
        VoucherCheck::AskPayer(voucher.digest(1))
    );
}

#[test]
fn a_correction_survives_its_wire_form() {
    let state = CorrectiveState {
        channel_id: config().id(8453),
        chain: super::fixtures::state(9_000, 2_000),
        charged: Some(Amount::new(3_000)),
        voucher: Some((Amount::new(4_000), vec![1; 65])),
    };
    let mut corrected = offer();
    for (name, value) in state.write() {
        corrected["extra"][name] = value;
    }
    let read_back = CorrectiveState::of(&read(&corrected)).unwrap();
    assert_eq!(read_back, Some(state));
    let plain: Offer = read(&offer());
    assert_eq!(CorrectiveState::of(&plain).unwrap(), None);
    // The official servers' own members, and nothing a payer's echo could trip over.
    assert_eq!(
        corrected["extra"]["channelState"]["withdrawRequestedAt"],
        json!(0)
    );
    assert_eq!(
        corrected["extra"]["channelState"]["refundNonce"],
        json!("0")
    );
}

#[test]
fn secrets_stay_out_of_debug() {
    let vectors = golden();
    let all = vectors["payloads"].as_object().unwrap();
    for (name, json) in all {
        let shown = format!("{:?}", payload(&vectors, name));
        // Every run of hexadecimal digits as long as a signature is one.
        let json = json.as_str().unwrap();
        let signatures = json.split('"').filter(|it| it.len() == 132);
        for signature in signatures {
            assert!(!shown.contains(&signature[2..]), "{name}");
        }
        assert!(!shown.contains("signature"), "{name}");
    }
}

#[test]
fn a_claim_parses_to_what_it_was() {
    let vectors = golden();
    let Payload::Claim { claims, .. } = payload(&vectors, "claim") else {
        panic!("a claim");
    };
    let json: Value = serde_json::from_str(&claims[0].write()).unwrap();
    assert_eq!(Claim::parse(&json).unwrap(), claims[0]);
}
