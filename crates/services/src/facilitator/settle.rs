//! The settlement of one payment (x402 appendix D).

use seamline_core::{Address, Amount};
use seamline_evm::chain::{SettlementQuery, find_settlement, newest_block};
use seamline_evm::facilitator::{Rules, SettlePlan, conclude_verify, plan_settle};
use seamline_evm::scheme::Method;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use tokio::sync::watch;
use tokio::time::timeout;

use super::flight::{Boarding, Progress, Ticket};
use super::lane::{Broadcast, broadcast, nonce_taken};
use super::record::{Place, Record, Sent, State, Subject, VERSION};
use super::{Error, Facilitator, StoreError};

/// How often a settlement is signed anew because its account nonce was taken meanwhile by another
/// user of the key; there should be none.
const MAX_TRIES: u32 = 3;
/// How many blocks back a settlement is looked for that this store does not know: beyond the
/// lifetime of any authorization that we accept, at 2 s a block.
const SEARCH_BLOCKS: u64 = 5_000;

impl Facilitator {
    /// Settles a payment at the amount of the request's requirement, at most once.
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
        if let Err(reason) = self.own_business(request) {
            return Ok(self.refused(reason, None, Amount::ZERO));
        }
        let subject = match Subject::of(request, self.0.chain_id) {
            Ok(subject) => subject,
            Err(reason) => return Ok(self.refused(reason, None, Amount::ZERO)),
        };
        let (payer, amount) = (subject.permit.from, subject.amount);
        let progress = loop {
            let mut other = match self.0.flights.board(subject.key, subject.claim) {
                Boarding::Conflict(other) => other,
                Boarding::Joined(progress) => break progress,
                Boarding::First(ticket, progress) => {
                    let (facilitator, request) = (self.clone(), request.clone());
                    self.0.tasks.spawn(async move {
                        facilitator.carry(ticket, subject, &request).await;
                    });
                    break progress;
                }
            };
            // Only what is verified has a transaction; the sender is gone where it came to nothing.
            let sent = |progress: &Progress| matches!(progress, Progress::Pending(_));
            match timeout(self.0.settle_wait, other.wait_for(sent)).await {
                Ok(Ok(_)) => return Ok(self.conflict(&subject)),
                Ok(Err(_)) => {}
                Err(_) => return Ok(self.pending(String::new(), payer, amount)),
            }
        };
        self.outcome(progress, payer, amount).await
    }

    /// Takes up what a crash left open: the same bytes are sent again, then waited for.
    pub(super) async fn recover(&self) -> Result<(), Error> {
        let now_s = (self.0.clock)().as_secs();
        let open = self.0.store.open_settlements(now_s).await;
        let mut open = open.map_err(Error::Store)?;
        // In the order of the account, because endpoints refuse gaps.
        open.sort_by_key(|(_, record)| match &record.state {
            State::Broadcasting(sent) => sent.account_nonce,
            State::Done { .. } => 0,
        });
        let mut turn = self.0.lane.turn().await;
        for (_, record) in open {
            let State::Broadcasting(sent) = record.state else {
                continue;
            };
            let request = FacilitatorRequest::parse(record.request.as_bytes());
            let request = request.map_err(|_| Error::Store(StoreError::Corrupt))?;
            let subject = Subject::of(&request, self.0.chain_id);
            let subject = subject.map_err(|_| Error::Store(StoreError::Corrupt))?;
            match broadcast(self.0.rpc.as_ref(), &sent).await {
                Broadcast::Sent => turn.taken(&sent),
                // Most often because it is in a block already; its receipt will tell.
                Broadcast::Refused(error) => {
                    tracing::info!(%error, "a remembered transaction was not taken again");
                }
            }
            if let Boarding::First(ticket, _) = self.0.flights.board(subject.key, subject.claim) {
                ticket.report(Progress::Pending(sent.transaction));
                let facilitator = self.clone();
                self.0.tasks.spawn(async move {
                    facilitator.carry(ticket, subject, &request).await;
                });
            }
        }
        Ok(())
    }

    /// Waits for a settlement as long as the configuration allows.
    async fn outcome(
        &self,
        mut progress: watch::Receiver<Progress>,
        payer: Address,
        amount: Amount,
    ) -> Result<SettleResponse, Error> {
        let ended = |progress: &Progress| matches!(progress, Progress::Done(_) | Progress::Failed);
        // An error means that the task is gone; the last progress tells how far it came.
        drop(timeout(self.0.settle_wait, progress.wait_for(ended)).await);
        let last = progress.borrow().clone();
        match last {
            Progress::Done(response) => Ok(response),
            Progress::Failed => Err(Error::Store(StoreError::Corrupt)),
            Progress::Preparing => Ok(self.pending(String::new(), payer, amount)),
            Progress::Pending(hash) => Ok(self.pending(hash.to_string(), payer, amount)),
        }
    }

    /// Carries one settlement to its end, whoever waits for it.
    async fn carry(&self, ticket: Ticket, subject: Subject, request: &FacilitatorRequest) {
        let end = match self.complete(&ticket, &subject, request).await {
            Ok(response) => Progress::Done(response),
            Err(error) => {
                let error = seamline_core::chain(&error);
                tracing::error!(error, "a settlement could not be remembered");
                Progress::Failed
            }
        };
        ticket.report(end);
    }

    async fn complete(
        &self,
        ticket: &Ticket,
        subject: &Subject,
        request: &FacilitatorRequest,
    ) -> Result<SettleResponse, Error> {
        // Looked up with the ticket in hand: no other outcome can appear in between.
        let known = self.0.store.get(subject.key).await.map_err(Error::Store)?;
        let mut on_its_way = match known {
            Some(known) if known.fingerprint != subject.fingerprint => {
                return Ok(self.conflict(subject));
            }
            Some(known) => match known.state {
                State::Done { response, .. } => return Ok(response),
                State::Broadcasting(sent) => Some(sent),
            },
            None => None,
        };
        let mut displaced: Option<Sent> = None;
        loop {
            let sent = match on_its_way.take() {
                Some(sent) => sent,
                None => match (self.transmit(ticket, subject, request).await?, &displaced) {
                    (Ok(sent), _) => sent,
                    // The nonce is spent, perhaps by what only looks displaced: the record stays,
                    // and the next request looks for that transaction again.
                    (Err(response), Some(earlier)) if spent(&response) => {
                        let (payer, amount) = (subject.permit.from, subject.amount);
                        return Ok(self.pending(earlier.transaction.to_string(), payer, amount));
                    }
                    (Err(response), _) => return Ok(response),
                },
            };
            ticket.report(Progress::Pending(sent.transaction));
            let Some((response, place)) = self.receipt(subject, &sent).await else {
                // Its account nonce went to another transaction: it can never be in a block.
                tracing::warn!(transaction = %sent.transaction, "a transaction was displaced");
                displaced = Some(sent);
                continue;
            };
            let success = response.success;
            tracing::info!(transaction = %sent.transaction, success, "settlement resolved");
            let kept = self.remember(subject, request, &response, place).await;
            if let Err(error) = kept {
                // The next start finds the transaction open and asks the chain again.
                let error = seamline_core::chain(&error);
                tracing::error!(error, "an outcome could not be remembered");
            }
            return Ok(response);
        }
    }

    /// Everything up to the send; the inner error is the answer where nothing was sent.
    async fn transmit(
        &self,
        ticket: &Ticket,
        subject: &Subject,
        request: &FacilitatorRequest,
    ) -> Result<Result<Sent, SettleResponse>, Error> {
        let inner = &self.0;
        let (payer, amount) = (subject.permit.from, subject.amount);
        // 1. The rules, and the chain's view of the same settlement.
        let plan = match self.plan(subject, request).await? {
            Ok(plan) => plan,
            Err(response) => return Ok(Err(response)),
        };
        // 2. Nothing is due: nothing moves (x402 §2.3).
        if plan.amount().is_zero() {
            return Ok(Err(self.settled(String::new(), payer, amount)));
        }
        // 3. The lane: from here to the send, one at a time.
        let mut turn = inner.lane.turn().await;
        let mut tries_left = MAX_TRIES;
        loop {
            let sent = match turn.sign(&plan).await {
                Ok(sent) => sent,
                Err(error) => {
                    let error = seamline_core::chain(&error);
                    tracing::error!(error, "a settlement could not be prepared");
                    return Ok(Err(self.pending(String::new(), payer, amount)));
                }
            };
            // 4. Remembered, before anybody else can know the transaction.
            let record = Record {
                version: VERSION,
                fingerprint: subject.fingerprint,
                request: request.to_json(),
                deadline_s: subject.deadline_s,
                state: State::Broadcasting(sent.clone()),
            };
            let written = inner.store.put(subject.key, record).await;
            written.map_err(Error::Store)?;
            ticket.report(Progress::Pending(sent.transaction));
            // 5. Sent. Only where the endpoint refuses it, it is nowhere and can be forgotten.
            let error = match turn.send(&sent).await {
                Broadcast::Sent => {
                    let transaction = sent.transaction;
                    tracing::info!(%payer, %amount, %transaction, "settlement sent");
                    return Ok(Ok(sent));
                }
                Broadcast::Refused(error) => error,
            };
            tracing::error!(%error, "the endpoint refuses a settlement");
            let removed = inner.store.remove(subject.key).await;
            removed.map_err(Error::Store)?;
            tries_left = tries_left.saturating_sub(1);
            if tries_left == 0 || !nonce_taken(&error) {
                let reason = Reason::TransactionFailed;
                return Ok(Err(self.refused(reason, Some(payer), amount)));
            }
        }
    }

    async fn plan(
        &self,
        subject: &Subject,
        request: &FacilitatorRequest,
    ) -> Result<Result<SettlePlan, SettleResponse>, Error> {
        let inner = &self.0;
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        let payer = subject.permit.from;
        let amount = subject.amount;
        let now = (inner.clock)();
        let plan = match plan_settle(payload, offer, &Rules::new(now, &[inner.address])) {
            Ok(plan) => plan,
            Err(invalid) => return Ok(Err(self.refused(invalid.reason, invalid.payer, amount))),
        };
        let answer = inner.rpc.batch(plan.verify().calls()).await;
        let verdict = conclude_verify(plan.verify(), &answer);
        if verdict.is_valid {
            return Ok(Ok(plan));
        }
        let reason = verdict.invalid_reason;
        let reason = reason.unwrap_or(Reason::UnexpectedVerifyError);
        if reason == Reason::UnexpectedVerifyError {
            // The chain could not be asked: that is no verdict. Asking again may get one.
            return Ok(Err(self.pending(String::new(), payer, amount)));
        }
        if reason == Reason::Permit2InvalidNonce
            && let Some(response) = self.found_on_chain(subject, request).await?
        {
            return Ok(Err(response));
        }
        Ok(Err(self.refused(reason, Some(payer), amount)))
    }

    /// The nonce is spent and this store does not know by what: a settlement of ours whose record
    /// was lost moved exactly this to exactly this seller.
    async fn found_on_chain(
        &self,
        subject: &Subject,
        request: &FacilitatorRequest,
    ) -> Result<Option<SettleResponse>, Error> {
        let rpc = self.0.rpc.as_ref();
        let Ok(newest) = newest_block(rpc).await else {
            return Ok(None);
        };
        let terms = subject.permit.authorization;
        let query = SettlementQuery {
            method: Method::Permit2,
            payer: subject.permit.from,
            auth_nonce: subject.permit.auth_nonce(),
            asset: terms.token,
            from_block: newest.number.saturating_sub(SEARCH_BLOCKS),
        };
        let Ok(Some(facts)) = find_settlement(rpc, &query, &newest).await else {
            return Ok(None);
        };
        if facts.pay_to != terms.to || facts.amount != subject.amount {
            return Ok(None);
        }
        let hash = facts.transaction.to_string();
        let response = self.settled(hash, query.payer, facts.amount);
        let place = Place {
            number: facts.block_number,
            hash: facts.block_hash,
        };
        self.remember(subject, request, &response, Some(place))
            .await?;
        Ok(Some(response))
    }

    async fn remember(
        &self,
        subject: &Subject,
        request: &FacilitatorRequest,
        response: &SettleResponse,
        block: Option<Place>,
    ) -> Result<(), Error> {
        let record = Record {
            version: VERSION,
            fingerprint: subject.fingerprint,
            request: request.to_json(),
            deadline_s: subject.deadline_s,
            state: State::Done {
                response: response.clone(),
                block,
            },
        };
        let written = self.0.store.put(subject.key, record).await;
        written.map_err(Error::Store)
    }
}

/// Whether a settlement was refused because the authorization's nonce is spent.
fn spent(response: &SettleResponse) -> bool {
    response.error_reason == Some(Reason::Permit2InvalidNonce)
}
