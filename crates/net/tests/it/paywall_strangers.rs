//! What somebody gets who reads a settlement on the chain and guesses the rest of the request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use seamline_evm::x402::Reason;
use serde_json::{Value, json};

use crate::paywall_local::{tab_payment_of, tab_shop};
use crate::shop::{
    GONE, Script, Settling, Shop, counter, header, message, paid, permit, plain, runs, script,
    terms,
};

/// The message as everybody can write it who has seen the settlement: without what the chain does not
/// show.
fn public(mut message: Value) -> Value {
    message.as_object_mut().unwrap().remove("extensions");
    message
}

fn named(mut message: Value, id: &str) -> Value {
    message["extensions"] = json!({"payment-identifier": {"info": {"id": id}}});
    message
}

#[tokio::test]
async fn what_the_chain_shows_does_not_buy_the_answer_again() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = message(&shop.offer("hello").await, 1);
    let served = shop.send(paid("hello", &header(&payment))).await;
    assert_eq!(served.status, StatusCode::OK);
    // Without the identifier, with another one, with one more byte: another message of a spent nonce.
    let guesses = [
        public(payment.clone()),
        named(payment.clone(), &"x".repeat(36)),
        named(payment.clone(), &format!("pay_{:032x}", 2)),
    ];
    for guess in guesses {
        let answer = shop.send(paid("hello", &header(&guess))).await;
        assert_eq!(answer.error(), "permit2_invalid_nonce");
    }
    // The payer has it again.
    let again = shop.send(paid("hello", &header(&payment))).await;
    assert_eq!((again.status, again.body), (StatusCode::OK, served.body));
    assert_eq!(runs(&runs_of), 1);
}

/// A message that anybody can write gets its answer once; who presents it again learns of the
/// settlement only.
#[tokio::test]
async fn a_message_without_a_secret_gets_its_answer_once() {
    for short in [
        None,
        Some("sixteen_letters_"),
        Some("twenty-one_letters_is"),
    ] {
        let (routes, runs_of) = counter(5);
        let shop = Shop::open(Script::default(), routes);
        let payment = public(message(&shop.offer("hello").await, 1));
        let payment = match short {
            Some(id) => named(payment, id),
            None => payment,
        };
        let payment = header(&payment);
        let served = shop.send(paid("hello", &payment)).await;
        assert_eq!(served.body.as_ref(), b"answer 0");
        for _ in 0..2 {
            let again = shop.send(paid("hello", &payment)).await;
            assert_eq!(
                (again.status, again.body.as_ref()),
                (StatusCode::CONFLICT, GONE)
            );
            assert!(again.settlement().success);
            assert!(
                !again.headers.contains_key("retry-after"),
                "there is nothing to wait for"
            );
        }
        assert_eq!((runs(&runs_of), shop.settlements().len()), (1, 1));
    }
}

#[tokio::test]
async fn twenty_two_characters_are_a_secret() {
    let (routes, _) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = message(&shop.offer("hello").await, 1);
    let payment = header(&named(payment, "twenty-two_letters_is_"));
    for _ in 0..2 {
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(answer.body.as_ref(), b"answer 0");
    }
}

/// While a settlement is under way its authorization is public already.
#[tokio::test]
async fn nobody_waits_for_the_answer_of_another() {
    let (routes, runs_of) = counter(5);
    let script = Script {
        settle_gate: Some(tokio::sync::Semaphore::new(0)),
        ..Script::default()
    };
    let mut config =
        crate::shop::config_at(seamline_core::Timestamp::from_secs(crate::shop::NOW_S));
    config.settle_wait = core::time::Duration::from_secs(60);
    let shop = Shop::build(Arc::new(script), config, crate::shop::price, routes);
    let shop = Arc::new(shop);
    let payment = header(&public(message(&shop.offer("hello").await, 1)));
    let present = || {
        let (shop, payment) = (Arc::clone(&shop), payment.clone());
        tokio::spawn(async move { shop.send(paid("hello", &payment)).await })
    };
    let payer = present();
    while shop.script.settled.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let stranger = present();
    tokio::task::yield_now().await;
    shop.script.settle_gate.as_ref().unwrap().add_permits(10);
    assert_eq!(payer.await.unwrap().body.as_ref(), b"answer 0");
    let stranger = stranger.await.unwrap();
    assert_eq!(
        (stranger.status, stranger.body.as_ref()),
        (StatusCode::CONFLICT, GONE)
    );
    assert_eq!(runs(&runs_of), 1);
}

/// What was not known in time is not handed to whoever asks next.
#[tokio::test]
async fn a_pending_answer_is_for_who_has_the_secret() {
    let pending = || Settling::Refuse(Reason::SettlementPending);
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(script([pending(), pending()]), routes);
    let offer = shop.offer("hello").await;
    let secret = message(&offer, 1);
    let open = public(message(&offer, 2));
    for payment in [&secret, &open] {
        let answer = shop.send(paid("hello", &header(payment))).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let answer = shop.send(paid("hello", &header(&secret))).await;
    assert_eq!(answer.body.as_ref(), b"answer 0");
    let answer = shop.send(paid("hello", &header(&open))).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::CONFLICT, GONE)
    );
    assert_eq!(runs(&runs_of), 2);
}

/// Paid first, and served first: what was settled in advance and then failed is for its message only.
#[tokio::test]
async fn what_was_settled_in_advance_is_not_served_to_another_message() {
    let mut upfront = terms("exact", "permit2");
    upfront
        .extra
        .insert("paymentFlow".to_owned(), json!("upfront"));
    let (routes, runs_of) = plain();
    let shop = Shop::asking(vec![upfront], Script::default(), routes);
    let payment = permit(&shop.offer("hello").await, 1);
    let served = shop.send(paid("hello", &header(&payment))).await;
    assert_eq!(served.status, StatusCode::OK);
    let stranger = shop.send(paid("hello", &header(&public(payment)))).await;
    assert_eq!(stranger.error(), "permit2_invalid_nonce");
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 1);
}

/// A voucher is public once it is claimed.
#[tokio::test]
async fn a_voucher_without_a_secret_gets_its_answer_once() {
    let (routes, runs_of) = counter(7);
    let (_, shop) = tab_shop(routes);
    let offer = shop.offer("hello").await;
    let payment = tab_payment_of(&offer, &json!({"expects": 0}), None);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.body.as_ref(), b"answer 0");
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(again.error(), "tab_out_of_step");
    assert_eq!(runs(&runs_of), 1);
}
