//! EIP-1559 transactions: what the facilitator and the wallet send.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{BufMut, Encodable as _, Header};
use serde_json::Value;

use crate::rpc::{member, u256_of};
use crate::signer::sign_checked;
use crate::{Error, Signature, Signer, Wallet};

/// An EIP-1559 transaction without an access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The sender's account nonce.
    pub account_nonce: u64,
    /// What is offered for the gas.
    pub fees: Fees,
    /// Most gas that may be used.
    pub gas_limit: u64,
    /// The contract or account; `None` creates a contract.
    pub to: Option<Address>,
    /// Native coin to send, wei.
    pub value: U256,
    /// Input.
    pub input: Bytes,
}

/// What is offered for gas, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Most in all.
    pub max_fee_per_gas: u128,
    /// Most to whoever makes the block.
    pub max_priority_fee_per_gas: u128,
}

/// The most that may be offered for gas, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeCeiling {
    /// Most in all.
    pub max_fee_per_gas: u128,
    /// Most to whoever makes the block.
    pub max_priority_fee_per_gas: u128,
}

/// A transaction to send, with the hash that it will have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// The bytes for `eth_sendRawTransaction`.
    pub raw: Bytes,
    /// Hash of the transaction.
    pub hash: B256,
}

impl Fees {
    /// Chooses fees from the answer to `eth_feeHistory` over one block: twice the base fee of the
    /// next block, which lasts five full blocks, and the median tip, both under `ceiling`.
    ///
    /// # Errors
    ///
    /// [`Error::FeeOverCeiling`] where the next block's base fee alone exceeds the ceiling;
    /// [`Error::Answer`].
    pub fn from_history(history: &Value, ceiling: &FeeCeiling) -> Result<Self, Error> {
        let fees = member(history, "baseFeePerGas")?.as_array();
        let next = fees.and_then(|fees| fees.last());
        let base = wei(next.ok_or(Error::Answer("baseFeePerGas"))?)?;
        if base > ceiling.max_fee_per_gas {
            return Err(Error::FeeOverCeiling {
                observed: base,
                bound: ceiling.max_fee_per_gas,
            });
        }
        let rewards = history.get("reward").and_then(Value::as_array);
        let median = rewards
            .and_then(|blocks| blocks.last())
            .and_then(Value::as_array)
            .and_then(|percentiles| percentiles.first());
        let tip = median
            .map_or(Ok(0), wei)?
            .min(ceiling.max_priority_fee_per_gas);
        let max_fee = base.saturating_mul(2).saturating_add(tip);
        let max_fee_per_gas = max_fee.min(ceiling.max_fee_per_gas);
        Ok(Self {
            max_fee_per_gas,
            max_priority_fee_per_gas: tip.min(max_fee_per_gas),
        })
    }

    /// Fees for replacing a transaction that waits too long: an eighth more, as nodes require,
    /// under `ceiling`; `None` where the ceiling leaves no room.
    pub fn bumped(&self, ceiling: &FeeCeiling) -> Option<Self> {
        // 12.5 %, rounded up, is the least that geth and its relatives accept for a replacement.
        let bump = |fee: u128| fee.checked_add(fee.div_ceil(8)).map(|fee| fee.max(1));
        let bumped = Self {
            max_fee_per_gas: bump(self.max_fee_per_gas)?,
            max_priority_fee_per_gas: bump(self.max_priority_fee_per_gas)?,
        };
        let fits = bumped.max_fee_per_gas <= ceiling.max_fee_per_gas
            && bumped.max_priority_fee_per_gas <= ceiling.max_priority_fee_per_gas;
        fits.then_some(bumped)
    }
}

impl Transaction {
    /// The digest that the sender signs (EIP-1559).
    pub fn digest(&self) -> B256 {
        keccak256(self.encode(None))
    }

    /// Nine fields and, signed, three more, after the type byte.
    fn encode(&self, signature: Option<&Signature>) -> Vec<u8> {
        let Self {
            chain_id,
            account_nonce,
            fees,
            gas_limit,
            to,
            value,
            input,
        } = self;
        let mut fields = Vec::new();
        chain_id.encode(&mut fields);
        account_nonce.encode(&mut fields);
        fees.max_priority_fee_per_gas.encode(&mut fields);
        fees.max_fee_per_gas.encode(&mut fields);
        gas_limit.encode(&mut fields);
        match to {
            Some(to) => to.encode(&mut fields),
            None => fields.put_u8(alloy_rlp::EMPTY_STRING_CODE),
        }
        value.encode(&mut fields);
        input.encode(&mut fields);
        fields.put_u8(alloy_rlp::EMPTY_LIST_CODE);
        if let Some(signature) = signature {
            signature.odd_y().encode(&mut fields);
            signature.r().encode(&mut fields);
            signature.s().encode(&mut fields);
        }
        let mut out = vec![TYPE_EIP1559];
        let header = Header {
            list: true,
            payload_length: fields.len(),
        };
        header.encode(&mut out);
        out.append(&mut fields);
        out
    }
}

impl Wallet {
    /// Signs a transaction. The same transaction always yields the same bytes.
    pub fn sign_transaction(&self, transaction: &Transaction) -> SignedTransaction {
        SignedTransaction::new(transaction, &self.sign_hash(&transaction.digest()))
    }
}

/// Signs a transaction with any signer. Blocks as long as the signer does; a signer that is not a
/// [`Wallet`] may answer other bytes each time, so that what is stored is what is sent.
///
/// # Errors
///
/// [`Error::Sign`].
pub fn sign(signer: &dyn Signer, transaction: &Transaction) -> Result<SignedTransaction, Error> {
    let signature = sign_checked(signer, &transaction.digest())?;
    Ok(SignedTransaction::new(transaction, &signature))
}

impl SignedTransaction {
    fn new(transaction: &Transaction, signature: &Signature) -> Self {
        let raw = transaction.encode(Some(signature));
        Self {
            hash: keccak256(&raw),
            raw: raw.into(),
        }
    }
}

fn wei(value: &Value) -> Result<u128, Error> {
    u128::try_from(u256_of(value)?).map_err(|_| Error::Answer("a fee below 2^128"))
}

/// EIP-2718 type of an EIP-1559 transaction.
const TYPE_EIP1559: u8 = 2;

#[cfg(test)]
mod tests;
