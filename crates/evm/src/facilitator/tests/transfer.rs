//! `exact` over ERC-3009.

use alloy_primitives::{B256, FixedBytes};
use alloy_sol_types::{Revert, SolError, SolEvent as _};

use super::*;
use crate::bindings::{ITokenErrors, ITransferByAccount, ITransferByAnyone};

fn offer() -> Value {
    fixtures::transfer_offer()
}

fn plan() -> VerifyPlan {
    plan_of(&fixtures::payment_of(&offer()), &offer()).unwrap()
}

#[test]
fn a_good_payment_is_valid() {
    let plan = plan();
    assert_eq!(reason_with(&plan, &[]), None);
    assert_eq!(plan.payer(), fixtures::wallet().address());
    let asked = [
        Ask::PayerCode,
        Ask::TokenCode,
        Ask::ContractSignature,
        Ask::Simulation,
        Ask::Balance,
        Ask::Spent,
        Ask::Name,
        Ask::Version,
    ];
    assert_eq!(plan.asked, asked);
}

#[test]
fn a_token_seen_lately_is_not_asked_for() {
    let signers = SIGNERS;
    let rules = Rules {
        deployed: &[TOKEN],
        ..Rules::new(NOW, &signers)
    };
    let payment = fixtures::parse(&fixtures::payment_of(&offer()));
    let plan = plan_verify(&payment, &offer_of(&offer()), &rules).unwrap();
    assert!(!plan.asked.contains(&Ask::TokenCode));
    assert_eq!(reason_with(&plan, &[]), None);
}

#[test]
fn every_member_of_the_authorization_is_checked_even_if_the_payer_signs_it() {
    let other = json!(Address::repeat_byte(9).to_string());
    for (member, value, reason) in [
        ("to", other, Reason::InvalidExactEvmPayloadRecipientMismatch),
        (
            "value",
            json!("4999"),
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        ),
        (
            "value",
            json!("5001"),
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        ),
        (
            "value",
            json!(format!("{}", U256::from(5_000) + (U256::from(1) << 128))),
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        ),
        (
            "validBefore",
            json!("1763596805"),
            Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
        ),
        (
            "validAfter",
            json!("1763596801"),
            Reason::InvalidExactEvmPayloadAuthorizationValidAfter,
        ),
    ] {
        let pointer = format!("/payload/authorization/{member}");
        let payment = altered(&offer(), &pointer, value, true);
        let refused = plan_of(&payment, &offer()).map(|_| ());
        assert_eq!(refused, Err(reason), "{member}");
    }
}

#[test]
fn times_have_the_buffers_of_the_sdks() {
    let at = |seconds: u64| {
        let payment = fixtures::parse(&fixtures::payment_of(&offer()));
        let rules = Rules::new(Timestamp::from_secs(seconds), &SIGNERS);
        let plan = plan_verify(&payment, &offer_of(&offer()), &rules);
        plan.map(|_| ()).map_err(|it| it.reason)
    };
    let before = NOW.as_secs() + 300;
    assert_eq!(at(before - 6), Ok(()));
    let late = Reason::InvalidExactEvmPayloadAuthorizationValidBefore;
    assert_eq!(at(before - 5), Err(late));
    let after = NOW.as_secs() - 600;
    assert_eq!(at(after), Ok(()));
    let early = Reason::InvalidExactEvmPayloadAuthorizationValidAfter;
    assert_eq!(at(after - 1), Err(early));
}

#[test]
fn every_member_of_the_authorization_is_signed() {
    for (member, value) in [
        ("nonce", json!(B256::repeat_byte(1).to_string())),
        ("validBefore", json!("1763597099")),
        ("validAfter", json!("0")),
        ("from", json!(Address::repeat_byte(9).to_string())),
    ] {
        let pointer = format!("/payload/authorization/{member}");
        let payment = altered(&offer(), &pointer, value, false);
        let plan = plan_of(&payment, &offer()).unwrap();
        let reason = reason_with(&plan, &[]);
        let expected = Some(Reason::InvalidExactEvmPayloadSignature);
        assert_eq!(reason, expected, "{member}");
    }
    // The domain is signed too: chain and token.
    let mut payment = fixtures::payment_of(&offer());
    fixtures::resign(&mut payment, &fixtures::wallet(), 1);
    let plan = plan_of(&payment, &offer()).unwrap();
    let expected = Some(Reason::InvalidExactEvmPayloadSignature);
    assert_eq!(reason_with(&plan, &[]), expected);
}

#[test]
fn the_scheme_the_network_and_the_domain_come_first() {
    for (pointer, value, reason) in [
        ("scheme", json!("exactly"), Reason::UnsupportedScheme),
        ("scheme", json!("upto"), Reason::InvalidUptoEvmScheme),
        (
            "scheme",
            json!("batch-settlement"),
            Reason::UnsupportedScheme,
        ),
        ("network", json!("eip155:1"), Reason::NetworkMismatch),
        ("network", json!("solana:1"), Reason::NetworkMismatch),
        ("extra/name", json!(null), Reason::MissingEip712Domain),
        ("extra/name", json!(""), Reason::MissingEip712Domain),
        ("extra/version", json!(1), Reason::MissingEip712Domain),
        ("extra", json!({}), Reason::MissingEip712Domain),
        (
            "amount",
            json!("340282366920938463463374607431768211456"),
            Reason::InvalidPaymentRequirements,
        ),
        (
            "payTo",
            json!("merchant"),
            Reason::InvalidPaymentRequirements,
        ),
        ("asset", json!("EUR"), Reason::InvalidPaymentRequirements),
        (
            "asset",
            json!(Address::repeat_byte(9).to_string()),
            Reason::InvalidPaymentRequirements,
        ),
    ] {
        let mut required = offer();
        *required.pointer_mut(&format!("/{pointer}")).unwrap() = value;
        let refused = plan_of(&fixtures::payment_of(&offer()), &required).map(|_| ());
        assert_eq!(refused, Err(reason), "{pointer}");
    }
    let both = |scheme: &str| {
        let mut required = offer();
        required["scheme"] = json!(scheme);
        let payment = altered(&offer(), "/accepted/scheme", json!(scheme), false);
        plan_of(&payment, &required).map(|_| ())
    };
    assert_eq!(both("exactly"), Err(Reason::UnsupportedScheme));
    assert_eq!(both("batch-settlement"), Err(Reason::UnsupportedScheme));
    assert_eq!(both("upto"), Err(Reason::InvalidPermit2PayloadFormat));
}

#[test]
fn the_method_is_the_one_that_the_seller_asks_for() {
    // The echo says what the seller wants, the payload is of the other method.
    let mut payment = fixtures::payment_of(&fixtures::exact_offer());
    payment["accepted"] = offer();
    let refused = plan_of(&payment, &offer()).map(|_| ());
    assert_eq!(refused, Err(Reason::InvalidPayload));
    let mut payment = fixtures::payment_of(&offer());
    payment["accepted"] = fixtures::exact_offer();
    let refused = plan_of(&payment, &fixtures::exact_offer()).map(|_| ());
    assert_eq!(refused, Err(Reason::InvalidPayload));
    let mut unknown = offer();
    unknown["extra"]["assetTransferMethod"] = json!("erc7710");
    let refused = plan_of(&fixtures::payment_of(&offer()), &unknown).map(|_| ());
    assert_eq!(refused, Err(Reason::InvalidPaymentRequirements));
}

#[test]
fn nothing_is_no_price() {
    let mut free = offer();
    free["amount"] = json!("0");
    let mut payment = fixtures::payment_of(&offer());
    payment["accepted"] = free.clone();
    payment["payload"]["authorization"]["value"] = json!("0");
    fixtures::resign(&mut payment, &fixtures::wallet(), 8453);
    let refused = plan_of(&payment, &free).map(|_| ());
    assert_eq!(refused, Err(Reason::InvalidPaymentRequirements));
}

#[test]
fn a_facilitator_is_no_payer() {
    let signers = [fixtures::wallet().address()];
    let payment = fixtures::parse(&fixtures::payment_of(&offer()));
    let plan = plan_verify(&payment, &offer_of(&offer()), &Rules::new(NOW, &signers));
    let refused = plan.map(|_| ()).unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidPayload);
    assert_eq!(refused.payer, Some(signers[0]));
}

#[test]
fn broken_payloads_have_one_reason() {
    for member in ["from", "to", "value", "validAfter", "validBefore", "nonce"] {
        for broken in [json!(null), json!(1), json!("x"), json!("1.5"), json!("-1")] {
            let pointer = format!("/payload/authorization/{member}");
            let payment = altered(&offer(), &pointer, broken, false);
            let refused = plan_of(&payment, &offer()).map(|_| ());
            assert_eq!(refused, Err(Reason::InvalidPayload), "{member}");
        }
    }
    let payment = altered(&offer(), "/payload/signature", json!("0x"), false);
    let refused = plan_of(&payment, &offer()).map(|_| ());
    assert_eq!(refused, Err(Reason::InvalidExactEvmPayloadSignature));
}

#[test]
fn what_the_key_signed_goes_by_parts_and_all_else_by_bytes() {
    let plan = plan();
    let call = plan.settle_call();
    assert_eq!(
        (call.to, call.gas_limit),
        (TOKEN, crate::scheme::EIP3009_GAS)
    );
    let parts = ITransferByAccount::transferWithAuthorizationCall::abi_decode_validate(&call.input);
    let parts = parts.unwrap();
    assert_eq!(call.input[..4], [0xe3, 0xee, 0x16, 0x0e]);
    assert_eq!(parts.to, SELLER);
    assert_eq!(parts.nonce, fixtures::auth_nonce());
    let signature = [parts.r.as_slice(), parts.s.as_slice(), &[parts.v]].concat();
    assert_eq!(signature, plan.authorization().signature());
    // 65 bytes of a contract's owner are none of the payer's key.
    for other in [vec![1, 2, 3], vec![7; 65], vec![7; 96]] {
        let signature = json!(rpc::hex(&other));
        let payment = altered(&offer(), "/payload/signature", signature, false);
        let call = plan_of(&payment, &offer()).unwrap().settle_call();
        assert_eq!(call.input[..4], [0xcf, 0x09, 0x29, 0x95]);
        let call =
            ITransferByAnyone::transferWithAuthorizationCall::abi_decode_validate(&call.input);
        assert_eq!(call.unwrap().signature.as_ref(), other);
    }
}

#[test]
fn the_simulation_is_the_settlement_from_one_of_us() {
    let plan = plan();
    let place = plan.asked.iter().position(|ask| *ask == Ask::Simulation);
    let transaction = &plan.calls()[place.unwrap()].params[0];
    assert_eq!(transaction["from"], json!(rpc::hex(SIGNERS[0].as_slice())));
    assert_eq!(transaction["to"], json!(rpc::hex(TOKEN.as_slice())));
    let input = plan.settle_call().input;
    assert_eq!(transaction["data"], json!(rpc::hex(&input)));
}

#[test]
fn reverts_name_their_reason() {
    let plan = plan();
    let on = |data: &[u8]| reason_with(&plan, &[(Ask::Simulation, Err(reverted(data)))]);
    for (said, reason) in [
        (
            "FiatTokenV2: authorization is expired",
            Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
        ),
        (
            "FiatTokenV2: authorization is not yet valid",
            Reason::InvalidExactEvmPayloadAuthorizationValidAfter,
        ),
        (
            "FiatTokenV2: authorization is used or canceled",
            Reason::InvalidExactEvmNonceAlreadyUsed,
        ),
        (
            "ERC20: transfer amount exceeds balance",
            Reason::InvalidExactEvmInsufficientBalance,
        ),
        (
            "FiatTokenV2: invalid signature",
            Reason::InvalidExactEvmPayloadSignature,
        ),
        (
            "Blacklistable: account is blacklisted",
            Reason::InvalidExactEvmTransactionSimulationFailed,
        ),
    ] {
        let revert = Revert::from(said.to_owned()).abi_encode();
        assert_eq!(on(&revert), Some(reason), "{said}");
    }
    let balance = ITokenErrors::ERC20InsufficientBalance {
        sender: Address::ZERO,
        balance: U256::ZERO,
        needed: U256::ZERO,
    };
    let used = ITokenErrors::ERC3009UsedAuthorization {
        authorizer: Address::ZERO,
        nonce: FixedBytes::ZERO,
    };
    for (data, reason) in [
        (
            balance.abi_encode(),
            Reason::InvalidExactEvmInsufficientBalance,
        ),
        (used.abi_encode(), Reason::InvalidExactEvmNonceAlreadyUsed),
        (
            ITokenErrors::AuthorizationUsedOrCanceled {}.abi_encode(),
            Reason::InvalidExactEvmNonceAlreadyUsed,
        ),
        (
            ITokenErrors::ERC3009InvalidSignature {}.abi_encode(),
            Reason::InvalidExactEvmPayloadSignature,
        ),
        (
            ITokenErrors::ECDSAInvalidSignature {}.abi_encode(),
            Reason::InvalidExactEvmPayloadSignature,
        ),
    ] {
        assert_eq!(on(&data), Some(reason));
    }
    let window = ITokenErrors::ERC3009InvalidAuthorizationTime {
        validAfter: U256::ZERO,
        validBefore: U256::ZERO,
    };
    let late = Reason::InvalidExactEvmPayloadAuthorizationValidBefore;
    assert_eq!(on(&window.abi_encode()), Some(late));
    // Close to its first second, the chain's clock must be behind ours.
    let pointer = "/payload/authorization/validAfter";
    let payment = altered(&offer(), pointer, json!("1763596799"), true);
    let plan = plan_of(&payment, &offer()).unwrap();
    let revert = Err(reverted(&window.abi_encode()));
    let early = Reason::InvalidExactEvmPayloadAuthorizationValidAfter;
    assert_eq!(
        reason_with(&plan, &[(Ask::Simulation, revert)]),
        Some(early)
    );
}

#[test]
fn reverts_without_a_reason_are_diagnosed() {
    let plan = plan();
    let silent = |ask: Ask, answer: Result<Value, RpcError>| {
        reason_with(
            &plan,
            &[(Ask::Simulation, Err(reverted(&[]))), (ask, answer)],
        )
    };
    let text = |text: &str| Ok(json!(rpc::hex(&text.abi_encode())));
    for (ask, answer, reason) in [
        (
            Ask::Spent,
            Ok(word(1)),
            Reason::InvalidExactEvmNonceAlreadyUsed,
        ),
        (
            Ask::Spent,
            Err(reverted(&[])),
            Reason::InvalidExactEvmEip3009NotSupported,
        ),
        (
            Ask::Name,
            text("USDC"),
            Reason::InvalidExactEvmTokenNameMismatch,
        ),
        (
            Ask::Version,
            text("2"),
            Reason::InvalidExactEvmTokenVersionMismatch,
        ),
        (
            Ask::Balance,
            Ok(word(4_999)),
            Reason::InvalidExactEvmInsufficientBalance,
        ),
        (
            Ask::Balance,
            Err(down()),
            Reason::InvalidExactEvmTransactionSimulationFailed,
        ),
    ] {
        assert_eq!(silent(ask, answer), Some(reason.clone()), "{reason}");
    }
}

#[test]
fn a_chain_that_does_not_answer_makes_nothing_valid() {
    let plan = plan();
    let closed = Some(Reason::UnexpectedVerifyError);
    for ask in [Ask::PayerCode, Ask::TokenCode, Ask::Simulation] {
        assert_eq!(reason_with(&plan, &[(ask, Err(down()))]), closed);
        assert_eq!(reason_with(&plan, &[(ask, Ok(json!(null)))]), closed);
    }
    let no_token = reason_with(&plan, &[(Ask::TokenCode, Ok(json!("0x")))]);
    assert_eq!(no_token, Some(Reason::AssetNotDeployedContract));
    let mut short = good_answers(&plan);
    short.pop();
    assert_eq!(conclude_verify(&plan, &Ok(short)).invalid_reason, closed);
}

#[test]
fn a_settlement_is_what_the_token_logs() {
    let payment = fixtures::parse(&fixtures::payment_of(&offer()));
    let plan = plan_settle(&payment, &offer_of(&offer()), &Rules::new(NOW, &SIGNERS)).unwrap();
    assert_eq!((plan.sender(), plan.amount()), (None, Amount::new(5_000)));
    let payer = plan.verify().payer();
    let used = |payer: Address, nonce: B256| {
        let topics = [
            IToken::AuthorizationUsed::SIGNATURE_HASH,
            payer.into_word(),
            nonce,
        ];
        settle::log(TOKEN, &topics, &[])
    };
    let own = used(payer, fixtures::auth_nonce());
    let moved = settle::transfer(TOKEN, payer, SELLER, 5_000);
    let check = |logs: &[Value]| {
        let receipt = settle::tx_receipt("0x1", logs);
        check_settled(&receipt, plan.authorization(), plan.amount()).map(|it| it.transaction)
    };
    let tx = Ok(keccak256("tx"));
    assert_eq!(check(&[own.clone(), moved.clone()]), tx);
    // Others may pay in the same transaction, before and after.
    let theirs = used(Address::repeat_byte(8), B256::ZERO);
    let noise = settle::transfer(TOKEN, Address::repeat_byte(8), SELLER, 5_000);
    let among = [&theirs, &noise, &own, &moved, &theirs, &noise];
    assert_eq!(check(&among.map(Clone::clone)), tx);
    let other = Address::repeat_byte(9);
    let mismatch = Err(Reason::InvalidExactEvmTransferEventMismatch);
    for logs in [
        vec![],
        vec![own.clone()],
        vec![moved.clone()],
        vec![moved.clone(), own.clone()],
        vec![used(payer, B256::ZERO), moved.clone()],
        vec![used(other, fixtures::auth_nonce()), moved.clone()],
        // The transfer belongs to the next nonce.
        vec![own.clone(), used(payer, B256::ZERO), moved.clone()],
        vec![own.clone(), settle::transfer(other, payer, SELLER, 5_000)],
        vec![own.clone(), settle::transfer(TOKEN, other, SELLER, 5_000)],
        vec![own.clone(), settle::transfer(TOKEN, payer, other, 5_000)],
        vec![own.clone(), settle::transfer(TOKEN, payer, SELLER, 4_999)],
        vec![own.clone(), settle::transfer(TOKEN, payer, SELLER, 5_001)],
    ] {
        assert_eq!(check(&logs), mismatch, "{logs:?}");
    }
    let failed = settle::tx_receipt("0x0", &[own, moved]);
    let failed = check_settled(&failed, plan.authorization(), plan.amount());
    assert_eq!(failed, Err(Reason::InvalidExactEvmTransactionFailed));
}
