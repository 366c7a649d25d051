//! Streamed answers behind the paywall.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::{Reason, SettleResponse};
use seamline_net::PaymentContext;
use seamline_net::sse::{Decoder, Event};
use serde_json::json;

use crate::shop::{
    Answer, GONE, NOW_S, Script, Settling, Shop, config_at, header, message, paid, pay, price,
    runs, script,
};

const FRAMES: [&str; 4] = [
    "data: {\"t\": \"one\"}\n\n",
    "data: {\"t\": \"two\"}\n\n",
    "data: {\"final\": true}\n\n",
    "data: [DONE]\n\n",
];

/// A handler that streams `frames` and meters one per frame. `limit` frames come, then it hangs.
fn streamer(frames: &'static [&'static str], limit: usize) -> MethodRouter {
    let handler = move |Extension(payment): Extension<PaymentContext>| async move {
        let pieces =
            stream::iter(frames.iter().take(limit).enumerate()).map(move |(index, frame)| {
                let due = u128::try_from(index).unwrap() + 1;
                payment.meter.set(Amount::new(due));
                Ok::<_, std::io::Error>(Bytes::from_static(frame.as_bytes()))
            });
        let body = if limit < frames.len() {
            Body::from_stream(pieces.chain(stream::pending()))
        } else {
            Body::from_stream(pieces)
        };
        let mut response = Response::new(body);
        let media_type = "text/event-stream; charset=utf-8".parse().unwrap();
        response.headers_mut().insert("content-type", media_type);
        response
            .headers_mut()
            .insert("cache-control", "no-cache".parse().unwrap());
        response
    };
    post(handler)
}

fn events(answer: &Answer) -> Vec<Event> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    decoder.feed(&answer.body, &mut events).unwrap();
    decoder.finish().unwrap();
    events
}

fn comment_settlement(event: &Event) -> SettleResponse {
    let Event::Comment(text) = event else {
        panic!("expected a comment, got {event:?}");
    };
    let value = text.strip_prefix(b" seamline-settlement ").unwrap();
    SettleResponse::from_header(value).unwrap()
}

#[tokio::test]
async fn a_stream_says_its_settlement_before_its_last_frame() {
    let shop = Shop::open(Script::default(), streamer(&FRAMES, 4));
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.headers["cache-control"], "no-cache, private");
    let events = events(&answer);
    assert_eq!(events.len(), 5);
    let settlement = comment_settlement(&events[3]);
    assert_eq!(settlement.settled_amount(), Some(Amount::new(4)));
    assert!(settlement.success);
    let done = Event::Message {
        name: Vec::new(),
        data: b"[DONE]".to_vec(),
    };
    assert_eq!(events[4], done);
    // Without the comment it is the handler's stream, byte for byte.
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let start = text.find(": seamline").unwrap();
    let end = start + text[start..].find("\n\n").unwrap() + 2;
    assert_eq!(
        format!("{}{}", &text[..start], &text[end..]),
        FRAMES.concat()
    );
    // Presented again, the same stream comes again.
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(again.body, answer.body);
    assert!(again.settlement().success);
    assert_eq!(shop.settlements().len(), 1);
}

#[tokio::test]
async fn the_first_piece_of_a_stream_leaves_before_the_last_is_made() {
    let shop = Shop::open(Script::default(), streamer(&FRAMES, 2));
    let payment = shop.payment("hello", 1).await;
    let response = shop.raw(paid("hello", &payment)).await;
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), FRAMES[0]);
    assert_eq!(body.next().await.unwrap().unwrap(), FRAMES[1]);
    assert_eq!(shop.settlements(), []);
    // The client leaves: what was metered is settled, and the authorization is spent.
    drop(body);
    assert!(shop.paywall.tasks().drain(Duration::from_secs(5)).await);
    assert_eq!(shop.settlements(), [Amount::new(2)]);
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (again.status, again.body.as_ref()),
        (StatusCode::CONFLICT, GONE)
    );
    assert!(again.settlement().success);
}

#[tokio::test]
async fn a_stream_that_metered_nothing_frees_the_authorization() {
    static ERROR: [&str; 1] = ["data: {\"error\": \"Stream processing failed\"}\n\n"];
    let run = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&run);
    let handler = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { ([("content-type", "text/event-stream")], ERROR[0]) }
    };
    let shop = Shop::open(Script::default(), post(handler));
    let payment = shop.payment("hello", 1).await;
    for expected in 1..3 {
        let answer = shop.send(paid("hello", &payment)).await;
        let events = events(&answer);
        let settlement = comment_settlement(&events[1]);
        assert_eq!(settlement.amount.as_deref(), Some("0"));
        assert_eq!(runs(&run), expected);
    }
    assert_eq!(shop.settlements(), []);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_piece_owes_nothing() {
    static HELD: [&str; 1] = ["data: {}\n\n"];
    let shop = Shop::open(Script::default(), streamer(&HELD, 0));
    let payment = shop.payment("hello", 1).await;
    drop(shop.raw(paid("hello", &payment)).await);
    assert!(shop.paywall.tasks().drain(Duration::from_secs(5)).await);
    assert_eq!(shop.settlements(), []);
    // The authorization is free again: it is verified anew.
    drop(shop.raw(paid("hello", &payment)).await);
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 2);
}

/// A payment whose authorization expires at the second `deadline_s`.
fn expiring(offer: &serde_json::Value, deadline_s: u64) -> String {
    let mut message = message(offer, 1);
    message["payload"]["permit2Authorization"]["deadline"] = json!(deadline_s.to_string());
    header(&message)
}

/// The clock of a shop where a payment that expires at `NOW_S + 11` may be worked for 50 ms.
const LATE: Timestamp = Timestamp::from_millis(NOW_S * 1_000 + 950);

#[tokio::test]
async fn a_stream_is_cut_and_settled_before_its_authorization_expires() {
    let shop = Shop::open_at(LATE, Script::default(), streamer(&FRAMES, 2));
    let payment = expiring(&shop.offer("hello").await, NOW_S + 11);
    let response = shop.raw(paid("hello", &payment)).await;
    let pieces: Vec<_> = response.into_body().into_data_stream().collect().await;
    assert_eq!(shop.settlements(), [Amount::new(2)]);
    assert_eq!(pieces[1].as_ref().unwrap(), FRAMES[1]);
    assert!(pieces.last().unwrap().is_err(), "it does not look complete");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_settled_all_the_same() {
    static LONG: [&str; 40] = ["data: {}\n\n"; 40];
    let shop = Shop::open_at(LATE, Script::default(), streamer(&LONG, 40));
    let payment = expiring(&shop.offer("hello").await, NOW_S + 11);
    let unread = shop.raw(paid("hello", &payment)).await;
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.settlement().success, "the books are closed");
    assert_eq!(shop.settlements().len(), 1);
    drop(unread);
}

#[tokio::test]
async fn an_answer_that_outlives_its_authorization_is_not_made() {
    let hangs = post(core::future::pending::<&'static str>);
    let shop = Shop::open_at(LATE, Script::default(), hangs);
    let payment = expiring(&shop.offer("hello").await, NOW_S + 11);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(shop.settlements(), []);
}

#[tokio::test]
async fn an_authorization_that_is_about_to_expire_buys_nothing() {
    let shop = Shop::open(Script::default(), streamer(&FRAMES, 4));
    let payment = expiring(&shop.offer("hello").await, NOW_S + 10);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.error(), "permit2_deadline_expired");
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_that_breaks_is_settled_and_does_not_look_complete() {
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        payment.meter.set(Amount::new(3));
        let pieces = [
            Ok(Bytes::from_static(FRAMES[0].as_bytes())),
            Err(std::io::Error::other("upstream reset")),
        ];
        let body = Body::from_stream(stream::iter(pieces));
        ([("content-type", "text/event-stream")], body)
    };
    let shop = Shop::open(Script::default(), post(handler));
    let payment = shop.payment("hello", 1).await;
    let response = shop.raw(paid("hello", &payment)).await;
    let pieces: Vec<_> = response.into_body().into_data_stream().collect().await;
    assert!(
        pieces
            .last()
            .unwrap()
            .as_ref()
            .is_err_and(|error| !error.to_string().is_empty())
    );
    assert_eq!(shop.settlements(), [Amount::new(3)]);
}

#[tokio::test]
async fn a_refused_settlement_is_said_in_the_stream() {
    let refuse = [Settling::Refuse(Reason::Permit2InvalidNonce)];
    let shop = Shop::open(script(refuse), streamer(&FRAMES, 4));
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    let settlement = comment_settlement(&events(&answer)[3]);
    assert_eq!(settlement.error_reason, Some(Reason::Permit2InvalidNonce));
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (again.status, again.body.as_ref()),
        (StatusCode::PAYMENT_REQUIRED, &b"{}"[..])
    );
}

#[tokio::test]
async fn an_uncertain_stream_is_settled_when_it_is_presented_again() {
    let shop = Shop::open(script([Settling::Lose]), streamer(&FRAMES, 4));
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    let settlement = comment_settlement(&events(&answer)[3]);
    assert_eq!(settlement.error_reason, Some(Reason::SettlementPending));
    let again = shop.send(paid("hello", &payment)).await;
    assert!(comment_settlement(&events(&again)[3]).success);
}

#[tokio::test]
async fn a_fallback_stream_is_settled_before_its_first_byte() {
    let refuse = [Settling::Refuse(Reason::Permit2InvalidNonce)];
    let shop = Shop::open(script(refuse), streamer(&FRAMES, 4));
    let offer = shop.offer("hello").await;
    let mut marked = message(&offer, 1);
    marked["extensions"] = json!({"seamline-fallback": {"info": {"fallback": true}}});
    let answer = shop.send(paid("hello", &header(&marked))).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::PAYMENT_REQUIRED, &b"{}"[..])
    );
    let mut marked = message(&offer, 2);
    marked["extensions"] = json!({"seamline-fallback": {"info": {"fallback": true}}});
    let answer = shop.send(paid("hello", &header(&marked))).await;
    assert!(answer.settlement().success);
    assert!(comment_settlement(&events(&answer)[3]).success);
}

#[tokio::test]
async fn one_balance_does_not_buy_many_streams_at_once() {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.max_unsettled = 64;
    let shop = Shop::build(Arc::default(), config, price, streamer(&FRAMES, 2));
    let offer = shop.offer("hello").await;
    let mut streams = Vec::new();
    for nonce in 0..32 {
        let response = shop.raw(paid("hello", &pay(&offer, nonce))).await;
        let mut body = response.into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), FRAMES[0]);
        streams.push(body);
    }
    // The next one is settled before its first byte, so that it never comes to an end here.
    let next = shop.raw(paid("hello", &pay(&offer, 32)));
    let waited = tokio::time::timeout(Duration::from_millis(50), next).await;
    assert!(waited.is_err(), "a stream left although 32 are unsettled");
    drop(streams);
}

#[tokio::test]
async fn a_payer_whose_settlement_was_refused_gets_no_credit() {
    let refuse = || Settling::Refuse(Reason::Permit2InsufficientBalance);
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    // What is owed is asked for again, but not in this test.
    config.retry_pause = Duration::from_secs(3_600);
    let script = Arc::new(script([refuse(), refuse()]));
    let shop = Shop::build(script, config, price, streamer(&FRAMES, 4));
    let offer = shop.offer("hello").await;
    let first = shop.send(paid("hello", &pay(&offer, 1))).await;
    assert_eq!(first.status, StatusCode::OK, "it was on its way");
    let second = shop.send(paid("hello", &pay(&offer, 2))).await;
    assert_eq!(
        (second.status, second.body.as_ref()),
        (StatusCode::PAYMENT_REQUIRED, &b"{}"[..])
    );
    let third = shop.send(paid("hello", &pay(&offer, 3))).await;
    assert!(third.settlement().success, "settled first, then answered");
}
