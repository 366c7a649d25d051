//! `POST /v1/infer` with a runner for tests: what is refused, what is charged, how many run at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use seamline_core::Amount;
use seamline_core::infer::{
    ElementKind, Fixed, Inputs, ModelId, ModelInfo, ModelRunner, Outputs, PortInfo, RunError,
    RunLimits, Tensor, TensorSet,
};
use seamline_enclave::{GuideUpstream, InferConfig, ModelPrice};

use crate::shop::{Shop, config};

/// What the next runs do.
#[derive(Clone)]
enum Act {
    Answer(Vec<i64>),
    Fail(RunError),
    Panic,
    /// Runs until it is asked to stop.
    Hang,
}

struct Fake {
    act: Act,
    running: AtomicUsize,
    most: AtomicUsize,
    stopped: (Mutex<usize>, Condvar),
}

fn model() -> ModelId {
    ModelId::of_bytes(b"m")
}

impl ModelRunner for Fake {
    fn models(&self) -> Vec<ModelId> {
        vec![model()]
    }

    fn describe(&self, id: ModelId) -> Option<ModelInfo> {
        let port = |name: &str, length| PortInfo {
            name: name.to_owned(),
            kind: ElementKind::Number,
            element: "int64".to_owned(),
            shape: vec![length],
        };
        (id == model()).then(|| ModelInfo {
            id,
            title: Some("test".to_owned()),
            bytes: 10 * 1_024,
            inputs: vec![port("x", None)],
            outputs: vec![port("y", Some(2))],
        })
    }

    fn run(&self, _: ModelId, _: &Inputs, limits: &RunLimits) -> Result<Outputs, RunError> {
        let running = self
            .running
            .fetch_add(1, Ordering::SeqCst)
            .saturating_add(1);
        self.most.fetch_max(running, Ordering::SeqCst);
        let ran = match self.act.clone() {
            Act::Answer(values) => {
                let length = u32::try_from(values.len()).unwrap();
                let values = values.into_iter().map(Fixed::of_i64).collect();
                let y = Tensor::numbers("y", vec![length], values).unwrap();
                Ok(TensorSet::new(vec![y]).unwrap())
            }
            Act::Fail(failure) => Err(failure),
            Act::Panic => {
                let broken: Option<Outputs> = std::hint::black_box(None);
                Ok(broken.unwrap())
            }
            Act::Hang => {
                while !limits.stop.is_requested() {
                    std::thread::yield_now();
                }
                let mut stopped = self.stopped.0.lock().unwrap();
                *stopped = stopped.saturating_add(1);
                drop(stopped);
                self.stopped.1.notify_all();
                Err(RunError::Stopped)
            }
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        ran
    }
}

fn shop(act: Act, adapt: impl FnOnce(&mut InferConfig)) -> (Shop, Arc<Fake>) {
    let fake = Arc::new(Fake {
        act,
        running: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        stopped: (Mutex::new(0), Condvar::new()),
    });
    let price = ModelPrice {
        input: Amount::new(2_000_000),
        output: Amount::new(5_000_000),
    };
    let mut infer = InferConfig::new(Arc::<Fake>::clone(&fake), price);
    adapt(&mut infer);
    let mut config = config();
    config.infer = Some(infer);
    (Shop::with(config, Arc::new(GuideUpstream::new(None))), fake)
}

fn infer(body: &str) -> Request<Body> {
    Request::post("/v1/infer")
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

fn body(inputs: &str) -> String {
    format!(r#"{{"model": "{}", "inputs": {inputs}}}"#, model())
}

#[tokio::test]
async fn a_run_costs_what_it_counts() {
    let (shop, _) = shop(Act::Answer(vec![4, 5]), |_| {});
    let asked = body(r#"{"x": [1, 2, 3]}"#);
    let offer = shop.send(infer(&asked)).await.offer();
    // Ten elements of the model and three of the inputs at 2, the two that its outputs have at 5.
    assert_eq!(offer["amount"], "36");
    let answer = shop.send(shop.paid(infer(&asked), &offer)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let said = answer.json();
    assert_eq!(
        said["outputs"]["y"]["values"],
        serde_json::json!([[4, 0], [5, 0]])
    );
    assert_eq!(said["usage"]["model_elements"], 10);
    assert_eq!(said["model"], model().to_string());
    assert_eq!(shop.settled().await, [Amount::new(36)]);
}

#[tokio::test]
async fn bad_requests_are_refused_before_payment() {
    let (shop, fake) = shop(Act::Answer(vec![]), |_| {});
    let other = ModelId::of_bytes(b"other");
    for (body, status) in [
        ("{".to_owned(), 400),
        ("{}".to_owned(), 400),
        (r#"{"model": "gpt-5", "inputs": {}}"#.to_owned(), 400),
        (format!(r#"{{"model": "{other}", "inputs": {{}}}}"#), 404),
        (body(r#"{"x": [true]}"#), 400),
        (body("{}"), 422),
        (body(r#"{"x": [1], "y": [1]}"#), 422),
        (body(r#"{"x": [[1]]}"#), 422),
        (body(r#"{"x": ["1"]}"#), 422),
        (body(r#"{"x": [0.5]}"#), 422),
    ] {
        let answer = shop.send(infer(&body)).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
    }
    assert_eq!(fake.most.load(Ordering::SeqCst), 0);
    let none = Shop::open().send(infer(&body(r#"{"x": [1]}"#))).await;
    assert_eq!(
        (none.status.as_u16(), none.text()),
        (404, r#"{"error":"this enclave has no models"}"#)
    );
}

#[tokio::test]
async fn failures_cost_nothing() {
    let failed = RunError::Model {
        reason: "broken".to_owned(),
    };
    for (act, status, code) in [
        (Act::Fail(failed), 500, "model_broken"),
        (Act::Fail(RunError::OutOfMemory), 500, "run_memory"),
        (Act::Panic, 500, "runtime_failed"),
        // More than the description allows, and so than the offer counted.
        (Act::Answer(vec![1, 2, 3]), 422, "output_too_large"),
    ] {
        let (shop, _) = shop(act, |_| {});
        let asked = body(r#"{"x": [1]}"#);
        let offer = shop.send(infer(&asked)).await.offer();
        let answer = shop.send(shop.paid(infer(&asked), &offer)).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert_eq!(answer.json()["code"], code);
        assert_eq!(shop.settled().await, []);
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_frees_its_place() {
    let (shop, fake) = shop(Act::Hang, |infer| {
        infer.time = Duration::from_millis(20);
        infer.parallel = 1;
    });
    let asked = body(r#"{"x": [1]}"#);
    let offer = shop.send(infer(&asked)).await.offer();
    for _ in 0..2 {
        let answer = shop.send(shop.paid(infer(&asked), &offer)).await;
        // Under load the place may be free only after the second has given up: it is busy then.
        let status = answer.status.as_u16();
        assert!([503, 504].contains(&status), "{}", answer.text());
    }
    let fake = tokio::task::spawn_blocking(move || {
        let (count, changed) = &fake.stopped;
        drop(
            changed
                .wait_while(count.lock().unwrap(), |count| *count == 0)
                .unwrap(),
        );
        fake
    });
    assert_eq!(fake.await.unwrap().most.load(Ordering::SeqCst), 1);
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn models_are_listed_with_what_they_take() {
    let (shop, _) = shop(Act::Answer(vec![]), |_| {});
    let one = shop.get(&format!("/v1/models/{}", model())).await.json();
    assert_eq!(one["seamline"]["infer"]["max_output_elements"], 2);
    assert_eq!(
        one["seamline"]["infer"]["inputs"][0]["shape"],
        serde_json::json!([null])
    );
    assert_eq!(one["title"], "test");
    let listed = shop.get("/v1/models").await.json();
    let ids = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"]);
    assert_eq!(ids.filter(|id| **id == model().to_string()).count(), 1);
}
