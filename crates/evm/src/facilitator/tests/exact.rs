//! `exact` over Permit2.

use alloy_sol_types::SolEvent as _;

use super::*;
use crate::bindings::{EXACT_PROXY, IExactProxy};

fn offer() -> Value {
    fixtures::exact_offer()
}

fn plan() -> VerifyPlan {
    plan_of(&fixtures::payment_of(&offer()), &offer()).unwrap()
}

const BASE: &str = "/payload/permit2Authorization";

#[test]
fn a_good_payment_is_valid_and_settles_through_the_exact_proxy() {
    let plan = plan();
    assert_eq!(reason_with(&plan, &[]), None);
    let call = plan.settle_call();
    assert_eq!(
        (call.to, call.gas_limit),
        (EXACT_PROXY, crate::scheme::PERMIT2_GAS)
    );
    assert_eq!(call.input[..4], [0x13, 0xcd, 0x3b, 0x53]);
    let call = IExactProxy::settleCall::abi_decode_validate(&call.input).unwrap();
    assert_eq!(call.permit.permitted.amount, U256::from(5_000));
    assert_eq!(call.witness.to, SELLER);
    assert_eq!(call.signature.len(), 65);
}

#[test]
fn every_member_of_the_authorization_is_checked_even_if_the_payer_signs_it() {
    let other = json!(Address::repeat_byte(9).to_string());
    let cases = [
        ("spender", other.clone(), Reason::InvalidPermit2Spender),
        // The proxy of the other scheme would let a facilitator of the payer's choice settle less.
        (
            "spender",
            json!(UPTO_PROXY.to_string()),
            Reason::InvalidPermit2Spender,
        ),
        (
            "witness/to",
            other.clone(),
            Reason::InvalidPermit2RecipientMismatch,
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
        let payment = altered(&offer(), &format!("{BASE}/{member}"), value, true);
        for phase in [Phase::Verify, Phase::Settle] {
            let rules = Rules::new(NOW, &SIGNERS);
            let bound = bind(
                &fixtures::parse(&payment),
                &offer_of(&offer()),
                phase,
                &rules,
            );
            let refused = bound.map(|_| ()).map_err(|it| it.reason);
            assert_eq!(refused, Err(reason.clone()), "{member}");
        }
    }
}

#[test]
fn exactly_the_amount_is_settled() {
    for amount in ["4999", "5001", "0"] {
        let mut required = offer();
        required["amount"] = json!(amount);
        let payment = fixtures::parse(&fixtures::payment_of(&offer()));
        let rules = Rules::new(NOW, &SIGNERS);
        let plan = plan_settle(&payment, &offer_of(&required), &rules);
        let refused = plan.map(|_| ()).map_err(|it| it.reason);
        assert_eq!(refused, Err(Reason::Permit2AmountMismatch), "{amount}");
    }
    let mut free = offer();
    free["amount"] = json!("0");
    let mut payment = fixtures::payment_of(&offer());
    payment["accepted"] = free.clone();
    payment["payload"]["permit2Authorization"]["permitted"]["amount"] = json!("0");
    fixtures::resign(&mut payment, &fixtures::wallet(), 8453);
    let refused = plan_of(&payment, &free).map(|_| ());
    assert_eq!(refused, Err(Reason::Permit2InvalidAmount));
}

#[test]
fn every_member_of_the_authorization_is_signed() {
    for (member, value) in [
        ("nonce", json!("1")),
        ("deadline", json!("1763597099")),
        ("witness/validAfter", json!("0")),
        ("from", json!(Address::repeat_byte(9).to_string())),
    ] {
        let payment = altered(&offer(), &format!("{BASE}/{member}"), value, false);
        let plan = plan_of(&payment, &offer()).unwrap();
        let expected = Some(Reason::InvalidPermit2Signature);
        assert_eq!(reason_with(&plan, &[]), expected, "{member}");
    }
}

#[test]
fn an_upto_authorization_is_not_exact() {
    // Its witness names a facilitator: under the exact proxy's type it is another digest.
    let mut payment = fixtures::payment();
    payment["accepted"] = offer();
    payment["payload"]["permit2Authorization"]["spender"] = json!(EXACT_PROXY.to_string());
    let plan = plan_of(&payment, &offer()).unwrap();
    let expected = Some(Reason::InvalidPermit2Signature);
    assert_eq!(reason_with(&plan, &[]), expected);
}

#[test]
fn a_payer_of_our_own_and_an_empty_signature_are_refused() {
    let signers = [fixtures::wallet().address()];
    let payment = fixtures::parse(&fixtures::payment_of(&offer()));
    let plan = plan_verify(&payment, &offer_of(&offer()), &Rules::new(NOW, &signers));
    let reason = plan.map(|_| ()).map_err(|it| it.reason);
    assert_eq!(reason, Err(Reason::Permit2InvalidOwner));
    let payment = altered(&offer(), "/payload/signature", json!("0x"), false);
    let refused = plan_of(&payment, &offer()).map(|_| ());
    assert_eq!(refused, Err(Reason::InvalidPermit2Signature));
}

#[test]
fn reverts_are_named_or_diagnosed() {
    let plan = plan();
    let silent = |ask: Ask, answer: Value| {
        let revert = Err(reverted(b"TRANSFER_FROM_FAILED"));
        reason_with(&plan, &[(Ask::Simulation, revert), (ask, Ok(answer))])
    };
    let allowance = Some(Reason::Permit2AllowanceRequired);
    assert_eq!(silent(Ask::Allowance, word(4_999)), allowance);
    let balance = Some(Reason::Permit2InsufficientBalance);
    assert_eq!(silent(Ask::Balance, word(4_999)), balance);
    let unnamed = Some(Reason::Permit2SimulationFailed);
    assert_eq!(silent(Ask::Balance, word(5_000)), unnamed);
    let nonce = Err(reverted(&[0x75, 0x66, 0x88, 0xfe]));
    let nonce = reason_with(&plan, &[(Ask::Simulation, nonce)]);
    assert_eq!(nonce, Some(Reason::Permit2InvalidNonce));
    let proxy = reason_with(&plan, &[(Ask::ProxyCode, Ok(json!("0x")))]);
    assert_eq!(proxy, Some(Reason::Permit2ProxyNotDeployed));
}

#[test]
fn a_settlement_is_what_the_token_and_the_exact_proxy_log() {
    let plan = plan();
    let payer = plan.payer();
    let moved = settle::transfer(TOKEN, payer, SELLER, 5_000);
    let by = |proxy: Address| settle::log(proxy, &[IExactProxy::Settled::SIGNATURE_HASH], &[]);
    let check = |logs: &[Value]| {
        let receipt = settle::tx_receipt("0x1", logs);
        check_settled(&receipt, plan.authorization(), Amount::new(5_000)).map(|_| ())
    };
    assert_eq!(check(&[moved.clone(), by(EXACT_PROXY)]), Ok(()));
    let mismatch = Err(Reason::InvalidExactEvmTransferEventMismatch);
    for logs in [
        vec![moved.clone()],
        vec![by(EXACT_PROXY)],
        vec![moved, by(UPTO_PROXY)],
        vec![
            settle::transfer(TOKEN, payer, SELLER, 4_999),
            by(EXACT_PROXY),
        ],
    ] {
        assert_eq!(check(&logs), mismatch);
    }
}
