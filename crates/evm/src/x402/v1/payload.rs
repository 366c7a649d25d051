use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Requirements, VERSION};
use crate::Malformed;
use crate::x402::{
    MAX_HEADER, Offer, PaymentPayload, Resource, decode_header, encode_header, network_of_name,
    shape,
};

/// What a payer sends in version 1: a scheme, a network and what the scheme signs. It does not say
/// which offer it answers.
///
/// # Security
///
/// Holds a live authorization; `Debug` leaves it out.
#[derive(Clone)]
pub struct Payload {
    raw: Box<RawValue>,
    scheme: String,
    network: String,
    payload: Box<RawValue>,
}

impl Payload {
    /// Reads the JSON of an `X-PAYMENT` header.
    ///
    /// # Errors
    ///
    /// A [`Malformed`]; [`Malformed::Version`] for a payment of another version.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        shape::check(json, MAX_HEADER)?;
        Self::from_raw(serde_json::from_slice(json).map_err(|_| Malformed::Json)?)
    }

    /// Decodes an `X-PAYMENT` header.
    ///
    /// # Errors
    ///
    /// As [`decode_header`] and [`Payload::parse`].
    pub fn from_header(value: &[u8]) -> Result<Self, Malformed> {
        Self::parse(&decode_header(value)?)
    }

    /// Writes a signed payment as the answer to an offer of version 1, with the scheme and the network
    /// as the seller spelled them.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`] where the payment answers another offer than `requirements` is.
    pub fn answering(
        payment: &PaymentPayload,
        requirements: &Requirements,
    ) -> Result<Self, Malformed> {
        let offered = requirements.to_offer();
        if let Some(member) = offered.terms().mismatch(payment.accepted().terms()) {
            return Err(Malformed::Field(member));
        }
        let terms = requirements.terms();
        let members = [
            ("x402Version", VERSION.to_string()),
            ("scheme", Value::from(terms.scheme.as_str()).to_string()),
            ("network", Value::from(terms.network.as_str()).to_string()),
            ("payload", payment.payload_raw()?.get().to_owned()),
        ];
        Self::from_raw(shape::object(&members))
    }

    /// The payment in version 2, as an answer to `offer`: `accepted` is the offer with the scheme and
    /// the network that the payer named, so that a payment for another network does not match.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] where the message is too large with the offer in it.
    pub fn to_v2(
        &self,
        offer: &Offer,
        resource: Option<&Resource>,
    ) -> Result<PaymentPayload, Malformed> {
        let network = network_of_name(&self.network).unwrap_or_else(|| self.network.clone());
        let accepted = if offer.terms().scheme == self.scheme && offer.terms().network == network {
            offer.clone()
        } else {
            let mut terms = offer.terms().clone();
            terms.scheme.clone_from(&self.scheme);
            terms.network = network;
            Offer::new(terms)
        };
        PaymentPayload::of_v1(self, &accepted, resource)
    }

    /// The JSON, byte for byte.
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    /// The value of the `X-PAYMENT` header.
    pub fn to_header(&self) -> String {
        encode_header(self.raw().as_bytes())
    }

    /// The scheme that the payer named.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The network that the payer named, as it named it.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The part that the scheme defines, byte for byte.
    pub(in crate::x402) fn payload(&self) -> &RawValue {
        &self.payload
    }

    pub(in crate::x402) fn from_raw(raw: Box<RawValue>) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            x402_version: u64,
            scheme: String,
            network: String,
            payload: Box<RawValue>,
        }
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        if wire.x402_version != VERSION {
            return Err(Malformed::Version);
        }
        if !wire.payload.get().trim_start().starts_with('{') {
            return Err(Malformed::Field("payload"));
        }
        Ok(Self {
            raw,
            scheme: wire.scheme,
            network: wire.network,
            payload: wire.payload,
        })
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("v1::Payload")
            .field("scheme", &self.scheme)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}
