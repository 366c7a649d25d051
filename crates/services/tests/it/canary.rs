//! Nothing that spends money reaches a log.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::chain::Mood;
use crate::payments::{Desk, MAX, altered, request};

/// A log that is kept in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn signatures_and_keys_are_in_no_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // For the whole process: a subscriber of one thread misses what another thread met first.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let desk = Desk::open().await;
    desk.verify(request(1, MAX).to_json()).await;
    desk.settle(&request(1, 42)).await;
    desk.chain.refuse_next("no");
    desk.settle(&request(2, 42)).await;
    desk.chain.set(Mood::Down);
    desk.send("POST", "/settle", request(3, 42).to_json()).await;
    desk.send("POST", "/verify", request(3, MAX).to_json())
        .await;
    desk.send(
        "POST",
        "/settle",
        altered(&request(4, 1), "/x402Version", Value::Null),
    )
    .await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("settlement sent"),
        "the log was captured:\n{text}"
    );
    let mut secrets = vec![hex::encode(crate::payments::signer().to_bytes())];
    for number in 1..5 {
        let payment = request(number, 42).payment_payload;
        let signature = payment.payload()["signature"].as_str().unwrap().to_owned();
        secrets.push(signature[2..].to_owned());
        secrets.push(payment.to_header());
    }
    for offered in desk.chain.offered() {
        secrets.push(hex::encode(&offered[40..80]));
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in the log:\n{text}");
    }
}
