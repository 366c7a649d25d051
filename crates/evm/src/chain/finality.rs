//! How long a fact of the chain may still be undone, and whether it was.
//!
//! A fork of depth `d` takes the newest `d` blocks away. What has `d` confirmations or fewer can be undone
//! by it, what has `d + 1` cannot. So whoever acts on a fact says how deep it must be ([`Depths`]), and
//! whoever writes one down keeps the block that it was read in ([`Anchor`]) and looks again
//! ([`standing`]) until it is final. Payers and facilitators use the same rule; `spec/payment.md` says
//! what each promises with it.

use alloy_primitives::B256;
use serde_json::Value;

use super::{Block, SettlementFacts, exactly, read_block};
use crate::rpc::{At, send};
use crate::{Error, Rpc, RpcCall};

/// How far a fact has come. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finality {
    /// It is in a block, which a fork may take away.
    Seen,
    /// It is as deep as its reader asks for before acting on it.
    Confirmed,
    /// It is so deep that nobody looks again.
    Final,
}

/// How deep is deep enough, in blocks, the fact's own included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depths {
    confirmations: u64,
    finality: u64,
}

/// The block that a written fact rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// What became of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its block is on the chain.
    There(Finality),
    /// Another block has its number: what was read there is open again.
    Gone,
    /// The endpoint's chain does not reach so far: it lags, or a fork is under way. Ask again.
    Behind,
}

/// Blocks after which nobody looks again, where nothing else is said: what wallets call confirmed.
pub const FINALITY_DEPTH: u64 = 12;

impl Depths {
    /// Acts after `confirmations` blocks (at least one) and looks until `finality` (at least as many).
    pub const fn new(confirmations: u64, finality: u64) -> Self {
        let confirmations = if confirmations == 0 { 1 } else { confirmations };
        let finality = if finality < confirmations {
            confirmations
        } else {
            finality
        };
        Self {
            confirmations,
            finality,
        }
    }

    /// Blocks before a fact is acted on.
    pub const fn confirmations(self) -> u64 {
        self.confirmations
    }

    /// Blocks after which nobody looks again.
    pub const fn finality(self) -> u64 {
        self.finality
    }

    /// How far what is in block `number` has come while block `head` is the newest; `None` where the
    /// chain does not reach so far.
    pub const fn of(self, number: u64, head: u64) -> Option<Finality> {
        let Some(above) = head.checked_sub(number) else {
            return None;
        };
        let depth = above.saturating_add(1);
        Some(if depth >= self.finality {
            Finality::Final
        } else if depth >= self.confirmations {
            Finality::Confirmed
        } else {
            Finality::Seen
        })
    }
}

/// Acts on the first block, and looks until [`FINALITY_DEPTH`].
impl Default for Depths {
    fn default() -> Self {
        Self::new(1, FINALITY_DEPTH)
    }
}

impl From<&Block> for Anchor {
    fn from(block: &Block) -> Self {
        Self {
            number: block.number,
            hash: block.hash,
        }
    }
}

impl From<&SettlementFacts> for Anchor {
    fn from(facts: &SettlementFacts) -> Self {
        Self {
            number: facts.block_number,
            hash: facts.block_hash,
        }
    }
}

/// Asks whether the block of a written fact is still on the chain, and how deep it is: one batch.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`], [`Error::Answer`].
pub async fn standing(rpc: &dyn Rpc, anchor: &Anchor, depths: Depths) -> Result<Standing, Error> {
    let calls = [
        RpcCall::block(At::Latest),
        RpcCall::block(At::Number(anchor.number)),
    ];
    let [head, block] = exactly(send(rpc, &calls).await?)?;
    let head = read_block(&head)?;
    if block == Value::Null {
        return Ok(Standing::Behind);
    }
    let block = read_block(&block)?;
    if block.number != anchor.number {
        return Err(Error::Answer("another block than was asked for"));
    }
    if block.hash != anchor.hash {
        return Ok(Standing::Gone);
    }
    let finality = depths.of(anchor.number, head.number);
    Ok(finality.map_or(Standing::Behind, Standing::There))
}

#[cfg(test)]
mod tests;
