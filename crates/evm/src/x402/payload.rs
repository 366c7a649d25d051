use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{MAX_HEADER, Offer, Resource, VERSION, shape, v1};
use crate::Malformed;

/// What a payer sends (`PaymentPayload`): the chosen offer, echoed, and what the scheme signs.
///
/// # Security
///
/// Holds a live authorization. `Debug` prints the offer only.
#[derive(Clone)]
pub struct PaymentPayload {
    raw: Box<RawValue>,
    accepted: Offer,
    payload: Value,
    resource: Option<Resource>,
    extensions: Option<Value>,
    v1: Option<v1::Payload>,
}

/// The body of `/verify` and `/settle`: a payment, and what the resource server asks for it.
#[derive(Clone, Debug)]
pub struct FacilitatorRequest {
    /// The payment, as the payer sent it.
    pub payment_payload: PaymentPayload,
    /// The requirement of the resource server. For `upto` on `/settle` its amount is what was
    /// metered.
    pub payment_requirements: Offer,
}

impl PaymentPayload {
    /// Reads the JSON of a `PAYMENT-SIGNATURE` header.
    ///
    /// # Errors
    ///
    /// A [`Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        shape::check(json, MAX_HEADER)?;
        Self::from_raw(serde_json::from_slice(json).map_err(|_| Malformed::Json)?)
    }

    /// Decodes a `PAYMENT-SIGNATURE` header.
    ///
    /// # Errors
    ///
    /// As [`super::decode_header`] and [`PaymentPayload::parse`].
    pub fn from_header(value: &[u8]) -> Result<Self, Malformed> {
        Self::parse(&super::decode_header(value)?)
    }

    /// The JSON, byte for byte: what a receipt and a journal keep.
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    /// The value of the `PAYMENT-SIGNATURE` header.
    pub fn to_header(&self) -> String {
        super::encode_header(self.raw().as_bytes())
    }

    /// The offer that the payer accepted, as the payer echoed it.
    pub const fn accepted(&self) -> &Offer {
        &self.accepted
    }

    /// The part that the scheme defines. See [`crate::upto::Permit::of`].
    pub const fn payload(&self) -> &Value {
        &self.payload
    }

    /// What is being bought, as the payer echoed it.
    pub const fn resource(&self) -> Option<&Resource> {
        self.resource.as_ref()
    }

    /// Extensions that the payer sent.
    pub const fn extensions(&self) -> Option<&Value> {
        self.extensions.as_ref()
    }

    /// The message of version 1 that this was made of; `None` for a payment of version 2.
    pub const fn v1(&self) -> Option<&v1::Payload> {
        self.v1.as_ref()
    }

    /// The version of x402 that the payer speaks.
    pub const fn version(&self) -> u64 {
        match self.v1 {
            Some(_) => v1::VERSION,
            None => VERSION,
        }
    }

    /// The same payment with other `extensions`, for example [`super::extensions::merge`]'s. Members
    /// keep their bytes; no signature covers them.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] where the message grows beyond the bounds.
    pub fn with_extensions(&self, extensions: &Map<String, Value>) -> Result<Self, Malformed> {
        let members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(self.raw()).map_err(|_| Malformed::Json)?;
        let mut members: Vec<String> = members
            .iter()
            .filter(|(name, _)| *name != "extensions")
            .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
            .collect();
        if !extensions.is_empty() {
            members.push(format!("\"extensions\":{}", json!(extensions)));
        }
        Self::parse(format!("{{{}}}", members.join(",")).as_bytes())
    }

    /// The part that the scheme defines, byte for byte.
    pub(super) fn payload_raw(&self) -> Result<Box<RawValue>, Malformed> {
        #[derive(Deserialize)]
        struct Wire {
            payload: Box<RawValue>,
        }
        let wire: Wire = serde_json::from_str(self.raw()).map_err(|_| Malformed::Json)?;
        Ok(wire.payload)
    }

    /// A payment of version 1 as the answer to `accepted`.
    pub(super) fn of_v1(
        source: &v1::Payload,
        accepted: &Offer,
        resource: Option<&Resource>,
    ) -> Result<Self, Malformed> {
        let mut members = vec![
            ("x402Version", VERSION.to_string()),
            ("payload", source.payload().get().to_owned()),
            ("accepted", accepted.raw().to_owned()),
        ];
        if let Some(resource) = resource {
            members.push(("resource", resource.raw().to_owned()));
        }
        let raw = shape::object(&members);
        shape::check(raw.get().as_bytes(), 2 * MAX_HEADER)?;
        let mut payment = Self::from_raw(raw)?;
        payment.v1 = Some(source.clone());
        Ok(payment)
    }

    fn from_raw(raw: Box<RawValue>) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            x402_version: u64,
            accepted: Box<RawValue>,
            payload: Value,
            resource: Option<Box<RawValue>>,
            extensions: Option<Value>,
        }
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        if wire.x402_version != VERSION {
            return Err(Malformed::Version);
        }
        if !wire.payload.is_object() {
            return Err(Malformed::Field("payload"));
        }
        Ok(Self {
            raw,
            accepted: Offer::from_raw(wire.accepted)?,
            payload: wire.payload,
            resource: wire.resource.map(Resource::from_raw).transpose()?,
            extensions: wire.extensions,
            v1: None,
        })
    }
}

impl FacilitatorRequest {
    /// Largest body that is read: twice a header and room for the envelope.
    pub const MAX_BODY: usize = 2 * MAX_HEADER + 1024;

    /// Reads the body of `/verify` or `/settle`, of version 2 or 1. What version 1 says is there in
    /// the terms of version 2.
    ///
    /// # Errors
    ///
    /// A [`Malformed`]; the service answers it with HTTP 400.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            x402_version: Option<u64>,
            payment_payload: Option<Box<RawValue>>,
            payment_requirements: Option<Box<RawValue>>,
        }
        let wire: Wire = shape::read(json, Self::MAX_BODY)?;
        let version = wire.x402_version.unwrap_or(VERSION);
        if version != VERSION && version != v1::VERSION {
            return Err(Malformed::Version);
        }
        let payload = wire
            .payment_payload
            .ok_or(Malformed::Field("paymentPayload"))?;
        let offer = wire
            .payment_requirements
            .ok_or(Malformed::Field("paymentRequirements"))?;
        if version == v1::VERSION {
            let offer = v1::Requirements::from_raw(offer)?.to_offer();
            let payload = v1::Payload::from_raw(payload)?;
            return Ok(Self {
                payment_payload: payload.to_v2(&offer, None)?,
                payment_requirements: offer,
            });
        }
        Ok(Self {
            payment_payload: PaymentPayload::from_raw(payload)?,
            payment_requirements: Offer::from_raw(offer)?,
        })
    }

    /// The version of x402 that the request was made in. An answer to version 1 names the network by
    /// [`v1::network_said`].
    pub const fn version(&self) -> u64 {
        self.payment_payload.version()
    }

    /// Writes the body in version 2, with the payment and the requirement byte for byte as they are.
    pub fn to_json(&self) -> String {
        let members = [
            ("x402Version", VERSION.to_string()),
            ("paymentPayload", self.payment_payload.raw().to_owned()),
            (
                "paymentRequirements",
                self.payment_requirements.raw().to_owned(),
            ),
        ];
        shape::object(&members).get().to_owned()
    }
}

impl fmt::Debug for PaymentPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentPayload")
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

impl Serialize for PaymentPayload {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(writer)
    }
}

impl<'de> Deserialize<'de> for PaymentPayload {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(reader)?;
        Self::from_raw(raw).map_err(serde::de::Error::custom)
    }
}
