//! `seamline up --opengradient`: the network that OpenGradient's SDK expects, on this machine, until Ctrl-C.

use std::path::Path;
use std::sync::Arc;

use seamline_core::Amount;
use seamline_evm::Wallet;
use seamline_localnet::{Config, Layout, Localnet, NodeSpec, three_stand_ins};
use seamline_net::SessionRules;
use serde_json::{Value, json};

use super::{Announced, view};
use crate::args;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::keys;
use crate::models;
use crate::network_file::NetworkFile;
use crate::output;
use crate::session::{local_trust, localnet_failure, now, recorder, start};
use crate::settings::Settings;
use crate::stop::Stop;

/// The SDK reads where Base's endpoint is from this variable when it is imported.
const BASE_RPC: &str = "BASE_MAINNET_RPC";
/// Ours: the three lines below read it.
const KEY: &str = "OG_PRIVATE_KEY";

/// What OpenGradient's gateways ask payers to authorize for a session: a tenth of the token.
const SESSION_CAP: Amount = Amount::new(10_u128.pow(17));

pub(super) fn run(context: &Context, args: &args::Up) -> Result<Exit, Failure> {
    let home = context.home()?.ready()?;
    keys::only_throwaway(&home, &Settings::read(&home)?)?;
    block_on(async {
        let lock = home.lock()?;
        let models = models::open(&home, args.models.as_deref())?;
        let mut config = config(&home, args);
        config.models = models.as_ref().map(|models| Arc::clone(&models.runner));
        let localnet = start(config).await?;
        if let Some(models) = &models {
            models.keep_up();
        }
        let payer = localnet.developer();
        // The SDK's applications approve Permit2 themselves.
        localnet
            .give(payer.address())
            .await
            .map_err(|err| localnet_failure(&err))?;
        let network = NetworkFile::of(&localnet);
        local_trust(context, &recorder(&home)?, &network, Some(&localnet))?;
        let stop = Stop::listen()?;
        let path = home.opengradient().join("network.json");
        let announced = Announced::write(path.clone(), &network)?;
        drop(lock);
        if args.output.json {
            let trust = context.trust_path()?;
            output::json(&json_view(&network, &localnet, &path, &trust))?;
        } else {
            output::data(&text(&network, payer, &path))?;
        }
        output::message("Ctrl-C stops the network; its chain and keys stay in the home");
        stop.asked().await;
        let _lock = home.lock();
        drop(announced);
        localnet.stop().await;
        Ok(Exit::Ok)
    })
}

fn config(home: &Home, args: &args::Up) -> Config {
    let mut config = Config::in_memory(Arc::new(now));
    config.home = Some(home.opengradient());
    config.layout = Layout::OPENGRADIENT;
    config.nodes = three_stand_ins();
    if args.sessions {
        for node in &mut config.nodes {
            node.sessions = Some(SessionRules::new(SESSION_CAP));
        }
    }
    if args.dead_node {
        let mut dead = NodeSpec::new("dead", Amount::new(1), Amount::new(1));
        dead.dead = true;
        config.nodes.push(dead);
    }
    config.rpc_port = args.rpc_port;
    config
}

/// The first line of `--json`: as `seamline up`, and what an application of the SDK is given.
fn json_view(network: &NetworkFile, localnet: &Localnet, path: &Path, trust: &Path) -> Value {
    let payer = localnet.developer();
    let mut view = view(network, payer, &trust.display().to_string());
    if let Some(fields) = view.as_object_mut() {
        let secret = |wallet: &Wallet| json!(hex::encode_prefixed(*wallet.to_bytes()));
        fields.insert("network_file".to_owned(), json!(path));
        fields.insert("empty_key".to_owned(), secret(localnet.empty()));
        let environment = json!({ BASE_RPC: network.rpc_url, KEY: secret(payer) });
        fields.insert("environment".to_owned(), environment);
        fields.insert("python".to_owned(), json!(PYTHON));
    }
    view
}

const PYTHON: [&str; 3] = [
    "import asyncio, os, opengradient as og",
    "llm = og.LLM(os.environ[\"OG_PRIVATE_KEY\"], rpc_url=os.environ[\"BASE_MAINNET_RPC\"]); llm.ensure_opg_approval(1)",
    "print(asyncio.run(llm.chat(og.TEE_LLM.GPT_5, [{\"role\": \"user\", \"content\": \"What is a receipt?\"}])).chat_output)",
];

fn text(network: &NetworkFile, payer: &Wallet, path: &Path) -> String {
    let mut lines = vec![
        "DEV network: software attestation and a stand-in for the models, no hardware behind any of this".to_owned(),
        format!("chain        {}, as Base's; it plays OpenGradient's chain too", network.chain_id),
        format!("rpc          {}", network.rpc_url),
        format!("facilitator  {} ({})", network.facilitator_url, network.facilitator),
        format!("registry     {}", network.registry),
        format!("token        {} ({})", network.token, network.token_symbol),
        format!("network file {}", path.display()),
    ];
    for node in &network.nodes {
        let short: String = node.id.chars().skip(2).take(8).collect();
        lines.push(format!(
            "node         {short} {:<6} {}",
            node.name, node.endpoint
        ));
    }
    lines.push(String::new());
    lines.push(
        "Chain id and addresses are a real network's: an authorization signed here is valid there. So this network knows the throwaway key below and refuses every other, yours too."
            .to_owned(),
    );
    lines.push(String::new());
    lines.push(format!("export {BASE_RPC}={}", network.rpc_url));
    lines.push(format!(
        "export {KEY}={}",
        hex::encode_prefixed(*payer.to_bytes())
    ));
    lines.push(String::new());
    lines.extend(PYTHON.map(str::to_owned));
    lines.join("\n") + "\n"
}
