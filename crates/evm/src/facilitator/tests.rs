mod conclude;
mod exact;
mod mutation;
mod settle;
mod sponsor;
mod transfer;
mod wallets;

use alloy_primitives::{U256, keccak256};
use alloy_sol_types::{SolCall as _, SolValue as _};
use serde_json::{Value, json};

use super::ask::Ask;
use super::*;
use crate::bindings::{IToken, IUptoProxy, UPTO_PROXY};
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
    plan_verify(
        &fixtures::parse(payment),
        requirement,
        &Rules::new(NOW, &SIGNERS),
    )
    .map_err(|it| it.reason)
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

/// What a chain answers to any plan on which the payment can be settled.
fn good_answers(plan: &VerifyPlan) -> Vec<Result<Value, RpcError>> {
    let text = |text: &str| json!(rpc::hex(&text.abi_encode()));
    let answer = |asked: &Ask| match asked {
        Ask::PayerCode | Ask::ContractSignature | Ask::Simulation => json!("0x"),
        Ask::ProxyCode | Ask::TokenCode => json!("0x6001"),
        Ask::Allowance | Ask::Balance => word(5_000),
        Ask::Spent => word(0),
        Ask::Name => text("OpenGradient"),
        Ask::Version => text("1"),
        Ask::Counterfactual => wallets::steps(&[(true, &[]), (true, &[])]),
    };
    plan.asked.iter().map(answer).map(Ok).collect()
}

/// The reason on a good chain whose answers to some questions are others.
fn reason_with(plan: &VerifyPlan, others: &[(Ask, Result<Value, RpcError>)]) -> Option<Reason> {
    let mut answers = good_answers(plan);
    for (ask, answer) in others {
        let place = plan.asked.iter().position(|asked| asked == ask).unwrap();
        answers[place] = answer.clone();
    }
    conclude_verify(plan, &Ok(answers)).invalid_reason
}

fn plan_of(payment: &Value, offer: &Value) -> Result<VerifyPlan, Reason> {
    verify(payment, &offer_of(offer))
}

/// A payment with one member replaced, signed anew by the payer if asked for.
fn altered(offer: &Value, pointer: &str, value: Value, signed_anew: bool) -> Value {
    let mut payment = fixtures::payment_of(offer);
    *payment.pointer_mut(pointer).unwrap() = value;
    if signed_anew {
        fixtures::resign(&mut payment, &fixtures::wallet(), 8453);
    }
    payment
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
    let input = plan.settle_call().input;
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
    let refused = plan_verify(&payment, &requirement(), &Rules::new(NOW, &signers));
    let refused = refused.map(|_| ()).unwrap_err();
    assert_eq!(refused.reason, Reason::Permit2InvalidOwner);
    assert_eq!(refused.payer, Some(wallet.address()));
    let refused = plan_verify(&payment, &requirement(), &Rules::new(NOW, &[])).map(|_| ());
    assert_eq!(refused.unwrap_err().reason, Reason::UptoFacilitatorMismatch);
}

#[test]
fn times_have_the_buffers_of_the_sdks() {
    let at = |seconds: u64| {
        let payment = fixtures::parse(&fixtures::payment());
        let now = Timestamp::from_secs(seconds);
        plan_verify(&payment, &requirement(), &Rules::new(now, &SIGNERS))
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
