use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::VERSION;
use crate::Malformed;
use crate::x402::{self, MAX_HEADER, Offer, OfferTerms, Resource, network_of_name, shape};

/// The JSON body of a 402 answer of version 1, with the bytes that it was read from.
#[derive(Clone)]
pub struct PaymentRequired {
    raw: Vec<u8>,
    /// Free text or a reason code.
    pub error: Option<String>,
    /// The offers in the seller's order; at least one.
    pub accepts: Vec<Requirements>,
}

/// What a seller asks in version 1: one element of `accepts`, kept byte for byte.
#[derive(Clone)]
pub struct Requirements {
    raw: Box<RawValue>,
    terms: RequirementsTerms,
}

/// The members of [`Requirements`], as strings of the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct RequirementsTerms {
    /// Payment scheme.
    pub scheme: String,
    /// Chain by its name in version 1, such as `base-sepolia`.
    pub network: String,
    /// Price in base units of the token: decimal digits.
    pub max_amount_required: String,
    /// URL of what is sold. Said by the seller; nothing is fetched from it.
    pub resource: String,
    /// What is sold; empty where it is absent.
    pub description: String,
    /// Media type of the answer; empty where it is absent.
    pub mime_type: String,
    /// Recipient.
    pub pay_to: String,
    /// How long the authorization may live, in seconds.
    pub max_timeout_seconds: u64,
    /// Token contract.
    pub asset: String,
    /// Scheme-specific members.
    pub extra: Map<String, Value>,
}

impl PaymentRequired {
    /// Largest body that is read, as for the header of version 2.
    pub const MAX_BODY: usize = MAX_HEADER;

    /// Reads the body of a 402 answer.
    ///
    /// # Errors
    ///
    /// A [`Malformed`]; [`Malformed::Version`] for a body of another version.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            x402_version: u64,
            error: Option<String>,
            accepts: Vec<Box<RawValue>>,
        }
        let wire: Wire = shape::read(json, Self::MAX_BODY)?;
        if wire.x402_version != VERSION {
            return Err(Malformed::Version);
        }
        let accepts: Vec<_> = wire
            .accepts
            .into_iter()
            .map(Requirements::from_raw)
            .collect::<Result<_, _>>()?;
        if accepts.is_empty() {
            return Err(Malformed::Field("accepts"));
        }
        Ok(Self {
            raw: json.to_vec(),
            error: wire.error,
            accepts,
        })
    }

    /// Makes the body of a 402 answer.
    pub fn new(error: &str, accepts: &[Requirements]) -> Self {
        let list: Vec<&str> = accepts.iter().map(Requirements::raw).collect();
        let members = [
            ("x402Version", VERSION.to_string()),
            ("error", Value::from(error).to_string()),
            ("accepts", format!("[{}]", list.join(","))),
        ];
        Self {
            raw: shape::object(&members).get().as_bytes().to_vec(),
            error: Some(error.to_owned()),
            accepts: accepts.to_vec(),
        }
    }

    /// The JSON, byte for byte: what a receipt keeps.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The same offers in version 2, in the same order, to be admitted and signed for. Offers that
    /// name different resources sell none: then a payer that asks for one refuses.
    pub fn to_v2(&self) -> x402::PaymentRequired {
        let offers: Vec<Offer> = self.accepts.iter().map(Requirements::to_offer).collect();
        let mut sold = self.accepts.iter().map(Requirements::terms);
        let first = sold.next();
        let one = first.filter(|first| sold.all(|it| it.resource == first.resource));
        let resource = one.map(|it| Resource::new(&it.resource, &it.description, &it.mime_type));
        x402::PaymentRequired::new(self.error.as_deref(), resource.as_ref(), &offers)
    }
}

impl Requirements {
    /// Reads one element of `accepts`.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] where version 1 requires a member that is not there.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        shape::check(json, MAX_HEADER)?;
        Self::from_raw(serde_json::from_slice(json).map_err(|_| Malformed::Json)?)
    }

    /// Writes an offer of version 2 for clients of version 1; `None` where its network has no name
    /// there.
    pub fn of_offer(offer: &Offer, resource: &Resource) -> Option<Self> {
        let terms = offer.terms();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(Self::new(RequirementsTerms {
            scheme: terms.scheme.clone(),
            network: x402::name_of_network(&terms.network)?.to_owned(),
            max_amount_required: terms.amount.clone(),
            resource: resource.url().to_owned(),
            description: text(resource.description().as_deref()),
            mime_type: text(resource.mime_type().as_deref()),
            pay_to: terms.pay_to.clone(),
            max_timeout_seconds: terms.max_timeout_seconds,
            asset: terms.asset.clone(),
            extra: terms.extra.clone(),
        }))
    }

    /// Makes an offer to sell for; members are written in the order of [`RequirementsTerms`].
    pub fn new(terms: RequirementsTerms) -> Self {
        let members = [
            ("scheme", json!(terms.scheme)),
            ("network", json!(terms.network)),
            ("maxAmountRequired", json!(terms.max_amount_required)),
            ("resource", json!(terms.resource)),
            ("description", json!(terms.description)),
            ("mimeType", json!(terms.mime_type)),
            ("payTo", json!(terms.pay_to)),
            ("maxTimeoutSeconds", json!(terms.max_timeout_seconds)),
            ("asset", json!(terms.asset)),
            ("extra", json!(terms.extra)),
        ];
        let raw = shape::object(&members.map(|(name, value)| (name, value.to_string())));
        Self { raw, terms }
    }

    /// The JSON, byte for byte.
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    /// The members.
    pub const fn terms(&self) -> &RequirementsTerms {
        &self.terms
    }

    /// The offer in version 2. A network without a name in version 1 stays as it was said.
    pub fn to_offer(&self) -> Offer {
        let terms = &self.terms;
        Offer::new(OfferTerms {
            scheme: terms.scheme.clone(),
            network: network_of_name(&terms.network).unwrap_or_else(|| terms.network.clone()),
            asset: terms.asset.clone(),
            amount: terms.max_amount_required.clone(),
            pay_to: terms.pay_to.clone(),
            max_timeout_seconds: terms.max_timeout_seconds,
            extra: terms.extra.clone(),
        })
    }

    pub(in crate::x402) fn from_raw(raw: Box<RawValue>) -> Result<Self, Malformed> {
        let members: Value = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        let member = |name: &str| members.get(name).filter(|value| !value.is_null());
        let text = |name: &'static str| {
            let text = member(name).and_then(Value::as_str);
            text.map(str::to_owned).ok_or(Malformed::Field(name))
        };
        let optional = |name: &'static str| match member(name) {
            None => Ok(String::new()),
            Some(_) => text(name),
        };
        let lifetime = member("maxTimeoutSeconds").and_then(Value::as_u64);
        let extra = match member("extra") {
            None => Map::new(),
            Some(extra) => extra.as_object().ok_or(Malformed::Field("extra"))?.clone(),
        };
        let terms = RequirementsTerms {
            scheme: text("scheme")?,
            network: text("network")?,
            max_amount_required: text("maxAmountRequired")?,
            resource: text("resource")?,
            description: optional("description")?,
            mime_type: optional("mimeType")?,
            pay_to: text("payTo")?,
            max_timeout_seconds: lifetime.ok_or(Malformed::Field("maxTimeoutSeconds"))?,
            asset: text("asset")?,
            extra,
        };
        Ok(Self { raw, terms })
    }
}

impl PartialEq for PaymentRequired {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl PartialEq for Requirements {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl fmt::Debug for PaymentRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.raw);
        write!(f, "v1::PaymentRequired({text})")
    }
}

impl fmt::Debug for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1::Requirements({})", self.raw())
    }
}
