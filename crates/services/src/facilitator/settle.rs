//! The settlement of one payment (x402 appendix D).

mod found;
mod ready;

use core::time::Duration;
use std::sync::Arc;

use seamline_core::B256;
use seamline_evm::tx::Fees;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use seamline_net::news::Listener;
use tokio::time::timeout;

use self::found::found_on_chain;
pub(super) use self::found::{SEARCH_BLOCKS, SEARCH_BLOCKS_AGAIN};
pub(super) use self::ready::{Verified, call_of, has_code, verified};
use super::board::{Progress, Ticket};
use super::keeper::{Held, Mail};
use super::settlement::{Attempt, Call, Event, Lease, Settlement};
use super::shared::Core;
use super::store::{Page, StoreError, with};
use super::subject::Subject;
use super::{Error, Facilitator, respond};

/// How long a settlement waits for room in the lane before it is verified again.
const ROOM: Duration = Duration::from_secs(1);
/// How often an account nonce that another record has is skipped: there should be none.
const MAX_SKIPS: u32 = 64;

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

/// What came of the one change that begins a settlement.
enum Signing {
    Signed(Box<Settlement>),
    Known(Box<Settlement>),
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
    /// [`Error::Store`]: nothing that is not remembered was sent. Refusals and failures on chain
    /// are answers.
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
        let (mut progress, ticket) = self.0.flights.board(subject.claim);
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
                Progress::Done(_) | Progress::Forgotten(_) | Progress::Failed
            )
        };
        // An error means that the task is gone; the last progress tells how far it came.
        let end = async { while !ended(&progress.latest()) && progress.changed().await.is_ok() {} };
        drop(timeout(core.settle_wait, end).await);
        let last = progress.latest();
        match last {
            Progress::Done(response) => Ok(response),
            Progress::Failed => Err(Error::Store(StoreError::Corrupt)),
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
                let error = seamline_core::chain(&error);
                tracing::error!(error, "a settlement could not be remembered");
                Progress::Failed
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
    loop {
        // Listened first, read and written second: no outcome can fall in between.
        let mut news = core.board.listen(subject.key);
        match begin(core, subject, request).await? {
            Begun::Answer(response) => return Ok(response),
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
            Some(Progress::Failed | Progress::Preparing | Progress::Pending(_)) => {
                return Err(Error::Store(StoreError::Corrupt));
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
            Progress::Done(_) | Progress::Forgotten(_) | Progress::Failed => return Some(progress),
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
        Verified::Full(full) => return Ok(Begun::Answer(respond::full(core, subject, full))),
        // The chain could not be asked: that is no verdict. Asking again may get one.
        Verified::Unknown => return Ok(Begun::Answer(respond::pending(core, subject, None))),
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
    // 4. The wallet that the signature is of comes first in the account's sequence.
    if let Some(deployment) = deployment {
        let key = deployment_key(subject.key);
        let blank = respond::blank(core, subject);
        let filler = Settlement::new(
            key,
            B256::ZERO,
            String::new(),
            subject.authorization.deadline_s(),
            core.address(),
            Some(deployment),
            blank,
            core.fresh_lease(),
        );
        match sign(core, filler, fees).await? {
            Signing::Signed(filler) => release(core, &filler, None),
            Signing::Known(_) => {}
            Signing::NoRoom => return Ok(Begun::NoRoom),
        }
    }
    // 5. The account nonce, the signed bytes and the record are one change.
    let payer = subject.authorization.payer();
    core.gas().reserve(subject.key, payer, call.gas_limit);
    let settlement = Settlement::new(
        subject.key,
        subject.fingerprint,
        request.to_json(),
        subject.authorization.deadline_s(),
        core.address(),
        Some(call),
        respond::blank(core, subject),
        core.fresh_lease(),
    );
    let signed = sign(core, settlement, fees).await;
    if !matches!(signed, Ok(Signing::Signed(_))) {
        core.gas().settle(subject.key, 0, false, core.elapsed());
    }
    match signed? {
        Signing::NoRoom => Ok(Begun::NoRoom),
        Signing::Known(known) => Ok(join(core, subject, &known)),
        // 6. Sent, and watched.
        Signing::Signed(settlement) => {
            let (amount, transaction) = (subject.amount, settlement.newest());
            tracing::info!(%payer, %amount, ?transaction, "settlement sent");
            release(core, &settlement, Some(Arc::clone(subject)));
            Ok(Begun::UnderWay)
        }
    }
}

/// Answers from a record.
fn join(core: &Core, subject: &Subject, known: &Settlement) -> Begun {
    if known.fingerprint != subject.fingerprint {
        let mut response = respond::blank(core, subject);
        response.error_reason = Some(subject.spent());
        return Begun::Answer(response);
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

/// Gives a settlement the next account nonce, signs it, and remembers it: one change.
async fn sign(core: &Core, settlement: Settlement, fees: Fees) -> Result<Signing, Error> {
    let mut skips_left = MAX_SKIPS;
    loop {
        let (floor, mined, most) = (core.floor(), core.mined(), core.max_in_flight);
        let (now, pace) = (core.now(), core.pace);
        let mut new = settlement.clone();
        let Some(call) = new.call.clone() else {
            return Err(Error::Store(StoreError::Corrupt));
        };
        let attempt = core.lane_signer(call, fees);
        let change = move |page: &mut Page| {
            if let Some(known) = &page.settlement {
                return Signing::Known(Box::new(known.clone()));
            }
            let account_nonce = page.next.max(floor);
            if account_nonce.saturating_sub(mined) >= most {
                return Signing::NoRoom;
            }
            new.on_event(Event::Signed(attempt(account_nonce)), now, &pace);
            page.next = account_nonce.saturating_add(1);
            page.settlement = Some(new.clone());
            Signing::Signed(Box::new(new))
        };
        let key = settlement.key();
        let signed = with(core.store.as_ref(), key, Some(core.address()), change).await;
        match signed {
            Err(StoreError::AccountNonce) if skips_left > 0 => {
                skips_left = skips_left.saturating_sub(1);
                core.learn_floor(floor.max(mined).saturating_add(1));
            }
            signed => return signed.map_err(Error::Store),
        }
    }
}

/// Hands a signed settlement to the keeper and its transaction to the endpoint.
fn release(core: &Core, settlement: &Settlement, subject: Option<Arc<Subject>>) {
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
    /// A lease of this replica.
    fn fresh_lease(&self) -> Lease {
        Lease {
            owner: self.owner,
            fence: 0,
        }
    }

    /// Signs `call` under the account nonce that the store gives.
    pub(super) fn lane_signer(
        &self,
        call: Call,
        fees: Fees,
    ) -> impl FnOnce(u64) -> Attempt + Send + 'static {
        let lane = Arc::clone(&self.lane);
        move |account_nonce| lane.sign(&call, account_nonce, fees)
    }
}
