use alloy_sol_types::SolError as _;

use super::*;

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

/// How endpoints say that code halted, and how they say that they do not know.
const HALTS: [(i64, &str); 5] = [
    (-32_000, "execution halted: OutOfGas(Basic)"),
    (-32_603, "EVM error InvalidFEOpcode"),
    (-32_603, "EVM error OutOfGas"),
    (-32_003, "out of gas"),
    (-32_000, "invalid opcode: INVALID"),
];
const UNKNOWN: [(i64, &str); 4] = [
    (-32_000, "execution aborted (timeout = 5s)"),
    (-32_603, "EVM error FatalExternalError"),
    (-32_005, "daily quota: out of gas"),
    (-32_000, "insufficient funds for gas * price + value"),
];

fn said((code, message): (i64, &str)) -> RpcError {
    RpcError {
        code,
        message: message.to_owned(),
        data: None,
    }
}

#[test]
fn a_wallet_that_halts_is_refused_and_an_endpoint_in_trouble_is_not_its_word() {
    let with_code = |signature: RpcError| {
        let mut chain = with(0, Ok(json!("0x60")));
        chain[3] = Err(signature);
        reason_on(chain)
    };
    for halt in HALTS {
        let refused = Some(Reason::InvalidPermit2Signature);
        assert_eq!(with_code(said(halt)), refused, "{halt:?}");
    }
    for unknown in UNKNOWN {
        let closed = Some(Reason::UnexpectedVerifyError);
        assert_eq!(with_code(said(unknown)), closed, "{unknown:?}");
    }
}

#[test]
fn a_settlement_that_halts_is_diagnosed() {
    for halt in HALTS {
        let mut chain = with(4, Err(said(halt)));
        let refused = Some(Reason::Permit2SimulationFailed);
        assert_eq!(reason_on(chain.clone()), refused, "{halt:?}");
        chain[6] = Ok(word(4_999));
        let poor = Some(Reason::Permit2InsufficientBalance);
        assert_eq!(reason_on(chain), poor, "{halt:?}");
    }
    for unknown in UNKNOWN {
        let closed = Some(Reason::UnexpectedVerifyError);
        assert_eq!(
            reason_on(with(4, Err(said(unknown)))),
            closed,
            "{unknown:?}"
        );
    }
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
