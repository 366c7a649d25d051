use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolEvent as _;

use super::*;

fn settle(amount: &str) -> Result<SettlePlan, Reason> {
    let mut json = fixtures::offer();
    json["amount"] = json!(amount);
    let payment = fixtures::parse(&fixtures::payment());
    plan_settle(&payment, &offer_of(&json), &Rules::new(NOW, &SIGNERS)).map_err(|it| it.reason)
}

#[test]
fn a_settlement_takes_what_was_metered() {
    let plan = settle("1234").unwrap();
    assert_eq!(plan.amount(), Amount::new(1_234));
    assert_eq!(
        (plan.sender(), plan.contract()),
        (Some(FACILITATOR), UPTO_PROXY)
    );
    assert_eq!(plan.network(), "eip155:8453");
    let call = IUptoProxy::settleCall::abi_decode(&plan.calldata()).unwrap();
    assert_eq!(call.amount, U256::from(1_234));
    assert_eq!(call.permit.permitted.amount, U256::from(5_000));
    // The simulation before it is of that amount: a payer who can pay it, pays it.
    let simulated = &plan.verify().calls()[4].params[0]["data"];
    assert_eq!(*simulated, json!(rpc::hex(&plan.calldata())));
    let response: VerifyResponse = conclude_verify(plan.verify(), &Ok(good_chain()));
    assert!(response.is_valid);
}

#[test]
fn a_settlement_takes_at_most_what_was_promised() {
    assert_eq!(settle("5000").map(|it| it.amount()), Ok(Amount::new(5_000)));
    let exceeds = Reason::InvalidUptoEvmPayloadSettlementExceedsAmount;
    assert_eq!(settle("5001").map(|_| ()), Err(exceeds.clone()));
    assert_eq!(settle(&u128::MAX.to_string()).map(|_| ()), Err(exceeds));
    assert_eq!(
        settle("-1").map(|_| ()),
        Err(Reason::InvalidPaymentRequirements)
    );
    // The echo keeps the ceiling on settle too.
    let payment = payment_with("/accepted/amount", json!("1234"), false);
    let mut json = fixtures::offer();
    json["amount"] = json!("1234");
    let refused = plan_settle(
        &fixtures::parse(&payment),
        &offer_of(&json),
        &Rules::new(NOW, &SIGNERS),
    );
    assert_eq!(
        refused.map(|_| ()).unwrap_err().reason,
        Reason::Permit2AmountMismatch
    );
}

#[test]
fn nothing_metered_settles_nothing() {
    let plan = settle("0").unwrap();
    assert!(plan.amount().is_zero());
    let chain = with(4, Err(reverted(&[0x2c, 0x52, 0x11, 0xc6])));
    assert!(conclude_verify(plan.verify(), &Ok(chain)).is_valid);
}

pub(super) fn log(address: Address, topics: &[B256], data: &[u8]) -> Value {
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    json!({ "address": rpc::hex(address.as_slice()), "topics": topics, "data": rpc::hex(data) })
}

pub(super) fn transfer(token: Address, from: Address, to: Address, value: u64) -> Value {
    let topics = [
        IToken::Transfer::SIGNATURE_HASH,
        from.into_word(),
        to.into_word(),
    ];
    log(token, &topics, &U256::from(value).to_be_bytes::<32>())
}

pub(super) fn tx_receipt(status: &str, logs: &[Value]) -> Value {
    json!({
        "transactionHash": keccak256("tx").to_string(),
        "blockNumber": "0x10",
        "blockHash": keccak256("block").to_string(),
        "status": status,
        "logs": logs,
    })
}

#[test]
fn a_settlement_is_what_the_logs_say() {
    let plan = good_plan();
    let payer = plan.payer();
    let settled = log(UPTO_PROXY, &[IUptoProxy::Settled::SIGNATURE_HASH], &[]);
    let moved = transfer(TOKEN, payer, SELLER, 1_234);
    let check = |receipt: &Value| check_settled(receipt, plan.authorization(), Amount::new(1_234));
    let good = check(&tx_receipt("0x1", &[moved.clone(), settled.clone()])).unwrap();
    assert_eq!(good.transaction, keccak256("tx"));
    assert_eq!(
        (good.block_number, good.block_hash),
        (16, keccak256("block"))
    );
    assert_eq!(good.amount, Amount::new(1_234));

    let failed = check(&tx_receipt("0x0", &[moved.clone(), settled.clone()]));
    assert_eq!(failed, Err(Reason::InvalidUptoEvmTransactionFailed));

    let other = Address::repeat_byte(9);
    let mismatch = Err(Reason::InvalidUptoEvmTransferEventMismatch);
    for logs in [
        vec![],
        vec![settled.clone()],
        vec![moved.clone()],
        vec![transfer(other, payer, SELLER, 1_234), settled.clone()],
        vec![transfer(TOKEN, other, SELLER, 1_234), settled.clone()],
        vec![transfer(TOKEN, payer, other, 1_234), settled.clone()],
        vec![transfer(TOKEN, payer, SELLER, 1_233), settled],
        vec![
            moved.clone(),
            log(other, &[IUptoProxy::Settled::SIGNATURE_HASH], &[]),
        ],
        vec![moved, log(UPTO_PROXY, &[keccak256("Other()")], &[])],
    ] {
        let receipt = tx_receipt("0x1", &logs);
        assert_eq!(check(&receipt), mismatch, "{receipt}");
    }
    for broken in [json!(null), json!({}), json!({ "status": "0x1" })] {
        assert_eq!(
            check(&broken),
            Err(Reason::UnexpectedSettleError),
            "{broken}"
        );
    }
}
