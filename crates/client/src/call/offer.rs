//! 6. offer: the node's price for exactly this request.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use seamline_core::receipt::{self as event, EvidenceType};
use seamline_evm::registry::NodeRecord;
use seamline_evm::settlement::TYPE_HEADER;
use seamline_evm::x402::{PAYMENT_REQUIRED, PaymentRequired};

use super::Call;
use super::attest::Enclave;
use crate::error::ErrorKind;
use crate::step::Step;

/// OpenGradient's gateways want an `Authorization` header and do not look at it.
const AUTHORIZATION: HeaderValue = HeaderValue::from_static("Bearer seamline");

/// What a node asks, and where the receipt has it.
pub(super) struct Terms {
    pub(super) required: PaymentRequired,
    pub(super) event: u32,
    /// Whether it was remembered from an earlier call.
    pub(super) remembered: bool,
}

impl Call<'_> {
    /// The node's offer: the one that it made for an earlier call, if that still covers this one, else
    /// a new one.
    pub(super) async fn offer(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
    ) -> Result<Terms, ErrorKind> {
        self.begin(Step::Offer, &format!("node {}", record.node.short()));
        let Some(required) = self.remembered_offer(record) else {
            let required = self.ask_offer(record, enclave).await?;
            let terms = self.record_offer(record, required, false);
            self.done();
            return Ok(terms);
        };
        let terms = self.record_offer(record, required, true);
        self.done();
        Ok(terms)
    }

    /// A young offer of this node for this model that the policy admits still and that covers what the
    /// call can cost at the prices that the node lists now.
    fn remembered_offer(&self, record: &NodeRecord) -> Option<PaymentRequired> {
        let now = self.now();
        let ttl = self.client.config.options.offer_ttl;
        let model = self.ask.model();
        let required = self.client.node(record.node, |node| {
            let listing = node.listing(now, self.client.config.options.listing_ttl)?;
            let listed = listing.models.iter().find(|listed| self.ask.is(listed))?;
            let estimate = self.estimate(listed);
            node.offers.covering(model, estimate, now, ttl)
        })?;
        let admitted = self.admitted(record, &required);
        admitted.is_ok().then_some(required)
    }

    /// Puts an offer into the receipt.
    pub(super) fn record_offer(
        &mut self,
        record: &NodeRecord,
        required: PaymentRequired,
        remembered: bool,
    ) -> Terms {
        let offer = self.attach(EvidenceType::Offer, required.raw().to_vec());
        let event = self.event(event::Offered {
            node: record.node,
            offer,
            remembered,
        });
        Terms {
            required,
            event,
            remembered,
        }
    }

    /// Sends the request without payment: the answer is 402 and the offer. The prompt goes along,
    /// because the price depends on it; by now the connection is bound to verified evidence.
    async fn ask_offer(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
    ) -> Result<PaymentRequired, ErrorKind> {
        let node = record.node;
        self.record_request(record, false);
        let response = enclave
            .http
            .post_json(&self.url(record), self.headers(), self.body.clone())
            .await
            .map_err(|source| ErrorKind::Unreachable { node, source })?;
        let status = response.status().as_u16();
        if status != 402 {
            return Err(ErrorKind::Status { node, status });
        }
        offers(response.headers())
            .ok_or(ErrorKind::Answer {
                node,
                what: "402 without an offer",
            })?
            .map_err(|source| ErrorKind::Offer { node, source })
    }

    /// Where the request goes.
    pub(super) fn url(&self, record: &NodeRecord) -> String {
        format!("{}{}", record.endpoint, self.ask.path())
    }

    pub(super) fn record_request(&mut self, record: &NodeRecord, paid: bool) {
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let attempt = self.requests;
        self.requests = self.requests.saturating_add(1);
        self.event(event::RequestSent {
            node: record.node,
            attempt,
            paid,
            bytes,
        });
    }

    /// Headers of every request. Settlement data stays off the chain unless the caller wants it
    /// there: `private` asks the enclave not to publish hashes of this call.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, AUTHORIZATION);
        let settlement = self.client.config.options.settlement;
        let settlement = HeaderValue::from_static(settlement.as_str());
        headers.insert(TYPE_HEADER, settlement);
        if self.ask.stream() {
            headers.insert(
                header::ACCEPT,
                HeaderValue::from_static("text/event-stream"),
            );
        }
        headers
    }
}

/// Reads the one `PAYMENT-REQUIRED` header of an answer.
pub(crate) fn offers(
    headers: &HeaderMap,
) -> Option<Result<PaymentRequired, seamline_evm::Malformed>> {
    let mut values = headers.get_all(PAYMENT_REQUIRED).iter();
    let (first, second) = (values.next()?, values.next());
    if second.is_some() {
        return None;
    }
    Some(PaymentRequired::from_header(
        Bytes::copy_from_slice(first.as_bytes()).as_ref(),
    ))
}

#[cfg(test)]
mod tests;
