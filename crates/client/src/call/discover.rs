//! 2. discover: the registry at one block, and what each node lists.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::decision::{Candidate, Catalogue};
use seamline_core::receipt as event;
use seamline_core::{Address, Amount, NodeId};
use seamline_evm::registry::{NodeRecord, Snapshot};

use super::Call;
use crate::client::millis;
use crate::dialect::Ceiling;
use crate::error::ErrorKind;
use crate::node::{ListedModel, Listing, list_all};
use crate::step::Step;

/// What is for sale right now.
pub(super) struct Market {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) catalogue: Catalogue,
}

impl Call<'_> {
    pub(super) async fn discover(&mut self) -> Result<Market, ErrorKind> {
        self.begin(Step::Discover, "reading the registry");
        let (snapshot, age) = self.client.registry().await?;
        self.from_block = snapshot.block_number;
        if snapshot.nodes.is_empty() {
            return Err(ErrorKind::NoNodes);
        }
        let listings = list_all(self.client, &snapshot.nodes).await;
        self.refuse_unknown_model(&listings)?;
        let candidates = snapshot
            .nodes
            .iter()
            .zip(&listings)
            .map(|(record, (_, listing))| self.candidate(record, listing.as_ref(), &snapshot))
            .collect();
        // The snapshot's ids are unique, which is all that a catalogue asks.
        let catalogue = Catalogue::new(candidates).map_err(|_| ErrorKind::NoNodes)?;
        self.record_catalogue(&snapshot, age, &catalogue);
        self.done();
        Ok(Market {
            snapshot,
            catalogue,
        })
    }

    /// A model that every answering node leaves out is the caller's mistake, and says so; if no node
    /// answered at all, the decision will say that instead.
    fn refuse_unknown_model(
        &self,
        listings: &[(NodeId, Option<Listing>)],
    ) -> Result<(), ErrorKind> {
        let listed = || listings.iter().filter_map(|(_, listing)| listing.as_ref());
        let models = || listed().flat_map(|listing| &listing.models);
        let mut named = models().filter(|model| self.ask.is(model)).peekable();
        let any = listed().any(|listing| self.ceiling(listing).is_some());
        if named.peek().is_some() {
            // Inputs that no node takes are a mistake too, and cost nothing here.
            let checked = named.map(|model| self.ask.check(model));
            let refused = checked.reduce(|best, next| if best.is_ok() { best } else { next });
            return refused.unwrap_or(Ok(())).map_err(ErrorKind::Inputs);
        }
        if any || listed().next().is_none() {
            return Ok(());
        }
        let mut known: Vec<_> = models()
            .filter(|model| self.ask.is_of_kind(model))
            .map(|model| model.id.clone())
            .collect();
        known.sort();
        known.dedup();
        Err(ErrorKind::UnknownModel {
            model: self.ask.model().clone(),
            known,
        })
    }

    fn candidate(
        &self,
        record: &NodeRecord,
        listing: Option<&Listing>,
        snapshot: &Snapshot,
    ) -> Candidate {
        let now = self.now();
        let listed = listing.and_then(|listing| {
            listing
                .models
                .iter()
                .find(|model| self.ask.is(model) && self.ask.check(model).is_ok())
        });
        // A node that lists no models may have any, at its ceiling.
        let ceiling = listing.and_then(|listing| self.ceiling(listing));
        let (health_ppm, cooling_until) = self
            .client
            .node(record.node, |node| (node.health_ppm(), node.cooling_until));
        Candidate {
            node: record.node,
            endpoint: record.endpoint.clone(),
            pay_to: record.pay_to,
            measurement: record.pcr_hash,
            offers_model: listed.is_some() || ceiling.is_some(),
            network: listed
                .map(|model| model.network.clone())
                .or_else(|| ceiling.map(|ceiling| ceiling.network.clone()))
                .unwrap_or_default(),
            asset: listed
                .map(|model| model.asset)
                .or_else(|| ceiling.map(|ceiling| ceiling.asset))
                .unwrap_or(Address::ZERO),
            cost: listed
                .map(|model| self.estimate(model))
                .or_else(|| ceiling.map(|ceiling| ceiling.amount))
                .unwrap_or(Amount::MAX),
            latency_us: listing.map_or(u64::MAX, |listing| listing.latency_us),
            health_ppm,
            heartbeat_age_s: snapshot
                .block_time_s
                .saturating_sub(record.last_heartbeat_at),
            observed_age_ms: listing
                .map_or(0, |listing| millis(now.saturating_since(listing.read))),
            cooling_until_ms: cooling_until.map_or(0, seamline_core::Timestamp::as_millis),
            enabled: record.enabled,
        }
    }

    /// What a node without a list of models asks, where it may serve this call.
    fn ceiling<'l>(&self, listing: &'l Listing) -> Option<&'l Ceiling> {
        let ceiling = listing.ceiling.as_ref();
        ceiling.filter(|_| self.ask.is_chat())
    }

    /// The most that this request can cost at a listed price.
    pub(super) fn estimate(&self, model: &ListedModel) -> Amount {
        self.ask.estimate(model, self.body.len())
    }

    fn record_catalogue(&mut self, snapshot: &Snapshot, age: Duration, catalogue: &Catalogue) {
        self.event(event::CatalogueRead {
            chain_id: snapshot.chain_id,
            block_number: snapshot.block_number,
            block_hash: snapshot.block_hash,
            registry: snapshot.registry,
            read_age_ms: millis(age),
            root: catalogue.root(),
            candidates: catalogue.encode(),
            block_time_s: snapshot.block_time_s,
        });
    }
}
