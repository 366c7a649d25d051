//! The books of payment channels, and the promises that purchases made in them.

use redb::{ReadableTable as _, TableDefinition};
use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::channel::payer::{Channel, Pool};
use seamline_evm::policy::SpendPolicy;
use serde::{Deserialize, Serialize};

use super::book::Token;
use super::{CALLS, CallRecord, Fault, Journal, JournalError, Over, budget};
use crate::client::lock;

/// Channel id -> books, as the channel writes them.
const CHANNELS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("channels");
/// Name -> value, of what is drawn once for an installation.
const ONCE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("once");
/// What the salts of channels are made of.
const SEED: &str = "channel-seed";

/// What a purchase promised in a channel. The promise itself is in the channel's books.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VoucherRecord {
    /// The channel.
    pub channel: B256,
    /// CAIP-2 id of the chain.
    pub network: String,
    /// The ERC-20.
    pub asset: Address,
    /// Who is paid.
    pub pay_to: Address,
    /// The node or origin that was asked.
    pub node: B256,
    /// Most that this request may be charged, base units.
    #[serde(with = "super::decimal::plain")]
    pub(crate) amount: Amount,
    /// What was charged, where it is known.
    #[serde(with = "super::decimal::optional")]
    pub(crate) charged: Option<Amount>,
    /// What is known.
    pub state: VoucherState,
    /// What the calls before it were charged in the channel; `None` in journals of earlier versions.
    #[serde(
        default,
        with = "super::decimal::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) before: Option<Amount>,
    /// What was put into the channel with it.
    #[serde(
        default,
        with = "super::decimal::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) deposit: Option<Amount>,
    /// The transaction in which the seller claimed what it charged, once the chain shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimRecord>,
}

/// Where the chain has what a seller claimed for a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClaimRecord {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// What it took of this promise, base units.
    #[serde(with = "super::decimal::plain")]
    pub(crate) amount: Amount,
}

/// What is known about a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoucherState {
    /// Signed, perhaps sent, and not answered: the seller may charge it.
    Open,
    /// The seller said what it charged, and that is all that it can claim for it.
    Charged,
    /// The seller went on without it: it was charged nothing, and nothing can be claimed for it.
    Void,
}

impl VoucherState {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "unknown",
            Self::Charged => "charged",
            Self::Void => "not_charged",
        }
    }
}

impl VoucherRecord {
    /// The token that is paid with.
    pub(super) fn token(&self) -> Token {
        Token {
            network: self.network.clone(),
            asset: self.asset,
        }
    }

    /// What the request cost, or may still cost.
    pub(super) fn committed(&self) -> Amount {
        match self.state {
            VoucherState::Open => self.amount,
            VoucherState::Charged => self.charged.unwrap_or(self.amount),
            VoucherState::Void => Amount::ZERO,
        }
    }
}

impl Journal {
    /// All channels as the books have them. `seed` is kept if none was drawn before.
    pub(crate) fn pool(
        &self,
        recorder: [u8; 32],
        per_seller: u32,
        seed: B256,
    ) -> Result<Pool, JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_write()?;
        let pool = {
            let once = txn.open_table(ONCE);
            let mut once = once.map_err(|err| storage(err.into()))?;
            let drawn = once.get(SEED).map_err(|err| self.fault(err.into()))?;
            let drawn = drawn.and_then(|bytes| B256::try_from(bytes.value()).ok());
            let seed = match drawn {
                Some(drawn) => drawn,
                None => {
                    let kept = once.insert(SEED, seed.as_slice()).map(drop);
                    kept.map_err(|err| self.fault(err.into()))?;
                    seed
                }
            };
            let mut pool = Pool::new(recorder, seed, per_seller);
            let table = txn.open_table(CHANNELS);
            let table = table.map_err(|err| storage(err.into()))?;
            let rows = table.iter().map_err(|err| self.fault(err.into()))?;
            for row in rows {
                let (_, bytes) = row.map_err(|err| self.fault(err.into()))?;
                let channel = Channel::decode(bytes.value());
                let damaged = |_| JournalError::Damaged {
                    path: self.path.clone(),
                    source: None,
                };
                pool.restore(channel.map_err(damaged)?);
            }
            pool
        };
        txn.commit().map_err(|err| storage(err.into()))?;
        Ok(pool)
    }

    /// Stores a promise and the channel that it is made in, if the budget covers it, before it is sent.
    pub(crate) fn reserve_voucher(
        &self,
        record: &CallRecord,
        channel: &Channel,
        policy: &SpendPolicy,
        now: Timestamp,
    ) -> Result<Result<(), Over>, JournalError> {
        let mut state = lock(&self.state);
        if let Err(over) = budget::allows(&state.book, record, policy, now) {
            return Ok(Err(over));
        }
        self.put_with_channel(record, channel)?;
        state.book.note(record);
        Ok(Ok(()))
    }

    /// Writes what became of a promise, and its channel, in one transaction.
    pub(crate) fn update_voucher(
        &self,
        record: &CallRecord,
        channel: &Channel,
    ) -> Result<(), JournalError> {
        let mut state = lock(&self.state);
        self.put_with_channel(record, channel)?;
        state.book.note(record);
        Ok(())
    }

    /// Writes the books of a channel.
    pub(crate) fn update_channel(&self, channel: &Channel) -> Result<(), JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_write()?;
        {
            let channels = txn.open_table(CHANNELS);
            let mut channels = channels.map_err(|err| storage(err.into()))?;
            let written = channels.insert(channel.id().as_slice(), channel.encode().as_slice());
            written.map_err(|err| self.fault(Fault::from(err)))?;
        }
        txn.commit().map_err(|err| storage(err.into()))
    }

    /// Promises of a channel that are not answered, oldest first, without that of `except`.
    pub(crate) fn open_vouchers(
        &self,
        channel: &B256,
        except: u64,
    ) -> Result<Vec<CallRecord>, JournalError> {
        let open = lock(&self.state).book.open_in(channel);
        let mut records = Vec::new();
        for seq in open.into_iter().filter(|seq| *seq != except) {
            records.extend(self.call(seq)?);
        }
        Ok(records)
    }

    fn put_with_channel(&self, record: &CallRecord, channel: &Channel) -> Result<(), JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_write()?;
        {
            let calls = txn.open_table(CALLS);
            let mut calls = calls.map_err(|err| storage(err.into()))?;
            let written = calls.insert(record.seq, record.to_bytes().as_slice());
            written.map_err(|err| self.fault(Fault::from(err)))?;
            let channels = txn.open_table(CHANNELS);
            let mut channels = channels.map_err(|err| storage(err.into()))?;
            let written = channels.insert(channel.id().as_slice(), channel.encode().as_slice());
            written.map_err(|err| self.fault(Fault::from(err)))?;
        }
        txn.commit().map_err(|err| storage(err.into()))
    }
}
