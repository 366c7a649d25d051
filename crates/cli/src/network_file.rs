//! The network file: what a client must know to call a network. `seamline up --json` prints one.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use seamline_core::{Address, B256};
use seamline_localnet::Localnet;
use seamline_localnet::contracts::{DECIMALS, SYMBOL};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Version of the file's format.
const VERSION: u32 = 1;

/// A network, as a client sees it. Holds nothing secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NetworkFile {
    pub(crate) version: u32,
    /// EIP-155 chain id.
    pub(crate) chain_id: u64,
    /// CAIP-2 id of the chain.
    pub(crate) network: String,
    pub(crate) rpc_url: String,
    pub(crate) facilitator_url: String,
    /// The account that settles.
    pub(crate) facilitator: Address,
    pub(crate) registry: Address,
    pub(crate) token: Address,
    pub(crate) token_symbol: String,
    pub(crate) token_decimals: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settlement: Option<Address>,
    /// Blocks that must hold what is not to leave the chain again; 12 where it is not said. A local network makes no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finality_depth: Option<u64>,
    /// `dev` where evidence is software's.
    pub(crate) evidence: String,
    #[serde(default)]
    pub(crate) nodes: Vec<NodeEntry>,
}

/// A node, for people; clients read the registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeEntry {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) pay_to: Address,
    pub(crate) measurement: B256,
}

impl NetworkFile {
    /// Describes a running local network.
    pub(crate) fn of(localnet: &Localnet) -> Self {
        let chain_id = localnet.chain().chain_id();
        let entry = |node: seamline_localnet::NodeInfo| NodeEntry {
            name: node.name,
            id: node.node.to_string(),
            endpoint: node.endpoint,
            pay_to: node.pay_to,
            measurement: node.measurement,
        };
        Self {
            version: VERSION,
            chain_id,
            network: format!("eip155:{chain_id}"),
            rpc_url: localnet.rpc_url().to_owned(),
            facilitator_url: localnet.facilitator_url().to_owned(),
            facilitator: localnet.facilitator(),
            registry: localnet.layout().registry,
            token: localnet.layout().token,
            token_symbol: SYMBOL.to_owned(),
            token_decimals: DECIMALS,
            settlement: Some(localnet.layout().settlement),
            finality_depth: Some(1),
            evidence: "dev".to_owned(),
            nodes: localnet.nodes().into_iter().map(entry).collect(),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read(path).map_err(|err| {
            Failure::usage(
                "network.unreadable",
                format!("cannot read the network file `{}`: {err}", path.display()),
            )
            .hint("name the JSON that `seamline up --json` printed")
        })?;
        Self::parse(&text).ok_or_else(|| {
            Failure::usage(
                "network.malformed",
                format!("`{}` is not a network file", path.display()),
            )
            .hint("name the JSON that `seamline up --json` printed")
        })
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text)
            .ok()
            .filter(|file: &Self| file.version == VERSION)
    }

    /// The token that calls are paid with, as people call it.
    pub(crate) fn named_token(&self) -> seamline_verify::Token {
        seamline_verify::Token {
            asset: self.token,
            symbol: self.token_symbol.clone(),
            decimals: self.token_decimals,
        }
    }

    /// Whether this is a local network under the chain id of a real one: what is signed for it would be valid
    /// there, so no key but its own may sign.
    pub(crate) fn is_rehearsal(&self) -> bool {
        self.evidence == "dev" && !seamline_evm::x402::is_test_network(&self.network)
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Connects to the chain's endpoint. What it says is believed, so it must be on this machine: nothing
    /// protects plain HTTP on the way to another.
    pub(crate) fn rpc(&self) -> Result<seamline_net::HttpRpc, Failure> {
        let refused = |why: &str| {
            Failure::usage(
                "network.rpc",
                format!("cannot use the RPC endpoint `{}`: {why}", self.rpc_url),
            )
            .hint("run a node on this machine, or forward a remote endpoint to a local port")
        };
        if !is_loopback(&self.rpc_url) {
            return Err(refused("it is not plain HTTP on loopback"));
        }
        seamline_net::HttpRpc::loopback(self.rpc_url.as_str())
            .map_err(|err| refused(&seamline_core::chain(&err)))
    }
}

/// Whether a URL is `http://` at a loopback address or `localhost`, without credentials.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    if authority == "localhost" || authority.starts_with("localhost:") {
        return true;
    }
    let alone = authority.trim_start_matches('[').trim_end_matches(']');
    authority
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| alone.parse::<IpAddr>())
        .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_believed_over_plain_http() {
        for url in [
            "http://127.0.0.1:8545",
            "http://127.0.0.1/",
            "http://127.8.9.1:1/path",
            "http://localhost:8545",
            "http://[::1]:8545/",
            "http://[::1]",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:8545",
            "https://127.0.0.1:8545",
            "http://10.0.0.1:8545",
            "http://example.org",
            "http://127.0.0.1.example.org/",
            "http://localhost.example.org/",
            "http://127.0.0.1@example.org/",
            "http://user@127.0.0.1/",
            "http://example.org#127.0.0.1",
            "http://example.org\\127.0.0.1",
            "http://[::2]:8545",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
