//! Prompts, answers and authorizations reach no log, whatever goes wrong.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Extension;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use seamline_core::Amount;
use seamline_evm::x402::Reason;
use seamline_net::{ClientOptions, PaymentContext, http_client, serve};
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

use crate::shop::{Script, Settling, Shop, paid, script};

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

async fn handler(Extension(payment): Extension<PaymentContext>, body: String) -> String {
    payment.meter.set(Amount::new(5));
    assert!(!body.contains("panic"), "the handler failed");
    format!("CANARY answer to {body}")
}

#[tokio::test]
async fn nothing_that_a_peer_sends_or_gets_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let refuse = || Settling::Refuse(Reason::Permit2InvalidNonce);
    let lose = (0..50).map(|_| Settling::Lose).collect::<Vec<_>>();
    let scripts = [
        Script::default(),
        script([refuse()]),
        script(lose),
        script([Settling::Reject(400)]),
    ];
    let mut payments = Vec::new();
    for script in scripts {
        let shop = Shop::open(script, post(handler));
        for (nonce, body) in [
            (1, "CANARY prompt"),
            (2, "CANARY panic"),
            (3, "unknown model"),
        ] {
            let payment = match body {
                "unknown model" => "CANARY/not/a/payment".to_owned(),
                body => shop.payment(body, nonce).await,
            };
            drop(shop.send(paid(body, &payment)).await);
            payments.push(payment);
        }
        *shop.script.verify.lock().unwrap() = Some(Err(500));
        let payment = shop.payment("CANARY verify", 4).await;
        let answer = shop.send(paid("CANARY verify", &payment)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        payments.push(payment);
    }

    // Over a socket too: the HTTP libraries log what they do.
    let shop = Shop::open(Script::default(), post(handler));
    let payment = shop.payment("CANARY socket", 5).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/v1/chat/completions",
        listener.local_addr().unwrap()
    );
    let server = tokio::spawn(serve(listener, shop.router(), core::future::pending()));
    let client = http_client(ClientOptions::default()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("payment-signature", payment.parse().unwrap());
    let response = client
        .post_json(&url, headers, "CANARY socket")
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(
        response
            .into_body()
            .bytes()
            .await
            .unwrap()
            .starts_with(b"CANARY answer")
    );
    server.abort();
    payments.push(payment);

    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("facilitator_unavailable"),
        "the log was captured:\n{text}"
    );
    assert!(!text.contains("CANARY"), "{text}");
    for payment in payments {
        assert!(!text.contains(&payment), "{text}");
    }
}
