//! The extension `eip2612GasSponsoring`: the payer signs the token's approval of Permit2 (EIP-2612),
//! and the facilitator submits it together with the settlement.

use std::fmt;

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

use super::info_of;
use crate::x402::{Reason, address, uint256};

/// Key of the extension.
pub const KEY: &str = "eip2612GasSponsoring";
/// Version of the extension.
const VERSION: &str = "1";

/// A payer's signed approval, read from its payment's `extensions`. Nothing is checked here but its
/// form: whose it is, of which token, for whom and until when is the facilitator's to check.
///
/// # Security
///
/// Holds a live approval; `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whose tokens.
    pub from: Address,
    /// Token contract.
    pub asset: Address,
    /// Who may move them; Permit2, if it is of use here.
    pub spender: Address,
    /// How many, base units.
    pub amount: U256,
    /// The token's counter for `from`.
    pub nonce: U256,
    /// Last second at which the approval can be used, Unix seconds.
    pub deadline: U256,
    /// `r || s || v`.
    pub signature: [u8; 65],
}

/// What a server declares under [`KEY`].
pub fn declaration() -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    json!({
        "info": {
            "description": "The facilitator submits a signed EIP-2612 approval of Permit2 with the settlement.",
            "version": VERSION,
        },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "from": text("^0x[a-fA-F0-9]{40}$"),
                "asset": text("^0x[a-fA-F0-9]{40}$"),
                "spender": text("^0x[a-fA-F0-9]{40}$"),
                "amount": text("^[0-9]+$"),
                "nonce": text("^[0-9]+$"),
                "deadline": text("^[0-9]+$"),
                "signature": text("^0x[a-fA-F0-9]+$"),
                "version": text("^[0-9]+(\\.[0-9]+)*$"),
            },
            "required": ["from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version"],
        },
    })
}

/// Whether a 402 offers to submit an approval.
pub fn is_declared(declared: Option<&Value>) -> bool {
    declared.is_some_and(|all| all.get(KEY).is_some_and(Value::is_object))
}

/// The approval of a payment; `None` where the payer added none (it may have echoed the declaration).
///
/// # Errors
///
/// [`Reason::InvalidEip2612ExtensionFormat`] where members are missing or malformed, or the version is
/// not 1.
pub fn of(extensions: Option<&Value>) -> Result<Option<Approval>, Reason> {
    let Some(info) = info_of(extensions, KEY) else {
        return Ok(None);
    };
    let member = |name: &str| info.get(name).filter(|value| !value.is_null());
    let added = [
        "from",
        "asset",
        "spender",
        "amount",
        "nonce",
        "deadline",
        "signature",
    ];
    if added.iter().all(|name| member(name).is_none()) {
        return Ok(None);
    }
    read(info)
        .map(Some)
        .ok_or(Reason::InvalidEip2612ExtensionFormat)
}

fn read(info: &Value) -> Option<Approval> {
    let text = |name: &str| info.get(name)?.as_str();
    if text("version")? != VERSION {
        return None;
    }
    let account = |name| address(text(name)?);
    let number = |name| uint256(text(name)?);
    let signature = text("signature")?.strip_prefix("0x")?;
    Some(Approval {
        from: account("from")?,
        asset: account("asset")?,
        spender: account("spender")?,
        amount: number("amount")?,
        nonce: number("nonce")?,
        deadline: number("deadline")?,
        signature: hex::decode_to_array(signature).ok()?,
    })
}

impl Approval {
    /// What a payer adds under [`KEY`], see [`super::merge`].
    pub fn addition(&self) -> Value {
        json!({
            "info": {
                "from": self.from.to_string(),
                "asset": self.asset.to_string(),
                "spender": self.spender.to_string(),
                "amount": self.amount.to_string(),
                "nonce": self.nonce.to_string(),
                "deadline": self.deadline.to_string(),
                "signature": hex::encode_prefixed(self.signature),
                "version": VERSION,
            },
        })
    }
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval")
            .field("from", &self.from)
            .field("asset", &self.asset)
            .field("spender", &self.spender)
            .field("amount", &self.amount)
            .field("nonce", &self.nonce)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
