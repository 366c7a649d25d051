//! Puts load on one enclave over TLS and measures it: called by `bench/load/run`.
//!
//! `surge ADDRESS CERTIFICATE PAYING KIND CONNECTIONS SECONDS RATE` keeps CONNECTIONS open, each with one request at a
//! time, and prints one line of JSON. RATE is requests per second of all together, 0 for as many as are answered;
//! latency counts from when a request was due. PAYING is `free`, `session` (one authorization per connection, opened
//! before the clock starts) or `upto` (an authorization per request, which nobody verifies here). KIND is `whole`,
//! `stream`, or `paced`, a stream that takes its time: of these each connection asks for one.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use seamline::Env;
use seamline_evm::x402::{decode_header, encode_header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Paying {
    Free,
    Session,
    Upto,
}

/// What one run is asked for.
#[derive(Clone)]
struct Plan {
    address: String,
    tls: TlsConnector,
    paying: Paying,
    body: String,
    /// Whether each connection asks once only.
    once: bool,
    connections: u32,
    span: Duration,
    /// Pause between two requests of one connection; none where zero.
    every: Duration,
}

/// What one connection has seen.
#[derive(Default)]
struct Seen {
    latencies: Vec<u64>,
    /// Between two pieces of a stream.
    gaps: Vec<u64>,
    frames: u64,
    refused: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        address,
        certificate,
        paying,
        kind,
        connections,
        seconds,
        rate,
    ] = arguments.as_slice()
    else {
        return Err("usage: surge ADDRESS CERTIFICATE free|session|upto whole|stream|paced CONNECTIONS SECONDS RATE".into());
    };
    let connections: u32 = connections.parse()?;
    let rate: u32 = rate.parse()?;
    let model = if kind == "paced" { "paced" } else { "mock" };
    let body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": "What does a hundred words cost?" }],
        "max_tokens": 100,
        "temperature": 0.0,
        "stream": kind != "whole",
    });
    let plan = Plan {
        address: address.clone(),
        tls: connector(certificate)?,
        paying: match paying.as_str() {
            "session" => Paying::Session,
            "upto" => Paying::Upto,
            _ => Paying::Free,
        },
        body: body.to_string(),
        once: kind == "paced",
        connections,
        span: Duration::from_secs(seconds.parse()?),
        every: Duration::from_secs(u64::from(connections))
            .checked_div(rate)
            .unwrap_or_default(),
    };
    let ready = Arc::new(Barrier::new(usize::try_from(connections)?));
    let mut workers = Vec::new();
    for number in 0..connections {
        workers.push(tokio::spawn(work(plan.clone(), number, Arc::clone(&ready))));
    }
    let mut all = Seen::default();
    let mut span = Duration::ZERO;
    for worker in workers {
        let (seen, took) = worker.await??;
        span = span.max(took);
        all.latencies.extend(seen.latencies);
        all.gaps.extend(seen.gaps);
        all.frames = all.frames.saturating_add(seen.frames);
        all.refused = all.refused.saturating_add(seen.refused);
    }
    let count = all.latencies.len();
    let said = json!({
        "count": count,
        "refused": all.refused,
        "frames": all.frames,
        "wall_us": micros(span),
        "p50_us": percentile(&mut all.latencies, 50),
        "p99_us": percentile(&mut all.latencies, 99),
        "max_us": percentile(&mut all.latencies, 100),
        "gap_p50_us": percentile(&mut all.gaps, 50),
        "gap_p99_us": percentile(&mut all.gaps, 99),
    });
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}

/// One connection: opened, paid for where it is to be paid in advance, then measured.
async fn work(plan: Plan, number: u32, ready: Arc<Barrier>) -> Result<(Seen, Duration), Failure> {
    let mut peer = Peer::connect(&plan, number).await?;
    let prepared = peer.prepare(&plan).await;
    ready.wait().await;
    prepared?;
    let started = now();
    let mut due = started;
    if !plan.every.is_zero() {
        // The connections take turns.
        let share = plan.every.checked_div(plan.connections).unwrap_or_default();
        due = later(due, share.saturating_mul(number));
    }
    let mut seen = Seen::default();
    loop {
        if !plan.every.is_zero() {
            tokio::time::sleep_until(due.into()).await;
        } else {
            due = now();
        }
        let request = peer.request(&plan);
        let answer = peer.exchange(&request, &mut seen).await?;
        seen.latencies.push(micros(due.elapsed()));
        if !answer.head.starts_with("HTTP/1.1 200") {
            seen.refused = seen.refused.saturating_add(1);
        }
        due = later(due, plan.every);
        if plan.once || started.elapsed() >= plan.span {
            return Ok((seen, started.elapsed()));
        }
    }
}

struct Peer {
    stream: TlsStream<TcpStream>,
    /// Tells this process from those before it.
    run: u64,
    number: u32,
    payments: u32,
    /// The offer that is paid for each time.
    offer: Value,
    /// What names the session.
    header: String,
}

struct Answer {
    head: String,
}

impl Peer {
    async fn connect(plan: &Plan, number: u32) -> Result<Self, Failure> {
        let socket = TcpStream::connect(&plan.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        Ok(Self {
            stream: plan.tls.connect(name, socket).await?,
            run: Env::system().now().as_millis() ^ u64::from(std::process::id()) << 44,
            number,
            payments: 0,
            offer: Value::Null,
            header: String::new(),
        })
    }

    /// Asks for the price and, for a session, pays it.
    async fn prepare(&mut self, plan: &Plan) -> Result<(), Failure> {
        let mut unmeasured = Seen::default();
        if plan.paying == Paying::Free {
            return Ok(());
        }
        let asked = wire(&plan.body, "");
        let answer = self.exchange(&asked, &mut unmeasured).await?;
        let required = header(&answer.head, "payment-required").ok_or("no offer")?;
        let required: Value = serde_json::from_slice(&decode_header(required.as_bytes())?)?;
        let offers = required.get("accepts").and_then(Value::as_array);
        let (first, last) = (
            offers.and_then(|it| it.first()),
            offers.and_then(|it| it.last()),
        );
        if plan.paying == Paying::Upto {
            self.offer = last.ok_or("no offers")?.clone();
            return Ok(());
        }
        self.offer = first.ok_or("no offers")?.clone();
        // A call at once, whatever is measured after it.
        let body = plan.body.replace("paced", "mock");
        let paid = wire(&body, &self.payment());
        let answer = self.exchange(&paid, &mut unmeasured).await?;
        let session = header(&answer.head, "x-upto-session")
            .ok_or_else(|| format!("no session: {}", answer.head))?;
        self.header = format!("x-upto-session: {session}\r\n");
        Ok(())
    }

    fn request(&mut self, plan: &Plan) -> Vec<u8> {
        if plan.paying == Paying::Upto {
            return wire(&plan.body, &self.payment());
        }
        wire(&plan.body, &self.header)
    }

    /// An authorization of this connection's own account, with a nonce of its own. Its signature is none.
    fn payment(&mut self) -> String {
        self.payments = self.payments.saturating_add(1);
        // Accounts and nonces of this run's own: an earlier one has sessions and settlements.
        let run = self.run;
        let nonce =
            u128::from(run) << 64 | u128::from(self.number) << 32 | u128::from(self.payments);
        let deadline = Env::system().now().as_secs().saturating_add(300);
        let offer = &self.offer;
        let message = json!({
            "x402Version": 2,
            "accepted": offer,
            "payload": {
                "signature": format!("0x{}", "11".repeat(65)),
                "permit2Authorization": {
                    "from": format!("0x{run:016x}{:024x}", self.number),
                    "permitted": { "token": offer["asset"], "amount": offer["amount"] },
                    "spender": "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
                    "nonce": nonce.to_string(),
                    "deadline": deadline.to_string(),
                    "witness": {
                        "to": offer["payTo"],
                        "facilitator": offer.pointer("/extra/facilitatorAddress"),
                        "validAfter": "0",
                    },
                },
            },
        });
        let encoded = encode_header(message.to_string().as_bytes());
        format!("payment-signature: {encoded}\r\n")
    }

    /// Sends a request and reads its answer to the end.
    async fn exchange(&mut self, request: &[u8], seen: &mut Seen) -> Result<Answer, Failure> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut bytes = Vec::with_capacity(4096);
        let mut head = None;
        let mut last = None;
        loop {
            let before = bytes.len();
            if self.stream.read_buf(&mut bytes).await? == 0 {
                return Err("the connection was closed".into());
            }
            let fresh = bytes.get(before..).unwrap_or_default();
            let frames = count(fresh, b"data: ");
            if frames > 0 {
                let arrived = now();
                if let Some(last) = last.replace(arrived) {
                    seen.gaps
                        .push(micros(arrived.saturating_duration_since(last)));
                }
                seen.frames = seen.frames.saturating_add(frames);
            }
            if head.is_none() {
                head = find(&bytes, b"\r\n\r\n").map(|end| end.saturating_add(4));
            }
            let Some(end) = head else { continue };
            let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            let body = bytes.get(end..).unwrap_or_default();
            let complete = match header(&text, "content-length") {
                Some(length) => body.len() >= length.parse()?,
                None => body.ends_with(b"0\r\n\r\n"),
            };
            if complete {
                return Ok(Answer { head: text });
            }
        }
    }
}

fn wire(body: &str, more: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer load\r\nx-settlement-type: private\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    )
    .into_bytes()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn count(bytes: &[u8], what: &[u8]) -> u64 {
    let found = bytes.windows(what.len()).filter(|window| *window == what);
    u64::try_from(found.count()).unwrap_or(u64::MAX)
}

fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let rank = values.len().saturating_mul(percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn later(at: Instant, span: Duration) -> Instant {
    at.checked_add(span).unwrap_or(at)
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time is what this program measures"
)]
fn now() -> Instant {
    Instant::now()
}

fn connector(certificate: &str) -> Result<TlsConnector, Failure> {
    let digits = certificate.as_bytes().chunks(2);
    let bytes: Result<Vec<u8>, Failure> = digits
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pinned = Pinned {
        certificate: CertificateDer::from(bytes?),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts one certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificate == *end_entity {
            return Ok(ServerCertVerified::assertion());
        }
        let refusal = CertificateError::ApplicationVerificationFailure;
        Err(rustls::Error::InvalidCertificate(refusal))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
