//! Our side of `bench/opengradient/run`: one client process that makes calls when it is told to.
//!
//! `opengradient VIEW HOME [channel]`: VIEW is the line that `seamline up --opengradient --json` printed, HOME an
//! empty folder for the books. Prints `ready`, then reads lines `plain N` and `stream N`, makes N calls one after
//! the other, and prints what they took as one line of JSON. With `channel`, calls are paid for with vouchers of
//! a payment channel; without, each with an authorization of its own.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use seamline::{Chat, Client, Config, Env, Home, Network, Options, Step, Watch};
use seamline_core::receipt::SealingKey;
use seamline_core::{Address, Amount};
use seamline_evm::Wallet;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_evm::settlement::SettlementType;
use seamline_net::HttpRpc;
use seamline_verify::{Trust, TrustFile};
use serde::Deserialize;

type Failure = Box<dyn Error>;

/// The longest answer that the SDK's driver asks for too.
const MAX_TOKENS: u32 = 100;
/// Longest life of an authorization, seconds: what OpenGradient's gateways ask for.
const MAX_LIFETIME_S: u64 = 300;
/// A call may cost a token; a run may cost ninety.
const PER_CALL: Amount = Amount::new(10_u128.pow(18));
const PER_RUN: Amount = Amount::new(90 * 10_u128.pow(18));

/// What is needed of the view.
#[derive(Deserialize)]
struct View {
    chain_id: u64,
    network: String,
    rpc_url: String,
    facilitator: Address,
    registry: Address,
    token: Address,
    token_symbol: String,
    token_decimals: u8,
    trust_file: String,
    funded_key: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (view, home, channels) = match arguments.as_slice() {
        [view, home] => (view, home, 0),
        [view, home, how] if how == "channel" => (view, home, 1),
        _ => return Err("usage: opengradient VIEW HOME [channel]".into()),
    };
    let client = open(&serde_json::from_str(view)?, Path::new(home), channels)?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (kind, count) = line.split_once(' ').ok_or("plain N or stream N")?;
        let said = calls(&client, kind == "stream", count.parse()?).await?;
        writeln!(out, "{said}")?;
        out.flush()?;
    }
    Ok(())
}

/// Notes when the first text arrived.
#[derive(Default)]
struct FirstText(Option<Instant>);

impl Watch for FirstText {
    fn text(&mut self, _piece: &str, _proven: bool) {
        self.0.get_or_insert_with(now);
    }

    fn step(&mut self, _step: Step, _detail: &str) {}
}

async fn calls(client: &Client, stream: bool, count: usize) -> Result<serde_json::Value, Failure> {
    let (mut latency_us, mut first_us) = (Vec::new(), Vec::new());
    let mut answer = String::new();
    for _ in 0..count {
        let chat = Chat::model("gpt-5")
            .user("What is a receipt?")
            .max_tokens(MAX_TOKENS)
            .stream(stream);
        let mut watch = FirstText::default();
        let asked = now();
        let reply = client.chat_watched(&chat, &mut watch).await?;
        latency_us.push(micros(asked.elapsed())?);
        if let Some(first) = watch.0 {
            first_us.push(micros(first.saturating_duration_since(asked))?);
        }
        answer = reply.text;
    }
    Ok(serde_json::json!({ "latency_us": latency_us, "first_us": first_us, "answer": answer }))
}

fn micros(span: std::time::Duration) -> Result<u64, Failure> {
    Ok(u64::try_from(span.as_micros())?)
}

fn open(view: &View, home: &Path, channels: u32) -> Result<Client, Failure> {
    let file: TrustFile = toml::from_str(&std::fs::read_to_string(&view.trust_file)?)?;
    let recorder = SealingKey::from_seed(&[0x52; 32]);
    let mut trust = Trust::try_from(&file)?;
    trust.recorders = vec![recorder.public_key()];
    let mut schemes = vec![Scheme::Upto];
    if channels > 0 {
        schemes.push(Scheme::BatchSettlement);
    }
    let mut options = Options::default();
    options.channels_per_node = channels;
    // The SDK's default. What a channel pays is never put on record: no facilitator settles the call.
    options.settlement = match channels {
        0 => SettlementType::Batch,
        _ => SettlementType::Private,
    };
    let receipts = home.join("receipts");
    std::fs::create_dir_all(&receipts)?;
    Ok(Client::open(Config {
        signer: Arc::new(Wallet::from_hex(&view.funded_key)?),
        recorder,
        trust,
        budget: SpendPolicy {
            per_call: PER_CALL,
            per_hour: None,
            per_day: PER_RUN,
            per_node_day: None,
            per_model_day: None,
            per_channel: None,
            schemes,
            networks: vec![view.network.clone()],
            assets: vec![view.token],
            facilitators: Some(vec![view.facilitator]),
            max_lifetime_s: MAX_LIFETIME_S,
        },
        network: Network {
            rpc: Arc::new(HttpRpc::loopback(view.rpc_url.as_str())?),
            chain_id: view.chain_id,
            registry: view.registry,
            asset: view.token,
            decimals: view.token_decimals,
            symbol: view.token_symbol.clone(),
        },
        home: Home {
            journal: home.join("journal.redb"),
            receipts,
        },
        env: Env::system(),
        options,
    })?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time is what this program measures"
)]
fn now() -> Instant {
    Instant::now()
}
