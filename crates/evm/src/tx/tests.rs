use alloy_primitives::hex;
use alloy_sol_types::SolCall as _;
use serde_json::json;

use super::*;
use crate::bindings::{IToken, PERMIT2};

fn fees(max: u128, tip: u128) -> Fees {
    Fees {
        max_fee_per_gas: max,
        max_priority_fee_per_gas: tip,
    }
}

const CEILING: FeeCeiling = FeeCeiling {
    max_fee_per_gas: 1_000,
    max_priority_fee_per_gas: 100,
};

#[test]
fn an_approval_is_signed_as_the_vector_says() {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let vector = &vectors["x402_erc20_approval_gas_sponsoring"];
    let info = &vector["extension"]["erc20ApprovalGasSponsoring"]["info"];
    let key = vectors["x402_upto_permit2"]["private_key"]
        .as_str()
        .unwrap();
    let approve = IToken::approveCall {
        spender: PERMIT2,
        value: U256::MAX,
    };
    let transaction = Transaction {
        chain_id: 8453,
        account_nonce: vector["account_nonce"].as_u64().unwrap(),
        fees: fees(1_000_000_000, 100_000_000),
        gas_limit: 70_000,
        to: Some(info["asset"].as_str().unwrap().parse().unwrap()),
        value: U256::ZERO,
        input: approve.abi_encode().into(),
    };
    let signed = Wallet::from_hex(key)
        .unwrap()
        .sign_transaction(&transaction);
    assert_eq!(
        hex::encode_prefixed(&signed.raw),
        info["signedTransaction"].as_str().unwrap()
    );
    assert_eq!(signed.hash, keccak256(&signed.raw));
}

#[test]
fn a_creation_has_an_empty_recipient() {
    let transaction = Transaction {
        chain_id: 1,
        account_nonce: 0,
        fees: fees(1, 0),
        gas_limit: 1,
        to: None,
        value: U256::ZERO,
        input: Bytes::new(),
    };
    let unsigned = transaction.encode(None);
    // 0x02, list of 9 bytes: 1, 0, 0, 1, 1, nobody, 0, no input, no access list.
    assert_eq!(hex::encode(unsigned), "02c90180800101808080c0");
}

#[test]
fn fees_cover_a_doubling_and_stay_under_the_ceiling() {
    let history = json!({ "baseFeePerGas": ["0x1", "0x64"], "reward": [["0xa"]] });
    assert_eq!(Fees::from_history(&history, &CEILING), Ok(fees(210, 10)));
    let high = json!({ "baseFeePerGas": ["0x1", "0x3e8"], "reward": [["0xffff"]] });
    assert_eq!(Fees::from_history(&high, &CEILING), Ok(fees(1_000, 100)));
    let free = json!({ "baseFeePerGas": ["0x0", "0x0"] });
    assert_eq!(Fees::from_history(&free, &CEILING), Ok(fees(0, 0)));
}

#[test]
fn a_dear_chain_is_refused() {
    let history = json!({ "baseFeePerGas": ["0x3e9"], "reward": [] });
    let refused = Error::FeeOverCeiling {
        observed: 1_001,
        bound: 1_000,
    };
    assert_eq!(Fees::from_history(&history, &CEILING), Err(refused));
    for broken in [
        json!({}),
        json!({ "baseFeePerGas": [] }),
        json!({ "baseFeePerGas": [1] }),
    ] {
        let fees = Fees::from_history(&broken, &CEILING);
        assert!(matches!(fees, Err(Error::Answer(_))), "{broken}");
    }
}

#[test]
fn a_replacement_pays_an_eighth_more_or_is_not_sent() {
    assert_eq!(fees(100, 8).bumped(&CEILING), Some(fees(113, 9)));
    assert_eq!(fees(0, 0).bumped(&CEILING), Some(fees(1, 1)));
    assert_eq!(fees(900, 8).bumped(&CEILING), None);
    assert_eq!(fees(100, 90).bumped(&CEILING), None);
    assert_eq!(fees(u128::MAX, 0).bumped(&CEILING), None);
}

#[test]
fn any_signer_makes_the_wallets_transaction() {
    let wallet = Wallet::from_bytes(&[7; 32]).unwrap();
    let transaction = Transaction {
        chain_id: 8453,
        account_nonce: 3,
        fees: Fees {
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
        },
        gas_limit: 21_000,
        to: Some(Address::repeat_byte(1)),
        value: U256::from(5),
        input: Bytes::new(),
    };
    let expected = wallet.sign_transaction(&transaction);
    assert_eq!(sign(&wallet, &transaction), Ok(expected));
}
