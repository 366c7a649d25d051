//! Models that nodes run: paid, signed and verified like a chat, and what goes wrong with them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::U256;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use seamline::{Env, Error, Infer, Inferred, Step};
use seamline_core::infer::{
    ElementKind, Fixed, Inputs, ModelId, ModelInfo, ModelRunner, Outputs, PortInfo, RunError,
    RunLimits, Tensor, TensorSet, Values,
};
use seamline_core::json;
use seamline_core::receipt::{Bundle, EvidenceType};
use seamline_core::{Charged, Fault};
use seamline_localnet::{NodeSpec, Served};
use seamline_verify::{Claim, Level, Outcome, Status};

use crate::support::{Seen, World, books, honest};

/// Doubles its input `x` of any length, and fails in ways that a model is asked for by its id.
#[derive(Default)]
struct Doubler {
    runs: AtomicU32,
    /// What the next runs end with, instead of an answer.
    failures: Mutex<VecDeque<RunError>>,
}

fn doubling() -> ModelId {
    ModelId::of_bytes(b"a model that doubles")
}

/// The same model under another name: its bytes differ.
fn other() -> ModelId {
    ModelId::of_bytes(b"another model that doubles")
}

impl ModelRunner for Doubler {
    fn models(&self) -> Vec<ModelId> {
        vec![doubling(), other()]
    }

    fn describe(&self, model: ModelId) -> Option<ModelInfo> {
        let port = |name: &str| PortInfo {
            name: name.to_owned(),
            kind: ElementKind::Number,
            element: "float32".to_owned(),
            shape: vec![None],
        };
        self.models().contains(&model).then(|| ModelInfo {
            id: model,
            title: None,
            // Counts as 1,000 elements.
            bytes: 1_024_000,
            inputs: vec![port("x")],
            outputs: vec![port("y")],
        })
    }

    fn run(&self, _: ModelId, inputs: &Inputs, _: &RunLimits) -> Result<Outputs, RunError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if let Some(failure) = self.failures.lock().unwrap().pop_front() {
            return Err(failure);
        }
        let x = inputs.get("x").unwrap();
        let Values::Numbers(numbers) = x.values() else {
            return Err(RunError::UnknownModel);
        };
        let doubled = numbers
            .iter()
            .map(|it| Fixed::new(it.value() * 2, it.decimals().into()).unwrap());
        let y = Tensor::numbers("y", x.shape().to_vec(), doubled.collect()).unwrap();
        Ok(TensorSet::new(vec![y]).unwrap())
    }
}

fn inputs(text: &str) -> Inputs {
    Inputs::from_value(&json::parse(text.as_bytes()).unwrap()).unwrap()
}

fn ask(text: &str) -> Infer {
    Infer::new(doubling(), inputs(text)).unwrap()
}

fn node(runner: &Arc<Doubler>) -> NodeSpec {
    let mut node = honest("runner");
    node.models = Some(Arc::<Doubler>::clone(runner));
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_paid_signed_and_checked_offline() {
    let runner = Arc::new(Doubler::default());
    let world = World::new(vec![node(&runner), honest("without-models")]);
    let (net, client) = world.start().await;
    let payer = world.wallet().address();
    let (total, before) = books(&net, payer).await;
    let mut seen = Seen::default();
    let asked = ask(r#"{"x": [1, 2.5, -0.125]}"#).attach_contents(true);
    let Inferred { outputs, reply, .. } = client.infer_watched(&asked, &mut seen).await.unwrap();
    assert_eq!(outputs.to_plain_json(), r#"{"y": [2, 5, -0.25]}"#);
    assert_eq!(seen.steps, Step::ALL);
    assert_eq!(
        (reply.verdict.status, reply.verdict.level),
        (Status::Satisfied, Level::L3),
        "{:?}",
        reply.verdict
    );
    // 1,000 elements of the model and 3 of the inputs at a sixteenth of 2 OPG per million, 3 of the outputs at that of 8.
    let settled = reply.settled.unwrap();
    assert_eq!(settled.get(), (1_003 * 2 + 3 * 8) * 10_u128.pow(12) / 16);
    let (total_after, after) = books(&net, payer).await;
    assert_eq!(
        (total_after, before - after),
        (total, U256::from(settled.get()))
    );
    // The file alone proves which inputs and outputs were signed.
    for claim in [Claim::RequestContent, Claim::OutputContent] {
        let finding = reply.verdict.findings.iter().find(|it| it.claim == claim);
        assert_eq!(finding.unwrap().outcome, Outcome::Pass, "{claim:?}");
    }
    // A second call is paid for from the remembered offer; without the wish nothing of it is told.
    let again = client.infer(&ask(r#"{"x": [4]}"#)).await.unwrap();
    assert_eq!(again.outputs.to_plain_json(), r#"{"y": [8]}"#);
    let bundle = Bundle::decode(&again.reply.receipt).unwrap();
    let told = |kind| {
        bundle
            .core()
            .evidence
            .iter()
            .any(|entry| entry.kind == kind)
    };
    assert!(!told(EvidenceType::Request) && !told(EvidenceType::Output));
    assert_eq!(runner.runs.load(Ordering::SeqCst), 2);
    net.stop().await;
}

/// The error of a call on the network of one node, whether the payer lost anything, and how often a
/// model ran.
async fn fails(spec: NodeSpec, asked: &Infer) -> (Error, bool) {
    let world = World::new(vec![spec]);
    let (net, client) = world.start().await;
    let payer = world.wallet().address();
    let (total, before) = books(&net, payer).await;
    let error = client.infer(asked).await.unwrap_err();
    let (total_after, after) = books(&net, payer).await;
    assert_eq!(total, total_after, "tokens were made or lost");
    let receipt = std::fs::read(error.receipt().unwrap()).unwrap();
    let verdict = seamline_verify::verify(&receipt, &world.trust(&net), Env::system().now());
    assert_ne!(verdict.status, Status::Refuted, "{verdict:?}");
    net.stop().await;
    (error, before != after)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_inputs_cost_nothing_and_say_why() {
    let runner = Arc::new(Doubler::default());
    let world = World::new(vec![node(&runner)]);
    let (net, client) = world.start().await;
    let payer = world.wallet().address();
    let before = books(&net, payer).await;
    for (text, code) in [
        ("{}", "inputs.missing"),
        (r#"{"x": [1], "z": [1]}"#, "inputs.unknown"),
        (r#"{"x": [[1]]}"#, "inputs.shape"),
        (r#"{"x": ["1"]}"#, "inputs.kind"),
    ] {
        let error = client.infer(&ask(text)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.step()),
            (code.to_owned(), Step::Discover)
        );
        assert_eq!(
            (error.fault(), error.charged()),
            (Fault::Caller, Charged::No)
        );
    }
    let unknown = Infer::new(ModelId::of_bytes(b"nobody has it"), inputs(r#"{"x": [1]}"#));
    let error = client.infer(&unknown.unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "model.unknown");
    // A model for runs is none for chats.
    let chat = seamline::Chat::model(doubling().to_string()).user("hello");
    let error = client.chat(&chat).await.unwrap_err();
    assert_eq!(error.code(), "model.unknown");
    assert_eq!(books(&net, payer).await, before);
    assert_eq!(runner.runs.load(Ordering::SeqCst), 0);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_not_paid() {
    for (failure, code) in [
        (RunError::Stopped, "node.status"),
        (RunError::OutOfMemory, "node.status"),
        (
            RunError::NotRepresentable {
                name: "y".to_owned(),
            },
            "node.status",
        ),
    ] {
        let runner = Arc::new(Doubler::default());
        runner.failures.lock().unwrap().push_back(failure);
        let (error, paid) = fails(node(&runner), &ask(r#"{"x": [1]}"#)).await;
        assert_eq!((error.code(), paid), (code.to_owned(), false));
        assert_eq!(error.step(), Step::Execute);
        // The authorization is out; the chain says the rest after its deadline.
        assert_eq!(error.charged(), Charged::Unknown);
        assert_eq!(runner.runs.load(Ordering::SeqCst), 1);
    }
}

/// What becomes of an answer on its way.
type Lie = fn(&mut serde_json::Value);

/// A node whose answers to requests for inference go through `lie`.
fn liar(runner: &Arc<Doubler>, lie: Lie) -> NodeSpec {
    let mut spec = node(runner);
    let served: Served = Arc::new(move |_, router: Router| {
        router.layer(from_fn(move |request: Request, next: Next| async move {
            let answered = next.run(request).await;
            altered(answered, lie).await
        }))
    });
    spec.danger_served = Some(served);
    spec
}

async fn altered(response: Response, lie: Lie) -> Response {
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&body) else {
        return (head, body).into_response();
    };
    if value["object"] != "inference" {
        return (head, body).into_response();
    }
    lie(&mut value);
    head.headers.remove("content-length");
    Response::from_parts(head, Body::from(value.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn liars_are_caught_before_their_outputs_are_seen() {
    let lies: [(Lie, &str); 7] = [
        (
            |it| it["outputs"]["y"]["values"][0][0] = 3.into(),
            "signature.output",
        ),
        (
            |it| it["outputs"]["y"]["shape"] = serde_json::json!([1, 1]),
            "signature.output",
        ),
        (
            |it| it["outputs"]["extra"] = serde_json::json!({"shape": [1], "values": [[1, 0]]}),
            "signature.output",
        ),
        (
            |it| it["outputs"]["y"]["shape"] = serde_json::json!([2]),
            "answer.malformed",
        ),
        (|it| it["tee_signature"] = "AAAA".into(), "signature.key"),
        (
            |it| it["tee_request_hash"] = "00".repeat(32).into(),
            "signature.request",
        ),
        (
            |it| *it = serde_json::json!({"outputs": it["outputs"]}),
            "signature.missing",
        ),
    ];
    for (lie, code) in lies {
        let runner = Arc::new(Doubler::default());
        let (error, paid) = fails(liar(&runner, lie), &ask(r#"{"x": [1]}"#)).await;
        assert_eq!(error.code(), code);
        assert_eq!(
            (error.fault(), error.charged()),
            (Fault::Node, Charged::Yes)
        );
        assert!(paid, "it took the money; the caller is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_model_is_not_believed() {
    // A node that runs another model than it was asked for has to say so in what it signs.
    let runner = Arc::new(Doubler::default());
    let mut spec = node(&runner);
    let served: Served = Arc::new(|_, router: Router| {
        router.layer(from_fn(|request: Request, next: Next| async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let text = String::from_utf8(body.to_vec()).unwrap();
            let swapped = text.replace(&doubling().to_string(), &other().to_string());
            next.run(Request::from_parts(head, Body::from(swapped)))
                .await
        }))
    });
    spec.danger_served = Some(served);
    let (error, paid) = fails(spec, &ask(r#"{"x": [1]}"#)).await;
    assert_eq!(error.code(), "signature.request");
    assert_eq!((error.charged(), paid), (Charged::Yes, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_enclave_proves_nothing() {
    let runner = Arc::new(Doubler::default());
    for altered in [false, true] {
        let mut spec = node(&runner);
        if altered {
            spec.faults.altered_text = true;
        } else {
            let identity = seamline_enclave::EnclaveIdentity::generate(Env::system().now());
            spec.faults.signed_by = Some(Arc::new(identity.unwrap()));
        }
        let (error, paid) = fails(spec, &ask(r#"{"x": [1]}"#)).await;
        let code = if altered {
            "signature.output"
        } else {
            "signature.key"
        };
        assert_eq!((error.code().as_str(), paid), (code, true));
        assert_eq!(error.step(), Step::Verify);
    }
}
