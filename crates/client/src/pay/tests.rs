mod budget;
mod channels;
mod hostile;
mod lost;
mod plain;
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the helpers of a test fail the test"
)]
mod seller;
mod streamed;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seamline_core::receipt::SealingKey;
use seamline_core::{Address, Amount, Timestamp};
use seamline_evm::Rpc;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::encode_header;
use serde_json::{Value, json};

use super::*;
use crate::config::Home;
use crate::env::Env;
use crate::fixtures::ledger::Ledger;
use crate::fixtures::server::{Reply, Request, Server};
use crate::fixtures::{NOW, SELLER, TOKEN, policy, wallet};

const PRICE: u128 = 100;

/// A payer on a chain of its own, with a clock that a test sets.
struct Desk {
    payer: Payer,
    ledger: Arc<Ledger>,
    clock: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

fn budget(per_day: u128) -> SpendPolicy {
    SpendPolicy {
        schemes: vec![Scheme::Exact, Scheme::Upto],
        ..policy(per_day)
    }
}

fn recorder() -> SealingKey {
    SealingKey::from_seed(&[0x52; 32])
}

fn open(folder: &Path, ledger: &Arc<Ledger>, budget: SpendPolicy, options: PayOptions) -> Payer {
    let clock = Arc::clone(&ledger.clock);
    let count = AtomicU64::new(0);
    let rpc: Arc<dyn Rpc> = Arc::<Ledger>::clone(ledger);
    let config = PayerConfig {
        signer: Arc::new(wallet()),
        recorder: recorder(),
        budget,
        chains: vec![Chain { chain_id: 1, rpc }],
        home: Home {
            journal: folder.join("journal.redb"),
            receipts: folder.to_owned(),
        },
        env: Env::new(
            move || Timestamp::from_secs(clock.load(Ordering::SeqCst)),
            move |bytes| {
                let count = count.fetch_add(1, Ordering::SeqCst).to_be_bytes();
                for (byte, fill) in bytes.iter_mut().zip(count.iter().cycle()) {
                    *byte = *fill;
                }
                Ok(())
            },
        ),
        options,
    };
    Payer::open(config).unwrap()
}

fn desk_with(budget: SpendPolicy, options: PayOptions) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW.as_secs()));
    let ledger = Ledger::new(Arc::clone(&clock));
    Desk {
        payer: open(folder.path(), &ledger, budget, options),
        ledger,
        clock,
        folder,
    }
}

fn desk() -> Desk {
    let options = PayOptions {
        settle_wait: Duration::from_millis(200),
        ..PayOptions::default()
    };
    desk_with(budget(100_000), options)
}

/// An offer of `exact` over ERC-3009.
fn offer(amount: u128, pay_to: Address) -> Value {
    json!({
        "scheme": "exact",
        "network": "eip155:1",
        "asset": TOKEN.to_string(),
        "amount": amount.to_string(),
        "payTo": pay_to.to_string(),
        "maxTimeoutSeconds": 60,
        "extra": { "name": "Token", "version": "1" },
    })
}

/// A 402 of version 2.
fn asks(request: &Request, offers: &[Value], extensions: &Value) -> Reply {
    let host = request.header("host").unwrap();
    let required = json!({
        "x402Version": 2,
        "error": "Payment required",
        "resource": { "url": format!("http://{host}{}", request.path) },
        "accepts": offers,
        "extensions": extensions,
    });
    let header = encode_header(required.to_string().as_bytes());
    Reply::Http(402, vec![("payment-required", header)], b"{}".to_vec())
}

fn asks_price(request: &Request) -> Reply {
    asks(request, &[offer(PRICE, SELLER)], &json!({}))
}

/// Settles what a request promises, if it can be, and says so.
fn settles(ledger: &Ledger, request: &Request) -> Option<(&'static str, String)> {
    let payload = request.payload()?;
    let promised = seamline_evm::scheme::Authorization::of(&payload).unwrap();
    let amount = u128::try_from(promised.amount()).unwrap();
    let transaction = ledger.settle(&payload, amount)?;
    let reply = json!({
        "success": true,
        "transaction": transaction.to_string(),
        "network": "eip155:1",
        "payer": promised.payer().to_string(),
    });
    Some((
        "payment-response",
        encode_header(reply.to_string().as_bytes()),
    ))
}

/// An honest server: asks, settles, serves.
async fn shop(ledger: &Arc<Ledger>) -> Server {
    let ledger = Arc::clone(ledger);
    Server::start(move |request| match settles(&ledger, request) {
        Some(header) => Reply::Http(200, vec![header], b"goods".to_vec()),
        None => asks_price(request),
    })
    .await
}

impl Desk {
    async fn buy(&self, url: &str) -> Result<Purchased, Error> {
        self.payer.fetch(&Purchase::get(url)).await
    }

    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_purchase_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let desk = desk();
    let purchase = Purchase::get("http://127.0.0.1/");
    is_send(&desk.payer.fetch(&purchase));
}
