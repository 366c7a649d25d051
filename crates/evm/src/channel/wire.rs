//! Members of the scheme's JSON: numbers are decimal strings, as the official SDKs write them; what
//! is read may also be `0x` hexadecimal, and small numbers may be strings.

use alloy_primitives::{Address, B256, U256};
use seamline_core::Amount;
use serde_json::Value;

use crate::Malformed;
use crate::x402::{address, uint256};

/// Longest signature that is read, in bytes: an ERC-1271 wallet's with many owners stays below.
const MAX_SIGNATURE: usize = 4096;

/// Reads members of one object.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a Value);

impl<'a> Reader<'a> {
    pub(super) fn member(self, name: &'static str) -> Result<&'a Value, Malformed> {
        self.optional(name).ok_or(Malformed::Field(name))
    }

    /// A member that may be absent; `null` is absent.
    pub(super) fn optional(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn object(self, name: &'static str) -> Result<Self, Malformed> {
        let value = self.member(name)?;
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err(Malformed::Field(name))
        }
    }

    pub(super) fn text(self, name: &'static str) -> Result<&'a str, Malformed> {
        self.member(name)?.as_str().ok_or(Malformed::Field(name))
    }

    pub(super) fn address(self, name: &'static str) -> Result<Address, Malformed> {
        address(self.text(name)?).ok_or(Malformed::Field(name))
    }

    /// `0x` and exactly 64 hexadecimal digits.
    pub(super) fn word(self, name: &'static str) -> Result<B256, Malformed> {
        let digits = self.text(name)?.strip_prefix("0x");
        let bytes = digits.and_then(|digits| hex::decode_to_array::<_, 32>(digits).ok());
        bytes.map(B256::from).ok_or(Malformed::Field(name))
    }

    pub(super) fn number(self, name: &'static str) -> Result<U256, Malformed> {
        let value = self.member(name)?;
        let text = value.as_str().map(str::to_owned);
        let text = text.or_else(|| value.as_u64().map(|number| number.to_string()));
        text.and_then(|text| uint256(&text))
            .ok_or(Malformed::Field(name))
    }

    /// A `uint128`.
    pub(super) fn amount(self, name: &'static str) -> Result<Amount, Malformed> {
        Amount::try_from(self.number(name)?).map_err(|_| Malformed::Field(name))
    }

    /// A number below 2^64: a delay, a time.
    pub(super) fn small(self, name: &'static str) -> Result<u64, Malformed> {
        u64::try_from(self.number(name)?).map_err(|_| Malformed::Field(name))
    }

    pub(super) fn signature(self, name: &'static str) -> Result<Vec<u8>, Malformed> {
        signature(self.text(name)?).ok_or(Malformed::Field(name))
    }
}

pub(super) fn signature(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    if digits.len() > MAX_SIGNATURE.saturating_mul(2) {
        return None;
    }
    hex::decode(digits).ok()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}
