//! Names on the wire, and which method an offer asks for.

use serde_json::{Value, json};

use super::super::{Method, Scheme};
use crate::fixtures;
use crate::x402::Offer;

#[test]
fn names_read_back() {
    for scheme in [Scheme::Exact, Scheme::Upto, Scheme::BatchSettlement] {
        assert_eq!(Scheme::parse(scheme.as_str()), Some(scheme));
        assert_eq!(scheme.to_string(), scheme.as_str());
    }
    for method in [Method::Eip3009, Method::Permit2] {
        assert_eq!(Method::parse(method.as_str()), Some(method));
        assert_eq!(method.to_string(), method.as_str());
    }
    for other in ["", "Exact", "exact ", "auth-capture", "erc7710"] {
        assert_eq!(Scheme::parse(other), None);
        assert_eq!(Method::parse(other), None);
    }
}

#[test]
fn the_method_is_what_the_offer_names_or_what_the_scheme_has() {
    let of = |scheme, named: Value| {
        let mut offer = fixtures::transfer_offer();
        offer["extra"]["assetTransferMethod"] = named;
        let offer = Offer::parse(offer.to_string().as_bytes()).unwrap();
        Method::of(scheme, offer.terms())
    };
    let (transfer, permit2) = (Some(Method::Eip3009), Some(Method::Permit2));
    for scheme in [Scheme::Exact, Scheme::BatchSettlement] {
        assert_eq!(of(scheme, json!(null)), transfer);
        assert_eq!(of(scheme, json!("eip3009")), transfer);
        assert_eq!(of(scheme, json!("permit2")), permit2);
    }
    assert_eq!(of(Scheme::Upto, json!(null)), permit2);
    assert_eq!(of(Scheme::Upto, json!("permit2")), permit2);
    assert_eq!(of(Scheme::Upto, json!("eip3009")), None);
    for other in [json!("erc7710"), json!("Permit2"), json!(1), json!({})] {
        for scheme in [Scheme::Exact, Scheme::Upto, Scheme::BatchSettlement] {
            assert_eq!(of(scheme, other.clone()), None, "{other}");
        }
    }
}
