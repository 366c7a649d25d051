use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use seamline_core::Amount;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MAX_HEADER, Reason, shape};
use crate::Malformed;

/// A facilitator's answer to `/verify`; always HTTP 200, valid or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment can be settled.
    pub is_valid: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<Reason>,
    /// Detail for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays, as far as the payment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Extensions of the facilitator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// Scheme-specific members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// A facilitator's answer to `/settle`, and the content of the `PAYMENT-RESPONSE` header.
///
/// Said by the node and its facilitator: whether money moved is asked of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether the payment was settled.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<Reason>,
    /// Detail for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Hash of the settlement's transaction; empty where there is none.
    pub transaction: String,
    /// Chain as CAIP-2.
    pub network: String,
    /// Amount that was settled, in base units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Extensions of the facilitator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// Scheme-specific members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// What a facilitator can settle: its answer to `/supported`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Supported {
    /// One entry per version, scheme and network.
    pub kinds: Vec<SupportedKind>,
    /// Names of extensions.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Settling accounts by CAIP-2 pattern.
    #[serde(default)]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// One way to pay that a facilitator supports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SupportedKind {
    /// Version of x402.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// Scheme.
    pub scheme: String,
    /// Chain as CAIP-2.
    pub network: String,
    /// Scheme-specific members; `facilitatorAddress` for `upto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl VerifyResponse {
    /// The payment of `payer` can be settled.
    pub fn valid(payer: Address) -> Self {
        Self {
            is_valid: true,
            invalid_reason: None,
            invalid_message: None,
            payer: Some(payer.to_string()),
            extensions: None,
            extra: None,
        }
    }

    /// The payment cannot be settled.
    pub fn invalid(reason: Reason, payer: Option<Address>) -> Self {
        Self {
            is_valid: false,
            invalid_reason: Some(reason),
            invalid_message: None,
            payer: payer.map(|payer| payer.to_string()),
            extensions: None,
            extra: None,
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// A [`Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        shape::read(json, MAX_HEADER)
    }
}

impl SettleResponse {
    /// `amount` was settled; a `transaction` of `None` says that nothing was due.
    pub fn settled(
        network: &str,
        payer: Address,
        transaction: Option<B256>,
        amount: Amount,
    ) -> Self {
        Self {
            success: true,
            error_reason: None,
            transaction: transaction.map(|hash| hash.to_string()).unwrap_or_default(),
            amount: Some(amount.to_string()),
            ..Self::failed(network, Some(payer), Reason::SettlementPending, None)
        }
    }

    /// Nothing was settled, as far as is known; `settlement_pending` names the transaction that
    /// may still do it.
    pub fn failed(
        network: &str,
        payer: Option<Address>,
        reason: Reason,
        transaction: Option<B256>,
    ) -> Self {
        Self {
            success: false,
            error_reason: Some(reason),
            error_message: None,
            payer: payer.map(|payer| payer.to_string()),
            transaction: transaction.map(|hash| hash.to_string()).unwrap_or_default(),
            network: network.to_owned(),
            amount: None,
            extensions: None,
            extra: None,
        }
    }

    /// The answer for a payer of version 1, with the network by its name there.
    #[must_use]
    pub fn to_v1(&self) -> Self {
        let network = super::v1::network_said(&self.network).to_owned();
        Self {
            network,
            ..self.clone()
        }
    }

    /// Reads the JSON of a `PAYMENT-RESPONSE` header or of an answer to `/settle`.
    ///
    /// # Errors
    ///
    /// A [`Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        shape::read(json, MAX_HEADER)
    }

    /// Decodes a `PAYMENT-RESPONSE` header.
    ///
    /// # Errors
    ///
    /// As [`super::decode_header`] and [`SettleResponse::parse`].
    pub fn from_header(value: &[u8]) -> Result<Self, Malformed> {
        Self::parse(&super::decode_header(value)?)
    }

    /// The transaction, where the answer names one.
    pub fn transaction_hash(&self) -> Option<B256> {
        let digits = self.transaction.strip_prefix("0x")?;
        let bytes: [u8; 32] = hex::decode_to_array(digits).ok()?;
        Some(B256::from(bytes))
    }

    /// The amount, where the answer names one in base units.
    pub fn settled_amount(&self) -> Option<Amount> {
        Amount::parse(self.amount.as_deref()?).ok()
    }

    /// The JSON of the answer.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The value of the `PAYMENT-RESPONSE` header.
    pub fn to_header(&self) -> String {
        super::encode_header(self.to_json().as_bytes())
    }
}

impl Supported {
    /// Reads an answer to `/supported`; larger than a header because it may list every chain.
    ///
    /// # Errors
    ///
    /// A [`Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        // 256 KiB: a facilitator of a hundred chains with six kinds each stays below 100 KiB.
        shape::read(json, 256 * 1024)
    }

    /// The account that settles `scheme` on `network`, where the facilitator binds one.
    pub fn facilitator(&self, scheme: &str, network: &str) -> Option<Address> {
        let kind = self.kinds.iter().find(|kind| {
            kind.x402_version == super::VERSION && kind.scheme == scheme && kind.network == network
        })?;
        let extra = kind.extra.as_ref()?;
        super::offer::address(extra.get("facilitatorAddress")?.as_str()?)
    }
}
