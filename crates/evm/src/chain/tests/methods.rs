//! ERC-3009, whose nonces the token logs, and the proxy of `exact`.

use super::*;
use crate::bindings::{EXACT_PROXY, IExactProxy};
use crate::scheme::Authorization;

fn transfer_query() -> SettlementQuery {
    SettlementQuery {
        method: Method::Eip3009,
        ..query()
    }
}

fn until() -> Block {
    Block {
        number: 7,
        hash: B256::ZERO,
        time_s: 0,
    }
}

fn used(payer: Address, nonce: B256) -> Value {
    let topics = [
        IToken::AuthorizationUsed::SIGNATURE_HASH.to_string(),
        payer.into_word().to_string(),
        nonce.to_string(),
    ];
    json!({ "address": TOKEN.to_string(), "topics": topics, "data": "0x" })
}

fn moved(from: Address, to: Address, amount: u64) -> Value {
    let topics = [
        IToken::Transfer::SIGNATURE_HASH.to_string(),
        from.into_word().to_string(),
        to.into_word().to_string(),
    ];
    json!({ "address": TOKEN.to_string(), "topics": topics, "data": word(amount) })
}

fn receipt(logs: &[Value]) -> Value {
    json!({
        "transactionHash": keccak256("tx").to_string(),
        "blockNumber": "0x4",
        "blockHash": keccak256(4_u64.to_be_bytes()).to_string(),
        "status": "0x1",
        "logs": logs,
    })
}

fn found_in(logs: &Value, receipt: Value) -> Result<Option<SettlementFacts>, Error> {
    let script = Script::new([all_ok([logs.clone()]), all_ok([receipt])]);
    ready(find_settlement(&script, &transfer_query(), &until()))
}

#[test]
fn an_erc3009_nonce_is_asked_of_its_token() {
    let script = Script::new([all_ok([block_json(7)]), all_ok([word(0), block_json(7)])]);
    let facts = ready(facts(&script, &transfer_query())).unwrap();
    assert!(!facts.nonce_used && !facts.cancelled);
    let call = &script.asked()[1][0].params;
    assert_eq!(call[0]["to"], json!(hex(TOKEN.as_slice())));
    let input = call[0]["data"].as_str().unwrap();
    assert!(input.starts_with("0xe94a0102"), "{input}");
    assert_eq!(call[1], json!("0x7"));
}

#[test]
fn a_strangers_settlement_of_an_erc3009_nonce_is_found() {
    let payer = fixtures::wallet().address();
    let stranger = Address::repeat_byte(8);
    let logs = [
        used(stranger, B256::ZERO),
        moved(stranger, SELLER, 9),
        used(payer, B256::ZERO),
        moved(payer, stranger, 8),
        used(payer, fixtures::auth_nonce()),
        moved(payer, SELLER, 5_000),
        used(payer, B256::repeat_byte(1)),
        moved(payer, SELLER, 7),
    ];
    let script = Script::new([
        all_ok([block_json(7)]),
        all_ok([word(1), block_json(7)]),
        all_ok([json!([log_of("tx")])]),
        all_ok([receipt(&logs)]),
    ]);
    let facts = ready(facts(&script, &transfer_query())).unwrap();
    let settlement = facts.settlement.unwrap();
    assert_eq!(settlement.amount, Amount::new(5_000));
    assert_eq!(settlement.pay_to, SELLER);
    assert_eq!(settlement.transaction, keccak256("tx"));
    assert!(!facts.cancelled);
    let filter = &script.asked()[2][0].params[0];
    assert_eq!(filter["address"], json!(hex(TOKEN.as_slice())));
    assert_eq!(
        filter["topics"],
        json!([
            hex(IToken::AuthorizationUsed::SIGNATURE_HASH.as_slice()),
            hex(payer.into_word().as_slice()),
            hex(fixtures::auth_nonce().as_slice()),
        ])
    );
}

#[test]
fn what_looks_like_an_erc3009_settlement_is_not_one() {
    let payer = fixtures::wallet().address();
    let other = Address::repeat_byte(9);
    let own = used(payer, fixtures::auth_nonce());
    let one = json!([log_of("tx")]);
    let good = receipt(&[own.clone(), moved(payer, SELLER, 5)]);
    assert!(found_in(&one, good.clone()).unwrap().is_some());
    let mut reverted = good.clone();
    reverted["status"] = json!("0x0");
    assert_eq!(found_in(&one, reverted), Ok(None));
    let mut elsewhere = good;
    elsewhere["logs"][0]["address"] = json!(other.to_string());
    assert_eq!(found_in(&one, elsewhere), Ok(None));
    for logs in [
        vec![],
        vec![own.clone()],
        vec![moved(payer, SELLER, 5)],
        vec![moved(payer, SELLER, 5), own.clone()],
        vec![own.clone(), moved(other, SELLER, 5)],
        vec![own, used(payer, B256::ZERO), moved(payer, SELLER, 5)],
        vec![used(other, fixtures::auth_nonce()), moved(payer, SELLER, 5)],
    ] {
        assert_eq!(found_in(&one, receipt(&logs)), Ok(None), "{logs:?}");
    }
    // No log, or two of a nonce that is spent once.
    let script = Script::new([all_ok([json!([])])]);
    let none = ready(find_settlement(&script, &transfer_query(), &until()));
    assert_eq!(none, Ok(None));
    let script = Script::new([all_ok([json!([log_of("tx"), log_of("other")])])]);
    let two = ready(find_settlement(&script, &transfer_query(), &until()));
    assert_eq!(two, Ok(None));
    let broken = found_in(&one, json!(null));
    assert!(matches!(broken, Err(Error::Answer(_))));
    let script = Script::new([all_ok([json!({})])]);
    let broken = ready(find_settlement(&script, &transfer_query(), &until()));
    assert!(matches!(broken, Err(Error::Answer(_))));
}

#[test]
fn a_cancelled_nonce_is_known_by_the_tokens_log() {
    let on = |log: Value| {
        let script = Script::new([
            all_ok([block_json(7)]),
            all_ok([word(1), block_json(7)]),
            all_ok([json!([])]),
            all_ok([log]),
        ]);
        let facts = ready(facts(&script, &transfer_query())).unwrap();
        let topic = script.asked()[3][0].params[0]["topics"][0].clone();
        let event = IToken::AuthorizationCanceled::SIGNATURE_HASH;
        assert_eq!(topic, json!(hex(event.as_slice())));
        assert_eq!((facts.nonce_used, facts.settlement), (true, None));
        facts.cancelled
    };
    assert!(on(json!([log_of("tx")])));
    assert!(!on(json!([])));
}

#[test]
fn a_permit2_nonce_is_never_said_to_be_cancelled() {
    let script = Script::new([
        all_ok([block_json(7)]),
        all_ok([bitmap(true), block_json(7)]),
        all_ok([json!([])]),
    ]);
    let facts = ready(facts(&script, &query())).unwrap();
    assert!(facts.nonce_used && !facts.cancelled);
    assert_eq!(script.asked().len(), 3);
}

/// A stranger's settlement of an `exact` authorization over Permit2, with or without an approval.
fn exact_settlement(sponsored: bool) -> [Value; 2] {
    let offer = fixtures::exact_offer();
    let promise = Authorization::of(&fixtures::signed(&offer).payload).unwrap();
    let admitted = fixtures::admitted_of(&offer);
    let approval =
        crate::scheme::sign_approval(&admitted, U256::ZERO, &fixtures::wallet(), fixtures::NOW);
    let approval = approval.ok().filter(|_| sponsored);
    let (proxy, input) = promise.settle_call(Amount::ZERO, approval.as_ref());
    let transaction = json!({
        "hash": keccak256("tx").to_string(),
        "to": proxy.to_string(),
        "input": hex(&input),
    });
    let settled = json!({
        "address": EXACT_PROXY.to_string(),
        "topics": [IExactProxy::SettledWithPermit::SIGNATURE_HASH.to_string()],
        "data": "0x",
    });
    let logs = [moved(promise.payer(), SELLER, 5_000), settled];
    [transaction, receipt(&logs)]
}

#[test]
fn a_strangers_settlement_through_the_exact_proxy_is_found() {
    for sponsored in [false, true] {
        let [transaction, receipt] = exact_settlement(sponsored);
        let facts = found(transaction.clone(), receipt.clone()).unwrap();
        let facts = facts.unwrap();
        assert_eq!((facts.amount, facts.pay_to), (Amount::new(5_000), SELLER));
        let with = |pointer: &str, value: Value| {
            let mut pair = json!([transaction, receipt]);
            *pair.pointer_mut(pointer).unwrap() = value;
            found(pair[0].clone(), pair[1].clone()).unwrap()
        };
        assert_eq!(with("/0/to", json!(UPTO_PROXY.to_string())), None);
        assert_eq!(
            with("/1/logs/1/address", json!(UPTO_PROXY.to_string())),
            None
        );
        assert_eq!(with("/1/logs/0/data", word(4_999)), None);
        assert_eq!(with("/1/status", json!("0x0")), None);
    }
    // The upto proxy's call sent to the exact proxy settles nothing.
    let [mut transaction, receipt] = settlement(5_000);
    transaction["to"] = json!(EXACT_PROXY.to_string());
    assert_eq!(found(transaction, receipt), Ok(None));
}
