use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolCall as _, SolError as _, SolEvent as _, SolStruct as _, eip712_domain};
use seamline_evm::bindings::IToken;
use seamline_evm::typed::{Approval, TransferAuthorization};
use seamline_evm::{Signature, Wallet};
use seamline_localnet::chain::CHAIN_ID;

use super::{
    CONSENTING, PAYEE, REFUSING, SUPPLY, TOKEN, Token, WithBytes, WithParts, World, has_event,
};

mod typed {
    alloy_sol_types::sol! {
        struct ReceiveWithAuthorization {
            address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
        }
        struct CancelAuthorization { address authorizer; bytes32 nonce; }
    }
}

const NONCE: B256 = B256::repeat_byte(0x5e);

fn terms(world: &World) -> TransferAuthorization {
    TransferAuthorization {
        from: world.payer.address(),
        to: PAYEE,
        value: U256::from(10),
        valid_after: U256::ZERO,
        valid_before: U256::from(world.now() + 60),
        nonce: NONCE,
    }
}

fn with_bytes(
    terms: &TransferAuthorization,
    signature: &[u8],
) -> WithBytes::transferWithAuthorizationCall {
    WithBytes::transferWithAuthorizationCall {
        from: terms.from,
        to: terms.to,
        value: terms.value,
        validAfter: terms.valid_after,
        validBefore: terms.valid_before,
        nonce: terms.nonce,
        signature: signature.to_vec().into(),
    }
}

fn signed(
    world: &World,
    terms: &TransferAuthorization,
    by: &Wallet,
) -> WithBytes::transferWithAuthorizationCall {
    let signature = by.sign_hash(&terms.digest(&world.domain()));
    with_bytes(terms, signature.as_bytes())
}

fn parts(signature: &Signature) -> (u8, B256, B256) {
    let bytes = signature.as_bytes();
    (
        bytes[64],
        B256::from_slice(&bytes[..32]),
        B256::from_slice(&bytes[32..64]),
    )
}

fn balance(world: &World, owner: alloy_primitives::Address) -> U256 {
    world.read(TOKEN, &IToken::balanceOfCall { owner })
}

fn used(world: &World) -> bool {
    world.read(
        TOKEN,
        &IToken::authorizationStateCall {
            authorizer: world.payer.address(),
            nonce: NONCE,
        },
    )
}

fn permit(world: &World, terms: &Approval, by: &Wallet) -> Token::permitCall {
    let (v, r, s) = parts(&by.sign_hash(&terms.digest(&world.domain())));
    Token::permitCall {
        owner: terms.owner,
        spender: terms.spender,
        value: terms.value,
        deadline: terms.deadline,
        v,
        r,
        s,
    }
}

fn approval(world: &World) -> Approval {
    Approval {
        owner: world.payer.address(),
        spender: PAYEE,
        value: U256::from(77),
        nonce: U256::ZERO,
        deadline: U256::from(world.now() + 60),
    }
}

#[test]
fn it_is_what_wallets_and_sellers_expect() {
    let world = World::new();
    assert_eq!(world.read(TOKEN, &IToken::nameCall {}), "OpenGradient");
    assert_eq!(world.read(TOKEN, &IToken::symbolCall {}), "OPG");
    assert_eq!(world.read(TOKEN, &IToken::decimalsCall {}), 18);
    assert_eq!(world.read(TOKEN, &Token::versionCall {}), "1");
    assert_eq!(
        world.read(TOKEN, &Token::DOMAIN_SEPARATORCall {}),
        world.domain().separator()
    );
    let supply = world.read(TOKEN, &Token::totalSupplyCall {});
    assert_eq!(supply, U256::from(SUPPLY));
    assert_eq!(balance(&world, world.payer.address()), supply);
}

#[test]
fn a_permit_approves_once() {
    let world = World::new();
    let call = permit(&world, &approval(&world), &world.payer);
    world.send(&world.stranger, TOKEN, &call);
    let (owner, spender) = (world.payer.address(), PAYEE);
    assert_eq!(
        world.read(TOKEN, &IToken::allowanceCall { owner, spender }),
        U256::from(77)
    );
    assert_eq!(world.read(TOKEN, &Token::noncesCall { owner }), U256::ONE);
    // The counter moved on, so the same signature recovers to somebody else.
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    assert_eq!(refusal[..4], Token::ERC2612InvalidSigner::SELECTOR);
}

#[test]
fn a_permit_of_another_is_refused() {
    let world = World::new();
    let call = permit(&world, &approval(&world), &world.stranger);
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    assert_eq!(refusal[..4], Token::ERC2612InvalidSigner::SELECTOR);
}

#[test]
fn an_expired_permit_is_refused() {
    let world = World::new();
    let mut terms = approval(&world);
    terms.deadline = U256::from(world.now() - 1);
    let call = permit(&world, &terms, &world.payer);
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    assert_eq!(refusal[..4], Token::ERC2612ExpiredSignature::SELECTOR);
}

#[test]
fn an_authorization_moves_tokens_once() {
    let world = World::new();
    let call = signed(&world, &terms(&world), &world.payer);
    assert!(!used(&world));
    let sent = world.send(&world.stranger, TOKEN, &call);
    assert!(has_event(
        &sent,
        TOKEN,
        IToken::AuthorizationUsed::SIGNATURE_HASH
    ));
    assert!(has_event(&sent, TOKEN, IToken::Transfer::SIGNATURE_HASH));
    assert_eq!(balance(&world, PAYEE), U256::from(10));
    assert!(used(&world));
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    assert_eq!(refusal[..4], Token::ERC3009UsedAuthorization::SELECTOR);
}

#[test]
fn the_form_in_parts_spends_the_same_nonce() {
    let world = World::new();
    let terms = terms(&world);
    let (v, r, s) = parts(&world.payer.sign_hash(&terms.digest(&world.domain())));
    let call = WithParts::transferWithAuthorizationCall {
        from: terms.from,
        to: terms.to,
        value: terms.value,
        validAfter: terms.valid_after,
        validBefore: terms.valid_before,
        nonce: terms.nonce,
        v,
        r,
        s,
    };
    world.send(&world.stranger, TOKEN, &call);
    let refusal = world.refusal(
        &world.stranger,
        TOKEN,
        &signed(&world, &terms, &world.payer),
    );
    assert_eq!(refusal[..4], Token::ERC3009UsedAuthorization::SELECTOR);
}

#[test]
fn every_altered_field_breaks_the_signature() {
    let world = World::new();
    let call = signed(&world, &terms(&world), &world.payer);
    let alter: [fn(&mut WithBytes::transferWithAuthorizationCall); 6] = [
        |call| call.from = CONSENTING,
        |call| call.to = REFUSING,
        |call| call.value += U256::ONE,
        |call| call.validAfter += U256::ONE,
        |call| call.validBefore += U256::ONE,
        |call| call.nonce = B256::ZERO,
    ];
    for (index, alter) in alter.iter().enumerate().skip(1) {
        let mut altered = call.clone();
        alter(&mut altered);
        let refusal = world.refusal(&world.stranger, TOKEN, &altered);
        assert_eq!(
            refusal[..4],
            Token::ERC3009InvalidSignature::SELECTOR,
            "{index}"
        );
    }
    // From a contract that consents to everything only the balance is missing.
    let mut altered = call;
    alter[0](&mut altered);
    let refusal = world.refusal(&world.stranger, TOKEN, &altered);
    assert_eq!(refusal[..4], Token::ERC20InsufficientBalance::SELECTOR);
}

#[test]
fn signatures_of_others_are_refused() {
    let world = World::new();
    let mut terms = terms(&world);
    let refusal = world.refusal(
        &world.stranger,
        TOKEN,
        &signed(&world, &terms, &world.stranger),
    );
    assert_eq!(refusal[..4], Token::ERC3009InvalidSignature::SELECTOR);
    terms.from = REFUSING;
    let refusal = world.refusal(&world.stranger, TOKEN, &with_bytes(&terms, &[1; 65]));
    assert_eq!(refusal[..4], Token::ERC3009InvalidSignature::SELECTOR);
    let short = with_bytes(&terms, &[]);
    let refusal = world.refusal(&world.stranger, TOKEN, &short);
    assert_eq!(refusal[..4], Token::ERC3009InvalidSignature::SELECTOR);
}

#[test]
fn the_window_of_time_is_open_at_both_ends() {
    let world = World::new();
    let early = TransferAuthorization {
        valid_after: U256::from(world.now()),
        ..terms(&world)
    };
    let refusal = world.refusal(
        &world.stranger,
        TOKEN,
        &signed(&world, &early, &world.payer),
    );
    assert_eq!(
        refusal[..4],
        Token::ERC3009InvalidAuthorizationTime::SELECTOR
    );
    let late = TransferAuthorization {
        valid_before: U256::from(world.now()),
        ..terms(&world)
    };
    let refusal = world.refusal(&world.stranger, TOKEN, &signed(&world, &late, &world.payer));
    assert_eq!(
        refusal[..4],
        Token::ERC3009InvalidAuthorizationTime::SELECTOR
    );
}

#[test]
fn more_than_the_balance_is_refused_and_leaves_the_nonce() {
    let world = World::new();
    let terms = TransferAuthorization {
        value: U256::from(SUPPLY) + U256::ONE,
        ..terms(&world)
    };
    let refusal = world.refusal(
        &world.stranger,
        TOKEN,
        &signed(&world, &terms, &world.payer),
    );
    assert_eq!(refusal[..4], Token::ERC20InsufficientBalance::SELECTOR);
    assert!(!used(&world));
}

#[test]
fn receiving_is_for_the_payee_alone() {
    let world = World::new();
    let TransferAuthorization {
        from,
        value,
        valid_after,
        valid_before,
        nonce,
        ..
    } = terms(&world);
    let to = world.facilitator.address();
    let message = typed::ReceiveWithAuthorization {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
    };
    let digest = message.eip712_signing_hash(&domain());
    let call = WithBytes::receiveWithAuthorizationCall {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
        signature: world.payer.sign_hash(&digest).as_bytes().to_vec().into(),
    };
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    assert_eq!(refusal[..4], Token::ERC20InvalidReceiver::SELECTOR);
    // The type is part of the digest: a promise to receive is no promise to transfer.
    let transfer = with_bytes(
        &TransferAuthorization {
            to,
            ..terms(&world)
        },
        &call.signature,
    );
    let refusal = world.refusal(&world.stranger, TOKEN, &transfer);
    assert_eq!(refusal[..4], Token::ERC3009InvalidSignature::SELECTOR);
    world.send(&world.facilitator, TOKEN, &call);
    assert_eq!(balance(&world, to), value);
}

#[test]
fn a_cancelled_authorization_stays_cancelled() {
    let world = World::new();
    let authorizer = world.payer.address();
    let digest = typed::CancelAuthorization {
        authorizer,
        nonce: NONCE,
    }
    .eip712_signing_hash(&domain());
    let cancel = |by: &Wallet| Token::cancelAuthorizationCall {
        authorizer,
        nonce: NONCE,
        signature: by.sign_hash(&digest).as_bytes().to_vec().into(),
    };
    let refusal = world.refusal(&world.stranger, TOKEN, &cancel(&world.stranger));
    assert_eq!(refusal[..4], Token::ERC3009InvalidSignature::SELECTOR);
    let sent = world.send(&world.stranger, TOKEN, &cancel(&world.payer));
    assert!(has_event(
        &sent,
        TOKEN,
        Token::AuthorizationCanceled::SIGNATURE_HASH
    ));
    let call = signed(&world, &terms(&world), &world.payer);
    let refusal = world.refusal(&world.stranger, TOKEN, &call);
    assert_eq!(refusal[..4], Token::ERC3009UsedAuthorization::SELECTOR);
}

#[test]
fn selectors_of_both_forms_differ() {
    assert_eq!(
        WithParts::transferWithAuthorizationCall::SELECTOR,
        [0xe3, 0xee, 0x16, 0x0e]
    );
    assert_eq!(
        WithBytes::transferWithAuthorizationCall::SELECTOR,
        [0xcf, 0x09, 0x29, 0x95]
    );
}

fn domain() -> alloy_sol_types::Eip712Domain {
    eip712_domain! {
        name: "OpenGradient",
        version: "1",
        chain_id: CHAIN_ID,
        verifying_contract: TOKEN,
    }
}
