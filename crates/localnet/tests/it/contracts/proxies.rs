mod reentrancy;

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolError as _, SolEvent as _};
use seamline_evm::bindings::{
    EXACT_PROXY, IPermit2, IToken, IUptoProxy, PERMIT2, Permit2612, PermitTransferFrom,
    TokenPermissions, UPTO_PROXY, UptoWitness,
};
use seamline_evm::typed::{Approval, ExactAuthorization, UptoAuthorization};
use seamline_evm::{Signature, Wallet};
use seamline_localnet::chain::CHAIN_ID;

use super::permit2::approve;
use super::{PAYEE, TOKEN, Token, World, has_event};

mod exact {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
        struct Witness { address to; uint256 validAfter; }

        interface Proxy {
            error ReentrancyGuardReentrantCall();
            function settle(
                PermitTransferFrom permit, address owner, Witness witness, bytes signature
            ) external;
        }
    }
}

const OTHER_PAYEE: Address = address!("00000000000000000000000000000000000010c2");
const NONCE: U256 = U256::MAX;

fn terms(world: &World) -> UptoAuthorization {
    UptoAuthorization {
        token: TOKEN,
        amount: U256::from(100),
        spender: UPTO_PROXY,
        nonce: NONCE,
        deadline: U256::from(world.now() + 60),
        to: PAYEE,
        facilitator: world.facilitator.address(),
        valid_after: U256::from(world.now()),
    }
}

fn settle(world: &World, terms: &UptoAuthorization, amount: u64) -> IUptoProxy::settleCall {
    let signature = world.payer.sign_hash(&terms.digest(CHAIN_ID));
    IUptoProxy::settleCall {
        permit: PermitTransferFrom {
            permitted: TokenPermissions {
                token: terms.token,
                amount: terms.amount,
            },
            nonce: terms.nonce,
            deadline: terms.deadline,
        },
        amount: U256::from(amount),
        owner: world.payer.address(),
        witness: UptoWitness {
            to: terms.to,
            facilitator: terms.facilitator,
            validAfter: terms.valid_after,
        },
        signature: signature.as_bytes().to_vec().into(),
    }
}

fn refusal(world: &World, call: &IUptoProxy::settleCall) -> Bytes {
    world.refusal(&world.facilitator, UPTO_PROXY, call)
}

fn balance(world: &World, owner: Address) -> U256 {
    world.read(TOKEN, &IToken::balanceOfCall { owner })
}

/// The payer's EIP-2612 approval of Permit2 for `value`.
fn permit2612(world: &World, value: u64, by: &Wallet) -> Permit2612 {
    let deadline = U256::from(world.now() + 60);
    let approval = Approval {
        owner: world.payer.address(),
        spender: PERMIT2,
        value: U256::from(value),
        nonce: U256::ZERO,
        deadline,
    };
    let signature: Signature = by.sign_hash(&approval.digest(&world.domain()));
    let bytes = signature.as_bytes();
    Permit2612 {
        value: approval.value,
        deadline,
        r: B256::from_slice(&bytes[..32]),
        s: B256::from_slice(&bytes[32..64]),
        v: bytes[64],
    }
}

fn with_permit(
    call: IUptoProxy::settleCall,
    permit2612: Permit2612,
) -> IUptoProxy::settleWithPermitCall {
    let IUptoProxy::settleCall {
        permit,
        amount,
        owner,
        witness,
        signature,
    } = call;
    IUptoProxy::settleWithPermitCall {
        permit2612,
        permit,
        amount,
        owner,
        witness,
        signature,
    }
}

#[test]
fn part_of_the_amount_settles_to_the_payee_alone() {
    let world = World::new();
    approve(&world);
    let sent = world.send(
        &world.facilitator,
        UPTO_PROXY,
        &settle(&world, &terms(&world), 40),
    );
    assert!(has_event(
        &sent,
        UPTO_PROXY,
        IUptoProxy::Settled::SIGNATURE_HASH
    ));
    assert!(has_event(&sent, TOKEN, IToken::Transfer::SIGNATURE_HASH));
    assert_eq!(balance(&world, PAYEE), U256::from(40));
    assert_eq!(balance(&world, UPTO_PROXY), U256::ZERO);
    // The rest cannot be fetched later.
    let rest = settle(&world, &terms(&world), 60);
    assert_eq!(refusal(&world, &rest)[..], IPermit2::InvalidNonce::SELECTOR);
}

#[test]
fn one_nonce_and_two_payees_pay_one() {
    let world = World::new();
    approve(&world);
    let first = terms(&world);
    let second = UptoAuthorization {
        to: OTHER_PAYEE,
        ..first
    };
    world.send(
        &world.facilitator,
        UPTO_PROXY,
        &settle(&world, &second, 100),
    );
    let late = settle(&world, &first, 100);
    assert_eq!(refusal(&world, &late)[..], IPermit2::InvalidNonce::SELECTOR);
    assert_eq!(balance(&world, OTHER_PAYEE), U256::from(100));
    assert_eq!(balance(&world, PAYEE), U256::ZERO);
}

#[test]
fn nobody_settles_but_the_named_facilitator() {
    let world = World::new();
    approve(&world);
    let call = settle(&world, &terms(&world), 40);
    let refused = world.refusal(&world.stranger, UPTO_PROXY, &call);
    assert_eq!(refused[..], IUptoProxy::UnauthorizedFacilitator::SELECTOR);
    // Nor by naming oneself: the witness is signed.
    let mut renamed = call;
    renamed.witness.facilitator = world.stranger.address();
    let refused = world.refusal(&world.stranger, UPTO_PROXY, &renamed);
    assert_eq!(refused[..], IPermit2::InvalidSigner::SELECTOR);
}

#[test]
fn each_rule_of_the_proxy_has_its_error() {
    let world = World::new();
    approve(&world);
    let good = settle(&world, &terms(&world), 100);
    type Alter = fn(&mut IUptoProxy::settleCall);
    let rules: [(Alter, [u8; 4]); 5] = [
        (
            |call| call.amount = U256::from(101),
            IUptoProxy::AmountExceedsPermitted::SELECTOR,
        ),
        (
            |call| call.amount = U256::ZERO,
            IUptoProxy::InvalidAmount::SELECTOR,
        ),
        (
            |call| call.owner = Address::ZERO,
            IUptoProxy::InvalidOwner::SELECTOR,
        ),
        (
            |call| call.witness.to = Address::ZERO,
            IUptoProxy::InvalidDestination::SELECTOR,
        ),
        (
            |call| call.witness.validAfter += U256::from(3600),
            IUptoProxy::PaymentTooEarly::SELECTOR,
        ),
    ];
    for (index, (alter, error)) in rules.into_iter().enumerate() {
        let mut call = good.clone();
        alter(&mut call);
        assert_eq!(refusal(&world, &call)[..], error, "rule {index}");
    }
    world.accepts(&world.facilitator, UPTO_PROXY, &good);
}

#[test]
fn every_signed_field_is_signed() {
    let world = World::new();
    approve(&world);
    let good = settle(&world, &terms(&world), 40);
    let alter: [fn(&mut IUptoProxy::settleCall); 5] = [
        |call| call.permit.permitted.amount += U256::ONE,
        |call| call.permit.nonce -= U256::ONE,
        |call| call.permit.deadline += U256::ONE,
        |call| call.witness.to = OTHER_PAYEE,
        |call| call.witness.validAfter -= U256::ONE,
    ];
    for (index, alter) in alter.into_iter().enumerate() {
        let mut call = good.clone();
        alter(&mut call);
        let refused = refusal(&world, &call);
        assert_eq!(
            refused[..],
            IPermit2::InvalidSigner::SELECTOR,
            "field {index}"
        );
    }
}

#[test]
fn an_expired_authorization_settles_nothing() {
    let world = World::new();
    approve(&world);
    let call = settle(&world, &terms(&world), 40);
    world.advance(std::time::Duration::from_secs(120));
    let refused = refusal(&world, &call);
    assert_eq!(refused[..4], IPermit2::SignatureExpired::SELECTOR);
}

#[test]
fn a_permit_replaces_the_approval() {
    let world = World::new();
    let call = with_permit(
        settle(&world, &terms(&world), 40),
        permit2612(&world, 100, &world.payer),
    );
    let sent = world.send(&world.facilitator, UPTO_PROXY, &call);
    assert!(has_event(
        &sent,
        UPTO_PROXY,
        IUptoProxy::SettledWithPermit::SIGNATURE_HASH
    ));
    assert_eq!(balance(&world, PAYEE), U256::from(40));
}

#[test]
fn a_permit_for_another_amount_is_refused() {
    let world = World::new();
    for value in [99, 101] {
        let call = with_permit(
            settle(&world, &terms(&world), 40),
            permit2612(&world, value, &world.payer),
        );
        let refused = world.refusal(&world.facilitator, UPTO_PROXY, &call);
        assert_eq!(refused[..], IUptoProxy::Permit2612AmountMismatch::SELECTOR);
    }
}

#[test]
fn a_permit_that_somebody_delivered_first_does_no_harm() {
    let world = World::new();
    let permit = permit2612(&world, 100, &world.payer);
    let delivered = Token::permitCall {
        owner: world.payer.address(),
        spender: PERMIT2,
        value: permit.value,
        deadline: permit.deadline,
        v: permit.v,
        r: permit.r,
        s: permit.s,
    };
    world.send(&world.stranger, TOKEN, &delivered);
    let call = with_permit(settle(&world, &terms(&world), 40), permit);
    world.send(&world.facilitator, UPTO_PROXY, &call);
    assert_eq!(balance(&world, PAYEE), U256::from(40));
}

#[test]
fn a_forged_permit_leaves_nothing_to_move() {
    let world = World::new();
    let call = with_permit(
        settle(&world, &terms(&world), 40),
        permit2612(&world, 100, &world.stranger),
    );
    let refused = world.refusal(&world.facilitator, UPTO_PROXY, &call);
    let expected = alloy_sol_types::Revert::from("TRANSFER_FROM_FAILED").abi_encode();
    assert_eq!(refused[..], expected);
}

/// The whole amount, to be settled by anyone.
fn settle_exact(world: &World, token: Address) -> exact::Proxy::settleCall {
    let terms = ExactAuthorization {
        token,
        amount: U256::from(100),
        spender: EXACT_PROXY,
        nonce: NONCE,
        deadline: U256::from(world.now() + 60),
        to: PAYEE,
        valid_after: U256::ZERO,
    };
    let signature = world.payer.sign_hash(&terms.digest(CHAIN_ID));
    exact::Proxy::settleCall {
        permit: exact::PermitTransferFrom {
            permitted: exact::TokenPermissions {
                token,
                amount: terms.amount,
            },
            nonce: terms.nonce,
            deadline: terms.deadline,
        },
        owner: world.payer.address(),
        witness: exact::Witness {
            to: terms.to,
            validAfter: terms.valid_after,
        },
        signature: signature.as_bytes().to_vec().into(),
    }
}

#[test]
fn the_exact_proxy_moves_the_whole_amount_for_anyone() {
    let world = World::new();
    approve(&world);
    let call = settle_exact(&world, TOKEN);
    let mut elsewhere = call.clone();
    elsewhere.witness.to = OTHER_PAYEE;
    let refused = world.refusal(&world.stranger, EXACT_PROXY, &elsewhere);
    assert_eq!(refused[..], IPermit2::InvalidSigner::SELECTOR);
    world.send(&world.stranger, EXACT_PROXY, &call);
    assert_eq!(balance(&world, PAYEE), U256::from(100));
    let refused = world.refusal(&world.stranger, EXACT_PROXY, &call);
    assert_eq!(refused[..], IPermit2::InvalidNonce::SELECTOR);
}
