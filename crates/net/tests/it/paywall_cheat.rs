//! Payers that have their own authorization settled for less.

use core::time::Duration;
use std::sync::Arc;

use http::{Request, StatusCode};
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::Reason;
use seamline_net::{PaywallConfig, SessionRules};

use crate::shop::{NOW_S, Settling, Shop, config_at, counter, paid, pay, price, script, unpaid};

fn shop(settle: impl Into<Vec<Settling>>, adapt: impl FnOnce(&mut PaywallConfig)) -> Shop {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    adapt(&mut config);
    let (routes, _) = counter(7);
    Shop::build(Arc::new(script(settle)), config, price, routes)
}

/// One unit of what was due was settled, and not by us.
fn spent_for_one() -> Settling {
    Settling::SpentBy(Amount::new(1))
}

#[tokio::test]
async fn one_settlement_for_less_costs_all_credit() {
    let shop = shop([spent_for_one()], |_| {});
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.body.as_ref(), b"{}");
    let said = answer.settlement();
    assert_eq!(said.error_reason, Some(Reason::Permit2InvalidNonce));
    // What was really moved is on record.
    assert_eq!(said.extra.unwrap()["spentBy"]["amount"], "1");
    let payment = shop.payment("hello", 2).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

/// Honest payers lose a nonce too: to the node that they failed over to.
#[tokio::test]
async fn a_spent_nonce_alone_is_one_refusal() {
    let refuse = Settling::Refuse(Reason::Permit2InvalidNonce);
    let shop = shop([refuse], |_| {});
    for (nonce, status) in [(1, StatusCode::PAYMENT_REQUIRED), (2, StatusCode::OK)] {
        let payment = shop.payment("hello", nonce).await;
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_cheat_ends_all_sessions_of_its_payer() {
    let shop = shop([spent_for_one()], |config| {
        config.sessions = Some(SessionRules::new(Amount::new(10_000)));
    });
    let mut tokens = Vec::new();
    for nonce in 1..=3 {
        let payment = pay(&shop.offer("hello").await, nonce);
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        tokens.push(answer.headers["x-upto-session"].clone());
    }
    assert_eq!(shop.paywall.sessions(), 3);
    // A request that is paid alone (the other offer) is settled, and was settled for less.
    let offers = shop.send(unpaid("POST", "hello")).await.required();
    let alone = pay(&offers["accepts"][1], 9);
    let answer = shop.send(paid("hello", &alone)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{answer:?}");
    assert_eq!(shop.paywall.sessions(), 0);
    // What they owe is settled at once.
    assert!(shop.paywall.tasks().drain(Duration::from_secs(30)).await);
    assert_eq!(shop.settlements(), [7, 7, 7, 7].map(Amount::new));
    for token in tokens {
        let mut request: Request<_> = unpaid("POST", "hello");
        request.headers_mut().insert("x-upto-session", token);
        let answer = shop.send(request).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    }
    let payment = pay(&shop.offer("hello").await, 10);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}
