//! What the commands about data settlement have in common: the network, the contract, the blobs.

use std::path::Path;
use std::sync::Arc;

use seamline_core::{Address, B256, chain};
use seamline_evm::Rpc;
use seamline_evm::chain::FINALITY_DEPTH;
use seamline_evm::settlement::{self, FoundRoot, Tree};
use seamline_net::HttpClient;

use crate::args::SettlementNetwork;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::network_file::NetworkFile;
use crate::service::{check_url, rpc, web_client};
use crate::session::running;

/// Where records are, and who keeps the trees.
pub(crate) struct Place {
    pub(crate) rpc: Arc<dyn Rpc>,
    pub(crate) chain_id: u64,
    pub(crate) contract: Address,
    pub(crate) registry: Option<Address>,
    /// Blocks after which nothing leaves the chain.
    pub(crate) finality_depth: u64,
    facilitator: Option<String>,
    client: HttpClient,
}

/// Longest tree that is read: thousands of leaves.
const MAX_TREE: u64 = 64 * 1024 * 1024;
/// Blocks of one question: what public endpoints allow.
const SPAN: u64 = 1_000;

impl Place {
    /// The named place, the network file's, or that of the local network that runs in this home.
    pub(crate) async fn find(context: &Context, args: &SettlementNetwork) -> Result<Self, Failure> {
        let network = match &context.network {
            Some(path) => Some(NetworkFile::read(path)?),
            None => running(&context.home()?).await,
        };
        let url = args.rpc.clone();
        let url = url.or_else(|| network.as_ref().map(|it| it.rpc_url.clone()));
        let contract = args.contract;
        let contract = contract.or_else(|| network.as_ref().and_then(|it| it.settlement));
        let (Some(url), Some(contract)) = (url, contract) else {
            return Err(Failure::usage(
                "settlement.network",
                "it is not said on which chain and by which contract answers are recorded",
            )
            .hint("run `seamline up` in this home, or name --network FILE, or --rpc URL and --contract ADDRESS"));
        };
        let facilitator = args.facilitator.clone();
        let facilitator =
            facilitator.or_else(|| network.as_ref().map(|it| it.facilitator_url.clone()));
        if let Some(url) = &facilitator {
            check_url("facilitator", url)?;
        }
        // Another endpoint is another chain, as far as is known here.
        let depth = network.as_ref().filter(|_| args.rpc.is_none());
        let depth = depth.and_then(|it| it.finality_depth);
        let rpc: Arc<dyn Rpc> = rpc(&url)?;
        let (chain_id, _) = seamline_evm::chain::head(rpc.as_ref())
            .await
            .map_err(|err| unreachable(&err))?;
        Ok(Self {
            rpc,
            chain_id,
            contract,
            finality_depth: depth.unwrap_or(FINALITY_DEPTH),
            registry: args.registry.or_else(|| network.map(|it| it.registry)),
            facilitator: facilitator.map(|url| url.trim_end_matches('/').to_owned()),
            client: web_client(MAX_TREE)?,
        })
    }

    /// The batches on record, oldest first, of one root where it is given.
    pub(crate) async fn batches(
        &self,
        root: Option<B256>,
        from_block: u64,
    ) -> Result<Vec<FoundRoot>, Failure> {
        let rpc = self.rpc.as_ref();
        let newest = seamline_evm::chain::newest_block(rpc).await;
        let newest = newest.map_err(|err| unreachable(&err))?.number;
        let mut found = Vec::new();
        let mut first = from_block;
        while first <= newest {
            let last = first.saturating_add(SPAN.saturating_sub(1)).min(newest);
            let batches = settlement::batches(rpc, self.contract, root, first, last).await;
            found.extend(batches.map_err(|err| unreachable(&err))?);
            first = last.saturating_add(1);
        }
        Ok(found)
    }

    /// Asks the facilitator for `path`; `None` where it has nothing there, with what it says.
    pub(crate) async fn ask(&self, path: &str) -> Result<Result<Vec<u8>, String>, Failure> {
        let Some(facilitator) = &self.facilitator else {
            return Err(Failure::usage(
                "settlement.facilitator",
                "it is not said which facilitator keeps the trees",
            )
            .hint("name --facilitator URL, or --blobs DIRECTORY"));
        };
        let failed = |text: String| {
            Failure::new(Exit::Unknown, "settlement.unreachable", text)
                .hint("does the facilitator run? Its trees may also be read with --blobs DIRECTORY")
        };
        let response = self.client.get(&format!("{facilitator}{path}")).await;
        let response = response
            .map_err(|err| failed(format!("the facilitator does not answer: {}", chain(&err))))?;
        let status = response.status();
        let body = response.into_body().bytes().await;
        let body = body.map_err(|err| failed(format!("the answer was cut: {}", chain(&err))))?;
        if status.is_success() {
            return Ok(Ok(body.to_vec()));
        }
        let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let said = said.and_then(|it| it.get("error")?.as_str().map(ToOwned::to_owned));
        if matches!(status.as_u16(), 404 | 409) {
            let said = said.unwrap_or_else(|| "it has no such answer".to_owned());
            return Ok(Err(said.chars().take(200).collect()));
        }
        Err(failed(format!("the facilitator answered status {status}")))
    }

    /// The tree of a batch, computed again; `None` where nobody has its blob.
    pub(crate) async fn tree(
        &self,
        batch: &FoundRoot,
        blobs: Option<&Path>,
    ) -> Result<Option<Tree>, Failure> {
        let bytes = match blobs {
            Some(directory) => {
                let name = batch.blob_text();
                // What a chain says becomes no path.
                let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
                if name.is_empty() || !name.chars().all(plain) {
                    return Ok(None);
                }
                std::fs::read(directory.join(format!("{name}.json"))).ok()
            }
            None => {
                let path = format!("/settlement/batches/{}", batch.root);
                self.ask(&path).await?.ok()
            }
        };
        let tree = bytes.and_then(|bytes| Tree::parse(&bytes).ok());
        Ok(tree.filter(|tree| tree.root() == batch.root))
    }
}

pub(crate) fn unreachable(err: &seamline_evm::Error) -> Failure {
    let text = format!("the chain cannot be asked: {}", chain(err));
    Failure::new(Exit::Unknown, "chain.unreachable", text)
        .hint("does the endpoint answer, and does it give logs of old blocks? Try --from-block")
}
