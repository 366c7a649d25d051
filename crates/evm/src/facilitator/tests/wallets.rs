//! Payers that are contracts, are delegated, or do not exist yet.

use alloy_primitives::Bytes;
use alloy_sol_types::SolError as _;

use super::*;
use crate::bindings::{IMulticall3, MULTICALL3};
use crate::scheme::wrap;

const FACTORY: Address = Address::repeat_byte(0x66);

/// What Multicall3 answers.
pub(super) fn steps(steps: &[(bool, &[u8])]) -> Value {
    let results: Vec<_> = steps
        .iter()
        .map(|(success, data)| IMulticall3::Result {
            success: *success,
            returnData: Bytes::copy_from_slice(data),
        })
        .collect();
    json!(rpc::hex(&IMulticall3::aggregate3Call::abi_encode_returns(
        &results
    )))
}

fn magic() -> Value {
    json!(format!("0x1626ba7e{}", "0".repeat(56)))
}

fn offers() -> [Value; 3] {
    [
        fixtures::offer(),
        fixtures::exact_offer(),
        fixtures::transfer_offer(),
    ]
}

fn bad_signature(plan: &VerifyPlan) -> Option<Reason> {
    Some(match plan.authorization() {
        Authorization::Eip3009(_) => Reason::InvalidExactEvmPayloadSignature,
        Authorization::ExactPermit2(_) | Authorization::Upto(_) => Reason::InvalidPermit2Signature,
    })
}

fn wrapped(offer: &Value) -> Value {
    let bytes = wrap(FACTORY, b"deploy", b"inner");
    altered(offer, "/payload/signature", json!(rpc::hex(&bytes)), false)
}

fn plan_with(offer: &Value, factories: &[Address]) -> VerifyPlan {
    let rules = Rules {
        factories,
        ..Rules::new(NOW, &SIGNERS)
    };
    let payment = fixtures::parse(&wrapped(offer));
    plan_verify(&payment, &offer_of(offer), &rules).unwrap()
}

#[test]
fn a_delegated_account_is_judged_by_its_code_alone() {
    for offer in offers() {
        // The account's own key made the signature, and that is not enough.
        let plan = plan_of(&fixtures::payment_of(&offer), &offer).unwrap();
        let code = format!("0xef0100{}", "11".repeat(20));
        let delegated = |answer| {
            let code = (Ask::PayerCode, Ok(json!(code)));
            reason_with(&plan, &[code, (Ask::ContractSignature, answer)])
        };
        assert_eq!(delegated(Ok(magic())), None);
        for answer in [json!("0x"), json!("0xffffffff"), word(1), word(0x1626_ba7e)] {
            assert_eq!(delegated(Ok(answer)), bad_signature(&plan));
        }
        assert_eq!(delegated(Err(reverted(&[]))), bad_signature(&plan));
        let closed = Some(Reason::UnexpectedVerifyError);
        assert_eq!(delegated(Err(down())), closed);
    }
}

#[test]
fn an_account_without_code_signs_with_its_key_alone() {
    for offer in offers() {
        let good = fixtures::payment_of(&offer)["payload"]["signature"].clone();
        let good = hex::decode(good.as_str().unwrap()).unwrap();
        let mut high_s = good.clone();
        let s = U256::from_be_slice(&good[32..64]);
        let order = U256::from_str_radix(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
            16,
        );
        high_s[32..64].copy_from_slice(&(order.unwrap() - s).to_be_bytes::<32>());
        high_s[64] = if good[64] == 27 { 28 } else { 27 };
        let mut parity = good.clone();
        parity[64] -= 27;
        let compact = good[..64].to_vec();
        for signature in [high_s, parity, compact] {
            let signature = json!(rpc::hex(&signature));
            let payment = altered(&offer, "/payload/signature", signature, false);
            let plan = plan_of(&payment, &offer).unwrap();
            // Even if a contract's answer stood in the batch.
            let magic = (Ask::ContractSignature, Ok(magic()));
            assert_eq!(reason_with(&plan, &[magic]), bad_signature(&plan));
        }
    }
    let long = altered(
        &fixtures::transfer_offer(),
        "/payload/signature",
        json!(rpc::hex(&[1; 96])),
        false,
    );
    let plan = plan_of(&long, &fixtures::transfer_offer()).unwrap();
    let undeployed = Some(Reason::InvalidExactEvmPayloadUndeployedSmartWallet);
    assert_eq!(reason_with(&plan, &[]), undeployed);
}

#[test]
fn no_factory_is_allowed_that_is_not_listed() {
    for offer in offers() {
        for factories in [&[][..], &[Address::repeat_byte(0x67)]] {
            let plan = plan_with(&offer, factories);
            assert!(!plan.asked.contains(&Ask::Counterfactual));
            let refused = Some(Reason::Eip6492FactoryNotAllowed);
            assert_eq!(reason_with(&plan, &[]), refused);
            // Once the wallet is there, nobody needs the factory.
            let code = (Ask::PayerCode, Ok(json!("0x60")));
            let magic = (Ask::ContractSignature, Ok(magic()));
            assert_eq!(reason_with(&plan, &[code, magic]), None);
        }
    }
}

#[test]
fn an_undeployed_wallet_is_deployed_and_settled_in_one_call() {
    for offer in [fixtures::exact_offer(), fixtures::transfer_offer()] {
        let plan = plan_with(&offer, &[FACTORY]);
        let call = plan.calls().last().unwrap();
        let transaction = &call.params[0];
        assert_eq!(transaction["to"], json!(rpc::hex(MULTICALL3.as_slice())));
        let input = hex::decode(transaction["data"].as_str().unwrap()).unwrap();
        let input = IMulticall3::aggregate3Call::abi_decode_validate(&input).unwrap();
        let [deploy, settle] = input.calls.as_slice() else {
            panic!("two steps");
        };
        assert_eq!(
            (deploy.target, deploy.callData.as_ref()),
            (FACTORY, &b"deploy"[..])
        );
        let settlement = plan.settle_call();
        assert_eq!(
            (settle.target, &settle.callData),
            (settlement.to, &settlement.input)
        );
        // What settles is the inner signature.
        assert!(settlement.input.windows(5).any(|bytes| bytes == b"inner"));
        assert!(!settlement.input.windows(6).any(|bytes| bytes == b"deploy"));

        assert_eq!(reason_with(&plan, &[]), None);
        let answered = |answer| reason_with(&plan, &[(Ask::Counterfactual, answer)]);
        let failed = Some(Reason::SmartWalletDeploymentFailed);
        assert_eq!(answered(Ok(steps(&[(false, &[]), (true, &[])]))), failed);
        let unnamed = Some(revert::unnamed(&plan));
        assert_eq!(answered(Ok(steps(&[(true, &[]), (false, &[])]))), unnamed);
        let closed = Some(Reason::UnexpectedVerifyError);
        assert_eq!(answered(Ok(steps(&[(true, &[])]))), closed);
        assert_eq!(answered(Ok(steps(&[]))), closed);
        assert_eq!(answered(Ok(json!("0x"))), closed);
        assert_eq!(answered(Err(reverted(&[]))), closed);
        assert_eq!(answered(Err(down())), closed);
        // Multicall3 lets each step fail: that all of it halts is the doing of a step.
        for message in ["out of gas", "EVM error OutOfGas"] {
            let halt = RpcError {
                message: message.to_owned(),
                ..down()
            };
            assert_eq!(answered(Err(halt)), unnamed, "{message}");
        }
        // Only that call counts: the settlement alone cannot say anything about such a wallet.
        let alone = (Ask::Simulation, Err(reverted(&[])));
        assert_eq!(reason_with(&plan, &[alone]), None);
    }
    let plan = plan_with(&fixtures::transfer_offer(), &[FACTORY]);
    let used = crate::bindings::ITokenErrors::AuthorizationUsedOrCanceled::SELECTOR;
    let answer = Ok(steps(&[(true, &[]), (false, &used)]));
    let used = reason_with(&plan, &[(Ask::Counterfactual, answer)]);
    assert_eq!(used, Some(Reason::InvalidExactEvmNonceAlreadyUsed));
}

#[test]
fn an_undeployed_wallet_is_asked_for_what_upto_needs() {
    let plan = plan_with(&fixtures::offer(), &[FACTORY]);
    let word = |value: u64| U256::from(value).to_be_bytes::<32>();
    let mut yes = [0; 32];
    yes[..4].copy_from_slice(&[0x16, 0x26, 0xba, 0x7e]);
    let [.., last] = fixtures::auth_nonce().0;
    let spent = (U256::from(1) << usize::from(last)).to_be_bytes::<32>();
    let (enough, less, no) = (word(5_000), word(4_999), word(0));
    let answered = |results: &[(bool, &[u8])]| {
        reason_with(&plan, &[(Ask::Counterfactual, Ok(steps(results)))])
    };
    let good: [(bool, &[u8]); 5] = [
        (true, &[]),
        (true, &yes),
        (true, &enough),
        (true, &enough),
        (true, &no),
    ];
    assert_eq!(answered(&good), None);
    for (place, step, reason) in [
        (0, (false, &[][..]), Reason::SmartWalletDeploymentFailed),
        (1, (false, &yes[..]), Reason::InvalidPermit2Signature),
        (1, (true, &no[..]), Reason::InvalidPermit2Signature),
        (2, (true, &less[..]), Reason::Permit2AllowanceRequired),
        (2, (false, &enough[..]), Reason::UnexpectedVerifyError),
        (3, (true, &less[..]), Reason::Permit2InsufficientBalance),
        (3, (true, &[][..]), Reason::UnexpectedVerifyError),
        (4, (true, &spent[..]), Reason::Permit2InvalidNonce),
        (4, (false, &no[..]), Reason::UnexpectedVerifyError),
    ] {
        let mut results = good;
        results[place] = step;
        assert_eq!(answered(&results), Some(reason), "{place}");
    }
    assert_eq!(answered(&good[..4]), Some(Reason::UnexpectedVerifyError));
}

#[test]
fn a_settlement_says_what_to_deploy_first() {
    let offer = fixtures::transfer_offer();
    let settle = |factories: &[Address]| {
        let rules = Rules {
            factories,
            ..Rules::new(NOW, &SIGNERS)
        };
        let payment = fixtures::parse(&wrapped(&offer));
        plan_settle(&payment, &offer_of(&offer), &rules).unwrap()
    };
    let plan = settle(&[FACTORY]);
    let mut answers = good_answers(plan.verify());
    let deployment = plan.deployment(&answers).unwrap();
    assert_eq!(
        (
            deployment.factory,
            deployment.input.as_ref(),
            deployment.gas_limit
        ),
        (FACTORY, &b"deploy"[..], DEPLOY_GAS)
    );
    answers[0] = Ok(json!("0x60"));
    assert_eq!(plan.deployment(&answers), None);
    answers[0] = Err(down());
    assert_eq!(plan.deployment(&answers), None);
    let unlisted = settle(&[]);
    assert_eq!(unlisted.deployment(&good_answers(unlisted.verify())), None);
}

#[test]
fn a_wrapper_that_cannot_be_read_is_no_wrapper() {
    let offer = fixtures::transfer_offer();
    let whole = wrap(FACTORY, b"deploy", b"inner");
    let torn = [&whole[..40], &whole[whole.len() - 32..]].concat();
    let payment = altered(&offer, "/payload/signature", json!(rpc::hex(&torn)), false);
    let rules = Rules {
        factories: &[FACTORY],
        ..Rules::new(NOW, &SIGNERS)
    };
    let plan = plan_verify(&fixtures::parse(&payment), &offer_of(&offer), &rules).unwrap();
    assert!(!plan.wrapped);
    let undeployed = Some(Reason::InvalidExactEvmPayloadUndeployedSmartWallet);
    assert_eq!(reason_with(&plan, &[]), undeployed);
}
