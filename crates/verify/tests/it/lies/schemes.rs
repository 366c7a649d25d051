//! Receipts of exact payments, and policies of the second encoding.

use seamline_core::Amount;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::OfferTerms;
use seamline_verify::{Claim, Outcome};
use serde_json::{Value, json};

use super::{refuted, refuted_among};
use crate::fixture::{World, event_mut, offer_terms, spend_policy};

/// The offer of the world, for exactly what is settled there.
fn exact(method: &str) -> OfferTerms {
    let extra = json!({ "name": "Token", "version": "1", "assetTransferMethod": method });
    OfferTerms {
        scheme: "exact".to_owned(),
        amount: "300".to_owned(),
        extra: extra.as_object().unwrap().clone(),
        ..offer_terms()
    }
}

fn policy() -> SpendPolicy {
    SpendPolicy {
        per_hour: Some(Amount::new(300)),
        schemes: vec![Scheme::Exact],
        ..spend_policy()
    }
}

#[test]
fn exact_payments_are_verified_as_any() {
    for method in ["eip3009", "permit2"] {
        let verdict = World::with_policy(&exact(method), &policy()).verify();
        assert_eq!(verdict.first_failure(), None, "{method}");
        for claim in [
            Claim::AuthorizationNonce,
            Claim::AuthorizationSigner,
            Claim::AuthorizationTerms,
            Claim::AuthorizationCap,
            Claim::AuthorizationLifetime,
            Claim::SettlementAmount,
        ] {
            let passed = verdict.about(claim).all(|it| it.outcome == Outcome::Pass);
            assert!(
                passed && verdict.about(claim).next().is_some(),
                "{method} {claim:?}"
            );
        }
    }
}

#[test]
fn scheme_that_the_policy_does_not_list() {
    refuted(
        &World::with_policy(&exact("eip3009"), &spend_policy()),
        Claim::AuthorizationCap,
    );
}

#[test]
fn amount_above_the_cap_of_an_hour() {
    let tight = SpendPolicy {
        per_hour: Some(Amount::new(299)),
        ..policy()
    };
    refuted(
        &World::with_policy(&exact("permit2"), &tight),
        Claim::AuthorizationCap,
    );
}

#[test]
fn less_settled_than_is_exact() {
    for method in ["eip3009", "permit2"] {
        let mut world = World::with_policy(&exact(method), &policy());
        event_mut!(world, SettlementSeen).amount = Some(Amount::new(299));
        refuted_among(&world, Claim::SettlementAmount);
    }
}

#[test]
fn scheme_of_the_admission_edited() {
    let mut world = World::with_policy(&exact("permit2"), &policy());
    event_mut!(world, Admitted).scheme = "upto".into();
    refuted_among(&world, Claim::AuthorizationTerms);
}

#[test]
fn every_field_of_an_exact_payment_counts() {
    let altered = |pointer: &str, value: Value| {
        let mut world = World::with_policy(&exact("eip3009"), &policy());
        let kind = seamline_core::receipt::EvidenceType::Authorization;
        let mut payload: Value = serde_json::from_slice(world.blob_of(kind)).unwrap();
        *payload.pointer_mut(pointer).unwrap() = value;
        let hash = world.replace(kind, payload.to_string().into_bytes());
        event_mut!(world, Authorized).authorization = hash;
        let verdict = world.verify();
        assert!(verdict.first_failure().is_some(), "{pointer}");
    };
    let address = json!("0x0909090909090909090909090909090909090909");
    altered("/payload/authorization/from", address.clone());
    altered("/payload/authorization/to", address.clone());
    altered("/payload/authorization/value", json!("299"));
    altered("/payload/authorization/validAfter", json!("1"));
    altered("/payload/authorization/validBefore", json!("1900000000"));
    altered(
        "/payload/authorization/nonce",
        json!(format!("0x{}", "09".repeat(32))),
    );
    altered("/accepted/scheme", json!("upto"));
    altered("/accepted/network", json!("eip155:1"));
    altered("/accepted/asset", address.clone());
    altered("/accepted/amount", json!("299"));
    altered("/accepted/payTo", address);
    altered("/accepted/maxTimeoutSeconds", json!(299));
    altered("/accepted/extra/name", json!("Other"));
    altered("/accepted/extra/version", json!("2"));
    altered("/accepted/extra/assetTransferMethod", json!("permit2"));
}
