//! What the chain says of channels whose deposit was sent and not answered.

use seamline_core::{B256, Timestamp};
use seamline_evm::chain::{self, SettlementQuery};
use seamline_evm::channel::StateRead;
use seamline_evm::channel::payer::Channel;
use seamline_evm::{Error, Rpc};

use super::{Purse, PurseFault};
use crate::client::lock;

/// A deposit that is open, and what the chain spends for it once.
struct Open {
    id: B256,
    query: SettlementQuery,
}

impl Purse {
    /// Reads what became of every open deposit on this chain, and takes it into the books.
    pub(crate) async fn observe_deposits(
        &self,
        rpc: &dyn Rpc,
        chain_id: u64,
    ) -> Result<(), PurseFault> {
        let open: Vec<Open> = {
            let pool = lock(&self.books.channels);
            let channels = pool.as_ref().map_or(&[][..], |pool| pool.channels());
            let here = channels.iter().filter(|it| it.chain_id() == chain_id);
            here.filter_map(question).collect()
        };
        let seen = read(rpc, &open).await.map_err(PurseFault::Chain)?;
        let mut pool = lock(&self.books.channels);
        for (id, state, spent, time) in seen {
            let Some(channel) = pool.as_mut().and_then(|pool| pool.get_mut(&id)) else {
                continue;
            };
            // Our own clock is asked as well: no endpoint talks it into signing another deposit early.
            channel.observe(&state, Some(spent), time.min(self.env.now()));
            let written = self.books.journal.update_channel(channel);
            written.map_err(PurseFault::Journal)?;
        }
        Ok(())
    }
}

fn question(channel: &Channel) -> Option<Open> {
    let deposit = channel.open_deposit_of()?;
    let query = SettlementQuery {
        method: deposit.method(),
        payer: channel.config().payer,
        auth_nonce: channel.open_nonce()?,
        asset: channel.config().token,
        from_block: 0,
    };
    Some(Open {
        id: channel.id(),
        query,
    })
}

type Seen = (B256, seamline_evm::channel::ChainState, bool, Timestamp);

/// Whether each nonce is spent, then the channels: a deposit that lands in between is counted.
async fn read(rpc: &dyn Rpc, open: &[Open]) -> Result<Vec<Seen>, Error> {
    let mut spent = Vec::new();
    let block = chain::newest_block(rpc).await?;
    for one in open {
        spent.push(chain::nonce_used(rpc, &one.query, &block).await?);
    }
    let read = StateRead::new(open.iter().map(|one| one.id).collect());
    let results = rpc.batch(read.calls()).await?;
    let states = read.conclude(&results)?;
    let time = Timestamp::from_secs(block.time_s);
    let seen = states.into_iter().zip(spent);
    Ok(seen
        .map(|((id, state), spent)| (id, state, spent, time))
        .collect())
}
