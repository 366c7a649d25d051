use alloy_primitives::Address;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{self, FACILITATOR, SELLER, TOKEN, offer, policy, required};
use crate::scheme::Method;

mod encoding;
mod origins;
mod purchase;

const OTHER: Address = Address::repeat_byte(9);

fn refusal(policy: &SpendPolicy, spent: &Spent, offer: Value) -> Refusal {
    let refused = policy
        .admit(&required(&[offer]), SELLER, spent)
        .unwrap_err();
    assert_eq!(refused.refusals.len(), 1);
    assert_eq!(refused.nearest(), refused.refusals.first());
    refused.refusals.into_iter().next().unwrap()
}

fn altered(name: &str, value: Value) -> Refusal {
    let mut offer = offer();
    offer[name] = value;
    refusal(&policy(), &Spent::default(), offer)
}

fn altered_extra(name: &str, value: Value) -> Refusal {
    let mut offer = offer();
    offer["extra"][name] = value;
    refusal(&policy(), &Spent::default(), offer)
}

#[test]
fn an_admitted_offer_is_what_was_offered() {
    let admitted = fixtures::admitted();
    assert_eq!(admitted.offer().raw(), offer().to_string());
    assert_eq!(admitted.index(), 0);
    assert_eq!(admitted.amount(), Amount::new(5_000));
    assert_eq!(admitted.chain_id(), 8453);
    assert_eq!(admitted.asset(), TOKEN);
    assert_eq!(admitted.pay_to(), SELLER);
    assert_eq!(admitted.facilitator(), Some(FACILITATOR));
    assert_eq!(admitted.scheme(), Scheme::Upto);
    assert_eq!(admitted.method(), Method::Permit2);
    assert_eq!(admitted.lifetime_s(), 300);
}

#[test]
fn each_rule_refuses_with_what_it_saw() {
    let observed = |text: &str| text.to_owned();
    assert_eq!(
        altered("scheme", json!("exact")),
        Refusal::Scheme {
            observed: observed("exact")
        }
    );
    assert_eq!(
        altered_extra("paymentFlow", json!("upfront")),
        Refusal::Flow {
            observed: observed("upfront")
        }
    );
    // A flow that is no string is no flow that we know.
    assert_eq!(
        altered_extra("paymentFlow", json!({"name": "authorization"})),
        Refusal::Flow {
            observed: observed(r#"{"name":"authorization"}"#)
        }
    );
    assert_eq!(
        altered_extra("assetTransferMethod", json!("erc7710")),
        Refusal::Method {
            observed: observed("erc7710")
        }
    );
    assert_eq!(
        altered_extra("assetTransferMethod", json!("eip3009")),
        Refusal::Method {
            observed: observed("eip3009")
        }
    );
    for network in ["eip155:1", "solana:x", "eip155:08453"] {
        assert_eq!(
            altered("network", json!(network)),
            Refusal::Network {
                observed: observed(network)
            }
        );
    }
    for asset in [OTHER.to_string(), "EUR".to_owned()] {
        assert_eq!(
            altered("asset", json!(asset)),
            Refusal::Asset { observed: asset }
        );
    }
    for pay_to in [OTHER.to_string(), "merchant".to_owned()] {
        assert_eq!(
            altered("payTo", json!(pay_to)),
            Refusal::PayTo {
                observed: pay_to,
                bound: SELLER
            }
        );
    }
    for nobody in [Value::Null, json!("0x12"), json!(7)] {
        assert_eq!(
            altered_extra("facilitatorAddress", nobody),
            Refusal::FacilitatorMissing
        );
    }
    for lifetime in [0, MIN_LIFETIME_S - 1] {
        assert_eq!(
            altered("maxTimeoutSeconds", json!(lifetime)),
            Refusal::Lifetime {
                observed: lifetime,
                bound: MIN_LIFETIME_S
            }
        );
    }
    for amount in [
        "1.5",
        "-1",
        "0x10",
        "",
        "340282366920938463463374607431768211456",
    ] {
        assert_eq!(
            altered("amount", json!(amount)),
            Refusal::Amount {
                observed: observed(amount)
            }
        );
    }
}

#[test]
fn the_facilitator_may_be_restricted() {
    let mut policy = policy();
    policy.facilitators = Some(vec![OTHER]);
    let refused = refusal(&policy, &Spent::default(), offer());
    assert_eq!(
        refused,
        Refusal::Facilitator {
            observed: FACILITATOR
        }
    );
    policy.facilitators = Some(vec![OTHER, FACILITATOR]);
    let admitted = policy.admit(&required(&[offer()]), SELLER, &Spent::default());
    assert_eq!(admitted.map(|it| it.facilitator()), Ok(Some(FACILITATOR)));
}

#[test]
fn nothing_is_allowed_by_an_empty_list() {
    for empty in [
        SpendPolicy {
            networks: Vec::new(),
            ..policy()
        },
        SpendPolicy {
            assets: Vec::new(),
            ..policy()
        },
        SpendPolicy {
            facilitators: Some(Vec::new()),
            ..policy()
        },
    ] {
        let admitted = empty.admit(&required(&[offer()]), SELLER, &Spent::default());
        assert!(
            admitted.is_err_and(|it| it.refusals.len() == 1),
            "{empty:?}"
        );
    }
}

#[test]
fn caps_hold_to_the_unit() {
    let with = |per_call, per_day, per_node_day: Option<u128>| SpendPolicy {
        per_call: Amount::new(per_call),
        per_day: Amount::new(per_day),
        per_node_day: per_node_day.map(Amount::new),
        ..policy()
    };
    let spent = Spent {
        today: Amount::new(100),
        reserved: Amount::new(20),
        node_today: Amount::new(50),
        ..Spent::default()
    };
    let admit = |policy: SpendPolicy| {
        let admitted = policy.admit(&required(&[offer()]), SELLER, &spent);
        admitted.map(|it| it.amount()).map_err(|it| it.refusals)
    };
    let five = Amount::new(5_000);
    assert_eq!(admit(with(5_000, 5_120, Some(5_050))), Ok(five));
    assert_eq!(
        admit(with(4_999, 5_120, Some(5_050))),
        Err(vec![Refusal::PerCall {
            observed: five,
            bound: Amount::new(4_999)
        }])
    );
    assert_eq!(
        admit(with(5_000, 5_119, Some(5_050))),
        Err(vec![Refusal::PerDay {
            observed: five,
            left: Amount::new(4_999),
            bound: Amount::new(5_119)
        }])
    );
    assert_eq!(
        admit(with(5_000, 5_120, Some(5_049))),
        Err(vec![Refusal::PerNodeDay {
            observed: five,
            left: Amount::new(4_999),
            bound: Amount::new(5_049)
        }])
    );
    assert_eq!(
        admit(with(5_000, 119, None)),
        Err(vec![Refusal::PerDay {
            observed: five,
            left: Amount::ZERO,
            bound: Amount::new(119)
        }])
    );
}

#[test]
fn books_that_overflow_allow_nothing() {
    let spent = Spent {
        today: Amount::MAX,
        reserved: Amount::MAX,
        ..Spent::default()
    };
    let policy = SpendPolicy {
        per_day: Amount::MAX,
        ..policy()
    };
    let refused = refusal(&policy, &spent, offer());
    assert!(matches!(
        refused,
        Refusal::PerDay {
            left: Amount::ZERO,
            ..
        }
    ));
}

#[test]
fn an_authorization_never_outlives_the_policy() {
    let mut long = offer();
    long["maxTimeoutSeconds"] = json!(u64::MAX);
    let policy = SpendPolicy {
        max_lifetime_s: 60,
        ..policy()
    };
    let admitted = policy.admit(&required(&[long]), SELLER, &Spent::default());
    assert_eq!(admitted.map(|it| it.lifetime_s()), Ok(60));
    let mut short = offer();
    short["maxTimeoutSeconds"] = json!(MIN_LIFETIME_S);
    let admitted = policy.admit(&required(&[short]), SELLER, &Spent::default());
    assert_eq!(admitted.map(|it| it.lifetime_s()), Ok(MIN_LIFETIME_S));
}

#[test]
fn the_cheapest_admitted_offer_is_taken() {
    let priced = |amount: &str, scheme: &str| {
        let mut offer = offer();
        offer["amount"] = json!(amount);
        offer["scheme"] = json!(scheme);
        offer
    };
    let choose = |offers: &[Value]| {
        policy()
            .admit(&required(offers), SELLER, &Spent::default())
            .map(|it| it.index())
    };
    let offers = [
        priced("20000", "upto"),
        priced("1", "exact"),
        priced("300", "upto"),
        priced("200", "upto"),
        priced("200", "upto"),
    ];
    assert_eq!(choose(&offers), Ok(3));
    // Preference never overrides a limit.
    let refused = choose(&offers[..2]).unwrap_err();
    assert_eq!(refused.refusals.len(), 2);
    assert!(matches!(refused.nearest(), Some(Refusal::PerCall { .. })));
}

#[test]
fn codes_are_distinct() {
    let refusals = [
        altered("scheme", json!("x")),
        altered_extra("paymentFlow", json!("x")),
        altered_extra("assetTransferMethod", json!("x")),
        altered("network", json!("x")),
        altered("asset", json!("x")),
        altered("payTo", json!("x")),
        altered_extra("facilitatorAddress", json!("x")),
        altered("maxTimeoutSeconds", json!(1)),
        altered("amount", json!("x")),
        altered("amount", json!("10001")),
    ];
    let codes: std::collections::BTreeSet<_> = refusals.iter().map(Refusal::code).collect();
    assert_eq!(codes.len(), refusals.len());
}
