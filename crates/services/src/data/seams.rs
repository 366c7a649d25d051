//! What the desk asks others to do.

use core::future::Future;
use core::pin::Pin;

use seamline_core::{Address, B256};
use seamline_evm::settlement::Standing;

use crate::facilitator::StoreError;

/// An answer of a seam, later.
pub type SeamFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Checks RSA-PSS (SHA-256, salt of 32 bytes) over the 32 bytes of a hash, under a SubjectPublicKeyInfo;
/// `attest::verify_rsa_pss` is one.
pub type VerifySignature = fn(spki_der: &[u8], message_hash: &B256, signature: &[u8]) -> bool;

/// A call of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it is made once for: the same id again joins the transaction that there is.
    pub id: B256,
    /// The contract.
    pub to: Address,
    /// The input.
    pub input: Vec<u8>,
    /// Most gas that it may use.
    pub gas_limit: u64,
    /// Who has the gas counted: whose answer is settled by itself. `None` for the facilitator's own
    /// business.
    pub payer: Option<Address>,
}

/// Sends transactions: each call once, whoever asks how often, and through crashes.
pub trait Sender: Send + Sync {
    /// The account that sends.
    fn address(&self) -> Address;

    /// Makes a call: returns as soon as its signed bytes are durable.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was signed, as far as is known.
    fn begin(&self, call: Call) -> SeamFuture<'_, Result<Standing, SendError>>;

    /// Where the call of `id` is; `None` where there is no record of it, which may be because it ended
    /// long ago. `is_final` is not decided here: it says `false`.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    fn standing(&self, id: B256) -> SeamFuture<'_, Result<Option<Standing>, SendError>>;
}

/// Why a call was not taken on.
#[derive(Debug, thiserror::Error)]
#[error("the sender does not take a call now")]
pub struct SendError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// It settled.
    Settled {
        /// Who paid.
        payer: Address,
        /// Who was paid.
        pay_to: Address,
    },
    /// It may settle yet.
    Open,
    /// It ended without moving money.
    Failed,
    /// Nothing is known of it: it may come yet.
    Unknown,
}

/// Knows payments by what the chain spends once for them.
pub trait Payments: Send + Sync {
    /// Looks a payment up.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn find(&self, payment: B256) -> SeamFuture<'_, Result<Paid, StoreError>>;
}
