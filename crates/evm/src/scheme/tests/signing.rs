//! What a payer signs, for each scheme.

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use alloy_sol_types::SolCall as _;
use seamline_core::Amount;
use serde_json::{Map, Value, json};

use super::super::{
    Authorization, FALLBACK_EXTENSION, Marks, Method, Scheme, SignedAuthorization,
    approve_permit2_call, payment_key, sign, sign_approval, sign_with,
};
use crate::bindings::{EXACT_PROXY, IToken, PERMIT2};
use crate::fixtures::{self, FACILITATOR, NOW, SELLER, TOKEN};
use crate::signer::{SignError, Signer};
use crate::typed::{Approval, TokenDomain};
use crate::{Error, Malformed, Signature, Wallet};

fn offers() -> [Value; 3] {
    [
        fixtures::transfer_offer(),
        fixtures::exact_offer(),
        fixtures::offer(),
    ]
}

#[test]
fn every_scheme_signs_the_nonce_of_the_call() {
    let expected = [
        (Scheme::Exact, Method::Eip3009, None, 299),
        (Scheme::Exact, Method::Permit2, None, 300),
        (Scheme::Upto, Method::Permit2, Some(FACILITATOR), 300),
    ];
    for (offer, (scheme, method, facilitator, lifetime)) in offers().iter().zip(expected) {
        let signed = fixtures::signed(offer);
        assert_eq!((signed.scheme, signed.method), (scheme, method));
        assert_eq!(signed.auth_nonce, fixtures::auth_nonce());
        assert_eq!(signed.facilitator, facilitator);
        assert_eq!(signed.deadline_s, NOW.as_secs() + lifetime);
        assert_eq!(signed.amount, Amount::new(5_000));
        assert_eq!((signed.asset, signed.pay_to), (TOKEN, SELLER));
        assert_eq!(signed.payer, fixtures::wallet().address());
        let promise = Authorization::of(&signed.payload).unwrap();
        assert_eq!((promise.scheme(), promise.method()), (scheme, method));
        assert_eq!(promise.auth_nonce(), fixtures::auth_nonce());
        assert_eq!(promise.amount(), U256::from(5_000));
        assert_eq!((promise.asset(), promise.pay_to()), (TOKEN, SELLER));
        assert_eq!(promise.facilitator(), facilitator);
        assert_eq!(promise.digest(8453), signed.digest);
        assert_eq!(promise.key(8453), signed.key);
        assert_eq!(promise.recover(8453), Ok(signed.payer));
        let after = U256::from(NOW.as_secs() - 600);
        assert_eq!(promise.valid_after(), after);
        // The echo is the offer, byte for byte.
        assert_eq!(signed.payload.accepted().raw(), offer.to_string());
        let read = SignedAuthorization::from_payload(signed.payload.clone()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{signed:?}"));
        assert_eq!((read.key, read.chain_id), (signed.key, 8453));
        let bytes = hex::encode(promise.signature());
        assert!(!format!("{signed:?}{promise:?}").contains(&bytes));
    }
}

#[test]
fn a_transfer_is_written_as_the_official_sdks_do() {
    let payment = fixtures::payment_of(&fixtures::transfer_offer());
    let nonce = fixtures::auth_nonce().to_string();
    assert_eq!(
        payment["payload"]["authorization"],
        json!({
            "from": fixtures::wallet().address().to_string(),
            "to": SELLER.to_string(),
            "value": "5000",
            "validAfter": "1763596200",
            "validBefore": "1763597100",
            "nonce": nonce,
        })
    );
    let payment = fixtures::payment_of(&fixtures::exact_offer());
    let permit = &payment["payload"]["permit2Authorization"];
    assert_eq!(permit["spender"], json!(EXACT_PROXY.to_string()));
    assert_eq!(
        permit["witness"],
        json!({ "to": SELLER.to_string(), "validAfter": "1763596200" })
    );
}

#[test]
fn an_altered_transfer_is_not_the_payers() {
    let offer = fixtures::transfer_offer();
    let alter = |pointer: &str, value: Value| {
        let mut payment = fixtures::payment_of(&offer);
        *payment.pointer_mut(pointer).unwrap() = value;
        SignedAuthorization::from_payload(fixtures::parse(&payment)).map(|it| it.payer)
    };
    let other = json!(Address::repeat_byte(9).to_string());
    for (pointer, value) in [
        ("/payload/authorization/from", other.clone()),
        ("/payload/authorization/to", other.clone()),
        ("/payload/authorization/value", json!("1")),
        ("/payload/authorization/validAfter", json!("1")),
        ("/payload/authorization/validBefore", json!("1")),
        (
            "/payload/authorization/nonce",
            json!(B256::ZERO.to_string()),
        ),
        ("/accepted/asset", other),
        ("/accepted/network", json!("eip155:1")),
        ("/accepted/extra/name", json!("USDC")),
        ("/accepted/extra/version", json!("2")),
    ] {
        assert_eq!(alter(pointer, value), Err(Error::Signature), "{pointer}");
    }
    let none = alter("/accepted/extra", json!({}));
    assert_eq!(none, Err(Malformed::Field("payload").into()));
    let far = json!(U256::MAX.to_string());
    let mut payment = fixtures::payment_of(&offer);
    payment["payload"]["authorization"]["validBefore"] = far;
    fixtures::resign(&mut payment, &fixtures::wallet(), 8453);
    let read = SignedAuthorization::from_payload(fixtures::parse(&payment));
    assert_eq!(read.map(|_| ()), Err(Error::AmountRange));
}

#[test]
fn a_nonce_is_counted_by_method_chain_payer_and_token() {
    let [transfer, exact, upto] = offers().map(|offer| fixtures::signed(&offer).key);
    // Both schemes over Permit2 spend the same nonce; ERC-3009 spends another.
    assert_eq!(exact, upto);
    assert_ne!(transfer, exact);
    let (payer, nonce) = (fixtures::wallet().address(), fixtures::auth_nonce());
    let other = Address::repeat_byte(9);
    let key = |method, token| payment_key(method, 8453, token, payer, nonce);
    assert_eq!(key(Method::Eip3009, TOKEN), transfer);
    assert_eq!(key(Method::Permit2, TOKEN), upto);
    assert_ne!(key(Method::Eip3009, other), transfer);
    assert_eq!(key(Method::Permit2, other), upto);
    for method in [Method::Eip3009, Method::Permit2] {
        let own = key(method, TOKEN);
        assert_ne!(payment_key(method, 1, TOKEN, payer, nonce), own);
        assert_ne!(payment_key(method, 8453, TOKEN, other, nonce), own);
        assert_ne!(payment_key(method, 8453, TOKEN, payer, B256::ZERO), own);
    }
}

/// A signer of another process, with a mind of its own.
struct Remote(Result<Wallet, SignError>);

impl Signer for Remote {
    fn address(&self) -> Address {
        fixtures::wallet().address()
    }

    fn sign_hash(&self, digest: &B256) -> Result<Signature, SignError> {
        self.0
            .as_ref()
            .map(|wallet| wallet.sign_hash(digest))
            .map_err(Clone::clone)
    }
}

#[test]
fn a_signer_that_refuses_or_lies_signs_nothing() {
    let thief = Wallet::from_bytes(&keccak256("thief").0).unwrap();
    for (signer, error) in [
        (Remote(Err(SignError::Refused)), SignError::Refused),
        (Remote(Ok(thief)), SignError::OtherKey),
    ] {
        for offer in offers() {
            let admitted = fixtures::admitted_of(&offer);
            let nonce = fixtures::auth_nonce();
            let signed = sign(&admitted, nonce, Marks::default(), &signer, NOW);
            assert_eq!(signed.map(|_| ()), Err(Error::Sign(error.clone())));
            let approval = sign_approval(&admitted, U256::ZERO, &signer, NOW);
            assert_eq!(approval.map(|_| ()), Err(Error::Sign(error.clone())));
        }
    }
}

#[test]
fn extensions_and_marks_go_along() {
    let admitted = fixtures::admitted_of(&fixtures::exact_offer());
    let mut extensions = Map::new();
    extensions.insert("other".to_owned(), json!({ "info": {} }));
    let signed = sign_with(
        &admitted,
        fixtures::auth_nonce(),
        Marks { fallback: true },
        extensions,
        &fixtures::wallet(),
        NOW,
    );
    let signed = signed.unwrap();
    assert_eq!(
        signed.payload.extensions(),
        Some(
            &json!({ "other": { "info": {} }, FALLBACK_EXTENSION: { "info": { "fallback": true } } })
        )
    );
    // Not a part of what is signed.
    let plain = fixtures::signed(&fixtures::exact_offer());
    assert_eq!(signed.digest, plain.digest);
    assert_eq!(plain.payload.extensions(), None);
}

#[test]
fn an_approval_is_for_this_authorization_alone() {
    let admitted = fixtures::admitted_of(&fixtures::exact_offer());
    let wallet = fixtures::wallet();
    let signed = sign_approval(&admitted, U256::from(4), &wallet, NOW).unwrap();
    let approval = Approval {
        owner: wallet.address(),
        spender: PERMIT2,
        value: U256::from(5_000),
        nonce: U256::from(4),
        deadline: U256::from(NOW.as_secs() + 300),
    };
    let domain = TokenDomain {
        name: "OpenGradient".to_owned(),
        version: "1".to_owned(),
        chain_id: 8453,
        token: TOKEN,
    };
    let signature = Signature::parse(&signed.signature).unwrap();
    let digest = approval.digest(&domain);
    assert_eq!(signature.recover(&digest), Ok(wallet.address()));
    assert_eq!((signed.amount, signed.spender), (approval.value, PERMIT2));
    // A token without a domain cannot be asked this way.
    let mut nameless = fixtures::exact_offer();
    nameless["extra"] = json!({ "assetTransferMethod": "permit2" });
    let admitted = fixtures::admitted_of(&nameless);
    let refused = sign_approval(&admitted, U256::ZERO, &wallet, NOW);
    let missing = Malformed::Field("extra/name");
    assert_eq!(refused.map(|_| ()), Err(missing.into()));
}

#[test]
fn permit2_is_approved_for_an_amount() {
    let input = approve_permit2_call(Amount::new(7));
    let call = IToken::approveCall::abi_decode_validate(&input).unwrap();
    assert_eq!((call.spender, call.value), (PERMIT2, U256::from(7)));
}
