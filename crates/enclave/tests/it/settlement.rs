//! What becomes of the hashes of an answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use seamline_attest::verify_rsa_pss;
use seamline_core::B256;
use seamline_core::canonical::message_hash;
use seamline_enclave::MockUpstream;
use seamline_net::{DataError, DataFuture, DataMode, DataSettlement, DataTicket, InferenceData};
use seamline_ohttp::{Entropy, KeyConfig, Profile, bhttp, decode_list, encapsulate};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::opengradient::dollars;
use crate::shop::{Answer, PAYER, Shop, chat, identity, streamed};

/// Says that an answer is not on record.
const SAID: &str = "x-seamline-data-settlement";
const MEMBER: &str = "seamline_data_settlement";
const ASKED: &str = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 100}"#;

/// Notes what it is given; refuses the first times that it is told to.
#[derive(Default)]
struct Desk {
    asked: AtomicU32,
    taken: Mutex<Vec<(DataMode, InferenceData)>>,
    refusals: Mutex<u32>,
    /// The status of a refusal; 503 where it is none.
    status: Option<u16>,
    /// It answers nobody before this is told.
    silent: Option<Semaphore>,
}

impl DataSettlement for Desk {
    fn settle_data<'a>(
        &'a self,
        mode: DataMode,
        inference: &'a InferenceData,
    ) -> DataFuture<'a, Result<Option<DataTicket>, DataError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(silent) = &self.silent {
                drop(silent.acquire().await);
            }
            let mut refusals = self.refusals.lock().unwrap();
            if let Some(left) = refusals.checked_sub(1) {
                *refusals = left;
                return Err(DataError::Refused(self.status.unwrap_or(503)));
            }
            self.taken.lock().unwrap().push((mode, inference.clone()));
            Ok(Some(DataTicket {
                job_id: "settlement-individual-1".to_owned(),
                queue: "queue".to_owned(),
                status: "queued".to_owned(),
                queue_nonce: Some(7),
                signer: None,
                transaction: Some(B256::repeat_byte(9)),
                blob_id: Some("blob".to_owned()),
            }))
        })
    }
}

fn shop(refusals: u32) -> (Shop, Arc<Desk>) {
    open(Desk {
        refusals: Mutex::new(refusals),
        ..Desk::default()
    })
}

fn open(desk: Desk) -> (Shop, Arc<Desk>) {
    let desk = Arc::new(desk);
    let mut config = dollars();
    let settles: Arc<dyn DataSettlement> = Arc::<Desk>::clone(&desk);
    config.data = Some(settles);
    let shop = Shop::with(config, Arc::new(MockUpstream::opengradient()));
    (shop, desk)
}

async fn buy(shop: &Shop, body: &str, mode: Option<&'static str>) -> Answer {
    let answer = answered(shop, body, mode).await;
    assert!(shop.enclave.tasks().drain(Duration::from_secs(30)).await);
    answer
}

/// As [`buy`], and leaves what is under way under way.
async fn answered(shop: &Shop, body: &str, mode: Option<&'static str>) -> Answer {
    let offer = shop.send(chat(body)).await.offer();
    let mut request = shop.paid(chat(body), &offer);
    if let Some(mode) = mode {
        let mode = mode.parse().unwrap();
        request.headers_mut().insert("x-settlement-type", mode);
    }
    let answer = shop.send(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer
}

#[tokio::test]
async fn hashes_become_leaves_unless_they_are_private() {
    for (mode, leaves) in [
        (None, 1),
        (Some("batch"), 1),
        (Some("whatever"), 1),
        (Some("private"), 0),
        (Some("PRI-VATE"), 0),
    ] {
        let (shop, desk) = shop(0);
        let answer = buy(&shop, ASKED, mode).await;
        assert!(!answer.headers.contains_key("x-tee-signature"), "{mode:?}");
        assert!(!answer.headers.contains_key("x-seamline-data-settlement"));
        let taken = desk.taken.lock().unwrap();
        assert_eq!(taken.len(), leaves, "{mode:?}");
        let Some((mode, leaf)) = taken.first() else {
            continue;
        };
        assert_eq!(*mode, DataMode::Batch);
        let json = answer.json();
        assert_eq!(json["tee_request_hash"], hex::encode(leaf.input_hash));
        assert_eq!(json["tee_output_hash"], hex::encode(leaf.output_hash));
        assert_eq!(json["tee_timestamp"], leaf.timestamp_s);
        assert_eq!(leaf.payer.to_string(), PAYER);
        assert!(leaf.contents.is_none(), "only hashes leave");
        assert!(leaf.payment.is_some());
        let hash = message_hash(leaf.input_hash, leaf.output_hash, leaf.timestamp_s);
        verify_rsa_pss(identity().signing_key_spki(), &hash, &leaf.signature).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaf_is_handed_over_until_it_is_taken() {
    // A facilitator that is away for ten minutes.
    let (shop, desk) = shop(16);
    let answer = answered(&shop, ASKED, None).await;
    // It was in memory only when the answer left, and that was said.
    assert_eq!(answer.header(SAID), "pending");
    assert!(shop.enclave.tasks().drain(Duration::from_secs(3600)).await);
    assert_eq!(desk.taken.lock().unwrap().len(), 1);
    // Who is away for an hour does not take it any more.
    let (shop, desk) = self::shop(1_000);
    answered(&shop, ASKED, None).await;
    assert!(shop.enclave.tasks().drain(Duration::from_secs(3600)).await);
    assert_eq!(desk.taken.lock().unwrap().len(), 0, "given up");
    assert!(desk.asked.load(Ordering::SeqCst) < 80);
}

#[tokio::test]
async fn a_leaf_is_durable_before_its_answer_ends() {
    let (shop, desk) = shop(0);
    for body in [ASKED.to_owned(), streamed(ASKED)] {
        let answer = answered(&shop, &body, None).await;
        assert!(!answer.headers.contains_key(SAID));
        assert!(!answer.text().contains(MEMBER), "{}", answer.text());
        assert_eq!(desk.taken.lock().unwrap().drain(..).count(), 1);
    }
}

#[tokio::test]
async fn a_leaf_that_is_refused_for_good_is_not_handed_over_again() {
    for (status, said, tries) in [
        (400, "none", 1),
        (404, "none", 1),
        (413, "none", 1),
        (422, "none", 1),
    ] {
        let (shop, desk) = open(Desk {
            refusals: Mutex::new(9),
            status: Some(status),
            ..Desk::default()
        });
        assert_eq!(buy(&shop, ASKED, None).await.header(SAID), said);
        let last = buy(&shop, &streamed(ASKED), None).await.frames().pop();
        assert_eq!(last.unwrap()[MEMBER], said);
        assert_eq!(desk.asked.load(Ordering::SeqCst), 2 * tries, "{status}");
        assert_eq!(desk.taken.lock().unwrap().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_says_later_is_tried_again() {
    for status in [408, 425, 429, 500, 502] {
        let (shop, desk) = open(Desk {
            refusals: Mutex::new(1),
            status: Some(status),
            ..Desk::default()
        });
        assert_eq!(buy(&shop, ASKED, None).await.header(SAID), "pending");
        assert_eq!(desk.taken.lock().unwrap().len(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_facilitator_that_is_silent_costs_one_answer_its_patience() {
    let (shop, desk) = open(Desk {
        silent: Some(Semaphore::new(0)),
        ..Desk::default()
    });
    let began = Instant::now();
    assert_eq!(answered(&shop, ASKED, None).await.header(SAID), "pending");
    assert_eq!(began.elapsed().as_secs(), 2);
    // Whoever comes next does not wait.
    let began = Instant::now();
    let last = answered(&shop, &streamed(ASKED), None).await.frames().pop();
    assert_eq!(last.unwrap()[MEMBER], "pending");
    assert!(began.elapsed() < Duration::from_secs(1));
    // It speaks again: both leaves get there, and answers wait for their leaf as before.
    desk.silent.as_ref().unwrap().add_permits(1);
    assert!(shop.enclave.tasks().drain(Duration::from_secs(60)).await);
    assert_eq!(desk.taken.lock().unwrap().len(), 2);
    assert!(
        !answered(&shop, ASKED, None)
            .await
            .headers
            .contains_key(SAID)
    );
}

#[tokio::test]
async fn a_settlement_of_its_own_is_told_in_headers() {
    let (shop, desk) = shop(0);
    let answer = buy(&shop, ASKED, Some("inidvidual")).await;
    let json = answer.json();
    let with_prefix = |name: &str| format!("0x{}", json[name].as_str().unwrap());
    for (name, value) in [
        ("x-tee-signature", json["tee_signature"].as_str().unwrap()),
        ("x-tee-id", json["tee_id"].as_str().unwrap()),
        ("x-tee-request-hash", &with_prefix("tee_request_hash")),
        ("x-tee-output-hash", &with_prefix("tee_output_hash")),
        ("x-tee-timestamp", &json["tee_timestamp"].to_string()),
        ("x-settlement-type", "individual"),
        ("x-settlement-job-id", "settlement-individual-1"),
        ("x-settlement-queue", "queue"),
        ("x-settlement-status", "queued"),
        ("x-settlement-queue-nonce", "7"),
        ("x-settlement-tx-hash", &B256::repeat_byte(9).to_string()),
        ("x-settlement-walrus-blob-id", "blob"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let taken = desk.taken.lock().unwrap();
    let (mode, inference) = &taken[0];
    assert_eq!(*mode, DataMode::Individual);
    let (request, published) = inference.contents.as_ref().unwrap();
    assert_eq!(request.as_ref(), ASKED.as_bytes());
    assert_eq!(published.as_ref(), answer.body);
}

#[tokio::test]
async fn a_stream_says_its_settlement_in_the_final_frame() {
    let (shop, desk) = shop(0);
    let answer = buy(&shop, &streamed(ASKED), Some("individual")).await;
    // What is published has the text that was signed.
    let taken = desk.taken.lock().unwrap();
    let (_, published) = taken[0].1.contents.as_ref().unwrap();
    let published: serde_json::Value = serde_json::from_slice(published).unwrap();
    let message = &published["choices"][0]["message"];
    assert_eq!(message["content"], answer.streamed_text());
    let last = answer.frames().pop().unwrap();
    let hash = B256::repeat_byte(9).to_string();
    for (name, value) in [
        ("data_settlement_success", json!(true)),
        ("settlement_type", json!("individual")),
        ("data_settlement_transaction_hash", json!(hash)),
        ("data_settlement_blob_id", json!("blob")),
        ("settlement_job_id", json!("settlement-individual-1")),
        ("settlement_queue_nonce", json!(7)),
    ] {
        assert_eq!(last[name], value, "{name}");
    }
}

#[tokio::test]
async fn an_answer_does_not_depend_on_its_settlement() {
    let (shop, _) = shop(9);
    let answer = buy(&shop, ASKED, Some("individual")).await;
    assert_eq!(answer.header("x-settlement-status"), "failed");
    assert!(!answer.headers.contains_key("x-settlement-tx-hash"));
    let answer = buy(&shop, &streamed(ASKED), Some("individual")).await;
    let last = answer.frames().pop().unwrap();
    assert_eq!(last["data_settlement_success"], false);
    assert!(last.get("data_settlement_transaction_hash").is_none());
    assert!(last["tee_signature"].is_string());
}

/// Whoever carries a sealed call decides nothing about it: neither its hashes nor its words are handed on.
#[tokio::test]
async fn a_sealed_call_is_on_no_record_unless_it_asks_for_it_inside() {
    let chat = |mode: Option<&str>| {
        let mut fields = vec![("content-type".to_owned(), b"application/json".to_vec())];
        fields.extend(mode.map(|mode| ("x-settlement-type".to_owned(), mode.into())));
        bhttp::Request {
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            authority: String::new(),
            path: "/v1/chat/completions".to_owned(),
            fields,
            content: ASKED.into(),
            trailers: Vec::new(),
        }
    };
    for outer_mode in [None, Some("individual"), Some("batch"), Some("private")] {
        let (shop, desk) = shop(0);
        let config = shop.get("/v1/ohttp/config").await.json();
        let bytes = config["key_config"].as_str().unwrap();
        let json = KeyConfig::decode(&BASE64.decode(bytes).unwrap()).unwrap();
        let binary = shop.get("/.well-known/ohttp-gateway").await.body;
        let binary = decode_list(&binary).unwrap().remove(0);
        let standard = "/.well-known/ohttp-gateway";
        let cases = [
            (
                "/v1/ohttp",
                &json,
                Profile::OpenGradient,
                ASKED.as_bytes().to_vec(),
                0,
            ),
            (
                standard,
                &binary,
                Profile::Rfc9458,
                chat(None).encode(0).unwrap(),
                0,
            ),
            (
                standard,
                &binary,
                Profile::Rfc9458,
                chat(Some("batch")).encode(0).unwrap(),
                1,
            ),
        ];
        for (seed, (path, key, profile, inner, records)) in cases.into_iter().enumerate() {
            let entropy = Entropy::new([u8::try_from(seed).unwrap() + 1; 32]);
            let (body, _) = encapsulate(key, profile, &inner, entropy).unwrap();
            let outer = || {
                let mut request = http::Request::post(path)
                    .header("content-type", "message/ohttp-req")
                    .body(axum::body::Body::from(body.clone()))
                    .unwrap();
                if let Some(mode) = outer_mode {
                    let mode = mode.parse().unwrap();
                    request.headers_mut().insert("x-settlement-type", mode);
                }
                request
            };
            let offer = shop.send(outer()).await.offer();
            let answer = shop.send(shop.paid(outer(), &offer)).await;
            assert_eq!(answer.status, StatusCode::OK);
            let told = answer
                .headers
                .keys()
                .any(|name| name.as_str().contains("settlement"));
            assert!(!told, "{:?}", answer.headers);
            assert!(shop.enclave.tasks().drain(Duration::from_secs(30)).await);
            let taken = std::mem::take(&mut *desk.taken.lock().unwrap());
            assert_eq!(taken.len(), records, "{path} {outer_mode:?}");
            assert!(taken.iter().all(|(_, it)| it.contents.is_none()));
        }
    }
}

#[tokio::test]
async fn failed_calls_are_not_settled() {
    let (shop, desk) = shop(0);
    let body = ASKED.replace("gpt-5", "nobody");
    let offer = shop.send(chat(&body)).await.offer();
    let answer = shop.send(shop.paid(chat(&body), &offer)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(desk.taken.lock().unwrap().len(), 0);
}
