use std::borrow::Cow;

use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use serde_json::{Value, json};

use super::Finding;
use crate::x402::{Offer, OfferTerms, address};

/// Version of both statements.
const VERSION: u64 = 1;

/// What a seller signs about an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferStatement {
    /// What is sold.
    pub resource_url: String,
    /// Payment scheme.
    pub scheme: String,
    /// Chain as CAIP-2.
    pub network: String,
    /// Token contract.
    pub asset: String,
    /// Recipient.
    pub pay_to: String,
    /// Price or ceiling, base units.
    pub amount: String,
    /// Last second at which the offer is valid, Unix seconds; `None` for no end.
    pub valid_until_s: Option<u64>,
}

/// What a seller signs about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptStatement {
    /// Chain as CAIP-2.
    pub network: String,
    /// What was bought.
    pub resource_url: String,
    /// Who paid.
    pub payer: String,
    /// When it was served, Unix seconds.
    pub issued_at_s: u64,
    /// The settlement's transaction; `None` where the seller keeps it to itself.
    pub transaction: Option<String>,
}

impl OfferStatement {
    /// States an offer of `resource_url`.
    pub fn of(offer: &Offer, resource_url: &str, valid_until_s: Option<u64>) -> Self {
        let terms = offer.terms();
        Self {
            resource_url: resource_url.to_owned(),
            scheme: terms.scheme.clone(),
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            pay_to: terms.pay_to.clone(),
            amount: terms.amount.clone(),
            valid_until_s,
        }
    }

    /// The EIP-712 digest.
    pub fn digest(&self) -> B256 {
        let message = typed::Offer {
            version: U256::from(VERSION),
            resourceUrl: self.resource_url.clone(),
            scheme: self.scheme.clone(),
            network: self.network.clone(),
            asset: self.asset.clone(),
            payTo: self.pay_to.clone(),
            amount: self.amount.clone(),
            validUntil: U256::from(self.valid_until_s.unwrap_or(0)),
        };
        message.eip712_signing_hash(&domain("x402 offer"))
    }

    /// Whether this is about the offer `terms` of `resource_url`.
    pub(super) fn matches(&self, terms: &OfferTerms, resource_url: &str) -> Result<(), Finding> {
        let checks = [
            ("resourceUrl", self.resource_url == resource_url),
            ("scheme", self.scheme == terms.scheme),
            ("network", self.network == terms.network),
            ("asset", same(&self.asset, &terms.asset)),
            ("payTo", same(&self.pay_to, &terms.pay_to)),
            ("amount", self.amount == terms.amount),
        ];
        let differs = checks.into_iter().find(|(_, same)| !same);
        differs.map_or(Ok(()), |(name, _)| Err(Finding::Differs(name)))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "version": VERSION,
            "resourceUrl": self.resource_url,
            "scheme": self.scheme,
            "network": self.network,
            "asset": self.asset,
            "payTo": self.pay_to,
            "amount": self.amount,
            "validUntil": self.valid_until_s.unwrap_or(0),
        })
    }

    pub(super) fn of_json(payload: &Value) -> Result<Self, Finding> {
        version(payload)?;
        Ok(Self {
            resource_url: text(payload, "resourceUrl")?,
            scheme: text(payload, "scheme")?,
            network: text(payload, "network")?,
            asset: text(payload, "asset")?,
            pay_to: text(payload, "payTo")?,
            amount: text(payload, "amount")?,
            valid_until_s: match said(payload, "validUntil") {
                None => None,
                Some(value) => {
                    let seconds = value.as_u64().ok_or(Finding::Malformed("validUntil"))?;
                    (seconds != 0).then_some(seconds)
                }
            },
        })
    }
}

impl ReceiptStatement {
    /// The EIP-712 digest.
    pub fn digest(&self) -> B256 {
        let message = typed::Receipt {
            version: U256::from(VERSION),
            network: self.network.clone(),
            resourceUrl: self.resource_url.clone(),
            payer: self.payer.clone(),
            issuedAt: U256::from(self.issued_at_s),
            transaction: self.transaction.clone().unwrap_or_default(),
        };
        message.eip712_signing_hash(&domain("x402 receipt"))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "version": VERSION,
            "network": self.network,
            "resourceUrl": self.resource_url,
            "payer": self.payer,
            "issuedAt": self.issued_at_s,
            "transaction": self.transaction.as_deref().unwrap_or_default(),
        })
    }

    pub(super) fn of_json(payload: &Value) -> Result<Self, Finding> {
        version(payload)?;
        let issued_at = said(payload, "issuedAt").and_then(Value::as_u64);
        Ok(Self {
            network: text(payload, "network")?,
            resource_url: text(payload, "resourceUrl")?,
            payer: text(payload, "payer")?,
            issued_at_s: issued_at.ok_or(Finding::Malformed("issuedAt"))?,
            transaction: match said(payload, "transaction") {
                None => None,
                Some(_) => Some(text(payload, "transaction")?).filter(|text| !text.is_empty()),
            },
        })
    }
}

/// Chain id 1 always: the statement is not made on the chain that is paid on.
fn domain(name: &'static str) -> Eip712Domain {
    Eip712Domain::new(
        Some(Cow::Borrowed(name)),
        Some(Cow::Borrowed("1")),
        Some(U256::from(1)),
        None,
        None,
    )
}

fn said<'a>(payload: &'a Value, name: &str) -> Option<&'a Value> {
    payload.get(name).filter(|value| !value.is_null())
}

fn text(payload: &Value, name: &'static str) -> Result<String, Finding> {
    let text = said(payload, name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or(Finding::Malformed(name))
}

fn version(payload: &Value) -> Result<(), Finding> {
    match said(payload, "version").and_then(Value::as_u64) {
        Some(VERSION) => Ok(()),
        Some(_) | None => Err(Finding::Malformed("version")),
    }
}

/// Addresses are one in any case; everything else is compared as text.
fn same(said: &str, offered: &str) -> bool {
    said == offered || address(said).is_some_and(|said| address(offered) == Some(said))
}

mod typed {
    alloy_sol_types::sol! {
        struct Offer {
            uint256 version; string resourceUrl; string scheme; string network; string asset;
            string payTo; string amount; uint256 validUntil;
        }
        struct Receipt {
            uint256 version; string network; string resourceUrl; string payer; uint256 issuedAt;
            string transaction;
        }
    }
}
