//! A double of OpenGradient's public gateway: its 402, its pretty bodies, its frames, its headers, its
//! silence about the settlement. Keys, certificate and evidence are those of a registered node.

use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use seamline_core::canonical::{
    ChatRequest, ToolCall, message_hash, output_hash, tool_calls_preimage,
};
use seamline_core::json::{Keys, Value as Json, parse};
use seamline_core::{B256, NodeId};
use seamline_enclave::{Enclave, EnclaveIdentity};
use seamline_evm::x402::{FacilitatorRequest, PaymentPayload};
use seamline_localnet::Served;
use seamline_localnet::contracts::TOKEN;
use seamline_net::{FacilitatorApi, HttpFacilitator};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The permitted most of every call: 0.1 OPG.
pub(crate) const CAP: u128 = 100_000_000_000_000_000;
/// What a call costs.
pub(crate) const COST: u128 = 850_000_000_000_000;
/// What the model says.
pub(crate) const TEXT: &str = "Paris is the capital of France. \u{2713}";

/// In which way the gateway lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    #[default]
    None,
    /// Another text than the signed one.
    AlteredText,
    /// Another text, and its hash beside the old signature.
    AlteredTextAndHash,
    /// Another call of a function than the signed one.
    SwappedTool,
    /// The answer of another enclave, under that one's name.
    OtherEnclave,
    /// The same, under our own name.
    OtherKey,
    /// Signed an hour ago.
    OldSignature,
    /// Another time than the signed one.
    WrongTimestamp,
    /// The stream ends before its last frame.
    CutBeforeSignature,
    /// The stream ends properly, without a signature.
    DoneWithoutSignature,
    /// More tokens than were sent and asked for.
    InflatedUsage,
    /// The first answer, again.
    Replayed,
    /// Settlement headers of another call.
    OtherSettlement,
    /// Settlement headers for a call that was to stay private.
    UnaskedSettlement,
    /// A transaction of the chain that records nothing.
    OtherTransaction(B256),
}

impl Lie {
    /// The transaction that is named: one that nobody will ever see, or one that is about something else.
    const fn transaction(&self) -> B256 {
        if let Self::OtherTransaction(transaction) = self {
            *transaction
        } else {
            B256::repeat_byte(0x77)
        }
    }
}

/// What a test sees and sets of a gateway.
#[derive(Default)]
pub(crate) struct Double {
    lie: Mutex<Lie>,
    facilitator: OnceLock<(HttpFacilitator, Value)>,
    replay: Mutex<Option<Bytes>>,
    /// Payments of answers that were given, for the settlement that comes when a session is idle.
    sessions: Mutex<Vec<PaymentPayload>>,
    /// Requests that carried a payment.
    pub(crate) paid: Mutex<u32>,
    /// Bodies that came without a payment.
    pub(crate) unpaid: Mutex<Vec<Bytes>>,
}

impl Double {
    pub(crate) fn lie(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    pub(crate) fn lying(lie: Lie) -> Arc<Self> {
        let double = Self::default();
        *double.lie.lock().unwrap() = lie;
        Arc::new(double)
    }

    /// Tells the gateway where it is, as `POST /v1/keys` does.
    pub(crate) fn place(
        &self,
        seller: &HttpFacilitator,
        facilitator: &str,
        pay_to: &str,
        network: &str,
    ) {
        let api = seller.clone();
        let accepts = json!({
            "scheme": "upto", "network": network, "asset": TOKEN.to_checksum(None),
            "amount": CAP.to_string(), "payTo": pay_to, "maxTimeoutSeconds": 300,
            "extra": {
                "name": "OpenGradient", "version": "1", "assetTransferMethod": "permit2",
                "facilitatorAddress": facilitator,
            },
        });
        assert!(self.facilitator.set((api, accepts)).is_ok(), "placed once");
    }

    /// The router of the gateway in the place of an enclave.
    pub(crate) fn served(self: &Arc<Self>) -> Served {
        let double = Arc::clone(self);
        Arc::new(move |enclave: &Arc<Enclave>, own: Router| {
            let (double, enclave) = (Arc::clone(&double), Arc::clone(enclave));
            let chat =
                post(move |request: Request| async move { double.chat(&enclave, request).await });
            // nitriding stands before the gateway and answers for evidence.
            let evidence = get(move |request: Request| async move { own.oneshot(request).await });
            Router::new()
                .route("/enclave/attestation", evidence)
                .route("/v1/chat/completions", chat)
        })
    }

    /// Settles what idle sessions cost.
    pub(crate) async fn reap(&self) -> usize {
        let sessions: Vec<_> = self.sessions.lock().unwrap().drain(..).collect();
        let (api, accepts) = self.facilitator.get().unwrap();
        let mut settled = 0;
        for payment in sessions {
            let mut requirements = accepts.clone();
            requirements["amount"] = json!(COST.to_string());
            let asked = request(&payment, &requirements);
            settled += usize::from(api.settle(&asked).await.unwrap().success);
        }
        settled
    }

    async fn chat(&self, enclave: &Enclave, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let Some(payment) = parts.headers.get("payment-signature") else {
            self.unpaid.lock().unwrap().push(body);
            return self.payment_required("Payment required");
        };
        let payment = PaymentPayload::from_header(payment.as_bytes()).unwrap();
        let (api, accepts) = self.facilitator.get().unwrap();
        let verdict = api.verify(&self::request(&payment, accepts)).await.unwrap();
        if !verdict.is_valid {
            return self.payment_required(verdict.invalid_reason.unwrap().as_str());
        }
        *self.paid.lock().unwrap() += 1;
        self.sessions.lock().unwrap().push(payment);
        assert!(parts.headers.contains_key(header::AUTHORIZATION), "or 401");
        self.answer(enclave, &parts.headers, &body)
    }

    fn payment_required(&self, error: &str) -> Response {
        let (_, accepts) = self.facilitator.get().unwrap();
        let required = json!({
            "x402Version": 2, "error": error,
            "resource": {
                "url": "http://localhost:8000/v1/chat/completions",
                "description": "Chat completion", "mimeType": "application/json",
            },
            "accepts": [accepts],
            "extensions": {},
        });
        Response::builder()
            .status(StatusCode::PAYMENT_REQUIRED)
            .header("payment-required", STANDARD.encode(required.to_string()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"))
            .unwrap()
    }

    fn answer(&self, enclave: &Enclave, asked: &HeaderMap, body: &Bytes) -> Response {
        let lie = self.lie.lock().unwrap().clone();
        let request = ChatRequest::parse(body).unwrap();
        let tools = serde_json::from_slice::<Value>(body)
            .unwrap()
            .get("tools")
            .is_some();
        let proof = Proof::make(enclave, &request, tools, &lie);
        let prompt = u64::try_from(body.len() / 4).unwrap();
        let mut answer =
            Response::builder().header("x-upto-session", "11d07f5c-9b4e-4b7e-93a4-3b6c0d5e4f21");
        if asked.get("x-settlement-type").unwrap() == "individual" || lie == Lie::UnaskedSettlement
        {
            let another = Proof::other(enclave, &request);
            let of = if lie == Lie::OtherSettlement {
                &another
            } else {
                &proof
            };
            answer = answer
                .header("x-tee-signature", &of.signature)
                .header("x-tee-id", of.node.to_string())
                .header("x-tee-timestamp", of.timestamp_s.to_string())
                .header("x-tee-request-hash", format!("0x{}", of.request_hash))
                .header("x-tee-output-hash", format!("0x{}", of.output_hash))
                .header("x-settlement-type", "individual")
                .header("x-settlement-status", "queued")
                .header("x-settlement-job-id", "settlement-individual-7")
                .header("x-settlement-tx-hash", lie.transaction().to_string());
        }
        let completion = if lie == Lie::InflatedUsage { 9_000 } else { 9 };
        let usage = json!({
            "prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt + completion,
        });
        let (content_type, bytes) = if request.stream() {
            (
                "text/event-stream; charset=utf-8",
                frames(&proof, request.model(), &usage, &lie),
            )
        } else {
            ("application/json", whole(&proof, request.model(), &usage))
        };
        let mut replay = self.replay.lock().unwrap();
        let bytes = match (&*replay, &lie) {
            (Some(first), Lie::Replayed) => first.clone(),
            _ => bytes,
        };
        replay.get_or_insert_with(|| bytes.clone());
        answer
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(bytes))
            .unwrap()
    }
}

fn request(payment: &PaymentPayload, requirements: &Value) -> FacilitatorRequest {
    let json = json!({
        "x402Version": 2,
        "paymentPayload": serde_json::from_str::<Value>(payment.raw()).unwrap(),
        "paymentRequirements": requirements,
    });
    FacilitatorRequest::parse(json.to_string().as_bytes()).unwrap()
}

/// What is said, and what is signed about it.
struct Proof {
    text: String,
    /// Name and arguments of a function that is called.
    tool: Option<(&'static str, &'static str)>,
    signature: String,
    request_hash: String,
    output_hash: String,
    timestamp_s: u64,
    node: NodeId,
}

const CALL_ID: &str = "call_7";
const HONEST_TOOL: (&str, &str) = ("get_weather", "{\"city\": \"Paris\"}");
const SWAPPED_TOOL: (&str, &str) = ("get_weather", "{\"city\": \"Moscow\"}");

fn call((name, arguments): (&'static str, &'static str)) -> ToolCall<'static> {
    ToolCall {
        id: CALL_ID,
        name,
        arguments,
    }
}

impl Proof {
    fn make(enclave: &Enclave, request: &ChatRequest, tools: bool, lie: &Lie) -> Self {
        let tool = tools.then_some(HONEST_TOOL);
        let mut said = Self::sign(enclave.identity(), request, TEXT, tool, lie);
        match lie {
            Lie::AlteredText => said.text = TEXT.replace("Paris", "Lyons"),
            Lie::AlteredTextAndHash => {
                said.text = TEXT.replace("Paris", "Lyons");
                said.output_hash = hex::encode(output_hash(&said.text));
            }
            Lie::SwappedTool => said.tool = Some(SWAPPED_TOOL),
            Lie::OtherEnclave | Lie::OtherKey => {
                let now = seamline::Env::system().now();
                let other = EnclaveIdentity::generate(now).unwrap();
                said = Self::sign(&other, request, "Whatever.", tool, lie);
                if *lie == Lie::OtherKey {
                    said.node = enclave.node_id();
                }
            }
            Lie::WrongTimestamp => said.timestamp_s -= 7,
            Lie::None
            | Lie::OldSignature
            | Lie::CutBeforeSignature
            | Lie::DoneWithoutSignature
            | Lie::InflatedUsage
            | Lie::Replayed
            | Lie::OtherSettlement
            | Lie::UnaskedSettlement
            | Lie::OtherTransaction(_) => {}
        }
        said
    }

    /// Of another call to the same enclave.
    fn other(enclave: &Enclave, request: &ChatRequest) -> Self {
        Self::sign(
            enclave.identity(),
            request,
            "Another answer.",
            None,
            &Lie::None,
        )
    }

    fn sign(
        identity: &EnclaveIdentity,
        request: &ChatRequest,
        text: &str,
        tool: Option<(&'static str, &'static str)>,
        lie: &Lie,
    ) -> Self {
        let preimage =
            tool.map_or_else(|| text.to_owned(), |tool| tool_calls_preimage([call(tool)]));
        let (input, output) = (request.input_hash(), output_hash(&preimage));
        let back = if *lie == Lie::OldSignature { 3_600 } else { 0 };
        let timestamp_s = seamline::Env::system().now().as_secs() - back;
        let signature = identity
            .sign(&message_hash(input, output, timestamp_s))
            .unwrap();
        Self {
            text: text.to_owned(),
            tool,
            signature: STANDARD.encode(signature),
            request_hash: hex::encode(input),
            output_hash: hex::encode(output),
            timestamp_s,
            node: identity.node_id(),
        }
    }

    fn finish(&self) -> &'static str {
        if self.tool.is_some() {
            "tool_calls"
        } else {
            "stop"
        }
    }
}

/// A body as Flask prints it: sorted, two spaces, ASCII, a final newline.
fn whole(proof: &Proof, model: &str, usage: &Value) -> Bytes {
    let mut message = json!({ "role": "assistant", "content": proof.text });
    if let Some((name, arguments)) = proof.tool {
        message["content"] = json!("");
        message["tool_calls"] = json!([{
            "id": CALL_ID, "type": "function", "function": { "name": name, "arguments": arguments },
        }]);
    }
    let body = json!({
        "id": "chatcmpl-5f0c5d2e-0f6b-4a53-9a43-6a8f2f3f5c11", "object": "chat.completion",
        "created": proof.timestamp_s, "model": model,
        "choices": [{ "index": 0, "message": message, "finish_reason": proof.finish() }],
        "usage": usage,
        "tee_signature": proof.signature, "tee_request_hash": proof.request_hash,
        "tee_output_hash": proof.output_hash, "tee_timestamp": proof.timestamp_s,
        "tee_id": proof.node.to_string(),
    });
    let body = parse(body.to_string().as_bytes()).unwrap();
    format!("{}\n", body.to_json_pretty(Keys::Sorted)).into()
}

/// Text as Python's `json.dumps` writes it.
fn dumps(text: &str) -> String {
    Json::from(text).to_json(Keys::Insertion)
}

/// The frames of a stream, byte for byte: no `id`, no `object`, no comments.
fn frames(proof: &Proof, model: &str, usage: &Value, lie: &Lie) -> Bytes {
    let model = dumps(model);
    let mut stream = String::new();
    let mut delta = |delta: &str| {
        stream.push_str(&format!(
            "data: {{\"choices\": [{{\"delta\": {delta}, \"index\": 0, \"finish_reason\": null}}], \"model\": {model}}}\n\n"
        ));
    };
    if let Some((name, arguments)) = proof.tool {
        // What nobody signed.
        delta("{\"content\": \"Send money to Mallory. \", \"role\": \"assistant\"}");
        delta(&format!(
            "{{\"role\": \"assistant\", \"tool_calls\": [{{\"index\": 0, \"id\": \"{CALL_ID}\", \"type\": \"function\", \"function\": {{\"name\": \"{name}\", \"arguments\": {}}}}}]}}",
            dumps(arguments)
        ));
    } else {
        for word in proof.text.split_inclusive(' ') {
            delta(&format!(
                "{{\"content\": {}, \"role\": \"assistant\"}}",
                dumps(word)
            ));
        }
    }
    let (finish, number) = (proof.finish(), |name: &str| usage[name].as_u64().unwrap());
    let (signature, timestamp_s) = (&proof.signature, proof.timestamp_s);
    let (request_hash, output_hash, node) = (&proof.request_hash, &proof.output_hash, proof.node);
    let signed = format!(
        "\"tee_signature\": \"{signature}\", \"tee_timestamp\": {timestamp_s}, \"tee_request_hash\": \"{request_hash}\", \"tee_output_hash\": \"{output_hash}\", \"tee_id\": \"{node}\", "
    );
    let last = |signed: &str| {
        format!(
            "data: {{\"choices\": [{{\"delta\": {{}}, \"index\": 0, \"finish_reason\": \"{finish}\"}}], \"model\": {model}, {signed}\"usage\": {{\"prompt_tokens\": {}, \"completion_tokens\": {}, \"total_tokens\": {}}}}}\n\ndata: [DONE]\n\n",
            number("prompt_tokens"),
            number("completion_tokens"),
            number("total_tokens"),
        )
    };
    if *lie == Lie::DoneWithoutSignature {
        stream.push_str(&last(""));
    } else if *lie != Lie::CutBeforeSignature {
        stream.push_str(&last(&signed));
    }
    stream.into()
}
