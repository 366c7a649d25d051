//! Drives what waits and what is open: one task, which a crash may stop at any line.

use core::time::Duration;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::{StreamExt as _, stream};
use seamline_core::B256;
use seamline_evm::rpc::At;
use seamline_evm::settlement::{
    FoundRoot, Job, JobEvent, JobKind, JobStep, SettlementData, Stage, Standing, batches,
    individual,
};
use seamline_evm::{RpcCall, chain};

use super::blob::store_checked;
use super::book::{self, Item};
use super::seams::{Call, Paid, Payments};
use super::store::Transaction;
use super::{Core, DataDesk, Error, KEEP_S, Refusal};
use crate::facilitator::StoreError;

/// Answers whose payments are looked up in one round, and jobs of their own that one round begins.
const ROUND: usize = 256;
/// Jobs that are driven at once.
const AT_ONCE: usize = 8;
/// How long a payment is waited for: longer than any authorization lives, and as long as an answer may be
/// settled individually.
const PAYMENT_S: u64 = 60 * 60;
/// Individual settlements on their way to a block at once: a quarter of the lane, whose other places are
/// the payments'.
const INDIVIDUAL_AT_ONCE: usize = 16;
/// Pause where nothing waits; news end it.
const QUIET: Duration = Duration::from_secs(60);
/// Pause where only payments are waited for.
const PAYMENTS: Duration = Duration::from_secs(1);
/// Blocks that are searched for a record, and where the endpoint refuses that many.
const SEARCH: [u64; 2] = [10_000, 1_000];
/// Gas of `batchSettle`, whose cost is the log of a blob's identifier.
const BATCH_GAS: u64 = 300_000;
/// Gas of `settleIndividual`, which reads a key, checks a signature and logs both: about 200,000. What is
/// set aside for it is kept from payments (OpenGradient's facilitator offers 9,000,000).
const INDIVIDUAL_GAS: u64 = 1_500_000;

/// Runs until it is aborted.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        let pause = match round(&core).await {
            Ok(pause) => pause,
            Err(error) => {
                let error = seamline_core::chain(&error);
                tracing::error!(error, "data settlement waits");
                PAYMENTS
            }
        };
        tokio::select! {
            () = core.news.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl DataDesk {
    /// Does everything that can be done now, once; what the desk does by itself all the time.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Payments`]. Failures of the chain, of the sender and of blobs delay
    /// single jobs.
    pub async fn round(&self) -> Result<(), Error> {
        round(&self.0.core).await.map(drop)
    }
}

async fn round(core: &Core) -> Result<Duration, Error> {
    let now_s = core.now_s();
    // 1. What was paid meanwhile.
    let unpaid = check_payments(core, now_s).await?;
    // 2. New jobs.
    let rule = core.config.rule;
    for _ in 0..ROUND {
        if core
            .book(move |book| book::begin(book, now_s, INDIVIDUAL_AT_ONCE))
            .await?
            .is_none()
        {
            break;
        }
    }
    while let Some(job) = core
        .book(move |book| book::seal(book, &rule, now_s))
        .await?
    {
        tracing::info!(root = %job.id, answers = job.items.len(), "batch closed");
    }
    // 3. Every open job, as far as it goes.
    let open = core.book(book::open).await?;
    let busy = !open.is_empty();
    let driven = stream::iter(open)
        .map(|id| drive(core, id))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for outcome in driven {
        match outcome {
            // Another replica is at it.
            Ok(()) | Err(Error::Store(StoreError::Fenced)) => {}
            Err(error) => return Err(error),
        }
    }
    // 4. What is old.
    let before_s = now_s.saturating_sub(KEEP_S);
    core.book(move |book| book::prune(book, before_s, ROUND))
        .await?;
    let queue = core.book(move |book| book::queue(book, &rule)).await?;
    Ok(match queue {
        _ if busy => core.config.poll,
        _ if unpaid => PAYMENTS,
        Some(queue) => {
            let idle = queue.newest_s.saturating_add(rule.idle_s);
            let longest = queue.oldest_s.saturating_add(rule.longest_s);
            let due = idle.min(longest).saturating_sub(now_s);
            Duration::from_secs(due.clamp(1, QUIET.as_secs()))
        }
        None => QUIET,
    })
}

/// Returns whether payments are still open.
async fn check_payments(core: &Core, now_s: u64) -> Result<bool, Error> {
    let Some(payments) = &core.config.payments else {
        return Ok(false);
    };
    let due = move |book: &mut dyn Transaction| book::unpaid(book, now_s, ROUND);
    let (due, mut unpaid) = core.book(due).await?;
    for (id, item) in due {
        let old = now_s.saturating_sub(item.accepted_s) > PAYMENT_S;
        let words = item.words().map_err(Error::Store)?;
        match judge(payments.as_ref(), &item, words).await? {
            Judged::Paid(word) => {
                let full = !core
                    .book(move |book| book::pay(book, id, &word, now_s))
                    .await?;
                if full {
                    refuse(core, id, Refusal::TooMany, now_s).await?;
                }
            }
            Judged::Refused(refusal) => refuse(core, id, refusal, now_s).await?,
            Judged::Open if old => refuse(core, id, Refusal::NotPaid, now_s).await?,
            Judged::Open => {
                unpaid = true;
                core.book(move |book| book::later(book, id, now_s)).await?;
            }
        }
    }
    Ok(unpaid)
}

/// What the payments of an answer came to.
enum Judged {
    /// One settled to the node: this word counts.
    Paid(Box<SettlementData>),
    /// One may settle yet.
    Open,
    /// None does; why the last one does not.
    Refused(Refusal),
}

async fn judge(
    payments: &dyn Payments,
    item: &Item,
    words: Vec<SettlementData>,
) -> Result<Judged, Error> {
    let mut judged = Judged::Refused(Refusal::NoPayment);
    for word in words {
        let paid = match word.payment {
            Some(payment) => payments.find(payment).await.map_err(Error::Payments)?,
            None => Paid::Failed,
        };
        let payer = word.content.as_ref().map(|content| content.eth_address);
        let refusal = match paid {
            Paid::Settled { pay_to, .. } if pay_to != item.pay_to => Refusal::OtherPayee,
            Paid::Settled { payer: who, .. } if payer.is_some_and(|payer| payer != who) => {
                Refusal::OtherPayer
            }
            Paid::Settled { .. } => return Ok(Judged::Paid(Box::new(word))),
            Paid::Failed => Refusal::NotPaid,
            Paid::Open | Paid::Unknown => {
                judged = Judged::Open;
                continue;
            }
        };
        if matches!(judged, Judged::Refused(_)) {
            judged = Judged::Refused(refusal);
        }
    }
    Ok(judged)
}

async fn refuse(core: &Core, id: B256, refusal: Refusal, now_s: u64) -> Result<(), Error> {
    let reason = refusal.to_string();
    core.book(move |book| book::refuse(book, id, reason, now_s))
        .await
}

/// Carries one job on until it has to wait.
async fn drive(core: &Core, id: B256) -> Result<(), Error> {
    let Some(mut job) = core.book(move |book| book::job(book, id)).await? else {
        return Ok(());
    };
    let mut step = job.next(core.now_s());
    while let Some(now) = step {
        let event = match now {
            JobStep::StoreBlob => store_blob(core, &job).await,
            JobStep::Send => send(core, &job).await,
            JobStep::Look => Some(look(core, &job).await),
            JobStep::Watch => watch(core, &job).await,
            JobStep::Persist | JobStep::Rest => None,
        };
        let Some(event) = event else { break };
        let watched = now == JobStep::Watch;
        let before = job.version;
        let steps = job.on_event(event, core.now_s());
        if steps.contains(&JobStep::Persist) {
            let written = job.clone();
            core.book(move |book| book::write(book, &written)).await?;
            report(&job);
        }
        step = steps.into_iter().find(|step| *step != JobStep::Persist);
        // Nothing new to see: look again after a while.
        if watched && before == job.version && step == Some(JobStep::Watch) {
            break;
        }
    }
    Ok(())
}

fn report(job: &Job) {
    match &job.stage {
        Stage::Sealed | Stage::Stored { .. } => {}
        Stage::Sent { transaction, .. } => {
            tracing::info!(id = %job.id, %transaction, "data settlement sent");
        }
        Stage::Settled { block_number, .. } => {
            tracing::info!(id = %job.id, block_number, "data settled");
        }
        Stage::Failed { failure } => {
            tracing::warn!(id = %job.id, %failure, "data is not settled");
        }
    }
}

async fn store_blob(core: &Core, job: &Job) -> Option<JobEvent> {
    let stored = store_checked(core.config.blobs.as_ref(), Bytes::from(job.blob_bytes()?));
    Some(match stored.await {
        Ok(id) => JobEvent::BlobStored(id),
        Err(error) => delayed(job, "the blob is not stored", &error),
    })
}

async fn send(core: &Core, job: &Job) -> Option<JobEvent> {
    // Who settled it already, or what an earlier process sent: a record is made once.
    match found(core, job).await {
        Ok(Some(standing)) => return Some(JobEvent::Looked(Some(standing))),
        Ok(None) => {}
        Err(error) => return Some(delayed(job, "the chain cannot be searched", &error)),
    }
    let known = core.config.sender.standing(job.key()).await;
    match known {
        Ok(Some(standing)) => return Some(JobEvent::Sender(standing)),
        Ok(None) => {}
        Err(error) => return Some(delayed(job, "the sender does not answer", &error)),
    }
    let call = call(core, job)?;
    // A transaction that the contract would refuse costs gas and changes nothing.
    let from = core.config.sender.address();
    let asked = RpcCall::call_from(from, call.to, &call.input, call.gas_limit, At::Latest);
    match core.config.rpc.batch(&[asked]).await.as_deref() {
        Ok([Ok(_)]) => {}
        Ok([Err(error), ..]) => return Some(delayed(job, "the contract refuses it", error)),
        Ok(_) => return Some(JobEvent::Delayed),
        Err(error) => return Some(delayed(job, "the chain does not answer", error)),
    }
    Some(match core.config.sender.begin(call).await {
        Ok(standing) => JobEvent::Sender(standing),
        Err(error) => delayed(job, "the transaction is not sent", &error),
    })
}

fn call(core: &Core, job: &Job) -> Option<Call> {
    let gas_limit = match job.kind {
        JobKind::Batch => BATCH_GAS,
        JobKind::Individual => INDIVIDUAL_GAS,
    };
    Some(Call {
        id: job.key(),
        to: core.config.contract,
        input: job.calldata()?.to_vec(),
        gas_limit,
        payer: match job.kind {
            JobKind::Batch => None,
            JobKind::Individual => job
                .items
                .first()
                .and_then(|item| item.content.as_ref())
                .map(|content| content.eth_address),
        },
    })
}

async fn look(core: &Core, job: &Job) -> JobEvent {
    match found(core, job).await {
        Ok(found) => JobEvent::Looked(found),
        Err(error) => delayed(job, "the chain cannot be searched", &error),
    }
}

/// The record that the job is to make, where the chain has it.
async fn found(core: &Core, job: &Job) -> Result<Option<Standing>, seamline_evm::Error> {
    let (rpc, contract) = (core.config.rpc.as_ref(), core.config.contract);
    let newest = chain::newest_block(rpc).await?.number;
    let mut failed = None;
    for blocks in SEARCH {
        let from = newest.saturating_sub(blocks);
        let found = match (job.kind, job.items.first()) {
            (JobKind::Batch, _) => batches(rpc, contract, Some(job.id), from, newest)
                .await
                .map(|found| found.first().map(standing)),
            (JobKind::Individual, Some(item)) => {
                individual(rpc, contract, &item.inference, from, newest).await
            }
            (JobKind::Individual, None) => Ok(None),
        };
        match found {
            Ok(found) => return Ok(found),
            // An endpoint that limits how many blocks a question spans.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), Err)
}

const fn standing(found: &FoundRoot) -> Standing {
    Standing::Mined {
        transaction: found.transaction,
        block_number: found.block_number,
        block_hash: found.block_hash,
        succeeded: true,
        is_final: false,
    }
}

/// What became of a transaction, or of the block that holds it.
async fn watch(core: &Core, job: &Job) -> Option<JobEvent> {
    if let Stage::Settled {
        transaction,
        block_number,
        block_hash,
        ..
    } = &job.stage
    {
        let rpc = core.config.rpc.as_ref();
        let newest = chain::newest_block(rpc).await.ok()?;
        let depth = newest.number.checked_sub(*block_number)?.saturating_add(1);
        let hash = chain::block_at(rpc, *block_number).await.ok()?;
        if hash == Some(*block_hash) {
            return (depth >= core.config.finality_depth).then_some(JobEvent::Sender(
                Standing::Mined {
                    transaction: *transaction,
                    block_number: *block_number,
                    block_hash: *block_hash,
                    succeeded: true,
                    is_final: true,
                },
            ));
        }
        tracing::warn!(
            block_number,
            "the block of a data settlement left the chain"
        );
    }
    match core.config.sender.standing(job.key()).await {
        Ok(standing) => Some(JobEvent::Sender(standing.unwrap_or(Standing::Dropped))),
        Err(error) => {
            let error = seamline_core::chain(&error);
            tracing::warn!(error, "a sender does not answer");
            None
        }
    }
}

fn delayed(job: &Job, what: &str, error: &(dyn std::error::Error + 'static)) -> JobEvent {
    let error = seamline_core::chain(error);
    tracing::warn!(id = %job.id, failures = job.failures, error, "{what}");
    JobEvent::Delayed
}
