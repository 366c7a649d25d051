//! What the commands that serve have in common: endpoints, listeners, and a graceful end.

use std::net::SocketAddr;
use std::sync::Arc;

use seamline_core::{Amount, chain};
use seamline_net::limits::RPC_BODY_BYTES;
use seamline_net::{ClientOptions, HttpClient, HttpRpc, TlsTrust, http_client};
use tokio::net::TcpListener;

use crate::failure::{Exit, Failure};
use crate::output;

/// Reaches servers by the web's authorities, and this machine over plain HTTP.
pub(crate) fn web_client(max_response_bytes: u64) -> Result<HttpClient, Failure> {
    let options = ClientOptions {
        tls: TlsTrust::web(),
        max_response_bytes,
        ..ClientOptions::default()
    };
    http_client(options).map_err(|err| {
        let message = format!("cannot set up the http client: {}", chain(&err));
        Failure::new(Exit::Bug, "http.client", message)
    })
}

/// Reads a URL of ours: `https`, or `http` on this machine, without credentials.
pub(crate) fn check_url(what: &str, url: &str) -> Result<(), Failure> {
    let is_web = url.starts_with("https://") && !authority(url).contains('@');
    if is_web && !authority(url).is_empty() || crate::network_file::is_loopback(url) {
        return Ok(());
    }
    Err(Failure::usage(
        "url.refused",
        format!("the URL of the {what} is neither https nor plain http on this machine"),
    )
    .hint("write an URL such as https://rpc.example or http://127.0.0.1:8545"))
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().unwrap_or_default()
}

/// The JSON-RPC endpoint of a chain.
pub(crate) fn rpc(url: &str) -> Result<Arc<HttpRpc>, Failure> {
    check_url("chain's endpoint", url)?;
    Ok(Arc::new(HttpRpc::new(web_client(RPC_BODY_BYTES)?, url)))
}

/// Listens, and says where.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let refused = |err: std::io::Error| {
        Failure::usage("listen", format!("cannot listen on {address}: {err}"))
            .hint("name a free port with --listen, or 0 for any")
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    if !bound.ip().is_loopback() {
        output::message(
            "note: this listens beyond this machine, over plain http: put TLS in front",
        );
    }
    Ok((listener, bound))
}

/// Reads gwei as wei.
pub(crate) fn wei(gwei: &str) -> Result<u128, Failure> {
    let parsed = Amount::from_decimal(gwei, 9).ok().map(Amount::get);
    parsed.filter(|wei| *wei > 0).ok_or_else(|| {
        Failure::usage("fee.malformed", format!("`{gwei}` is not a fee in gwei"))
            .hint("write gwei above zero with at most nine digits behind the point, such as 0.5")
    })
}
