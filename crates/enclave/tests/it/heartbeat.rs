//! Signs of life through a facilitator.

use std::sync::{Arc, Mutex};

use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::heartbeat_hash;
use seamline_core::{Address, B256};
use seamline_enclave::HeartbeatPlan;
use seamline_evm::heartbeat::Heartbeat;
use seamline_net::{DataError, DataFuture, HeartbeatRelay};
use serde_json::json;
use tokio::sync::oneshot;

use crate::shop::{NOW_S, Shop, identity};

/// Notes what it relays; refuses the first times that it is told to, and answers what it is told to.
struct Relay {
    refusals: Mutex<u32>,
    answer: &'static str,
    relayed: Mutex<Vec<Heartbeat>>,
}

impl Relay {
    fn new(refusals: u32, answer: &'static str) -> Self {
        Self {
            refusals: Mutex::new(refusals),
            answer,
            relayed: Mutex::default(),
        }
    }
}

const HASH: &str = "0x0909090909090909090909090909090909090909090909090909090909090909";

impl HeartbeatRelay for Relay {
    fn heartbeat<'a>(
        &'a self,
        heartbeat: &'a Heartbeat,
        registry: Address,
    ) -> DataFuture<'a, Result<String, DataError>> {
        assert_eq!(registry, Address::ZERO);
        Box::pin(async move {
            let mut refusals = self.refusals.lock().unwrap();
            if let Some(left) = refusals.checked_sub(1) {
                *refusals = left;
                return Err(DataError::Refused(500));
            }
            self.relayed.lock().unwrap().push(heartbeat.clone());
            Ok(self.answer.to_owned())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_tried_three_times() {
    for (refusals, sent, errors) in [(0, 1, 0), (2, 1, 2), (3, 0, 3)] {
        let shop = Shop::open();
        let relay = Relay::new(refusals, HASH);
        shop.enclave.beat(&relay, &HeartbeatPlan::default()).await;
        let status = shop.get("/heartbeat/status").await.json();
        assert_eq!(
            (&status["total_sent"], &status["total_errors"]),
            (&json!(sent), &json!(errors))
        );
        for heartbeat in relay.relayed.lock().unwrap().iter() {
            assert_eq!(heartbeat.node, identity().node_id());
            // Five minutes back, so that this clock may be ahead of the chain's.
            assert_eq!(heartbeat.timestamp, NOW_S - 300);
            let hash = heartbeat_hash(heartbeat.node, heartbeat.timestamp);
            verify_rsa_pss(identity().signing_key_spki(), &hash, &heartbeat.signature).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_transaction_is_an_error() {
    let shop = Shop::open();
    shop.enclave
        .beat(&Relay::new(0, "sent"), &HeartbeatPlan::default())
        .await;
    let status = shop.get("/heartbeat/status").await.json();
    assert_eq!(
        status["last_error"],
        "the facilitator's answer is malformed"
    );
    assert_eq!(status["total_sent"], 0);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_sent_every_quarter_of_an_hour_until_they_are_stopped() {
    let shop = Shop::open();
    let relay = Arc::new(Relay::new(0, HASH));
    let (stop, stopped) = oneshot::channel::<()>();
    let (enclave, sender) = (Arc::clone(&shop.enclave), Arc::clone(&relay));
    let running = tokio::spawn(async move {
        let plan = HeartbeatPlan::default();
        let stopped = async { drop(stopped.await) };
        enclave.run_heartbeats(sender.as_ref(), plan, stopped).await;
    });
    tokio::time::sleep(std::time::Duration::from_secs(2 * 900 + 1)).await;
    let status = shop.get("/heartbeat/status").await.json();
    assert_eq!(status["relay_mode"], "facilitator");
    assert_eq!(
        (&status["running"], &status["interval_seconds"]),
        (&json!(true), &json!(900))
    );
    assert_eq!(
        status["heartbeat_endpoint"],
        "http://127.0.0.1:3002/heartbeat"
    );
    assert_eq!(status["last_tx_hash"], B256::repeat_byte(9).to_string());
    assert_eq!(relay.relayed.lock().unwrap().len(), 3);
    stop.send(()).unwrap();
    running.await.unwrap();
    let status = shop.get("/heartbeat/status").await.json();
    assert_eq!(status["relay_mode"], "operator");
}
