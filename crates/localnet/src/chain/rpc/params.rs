//! Reading parameters: strict about types, exact about which one is wrong.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value};

use super::super::call::Call;
use super::{RpcError, invalid_params};

/// Positional parameters of one call.
pub(super) struct Params<'a>(&'a [Value]);

/// Names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockId {
    Earliest,
    Hash(B256),
    /// Also `safe` and `finalized`: nothing here reorganises.
    Latest,
    Number(u64),
    Pending,
}

impl<'a> Params<'a> {
    pub(super) fn new(params: &'a Value) -> Result<Self, RpcError> {
        match params {
            Value::Null => Ok(Self(&[])),
            Value::Array(values) => Ok(Self(values)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(invalid_params("params must be an array"))
            }
        }
    }

    /// Returns a parameter; null counts as absent.
    pub(super) fn get(&self, index: usize) -> Option<&'a Value> {
        self.0.get(index).filter(|value| !value.is_null())
    }

    fn required(&self, index: usize) -> Result<&'a Value, RpcError> {
        self.get(index)
            .ok_or_else(|| invalid_params(format!("missing value for required argument {index}")))
    }

    pub(super) fn address(&self, index: usize) -> Result<Address, RpcError> {
        address(self.required(index)?).ok_or_else(|| bad(index, "a 20-byte address"))
    }

    pub(super) fn hash(&self, index: usize) -> Result<B256, RpcError> {
        hash(self.required(index)?).ok_or_else(|| bad(index, "a 32-byte hash"))
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Bytes, RpcError> {
        bytes(self.required(index)?).ok_or_else(|| bad(index, "0x-prefixed bytes"))
    }

    /// Reads a storage slot: a quantity, or up to 32 bytes.
    pub(super) fn slot(&self, index: usize) -> Result<U256, RpcError> {
        let text = self
            .required(index)?
            .as_str()
            .and_then(|text| text.strip_prefix("0x"));
        let digits = text.filter(|digits| (1..=64).contains(&digits.len()) && is_hex(digits));
        digits
            .and_then(|digits| U256::from_str_radix(digits, 16).ok())
            .ok_or_else(|| bad(index, "a storage slot"))
    }

    /// Reads a quantity, as a hexadecimal string or as a JSON number.
    pub(super) fn number(&self, index: usize) -> Result<u64, RpcError> {
        let value = self.required(index)?;
        value
            .as_u64()
            .or_else(|| quantity64(value))
            .ok_or_else(|| bad(index, "a quantity"))
    }

    pub(super) fn flag(&self, index: usize) -> Result<bool, RpcError> {
        match self.get(index) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| bad(index, "a boolean")),
        }
    }

    /// Reads a block; absent means `latest`.
    pub(super) fn block(&self, index: usize) -> Result<BlockId, RpcError> {
        match self.get(index) {
            None => Ok(BlockId::Latest),
            Some(value) => block_id(value).ok_or_else(|| bad(index, "a block number, tag or hash")),
        }
    }

    pub(super) fn object(&self, index: usize) -> Result<&'a Map<String, Value>, RpcError> {
        self.required(index)?
            .as_object()
            .ok_or_else(|| bad(index, "an object"))
    }

    /// Reads a call object.
    pub(super) fn call(&self, index: usize) -> Result<Call, RpcError> {
        let fields = Fields(self.object(index)?);
        if fields.has("blobVersionedHashes") || fields.has("authorizationList") {
            return Err(invalid_params("blobs and delegations are not supported"));
        }
        let (input, data) = (fields.read("input", bytes)?, fields.read("data", bytes)?);
        if let (Some(input), Some(data)) = (&input, &data)
            && input != data
        {
            return Err(invalid_params(
                "both `data` and `input` are set and not equal",
            ));
        }
        let gas_price = fields.read("gasPrice", quantity128)?;
        let max_fee = fields.read("maxFeePerGas", quantity128)?;
        let tip = fields.read("maxPriorityFeePerGas", quantity128)?;
        if gas_price.is_some() && (max_fee.is_some() || tip.is_some()) {
            return Err(invalid_params(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            ));
        }
        Ok(Call {
            from: fields.read("from", address)?.unwrap_or_default(),
            to: fields.read("to", address)?,
            gas: fields.read("gas", quantity64)?,
            gas_price: gas_price.or(max_fee).unwrap_or_default(),
            // Without a price there is nothing to tip from.
            tip: if max_fee.unwrap_or_default() > 0 {
                Some(tip.unwrap_or_default())
            } else {
                None
            },
            value: fields.read("value", quantity)?.unwrap_or_default(),
            input: input.or(data).unwrap_or_default(),
            account_nonce: fields.read("nonce", quantity64)?,
            access_list: fields.read("accessList", access_list)?.unwrap_or_default(),
        })
    }
}

/// Members of an object; null counts as absent.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn read<T>(
        &self,
        name: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, RpcError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => parse(value)
                .map(Some)
                .ok_or_else(|| invalid_params(format!("invalid value for `{name}`"))),
        }
    }
}

pub(super) fn block_id(value: &Value) -> Option<BlockId> {
    if let Value::Object(fields) = value {
        // EIP-1898
        let fields = Fields(fields);
        return match (fields.get("blockHash"), fields.get("blockNumber")) {
            (Some(value), None) => hash(value).map(BlockId::Hash),
            (None, Some(value)) => quantity64(value).map(BlockId::Number),
            (Some(_), Some(_)) | (None, None) => None,
        };
    }
    match value.as_str()? {
        "earliest" => Some(BlockId::Earliest),
        "latest" | "safe" | "finalized" => Some(BlockId::Latest),
        "pending" => Some(BlockId::Pending),
        text if text.len() == 66 => hash(value).map(BlockId::Hash),
        _ => quantity64(value).map(BlockId::Number),
    }
}

pub(super) fn address(value: &Value) -> Option<Address> {
    Address::try_from(bytes(value)?.as_ref()).ok()
}

pub(super) fn hash(value: &Value) -> Option<B256> {
    B256::try_from(bytes(value)?.as_ref()).ok()
}

pub(super) fn bytes(value: &Value) -> Option<Bytes> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    hex::decode(digits)
        .ok()
        .filter(|_| is_hex(digits))
        .map(Bytes::from)
}

/// Reads a quantity as the execution API specifies it: `0x`, no leading zeros.
pub(in super::super) fn quantity(value: &Value) -> Option<U256> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let canonical = digits == "0" || !(digits.is_empty() || digits.starts_with('0'));
    if !canonical || digits.len() > 64 || !is_hex(digits) {
        return None;
    }
    U256::from_str_radix(digits, 16).ok()
}

pub(super) fn quantity64(value: &Value) -> Option<u64> {
    quantity(value)?.try_into().ok()
}

fn quantity128(value: &Value) -> Option<u128> {
    quantity(value)?.try_into().ok()
}

fn access_list(value: &Value) -> Option<AccessList> {
    let items = value.as_array()?.iter().map(|item| {
        let keys = item.get("storageKeys")?.as_array()?;
        Some(AccessListItem {
            address: address(item.get("address")?)?,
            storage_keys: keys.iter().map(hash).collect::<Option<_>>()?,
        })
    });
    items.collect::<Option<Vec<_>>>().map(AccessList)
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn bad(index: usize, wanted: &str) -> RpcError {
    invalid_params(format!("invalid argument {index}: want {wanted}"))
}
