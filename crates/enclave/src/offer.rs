use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use seamline_core::{Address, Amount};
use seamline_evm::scheme::Scheme;
use seamline_evm::settlement::TYPE_HEADER;
use seamline_evm::x402::OfferTerms;
use seamline_net::{DataMode, Pricer, Problem};
use serde_json::{Map, Value};
use std::sync::Arc;

use crate::enclave::Enclave;

use crate::call::Kind;
use crate::feed::Unpriced;
use crate::infer;
use crate::request::Asked;

/// Prices inference requests: the ceiling of what they can cost.
///
/// A body that is no chat request, or names a model that is not on offer, is priced at the highest
/// prices and the longest answer. As in OpenGradient's gateway payment comes first, so such a
/// request gets 402 before it gets 400; the 400 then costs nothing.
pub(crate) struct CallPricer(pub(crate) Arc<Enclave>);

impl Pricer for CallPricer {
    fn offers(&self, head: &Parts, body: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
        let enclave = &self.0;
        let path = head.uri.path().trim_end_matches('/');
        if path == infer::PATH {
            return infer::ceiling(enclave, body).map(|ceiling| sold(enclave, head, ceiling));
        }
        if let Some(reason) = enclave.upstream.unready() {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Problem::new(status, "not_ready", reason));
        }
        let kind = if path.ends_with("/chat/completions") {
            Kind::Chat
        } else {
            Kind::Completion
        };
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let mut ceiling = None;
        if let Ok(asked) = Asked::read(kind, body)
            && let Some((_, price)) = enclave.price_of(&asked.model).map_err(unpriced)?
        {
            let prompt = bytes.saturating_add(enclave.config.attached_tokens(asked.attached));
            ceiling = Some(price.ceiling(prompt, enclave.bounded_tokens(asked.max_tokens)));
        }
        let ceiling = match ceiling {
            Some(ceiling) => ceiling,
            None => enclave.highest_ceiling(bytes).map_err(unpriced)?,
        };
        Ok(sold(enclave, head, ceiling))
    }
}

/// What is offered at a ceiling; `upto` first: who does not choose takes the first.
fn sold(enclave: &Enclave, head: &Parts, ceiling: Amount) -> Vec<OfferTerms> {
    let metered = terms(enclave, ceiling);
    let through = enclave.config.channels && !wants_record(enclave, head);
    let channel = through.then(|| through_channel(&metered));
    [Some(metered), channel].into_iter().flatten().collect()
}

/// Whether the caller asks for a record of the answer on chain. A record names the payment that settled
/// for its answer, and nothing on chain settles for one voucher of a channel: such a call is not offered
/// to be paid by one, rather than paid for and left without its record.
fn wants_record(enclave: &Enclave, head: &Parts) -> bool {
    let wish = head.headers.get(TYPE_HEADER).map(HeaderValue::as_bytes);
    wish.is_some() && enclave.settles_data() && DataMode::of_header(wish) != DataMode::Private
}

/// Nothing is sold while it is not known what to ask for it.
pub(crate) fn unpriced(err: Unpriced) -> Problem {
    let text = format!("Pricing unavailable: {err}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "pricing_unavailable", text)
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
