//! One enclave for `bench/load/run`, in a process of its own: over TLS, with a mock upstream.
//!
//! `enclave MODE [STORE]` prints one line of JSON, the address and the TLS certificate, and serves until its
//! standard input ends. STORE is a file that the paywall writes to; without it the books are in memory, as in an
//! enclave, which has no disk. MODE says how much of an enclave is on the way:
//!
//! | mode | what happens to a request |
//! |---|---|
//! | `bare` | the mock upstream's answer, nothing else |
//! | `signed` | as `bare`, and one RSA-2048 PSS signature |
//! | `floor` | none: signs for two seconds on one thread, then on two, and prints how often |
//! | `enclave` | the enclave behind its paywall: sessions or one authorization per call, as the client pays |
//!
//! The facilitator answers at once and in process: what it and its chain cost is theirs, on other machines.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use seamline::Env;
use seamline_core::{Address, Amount, keccak256};
use seamline_enclave::{
    AttestError, Attester, AttesterKind, ChatJob, Enclave, EnclaveConfig, EnclaveIdentity, Finish,
    ModelPrice, Piece, Upstream, UpstreamFuture, Usage,
};
use seamline_evm::x402::{
    FacilitatorRequest, SettleResponse, Supported, SupportedKind, VerifyResponse,
};
use seamline_net::{FacilitatorApi, FacilitatorFuture, FileStore, PaywallStore, SessionRules};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Failure = Box<dyn Error>;

const NETWORK: &str = "eip155:31610";
/// Words of an answer; the pieces of a stream.
const WORDS: usize = 100;
/// The pace of `paced`: twenty words a second.
const PACE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mode, store) = match arguments.as_slice() {
        [mode] => (mode.as_str(), None),
        [mode, store] => (mode.as_str(), Some(store)),
        _ => return Err("usage: enclave bare|signed|floor|enclave [STORE]".into()),
    };
    let now = Env::system();
    let identity = Arc::new(EnclaveIdentity::generate(now.now())?);
    if mode == "floor" {
        return floor(&identity);
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let store: Option<Arc<dyn PaywallStore>> = match store {
        Some(path) => Some(Arc::new(FileStore::open(path).await?)),
        None => None,
    };
    let router = match mode {
        "bare" => plain(None),
        "signed" => plain(Some(Arc::clone(&identity))),
        "enclave" => enclave(&format!("https://{address}"), &identity, store)?,
        _ => return Err("the mode is bare, signed, floor or enclave".into()),
    };
    let certificate: String = identity.tls_certificate().iter().map(hex).collect();
    let said = json!({ "address": address.to_string(), "certificate": certificate });
    writeln!(std::io::stdout(), "{said}")?;
    let (certificate, key) = (
        identity.tls_certificate().to_vec(),
        identity.tls_private_key().to_vec(),
    );
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let stop = async {
        let _ = ended.await;
    };
    seamline_net::serve_tls(listener, router, certificate, key, stop).await?;
    Ok(())
}

/// What the signatures alone cost: no answer of an enclave is cheaper.
fn floor(identity: &EnclaveIdentity) -> Result<(), Failure> {
    const SPAN: Duration = Duration::from_secs(2);
    let signs = |threads: usize| {
        std::thread::scope(|scope| {
            let work = || {
                let (started, mut count) = (now(), 0_u64);
                while started.elapsed() < SPAN {
                    identity.sign(&keccak256(count.to_be_bytes()))?;
                    count = count.saturating_add(1);
                }
                Ok::<_, seamline_enclave::Error>(count)
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut all = 0_u64;
            for worker in workers {
                let count = worker.join().map_err(|_| "a worker panicked")??;
                all = all.saturating_add(count);
            }
            Ok::<_, Failure>(all.checked_div(SPAN.as_secs()).unwrap_or(0))
        })
    };
    let said = json!({ "one_thread_per_s": signs(1)?, "two_threads_per_s": signs(2)? });
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time is what this program measures"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

fn enclave(
    endpoint: &str,
    identity: &Arc<EnclaveIdentity>,
    store: Option<Arc<dyn PaywallStore>>,
) -> Result<Router, Failure> {
    let (payee, asset) = (Address::repeat_byte(0x22), Address::repeat_byte(0x11));
    let mut config = EnclaveConfig::new(endpoint, payee, NETWORK, asset);
    let price = ModelPrice {
        input: Amount::new(2_000_000),
        output: Amount::new(5_000_000),
    };
    config.prices = BTreeMap::from(
        [("mock", price), ("paced", price)].map(|(model, price)| (model.to_owned(), price)),
    );
    let mut rules = SessionRules::new(Amount::new(10_u128.pow(18)));
    rules.idle = Duration::from_secs(3_600);
    config.sessions = Some(rules);
    let env = Env::system();
    let clock = Arc::new(move || env.now());
    let enclave = Enclave::new(
        config,
        Arc::clone(identity),
        Arc::new(NoEvidence),
        Arc::new(Mock),
        clock,
    )?;
    let paywall = enclave.paywall_with(Arc::new(Yes), |config| {
        if let Some(store) = store {
            config.store = store;
        }
    });
    Ok(enclave.router(&paywall))
}

/// The mock upstream behind a plain handler; with an identity, its answers are signed.
fn plain(signer: Option<Arc<EnclaveIdentity>>) -> Router {
    let handler = move |body: Bytes| {
        let signer = signer.clone();
        async move { answer(&body, signer.as_deref()) }
    };
    Router::new().route("/v1/chat/completions", post(handler))
}

fn answer(body: &Bytes, signer: Option<&EnclaveIdentity>) -> Response {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let paced = asked.get("model").and_then(Value::as_str) == Some("paced");
    if asked.get("stream").and_then(Value::as_bool) == Some(true) {
        let frames = pieces(paced).map(|piece| {
            let frame = match piece {
                Piece::Text(text) => {
                    let delta = json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] });
                    format!("data: {delta}\n\n")
                }
                Piece::ToolCalls(_) | Piece::Images(_) | Piece::End { .. } => {
                    "data: [DONE]\n\n".to_owned()
                }
            };
            Ok::<_, std::io::Error>(frame)
        });
        let kind = [("content-type", "text/event-stream; charset=utf-8")];
        return (kind, Body::from_stream(frames)).into_response();
    }
    let text = words().collect::<String>();
    let signature = signer.and_then(|signer| signer.sign(&keccak256(&text)).ok());
    Json(json!({
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "signature": signature.map(|bytes| bytes.iter().map(hex).collect::<String>()),
    }))
    .into_response()
}

/// Answers with a hundred words, at once or twenty a second.
struct Mock;

impl Upstream for Mock {
    fn models(&self) -> Vec<String> {
        vec!["mock".to_owned(), "paced".to_owned()]
    }

    fn chat(&self, job: ChatJob) -> UpstreamFuture<'_> {
        let pieces = pieces(job.model == "paced").map(Ok);
        Box::pin(async move { Ok(pieces.boxed()) })
    }
}

fn words() -> impl Iterator<Item = String> {
    (0..WORDS).map(|index| format!("word{index} "))
}

fn pieces(paced: bool) -> impl stream::Stream<Item = Piece> + Send {
    let end = Piece::End {
        finish: Finish::Stop,
        usage: Some(Usage {
            prompt_tokens: 5,
            completion_tokens: 100,
        }),
    };
    let all = words().map(Piece::Text).chain([end]);
    stream::iter(all).then(move |piece| async move {
        if paced {
            tokio::time::sleep(PACE).await;
        }
        piece
    })
}

/// Nobody asks for evidence here.
struct NoEvidence;

impl Attester for NoEvidence {
    fn document(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<Vec<u8>, AttestError> {
        Err(AttestError::new("none"))
    }

    fn kind(&self) -> AttesterKind {
        AttesterKind::Software
    }
}

/// Finds every payment good, at once.
struct Yes;

impl FacilitatorApi for Yes {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        let payer = payer(request);
        Box::pin(async move { Ok(VerifyResponse::valid(payer)) })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        let response = SettleResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(payer(request).to_string()),
            transaction: format!("0x{}", "ab".repeat(32)),
            network: NETWORK.to_owned(),
            amount: Some(request.payment_requirements.terms().amount.clone()),
            extensions: None,
            extra: None,
        };
        Box::pin(async { Ok(response) })
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        let kind = SupportedKind {
            x402_version: 2,
            scheme: "upto".to_owned(),
            network: NETWORK.to_owned(),
            extra: Some(json!({ "facilitatorAddress": Address::repeat_byte(0xfa).to_string() })),
        };
        let supported = Supported {
            kinds: vec![kind],
            ..Supported::default()
        };
        Box::pin(async { Ok(supported) })
    }
}

/// The account in the payment, unchecked.
fn payer(request: &FacilitatorRequest) -> Address {
    let payment: Value =
        serde_json::from_slice(request.payment_payload.raw().as_bytes()).unwrap_or_default();
    let from = payment.pointer("/payload/permit2Authorization/from");
    let account = from
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    account.unwrap_or(Address::ZERO)
}
