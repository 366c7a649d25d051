//! What is written of a transaction: what it calls, what it offers, its bytes.

use core::fmt;

use seamline_core::{Address, B256};
use seamline_evm::tx::Fees;
use serde::{Deserialize, Serialize};

/// A call of a contract.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) to: Address,
    #[serde(with = "hexadecimal")]
    pub(crate) input: Vec<u8>,
    pub(crate) gas_limit: u64,
}

/// A signed transaction.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attempt {
    pub(crate) purpose: Purpose,
    /// The signed bytes, hexadecimal.
    pub(crate) raw: String,
    /// Hash of the transaction.
    pub(crate) transaction: B256,
    /// The place of the transaction in the account's sequence.
    pub(crate) account_nonce: u64,
    /// What it offers for gas; absent in records of an older layout.
    pub(crate) fees: Option<Offered>,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Settles the payment.
    Settle,
    /// Does nothing but take its account nonce.
    Cancel,
}

/// Fees of a transaction, wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offered {
    max: u128,
    tip: u128,
}

impl From<Fees> for Offered {
    fn from(fees: Fees) -> Self {
        Self {
            max: fees.max_fee_per_gas,
            tip: fees.max_priority_fee_per_gas,
        }
    }
}

impl From<Offered> for Fees {
    fn from(offered: Offered) -> Self {
        Self {
            max_fee_per_gas: offered.max,
            max_priority_fee_per_gas: offered.tip,
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes hold a live authorization.
        f.debug_struct("Attempt")
            .field("purpose", &self.purpose)
            .field("transaction", &self.transaction)
            .field("account_nonce", &self.account_nonce)
            .finish_non_exhaustive()
    }
}

/// Bytes as a JSON string.
mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(&hex::encode_prefixed(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(reader)?;
        hex::decode(text).map_err(|_| de::Error::custom("not hexadecimal"))
    }
}
