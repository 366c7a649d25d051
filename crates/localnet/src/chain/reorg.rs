//! Reorganisations, for tests: what was in a block is not any more.

use alloy_primitives::Bytes;

use super::error::Error;
use super::record::Head;
use super::state::Diff;
use super::store::Sealed;
use super::transaction::Transaction;
use super::{BlockRef, Chain, HISTORY_BLOCKS, edition};

/// What becomes of the transactions of the blocks that a reorganisation takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They are gone, as where no node of the new branch knows them: whoever wants them sends them again.
    Forget,
    /// They wait again, for the block after the new branch, as far as they can still be admitted.
    Requeue,
}

impl Chain {
    /// Replaces the newest `depth` blocks by as many empty ones with other hashes, in one act. No block is made afterwards,
    /// also with instant mining, so that what is requeued can be seen waiting.
    ///
    /// Snapshots of replaced blocks are forgotten.
    ///
    /// # Errors
    /// [`Error::TooOld`] for a depth that reaches the first block, one that brought an edition of the genesis, or past the last
    /// [`HISTORY_BLOCKS`]; [`Error::Store`].
    pub fn reorg(&self, depth: u64, orphans: Orphans) -> Result<BlockRef, Error> {
        let mut core = self.core();
        let reader = self.inner.store.reader()?;
        let head = reader.head()?;
        let fork = head.header.number.checked_sub(depth);
        let fork = fork
            .filter(|_| depth <= HISTORY_BLOCKS)
            .ok_or(Error::TooOld(0))?;
        // 1. What the blocks held, oldest first.
        let mut held = Vec::new();
        for number in fork.saturating_add(1)..=head.header.number {
            let block = reader.block(number)?.ok_or(Error::Corrupt("block"))?;
            if *block.header.extra_data == *edition::EXTRA_DATA {
                return Err(Error::TooOld(number));
            }
            held.extend(block.transactions);
        }
        // 2. The other branch.
        let mut parent = reader.header(fork)?.ok_or(Error::Corrupt("header"))?;
        let mut branch = Vec::new();
        let unchanged = Diff::default();
        for _ in 0..depth {
            core.reorgs = core.reorgs.saturating_add(1);
            let mut header = self.next_header(&core, &parent);
            header.extra_data =
                Bytes::from([b"seamline reorg ".as_slice(), &core.reorgs.to_be_bytes()].concat());
            header.state_root = unchanged.root(parent.header.state_root);
            let hash = header.hash_slow();
            parent = Head { header, hash };
            branch.push(parent.clone());
        }
        // 3. One for the other.
        let sealed = branch.iter().map(|head| Sealed {
            header: &head.header,
            hash: head.hash,
            transactions: &[],
            transaction_hashes: &[],
            diff: &unchanged,
        });
        let sealed: Vec<_> = sealed.collect();
        drop(reader);
        self.inner.store.replace(fork, &sealed)?;
        core.snapshots.retain(|number| *number <= fork);
        // 4. Waiting again.
        if orphans == Orphans::Requeue {
            for record in held {
                let again = Transaction::decode(&record.raw);
                let again = again
                    .map_err(Into::into)
                    .and_then(|tx| self.admit(&mut core, tx));
                if let Err(err) = again {
                    tracing::debug!(error = %err, "orphan not requeued");
                }
            }
        }
        Ok(parent.reference())
    }
}
