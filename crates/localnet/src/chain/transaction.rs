//! Signed transactions: decoding, sender recovery, and what the execution engine is told.

use alloy_consensus::{Transaction as _, TxEnvelope, Typed2718 as _};
use alloy_eips::Decodable2718 as _;
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes};
use revm::context::TxEnv;
use seamline_evm::Signature;

use super::error::Rejection;

/// Largest transaction that is admitted, go-ethereum's `txMaxSize`.
pub(super) const MAX_TRANSACTION_BYTES: usize = 128 * 1024;

/// A transaction whose signature has been checked.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) envelope: TxEnvelope,
    pub(super) raw: Bytes,
    pub(super) sender: Address,
}

impl Transaction {
    /// Decodes and recovers the sender. Types 0, 1, 2 and 4; blobs are not supported.
    pub(super) fn decode(raw: &[u8]) -> Result<Self, Rejection> {
        if raw.len() > MAX_TRANSACTION_BYTES {
            return Err(Rejection::TooLarge(raw.len()));
        }
        if matches!(raw.first(), Some(3 | 5..=0x7f)) {
            return Err(Rejection::UnsupportedType);
        }
        let envelope = decode_envelope(raw)?;
        if envelope.chain_id().is_none() {
            return Err(Rejection::NotReplayProtected);
        }
        if envelope.authorization_list().is_some_and(<[_]>::is_empty) {
            return Err(Rejection::NoDelegation);
        }
        let sender = recover(&envelope).ok_or(Rejection::Signature)?;
        Ok(Self {
            envelope,
            raw: Bytes::copy_from_slice(raw),
            sender,
        })
    }

    pub(super) fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    pub(super) fn account_nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// Returns the transaction as the execution engine reads it.
    pub(super) fn env(&self) -> TxEnv {
        let tx = &self.envelope;
        let mut env = TxEnv {
            tx_type: tx.ty(),
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            ..TxEnv::default()
        };
        let delegations = tx.authorization_list().unwrap_or_default();
        env.set_recovered_authorization(delegations.iter().map(delegation).collect());
        env
    }
}

/// Recovers who delegates. One that does not recover is skipped in execution, and its transaction stands (EIP-7702).
fn delegation(signed: &SignedAuthorization) -> RecoveredAuthorization {
    let authority = signed
        .signature()
        .ok()
        .and_then(|signature| Signature::parse(&signature.as_bytes()).ok())
        .and_then(|signature| signature.recover(&signed.inner().signature_hash()).ok())
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

/// Decodes canonical bytes, without recovering the sender.
pub(super) fn decode_envelope(raw: &[u8]) -> Result<TxEnvelope, Rejection> {
    TxEnvelope::decode_2718_exact(raw).map_err(|_| Rejection::Malformed)
}

/// Recovers the signer; `None` for a high `s` too (EIP-2), so that a hash names one transaction.
fn recover(envelope: &TxEnvelope) -> Option<Address> {
    // Both libraries write r || s || v with v 27 or 28.
    let bytes = envelope.signature().as_bytes();
    Signature::parse(&bytes)
        .ok()?
        .recover(&envelope.signature_hash())
        .ok()
}
