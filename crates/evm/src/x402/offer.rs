use std::fmt;

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{MAX_HEADER, shape};
use crate::Malformed;

/// What a seller asks: one element of `accepts`, kept byte for byte as it came.
///
/// A payment echoes the chosen offer in `accepted`, and official servers compare it as strings,
/// case-sensitively: an offer is therefore never serialised again. Offers of any scheme parse;
/// unknown members survive in the raw bytes.
#[derive(Clone)]
pub struct Offer {
    raw: Box<RawValue>,
    terms: OfferTerms,
}

/// The members of an offer, as strings of the wire. Named as x402 names them (`PaymentRequirements`).
#[derive(Clone, Debug, PartialEq)]
pub struct OfferTerms {
    /// Payment scheme, such as `upto`.
    pub scheme: String,
    /// Chain as CAIP-2, such as `eip155:8453`.
    pub network: String,
    /// Token contract.
    pub asset: String,
    /// Price, or for `upto` the ceiling, in base units of the token: decimal digits.
    pub amount: String,
    /// Recipient.
    pub pay_to: String,
    /// How long the authorization may live, in seconds.
    pub max_timeout_seconds: u64,
    /// Scheme-specific members.
    pub extra: Map<String, Value>,
}

impl Offer {
    /// Reads one element of `accepts`.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] where x402 requires a member that is not there.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        shape::check(json, MAX_HEADER)?;
        let raw: Box<RawValue> = serde_json::from_slice(json).map_err(|_| Malformed::Json)?;
        Self::from_raw(raw)
    }

    /// Makes an offer to sell for; members are written in the order of [`OfferTerms`].
    pub fn new(terms: OfferTerms) -> Self {
        let OfferTerms {
            scheme,
            network,
            asset,
            amount,
            pay_to,
            max_timeout_seconds,
            extra,
        } = &terms;
        let members = [
            ("scheme", json!(scheme)),
            ("network", json!(network)),
            ("asset", json!(asset)),
            ("amount", json!(amount)),
            ("payTo", json!(pay_to)),
            ("maxTimeoutSeconds", json!(max_timeout_seconds)),
            ("extra", json!(extra)),
        ];
        let raw = shape::object(&members.map(|(name, value)| (name, value.to_string())));
        Self { raw, terms }
    }

    /// The same offer at another amount: what a resource server sends to `/settle` for `upto`,
    /// where the requirement names the metered amount.
    #[must_use]
    pub fn with_amount(&self, amount: seamline_core::Amount) -> Self {
        let mut terms = self.terms.clone();
        terms.amount = amount.to_string();
        Self::new(terms)
    }

    /// The JSON of the offer, byte for byte.
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    /// The members of the offer.
    pub const fn terms(&self) -> &OfferTerms {
        &self.terms
    }

    pub(super) fn from_raw(raw: Box<RawValue>) -> Result<Self, Malformed> {
        let members: Value = serde_json::from_str(raw.get()).map_err(|_| Malformed::Json)?;
        let text = |name: &'static str| match members.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            )
            | None => Err(Malformed::Field(name)),
        };
        let lifetime = members.get("maxTimeoutSeconds").and_then(Value::as_u64);
        let extra = match members.get("extra") {
            Some(Value::Object(extra)) => extra.clone(),
            Some(Value::Null) | None => Map::new(),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(Malformed::Field("extra"));
            }
        };
        let terms = OfferTerms {
            scheme: text("scheme")?,
            network: text("network")?,
            asset: text("asset")?,
            amount: text("amount")?,
            pay_to: text("payTo")?,
            max_timeout_seconds: lifetime.ok_or(Malformed::Field("maxTimeoutSeconds"))?,
            extra,
        };
        Ok(Self { raw, terms })
    }
}

impl OfferTerms {
    /// The chain id of an `eip155` network.
    pub fn chain_id(&self) -> Option<u64> {
        chain_id(&self.network)
    }

    /// The token contract as an address.
    pub fn asset_address(&self) -> Option<Address> {
        address(&self.asset)
    }

    /// The recipient as an address.
    pub fn pay_to_address(&self) -> Option<Address> {
        address(&self.pay_to)
    }

    /// The amount in base units; `None` for other schemes' decimal forms and above 2^128.
    pub fn amount(&self) -> Option<seamline_core::Amount> {
        seamline_core::Amount::parse(&self.amount).ok()
    }

    /// The facilitator that alone may settle an `upto` authorization (`extra.facilitatorAddress`).
    pub fn facilitator(&self) -> Option<Address> {
        address(self.extra.get("facilitatorAddress")?.as_str()?)
    }

    /// The first member in which `accepted` (a payer's echo) differs from these terms (a server's),
    /// by the rule of the official servers: strings equal, case-sensitively, and every member of
    /// `extra` present and equal in the echo, which may hold more.
    pub fn mismatch(&self, accepted: &Self) -> Option<&'static str> {
        let Self {
            scheme,
            network,
            asset,
            amount,
            pay_to,
            max_timeout_seconds,
            extra,
        } = self;
        let extra_holds = extra.iter().all(|(name, value)| {
            accepted
                .extra
                .get(name)
                .is_some_and(|echo| covers(value, echo))
        });
        [
            ("scheme", *scheme == accepted.scheme),
            ("network", *network == accepted.network),
            ("payTo", *pay_to == accepted.pay_to),
            ("amount", *amount == accepted.amount),
            ("asset", *asset == accepted.asset),
            (
                "maxTimeoutSeconds",
                *max_timeout_seconds == accepted.max_timeout_seconds,
            ),
            ("extra", extra_holds),
        ]
        .into_iter()
        .find_map(|(name, equal)| (!equal).then_some(name))
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({})", self.raw())
    }
}

impl Serialize for Offer {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(writer)
    }
}

impl<'de> Deserialize<'de> for Offer {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(reader)?;
        Self::from_raw(raw).map_err(serde::de::Error::custom)
    }
}

/// Reads the chain id of a CAIP-2 `eip155` network.
pub(crate) fn chain_id(network: &str) -> Option<u64> {
    let digits = network.strip_prefix("eip155:")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// Reads an address of `0x` and 40 hexadecimal digits in any case: x402 does not require EIP-55.
pub(crate) fn address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x")?;
    let bytes: [u8; 20] = hex::decode_to_array(digits).ok()?;
    Some(Address::from(bytes))
}

/// Reads a `uint256`: decimal digits, or `0x` and hexadecimal digits.
pub(crate) fn uint256(text: &str) -> Option<U256> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // 78: digits of 2^256 in decimal; more is refused before it is parsed.
    let plain = (1..=78).contains(&digits.len())
        && digits.bytes().all(|byte| match radix {
            16 => byte.is_ascii_hexdigit(),
            _ => byte.is_ascii_digit(),
        });
    if plain {
        U256::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}

/// Whether `echo` holds everything of `value`: objects by member, everything else equal.
fn covers(value: &Value, echo: &Value) -> bool {
    match (value, echo) {
        (Value::Object(members), Value::Object(echoes)) => members
            .iter()
            .all(|(name, value)| echoes.get(name).is_some_and(|echo| covers(value, echo))),
        (value, echo) => value == echo,
    }
}
