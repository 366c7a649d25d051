mod methods;

use alloy_primitives::keccak256;
use alloy_sol_types::SolEvent as _;
use serde_json::json;

use super::*;
use crate::bindings::{IUptoProxy, UPTO_PROXY};
use crate::fixtures::{self, SELLER, Script, TOKEN, all_ok, ready, word};
use crate::rpc::{TransportKind, hex};
use crate::upto::Permit;
use crate::{RpcError, TransportError};

fn block_json(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": keccak256(number.to_be_bytes()).to_string(),
        "timestamp": format!("{:#x}", number.saturating_add(1_000)),
    })
}

fn query() -> SettlementQuery {
    SettlementQuery {
        method: Method::Permit2,
        payer: fixtures::wallet().address(),
        auth_nonce: fixtures::auth_nonce(),
        asset: TOKEN,
        from_block: 3,
    }
}

fn bitmap(used: bool) -> Value {
    let [.., last] = fixtures::auth_nonce().0;
    let bit = U256::ONE.wrapping_shl(usize::from(last));
    json!(format!("{:#066x}", if used { bit } else { !bit }))
}

/// A transaction that settled `amount` of the payment, and its receipt.
fn settlement(amount: u64) -> [Value; 2] {
    let payment = fixtures::authorization().payload;
    let permit = Permit::of(&payment).unwrap();
    settlement_of(&permit, amount)
}

fn settlement_of(permit: &Permit, amount: u64) -> [Value; 2] {
    let hash = keccak256("tx").to_string();
    let input = permit.settle_call(Amount::new(u128::from(amount)), None);
    let transaction = json!({
        "hash": hash,
        "to": UPTO_PROXY.to_string(),
        "input": hex(&input),
    });
    let topics = [
        IToken::Transfer::SIGNATURE_HASH.to_string(),
        permit.from.into_word().to_string(),
        permit.authorization.to.into_word().to_string(),
    ];
    let receipt = json!({
        "transactionHash": hash,
        "blockNumber": "0x4",
        "blockHash": keccak256(4_u64.to_be_bytes()).to_string(),
        "status": "0x1",
        "logs": [
            { "address": TOKEN.to_string(), "topics": topics, "data": word(amount) },
            {
                "address": UPTO_PROXY.to_string(),
                "topics": [IUptoProxy::Settled::SIGNATURE_HASH.to_string()],
                "data": "0x",
            },
        ],
    });
    [transaction, receipt]
}

fn log_of(hash: &str) -> Value {
    json!({ "transactionHash": keccak256(hash).to_string() })
}

#[test]
fn an_unspent_nonce_is_known_at_a_block() {
    let script = Script::new([
        all_ok([block_json(7)]),
        all_ok([bitmap(false), block_json(7)]),
    ]);
    let facts = ready(facts(&script, &query())).unwrap();
    assert!(!facts.nonce_used);
    assert_eq!(facts.settlement, None);
    assert_eq!((facts.block.number, facts.block.time_s), (7, 1_007));
    let asked = script.asked();
    assert_eq!(asked[1][0].params[1], json!("0x7"));
    let input = asked[1][0].params[0]["data"].as_str().unwrap();
    // nonceBitmap(payer, nonce >> 8).
    assert!(input.starts_with("0x4fe02b44"), "{input}");
    assert!(
        input.ends_with(&hex(&fixtures::auth_nonce()[..31])[2..]),
        "{input}"
    );
}

#[test]
fn the_settlement_of_exactly_this_nonce_is_found() {
    // Another payment of the same payer, to the same seller, for the same amount.
    let payment = fixtures::authorization().payload;
    let mut other = Permit::of(&payment).unwrap();
    other.authorization.nonce = U256::from(1);
    let [ours, our_receipt] = settlement(1_234);
    let [theirs, their_receipt] = settlement_of(&other, 1_234);
    let script = Script::new([
        all_ok([block_json(7)]),
        all_ok([bitmap(true), block_json(7)]),
        all_ok([json!([log_of("tx"), log_of("other"), log_of("tx")])]),
        all_ok([theirs, their_receipt]),
        all_ok([ours, our_receipt]),
    ]);
    let facts = ready(facts(&script, &query())).unwrap();
    // Two logs of one transaction are one candidate; the newest is asked for alone.
    let asked = script.asked();
    let asked: Vec<usize> = asked[3..].iter().map(Vec::len).collect();
    assert_eq!(asked, [2, 2]);
    let settlement = facts.settlement.unwrap();
    assert_eq!(settlement.amount, Amount::new(1_234));
    assert_eq!(settlement.pay_to, SELLER);
    assert_eq!(settlement.transaction, keccak256("tx"));
    assert_eq!(settlement.block_number, 4);
    let filter = &script.asked()[2][0].params[0];
    assert_eq!(filter["fromBlock"], json!("0x3"));
    assert_eq!(filter["toBlock"], json!("0x7"));
}

/// What is found where the only candidate is this transaction with this receipt.
fn found(transaction: Value, receipt: Value) -> Result<Option<SettlementFacts>, Error> {
    let script = Script::new([
        all_ok([json!([log_of("tx")])]),
        all_ok([transaction, receipt]),
    ]);
    let until = Block {
        number: 7,
        hash: B256::ZERO,
        time_s: 0,
    };
    ready(find_settlement(&script, &query(), &until))
}

#[test]
fn what_looks_like_a_settlement_is_not_one() {
    let [transaction, receipt] = settlement(1_234);
    assert!(
        found(transaction.clone(), receipt.clone())
            .unwrap()
            .is_some()
    );
    let with = |pointer: &str, value: Value| {
        let mut pair = json!([transaction, receipt]);
        *pair.pointer_mut(pointer).unwrap() = value;
        found(pair[0].clone(), pair[1].clone()).unwrap()
    };
    let other = Address::repeat_byte(9).to_string();
    assert_eq!(with("/0/to", json!(other)), None);
    assert_eq!(with("/0/to", json!(null)), None);
    assert_eq!(with("/0/input", json!("0x")), None);
    assert_eq!(with("/0/input", json!("0xff11e7b4")), None);
    assert_eq!(with("/1/status", json!("0x0")), None);
    assert_eq!(with("/1/logs", json!([])), None);
    assert_eq!(with("/1/logs/0/data", word(1_235)), None);
    assert_eq!(with("/1/logs/0/address", json!(other)), None);
    assert_eq!(with("/1/logs/1/address", json!(other)), None);
    let payment = fixtures::authorization().payload;
    let mut permit = Permit::of(&payment).unwrap();
    permit.from = Address::repeat_byte(9);
    let [transaction, receipt] = settlement_of(&permit, 1_234);
    assert_eq!(found(transaction.clone(), receipt), Ok(None));
    // Another payer's settlement of the same nonce, in a transaction that moved ours too.
    let [_, receipt] = settlement(1_234);
    assert_eq!(found(transaction, receipt), Ok(None));
}

#[test]
fn answers_that_are_none_are_errors() {
    let [transaction, _] = settlement(1);
    let broken = found(transaction, json!(null));
    assert!(matches!(broken, Err(Error::Answer(_))));
    let many = (0..=1024).map(|number: u64| log_of(&number.to_string()));
    let script = Script::new([all_ok([json!(many.collect::<Vec<_>>())])]);
    let until = Block {
        number: 7,
        hash: B256::ZERO,
        time_s: 0,
    };
    let refused = ready(find_settlement(&script, &query(), &until));
    assert!(matches!(refused, Err(Error::Answer(_))));

    let script = Script::new([all_ok([json!(null)])]);
    assert!(matches!(
        ready(newest_block(&script)),
        Err(Error::Answer(_))
    ));
    let script = Script::new([all_ok([])]);
    assert!(matches!(
        ready(newest_block(&script)),
        Err(Error::BatchLength { .. })
    ));
    let error = RpcError {
        code: -32_000,
        message: "no".to_owned(),
        data: None,
    };
    let script = Script::new([Ok(vec![Err(error.clone())])]);
    assert_eq!(ready(newest_block(&script)), Err(Error::Call(error)));
    let silent = TransportError {
        kind: TransportKind::Unreachable,
        detail: String::new(),
    };
    let script = Script::new([Err(silent.clone())]);
    assert_eq!(ready(newest_block(&script)), Err(Error::Transport(silent)));
    // No contract at Permit2's address: the call succeeds with nothing.
    let script = Script::new([
        all_ok([block_json(7)]),
        all_ok([json!("0x"), block_json(7)]),
    ]);
    assert!(matches!(
        ready(facts(&script, &query())),
        Err(Error::Answer(_))
    ));
}

#[test]
fn a_reorganisation_between_two_reads_is_noticed() {
    let mut moved = block_json(7);
    moved["hash"] = json!(B256::ZERO.to_string());
    let script = Script::new([all_ok([block_json(7)]), all_ok([bitmap(false), moved])]);
    let refused = ready(facts(&script, &query()));
    assert_eq!(refused, Err(Error::BlockChanged { number: 7 }));
}

#[test]
fn an_account_is_read_in_one_batch() {
    let script = Script::new([all_ok([
        json!("0x10"),
        word(500),
        json!(format!("{:#066x}", U256::MAX)),
        word(18),
        json!("0x3"),
    ])]);
    let account = ready(account(&script, TOKEN, SELLER)).unwrap();
    assert_eq!(account.native, U256::from(16));
    assert_eq!(account.balance(), Amount::new(500));
    assert_eq!(account.permit2_allowance, U256::MAX);
    assert_eq!((account.decimals, account.account_nonce), (18, 3));
    assert_eq!(script.asked().len(), 1);
}

#[test]
fn a_nonce_has_its_word_and_bit() {
    assert_eq!(nonce_position(U256::from(0)), [U256::ZERO, U256::from(1)]);
    assert_eq!(
        nonce_position(U256::from(257)),
        [U256::from(1), U256::from(2)]
    );
    let [word, bit] = nonce_position(U256::MAX);
    assert_eq!(word, U256::MAX >> 8);
    assert_eq!(bit, U256::from(1) << 255);
}
