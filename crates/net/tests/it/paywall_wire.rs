//! Streams as they cross a wire: trailers, other media types, slow readers, ends.

use core::time::Duration;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::SettleResponse;
use seamline_net::sse::{Decoder, Event};
use seamline_net::{Meter, PaymentContext, Streamed, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::shop::{
    NOW_S, Script, Shop, always, config_at, header, paid, pay, price, terms, transfer,
};

type Pieces = Vec<&'static str>;

/// Yields `pieces`, each metered at one more than the one before.
fn metered(meter: Meter, pieces: Pieces) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::iter(pieces).enumerate().map(move |(index, piece)| {
        meter.set(Amount::new(u128::try_from(index).unwrap() + 1));
        Ok(Bytes::from_static(piece.as_bytes()))
    })
}

fn streams(content_type: &'static str, pieces: &[&'static str]) -> MethodRouter {
    let pieces = pieces.to_vec();
    any(
        move |Extension(payment): Extension<PaymentContext>| async move {
            let body = Body::from_stream(metered(payment.meter, pieces));
            (
                [("content-type", content_type), ("content-length", "9999")],
                body,
            )
        },
    )
}

async fn over_tcp(shop: &Shop, payment: &str, extra: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    tokio::spawn(serve(listener, shop.router(), core::future::pending()));
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
         connection: close\r\npayment-signature: {payment}\r\n{extra}\r\nhello"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_client_that_reads_trailers_gets_the_settlement_in_one() {
    for content_type in ["text/event-stream", "application/x-ndjson"] {
        let shop = Shop::open(Script::default(), streams(content_type, &["{}\n", "{}\n"]));
        let payment = shop.payment("hello", 1).await;
        let text = over_tcp(&shop, &payment, "te: trailers\r\n").await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\ntrailer: PAYMENT-RESPONSE"), "{head}");
        assert!(
            !head.contains("\r\npayment-response"),
            "not known yet: {head}"
        );
        let (_, trailer) = body.rsplit_once("\r\n0\r\n").unwrap();
        let value = trailer.trim().strip_prefix("payment-response: ").unwrap();
        let settled = SettleResponse::from_header(value.as_bytes()).unwrap();
        assert_eq!(settled.settled_amount(), Some(Amount::new(2)));
    }
}

#[tokio::test]
async fn a_client_that_reads_no_trailers_gets_none() {
    let shop = Shop::open(
        Script::default(),
        streams("application/x-ndjson", &["{}\n"]),
    );
    let payment = shop.payment("hello", 1).await;
    let text = over_tcp(&shop, &payment, "").await;
    assert!(
        !text.contains("\r\ntrailer:"),
        "no trailer is announced: {text}"
    );
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(shop.settlements(), [Amount::new(1)]);
}

#[tokio::test]
async fn other_streams_start_at_once_too_and_stay_as_they_are() {
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        let body = Body::from_stream(metered(payment.meter, vec!["one", "data: [DONE]", "two"]));
        let mut response = Response::new(body);
        response.extensions_mut().insert(Streamed);
        response
    };
    let shop = Shop::open(Script::default(), any(handler));
    let payment = shop.payment("hello", 1).await;
    let response = shop.raw(paid("hello", &payment)).await;
    assert!(!response.headers().contains_key("content-length"));
    let mut pieces = response.into_body().into_data_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "one");
    let rest: Vec<_> = pieces.map(Result::unwrap).collect().await;
    assert_eq!(rest.concat(), b"data: [DONE]two");
    // Asked for again, the settlement is in the header: it is known then.
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(again.body, "onedata: [DONE]two");
    assert_eq!(again.settlement().settled_amount(), Some(Amount::new(3)));
}

#[tokio::test]
async fn an_event_stream_of_another_kind_ends_with_an_event() {
    let shop = Shop::open(
        Script::default(),
        streams("text/event-stream", &["data: a\n\n"]),
    );
    let payment = shop.payment("hello", 1).await;
    for _ in 0..2 {
        let answer = shop.send(paid("hello", &payment)).await;
        let mut events = Vec::new();
        Decoder::new().feed(&answer.body, &mut events).unwrap();
        let Event::Message { name, data } = &events[2] else {
            panic!("a message: {events:?}");
        };
        assert_eq!(name, b"x402.receipt");
        let settled = SettleResponse::parse(data).unwrap();
        assert_eq!(settled.settled_amount(), Some(Amount::new(1)));
        assert!(
            matches!(&events[1], Event::Comment(text) if text.starts_with(b" seamline-settlement "))
        );
    }
}

#[tokio::test]
async fn a_stream_is_cut_at_the_ceiling() {
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        let meter = payment.meter;
        let pieces = stream::iter([500_u128, 1_000, 1_001, 1_002]).map(move |due| {
            meter.set(Amount::new(due));
            Ok::<_, std::io::Error>(Bytes::from(format!("data: {due}\n\n")))
        });
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(pieces),
        )
    };
    let shop = Shop::asking(
        vec![terms("upto", "permit2")],
        Script::default(),
        any(handler),
    );
    let response = shop
        .raw(paid("hello", &shop.payment("hello", 1).await))
        .await;
    let pieces: Vec<_> = response.into_body().into_data_stream().collect().await;
    let texts = pieces
        .iter()
        .flatten()
        .map(|piece| String::from_utf8_lossy(piece));
    let text: String = texts.collect();
    assert!(
        text.starts_with("data: 500\n\ndata: 1000\n\n: seamline-settlement "),
        "{text}"
    );
    assert!(!text.contains("1001"), "{text}");
    assert!(pieces.last().unwrap().is_err(), "it does not look complete");
    assert_eq!(shop.settlements(), [Amount::new(1_000)]);
}

#[tokio::test]
async fn an_exact_stream_is_paid_whole_once_anything_left() {
    for (pieces, due) in [
        (vec!["data: a\n\n"], vec![Amount::new(1_000)]),
        (vec![], vec![]),
    ] {
        let handler = move || async move {
            let pieces = stream::iter(pieces.clone())
                .map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
            let body = Body::from_stream(pieces.chain(stream::pending()));
            ([("content-type", "text/event-stream")], body)
        };
        let shop = Shop::asking(
            vec![terms("exact", "eip3009")],
            Script::default(),
            any(handler),
        );
        let payment = header(&transfer(&shop.offer("hello").await, 1));
        let response = shop.raw(paid("hello", &payment)).await;
        let mut body = response.into_body().into_data_stream();
        if !due.is_empty() {
            assert_eq!(body.next().await.unwrap().unwrap(), "data: a\n\n");
        }
        drop(body);
        assert!(shop.paywall.tasks().drain(Duration::from_secs(5)).await);
        assert_eq!(shop.settlements(), due);
    }
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut_and_pays_for_what_was_made() {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.stall = Duration::from_millis(20);
    let routes = streams("text/event-stream", &["data: {}\n\n"; 40]);
    let shop = Shop::build(Arc::new(Script::default()), config, price, routes);
    let payment = shop.payment("hello", 1).await;
    let unread = shop.raw(paid("hello", &payment)).await;
    assert!(shop.paywall.tasks().drain(Duration::from_secs(5)).await);
    let settled = shop.settlements();
    assert!(
        settled.len() == 1 && settled[0] < Amount::new(40),
        "{settled:?}"
    );
    // Whoever reads on afterwards sees that it was cut.
    let pieces: Vec<_> = unread.into_body().into_data_stream().collect().await;
    assert!(pieces.last().unwrap().is_err(), "it does not look complete");
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_stream_that_panics_is_settled_for_what_left() {
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        payment.meter.set(Amount::new(3));
        let pieces = stream::iter(0..2).map(|index| match index {
            0 => Ok::<_, std::io::Error>(Bytes::from_static(b"data: {}\n\n")),
            _ => panic!("a bug"),
        });
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(pieces),
        )
            .into_response()
    };
    let shop = Shop::open(Script::default(), any(handler));
    let response = shop
        .raw(paid("hello", &shop.payment("hello", 1).await))
        .await;
    let collected = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    assert!(
        collected.is_err_and(|error| !error.to_string().is_empty()),
        "it does not look complete"
    );
    assert_eq!(shop.settlements(), [Amount::new(3)]);
}

#[tokio::test]
async fn credit_is_as_long_as_configured() {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.max_on_credit = 1;
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        let body =
            Body::from_stream(metered(payment.meter, vec!["data: a\n\n"]).chain(stream::pending()));
        ([("content-type", "text/event-stream")], body)
    };
    let shop = Shop::build(
        Arc::new(Script::default()),
        config,
        always(vec![terms("upto", "permit2")]),
        any(handler),
    );
    let offer = shop.offer("hello").await;
    let first = shop.raw(paid("hello", &pay(&offer, 1))).await;
    let mut first = first.into_body().into_data_stream();
    assert_eq!(first.next().await.unwrap().unwrap(), "data: a\n\n");
    let second = shop.raw(paid("hello", &pay(&offer, 2)));
    let waited = tokio::time::timeout(Duration::from_millis(50), second).await;
    assert!(
        waited.is_err(),
        "a second stream left although one is unsettled"
    );
    assert_eq!(json!(shop.settlements().len()), json!(0));
}
