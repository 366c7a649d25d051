//! What a paywall must not forget: which authorizations it works for, and what they still owe.

mod file;
mod memory;
#[cfg(test)]
mod tests;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::io;
use std::path::PathBuf;

use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::x402::{Offer, PaymentPayload, SettleResponse};
use serde::{Deserialize, Serialize};

pub use self::file::FileStore;
pub use self::memory::MemoryStore;

/// An answer of a store, later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where a paywall keeps its records: at most one per [`Record::key`], each with a version.
///
/// Every change compares the version first and is durable before it returns, so that two processes
/// that share a store never work for the same authorization. [`MemoryStore`] forgets everything
/// with its process; [`FileStore`] is one process's file; a database that several replicas share
/// implements this trait with one conditional statement per method.
pub trait PaywallStore: Send + Sync {
    /// Writes `record` where its key has none; returns the record that the key has otherwise.
    fn insert<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, Option<Record>>;

    /// Writes `record` over the one of its key whose version is one less. `false`: there is none.
    fn replace<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, bool>;

    /// Removes the record of `key` if it has this version. `false`: there is none.
    fn remove(&self, key: B256, version: u64) -> StoreFuture<'_, bool>;

    /// Returns the record of `key`.
    fn get(&self, key: B256) -> StoreFuture<'_, Option<Record>>;

    /// Returns the records that are [`Held`](Duty::Held) or [`Owed`](Duty::Owed) and whose lease
    /// is over at `now`; of whatever lease where `now` is `None`.
    fn abandoned(&self, now: Option<Timestamp>) -> StoreFuture<'_, Vec<Record>>;

    /// Forgets what expired before `now`.
    fn sweep(&self, now: Timestamp) -> StoreFuture<'_, ()>;

    /// Whether no other process can hold this store: what is found when a process starts is then
    /// abandoned, whatever its lease says.
    fn is_exclusive(&self) -> bool;
}

/// What a paywall knows about one authorization, or about one payment identifier.
///
/// # Security
///
/// [`Duty::Owed`] holds a live authorization: whoever reads the store together with the
/// facilitator's key can settle it, to the one that it pays. `Debug` leaves it out. Requests and
/// answers are never in a record.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    /// What the chain spends once (`spec/payment.md`, "Resource server").
    pub key: B256,
    /// Raised by one with each change.
    pub version: u64,
    /// SHA-256 of the payment message.
    pub authorization: B256,
    /// SHA-256 over the request.
    pub request: B256,
    /// Who pays.
    pub payer: Address,
    /// Whose it is, where shops share a store ([`PaywallConfig::scope`](super::PaywallConfig::scope)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<B256>,
    /// Until when the writer works on it, Unix milliseconds; after that others may.
    pub lease_ms: u64,
    /// When the authorization expires, Unix milliseconds.
    pub deadline_ms: u64,
    /// When the record is forgotten, Unix milliseconds.
    pub expires_ms: u64,
    /// What is left to do.
    pub duty: Duty,
}

/// What is left to do for a record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Duty {
    /// The handler works; nothing that costs anything has left.
    Held,
    /// This was delivered, or is about to be, and is not settled yet.
    Owed(Box<Debt>),
    /// The settlement ended, one way or the other.
    Ended {
        /// How.
        settled: Box<SettleResponse>,
        /// Whether the payer's request was served: `false` for a settlement in advance whose
        /// handler has not run to its end.
        served: bool,
    },
    /// A payment identifier: the key is its hash, the authorization is the one that used it.
    Named,
}

/// A payment that is to be settled.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Debt {
    /// How much is due, in base units.
    #[serde(with = "decimal")]
    pub amount: Amount,
    /// Whether it is settled before the handler runs.
    pub upfront: bool,
    /// Whether what it pays for has left: it then stays owed while the authorization can be settled,
    /// whatever a moment's balance is. What an earlier version wrote is taken to have.
    #[serde(default = "yes")]
    pub delivered: bool,
    /// The payment, byte for byte.
    #[serde(with = "raw_payload")]
    pub payload: PaymentPayload,
    /// The offer that it answers.
    pub offer: Offer,
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record is not what this version writes.
    #[error("a record of the paywall store cannot be read")]
    Corrupt,
    /// The database failed.
    #[error("the database of the paywall failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The tables of a database are another version's.
    #[error("the tables of the paywall store have layout {found}, this version reads {known}")]
    Layout {
        /// What is there.
        found: i32,
        /// What this version writes.
        known: i32,
    },
    /// The file cannot be opened; another process may hold it.
    #[error("cannot open the paywall store `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Record {
    /// Whether somebody may still be working on it.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        now.as_millis() < self.lease_ms
    }

    /// Whether a shop of `scope` may work on it. What nobody has signed is anybody's, as in records of an
    /// earlier version.
    pub fn is_of(&self, scope: Option<B256>) -> bool {
        self.scope.is_none() || self.scope == scope
    }

    /// Whether there is something left to do for it.
    pub fn is_open(&self) -> bool {
        match self.duty {
            Duty::Held | Duty::Owed(_) => true,
            Duty::Ended { .. } | Duty::Named => false,
        }
    }

    /// Whether it can be forgotten.
    pub const fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_ms < now.as_millis()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("duty", &self.duty)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("Held"),
            Self::Owed(debt) => write!(f, "Owed({})", debt.amount),
            Self::Ended { settled, served } => {
                write!(f, "Ended({}, served {served})", settled.success)
            }
            Self::Named => f.write_str("Named"),
        }
    }
}

impl fmt::Debug for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debt")
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

const fn yes() -> bool {
    true
}

mod decimal {
    use seamline_core::Amount;
    use serde::de::{Deserialize as _, Error as _};

    pub(super) fn serialize<S: serde::Serializer>(
        amount: &Amount,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        writer.serialize_str(&amount.to_string())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        reader: D,
    ) -> Result<Amount, D::Error> {
        let text = String::deserialize(reader)?;
        Amount::parse(&text).map_err(D::Error::custom)
    }
}

/// A payment as a string of its JSON: raw JSON does not survive inside a tagged enum.
mod raw_payload {
    use seamline_evm::x402::PaymentPayload;
    use serde::de::{Deserialize as _, Error as _};

    pub(super) fn serialize<S: serde::Serializer>(
        payload: &PaymentPayload,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        writer.serialize_str(payload.raw())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        reader: D,
    ) -> Result<PaymentPayload, D::Error> {
        let text = String::deserialize(reader)?;
        PaymentPayload::parse(text.as_bytes()).map_err(D::Error::custom)
    }
}
