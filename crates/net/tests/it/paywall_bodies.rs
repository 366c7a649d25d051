//! What somebody can make a paywall read who does not pay.

use core::time::Duration;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use seamline_core::Timestamp;
use seamline_net::{FixedOffers, PaywallConfig};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::shop::{NOW_S, Shop, always, config_at, counter, header, permit, runs, terms, unpaid};

fn config(adapt: impl FnOnce(&mut PaywallConfig)) -> PaywallConfig {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    adapt(&mut config);
    config
}

/// A shop whose price does not depend on the body.
fn fixed() -> Shop {
    let offers = FixedOffers(vec![terms("exact", "permit2")]);
    let (routes, _) = counter(5);
    Shop::build(Arc::default(), config(|_| ()), offers, routes)
}

fn with_body(body: Body) -> Request<Body> {
    let mut request = unpaid("POST", "");
    *request.body_mut() = body;
    request
}

/// A body whose pieces come from elsewhere.
fn fed() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let pieces = stream::poll_fn(move |context| receiver.poll_recv(context));
    (
        sender,
        Body::from_stream(pieces.map(Ok::<_, std::io::Error>)),
    )
}

/// A kilobyte, then one byte each second for ever.
fn trickle() -> Body {
    let pieces = stream::unfold(0_u32, |sent| async move {
        let length = if sent == 0 { 1_024 } else { 1 };
        if sent > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let piece = Bytes::from(vec![b' '; length]);
        Some((Ok::<_, std::io::Error>(piece), sent.saturating_add(1)))
    });
    Body::from_stream(pieces)
}

#[tokio::test(start_paused = true)]
async fn who_does_not_pay_is_told_before_its_body_is_kept() {
    let shop = fixed();
    let began = Instant::now();
    // Who waits to be asked for its body is not asked.
    let mut asks = with_body(Body::from_stream(
        stream::pending::<std::io::Result<Bytes>>(),
    ));
    let expect = "100-continue".parse().unwrap();
    asks.headers_mut().insert("expect", expect);
    assert_eq!(shop.send(asks).await.error(), "Payment required");
    assert_eq!(began.elapsed(), Duration::ZERO);
    // What comes is thrown away, however long, and however slowly: not for ever.
    for body in [
        Body::from(vec![b' '; 100_000]),
        Body::from(vec![b' '; 10_000_000]),
        Body::from_stream(stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1_000]))
        })),
        trickle(),
        Body::from_stream(stream::pending::<std::io::Result<Bytes>>()),
    ] {
        let answer = shop.send(with_body(body)).await;
        assert_eq!(answer.error(), "Payment required");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    // A payment that does not read is none.
    let mut unreadable = with_body(trickle());
    let value = "nonsense".parse().unwrap();
    unreadable.headers_mut().insert("PAYMENT-SIGNATURE", value);
    assert_eq!(shop.send(unreadable).await.error(), "invalid_payload");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hardly_moves_is_not_waited_for() {
    let (routes, runs_of) = counter(5);
    let offers = always(vec![terms("exact", "permit2")]);
    let shop = Shop::build(Arc::default(), config(|_| ()), offers, routes);
    for body in [
        trickle(),
        Body::from_stream(stream::pending::<std::io::Result<Bytes>>()),
    ] {
        let began = Instant::now();
        let answer = shop.send(with_body(body)).await;
        assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
        assert!(
            began.elapsed() < Duration::from_secs(21),
            "{:?}",
            began.elapsed()
        );
    }
    // Fast enough, and not for longer than a minute.
    let steady = stream::repeat_with(|| Bytes::from_static(&[b' '; 1_100])).then(|piece| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let began = Instant::now();
    let answer = shop.send(with_body(Body::from_stream(steady))).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(runs(&runs_of), 0);
    // A body that breaks off is neither.
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
    let answer = shop.send(with_body(Body::from_stream(broken))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

/// However many connections there are, what they send unpaid takes bounded room together.
#[tokio::test]
async fn unpaid_bodies_share_bounded_room() {
    let (routes, _) = counter(5);
    let config = config(|config| config.max_unpaid_bytes = 8 * 1_024);
    let offers = always(vec![terms("exact", "permit2")]);
    let shop = Arc::new(Shop::build(Arc::default(), config, offers, routes));
    let mut held = Vec::new();
    for _ in 0..2 {
        let (sender, body) = fed();
        sender.send(Bytes::from(vec![b' '; 4_096])).unwrap();
        let shop = Arc::clone(&shop);
        let request = tokio::spawn(async move { shop.send(with_body(body)).await });
        tokio::task::yield_now().await;
        held.push((sender, request));
    }
    let refused = shop.send(with_body(Body::from("one byte more"))).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "1");
    // Who would need more than there is gives back what it had.
    let (sender, request) = held.pop().unwrap();
    sender.send(Bytes::from_static(b" ")).unwrap();
    let refused = request.await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = shop.send(with_body(Body::from(vec![b' '; 4_096]))).await;
    assert_eq!(answer.error(), "Payment required");
    let (sender, request) = held.pop().unwrap();
    drop(sender);
    assert_eq!(request.await.unwrap().error(), "Payment required");
}

/// What is paid for does not take the room of what is not.
#[tokio::test]
async fn a_paid_body_gives_its_room_back() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let handler = move || {
        let gate = Arc::clone(&waits);
        async move {
            drop(gate.acquire().await.unwrap());
            "answer"
        }
    };
    let config = config(|config| config.max_unpaid_bytes = 1_024);
    let offers = always(vec![terms("exact", "permit2")]);
    let shop = Shop::build(Arc::default(), config, offers, axum::routing::any(handler));
    let shop = Arc::new(shop);
    let offer = shop.offer("hello").await;
    let paid: Vec<_> = (0..4)
        .map(|nonce| {
            let (shop, payment) = (Arc::clone(&shop), header(&permit(&offer, nonce)));
            let request = crate::shop::paid("hello", &payment);
            tokio::spawn(async move { shop.send(request).await.status })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(
        shop.send(unpaid("POST", "hello")).await.error(),
        "Payment required"
    );
    gate.add_permits(4);
    for status in paid {
        assert_eq!(status.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn an_announced_length_is_believed() {
    let (routes, _) = counter(5);
    let offers = always(vec![terms("exact", "permit2")]);
    let config = config(|config| config.max_body_bytes = 10);
    let shop = Shop::build(Arc::default(), config, offers, routes);
    for (length, status) in [
        (10, StatusCode::PAYMENT_REQUIRED),
        (11, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = shop.send(with_body(Body::from(vec![b' '; length]))).await;
        assert_eq!(answer.status, status);
        let piece = Ok::<_, std::io::Error>(Bytes::from(vec![b' '; length]));
        let unannounced = Body::from_stream(stream::iter([piece]));
        let answer = shop.send(with_body(unannounced)).await;
        assert_eq!(answer.status, status);
    }
}

/// Long bodies do not take the room of ordinary requests, and nobody waits with one in hand.
#[tokio::test]
async fn long_bodies_leave_room_for_short_ones() {
    const LONG: usize = 65 * 1_024;
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let handler = move || {
        let gate = Arc::clone(&waits);
        async move {
            drop(gate.acquire().await.unwrap());
            "answer"
        }
    };
    let config = config(|config| config.max_unpaid_bytes = 4 * LONG);
    let offers = always(vec![terms("exact", "permit2")]);
    let shop = Shop::build(Arc::default(), config, offers, axum::routing::any(handler));
    let shop = Arc::new(shop);
    let payment = header(&permit(&shop.offer("hello").await, 1));
    let served = {
        let (shop, request) = (Arc::clone(&shop), crate::shop::paid("hello", &payment));
        tokio::spawn(async move { shop.send(request).await.status })
    };
    tokio::task::yield_now().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let (sender, body) = fed();
        sender.send(Bytes::from(vec![b' '; LONG])).unwrap();
        let shop = Arc::clone(&shop);
        let request = tokio::spawn(async move { shop.send(with_body(body)).await });
        tokio::task::yield_now().await;
        held.push((sender, request));
    }
    let refused = shop.send(with_body(Body::from(vec![b' '; LONG]))).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = shop.send(with_body(Body::from(vec![b' '; 60_000]))).await;
    assert_eq!(answer.error(), "Payment required");
    // A copy of what is served would wait for half a minute.
    let copy = shop.send(crate::shop::paid("hello", &payment)).await;
    assert_eq!(copy.status, StatusCode::CONFLICT);
    assert_eq!(copy.headers["retry-after"], "1");
    gate.add_permits(1);
    assert_eq!(served.await.unwrap(), StatusCode::OK);
    for (sender, request) in held {
        drop(sender);
        assert_eq!(request.await.unwrap().error(), "Payment required");
    }
}
