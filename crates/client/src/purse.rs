//! Payment channels of an installation: what is promised in them, and what came of it.
//!
//! What the channel's books allow is [`seamline_evm::channel::payer`]'s to say. Here they are stored
//! before what they say is sent, within the budget, and what comes back is taken in. Calls of nodes
//! and purchases from plain servers share the channels.

mod events;
mod observe;

use std::sync::Arc;

use seamline_core::{Address, Amount, B256, Timestamp, binding};
use seamline_evm::Signer;
use seamline_evm::channel::payer::{Channel, DepositRule, Keys, Payment, Pool, Refusal};
use seamline_evm::policy::{Admitted, SpendPolicy};
use seamline_evm::signer::SignError;
use seamline_evm::x402::extensions::payment_identifier::{self, PaymentId};
use seamline_evm::x402::{PaymentRequired, Reason, SettleResponse};
use serde_json::{Map, Value};

pub(crate) use self::events::{Place, unanswered};
use crate::books::Books;
use crate::client::lock;
use crate::env::{EntropyError, Env};
use crate::journal::{CallRecord, JournalError, Over, VoucherRecord, VoucherState};
use crate::sign::token;

/// The channels, for one request.
#[derive(Clone)]
pub(crate) struct Purse {
    pub(crate) books: Arc<Books>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) env: Env,
    /// Channels with each seller.
    pub(crate) per_seller: u32,
    /// The key of the installation's receipts: its channels are sessions of it.
    pub(crate) recorder: [u8; 32],
    /// Binds the call that pays.
    pub(crate) h_bind: B256,
}

/// The payment channel that a call was paid for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelUse {
    /// The channel's id.
    pub id: B256,
    /// What the seller says that it charged, base units; `None` where it did not say.
    pub charged: Option<Amount>,
    /// What was put into it along with this call, base units; `None` where it cost a voucher alone.
    pub deposit: Option<Amount>,
    /// What is left in it for further calls, base units.
    pub left: Amount,
}

/// A promise that was signed and stored, ready to be sent.
pub(crate) struct Promised {
    /// The channel.
    pub(crate) id: B256,
    pub(crate) payment: Payment,
    payer: Address,
    chain_id: u64,
    /// Most that this call may be charged.
    amount: Amount,
    /// What calls before this one were charged in the channel.
    before: Amount,
    /// Names the session that the channel is.
    session: Option<Session>,
}

/// A channel as a session of the installation, and the voucher's place in it.
#[derive(Clone, Copy)]
struct Session {
    nonce: B256,
    bind: B256,
}

/// Why nothing was promised, or why the books could not follow.
#[derive(Debug)]
pub(crate) enum PurseFault {
    Refused(Refusal),
    Over(Over),
    Journal(JournalError),
    Entropy(EntropyError),
    Chain(seamline_evm::Error),
    Signer,
}

impl PurseFault {
    /// What is said where the signer's thread ended.
    pub(crate) fn stopped() -> seamline_evm::Error {
        let detail = "the signer stopped".to_owned();
        SignError::Unavailable { detail }.into()
    }
}

/// A voucher that was sent. Where nobody waits for its answer any more, the channel is free for the next
/// request; the promise stays open.
pub(crate) struct Underway(Option<(Arc<Books>, B256)>);

impl Underway {
    /// The wait is over, one way or the other.
    pub(crate) fn arrived(mut self) {
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

/// The payment with a name that nobody can guess: a voucher is public once it is claimed, and a server
/// gives its answer a second time only to who knows what the chain does not show.
fn named(payment: &mut Payment, name: &PaymentId) {
    let mut all = match payment.payload.extensions() {
        Some(Value::Object(all)) => all.clone(),
        Some(_) | None => Map::new(),
    };
    all.insert(payment_identifier::KEY.to_owned(), name.addition());
    // Without it the promise is as good; only its answer cannot be had twice.
    if let Ok(payload) = payment.payload.with_extensions(&all) {
        payment.payload = payload;
    }
}

impl Purse {
    /// Frees the channel when nobody waits any more.
    pub(crate) fn underway(&self, id: B256) -> Underway {
        Underway(Some((Arc::clone(&self.books), id)))
    }

    /// Signs the next voucher on a thread that may block, and stores it with its channel and its
    /// reservation: in any idle channel, or only in `again`, in which this request promised before.
    /// `node` is the node or origin that is asked.
    ///
    /// # Errors
    ///
    /// Nothing was promised, and `record` is as before.
    pub(crate) async fn promise(
        &self,
        admitted: &Admitted,
        node: B256,
        record: &mut CallRecord,
        policy: &SpendPolicy,
        again: Option<B256>,
    ) -> Result<Promised, PurseFault> {
        let seed = B256::from(self.env.random().map_err(PurseFault::Entropy)?);
        let salt = B256::from(self.env.random().map_err(PurseFault::Entropy)?);
        self.open(seed)?;
        let token = token(admitted);
        // The node has the earlier voucher of this request still: the larger one stays reserved.
        let earlier = record.voucher.as_ref().filter(|_| again.is_some());
        let earlier = earlier.map_or(Amount::ZERO, |voucher| voucher.amount);
        let promise = VoucherRecord {
            channel: B256::ZERO,
            network: token.network,
            asset: token.asset,
            pay_to: admitted.pay_to(),
            node,
            amount: admitted.amount().max(earlier),
            charged: None,
            state: VoucherState::Open,
            before: None,
            deposit: None,
            claim: None,
        };
        let (purse, policy, now) = (self.clone(), policy.clone(), self.env.now());
        let (mut next, admitted) = (record.clone(), admitted.clone());
        next.voucher = Some(promise);
        let work = move || {
            let promised = purse.sign(&admitted, &mut next, &policy, again, salt, now);
            promised.map(|promised| (next, promised))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let (stored, promised) = done.map_err(|_| PurseFault::Signer)??;
        *record = stored;
        Ok(promised)
    }

    fn sign(
        &self,
        admitted: &Admitted,
        record: &mut CallRecord,
        policy: &SpendPolicy,
        again: Option<B256>,
        salt: B256,
        now: Timestamp,
    ) -> Result<Promised, PurseFault> {
        let mut pool = lock(&self.books.channels);
        let pool = pool.as_mut().ok_or(PurseFault::Refused(Refusal::Busy))?;
        let keys = Keys {
            payer: &*self.signer,
            authorizer: &*self.signer,
        };
        let rule = DepositRule::default();
        let paid = match again {
            None => pool.pay(admitted, &keys, &rule, salt, now),
            Some(id) => {
                let paid = pool.pay_in(&id, admitted, &keys, &rule, salt, now);
                paid.map(|payment| (id, payment))
            }
        };
        let (id, mut payment) = paid.map_err(PurseFault::Refused)?;
        let name = pool.name_of(&id, payment.max_claimable);
        named(&mut payment, &name);
        let promised = self.promised(pool, id, admitted, payment);
        let stored = promised.and_then(|promised| {
            if let Some(voucher) = &mut record.voucher {
                voucher.channel = id;
                voucher.before = Some(promised.before);
                voucher.deposit = promised.payment.deposit;
            }
            self.store(pool, &id, record, policy, now)
                .map(|()| promised)
        });
        match stored {
            Ok(promised) => Ok(promised),
            Err(fault) => {
                // Nothing was stored, so nothing was promised: the signatures are dropped here.
                if let Some(channel) = pool.get_mut(&id) {
                    channel.unsent();
                }
                Err(fault)
            }
        }
    }

    /// The promise with the name of its call and session.
    fn promised(
        &self,
        pool: &Pool,
        id: B256,
        admitted: &Admitted,
        payment: Payment,
    ) -> Result<Promised, PurseFault> {
        let amount = admitted.amount();
        let before = payment.max_claimable.checked_sub(amount);
        let before = before.unwrap_or(Amount::ZERO);
        let bind = binding::voucher_bind(&self.h_bind, &id, before, payment.max_claimable);
        let nonce = pool
            .get(&id)
            .and_then(|channel| pool.session_nonce(channel));
        Ok(Promised {
            id,
            payment: payment.naming_call(&bind).map_err(PurseFault::Refused)?,
            payer: self.signer.address(),
            chain_id: admitted.chain_id(),
            amount,
            before,
            session: nonce.map(|nonce| Session { nonce, bind }),
        })
    }

    /// What the next promise would take out of the wallet: a deposit, or nothing where a channel covers
    /// it. Where no promise is possible, the price: what is in the way is said when it is signed.
    pub(crate) fn outlay(&self, admitted: &Admitted) -> Result<Amount, PurseFault> {
        let seed = B256::from(self.env.random().map_err(PurseFault::Entropy)?);
        self.open(seed)?;
        let pool = lock(&self.books.channels);
        let payer = self.signer.address();
        let rule = DepositRule::default();
        let wanted = pool
            .as_ref()
            .map(|pool| pool.deposit_for(admitted, payer, payer, &rule));
        Ok(match wanted {
            Some(Ok(wanted)) => wanted.unwrap_or(Amount::ZERO),
            Some(Err(_)) | None => admitted.amount(),
        })
    }

    fn store(
        &self,
        pool: &Pool,
        id: &B256,
        record: &CallRecord,
        policy: &SpendPolicy,
        now: Timestamp,
    ) -> Result<(), PurseFault> {
        let channel = pool.get(id);
        let channel = channel.ok_or(PurseFault::Refused(Refusal::OtherChannel))?;
        let stored = self
            .books
            .journal
            .reserve_voucher(record, channel, policy, now);
        let allowed = stored.map_err(PurseFault::Journal)?;
        allowed.map_err(PurseFault::Over)
    }

    /// All channels, as the books have them.
    pub(crate) fn all(&self) -> Result<Vec<Channel>, PurseFault> {
        let seed = B256::from(self.env.random().map_err(PurseFault::Entropy)?);
        self.open(seed)?;
        let pool = lock(&self.books.channels);
        Ok(pool
            .as_ref()
            .map_or_else(Vec::new, |pool| pool.channels().to_vec()))
    }

    /// What became of the money of a call's channel, for whoever made the call.
    pub(crate) fn used(&self, record: &CallRecord) -> Option<ChannelUse> {
        let voucher = record.voucher.as_ref()?;
        let pool = lock(&self.books.channels);
        let channel = pool.as_ref()?.get(&voucher.channel)?;
        Some(ChannelUse {
            id: voucher.channel,
            charged: voucher.charged,
            deposit: voucher.deposit,
            left: channel.free(),
        })
    }

    /// Reads the channels from the journal, once.
    fn open(&self, seed: B256) -> Result<(), PurseFault> {
        let mut pool = lock(&self.books.channels);
        if pool.is_none() {
            let read = self
                .books
                .journal
                .pool(self.recorder, self.per_seller, seed);
            *pool = Some(read.map_err(PurseFault::Journal)?);
        }
        Ok(())
    }

    /// Takes in what the seller says it charged. An answer that does not say it, or that says more than
    /// was promised, leaves the promise open. Returns the charge.
    pub(crate) fn answered(
        &self,
        id: &B256,
        record: &mut CallRecord,
        reply: Option<&SettleResponse>,
    ) -> Result<Option<Amount>, PurseFault> {
        let mut taken = None;
        self.with_channel(id, record, |channel, voucher| {
            let Some(reply) = reply else {
                return channel.lost();
            };
            if let Ok(amount) = channel.answered(reply) {
                voucher.charged = Some(amount);
                voucher.state = VoucherState::Charged;
                taken = Some(amount);
            }
        })?;
        if taken.is_some() {
            // The seller took this voucher: what was not answered before it was charged nothing.
            for mut earlier in self.earlier(id, record.seq)? {
                if let Some(voucher) = &mut earlier.voucher {
                    voucher.state = VoucherState::Void;
                }
                self.write_other(id, &earlier)?;
            }
        }
        Ok(taken)
    }

    /// No answer came, or none that says anything: the promise stays open.
    pub(crate) fn lost(&self, id: &B256, record: &mut CallRecord) -> Result<(), PurseFault> {
        self.with_channel(id, record, |channel, _| channel.lost())
    }

    /// Takes in a corrective 402. `None` where it is none that may be believed; otherwise the earlier
    /// requests to which a charge was attributed. `lost` says whether an earlier presentation of the
    /// voucher may have been taken.
    pub(crate) fn corrected(
        &self,
        id: &B256,
        record: &mut CallRecord,
        required: Option<&PaymentRequired>,
        lost: bool,
    ) -> Result<Option<Vec<CallRecord>>, PurseFault> {
        let Some(required) = required else {
            self.lost(id, record)?;
            return Ok(None);
        };
        let said = required.error.as_deref().unwrap_or("unknown_reason");
        let reason = Reason::from(said);
        let mut moved = None;
        self.with_channel(id, record, |channel, voucher| {
            let mut offers = required.offers.iter();
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
            return Ok(None);
        };
        // The rest is that of earlier requests without an answer, the oldest first.
        let mut earlier = self.earlier(id, record.seq)?;
        for record in &mut earlier {
            if let Some(voucher) = &mut record.voucher {
                let most = moved;
                charge(voucher, most, &mut moved);
            }
            self.write_other(id, record)?;
        }
        Ok(Some(earlier))
    }

    /// Calls whose promise in the channel is not answered.
    fn earlier(&self, id: &B256, except: u64) -> Result<Vec<CallRecord>, PurseFault> {
        let open = self.books.journal.open_vouchers(id, except);
        open.map_err(PurseFault::Journal)
    }

    fn write_other(&self, id: &B256, record: &CallRecord) -> Result<(), PurseFault> {
        let pool = lock(&self.books.channels);
        let Some(channel) = pool.as_ref().and_then(|pool| pool.get(id)) else {
            return Ok(());
        };
        let written = self.books.journal.update_voucher(record, channel);
        written.map_err(PurseFault::Journal)
    }

    /// Changes the channel and the promise, and writes both.
    fn with_channel(
        &self,
        id: &B256,
        record: &mut CallRecord,
        work: impl FnOnce(&mut Channel, &mut VoucherRecord),
    ) -> Result<(), PurseFault> {
        let mut pool = lock(&self.books.channels);
        let channel = pool.as_mut().and_then(|pool| pool.get_mut(id));
        let (Some(channel), Some(voucher)) = (channel, &mut record.voucher) else {
            return Ok(());
        };
        work(channel, voucher);
        let written = self.books.journal.update_voucher(record, channel);
        written.map_err(PurseFault::Journal)
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
