//! A purchase over a payment channel: a voucher instead of an authorization, one request at a time per
//! channel.
//!
//! What the channel's books allow is [`seamline_evm::channel::payer`]'s to say. Here they are stored
//! before what they say is sent, within the budget, and what comes back is taken in.

mod observe;

use std::sync::Arc;

use seamline_core::{Amount, B256};
use seamline_evm::channel::payer::{Channel, DepositRule, Keys, Payment, Pool, Refusal};
use seamline_evm::policy::Admitted;
use seamline_evm::signer::SignError;
use seamline_evm::x402::{Reason, SettleResponse, VERSION};
use tokio::time::Instant;

use super::error::ErrorKind;
use super::run::Buying;
use super::wire::{self, Asked, Presentation};
use super::{Answer, Payer};
use crate::books::Books;
use crate::client::lock;
use crate::journal::{CallRecord, JournalError, Over, VoucherRecord, VoucherState};
use crate::leg::{FIRST_WAIT, MAX_WAIT};
use crate::sign::token;
use crate::step::Step;

/// Times that one voucher is presented: once, and twice again.
const PRESENTATIONS: u32 = 3;

/// A voucher that was sent. Where nobody waits for its answer any more, the channel is free for the next
/// request; the promise stays open.
struct Underway(Option<(Arc<Books>, B256)>);

impl Underway {
    /// The wait is over, one way or the other.
    fn arrived(mut self) {
        self.0 = None;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let Some((books, id)) = self.0.take() else {
            return;
        };
        if let Some(channel) = lock(&books.channels)
            .as_mut()
            .and_then(|it| it.get_mut(&id))
        {
            // In the journal it stands so already.
            channel.lost();
        }
    }
}

/// Why nothing was promised.
enum Fault {
    Refused(Refusal),
    Over(Over),
    Journal(JournalError),
}

impl Buying<'_> {
    /// Promises, presents and takes in the answer. A seller's correction of its books is answered once.
    pub(super) async fn buy_over_channel(
        &mut self,
        admitted: &Admitted,
    ) -> Result<Answer, ErrorKind> {
        let mut admitted = admitted.clone();
        for last in [false, true] {
            let (id, payment) = self.promise(&admitted).await?;
            let header = Presentation::new(VERSION, &payment.header());
            let header = header.ok_or(ErrorKind::NoOffer)?;
            let underway = Underway(Some((Arc::clone(&self.payer.books), id)));
            let presented = self.present_voucher(&header).await;
            underway.arrived();
            let (answer, again) = match presented {
                Ok(answered) => answered,
                Err(failure) => {
                    self.with_channel(&id, |channel, _| channel.lost())?;
                    return Err(failure);
                }
            };
            if answer.status != 402 {
                return self.answered(&id, answer);
            }
            let asked = wire::asked(&answer.headers, &answer.body).and_then(Result::ok);
            let corrected = self.corrected(&id, asked.as_ref(), again)?;
            let Some(asked) = asked.filter(|_| corrected && !last) else {
                return Err(self.refused_voucher(&answer));
            };
            let (again, _) = self.admit(&asked).await?;
            admitted = again;
        }
        Err(ErrorKind::OfferChanged)
    }

    /// Signs the next voucher. Where it is not known what became of a deposit, the chain is asked first.
    async fn promise(&mut self, admitted: &Admitted) -> Result<(B256, Payment), ErrorKind> {
        self.begin(Step::Authorize);
        match self.sign_voucher(admitted).await {
            Err(ErrorKind::Channel(Refusal::DepositUnknown)) => {
                self.observe_deposits(admitted.chain_id()).await?;
                self.sign_voucher(admitted).await
            }
            done => done,
        }
    }

    /// Signs on a thread that may block, and stores the voucher with its channel and its reservation.
    async fn sign_voucher(&mut self, admitted: &Admitted) -> Result<(B256, Payment), ErrorKind> {
        let seed = B256::from(self.payer.env.random().map_err(ErrorKind::Entropy)?);
        let salt = B256::from(self.payer.env.random().map_err(ErrorKind::Entropy)?);
        open_pool(self.payer, seed)?;
        let (books, signer) = (
            Arc::clone(&self.payer.books),
            Arc::clone(&self.payer.signer),
        );
        let (policy, now) = (self.leg.budget.clone(), self.now());
        let token = token(admitted);
        self.leg.record.voucher = Some(VoucherRecord {
            channel: B256::ZERO,
            network: token.network,
            asset: token.asset,
            pay_to: admitted.pay_to(),
            node: *self.node.as_b256(),
            amount: admitted.amount(),
            charged: None,
            state: VoucherState::Open,
        });
        let (mut record, admitted) = (self.leg.record.clone(), admitted.clone());
        let work = move || {
            let mut pool = lock(&books.channels);
            let pool = pool.as_mut().ok_or(Fault::Refused(Refusal::Busy))?;
            let keys = Keys {
                payer: &*signer,
                authorizer: &*signer,
            };
            let rule = DepositRule::default();
            let paid = pool.pay(&admitted, &keys, &rule, salt, now);
            let (id, payment) = paid.map_err(Fault::Refused)?;
            if let Some(voucher) = &mut record.voucher {
                voucher.channel = id;
            }
            match store(&books, pool, &id, &record, &policy, now) {
                Ok(()) => Ok((record, id, payment)),
                Err(fault) => {
                    // Nothing was stored, so nothing was promised: the signatures are dropped here.
                    if let Some(channel) = pool.get_mut(&id) {
                        channel.unsent();
                    }
                    Err(fault)
                }
            }
        };
        let done = tokio::task::spawn_blocking(work).await;
        let stopped = |_| {
            let detail = "the signer stopped".to_owned();
            ErrorKind::Sign(SignError::Unavailable { detail }.into())
        };
        match done.map_err(stopped)? {
            Ok((record, id, payment)) => {
                self.leg.record = record;
                self.done();
                Ok((id, payment))
            }
            Err(fault) => {
                self.leg.record.voucher = None;
                Err(match fault {
                    Fault::Refused(refusal) => ErrorKind::Channel(refusal),
                    Fault::Over(over) => ErrorKind::OverBudget(over),
                    Fault::Journal(err) => ErrorKind::Journal(err),
                })
            }
        }
    }

    /// Presents the same bytes until an answer comes. Says with it whether an earlier presentation was
    /// lost, which the seller may have taken.
    async fn present_voucher(
        &mut self,
        payment: &Presentation,
    ) -> Result<(Answer, bool), ErrorKind> {
        self.begin(Step::Execute);
        let mut wait = FIRST_WAIT;
        let mut left = PRESENTATIONS;
        loop {
            left = left.saturating_sub(1);
            self.record_request(true);
            let (failure, asked) = match self.send(Some(payment)).await {
                Ok(answer) => match answer.status {
                    200..=299 | 402 => {
                        return Ok((answer, left.saturating_add(1) < PRESENTATIONS));
                    }
                    300..=399 => return Err(self.redirect(&answer)),
                    409 | 425 | 429 | 500..=599 => {
                        let asked = wire::retry_after(&answer.headers);
                        (ErrorKind::Status(Box::new(answer)), asked)
                    }
                    _ => return Err(ErrorKind::Status(Box::new(answer))),
                },
                Err(source) => (ErrorKind::Interrupted(Some(source)), None),
            };
            if left == 0 {
                return Err(failure);
            }
            tokio::time::sleep(asked.unwrap_or(wait).min(MAX_WAIT)).await;
            wait = wait.saturating_mul(2);
        }
    }

    /// Takes in what the seller says it charged. An answer that does not say it leaves the promise open.
    fn answered(&mut self, id: &B256, answer: Answer) -> Result<Answer, ErrorKind> {
        self.settle_reply = wire::settle_reply(&answer.headers);
        let reply = self.settle_reply.as_ref();
        let reply = reply.and_then(|raw| SettleResponse::parse(raw).ok());
        let mut taken = false;
        self.with_channel(id, |channel, voucher| {
            let Some(reply) = &reply else {
                return channel.lost();
            };
            if let Ok(amount) = channel.answered(reply) {
                voucher.charged = Some(amount);
                voucher.state = VoucherState::Charged;
                taken = true;
            }
        })?;
        if taken {
            // The seller took this voucher: what was not answered before it was charged nothing.
            self.void_earlier(id)?;
        }
        self.leg.replied = Instant::now();
        self.done();
        Ok(answer)
    }

    /// Takes in a corrective 402. `false` where it is none that may be believed. `lost` says whether an
    /// earlier presentation of the voucher may have been taken.
    fn corrected(
        &mut self,
        id: &B256,
        asked: Option<&Asked>,
        lost: bool,
    ) -> Result<bool, ErrorKind> {
        let Some(asked) = asked else {
            self.with_channel(id, |channel, _| channel.lost())?;
            return Ok(false);
        };
        let said = asked.required.error.as_deref().unwrap_or("unknown_reason");
        let reason = Reason::from(said);
        let mut moved = None;
        self.with_channel(id, |channel, voucher| {
            let mut offers = asked.required.offers.iter();
            let adopted = offers.find_map(|offer| channel.adopt(&reason, offer, None).ok());
            moved = adopted.map(|it| it.now.checked_sub(it.before).unwrap_or(Amount::ZERO));
            if let Some(moved) = &mut moved {
                // Refused on top of other books, this very presentation costs nothing; one before it may
                // have been taken, and then it is that which the seller charged.
                let own = if lost { *moved } else { Amount::ZERO };
                charge(voucher, own, moved);
            }
        })?;
        let Some(mut moved) = moved else {
            return Ok(false);
        };
        let charged = |record: &CallRecord| record.voucher.as_ref().and_then(|it| it.charged);
        let mut vain = charged(&self.leg.record).is_some();
        // The rest is that of earlier requests without an answer, the oldest first.
        let key = self.leg.record.purchase.as_ref().map(|it| it.key);
        for mut record in self.earlier(id)? {
            if let Some(voucher) = &mut record.voucher {
                let most = moved;
                charge(voucher, most, &mut moved);
            }
            vain |= charged(&record).is_some() && record.undelivered() == key;
            self.write_other(id, &record)?;
        }
        if vain && !self.purchase.buy_again {
            return Err(ErrorKind::PaidInVain);
        }
        Ok(true)
    }

    fn refused_voucher(&self, answer: &Answer) -> ErrorKind {
        let asked = wire::asked(&answer.headers, &answer.body).and_then(Result::ok);
        let said = asked.and_then(|asked| asked.required.error);
        let reason = said.map(|said| Reason::from(said.as_str()));
        let known = reason.filter(|reason| !matches!(reason, Reason::Other(_)));
        ErrorKind::PaymentRefused {
            reason: known.unwrap_or_else(|| Reason::from("unknown_reason")),
        }
    }

    fn void_earlier(&self, id: &B256) -> Result<(), ErrorKind> {
        for mut record in self.earlier(id)? {
            if let Some(voucher) = &mut record.voucher {
                voucher.state = VoucherState::Void;
            }
            self.write_other(id, &record)?;
        }
        Ok(())
    }

    /// Calls whose promise in the channel is not answered.
    fn earlier(&self, id: &B256) -> Result<Vec<CallRecord>, ErrorKind> {
        let journal = &self.payer.books.journal;
        let open = journal.open_vouchers(id, self.leg.record.seq);
        open.map_err(ErrorKind::Journal)
    }

    fn write_other(&self, id: &B256, record: &CallRecord) -> Result<(), ErrorKind> {
        let books = &self.payer.books;
        let pool = lock(&books.channels);
        let Some(channel) = pool.as_ref().and_then(|pool| pool.get(id)) else {
            return Ok(());
        };
        let written = books.journal.update_voucher(record, channel);
        written.map_err(ErrorKind::Journal)
    }

    /// Changes the channel and the promise, and writes both.
    fn with_channel(
        &mut self,
        id: &B256,
        work: impl FnOnce(&mut Channel, &mut VoucherRecord),
    ) -> Result<(), ErrorKind> {
        let books = Arc::clone(&self.payer.books);
        let mut pool = lock(&books.channels);
        let channel = pool.as_mut().and_then(|pool| pool.get_mut(id));
        let (Some(channel), Some(voucher)) = (channel, &mut self.leg.record.voucher) else {
            return Ok(());
        };
        work(channel, voucher);
        let written = books.journal.update_voucher(&self.leg.record, channel);
        written.map_err(ErrorKind::Journal)
    }

    /// What was charged over the channel, where it is known.
    pub(super) fn charged_over_channel(&self) -> Option<Amount> {
        let voucher = self.leg.record.voucher.as_ref();
        voucher.and_then(|voucher| voucher.charged)
    }
}

/// Attributes what the seller charged to a request without an answer: at most `most`, taken from `left`;
/// nothing makes its promise void.
fn charge(voucher: &mut VoucherRecord, most: Amount, left: &mut Amount) {
    let part = most.min(voucher.amount);
    *left = left.checked_sub(part).unwrap_or(Amount::ZERO);
    if part.is_zero() {
        voucher.state = VoucherState::Void;
        voucher.charged = None;
    } else {
        voucher.state = VoucherState::Charged;
        voucher.charged = Some(part);
    }
}

fn store(
    books: &Books,
    pool: &Pool,
    id: &B256,
    record: &CallRecord,
    policy: &seamline_evm::policy::SpendPolicy,
    now: seamline_core::Timestamp,
) -> Result<(), Fault> {
    let channel = pool.get(id).ok_or(Fault::Refused(Refusal::OtherChannel))?;
    match books.journal.reserve_voucher(record, channel, policy, now) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(over)) => Err(Fault::Over(over)),
        Err(err) => Err(Fault::Journal(err)),
    }
}

/// Reads the channels from the journal, once.
fn open_pool(payer: &Payer, seed: B256) -> Result<(), ErrorKind> {
    let mut pool = lock(&payer.books.channels);
    if pool.is_none() {
        let per_seller = payer.options.channels_per_seller;
        let read = payer.books.journal.pool(per_seller, seed);
        *pool = Some(read.map_err(ErrorKind::Journal)?);
    }
    Ok(())
}
