//! A facilitator made of x402-rs's crates, for the comparison: one EVM chain, `exact` and `upto`.
//!
//! Its configuration is the first line of standard input, its readiness one line of JSON on standard
//! output, and it ends when standard input does.

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead as _;
use std::sync::Arc;

use serde_json::{Value, json};
use x402_chain_eip155::chain::config::Eip155ChainConfig;
use x402_chain_eip155::chain::{Eip155ChainProvider, Eip155ChainReference};
use x402_chain_eip155::{V2Eip155Exact, V2Eip155Upto};
use x402_facilitator_local::{FacilitatorLocal, handlers};
use x402_types::chain::{ChainId, ChainProviderOps, ChainRegistry, FromConfig as _};
use x402_types::scheme::{
    SchemeBlueprints, SchemeConfig, SchemeRegistry, X402SchemeFacilitator,
    X402SchemeFacilitatorBuilder,
};

/// The registry builds schemes from references to chains; the schemes want to own theirs.
struct Chain(Arc<Eip155ChainProvider>);

impl ChainProviderOps for Chain {
    fn signer_addresses(&self) -> Vec<String> {
        self.0.signer_addresses()
    }

    fn chain_id(&self) -> ChainId {
        self.0.chain_id()
    }
}

type Built = Result<Box<dyn X402SchemeFacilitator>, Box<dyn Error>>;

impl X402SchemeFacilitatorBuilder<&Chain> for V2Eip155Exact {
    fn build(&self, chain: &Chain, config: Option<Value>) -> Built {
        self.build(Arc::clone(&chain.0), config)
    }
}

impl X402SchemeFacilitatorBuilder<&Chain> for V2Eip155Upto {
    fn build(&self, chain: &Chain, config: Option<Value>) -> Built {
        self.build(Arc::clone(&chain.0), config)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let config: Value = serde_json::from_str(&line)?;
    let chain_id = config["chainId"].as_u64().ok_or("no chainId")?;
    let chain = Eip155ChainConfig {
        chain_reference: Eip155ChainReference::new(chain_id),
        inner: serde_json::from_value(json!({
            "signers": [config["privateKey"]],
            "rpc": [{ "http": config["rpcUrl"] }],
        }))?,
    };
    let chain = Chain(Arc::new(Eip155ChainProvider::from_config(&chain).await?));
    let chains = ChainRegistry::new(HashMap::from([(chain.chain_id(), chain)]));
    let blueprints = SchemeBlueprints::new()
        .and_register(V2Eip155Exact)
        .and_register(V2Eip155Upto);
    let schemes: Vec<SchemeConfig> = serde_json::from_value(json!([
        { "id": "v2-eip155-exact", "chains": "eip155:*" },
        { "id": "v2-eip155-upto", "chains": "eip155:*" },
    ]))?;
    let facilitator = FacilitatorLocal::new(SchemeRegistry::build(chains, blueprints, &schemes));
    let app = axum::Router::new().merge(handlers::routes().with_state(Arc::new(facilitator)));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", json!({ "url": format!("http://{}", listener.local_addr()?) }));
    std::thread::spawn(|| {
        for _ in std::io::stdin().lock().lines() {}
        std::process::exit(0);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
