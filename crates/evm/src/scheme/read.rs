//! Reads the members of a payment.

use alloy_primitives::{Address, B256, U256};
use serde_json::Value;

use crate::Malformed;
use crate::x402::{address, uint256};

/// A JSON value whose members are asked for by pointer.
#[derive(Clone, Copy)]
pub(crate) struct Members<'a>(pub(crate) &'a Value);

impl<'a> Members<'a> {
    pub(crate) fn text(self, pointer: &'static str) -> Result<&'a str, Malformed> {
        let value = self.0.pointer(pointer).and_then(Value::as_str);
        value.ok_or(Malformed::Field(pointer))
    }

    pub(crate) fn account(self, pointer: &'static str) -> Result<Address, Malformed> {
        address(self.text(pointer)?).ok_or(Malformed::Field(pointer))
    }

    /// A `uint256`: decimal digits, or `0x` and hexadecimal digits.
    pub(crate) fn number(self, pointer: &'static str) -> Result<U256, Malformed> {
        uint256(self.text(pointer)?).ok_or(Malformed::Field(pointer))
    }

    /// Exactly 32 bytes as `0x` and hexadecimal digits.
    pub(crate) fn word(self, pointer: &'static str) -> Result<B256, Malformed> {
        let digits = self.text(pointer)?.strip_prefix("0x");
        let bytes = digits.and_then(|digits| hex::decode_to_array::<_, 32>(digits).ok());
        bytes.map(B256::from).ok_or(Malformed::Field(pointer))
    }

    pub(crate) fn bytes(self, pointer: &'static str) -> Result<Vec<u8>, Malformed> {
        let digits = self.text(pointer)?.strip_prefix("0x");
        let bytes = digits.and_then(|digits| hex::decode(digits).ok());
        bytes.ok_or(Malformed::Field(pointer))
    }
}
