use alloy_primitives::{B256, keccak256};
use alloy_sol_types::{SolError as _, SolEvent as _};
use serde_json::{Value, json};

use super::*;
use crate::bindings::IUptoProxy;
use crate::fixtures::{self, Answer, FACILITATOR, NOW, SELLER, TOKEN, reverted, word};
use crate::x402::VerifyResponse;
use crate::{RpcError, TransportError, Wallet, rpc};

const SIGNERS: [Address; 2] = [Address::repeat_byte(0x77), FACILITATOR];

fn requirement() -> Offer {
    offer_of(&fixtures::offer())
}

fn offer_of(json: &Value) -> Offer {
    Offer::parse(json.to_string().as_bytes()).unwrap()
}

fn verify(payment: &Value, requirement: &Offer) -> Result<VerifyPlan, Reason> {
    plan_verify(&fixtures::parse(payment), requirement, NOW, &SIGNERS).map_err(|it| it.reason)
}

fn good_plan() -> VerifyPlan {
    verify(&fixtures::payment(), &requirement()).unwrap()
}

/// What a chain answers on which the payment can be settled, in the order of the batch.
fn good_chain() -> Vec<Result<Value, RpcError>> {
    vec![
        Ok(json!("0x")),
        Ok(json!("0x6001")),
        Ok(json!("0x6002")),
        Ok(json!("0x")),
        Ok(json!("0x")),
        Ok(word(5_000)),
        Ok(word(5_000)),
        Ok(word(0)),
    ]
}

fn reason_on(chain: Vec<Result<Value, RpcError>>) -> Option<Reason> {
    let response = conclude_verify(&good_plan(), &Ok(chain));
    assert_eq!(response.is_valid, response.invalid_reason.is_none());
    let payer = fixtures::wallet().address().to_string();
    assert_eq!(response.payer, Some(payer));
    response.invalid_reason
}

fn with(index: usize, result: Result<Value, RpcError>) -> Vec<Result<Value, RpcError>> {
    let mut chain = good_chain();
    chain[index] = result;
    chain
}

fn down() -> RpcError {
    RpcError {
        code: -32_000,
        message: "header not found".to_owned(),
        data: None,
    }
}

#[test]
fn a_good_payment_is_valid() {
    let plan = good_plan();
    assert_eq!(plan.calls().len(), good_chain().len());
    assert_eq!(plan.payer(), fixtures::wallet().address());
    assert_eq!(reason_on(good_chain()), None);
}

#[test]
fn the_simulation_is_the_settlement_from_the_bound_facilitator() {
    let plan = good_plan();
    let simulation = &plan.calls()[4];
    assert_eq!(simulation.method, "eth_call");
    let transaction = &simulation.params[0];
    assert_eq!(transaction["from"], json!(rpc::hex(FACILITATOR.as_slice())));
    assert_eq!(transaction["to"], json!(rpc::hex(UPTO_PROXY.as_slice())));
    let input = settle_call(plan.permit(), Amount::new(5_000));
    assert_eq!(transaction["data"], json!(rpc::hex(&input)));
    assert_eq!(transaction["gas"], json!("0x493e0"));
}

/// Flips one member of the payment, by pointer.
fn payment_with(pointer: &str, value: Value, signed_anew: bool) -> Value {
    let mut payment = fixtures::payment();
    *payment.pointer_mut(pointer).unwrap() = value;
    if signed_anew {
        fixtures::resign(&mut payment, &fixtures::wallet(), 8453);
    }
    payment
}

#[test]
fn every_member_of_the_authorization_is_checked_even_if_the_payer_signs_it() {
    let other = json!(Address::repeat_byte(9).to_string());
    let base = "/payload/permit2Authorization";
    let cases = [
        ("spender", other.clone(), Reason::InvalidPermit2Spender),
        (
            "witness/to",
            other.clone(),
            Reason::InvalidPermit2RecipientMismatch,
        ),
        (
            "witness/facilitator",
            other.clone(),
            Reason::UptoFacilitatorMismatch,
        ),
        (
            "deadline",
            json!("1763596805"),
            Reason::Permit2DeadlineExpired,
        ),
        (
            "witness/validAfter",
            json!("1763596801"),
            Reason::Permit2NotYetValid,
        ),
        (
            "permitted/amount",
            json!("4999"),
            Reason::Permit2AmountMismatch,
        ),
        (
            "permitted/amount",
            json!("5001"),
            Reason::Permit2AmountMismatch,
        ),
        ("permitted/token", other, Reason::Permit2TokenMismatch),
    ];
    for (member, value, reason) in cases {
        let payment = payment_with(&format!("{base}/{member}"), value, true);
        let refused = verify(&payment, &requirement()).map(|_| ());
        assert_eq!(refused, Err(reason), "{member}");
    }
    // Another of our own signers than the one that the seller named.
    let own = json!(SIGNERS[0].to_string());
    let payment = payment_with(&format!("{base}/witness/facilitator"), own, true);
    let refused = verify(&payment, &requirement()).map(|_| ());
    assert_eq!(refused, Err(Reason::UptoFacilitatorMismatch));
}

#[test]
fn every_member_of_the_authorization_is_signed() {
    // These pass every rule without a chain; only the signature tells.
    let base = "/payload/permit2Authorization";
    let chain = Ok(good_chain());
    for (member, value) in [
        ("nonce", json!("1")),
        ("deadline", json!("1763597099")),
        ("witness/validAfter", json!("0")),
        ("from", json!(Address::repeat_byte(9).to_string())),
    ] {
        let payment = payment_with(&format!("{base}/{member}"), value, false);
        let plan = verify(&payment, &requirement()).unwrap();
        let reason = conclude_verify(&plan, &chain).invalid_reason;
        assert_eq!(reason, Some(Reason::InvalidPermit2Signature), "{member}");
    }
    let signature = fixtures::payment()["payload"]["signature"].clone();
    let signature = hex::decode(signature.as_str().unwrap()).unwrap();
    for place in 0..signature.len() {
        let mut flipped = signature.clone();
        flipped[place] ^= 1;
        let payment = payment_with("/payload/signature", json!(rpc::hex(&flipped)), false);
        let plan = verify(&payment, &requirement()).unwrap();
        let reason = conclude_verify(&plan, &chain).invalid_reason;
        assert_eq!(
            reason,
            Some(Reason::InvalidPermit2Signature),
            "byte {place}"
        );
    }
}

#[test]
fn every_member_of_the_echo_is_checked() {
    let other = json!(Address::repeat_byte(9).to_string());
    for (pointer, value, reason) in [
        ("scheme", json!("exact"), Reason::InvalidUptoEvmScheme),
        (
            "network",
            json!("eip155:1"),
            Reason::InvalidUptoEvmNetworkMismatch,
        ),
        (
            "payTo",
            other.clone(),
            Reason::InvalidPermit2RecipientMismatch,
        ),
        ("amount", json!("1"), Reason::Permit2AmountMismatch),
        ("asset", other.clone(), Reason::Permit2TokenMismatch),
        (
            "maxTimeoutSeconds",
            json!(301),
            Reason::InvalidPaymentRequirements,
        ),
        ("extra/name", json!("x"), Reason::InvalidPaymentRequirements),
        (
            "extra/version",
            json!("x"),
            Reason::InvalidPaymentRequirements,
        ),
        (
            "extra/assetTransferMethod",
            json!("x"),
            Reason::InvalidPaymentRequirements,
        ),
        (
            "extra/facilitatorAddress",
            other,
            Reason::InvalidPaymentRequirements,
        ),
    ] {
        let payment = payment_with(&format!("/accepted/{pointer}"), value, false);
        let refused = verify(&payment, &requirement()).map(|_| ());
        assert_eq!(refused, Err(reason), "{pointer}");
    }
}

#[test]
fn every_member_of_the_requirement_is_checked() {
    let other = json!(Address::repeat_byte(9).to_string());
    for (pointer, value, reason) in [
        ("scheme", json!("exact"), Reason::InvalidUptoEvmScheme),
        (
            "network",
            json!("eip155:1"),
            Reason::InvalidUptoEvmNetworkMismatch,
        ),
        (
            "network",
            json!("solana:1"),
            Reason::InvalidUptoEvmNetworkMismatch,
        ),
        (
            "payTo",
            other.clone(),
            Reason::InvalidPermit2RecipientMismatch,
        ),
        (
            "payTo",
            json!("merchant"),
            Reason::InvalidPaymentRequirements,
        ),
        ("asset", other.clone(), Reason::Permit2TokenMismatch),
        ("asset", json!("EUR"), Reason::InvalidPaymentRequirements),
        ("amount", json!("4999"), Reason::Permit2AmountMismatch),
        ("amount", json!("5001"), Reason::Permit2AmountMismatch),
        ("amount", json!("1.5"), Reason::InvalidPaymentRequirements),
        (
            "maxTimeoutSeconds",
            json!(299),
            Reason::InvalidPaymentRequirements,
        ),
        ("extra/name", json!("x"), Reason::InvalidPaymentRequirements),
        (
            "extra/facilitatorAddress",
            other,
            Reason::UptoFacilitatorMismatch,
        ),
    ] {
        let mut json = fixtures::offer();
        *json.pointer_mut(&format!("/{pointer}")).unwrap() = value;
        let refused = verify(&fixtures::payment(), &offer_of(&json)).map(|_| ());
        assert_eq!(refused, Err(reason), "{pointer}");
    }
}

#[test]
fn broken_payloads_have_one_reason() {
    for pointer in ["from", "nonce", "deadline", "witness", "permitted"] {
        let pointer = format!("/payload/permit2Authorization/{pointer}");
        let payment = payment_with(&pointer, json!("x"), false);
        let refused = verify(&payment, &requirement()).map(|_| ());
        assert_eq!(
            refused,
            Err(Reason::InvalidPermit2PayloadFormat),
            "{pointer}"
        );
    }
}

#[test]
fn a_facilitator_is_no_payer() {
    let wallet = fixtures::wallet();
    let payment = fixtures::parse(&fixtures::payment());
    let signers = [FACILITATOR, wallet.address()];
    let refused = plan_verify(&payment, &requirement(), NOW, &signers);
    let refused = refused.map(|_| ()).unwrap_err();
    assert_eq!(refused.reason, Reason::Permit2InvalidOwner);
    assert_eq!(refused.payer, Some(wallet.address()));
    let refused = plan_verify(&payment, &requirement(), NOW, &[]).map(|_| ());
    assert_eq!(refused.unwrap_err().reason, Reason::UptoFacilitatorMismatch);
}

#[test]
fn times_have_the_buffers_of_the_sdks() {
    let at = |seconds: u64| {
        let payment = fixtures::parse(&fixtures::payment());
        let now = Timestamp::from_secs(seconds);
        plan_verify(&payment, &requirement(), now, &SIGNERS)
            .map(|_| ())
            .map_err(|it| it.reason)
    };
    let deadline = NOW.as_secs() + 300;
    assert_eq!(at(deadline - 6), Ok(()));
    assert_eq!(at(deadline - 5), Err(Reason::Permit2DeadlineExpired));
    let valid_after = NOW.as_secs() - 600;
    assert_eq!(at(valid_after), Ok(()));
    assert_eq!(at(valid_after - 1), Err(Reason::Permit2NotYetValid));
}

#[test]
fn a_chain_that_does_not_answer_makes_nothing_valid() {
    let closed = Some(Reason::UnexpectedVerifyError);
    for index in [0, 1, 2, 4] {
        assert_eq!(reason_on(with(index, Err(down()))), closed, "{index}");
        assert_eq!(reason_on(with(index, Ok(json!(null)))), closed, "{index}");
        assert_eq!(reason_on(with(index, Ok(json!("6001")))), closed, "{index}");
    }
    let mut short = good_chain();
    short.pop();
    assert_eq!(reason_on(short), closed);
    assert_eq!(reason_on(Vec::new()), closed);
    let silent: Answer = Err(TransportError {
        kind: rpc::TransportKind::Timeout,
        detail: String::new(),
    });
    let response = conclude_verify(&good_plan(), &silent);
    assert_eq!(response.invalid_reason, closed);
    assert!(!response.is_valid);
}

#[test]
fn the_code_at_the_payer_chooses_the_signature_check() {
    let contract = |answer: Result<Value, RpcError>| {
        let mut chain = with(0, Ok(json!("0xef0100")));
        chain[3] = answer;
        reason_on(chain)
    };
    let magic = format!("0x1626ba7e{}", "0".repeat(56));
    assert_eq!(contract(Ok(json!(magic))), None);
    // An account's own signature does not count once there is code: Permit2 would not accept it.
    let refused = Some(Reason::InvalidPermit2Signature);
    for answer in ["0x", "0x1626ba7e", "0x00"] {
        assert_eq!(contract(Ok(json!(answer))), refused, "{answer}");
    }
    assert_eq!(contract(Ok(word(0x1626_ba7e))), refused);
    assert_eq!(contract(Err(reverted(&[]))), refused);
    assert_eq!(contract(Err(down())), Some(Reason::UnexpectedVerifyError));
    // Without code the contract's answer is not looked at.
    assert_eq!(reason_on(with(3, Err(down()))), None);
}

#[test]
fn a_contract_payer_may_sign_as_it_likes() {
    let payment = payment_with("/payload/signature", json!("0x010203"), false);
    let plan = verify(&payment, &requirement()).unwrap();
    let mut chain = with(0, Ok(json!("0x60")));
    chain[3] = Ok(json!(format!("0x1626ba7e{}", "0".repeat(56))));
    assert!(conclude_verify(&plan, &Ok(chain)).is_valid);
    let chain = Ok(good_chain());
    let reason = conclude_verify(&plan, &chain).invalid_reason;
    assert_eq!(reason, Some(Reason::InvalidPermit2Signature));
}

#[test]
fn contracts_must_exist() {
    let empty = || Ok(json!("0x"));
    assert_eq!(
        reason_on(with(1, empty())),
        Some(Reason::Permit2ProxyNotDeployed)
    );
    assert_eq!(
        reason_on(with(2, empty())),
        Some(Reason::AssetNotDeployedContract)
    );
}

#[test]
fn reverts_name_their_reason() {
    for (selector, reason) in [
        ("2c5211c6", Reason::Permit2InvalidAmount),
        ("ac6b05f5", Reason::Permit2InvalidDestination),
        ("49e27cff", Reason::Permit2InvalidOwner),
        ("a65539fa", Reason::Permit2PaymentTooEarly),
        ("050cda49", Reason::Permit2612AmountMismatch),
        ("0f6fae87", Reason::UptoUnauthorizedFacilitator),
        ("fe64b4c7", Reason::UptoAmountExceedsPermitted),
        ("756688fe", Reason::Permit2InvalidNonce),
        ("cd21db4f", Reason::Permit2DeadlineExpired),
        ("815e1d64", Reason::InvalidPermit2Signature),
        ("8baa579f", Reason::InvalidPermit2Signature),
        ("4be6321b", Reason::InvalidPermit2Signature),
        ("b0669cbc", Reason::InvalidPermit2Signature),
    ] {
        let data = hex::decode(format!("{selector}{}", "00".repeat(32))).unwrap();
        let reason_seen = reason_on(with(4, Err(reverted(&data))));
        assert_eq!(reason_seen, Some(reason), "{selector}");
    }
    assert_eq!(
        IUptoProxy::InvalidAmount::SELECTOR,
        [0x2c, 0x52, 0x11, 0xc6]
    );
}

#[test]
fn reverts_without_a_reason_are_diagnosed() {
    let silent = |index: usize, value: Value| {
        let mut chain = with(4, Err(reverted(b"unknown selector")));
        chain[index] = Ok(value);
        reason_on(chain)
    };
    assert_eq!(
        silent(5, word(4_999)),
        Some(Reason::Permit2AllowanceRequired)
    );
    assert_eq!(
        silent(6, word(4_999)),
        Some(Reason::Permit2InsufficientBalance)
    );
    assert_eq!(
        silent(5, word(5_000)),
        Some(Reason::Permit2SimulationFailed)
    );
    let [.., last] = fixtures::auth_nonce().0;
    let bit = U256::from(1) << usize::from(last);
    let spent = json!(format!("{bit:#066x}"));
    assert_eq!(silent(7, spent), Some(Reason::Permit2InvalidNonce));
    // A neighbour's bit says nothing about this nonce.
    let neighbour = U256::from(1) << usize::from(last ^ 1);
    let neighbour = json!(format!("{neighbour:#066x}"));
    assert_eq!(silent(7, neighbour), Some(Reason::Permit2SimulationFailed));
    // Diagnosis that cannot be had leaves the payment invalid.
    let mut chain = with(4, Err(reverted(&[])));
    for result in &mut chain[5..] {
        *result = Err(down());
    }
    assert_eq!(reason_on(chain), Some(Reason::Permit2SimulationFailed));
}

#[test]
fn endpoints_spell_reverts_differently() {
    let error = |code, message: &str, data: Option<Value>| RpcError {
        code,
        message: message.to_owned(),
        data,
    };
    let nonce = "0x756688fe";
    let spellings = [
        error(3, "execution reverted", Some(json!(nonce))),
        error(-32_000, "execution reverted", Some(json!(nonce))),
        error(
            -32_603,
            "VM: execution reverted",
            Some(json!({ "data": nonce })),
        ),
    ];
    for spelling in spellings {
        let reason = reason_on(with(4, Err(spelling)));
        assert_eq!(reason, Some(Reason::Permit2InvalidNonce));
    }
    let bare = reason_on(with(4, Err(error(-32_000, "execution reverted", None))));
    assert_eq!(bare, Some(Reason::Permit2SimulationFailed));
    let other = reason_on(with(
        4,
        Err(error(-32_000, "rate limited", Some(json!(nonce)))),
    ));
    assert_eq!(other, Some(Reason::UnexpectedVerifyError));
}

fn settle(amount: &str) -> Result<SettlePlan, Reason> {
    let mut json = fixtures::offer();
    json["amount"] = json!(amount);
    let payment = fixtures::parse(&fixtures::payment());
    plan_settle(&payment, &offer_of(&json), NOW, &SIGNERS).map_err(|it| it.reason)
}

#[test]
fn a_settlement_takes_what_was_metered() {
    let plan = settle("1234").unwrap();
    assert_eq!(plan.amount(), Amount::new(1_234));
    assert_eq!((plan.sender(), plan.contract()), (FACILITATOR, UPTO_PROXY));
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
    let refused = plan_settle(&fixtures::parse(&payment), &offer_of(&json), NOW, &SIGNERS);
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

fn log(address: Address, topics: &[B256], data: &[u8]) -> Value {
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    json!({ "address": rpc::hex(address.as_slice()), "topics": topics, "data": rpc::hex(data) })
}

fn transfer(token: Address, from: Address, to: Address, value: u64) -> Value {
    let topics = [
        IToken::Transfer::SIGNATURE_HASH,
        from.into_word(),
        to.into_word(),
    ];
    log(token, &topics, &U256::from(value).to_be_bytes::<32>())
}

fn tx_receipt(status: &str, logs: &[Value]) -> Value {
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
    let check = |receipt: &Value| check_settled(receipt, plan.permit(), Amount::new(1_234));
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
        vec![transfer(TOKEN, payer, SELLER, 1_233), settled.clone()],
        vec![
            moved.clone(),
            log(other, &[IUptoProxy::Settled::SIGNATURE_HASH], &[]),
        ],
        vec![moved.clone(), log(UPTO_PROXY, &[keccak256("Other()")], &[])],
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

#[test]
fn another_key_signs_nothing_for_the_payer() {
    let mut payment = fixtures::payment();
    let thief = Wallet::from_bytes(&keccak256("thief").0).unwrap();
    fixtures::resign(&mut payment, &thief, 8453);
    let plan = verify(&payment, &requirement()).unwrap();
    let reason = conclude_verify(&plan, &Ok(good_chain())).invalid_reason;
    assert_eq!(reason, Some(Reason::InvalidPermit2Signature));
    // The same authorization on another chain is another digest.
    fixtures::resign(&mut payment, &fixtures::wallet(), 1);
    let plan = verify(&payment, &requirement()).unwrap();
    let reason = conclude_verify(&plan, &Ok(good_chain())).invalid_reason;
    assert_eq!(reason, Some(Reason::InvalidPermit2Signature));
}
