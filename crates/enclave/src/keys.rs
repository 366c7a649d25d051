//! Keys of model APIs that an operator hands to a running enclave, once (`POST /v1/keys`).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use seamline_core::json::{self, Object, Value};
use seamline_net::{Problem, Shape};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::enclave::Enclave;
use crate::frames::pretty;
use crate::request::is_json;

/// The providers whose keys can be handed over, with the names of their members.
const PROVIDERS: [(&str, &str); 8] = [
    ("openai", "openai_api_key"),
    ("google", "google_api_key"),
    ("anthropic", "anthropic_api_key"),
    ("xai", "xai_api_key"),
    ("bytedance", "bytedance_api_key"),
    ("openrouter", "openrouter_api_key"),
    ("zai", "zai_api_key"),
    ("exa", "exa_api_key"),
];

/// Keys of model APIs, set once in a life. Clones share them.
///
/// Has no `Debug`: it holds secrets.
#[expect(
    missing_debug_implementations,
    reason = "it holds API keys, and Debug is how they would reach a log"
)]
#[derive(Clone, Default)]
pub struct ProviderKeys(Arc<OnceLock<Vec<Key>>>);

/// A provider and its key.
type Key = (&'static str, Zeroizing<String>);

impl ProviderKeys {
    /// Without any key: an upstream that needs one is not ready until it is handed over.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether keys were handed over.
    pub fn are_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// The key of a provider, such as `openai`.
    pub(crate) fn bearer(&self, provider: &str) -> Option<HeaderValue> {
        let keys = self.0.get()?;
        let (_, key) = keys.iter().find(|(name, _)| *name == provider)?;
        let text = Zeroizing::new(format!("Bearer {}", key.as_str()));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn set(&self, keys: Vec<Key>) -> bool {
        self.0.set(keys).is_ok()
    }
}

/// Serves `POST /v1/keys` on `listener` until `shutdown` resolves: to this machine only, whatever
/// else the enclave serves. The public router has no such path.
///
/// Requests are answered as OpenGradient's gateway answers them: 200 once, then 409. A
/// `facilitator_url` or `heartbeat_contract_address` that is not the configured one is refused: where
/// money goes is not decided after the start.
///
/// # Errors
///
/// [`std::io::ErrorKind::PermissionDenied`] for a listener that others can reach; otherwise as
/// [`seamline_net::serve`].
pub async fn serve_keys(
    enclave: &Arc<Enclave>,
    keys: ProviderKeys,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let at = listener.local_addr()?;
    if !at.ip().is_loopback() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    let desk = Desk {
        enclave: Arc::clone(enclave),
        keys,
        at,
    };
    let router = Router::new()
        .route("/v1/keys", post(take))
        .with_state(Arc::new(desk));
    seamline_net::serve(listener, router, shutdown).await
}

struct Desk {
    enclave: Arc<Enclave>,
    keys: ProviderKeys,
    at: SocketAddr,
}

async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    // A page in a browser of this machine can reach loopback: by a name of its own, or without
    // asking where the request looks like a form.
    if !desk.is_addressed(&headers) || headers.contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "not for browsers");
    }
    if !is_json(&headers) {
        return refuse(StatusCode::BAD_REQUEST, "JSON body required");
    }
    let body = Zeroizing::new(body.to_vec());
    let members = match json::parse(&body) {
        Ok(Value::Object(members)) if !members.is_empty() => members,
        Ok(_) | Err(_) => return refuse(StatusCode::BAD_REQUEST, "JSON body required"),
    };
    if let Err(reason) = desk.check(&members) {
        return refuse(StatusCode::BAD_REQUEST, reason);
    }
    let keys: Vec<_> = PROVIDERS
        .iter()
        .filter_map(|(provider, member)| {
            let key = members.get(member)?.as_str()?;
            (!key.is_empty()).then(|| (*provider, Zeroizing::new(key.to_owned())))
        })
        .collect();
    let names: Value = keys.iter().map(|(name, _)| Value::from(*name)).collect();
    if !desk.keys.set(keys) {
        let text = "Provider keys have already been initialized";
        return refuse(StatusCode::CONFLICT, text);
    }
    let answer = Object::new()
        .with("heartbeat_enabled", desk.enclave.beats())
        .with("providers_initialized", names)
        .with("status", "ok");
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, pretty(&answer.into())).into_response()
}

impl Desk {
    /// Whether the request names this address, not a name that leads here.
    fn is_addressed(&self, headers: &HeaderMap) -> bool {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let local = format!("localhost:{}", self.at.port());
        host.is_some_and(|host| host == local || host == self.at.to_string())
    }

    fn check(&self, members: &Object) -> Result<(), &'static str> {
        let config = &self.enclave.config;
        let same = |name: &str, ours: &str| {
            let Some(theirs) = members.get(name).filter(|value| value.is_truthy()) else {
                return true;
            };
            let theirs = theirs.as_str().unwrap_or_default().trim_end_matches('/');
            theirs.eq_ignore_ascii_case(ours.trim_end_matches('/'))
        };
        if !same("facilitator_url", &config.facilitator_url) {
            return Err("the facilitator is part of the configuration");
        }
        if !same("heartbeat_contract_address", &config.registry.to_string()) {
            return Err("the registry is part of the configuration");
        }
        Ok(())
    }
}

fn refuse(status: StatusCode, text: &'static str) -> Response {
    Problem::new(status, "keys_refused", text).into_response_as(Shape::OpenGradient)
}
