//! Schemes beside `upto`, and sellers that are no nodes.

use super::*;
use crate::policy::{Payee, Purchase};
use crate::typed::TokenDomain;

const URL: &str = "https://node.example/v1/chat/completions";

/// A policy that allows every scheme.
fn open() -> SpendPolicy {
    SpendPolicy {
        schemes: vec![Scheme::Exact, Scheme::Upto, Scheme::BatchSettlement],
        ..policy()
    }
}

fn exact(method: impl Into<Value>) -> Value {
    let mut offer = offer();
    offer["scheme"] = json!("exact");
    offer["extra"] =
        json!({ "name": "USD Coin", "version": "2", "assetTransferMethod": method.into() });
    offer
}

fn batch() -> Value {
    let mut offer = offer();
    offer["scheme"] = json!("batch-settlement");
    offer["extra"] = json!({
        "name": "USD Coin", "version": "2",
        "receiverAuthorizer": OTHER.to_string(), "withdrawDelay": 900, "minDeposit": "50000",
    });
    offer
}

fn take(offers: &[Value]) -> Result<Admitted, NotAdmitted> {
    open().admit(&required(offers), SELLER, &Spent::default())
}

fn refused(offer: Value) -> Refusal {
    refusal(&open(), &Spent::default(), offer)
}

fn with(mut offer: Value, member: &str, value: Value) -> Value {
    offer["extra"][member] = value;
    offer
}

#[test]
fn exact_is_taken_in_both_methods() {
    let domain = TokenDomain {
        name: "USD Coin".to_owned(),
        version: "2".to_owned(),
        chain_id: 8453,
        token: TOKEN,
    };
    for (method, expected) in [
        (Value::Null, Method::Eip3009),
        (json!("eip3009"), Method::Eip3009),
        (json!("permit2"), Method::Permit2),
    ] {
        let admitted = take(&[exact(method)]).unwrap();
        assert_eq!(
            (admitted.scheme(), admitted.method()),
            (Scheme::Exact, expected)
        );
        assert_eq!(admitted.token_domain(), Some(&domain));
        assert_eq!((admitted.facilitator(), admitted.channel()), (None, None));
    }
    let mut unnamed = exact(Value::Null);
    unnamed["extra"]
        .as_object_mut()
        .unwrap()
        .remove("assetTransferMethod");
    assert_eq!(take(&[unnamed]).map(|it| it.method()), Ok(Method::Eip3009));
    for odd in [
        json!("erc7710"),
        json!(3009),
        json!(["permit2"]),
        json!("Permit2"),
    ] {
        let observed = odd.as_str().map_or_else(|| odd.to_string(), str::to_owned);
        assert_eq!(refused(exact(odd)), Refusal::Method { observed });
    }
}

#[test]
fn a_token_without_its_domain_is_never_guessed() {
    for member in ["name", "version"] {
        for odd in [Value::Null, json!(2), json!(""), json!("x".repeat(129))] {
            let bare = with(exact(json!("eip3009")), member, odd.clone());
            assert_eq!(refused(bare), Refusal::TokenDomain);
            assert_eq!(
                refused(with(batch(), member, odd.clone())),
                Refusal::TokenDomain
            );
            // Permit2 signs under its own domain.
            let admitted = take(&[with(exact(json!("permit2")), member, odd)]);
            assert_eq!(admitted.map(|it| it.token_domain().cloned()), Ok(None));
        }
    }
}

#[test]
fn a_channel_needs_its_terms() {
    let admitted = take(&[batch()]).unwrap();
    assert_eq!(admitted.method(), Method::Eip3009);
    let channel = admitted.channel().unwrap();
    assert_eq!(channel.receiver_authorizer, OTHER);
    assert_eq!(channel.withdraw_delay_s, 900);
    assert_eq!(channel.min_deposit, Some(Amount::new(50_000)));
    assert_eq!(channel.max_deposit, policy().per_day);
    let by_permit2 = take(&[with(batch(), "assetTransferMethod", json!("permit2"))]);
    assert_eq!(by_permit2.map(|it| it.method()), Ok(Method::Permit2));
    let bad = [
        (
            "receiverAuthorizer",
            vec![Value::Null, json!(Address::ZERO.to_string()), json!("0x12")],
        ),
        (
            "withdrawDelay",
            vec![
                Value::Null,
                json!(899),
                json!(2_592_001),
                json!("900"),
                json!(-1),
            ],
        ),
        (
            "minDeposit",
            vec![json!(50_000), json!("-1"), json!("1e3"), json!("")],
        ),
    ];
    for (member, values) in bad {
        for value in values {
            let found = refused(with(batch(), member, value.clone()));
            assert!(
                matches!(found, Refusal::Channel { member: it, .. } if it == member),
                "{value}"
            );
        }
    }
    let dear = with(batch(), "minDeposit", json!("50001"));
    let bound = policy().per_day;
    let observed = Amount::new(50_001);
    assert_eq!(
        refused(dear.clone()),
        Refusal::PerChannel { observed, bound }
    );
    let wide = SpendPolicy {
        per_channel: Some(observed),
        ..open()
    };
    let admitted = wide.admit(&required(&[dear]), SELLER, &Spent::default());
    assert_eq!(
        admitted.map(|it| it.channel().unwrap().max_deposit),
        Ok(observed)
    );
}

#[test]
fn the_policy_lists_its_schemes() {
    for (offer, scheme) in [
        (exact(Value::Null), Scheme::Exact),
        (offer(), Scheme::Upto),
        (batch(), Scheme::BatchSettlement),
    ] {
        let observed = scheme.as_str().to_owned();
        let but = SpendPolicy {
            schemes: open()
                .schemes
                .into_iter()
                .filter(|it| *it != scheme)
                .collect(),
            ..policy()
        };
        let found = refusal(&but, &Spent::default(), offer.clone());
        assert_eq!(found, Refusal::Scheme { observed });
        let only = SpendPolicy {
            schemes: vec![scheme],
            ..policy()
        };
        let admitted = only.admit(&required(&[offer]), SELLER, &Spent::default());
        assert_eq!(admitted.map(|it| it.scheme()), Ok(scheme));
    }
    assert!(matches!(
        refused(with_scheme("auth-capture")),
        Refusal::Scheme { .. }
    ));
    assert!(matches!(
        refused(with_scheme("Exact")),
        Refusal::Scheme { .. }
    ));
}

fn with_scheme(scheme: &str) -> Value {
    let mut offer = offer();
    offer["scheme"] = json!(scheme);
    offer
}

#[test]
fn the_cheapest_wins_then_the_scheme_that_charges_least() {
    let at = |mut offer: Value, amount: &str| {
        offer["amount"] = json!(amount);
        offer
    };
    let index = |offers: &[Value]| take(offers).map(|it| it.index());
    let (e, u, b) = (exact(Value::Null), offer(), batch());
    assert_eq!(
        index(&[at(e.clone(), "5"), at(u.clone(), "5"), at(b.clone(), "5")]),
        Ok(2)
    );
    assert_eq!(
        index(&[at(e.clone(), "5"), at(u.clone(), "5"), at(b.clone(), "6")]),
        Ok(1)
    );
    assert_eq!(
        index(&[at(e.clone(), "4"), at(u.clone(), "5"), at(b.clone(), "5")]),
        Ok(0)
    );
    assert_eq!(
        index(&[at(b.clone(), "5"), at(u.clone(), "5"), at(e.clone(), "5")]),
        Ok(0)
    );
    assert_eq!(index(&[at(b.clone(), "5"), at(b, "5")]), Ok(0));
    // Preference never overrides a limit.
    assert_eq!(index(&[at(u, "10001"), at(e, "9000")]), Ok(1));
}

#[test]
fn every_rolling_cap_holds_to_the_unit() {
    let spent = Spent {
        hour: Amount::new(10),
        today: Amount::new(100),
        reserved: Amount::new(20),
        node_today: Amount::new(50),
        model_today: Amount::new(70),
    };
    let admit = |policy: SpendPolicy| {
        let admitted = policy.admit(&required(&[offer()]), SELLER, &spent);
        admitted
            .map(|it| it.amount())
            .map_err(|it| it.refusals[0].clone())
    };
    let capped = |hour: u128, model: u128| SpendPolicy {
        per_hour: Some(Amount::new(hour)),
        per_model_day: Some(Amount::new(model)),
        ..policy()
    };
    let observed = Amount::new(5_000);
    let left = Amount::new(4_999);
    assert_eq!(admit(capped(5_030, 5_070)), Ok(observed));
    let bound = Amount::new(5_029);
    assert_eq!(
        admit(capped(5_029, 5_070)),
        Err(Refusal::PerHour {
            observed,
            left,
            bound
        })
    );
    let bound = Amount::new(5_069);
    assert_eq!(
        admit(capped(5_030, 5_069)),
        Err(Refusal::PerModelDay {
            observed,
            left,
            bound
        })
    );
    // The books may overflow: then nothing is left.
    let lost = Spent {
        hour: Amount::MAX,
        reserved: Amount::new(1),
        ..Spent::default()
    };
    let none = capped(u128::MAX, u128::MAX).admit(&required(&[offer()]), SELLER, &lost);
    let refusal = none.unwrap_err().refusals[0].clone();
    assert!(matches!(
        refusal,
        Refusal::PerHour {
            left: Amount::ZERO,
            ..
        }
    ));
}

#[test]
fn a_policy_for_tests_pays_no_money() {
    let mixed = SpendPolicy {
        networks: vec!["eip155:84532".to_owned(), "eip155:8453".to_owned()],
        ..policy()
    };
    let found = refusal(&mixed, &Spent::default(), offer());
    let observed = "eip155:8453".to_owned();
    assert_eq!(found, Refusal::NotTestNetwork { observed });
    let mut test = offer();
    test["network"] = json!("eip155:84532");
    let admitted = mixed.admit(&required(&[test]), SELLER, &Spent::default());
    assert_eq!(admitted.map(|it| it.chain_id()), Ok(84_532));
}

#[test]
fn a_plain_seller_is_paid_where_it_was_asked() {
    let admit = |payee: Payee<'_>, request_url: Option<&str>| {
        let purchase = Purchase { payee, request_url };
        let admitted = policy().admit_purchase(&required(&[offer()]), &purchase, &Spent::default());
        admitted
            .map(|it| it.pay_to())
            .map_err(|it| it.refusals[0].code())
    };
    let asked = Some("https://node.example/other?x#y");
    assert_eq!(admit(Payee::Anyone, asked), Ok(SELLER));
    assert_eq!(admit(Payee::Listed(&[OTHER, SELLER]), asked), Ok(SELLER));
    assert_eq!(
        admit(Payee::Listed(&[OTHER]), asked),
        Err("pay_to_not_allowed")
    );
    assert_eq!(admit(Payee::Listed(&[]), asked), Err("pay_to_not_allowed"));
    assert_eq!(admit(Payee::Node(OTHER), asked), Err("pay_to_not_the_node"));
    for elsewhere in [
        "https://evil.example/",
        "http://node.example/",
        "https://node.example:8443/",
        "",
        "https://node.example.evil/",
        "https://x@node.example/",
        "ftp://node.example/",
    ] {
        let found = admit(Payee::Anyone, Some(elsewhere));
        assert_eq!(found, Err("resource_not_the_request"), "{elsewhere}");
    }
    // Nobody is not anyone, and a seller that says nothing sells nothing.
    let mut nobody = offer();
    nobody["payTo"] = json!(Address::ZERO.to_string());
    let purchase = Purchase {
        payee: Payee::Anyone,
        request_url: Some(URL),
    };
    let found = policy().admit_purchase(&required(&[nobody]), &purchase, &Spent::default());
    assert_eq!(found.unwrap_err().refusals[0].code(), "pay_to_not_allowed");
    let silent = json!({ "x402Version": 2, "accepts": [offer()] }).to_string();
    let silent = PaymentRequired::parse(silent.as_bytes()).unwrap();
    let found = policy().admit_purchase(&silent, &purchase, &Spent::default());
    let refusal = found.unwrap_err().refusals[0].clone();
    assert_eq!(
        (refusal.code(), refusal.observed()),
        ("resource_not_the_request", String::new())
    );
    assert_eq!(refusal.bound().as_deref(), Some(URL));
}
