//! Permit2 approved by EIP-2612 in the transaction that settles.

use super::*;
use crate::bindings::IExactProxy;
use crate::scheme::{self, APPROVAL_GAS, PERMIT2_GAS};

fn with_approval(offer: &Value) -> Value {
    let admitted = fixtures::admitted_of(offer);
    let approval =
        scheme::sign_approval(&admitted, U256::from(3), &fixtures::wallet(), NOW).unwrap();
    let mut payment = fixtures::payment_of(offer);
    payment["extensions"] = json!({ "eip2612GasSponsoring": approval.addition() });
    payment
}

fn offers() -> [Value; 2] {
    [fixtures::offer(), fixtures::exact_offer()]
}

#[test]
fn the_approval_is_used_first() {
    for offer in offers() {
        let plan = plan_of(&with_approval(&offer), &offer).unwrap();
        let call = plan.settle_call();
        assert_eq!(call.gas_limit, PERMIT2_GAS + APPROVAL_GAS);
        let permit = match plan.authorization() {
            Authorization::Upto(_) => {
                assert_eq!(call.input[..4], [0x01, 0x6c, 0x17, 0x48]);
                let call = IUptoProxy::settleWithPermitCall::abi_decode_validate(&call.input);
                call.unwrap().permit2612
            }
            Authorization::ExactPermit2(_) | Authorization::Eip3009(_) => {
                assert_eq!(call.input[..4], [0xfa, 0x34, 0x03, 0x78]);
                let call = IExactProxy::settleWithPermitCall::abi_decode_validate(&call.input);
                call.unwrap().permit2612
            }
        };
        assert_eq!(permit.value, U256::from(5_000));
        let sponsor = plan.sponsor().unwrap();
        let parts = [permit.r.as_slice(), permit.s.as_slice(), &[permit.v]].concat();
        assert_eq!(parts, sponsor.signature);
        // The simulation carries it: an allowance of nothing is no obstacle where it passes.
        let none = (Ask::Allowance, Ok(word(0)));
        assert_eq!(reason_with(&plan, &[none]), None);
    }
}

#[test]
fn a_metered_settlement_keeps_the_whole_approval() {
    let mut metered = fixtures::offer();
    metered["amount"] = json!("7");
    let payment = fixtures::parse(&with_approval(&fixtures::offer()));
    let rules = Rules::new(NOW, &SIGNERS);
    let plan = plan_settle(&payment, &offer_of(&metered), &rules).unwrap();
    let call =
        IUptoProxy::settleWithPermitCall::abi_decode_validate(&plan.transaction().input).unwrap();
    assert_eq!(
        (call.amount, call.permit2612.value),
        (U256::from(7), U256::from(5_000))
    );
}

#[test]
fn every_member_of_the_approval_is_checked() {
    let other = json!(Address::repeat_byte(9).to_string());
    let format = Reason::InvalidEip2612ExtensionFormat;
    for offer in offers() {
        for (member, value, reason) in [
            ("from", other.clone(), Reason::Eip2612FromMismatch),
            ("asset", other.clone(), Reason::Eip2612AssetMismatch),
            ("spender", other.clone(), Reason::Eip2612SpenderNotPermit2),
            (
                "spender",
                json!(UPTO_PROXY.to_string()),
                Reason::Eip2612SpenderNotPermit2,
            ),
            (
                "deadline",
                json!("1763596805"),
                Reason::Eip2612DeadlineExpired,
            ),
            ("amount", json!("4999"), Reason::Permit2612AmountMismatch),
            (
                "amount",
                json!(U256::MAX.to_string()),
                Reason::Permit2612AmountMismatch,
            ),
            ("nonce", json!(3), format.clone()),
            ("signature", json!("0x00"), format.clone()),
            ("version", json!("2"), format.clone()),
            ("from", json!("0x"), format.clone()),
        ] {
            let mut payment = with_approval(&offer);
            payment["extensions"]["eip2612GasSponsoring"]["info"][member] = value;
            let refused = plan_of(&payment, &offer).map(|_| ());
            assert_eq!(refused, Err(reason), "{member}");
        }
    }
}

#[test]
fn a_signature_by_which_nothing_is_approved_shows_in_the_simulation() {
    let offer = fixtures::exact_offer();
    let plan = plan_of(&with_approval(&offer), &offer).unwrap();
    let revert = (Ask::Simulation, Err(reverted(b"TRANSFER_FROM_FAILED")));
    let none = (Ask::Allowance, Ok(word(0)));
    let reason = reason_with(&plan, &[revert, none]);
    assert_eq!(reason, Some(Reason::Permit2AllowanceRequired));
}

#[test]
fn an_echoed_declaration_approves_nothing() {
    let offer = fixtures::exact_offer();
    let mut payment = with_approval(&offer);
    payment["extensions"]["eip2612GasSponsoring"]["info"] =
        json!({ "description": "text", "version": "1" });
    let plan = plan_of(&payment, &offer).unwrap();
    assert_eq!(plan.sponsor(), None);
}

#[test]
fn erc3009_needs_no_approval() {
    let offer = fixtures::transfer_offer();
    let mut payment = with_approval(&offer);
    payment["extensions"]["eip2612GasSponsoring"]["info"]["amount"] = json!("1");
    let plan = plan_of(&payment, &offer).unwrap();
    assert_eq!(plan.sponsor(), None);
    assert_eq!(plan.settle_call().gas_limit, crate::scheme::EIP3009_GAS);
}
