//! A price on any axum handler (`docs/paywall.md`).
//!
//! ```text
//! FACILITATOR_URL=http://127.0.0.1:4021 PAY_TO=0x… ASSET=0x… NETWORK=eip155:84532 \
//!     cargo run -p seamline-net --features client,server --example paywall
//! ```
//!
//! Listens on loopback, on `PORT` or a free port, and prints the URL. `GET /fortune` costs exactly
//! 1,000 base units of the asset; `POST /count` costs 10 per word of the body and is paid with an
//! authorization of at most 10 per byte.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Bytes;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::request::Parts;
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::OfferTerms;
use seamline_net::{
    ClientOptions, Clock, FileStore, HttpFacilitator, PaymentContext, Paywall, PaywallConfig,
    Problem, Shape, http_client, serve,
};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

/// Where the money goes.
struct Till {
    network: String,
    asset: String,
    /// The token's EIP-712 domain, which its holders sign under.
    asset_name: String,
    asset_version: String,
    pay_to: String,
}

impl Till {
    /// An offer: `exact` over ERC-3009, or `upto` over Permit2.
    fn offer(&self, scheme: &str, method: &str, amount: u64) -> OfferTerms {
        let extra = [
            ("name", &self.asset_name),
            ("version", &self.asset_version),
            ("assetTransferMethod", &method.to_owned()),
        ];
        let extra = extra.map(|(name, value)| (name.to_owned(), Value::from(value.as_str())));
        OfferTerms {
            scheme: scheme.to_owned(),
            network: self.network.clone(),
            asset: self.asset.clone(),
            amount: amount.to_string(),
            pay_to: self.pay_to.clone(),
            max_timeout_seconds: 300,
            extra: Map::from_iter(extra),
        }
    }

    /// What a request costs. The same request must cost the same when its payment comes.
    fn price(&self, head: &Parts, body: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
        match head.uri.path() {
            // Two ways to pay the same; the payer takes one.
            "/fortune" => Ok(vec![
                self.offer("exact", "eip3009", 1_000),
                self.offer("exact", "permit2", 1_000),
            ]),
            _ => {
                let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
                let ceiling = bytes.max(1).saturating_mul(10);
                Ok(vec![self.offer("upto", "permit2", ceiling)])
            }
        }
    }
}

/// Knows nothing of payments: `exact` is paid whole where a handler answers.
async fn fortune() -> &'static str {
    "A receipt is worth more than a promise.\n"
}

/// Reports what it used: `upto` is paid as metered.
async fn count(Extension(payment): Extension<PaymentContext>, text: String) -> String {
    let words = text.split_whitespace().count();
    let due = u128::try_from(words).unwrap_or(0).saturating_mul(10);
    payment.meter.set(Amount::new(due));
    format!("{words} words, paid by {}\n", payment.payer)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings: HashMap<String, String> = std::env::vars().collect();
    let required = |name: &str| {
        let value = settings.get(name).cloned();
        value.ok_or_else(|| format!("set {name} in the environment"))
    };
    let optional = |name: &str, default: &str| {
        let value = settings.get(name).cloned();
        value.unwrap_or_else(|| default.to_owned())
    };
    let till = Till {
        network: required("NETWORK")?,
        asset: required("ASSET")?,
        asset_name: optional("ASSET_NAME", "USDC"),
        asset_version: optional("ASSET_VERSION", "2"),
        pay_to: required("PAY_TO")?,
    };
    let client = http_client(ClientOptions::default())?;
    let facilitator = HttpFacilitator::new(client, required("FACILITATOR_URL")?);

    let port: u16 = optional("PORT", "0").parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut config = PaywallConfig::new(url.clone(), clock());
    config.description = "Fortunes and counts".to_owned();
    config.mime_type = "text/plain".to_owned();
    config.problems = Shape::Rfc9457;
    if let Some(path) = settings.get("STORE") {
        config.store = Arc::new(FileStore::open(path).await?);
    }
    let price = move |head: &Parts, body: &Bytes| till.price(head, body);
    let paywall = Paywall::new(config, Arc::new(facilitator), price);
    let debts = paywall.recover().await?;

    let router = Router::new()
        .route("/", get(|| async { "free\n" }))
        .route("/fortune", paywall.protect(get(fortune)))
        .route("/count", paywall.protect(post(count)));
    #[expect(clippy::print_stdout, reason = "an example shows what it does")]
    {
        println!("{url} ({debts} debts of an earlier run)");
    }
    serve(listener, router, async {
        // A terminal that cannot be listened to ends nothing.
        if tokio::signal::ctrl_c().await.is_err() {
            core::future::pending::<()>().await;
        }
    })
    .await?;
    // Answers that left are settled before the process ends; what is not is in the store.
    paywall.tasks().drain(Duration::from_secs(15)).await;
    Ok(())
}

fn clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "a binary reads the clock")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_secs(since.as_secs())
    })
}
