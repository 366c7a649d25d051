//! Streams that go on without a reader, and streams that must not go on.

use core::time::Duration;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::routing::{MethodRouter, post};
use futures_util::{StreamExt as _, stream};
use seamline_core::Amount;
use seamline_net::{MemoryStore, PaymentContext, PaywallStore, ReadOn};
use tokio::sync::Semaphore;

use crate::paywall_durable::{config_with, steal_all};
use crate::shop::{Script, Shop, paid, price};

/// Two words are metered as they leave; behind the gate the last frame knows what it really costs.
/// `None` reads on for no time at all.
fn thinker(gate: &Arc<Semaphore>, read_on: Option<Duration>) -> MethodRouter {
    let gate = Arc::clone(gate);
    post(move |Extension(payment): Extension<PaymentContext>| {
        let gate = Arc::clone(&gate);
        async move {
            let meter = payment.meter.clone();
            let words = stream::iter([1_u128, 2]).map(move |due| {
                meter.set(Amount::new(due));
                Ok::<_, std::io::Error>(Bytes::from(format!("data: {due}\n\n")))
            });
            let last = stream::once(async move {
                gate.acquire().await.unwrap().forget();
                payment.meter.set(Amount::new(500));
                Ok(Bytes::from_static(b"data: 500\n\ndata: [DONE]\n\n"))
            });
            let body = Body::from_stream(words.chain(last));
            let read_on = read_on.map(|wait| Extension(ReadOn(wait)));
            ([("content-type", "text/event-stream")], read_on, body)
        }
    })
}

fn shop(store: &Arc<MemoryStore>, routes: MethodRouter) -> Shop {
    let store: Arc<dyn PaywallStore> = Arc::<MemoryStore>::clone(store);
    Shop::build(
        Arc::new(Script::default()),
        config_with(&store),
        price,
        routes,
    )
}

/// Reads the first words of a paid stream.
async fn begin(shop: &Shop, payment: &str) -> axum::body::BodyDataStream {
    let response = shop.raw(paid("hello", payment)).await;
    let mut body = response.into_body().into_data_stream();
    for word in ["data: 1\n\n", "data: 2\n\n"] {
        assert_eq!(body.next().await.unwrap().unwrap(), word);
    }
    body
}

async fn settled(shop: &Shop) -> Vec<Amount> {
    assert!(shop.paywall.tasks().drain(Duration::from_secs(600)).await);
    shop.settlements()
}

#[tokio::test]
async fn who_leaves_a_stream_that_is_read_on_pays_what_its_end_says() {
    let gate = Arc::new(Semaphore::new(0));
    let store = Arc::new(MemoryStore::new());
    let shop = shop(&store, thinker(&gate, Some(Duration::from_secs(60))));
    let payment = shop.payment("hello", 1).await;
    drop(begin(&shop, &payment).await);
    // It ends after its reader left.
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert_eq!(settled(&shop).await, [Amount::new(500)]);
    // What was paid for can be had.
    let again = shop.send(paid("hello", &payment)).await;
    assert!(again.settlement().success);
    let text = String::from_utf8(again.body.to_vec()).unwrap();
    assert!(
        text.starts_with("data: 1\n\ndata: 2\n\ndata: 500\n\n"),
        "{text}"
    );
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_on_for_a_while_only() {
    for read_on in [None, Some(Duration::ZERO), Some(Duration::from_secs(60))] {
        let gate = Arc::new(Semaphore::new(0));
        let store = Arc::new(MemoryStore::new());
        let shop = shop(&store, thinker(&gate, read_on));
        let payment = shop.payment("hello", 1).await;
        let body = begin(&shop, &payment).await;
        let began = tokio::time::Instant::now();
        drop(body);
        assert_eq!(settled(&shop).await, [Amount::new(2)]);
        let wait = read_on.unwrap_or_default();
        let took = began.elapsed();
        assert!(took >= wait && took < wait + Duration::from_secs(2));
    }
}

/// The reader is there, and reads nothing: what it leaves unread is metered all the same.
#[tokio::test(start_paused = true)]
async fn who_stops_reading_pays_what_the_end_says() {
    static LONG: &[u8] = b"data: {}\n\n";
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        let pieces = stream::iter(0..40_u128).map(move |due| {
            payment.meter.set(Amount::new(due));
            Ok::<_, std::io::Error>(Bytes::from_static(LONG))
        });
        let read_on = Extension(ReadOn(Duration::from_secs(60)));
        let body = Body::from_stream(pieces);
        ([("content-type", "text/event-stream")], read_on, body)
    };
    let shop = shop(&Arc::new(MemoryStore::new()), post(handler));
    let payment = shop.payment("hello", 1).await;
    let unread = shop.raw(paid("hello", &payment)).await;
    assert_eq!(settled(&shop).await, [Amount::new(39)]);
    let pieces: Vec<_> = unread.into_body().into_data_stream().collect().await;
    assert!(pieces.len() < 40, "nothing was sent that was not read");
    assert!(pieces.last().unwrap().is_err(), "it does not look complete");
}

/// Otherwise it would be free from there on: who has the record settles what it finds in it.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_where_its_record_is_another_process_s() {
    let gate = Arc::new(Semaphore::new(0));
    let store = Arc::new(MemoryStore::shared());
    let shop = shop(&store, thinker(&gate, None));
    let payment = shop.payment("hello", 1).await;
    let body = begin(&shop, &payment).await;
    steal_all(store.as_ref()).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    gate.add_permits(1);
    let rest: Vec<_> = body.collect().await;
    assert!(rest.last().unwrap().is_err(), "it does not look complete");
    let left = rest.into_iter().flatten().collect::<Vec<_>>().concat();
    assert!(!String::from_utf8(left).unwrap().contains("500"));
    let settled = settled(&shop).await;
    // What was written down when its first piece left.
    let noted = Amount::new(1);
    assert!(settled.iter().all(|it| *it == noted), "{settled:?}");
}

/// The first byte of a stream that is owed for from its beginning does not leave either.
#[tokio::test]
async fn a_stream_does_not_begin_where_its_record_is_another_process_s() {
    let store = Arc::new(MemoryStore::shared());
    let others = Arc::clone(&store);
    let handler = move |Extension(payment): Extension<PaymentContext>| async move {
        steal_all(others.as_ref()).await;
        payment.meter.set(Amount::new(3));
        ([("content-type", "text/event-stream")], "data: {}\n\n")
    };
    let shop = shop(&store, post(handler));
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, http::StatusCode::CONFLICT);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(settled(&shop).await, []);
}
