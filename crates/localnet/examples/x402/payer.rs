//! A payer: buys each URL that standard input names.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use seamline::pay::{Chain, PayOptions, Payees, Payer, PayerConfig, Purchase, Purchased};
use seamline::{Env, Home};
use seamline_core::Amount;
use seamline_core::receipt::SealingKey;
use seamline_evm::Wallet;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_net::{HttpRpc, TlsTrust};
use serde_json::{Value, json};

use crate::{Failure, Input, parsed, read, text, write};

/// How long it looks for a settlement after the answer: blocks are instant here.
const SETTLE_WAIT: Duration = Duration::from_millis(500);

pub(crate) async fn run(config: &Value, mut input: Input) -> Result<(), Failure> {
    let wallet = Wallet::from_hex(&text(config, "/privateKey")?)?;
    let chain_id = config.pointer("/chainId").and_then(Value::as_u64);
    let chain_id = chain_id.ok_or("no chain id")?;
    let home = std::path::PathBuf::from(text(config, "/home")?);
    let receipts = home.join("receipts");
    std::fs::create_dir_all(&receipts)?;
    let mut options = PayOptions::default();
    options.payees = Payees::Listed(parsed(config, "/payees")?);
    options.tls = TlsTrust::Loopback;
    options.settle_wait = SETTLE_WAIT;
    let channels = config.pointer("/channels").and_then(Value::as_u64);
    options.channels_per_seller = channels.unwrap_or(0).try_into()?;
    let payer = Payer::open(PayerConfig {
        signer: Arc::new(wallet),
        recorder: SealingKey::from_seed(&[7; 32]),
        budget: SpendPolicy {
            per_call: Amount::new(10_000),
            per_hour: None,
            per_day: Amount::new(10_000_000),
            per_node_day: None,
            per_model_day: None,
            per_channel: None,
            schemes: vec![Scheme::Exact, Scheme::Upto, Scheme::BatchSettlement],
            networks: vec![format!("eip155:{chain_id}")],
            assets: parsed(config, "/assets")?,
            facilitators: None,
            max_lifetime_s: 300,
        },
        chains: vec![Chain {
            chain_id,
            rpc: Arc::new(HttpRpc::loopback(text(config, "/rpcUrl")?)?),
        }],
        home: Home {
            journal: home.join("journal"),
            receipts,
        },
        env: Env::system(),
        options,
    })?;
    write(&json!({})).await?;
    while let Some(command) = read(&mut input).await? {
        let url = text(&command, "/url")?;
        let answer = match payer.fetch(&Purchase::get(url)).await {
            Ok(purchased) => bought(&purchased),
            Err(error) => refused(&error),
        };
        write(&answer).await?;
    }
    Ok(())
}

/// What it says of the payment is what it knows: of a settlement, what it saw on the chain.
fn bought(purchased: &Purchased) -> Value {
    let header = purchased.answer.headers.get("payment-response");
    json!({
        "status": purchased.answer.status,
        "body": String::from_utf8_lossy(&purchased.answer.body),
        "state": purchased.payment_state,
        "transaction": purchased.transaction.map(|hash| hash.to_string()),
        "amount": purchased.settled.map(|amount| amount.to_string()),
        "header": header.and_then(|value| value.to_str().ok()),
    })
}

fn refused(error: &seamline::pay::Error) -> Value {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    json!({ "status": 0, "error": chain, "charged": format!("{:?}", error.charged()) })
}
