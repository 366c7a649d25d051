//! A real listener on loopback, and a client that trusts nothing but the attested certificate.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use seamline_core::Timestamp;
use seamline_enclave::{AttesterKind, Enclave, GuideUpstream, serve};
use seamline_evm::x402::decode_header;
use seamline_net::{ClientOptions, client, http_client};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::shop::{
    Echo, Facilitator, NOW_S, QUESTION, config, identity, other_identity, payment, streamed,
};

#[tokio::test]
async fn a_call_over_tls_with_the_pinned_certificate() {
    let clock = Arc::new(|| Timestamp::from_secs(NOW_S));
    let attester = Arc::new(Echo(AttesterKind::Software));
    let upstream = Arc::new(GuideUpstream::new(None));
    let enclave = Enclave::new(config(), identity(), attester, upstream, clock).unwrap();
    let facilitator = Arc::new(Facilitator::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let api = Arc::<Facilitator>::clone(&facilitator);
    let server =
        tokio::spawn(
            async move { serve(&enclave, api, listener, async { drop(stopped.await) }).await },
        );

    let node = http_client(ClientOptions::pinned(identity().tls_certificate())).unwrap();
    let health = node.get(&format!("{base}/health")).await.unwrap();
    assert_eq!(health.headers()["x-seamline-evidence"], "dev");

    let url = format!("{base}/v1/chat/completions");
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap());
    let body = streamed(QUESTION);
    let unpaid = node
        .post_json(&url, headers.clone(), body.clone())
        .await
        .unwrap();
    assert_eq!(unpaid.status(), StatusCode::PAYMENT_REQUIRED);
    let required = decode_header(unpaid.headers()["payment-required"].as_bytes()).unwrap();
    let required: serde_json::Value = serde_json::from_slice(&required).unwrap();
    headers.insert(
        "PAYMENT-SIGNATURE",
        payment(&required["accepts"][0], 1).parse().unwrap(),
    );
    let paid = node.post_json(&url, headers, body).await.unwrap();
    assert_eq!(paid.status(), StatusCode::OK);
    let answer = paid.into_body().bytes().await.unwrap();
    assert!(answer.ends_with(b"data: [DONE]\n\n"));

    let other = http_client(ClientOptions::pinned(other_identity().tls_certificate())).unwrap();
    let refused = other
        .get(&format!("{base}/health"))
        .await
        .map(|answer| answer.status());
    assert!(
        matches!(refused, Err(client::Error::PinMismatch)),
        "{refused:?}"
    );

    drop((node, other));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(facilitator.settled.lock().unwrap().len(), 1);
}
