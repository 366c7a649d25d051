//! Now and then: says that this replica is alive, takes up what a dead one left, and fills gaps in
//! the account's sequence.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use seamline_core::B256;
use seamline_evm::RpcCall;
use seamline_evm::rpc::At;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use tokio::time::{Instant, timeout};

use super::act::gap_key;
use super::{Held, Mail};
use crate::facilitator::settle::call_of;
use crate::facilitator::settlement::{Event, Lease, Settlement};
use crate::facilitator::shared::{Core, quantity};
use crate::facilitator::store::{StoreError, with};
use crate::facilitator::subject::Subject;

/// What a sweep remembers until the next.
#[derive(Default)]
pub(super) struct Sweeper {
    /// Account nonces that nobody had at the last sweep although later ones wait.
    gaps: BTreeSet<u64>,
    pruned: Option<Instant>,
}

/// How long a finished settlement is kept after its authorization expired: the chain refuses the
/// nonce from then on, and a day is longer than any reorganisation.
const KEEP_S: u64 = 24 * 60 * 60;
/// How long the chain may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Gaps that are filled at once: there should be none.
const MAX_GAPS: usize = 16;
/// Seconds between two removals of what is over.
const PRUNE_EVERY_S: u64 = 3600;

impl Sweeper {
    pub(super) async fn sweep(&mut self, core: &Core) {
        if let Err(error) = self.all(core).await {
            let error = seamline_core::chain(&error);
            tracing::error!(error, "the settlement store cannot be swept");
        }
    }

    async fn all(&mut self, core: &Core) -> Result<(), StoreError> {
        core.store.beat(core.owner, core.lease).await?;
        for held in orphans(core).await? {
            core.post(Mail::Adopt(Box::new(held)));
        }
        self.fill(core).await?;
        let due = |at: Instant| at.elapsed().as_secs() >= PRUNE_EVERY_S;
        if self.pruned.is_none_or(due) {
            self.pruned = Some(Instant::now());
            let now_s = (core.clock)().as_secs();
            core.store.prune(now_s.saturating_sub(KEEP_S)).await?;
        }
        Ok(())
    }

    /// Whoever waits behind an account nonce that nobody has waits for ever.
    async fn fill(&mut self, core: &Core) -> Result<(), StoreError> {
        let open = core.store.unfinished(core.address()).await?;
        let own = |it: &&Settlement| it.lease().owner == core.owner;
        let own: Vec<Settlement> = open.iter().filter(own).cloned().collect();
        core.post(Mail::Owned(own));
        let waiting: BTreeSet<u64> = open.iter().filter_map(Settlement::held_nonce).collect();
        let Some(last) = waiting.last().copied() else {
            self.gaps.clear();
            return Ok(());
        };
        // Asked anew: a replica that carries nothing does not follow the account.
        let calls = [RpcCall::account_nonce(core.address(), At::Latest)];
        // Bounded: the next sign of life waits for this.
        let answer = timeout(PATIENCE, core.rpc.batch(&calls)).await;
        let answer = answer.ok().and_then(Result::ok);
        let Some(mined) = answer.and_then(|results| match results.as_slice() {
            [Ok(count)] => quantity(count),
            _ => None,
        }) else {
            return Ok(());
        };
        let gaps: BTreeSet<u64> = (mined..last)
            .filter(|nonce| !waiting.contains(nonce))
            .take(MAX_GAPS)
            .collect();
        let before = core::mem::replace(&mut self.gaps, gaps);
        // Twice seen: it is no transaction that is being mined or signed right now.
        for account_nonce in self.gaps.intersection(&before).copied() {
            fill(core, account_nonce).await?;
        }
        Ok(())
    }
}

/// Takes up what dead replicas left, in the order of the account.
pub(in crate::facilitator) async fn orphans(core: &Core) -> Result<Vec<Held>, StoreError> {
    let taken = core.store.take_over(core.owner, core.address()).await?;
    let mut orphans = Vec::with_capacity(taken.len());
    for settlement in taken {
        let key = settlement.key();
        match adopt(core, settlement) {
            Ok(held) => orphans.push(held),
            // One record must not keep all others, nor the whole service, from going on.
            Err(error) => {
                let error = seamline_core::chain(&error);
                tracing::error!(error, %key, "a settlement cannot be taken up");
            }
        }
    }
    orphans.sort_by_key(|held| held.settlement.account_nonce());
    Ok(orphans)
}

pub(super) fn adopt(core: &Core, mut settlement: Settlement) -> Result<Held, StoreError> {
    if settlement.is_filler() {
        let payer = settlement
            .gas()
            .map_or_else(|| core.address(), |gas| gas.payer);
        core.gas().adopt(settlement.key(), payer);
        return Ok(Held::new(settlement, None));
    }
    let request = FacilitatorRequest::parse(settlement.request.as_bytes());
    let request = request.map_err(|_| StoreError::Corrupt)?;
    let subject = Subject::of(&request, core.chain_id).map_err(|_| StoreError::Corrupt)?;
    if subject.key != settlement.key() {
        return Err(StoreError::Corrupt);
    }
    let call = match &settlement.call {
        Some(call) => call.clone(),
        None => call_of(&subject, &request),
    };
    let payer = subject.authorization.payer();
    core.gas().adopt(subject.key, payer);
    settlement.call = Some(call);
    // A record of the first layout did not say them.
    settlement.blank = crate::facilitator::respond::blank(core, &subject);
    Ok(Held::new(settlement, Some(Arc::new(subject))))
}

/// Takes an account nonce with a transaction that does nothing.
async fn fill(core: &Core, account_nonce: u64) -> Result<(), StoreError> {
    let Ok(fees) = core.fees().await else {
        return Ok(());
    };
    tracing::warn!(account_nonce, "a gap in the account's sequence is filled");
    let key: B256 = gap_key(core, account_nonce);
    let signed = core.account.cancel(account_nonce, fees).await;
    let attempt = match signed {
        Ok(attempt) => attempt,
        Err(error) => {
            let error = seamline_core::chain(&error);
            tracing::error!(error, account_nonce, "a gap cannot be filled");
            return Ok(());
        }
    };
    let lease = Lease {
        owner: core.owner,
        fence: 0,
    };
    let blank = SettleResponse::failed(&core.network, None, Reason::TransactionFailed, None);
    let nothing = core.account.nothing();
    let gas = core.gas_use(core.address(), nothing.gas_limit);
    let call = Some(nothing);
    let mut filler = Settlement::new(
        key,
        B256::ZERO,
        String::new(),
        0,
        core.address(),
        call,
        blank,
        lease,
    );
    filler.gas = Some(gas);
    let transaction = attempt.transaction;
    filler.on_event(Event::Signed(attempt), core.now(), &core.pace);
    let written = with(core.store.as_ref(), key, None, move |page| {
        let known = page.settlement.as_ref();
        if known.is_some_and(|known| known.held_nonce().is_some()) {
            return None;
        }
        page.settlement = Some(filler.clone());
        Some(filler)
    });
    match written.await {
        Ok(Some(filler)) => {
            core.post(Mail::Carry(Box::new(Held::new(filler.clone(), None))));
            core.send(&filler, transaction);
            Ok(())
        }
        // Another replica fills it, or somebody has it by now.
        Ok(None) | Err(StoreError::AccountNonce) => Ok(()),
        Err(error) => Err(error),
    }
}
