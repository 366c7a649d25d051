use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use seamline_core::Timestamp;
use seamline_net::{ClientOptions, http_client};
use tokio::net::TcpListener;

use super::{FixedPrice, HttpPriceFeed, HttpPriceFeedOptions, PriceFeed as _, Rate, Unpriced};

const NOW_S: u64 = 1_800_000_000;

fn rate(text: &str) -> Rate {
    Rate::parse(text).unwrap()
}

#[test]
fn rates_are_read_as_json_writes_numbers() {
    for (text, pico) in [
        ("1", 1_000_000_000_000),
        ("0.25", 250_000_000_000),
        ("0.0731", 73_100_000_000),
        ("7.31e-05", 73_100_000),
        ("1E+2", 100_000_000_000_000),
        ("1e-12", 1),
        // Dropped, never rounded up.
        ("0.1234567890129", 123_456_789_012),
        ("1.9e-12", 1),
    ] {
        assert_eq!(rate(text).pico_usd(), pico, "{text}");
    }
    for text in [
        "",
        "0",
        "0.0",
        "-1",
        "+1",
        "1e-13",
        "1e99",
        "1e-99",
        "nan",
        "Infinity",
        "1.",
        ".5",
        "1e",
        "1e1e1",
        "0x1",
        " 1",
        "1_0",
        "340282366920938463463374607431768211456",
        "10000000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert_eq!(Rate::parse(text), None, "{text}");
    }
    assert_eq!(rate("0.0731").to_string(), "0.0731");
}

#[test]
fn a_fixed_price_is_never_old() {
    let fixed = FixedPrice(rate("0.1"));
    assert_eq!(
        fixed.rate(Timestamp::from_secs(u64::MAX / 1_000)),
        Ok(rate("0.1"))
    );
    assert_eq!(fixed.status().rate, Some(rate("0.1")));
}

/// A feed that says one text after the other, then the last one again; and its clock.
async fn feed(texts: &'static [(u16, &'static str)]) -> (HttpPriceFeed, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let handler = move || async move {
        let nth = asked.fetch_add(1, Ordering::SeqCst);
        let (status, text) = texts.get(nth).or_else(|| texts.last()).copied().unwrap();
        (StatusCode::from_u16(status).unwrap(), text)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/price", listener.local_addr().unwrap());
    let router = Router::new().route("/price", get(handler));
    tokio::spawn(seamline_net::serve(
        listener,
        router,
        core::future::pending(),
    ));
    let clock = Arc::new(AtomicU64::new(NOW_S));
    let read = Arc::clone(&clock);
    let clock_fn = Arc::new(move || Timestamp::from_secs(read.load(Ordering::SeqCst)));
    let (lowest, highest) = (rate("0.01"), rate("10"));
    let mut options = HttpPriceFeedOptions::new(url, lowest, highest, clock_fn);
    options.members = vec!["0xtoken".to_owned(), "usd".to_owned()];
    let client = http_client(ClientOptions::default()).unwrap();
    (HttpPriceFeed::new(client, options), clock)
}

fn now(clock: &AtomicU64) -> Timestamp {
    Timestamp::from_secs(clock.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_rate_is_good_until_it_is_too_old() {
    let (feed, clock) = feed(&[(200, r#"{"0xtoken": {"usd": 0.25}}"#), (500, "")]).await;
    assert_eq!(feed.rate(now(&clock)), Err(Unpriced::Unknown));
    feed.poll().await;
    assert_eq!(feed.rate(now(&clock)), Ok(rate("0.25")));
    // Failures leave it as it is, but it ages.
    clock.fetch_add(4 * 3_600, Ordering::SeqCst);
    feed.poll().await;
    assert_eq!(feed.rate(now(&clock)), Ok(rate("0.25")));
    clock.fetch_add(1, Ordering::SeqCst);
    assert_eq!(
        feed.rate(now(&clock)),
        Err(Unpriced::Stale { age_s: 14_401 })
    );
    let status = feed.status();
    assert_eq!(
        (status.fetches, status.errors, status.consecutive_failures),
        (2, 1, 1)
    );
    assert_eq!(status.last_error, Some("it refuses to answer"));
}

#[tokio::test]
async fn a_wild_rate_is_no_rate_and_takes_the_one_before_with_it() {
    let (feed, clock) = feed(&[
        (200, r#"{"0xtoken": {"usd": 0.25}}"#),
        (200, r#"{"0xtoken": {"usd": 10.000001}}"#),
        (200, r#"{"0xtoken": {"usd": 9.99}}"#),
        (200, r#"{"0xtoken": {"usd": 0.0099}}"#),
        (503, ""),
    ])
    .await;
    let expected = [
        Ok(rate("0.25")),
        Err(Unpriced::OutOfBounds),
        Ok(rate("9.99")),
        Err(Unpriced::OutOfBounds),
        Err(Unpriced::OutOfBounds),
    ];
    for expected in expected {
        feed.poll().await;
        assert_eq!(feed.rate(now(&clock)), expected);
    }
}

#[tokio::test]
async fn what_is_no_rate_is_not_taken_for_one() {
    for answer in [
        r#"{"0xtoken": {"usd": "0.25"}}"#,
        r#"{"0xtoken": {"usd": null}}"#,
        r#"{"0xtoken": {"usd": -0.25}}"#,
        r#"{"0xtoken": {"usd": 0}}"#,
        r#"{"0xtoken": {}}"#,
        r#"{"usd": 0.25}"#,
        "[]",
        "0.25",
        "",
    ] {
        let texts: &'static [(u16, &'static str)] = Box::leak(Box::new([(200, answer)]));
        let (feed, clock) = feed(texts).await;
        feed.poll().await;
        assert_eq!(feed.rate(now(&clock)), Err(Unpriced::Unknown), "{answer}");
        assert_eq!(feed.status().errors, 1, "{answer}");
    }
}
