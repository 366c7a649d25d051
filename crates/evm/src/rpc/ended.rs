//! Which errors of an endpoint are a contract's own end, and which say nothing about the contract.

#[cfg(test)]
mod tests;

use alloy_primitives::Bytes;
use serde_json::Value;

use super::{RpcError, decode_hex};

impl RpcError {
    /// The bytes that a contract reverted with, or `None` where this error is not a revert: then
    /// it says nothing about the contract and the reader fails closed.
    ///
    /// Endpoints differ: code 3 with `data` a string (geth, anvil), `data` nested one deeper
    /// (hardhat), or only the words `execution reverted` (older geth; then the bytes are empty).
    pub fn revert(&self) -> Option<Bytes> {
        let data = match &self.data {
            Some(Value::Object(fields)) => fields.get("data").and_then(Value::as_str),
            Some(Value::String(text)) => Some(text.as_str()),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => None,
        };
        let bytes = data.and_then(|text| decode_hex(text).ok());
        let says_revert = self.code == 3 || self.message.contains("execution reverted");
        match (bytes, says_revert) {
            (Some(bytes), true) => Some(bytes),
            (None, true) => Some(Bytes::new()),
            (Some(_) | None, false) => None,
        }
    }

    /// Whether the machine halted in the called code: out of gas, an invalid instruction, an overfull stack.
    ///
    /// The codes of a halt differ between endpoints (-32000, -32003, -32603), so that its words are
    /// recognised: go-ethereum's and its relatives', and the names of revm behind anvil's, reth's and
    /// the embedded chain's introductions. Words that are not known are not a halt.
    pub fn halted(&self) -> bool {
        self.revert().is_none() && halts(&self.message)
    }

    /// How the called code ended: the bytes of a [revert](Self::revert), none where it
    /// [halted](Self::halted); `None` where the endpoint could not say, and asking again may help.
    pub fn ended(&self) -> Option<Bytes> {
        let halted = || self.halted().then(Bytes::new);
        self.revert().or_else(halted)
    }
}

fn halts(message: &str) -> bool {
    let name = INTRODUCTIONS
        .iter()
        .find_map(|words| message.strip_prefix(words));
    match name {
        // A name ends before its detail: `OutOfGas(Basic)`.
        Some(name) => {
            let end = name.find(|c: char| !c.is_ascii_alphanumeric());
            let name = end.map_or(Some(name), |end| name.get(..end));
            name.is_some_and(|name| NAMES.contains(&name))
        }
        None => WORDS.iter().any(|words| message.starts_with(words)),
    }
}

/// What the embedded chain, anvil and reth write before revm's name.
const INTRODUCTIONS: [&str; 3] = ["execution halted: ", "EVM error: ", "EVM error "];

/// revm's `HaltReason` and `InstructionResult` where the code is to blame; those that blame the state's
/// source (`FatalExternalError`) are not here.
const NAMES: [&str; 24] = [
    "CallNotAllowedInsideStatic",
    "CallTooDeep",
    "CreateCollision",
    "CreateContractSizeLimit",
    "CreateContractStartingWithEF",
    "CreateInitCodeSizeLimit",
    "InvalidFEOpcode",
    "InvalidJump",
    "InvalidOperandOOG",
    "MemoryLimitOOG",
    "MemoryOOG",
    "NonceOverflow",
    "NotActivated",
    "OpcodeNotFound",
    "OutOfFunds",
    "OutOfGas",
    "OutOfOffset",
    "OverflowPayment",
    "PrecompileError",
    "PrecompileOOG",
    "ReentrancySentryOOG",
    "StackOverflow",
    "StackUnderflow",
    "StateChangeDuringStaticCall",
];

/// How go-ethereum's virtual machine ends, as its errors begin.
const WORDS: [&str; 12] = [
    "contract creation code storage out of gas",
    "gas uint64 overflow",
    "invalid jump destination",
    "invalid opcode",
    "max call depth exceeded",
    "max code size exceeded",
    "max initcode size exceeded",
    "out of gas",
    "return data out of bounds",
    "stack limit reached",
    "stack underflow",
    "write protection",
];
