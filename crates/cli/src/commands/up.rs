//! `seamline up`: the local network, until Ctrl-C.

mod opengradient;

use std::path::PathBuf;

use seamline_evm::Wallet;
use serde_json::{Value, json};

use crate::args;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::write_private;
use crate::keys;
use crate::network_file::NetworkFile;
use crate::output;
use crate::session::{fund, local_trust, localnet_failure, recorder, running, start_localnet};
use crate::stop::Stop;

pub(crate) fn run(context: &Context, args: &args::Up) -> Result<Exit, Failure> {
    if args.opengradient {
        return opengradient::run(context, args);
    }
    block_on(async {
        let home = context.home()?.ready()?;
        // Whoever asks while the network starts waits, then finds it.
        let lock = home.lock()?;
        if let Some(network) = running(&home).await {
            return Err(Failure::usage(
                "network.running",
                format!("a network runs in this home already: {}", network.rpc_url),
            )
            .hint("use it as it is, stop it first, or name another --home"));
        }
        let localnet = start_localnet(&home, args.rpc_port, args.models.as_deref()).await?;
        let network = NetworkFile::of(&localnet);
        let developer = localnet.developer();
        localnet
            .fund(developer)
            .await
            .map_err(|err| localnet_failure(&err))?;
        let key = keys::look(context, network.chain_id)?;
        fund(&localnet, &key).await?;
        local_trust(context, &recorder(&home)?, &network, Some(&localnet))?;
        let stop = Stop::listen()?;
        let announced = Announced::write(home.running(), &network)?;
        drop(lock);
        let trust = context.trust_path()?;
        if args.output.json {
            output::json(&view(&network, developer, &trust.display().to_string()))?;
        } else {
            output::data(&text(&network, developer, &trust.display().to_string()))?;
        }
        output::message("Ctrl-C stops the network; its chain and keys stay in the home");
        stop.asked().await;
        // A call that uses the network ends first, and the next command finds either all of it or none.
        let _lock = home.lock();
        drop(announced);
        localnet.stop().await;
        Ok(Exit::Ok)
    })
}

/// The file that tells other commands of this home where the network is; removed at the end.
struct Announced(PathBuf);

impl Announced {
    fn write(path: PathBuf, network: &NetworkFile) -> Result<Self, Failure> {
        write_private(&path, network.to_json().to_string().as_bytes()).map_err(|err| {
            Failure::new(
                Exit::Usage,
                "home.unusable",
                format!("cannot write `{}`: {err}", path.display()),
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Without it a later command asks a chain that does not answer, and starts its own.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The first line of `--json`: everything that a program needs to use the network.
fn view(network: &NetworkFile, developer: &Wallet, trust: &str) -> Value {
    let mut view = network.to_json();
    if let Some(fields) = view.as_object_mut() {
        fields.insert("permit2".to_owned(), json!(seamline_evm::bindings::PERMIT2));
        fields.insert(
            "upto_proxy".to_owned(),
            json!(seamline_evm::bindings::UPTO_PROXY),
        );
        fields.insert(
            "verifier".to_owned(),
            json!(seamline_evm::bindings::ATTESTATION_VERIFIER),
        );
        fields.insert("funded_address".to_owned(), json!(developer.address()));
        // Play money of a network that lives on this machine.
        fields.insert(
            "funded_key".to_owned(),
            json!(hex::encode_prefixed(*developer.to_bytes())),
        );
        fields.insert("trust_file".to_owned(), json!(trust));
    }
    view
}

fn text(network: &NetworkFile, developer: &Wallet, trust: &str) -> String {
    let mut lines = vec![
        "DEV network: software attestation, no hardware behind any of this".to_owned(),
        format!(
            "chain        {} (eip155:{})",
            network.chain_id, network.chain_id
        ),
        format!("rpc          {}", network.rpc_url),
        format!(
            "facilitator  {} ({})",
            network.facilitator_url, network.facilitator
        ),
        format!("registry     {}", network.registry),
        format!("token        {} ({})", network.token, network.token_symbol),
        format!(
            "funded key   address {}; --json prints the key",
            developer.address()
        ),
        format!("trust file   {trust}"),
    ];
    for node in &network.nodes {
        let short: String = node.id.chars().skip(2).take(8).collect();
        lines.push(format!(
            "node         {short} {:<6} {}",
            node.name, node.endpoint
        ));
    }
    lines.push("try          seamline chat \"What is a receipt?\"".to_owned());
    lines.push(format!(
        "             curl -s {} -H 'content-type: application/json' -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_blockNumber\",\"params\":[]}}'",
        network.rpc_url
    ));
    lines.join("\n") + "\n"
}
