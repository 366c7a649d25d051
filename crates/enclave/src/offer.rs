use bytes::Bytes;
use http::request::Parts;
use seamline_core::{Address, Amount};
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::OfferTerms;
use seamline_net::{Pricer, Problem};
use serde_json::{Map, Value};
use std::sync::Arc;

use crate::enclave::Enclave;

use seamline_core::canonical::ChatRequest;

/// Prices chat requests: the ceiling of what they can cost.
///
/// A body that is no chat request, or names a model that is not on offer, is priced at the highest
/// prices and the longest answer. As in OpenGradient's gateway payment comes first, so such a
/// request gets 402 before it gets 400; the 400 then costs nothing.
pub(crate) struct ChatPricer(pub(crate) Arc<Enclave>);

impl Pricer for ChatPricer {
    fn offers(&self, _head: &Parts, body: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
        let enclave = &self.0;
        let request = ChatRequest::parse(body).ok();
        let priced = request.as_ref().and_then(|request| {
            let (_, price) = enclave.price_of(request.model())?;
            Some((price, enclave.bounded_tokens(request.max_tokens())))
        });
        let (price, max_tokens) =
            priced.unwrap_or_else(|| (enclave.highest_price(), enclave.config.max_tokens));
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let metered = terms(enclave, price.ceiling(bytes, max_tokens));
        let channel = enclave.config.channels.then(|| through_channel(&metered));
        // `upto` first: who does not choose takes the first.
        Ok([Some(metered), channel].into_iter().flatten().collect())
    }
}

/// The same price through a payment channel, into which the token itself moves deposits (ERC-3009).
fn through_channel(metered: &OfferTerms) -> OfferTerms {
    let mut terms = metered.clone();
    terms.scheme = Scheme::BatchSettlement.as_str().to_owned();
    terms.extra.remove("assetTransferMethod");
    terms
}

fn terms(enclave: &Enclave, honest: Amount) -> OfferTerms {
    let config = &enclave.config;
    let faults = &config.faults;
    let earlier = enclave.count_offer();
    let amount = match faults.later_offers_times {
        Some(times) if earlier >= u64::from(faults.honest_offers).max(1) => {
            Amount::new(honest.get().saturating_mul(times.into()))
        }
        Some(_) | None => honest,
    };
    let pay_to: Address = faults.pay_to.unwrap_or(config.pay_to);
    let mut extra = Map::new();
    let text = |text: &str| Value::String(text.to_owned());
    extra.insert("name".to_owned(), text(&config.asset_name));
    extra.insert("version".to_owned(), text(&config.asset_version));
    extra.insert("assetTransferMethod".to_owned(), text("permit2"));
    OfferTerms {
        scheme: Scheme::Upto.as_str().to_owned(),
        network: config.network.clone(),
        asset: config.asset.to_checksum(None),
        amount: amount.to_string(),
        pay_to: pay_to.to_checksum(None),
        max_timeout_seconds: config.max_timeout_s,
        extra,
    }
}
