//! The paths that cost nothing, and the router.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, StatusCode, header};
use seamline_core::json::{Object, Value};
use seamline_net::{FacilitatorApi, Paywall, PaywallConfig, Problem, Shape};
use serde::Deserialize;

use crate::access;
use crate::call::Kind;
use crate::chat;
use crate::enclave::Enclave;
use crate::frames::pretty;
use crate::identity;
use crate::infer;
use crate::iso8601::iso8601;
use crate::offer::CallPricer;

impl Enclave {
    /// Makes the paywall that [`Enclave::router`] needs. Keep it: its
    /// [`tasks`](Paywall::tasks) are the settlements under way, to be drained at shutdown.
    pub fn paywall(self: &Arc<Self>, facilitator: Arc<dyn FacilitatorApi>) -> Paywall {
        self.paywall_with(facilitator, |_| {})
    }

    /// As [`Enclave::paywall`], with a configuration that `adapt` has changed: such as a store that
    /// outlives the process, whose debts [`Paywall::recover`] then takes up, or a scheme of ours.
    pub fn paywall_with(
        self: &Arc<Self>,
        facilitator: Arc<dyn FacilitatorApi>,
        adapt: impl FnOnce(&mut PaywallConfig),
    ) -> Paywall {
        let clock = Arc::clone(&self.clock);
        let mut config = PaywallConfig::new(self.config.endpoint.clone(), clock);
        config.sessions = self.config.sessions;
        adapt(&mut config);
        Paywall::new(config, facilitator, CallPricer(Arc::clone(self)))
    }

    /// The HTTP surface of `docs/reference/enclave-http.md`.
    ///
    /// Layers, outermost first: the evidence header, routing, the paywall (inference only), the handler.
    pub fn router(self: &Arc<Self>, paywall: &Paywall) -> Router {
        let enclave = Arc::clone(self);
        let router = Router::new()
            .route("/enclave", get(index))
            .route("/enclave/attestation", get(attestation))
            .route("/health", get(health))
            .route("/signing-key", get(signing_key))
            .route("/heartbeat/status", get(heartbeat_status))
            .route("/v1/models", get(models))
            .route("/v1/models/{*id}", get(model))
            .with_state(Arc::clone(self))
            .route("/v1/chat/completions", self.route(paywall, Kind::Chat))
            .route("/v1/completions", self.route(paywall, Kind::Completion))
            .route("/v1/web_search", post(web_search))
            .route(infer::PATH, self.infer_route(paywall))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed);
        let router = match self.ohttp_routes(paywall, self.inner_router()) {
            Ok(ohttp) => router.merge(ohttp),
            Err(err) => {
                tracing::error!(error = %seamline_core::chain(&err), "no oblivious http");
                router
            }
        };
        let router = router.layer(middleware::map_response(move |response: Response| {
            let software = enclave.is_software();
            async move { say_evidence(response, software) }
        }));
        router.layer(middleware::map_request(access::note))
    }

    /// What Oblivious HTTP may reach, of which `ohttp::inner` lists methods and paths: the same handlers,
    /// paid for outside.
    fn inner_router(self: &Arc<Self>) -> Router {
        let handle = |kind| {
            let enclave = Arc::clone(self);
            post(move |request: Request| chat::handle(enclave, kind, request))
        };
        Router::new()
            .route("/health", get(health))
            .route("/signing-key", get(signing_key))
            .route("/v1/models", get(models))
            .with_state(Arc::clone(self))
            .route("/v1/chat/completions", handle(Kind::Chat))
            .route("/v1/completions", handle(Kind::Completion))
            .fallback(not_found)
    }

    fn infer_route(self: &Arc<Self>, paywall: &Paywall) -> MethodRouter {
        if self.config.faults.fail_before_payment {
            return post(unavailable);
        }
        let enclave = Arc::clone(self);
        paywall.protect(post(move |request: Request| {
            infer::handle(enclave, request)
        }))
    }

    fn route(self: &Arc<Self>, paywall: &Paywall, kind: Kind) -> MethodRouter {
        if self.config.faults.fail_before_payment {
            return post(unavailable);
        }
        let enclave = Arc::clone(self);
        paywall.protect(post(move |request: Request| {
            chat::handle(enclave, kind, request)
        }))
    }
}

/// What a node that is made to fail says.
async fn unavailable() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "request_failed", "Request processing failed")
        .into_response_as(Shape::OpenGradient)
}

/// Says on every answer that no hardware stands behind this enclave, where that is so.
const EVIDENCE: HeaderName = HeaderName::from_static("x-seamline-evidence");

fn say_evidence(mut response: Response, software: bool) -> Response {
    if software {
        let dev = HeaderValue::from_static("dev");
        response.headers_mut().insert(EVIDENCE, dev);
    }
    response
}

/// Later gateways of OpenGradient search the web with a key for a search engine, and answer so without one.
/// It stands before the paywall: what is not served is not asked money for.
async fn web_search() -> Response {
    let text =
        "Web search is not available: this enclave has no search engine. Nothing was charged";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "web_search_unavailable",
        text,
    )
    .into_response_as(Shape::OpenGradient)
}

#[derive(Deserialize)]
struct AttestationQuery {
    nonce: Option<String>,
}

/// nitriding's attestation handler, its texts included.
async fn attestation(
    State(enclave): State<Arc<Enclave>>,
    query: Result<Query<AttestationQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(AttestationQuery { nonce: Some(nonce) })) = query else {
        let text = "could not find nonce in URL query parameters\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let Ok(mut nonce) = hex_nonce(&nonce) else {
        let text = "unexpected nonce format; must be 40-digit hex string\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let faults = &enclave.config.faults;
    if faults.stale_nonce {
        nonce = [0x5e; 20];
    }
    let bound = match faults.evidence_for.as_deref() {
        Some(other) => other,
        None => enclave.identity(),
    };
    let presented = match faults.evidence_certificate.as_deref() {
        Some(other) => other,
        None => enclave.identity(),
    };
    let user_data = identity::user_data(presented.tls_certificate(), bound.signing_key_spki());
    match enclave.attester.document(&nonce, &user_data, &[]) {
        Ok(document) => format!("{}\n", BASE64.encode(document)).into_response(),
        Err(err) => {
            tracing::error!(error = %seamline_core::chain(&err), "no evidence");
            let text = "failed to obtain attestation document from hypervisor\n";
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

/// Exactly 40 hexadecimal digits, without a prefix.
fn hex_nonce(text: &str) -> Result<[u8; 20], ()> {
    let digits = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits {
        return Err(());
    }
    hex::decode_to_array(text).map_err(drop)
}

async fn index(State(enclave): State<Arc<Enclave>>) -> &'static str {
    if enclave.is_software() {
        "This host imitates an enclave: its evidence is made by software (dev) and proves nothing \
         about hardware.\n"
    } else {
        "This host runs inside an AWS Nitro Enclave.\n"
    }
}

async fn health(State(enclave): State<Arc<Enclave>>) -> Response {
    let now = (enclave.clock)();
    let models = enclave.models().map(Value::from);
    let body = Object::new()
        .with("status", "OK")
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("tee_enabled", !enclave.is_software())
        .with(
            "evidence",
            if enclave.is_software() {
                "dev"
            } else {
                "hardware"
            },
        )
        .with(
            "uptime_seconds",
            now.saturating_since(enclave.started).as_secs(),
        )
        .with("providers", models.collect::<Value>())
        .with("facilitator_url", enclave.config.facilitator_url.as_str())
        .with("price_feed", price_feed(&enclave));
    json(StatusCode::OK, body)
}

/// What the feed says of itself; nothing where prices are in the asset itself.
fn price_feed(enclave: &Enclave) -> Value {
    let Some(dollars) = &enclave.config.dollars else {
        return Value::Null;
    };
    let status = dollars.feed.status();
    let error = match dollars.feed.rate((enclave.clock)()) {
        Ok(_) => status.last_error.map(str::to_owned),
        Err(err) => Some(err.to_string()),
    };
    let text = |text: Option<String>| text.map_or(Value::Null, Value::from);
    Object::new()
        .with("consecutive_failures", status.consecutive_failures)
        .with("last_error", text(error))
        .with(
            "last_success",
            status
                .last_success
                .map_or(Value::Null, |at| at.as_secs().into()),
        )
        // A string: it is money.
        .with("price_usd", text(status.rate.map(|rate| rate.to_string())))
        .with("refresh_interval", status.refresh_interval_s)
        .with("total_errors", status.errors)
        .with("total_fetches", status.fetches)
        .into()
}

async fn signing_key(State(enclave): State<Arc<Enclave>>) -> Response {
    let platform = if enclave.is_software() {
        "software-dev"
    } else {
        "aws-nitro"
    };
    let info = Object::new()
        .with("platform", platform)
        .with("instance_type", "tee-enabled")
        .with("version", env!("CARGO_PKG_VERSION"));
    let body = Object::new()
        .with("public_key", pem(enclave.identity().signing_key_spki()))
        .with("tee_id", enclave.node_id().to_string())
        .with("wallet_address", enclave.config.pay_to.to_checksum(None))
        .with("timestamp", iso8601((enclave.clock)()))
        .with("enclave_info", info)
        .with("measurements", Value::Null);
    json(StatusCode::OK, body)
}

async fn heartbeat_status(State(enclave): State<Arc<Enclave>>) -> Response {
    let status = enclave.heartbeat_status();
    let text = |text: String| Value::from(text);
    let transaction = status.last_transaction.map(|hash| text(hash.to_string()));
    let body = Object::new()
        .with("enabled", true)
        .with("running", status.plan.is_some() || status.sent > 0)
        .with("tee_id", enclave.node_id().to_string())
        .with("registry", enclave.config.registry.to_checksum(None))
        .with("wallet", enclave.config.pay_to.to_checksum(None))
        .with(
            "relay_mode",
            if status.plan.is_some() {
                "facilitator"
            } else {
                "operator"
            },
        )
        .with("facilitator_url", enclave.config.facilitator_url.as_str())
        .with(
            "heartbeat_endpoint",
            status
                .plan
                .map_or(Value::Null, |_| enclave.heartbeat_endpoint().into()),
        )
        .with(
            "interval_seconds",
            status
                .plan
                .map_or(Value::Null, |plan| plan.interval.as_secs().into()),
        )
        .with("total_sent", status.sent)
        .with("total_errors", status.errors)
        .with(
            "last_success_timestamp",
            status.last_success_s.map_or(Value::Null, Value::from),
        )
        .with("last_tx_hash", transaction.unwrap_or(Value::Null))
        .with(
            "last_error",
            status.last_error.map_or(Value::Null, Value::from),
        );
    json(StatusCode::OK, body)
}

async fn models(State(enclave): State<Arc<Enclave>>) -> Response {
    let data = enclave
        .models()
        .map(|model| Value::from(describe(&enclave, &model)));
    let data = data.chain(infer_models(&enclave).map(Value::from));
    let body = Object::new()
        .with("object", "list")
        .with("data", data.collect::<Value>());
    json(StatusCode::OK, body)
}

async fn model(State(enclave): State<Arc<Enclave>>, Path(id): Path<String>) -> Response {
    let named = |model: &Object| model.get("id").and_then(Value::as_str) == Some(id.as_str());
    let chat = enclave.models().find(|model| *model == id);
    let model = match chat {
        Some(model) => Some(describe(&enclave, &model)),
        None => infer_models(&enclave).find(named),
    };
    match model {
        Some(model) => json(StatusCode::OK, model),
        None => Problem::new(
            StatusCode::NOT_FOUND,
            "model_not_found",
            format!("The model '{id}' does not exist"),
        )
        .into_response_as(Shape::OpenAi),
    }
}

/// The models that `POST /v1/infer` runs.
fn infer_models(enclave: &Enclave) -> impl Iterator<Item = Object> {
    let desk = enclave.desk.iter();
    let infos = desk.flat_map(|desk| {
        let ids = desk.models().into_iter();
        ids.filter_map(move |id| Some((desk, desk.info(id)?)))
    });
    infos.map(move |(desk, info)| infer::describe(enclave, desk, &info))
}

/// One model: OpenAI's members, and what a payer needs to know under `seamline`. Amounts are
/// strings, as in x402: they do not fit the numbers of most JSON readers.
fn describe(enclave: &Enclave, model: &str) -> Object {
    let config = &enclave.config;
    let price = enclave.price_now(model).ok().flatten();
    // Without a rate there is no price to tell, and none is asked.
    let [input, output] = price.map_or([Value::Null, Value::Null], |price| {
        price.per_million().map(|amount| amount.to_string().into())
    });
    let terms = Object::new()
        .with("price_input", input)
        .with("price_output", output)
        .with("price_unit", "base units per million tokens")
        .with("max_tokens", config.max_tokens)
        .with("asset", config.asset.to_checksum(None))
        .with("network", config.network.as_str())
        .with("facilitator", config.facilitator_url.as_str());
    Object::new()
        .with("id", model)
        .with("object", "model")
        .with("created", enclave.started.as_secs())
        .with("owned_by", "seamline")
        .with("seamline", terms)
}

async fn not_found() -> Response {
    let detail = "The requested URL was not found on the server.";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response_as(Shape::Rfc9457)
}

async fn method_not_allowed() -> Response {
    let detail = "The method is not allowed for the requested URL.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        .into_response_as(Shape::Rfc9457)
}

fn json(status: StatusCode, body: Object) -> Response {
    let media_type = [(header::CONTENT_TYPE, "application/json")];
    (status, media_type, pretty(&body.into())).into_response()
}

/// PEM of a public key: 64 columns and a final newline.
fn pem(spki: &[u8]) -> String {
    let encoded = BASE64.encode(spki);
    let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, others) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = others;
    }
    text.push_str("-----END PUBLIC KEY-----\n");
    text
}
