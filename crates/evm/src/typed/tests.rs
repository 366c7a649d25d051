use alloy_primitives::hex;
use seamline_core::Amount;
use serde_json::Value;

use super::*;
use crate::bindings::{EXACT_PROXY, UPTO_PROXY};
use crate::channel::{ChannelConfig, Voucher, voucher_digest};
use crate::x402::{address, uint256};
use crate::{Signature, Wallet};

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn number(value: &Value, name: &str) -> U256 {
    uint256(text(value, name)).unwrap()
}

fn account(value: &Value, name: &str) -> Address {
    address(text(value, name)).unwrap()
}

fn hash(value: &Value, name: &str) -> B256 {
    let digits = text(value, name);
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    B256::from(hex::decode_to_array::<_, 32>(digits).unwrap())
}

#[track_caller]
fn check(vector: &Value, signature: &str, digest: B256, wallet: &Wallet) {
    assert_eq!(digest, hash(vector, "digest"));
    assert_eq!(wallet.sign_hash(&digest).to_hex(), signature);
    let bytes = hex::decode(signature).unwrap();
    let recovered = Signature::parse(&bytes).unwrap().recover(&digest);
    assert_eq!(recovered, Ok(wallet.address()));
}

#[test]
fn golden_digests_and_signatures() {
    let golden = seamline_testkit::json_vector("x402/golden.json");
    let wallet = Wallet::from_hex(text(&golden, "private_key")).unwrap();
    assert_eq!(wallet.address(), account(&golden, "payer"));
    let chain_id = golden["chain_id"].as_u64().unwrap();
    let token = account(&golden, "token");
    let domain = TokenDomain {
        name: text(&golden["token_domain"], "name").to_owned(),
        version: text(&golden["token_domain"], "version").to_owned(),
        chain_id,
        token,
    };
    assert_eq!(
        domain.separator(),
        hash(&golden["token_domain"], "separator")
    );
    assert_eq!(
        permit2_domain(chain_id).separator(),
        hash(&golden, "permit2_domain_separator")
    );

    let it = &golden["upto_permit2"];
    let upto = UptoAuthorization {
        token,
        amount: number(it, "amount"),
        spender: account(it, "spender"),
        nonce: number(it, "nonce"),
        deadline: number(it, "deadline"),
        to: account(it, "to"),
        facilitator: account(it, "facilitator"),
        valid_after: number(it, "validAfter"),
    };
    assert_eq!(upto.spender, UPTO_PROXY);
    check(it, text(it, "signature"), upto.digest(chain_id), &wallet);

    let it = &golden["exact_permit2"];
    let exact = ExactAuthorization {
        token,
        amount: number(it, "amount"),
        spender: account(it, "spender"),
        nonce: number(it, "nonce"),
        deadline: number(it, "deadline"),
        to: account(it, "to"),
        valid_after: number(it, "validAfter"),
    };
    assert_eq!(exact.spender, EXACT_PROXY);
    check(it, text(it, "signature"), exact.digest(chain_id), &wallet);

    let it = &golden["eip3009"];
    let transfer = TransferAuthorization {
        from: wallet.address(),
        to: account(it, "to"),
        value: number(it, "value"),
        valid_after: number(it, "validAfter"),
        valid_before: number(it, "validBefore"),
        nonce: hash(it, "nonce"),
    };
    check(it, text(it, "signature"), transfer.digest(&domain), &wallet);

    let it = &golden["eip2612"];
    let approval = Approval {
        owner: wallet.address(),
        spender: account(it, "spender"),
        value: number(it, "value"),
        nonce: number(it, "nonce"),
        deadline: number(it, "deadline"),
    };
    check(it, text(it, "signature"), approval.digest(&domain), &wallet);
}

#[test]
fn golden_type_hashes() {
    let golden = seamline_testkit::json_vector("x402/golden.json");
    let of = |name: &str| hash(&golden["type_hashes"], name);
    let word = U256::ZERO;
    let (account, nonce) = (Address::ZERO, B256::ZERO);
    let transfer = token::TransferWithAuthorization {
        from: account,
        to: account,
        value: word,
        validAfter: word,
        validBefore: word,
        nonce,
    };
    assert_eq!(transfer.eip712_type_hash(), of("TransferWithAuthorization"));
    let approval = token::Permit {
        owner: account,
        spender: account,
        value: word,
        nonce: word,
        deadline: word,
    };
    assert_eq!(approval.eip712_type_hash(), of("Permit"));
    let upto = upto::PermitWitnessTransferFrom {
        permitted: upto::TokenPermissions {
            token: account,
            amount: word,
        },
        spender: account,
        nonce: word,
        deadline: word,
        witness: upto::Witness {
            to: account,
            facilitator: account,
            validAfter: word,
        },
    };
    assert_eq!(
        upto.eip712_type_hash(),
        of("PermitWitnessTransferFrom (upto)")
    );
}

#[test]
fn golden_channel_and_voucher() {
    let golden = seamline_testkit::json_vector("x402/golden.json");
    let chain_id = golden["chain_id"].as_u64().unwrap();
    let batch = &golden["batch_settlement"];
    let domain = Eip712Domain::new(
        Some("x402 Batch Settlement".into()),
        Some("1".into()),
        Some(U256::from(chain_id)),
        Some(account(batch, "contract")),
        None,
    );
    assert_eq!(domain.separator(), hash(batch, "domain_separator"));
    let it = &batch["channel"];
    let channel = ChannelConfig {
        payer: account(it, "payer"),
        payer_authorizer: account(it, "payerAuthorizer"),
        receiver: account(it, "receiver"),
        receiver_authorizer: account(it, "receiverAuthorizer"),
        token: account(it, "token"),
        withdraw_delay_s: it["withdrawDelay"].as_u64().unwrap(),
        salt: hash(it, "salt"),
    };
    assert_eq!(channel.id(chain_id), hash(it, "channelId"));
    let it = &batch["voucher"];
    let id = hash(it, "channelId");
    let amount = Amount::parse(text(it, "maxClaimableAmount")).unwrap();
    let wallet = Wallet::from_hex(text(&golden, "private_key")).unwrap();
    let digest = voucher_digest(&id, amount, chain_id);
    check(it, text(it, "signature"), digest, &wallet);
    let voucher = Voucher::sign(id, amount, chain_id, &wallet).unwrap();
    assert_eq!(
        hex::encode_prefixed(voucher.signature),
        text(it, "signature")
    );
}

#[test]
fn opengradient_upto() {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let vector = &vectors["x402_upto_permit2"];
    let wallet = Wallet::from_hex(text(vector, "private_key")).unwrap();
    let signed = &vector["payload"]["permit2Authorization"];
    let authorization = UptoAuthorization {
        token: account(&signed["permitted"], "token"),
        amount: number(&signed["permitted"], "amount"),
        spender: account(signed, "spender"),
        nonce: number(signed, "nonce"),
        deadline: number(signed, "deadline"),
        to: account(&signed["witness"], "to"),
        facilitator: account(&signed["witness"], "facilitator"),
        valid_after: number(&signed["witness"], "validAfter"),
    };
    assert_eq!(
        permit2_domain(8453).separator(),
        hash(vector, "domain_separator")
    );
    let signature = text(&vector["payload"], "signature");
    check(vector, signature, authorization.digest(8453), &wallet);
}

#[test]
fn opengradient_exact() {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let wallet = Wallet::from_hex(text(&vectors["x402_upto_permit2"], "private_key")).unwrap();

    let vector = &vectors["x402_exact_permit2"];
    let signed = &vector["payload"]["permit2Authorization"];
    let authorization = ExactAuthorization {
        token: account(&signed["permitted"], "token"),
        amount: number(&signed["permitted"], "amount"),
        spender: account(signed, "spender"),
        nonce: number(signed, "nonce"),
        deadline: number(signed, "deadline"),
        to: account(&signed["witness"], "to"),
        valid_after: number(&signed["witness"], "validAfter"),
    };
    let signature = text(&vector["payload"], "signature");
    check(vector, signature, authorization.digest(8453), &wallet);

    let vector = &vectors["x402_exact_eip3009"];
    let signed = &vector["payload"]["authorization"];
    let transfer = TransferAuthorization {
        from: account(signed, "from"),
        to: account(signed, "to"),
        value: number(signed, "value"),
        valid_after: number(signed, "validAfter"),
        valid_before: number(signed, "validBefore"),
        nonce: hash(signed, "nonce"),
    };
    let domain = TokenDomain {
        name: text(&vector["requirements"]["extra"], "name").to_owned(),
        version: text(&vector["requirements"]["extra"], "version").to_owned(),
        chain_id: 8453,
        token: account(&vector["requirements"], "asset"),
    };
    assert_eq!(domain.separator(), hash(vector, "domain_separator"));
    let signature = text(&vector["payload"], "signature");
    check(vector, signature, transfer.digest(&domain), &wallet);
}

#[test]
fn opengradient_approval() {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let wallet = Wallet::from_hex(text(&vectors["x402_upto_permit2"], "private_key")).unwrap();
    let vector = &vectors["x402_eip2612_gas_sponsoring"];
    let info = &vector["extension"]["eip2612GasSponsoring"]["info"];
    let approval = Approval {
        owner: account(info, "from"),
        spender: account(info, "spender"),
        value: number(info, "amount"),
        nonce: number(info, "nonce"),
        deadline: number(info, "deadline"),
    };
    let domain = TokenDomain {
        name: text(&vector["domain"], "name").to_owned(),
        version: text(&vector["domain"], "version").to_owned(),
        chain_id: 8453,
        token: account(info, "asset"),
    };
    check(
        vector,
        text(info, "signature"),
        approval.digest(&domain),
        &wallet,
    );
}

#[test]
fn every_member_is_signed() {
    let base = UptoAuthorization {
        token: Address::repeat_byte(1),
        amount: U256::from(2),
        spender: UPTO_PROXY,
        nonce: U256::from(3),
        deadline: U256::from(4),
        to: Address::repeat_byte(5),
        facilitator: Address::repeat_byte(6),
        valid_after: U256::from(7),
    };
    let (other, nine) = (Address::repeat_byte(9), U256::from(9));
    let changed = [
        UptoAuthorization {
            token: other,
            ..base
        },
        UptoAuthorization {
            amount: nine,
            ..base
        },
        UptoAuthorization {
            spender: other,
            ..base
        },
        UptoAuthorization {
            nonce: nine,
            ..base
        },
        UptoAuthorization {
            deadline: nine,
            ..base
        },
        UptoAuthorization { to: other, ..base },
        UptoAuthorization {
            facilitator: other,
            ..base
        },
        UptoAuthorization {
            valid_after: nine,
            ..base
        },
    ];
    for authorization in changed {
        assert_ne!(authorization.digest(1), base.digest(1), "{authorization:?}");
    }
    assert_ne!(base.digest(1), base.digest(2));
}
