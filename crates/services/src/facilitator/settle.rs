//! The settlement of one payment (x402 appendix D).

mod found;
mod other;
mod ready;

use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::tx::Fees;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use seamline_net::news::Listener;
use tokio::time::{Instant, timeout};

use self::found::found_on_chain;
pub(super) use self::found::{SEARCH_BLOCKS, SEARCH_BLOCKS_AGAIN};
use self::other::SpentBy;
pub(crate) use self::ready::has_code;
pub(super) use self::ready::{Verified, call_of, market_calls, market_fees, verified};
use super::board::{Progress, Ticket};
use super::keeper::{Held, Mail};
use super::settlement::{Call, GasUse, Lease, Settlement};
use super::shared::Core;
use super::signing::{Mode, Signing, sign};
use super::subject::Subject;
use super::{Error, Facilitator, Unavailable, respond};

/// How long a settlement waits for room in the lane before it is verified again.
const ROOM: Duration = Duration::from_secs(1);

/// What came of beginning a settlement.
#[expect(clippy::large_enum_variant, reason = "one per request")]
enum Begun {
    /// Its answer is known.
    Answer(SettleResponse),
    /// A transaction of it is on the way, from here or from another replica.
    UnderWay,
    /// The lane is full: begin again.
    NoRoom,
}

impl Facilitator {
    /// Settles a payment at the amount of the request's requirement, at most once.
    ///
    /// # Retries
    ///
    /// The same request joins the settlement or gets its outcome, from every replica.
    ///
    /// # Cancellation
    ///
    /// The settlement goes on; ask again for its outcome.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Unavailable`]: nothing that is not remembered was sent. Refusals
    /// and failures on chain are answers.
    pub async fn settle_payment(
        &self,
        request: &FacilitatorRequest,
    ) -> Result<SettleResponse, Error> {
        let core = &self.0.core;
        if let Err(reason) = core.own_business(request) {
            return Ok(respond::refused(core, reason, None));
        }
        let subject = match Subject::of(request, core.chain_id) {
            Ok(subject) => Arc::new(subject),
            Err(reason) => return Ok(respond::refused(core, reason, None)),
        };
        let boarded = self.0.flights.board(subject.claim);
        let (mut progress, ticket) = boarded.ok_or(Error::Unavailable(Unavailable::Busy))?;
        if let Some(ticket) = ticket {
            let (facilitator, request) = (self.clone(), request.clone());
            let subject = Arc::clone(&subject);
            self.0.tasks.spawn(async move {
                facilitator.carry(ticket, subject, &request).await;
            });
        }
        let ended = |progress: &Progress| {
            matches!(
                progress,
                Progress::Done(_) | Progress::Forgotten(_) | Progress::Failed(_)
            )
        };
        // An error means that the task is gone; the last progress tells how far it came.
        let end = async { while !ended(&progress.latest()) && progress.changed().await.is_ok() {} };
        drop(timeout(core.settle_wait, end).await);
        let last = progress.latest();
        match last {
            Progress::Done(response) => Ok(response),
            Progress::Failed(error) => Err(Error::Flight(error)),
            Progress::Forgotten(reason) => {
                let payer = subject.authorization.payer();
                Ok(respond::refused(core, reason, Some(payer)))
            }
            Progress::Preparing => Ok(respond::pending(core, &subject, None)),
            Progress::Pending(hash) => Ok(respond::pending(core, &subject, Some(hash))),
        }
    }

    /// Carries one request to its end, whoever waits for it.
    async fn carry(&self, ticket: Ticket, subject: Arc<Subject>, request: &FacilitatorRequest) {
        let end = match complete(&self.0.core, &ticket, &subject, request).await {
            Ok(response) => Progress::Done(response),
            Err(error) => {
                let text = seamline_core::chain(&error);
                tracing::error!(error = text, "a settlement could not be begun");
                Progress::Failed(Arc::new(error))
            }
        };
        ticket.report(end);
    }
}

async fn complete(
    core: &Core,
    ticket: &Ticket,
    subject: &Arc<Subject>,
    request: &FacilitatorRequest,
) -> Result<SettleResponse, Error> {
    let began = Instant::now();
    loop {
        // Listened first, read and written second: no outcome can fall in between.
        let mut news = core.board.listen(subject.key);
        match begin(core, subject, request).await? {
            Begun::Answer(response) => return Ok(response),
            // Nothing is signed, and whoever asked is told to ask again.
            Begun::NoRoom if began.elapsed() >= core.settle_wait => {
                return Ok(respond::pending(core, subject, None));
            }
            Begun::NoRoom => {
                drop(timeout(ROOM, core.room.notified()).await);
                continue;
            }
            Begun::UnderWay => {}
        }
        match outcome(ticket, &mut news).await {
            Some(Progress::Done(response)) => return Ok(response),
            // Another replica gave it up, or nobody: begin anew.
            Some(Progress::Forgotten(Reason::SettlementPending)) | None => {}
            Some(Progress::Forgotten(reason)) => {
                let payer = subject.authorization.payer();
                return Ok(respond::refused(core, reason, Some(payer)));
            }
            Some(Progress::Failed(error)) => return Err(Error::Flight(error)),
            Some(Progress::Preparing | Progress::Pending(_)) => {
                return Err(Error::Unavailable(Unavailable::Busy));
            }
        }
    }
}

/// Waits for the end of a settlement, and passes on how far it is.
async fn outcome(ticket: &Ticket, news: &mut Listener<Progress>) -> Option<Progress> {
    loop {
        let progress = news.latest();
        match progress {
            Progress::Preparing => {}
            Progress::Pending(hash) => ticket.report(Progress::Pending(hash)),
            Progress::Done(_) | Progress::Forgotten(_) | Progress::Failed(_) => {
                return Some(progress);
            }
        }
        news.changed().await.ok()?;
    }
}

/// Everything up to the send.
async fn begin(
    core: &Core,
    subject: &Arc<Subject>,
    request: &FacilitatorRequest,
) -> Result<Begun, Error> {
    // 1. What is remembered decides.
    let known = core.store.read(vec![subject.key]).await;
    if let [Some(known)] = known.map_err(Error::Store)?.as_slice() {
        return Ok(join(core, subject, known));
    }
    // 2. The rules, and the chain's view of the same settlement.
    let (call, deployment, fees) = match verified(core, subject, request).await {
        Verified::Ready {
            call,
            deployment,
            fees,
        } => (call, deployment, fees),
        // With this amount never, or only not now: what is delivered stays owed.
        Verified::Full(full) => match full.retry_after() {
            None => return Ok(Begun::Answer(respond::full(core, subject, full))),
            Some(retry_after) => {
                let code = full.code();
                return Err(Error::Unavailable(Unavailable::Budget {
                    code,
                    retry_after,
                }));
            }
        },
        // The chain could not be asked: that is no verdict. Asking again may get one.
        Verified::Unknown(why) => return Err(Error::Unavailable(why)),
        Verified::Failed(error) => return Err(Error::Store(error)),
        Verified::Invalid { reason } => {
            if reason == subject.spent()
                && let Some(begun) = found_on_chain(core, subject, request).await?
            {
                return Ok(begun);
            }
            let mut response = respond::blank(core, subject);
            response.error_reason = Some(reason);
            return Ok(Begun::Answer(response));
        }
    };
    // 3. Nothing is due: nothing moves (x402 §2.3).
    if subject.amount.is_zero() {
        return Ok(Begun::Answer(respond::settled(core, subject, None)));
    }
    // 4. What is remembered can be read again: a crash must find it.
    let written = request.to_json();
    if !is_readable(core, subject, &written) {
        let mut response = respond::blank(core, subject);
        response.error_reason = Some(Reason::InvalidPayload);
        return Ok(Begun::Answer(response));
    }
    // 5. The wallet that the signature is of comes first in the account's sequence.
    let payer = subject.authorization.payer();
    let deadline_s = subject.authorization.deadline_s();
    let record = |key, fingerprint, request, call: Call| {
        let gas = core.gas_use(payer, call.gas_limit);
        let blank = respond::blank(core, subject);
        let (signer, lease) = (core.address(), core.fresh_lease());
        let mut record = Settlement::new(
            key,
            fingerprint,
            request,
            deadline_s,
            signer,
            Some(call),
            blank,
            lease,
        );
        record.gas = Some(gas);
        record.began_s = (core.clock)().as_secs();
        record
    };
    if let Some(deployment) = deployment {
        let key = deployment_key(subject.key);
        let filler = record(key, B256::ZERO, String::new(), deployment);
        match carried(core, filler, payer, fees).await? {
            Signing::Signed(filler, _) => release(core, &filler, None),
            Signing::Known(_) => {}
            Signing::NoRoom | Signing::Lost => return Ok(Begun::NoRoom),
        }
    }
    // 6. The account nonce, the signed bytes and the record are one change.
    let settlement = record(subject.key, subject.fingerprint, written, call);
    match carried(core, settlement, payer, fees).await? {
        Signing::NoRoom | Signing::Lost => Ok(Begun::NoRoom),
        Signing::Known(known) => Ok(join(core, subject, &known)),
        // 7. Sent, and watched.
        Signing::Signed(settlement, _) => {
            let (amount, transaction) = (subject.amount, settlement.newest());
            tracing::info!(%payer, %amount, ?transaction, "settlement sent");
            release(core, &settlement, Some(Arc::clone(subject)));
            Ok(Begun::UnderWay)
        }
    }
}

/// Signs a settlement whose gas is set aside while it is under way.
pub(super) async fn carried(
    core: &Core,
    settlement: Settlement,
    payer: Address,
    fees: Fees,
) -> Result<Signing, Error> {
    let key = settlement.key();
    let gas = settlement.gas().map_or(0, |gas| gas.gas);
    let is_new = core.gas().reserve(key, payer, gas);
    let signed = sign(core, settlement, fees, Mode::Begin).await;
    if is_new && !matches!(signed, Ok(Signing::Signed(..))) {
        core.gas().settle(key, 0, false, core.elapsed());
    }
    signed
}

/// Whether a record's request says, read again, what it said.
fn is_readable(core: &Core, subject: &Subject, written: &str) -> bool {
    let again = FacilitatorRequest::parse(written.as_bytes());
    let again = again
        .ok()
        .and_then(|it| Subject::of(&it, core.chain_id).ok());
    again.is_some_and(|again| again.key == subject.key && again.claim == subject.claim)
}

/// Answers from a record.
fn join(core: &Core, subject: &Subject, known: &Settlement) -> Begun {
    if known.fingerprint != subject.fingerprint {
        let by = SpentBy::remembered(core, subject, known);
        return Begun::Answer(other::refuse(core, subject, by));
    }
    if let Some(response) = known.response() {
        return Begun::Answer(response.clone());
    }
    if let Some(transaction) = known.newest() {
        let progress = Progress::Pending(transaction);
        core.board.report(subject.key, progress);
    }
    // Where this replica carries it, the keeper tells already.
    core.post(Mail::Follow(subject.key));
    Begun::UnderWay
}

/// Hands a signed settlement to the keeper and its transaction to the endpoint.
pub(super) fn release(core: &Core, settlement: &Settlement, subject: Option<Arc<Subject>>) {
    let newest = settlement.attempts.last();
    let transaction = newest.map(|attempt| attempt.transaction);
    let held = Held::new(settlement.clone(), subject);
    core.post(Mail::Carry(Box::new(held)));
    if let Some(transaction) = transaction {
        core.send(settlement, transaction);
    }
}

/// The key of the transaction that makes a payer's wallet.
fn deployment_key(payment: B256) -> B256 {
    seamline_core::sha256(&[b"seamline/v1/deployment".as_slice(), payment.as_slice()])
}

impl Core {
    /// What a settlement counts that is signed now.
    pub(super) fn gas_use(&self, payer: Address, gas: u64) -> GasUse {
        GasUse {
            payer,
            owner: self.owner,
            minute: self.minute(),
            gas,
            measured: false,
        }
    }

    /// A lease of this replica.
    pub(super) const fn fresh_lease(&self) -> Lease {
        Lease {
            owner: self.owner,
            fence: 0,
        }
    }
}
