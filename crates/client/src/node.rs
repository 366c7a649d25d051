//! What a client remembers about a node between calls, and how it asks for the node's prices.

mod offers;
mod ports;

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use seamline_attest::{Claims, ResponseKey, Verified};
use seamline_core::{Address, Amount, NodeId, Timestamp};
use seamline_evm::registry::NodeRecord;
use seamline_net::{ClientOptions, HttpClient, http_client};
use serde::Deserialize;
use tokio::time::Instant;

use self::offers::Offers;
pub use self::ports::ListedInfer;
use self::ports::WireInfer;
use crate::client::{Client, micros};
use crate::dialect::{Ceiling, Dialect, fetch_ceiling};
use crate::error::ErrorKind;

/// What is remembered about one node.
#[derive(Default)]
pub(crate) struct NodeState {
    /// The connection pool, and the certificate that it is pinned to.
    http: Option<(Bytes, HttpClient)>,
    /// The newest price list.
    listing: Option<Listing>,
    /// Verified evidence of the instance behind the pinned certificate.
    pub(crate) evidence: Option<Remembered>,
    /// What it asked for before.
    pub(crate) offers: Offers,
    /// Until when the node is left alone.
    pub(crate) cooling_until: Option<Timestamp>,
    /// Calls of this process that the node answered, and that it failed.
    answered: u32,
    failed: u32,
}

/// Evidence that was verified, and the bytes it was verified from.
#[derive(Clone)]
pub(crate) struct Remembered {
    pub(crate) document: Bytes,
    pub(crate) evidence_nonce: [u8; 20],
    pub(crate) fetched: Timestamp,
    pub(crate) claims: Verified<Claims>,
    pub(crate) key: Verified<ResponseKey>,
    pub(crate) tls_certificate: Bytes,
}

/// What a node lists, and how long it took to say so.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Each model with its price.
    pub models: Vec<ListedModel>,
    /// What a call costs at most, where the node lists no models and says nothing else.
    pub ceiling: Option<Ceiling>,
    /// When it was read.
    pub read: Timestamp,
    /// How long the request took, microseconds.
    pub latency_us: u64,
}

/// One model of a node's list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedModel {
    /// The model's id.
    pub id: String,
    /// Price per million tokens of the request, base units.
    pub price_input: Amount,
    /// Price per million tokens of the answer, base units.
    pub price_output: Amount,
    /// The token.
    pub asset: Address,
    /// CAIP-2 id of the chain.
    pub network: String,
    /// What the model takes, where it is one that the node runs by itself (`POST /v1/infer`); prices are
    /// per million elements then.
    pub infer: Option<Arc<ListedInfer>>,
}

/// Longest list that is read: a node lists tens of models at about 300 bytes each.
const MAX_LISTING: u64 = 256 * 1024;
/// A node that takes longer to list its models is not worth waiting for.
const LISTING_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct WireList {
    data: Vec<WireModel>,
}

#[derive(Deserialize)]
struct WireModel {
    id: String,
    seamline: Option<WirePrice>,
}

#[derive(Deserialize)]
struct WirePrice {
    price_input: String,
    price_output: String,
    asset: Address,
    network: String,
    infer: Option<WireInfer>,
}

impl NodeState {
    /// The connection to the instance that holds `certificate`. A new certificate is a new
    /// instance: what was remembered of the old one is dropped.
    pub(crate) fn http(
        &mut self,
        record: &NodeRecord,
        timeout: Duration,
    ) -> Result<HttpClient, ErrorKind> {
        let certificate = &record.tls_certificate.0;
        if let Some((pinned, client)) = &self.http
            && pinned == certificate
        {
            return Ok(client.clone());
        }
        let mut options = ClientOptions::pinned(certificate.to_vec());
        options.idle_timeout = timeout;
        let client = http_client(options).map_err(|source| ErrorKind::Unreachable {
            node: record.node,
            source,
        })?;
        self.http = Some((certificate.clone(), client.clone()));
        self.evidence = None;
        self.offers.clear();
        Ok(client)
    }

    pub(crate) fn answered(&mut self) {
        self.answered = self.answered.saturating_add(1);
        self.cooling_until = None;
    }

    pub(crate) fn failed(&mut self, until: Timestamp) {
        self.failed = self.failed.saturating_add(1);
        self.cooling_until = Some(until);
    }

    /// Share of the calls of this process that the node answered; full before the first.
    pub(crate) fn health_ppm(&self) -> u32 {
        let (answered, failed) = (u64::from(self.answered), u64::from(self.failed));
        let total = answered.saturating_add(failed);
        let share = answered
            .saturating_mul(1_000_000)
            .checked_div(total)
            .unwrap_or(1_000_000);
        u32::try_from(share).unwrap_or(1_000_000)
    }

    pub(crate) fn listing(&self, now: Timestamp, ttl: Duration) -> Option<&Listing> {
        self.listing
            .as_ref()
            .filter(|listing| now.saturating_since(listing.read) < ttl)
    }
}

/// Nodes that are asked for their lists at the same time.
const LISTED_AT_ONCE: usize = 16;

/// Asks every node for its list, some at a time. A node that does not answer has no list: it stays a
/// candidate that the decision rejects with a reason.
pub(crate) async fn list_all(
    client: &Client,
    records: &[NodeRecord],
) -> Vec<(NodeId, Option<Listing>)> {
    let listings = records
        .iter()
        .map(|record| async move { (record.node, list(client, record).await.ok()) });
    stream::iter(listings)
        .buffered(LISTED_AT_ONCE)
        .collect()
        .await
}

async fn list(client: &Client, record: &NodeRecord) -> Result<Listing, ErrorKind> {
    let now = client.config.env.now();
    let options = &client.config.options;
    let remembered = client.node(record.node, |node| {
        node.listing(now, options.listing_ttl).cloned()
    });
    if let Some(listing) = remembered {
        return Ok(listing);
    }
    let http = client.node(record.node, |node| node.http(record, options.node_timeout))?;
    let listing = match Dialect::of(record, &options.gateways) {
        Dialect::Seamline => fetch(&http, record, now).await?,
        Dialect::OpenGradient => {
            let started = Instant::now();
            let ceiling = fetch_ceiling(&http, record, LISTING_TIMEOUT).await?;
            Listing {
                models: Vec::new(),
                ceiling: Some(ceiling),
                read: now,
                latency_us: micros(started.elapsed()),
            }
        }
    };
    client.node(record.node, |node| node.listing = Some(listing.clone()));
    Ok(listing)
}

async fn fetch(
    http: &HttpClient,
    record: &NodeRecord,
    now: Timestamp,
) -> Result<Listing, ErrorKind> {
    let node = record.node;
    let unreachable = |source| ErrorKind::Unreachable { node, source };
    let started = Instant::now();
    let exchange = async {
        let response = http.get(&format!("{}/v1/models", record.endpoint)).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().bytes().await?))
    };
    let (status, body) = tokio::time::timeout(LISTING_TIMEOUT, exchange)
        .await
        .map_err(|_| unreachable(seamline_net::client::Error::Timeout))?
        .map_err(unreachable)?;
    if status != 200 {
        return Err(ErrorKind::Status { node, status });
    }
    let too_long = u64::try_from(body.len()).is_ok_and(|length| length > MAX_LISTING);
    let models = if too_long { None } else { parse(&body) };
    let models = models.ok_or(ErrorKind::Listing { node })?;
    Ok(Listing {
        models,
        ceiling: None,
        read: now,
        latency_us: micros(started.elapsed()),
    })
}

/// Longest id of a model and name of a network that are read: what a decision can record.
const MAX_ID: usize = 128;
const MAX_NETWORK: usize = 64;
/// Models of one node that are read.
const MAX_MODELS: usize = 1_024;

/// Reads an OpenAI model list; models without a price of ours are left out, and so are names that are
/// no plain words: a node nobody has attested yet must neither steer a terminal nor spoil the
/// catalogue for the others.
fn parse(body: &[u8]) -> Option<Vec<ListedModel>> {
    let list: WireList = serde_json::from_slice(body).ok()?;
    let priced = |model: WireModel| {
        let price = model.seamline?;
        if !is_plain(&model.id, MAX_ID) || !is_plain(&price.network, MAX_NETWORK) {
            return None;
        }
        let infer = match price.infer {
            Some(infer) => Some(Arc::new(infer.read(&model.id)?)),
            None => None,
        };
        Some(ListedModel {
            id: model.id,
            infer,
            price_input: Amount::parse(&price.price_input).ok()?,
            price_output: Amount::parse(&price.price_output).ok()?,
            asset: price.asset,
            network: price.network,
        })
    };
    Some(
        list.data
            .into_iter()
            .filter_map(priced)
            .take(MAX_MODELS)
            .collect(),
    )
}

/// Whether a name is short, printable ASCII without blanks.
fn is_plain(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(id: &str, network: &str) -> Option<Vec<ListedModel>> {
        let price = serde_json::json!({
            "price_input": "1", "price_output": "2", "network": network,
            "asset": "0x5ea1000000000000000000000000000000000002",
        });
        let model = serde_json::json!({ "id": id, "seamline": price });
        parse(
            serde_json::json!({ "data": [model] })
                .to_string()
                .as_bytes(),
        )
    }

    #[test]
    fn a_listing_is_read() {
        let read = list("seamline/guide", "eip155:31610").unwrap();
        assert_eq!(read[0].id, "seamline/guide");
        assert_eq!(read[0].price_output, Amount::new(2));
    }

    #[test]
    fn names_that_are_no_plain_words_are_left_out() {
        let long = "x".repeat(MAX_NETWORK + 1);
        for (id, network) in [
            ("", "eip155:1"),
            ("a\u{1b}]0;owned\u{7}", "eip155:1"),
            ("two words", "eip155:1"),
            ("\u{202e}rtl", "eip155:1"),
            ("guide", ""),
            ("guide", "eip155:1\n"),
            ("guide", long.as_str()),
        ] {
            assert_eq!(list(id, network), Some(Vec::new()), "{id:?} {network:?}");
        }
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for body in [&b""[..], b"[]", b"{}", b"{\"data\": 1}", b"\xff"] {
            assert_eq!(parse(body), None);
        }
    }
}
