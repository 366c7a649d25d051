//! What became of a call's payment: a synchronous state machine over events, so that one call
//! pays at most once, whatever is lost.
//!
//! ```text
//! new -> authorized -> sent -> submitted -> settled
//!                        |  \-> unknown  -> settled | not_settled | still unknown
//! ```
//!
//! The rules, which `spec/payment.md` gives with their reasons:
//!
//! 1. A payment has one `auth_nonce`. Another one is refused, whatever happened to the first.
//! 2. An authorization is stored before it is sent.
//! 3. A lost reply asks the chain, then presents the same bytes again; it never signs. Where the
//!    chain shows the settlement, the same bytes can only bring the answer that was paid for.
//! 4. `settled` is what the chain shows. What a node says is `submitted`.
//! 5. `not_settled` needs proof: the nonce is unspent at a block whose time is after the deadline,
//!    and the deadline has passed on this clock too.

mod chain_says;
mod model;

use alloy_primitives::B256;
use seamline_core::{Amount, Charged, Timestamp};

use crate::x402::{Reason, SettleResponse};

pub use model::{Action, Event, Misuse, State, Terms};

/// The payment of one call (of one leg of it).
#[derive(Clone, Debug)]
pub struct Payment {
    auth_nonce: B256,
    terms: Vec<Terms>,
    state: State,
    /// Whether an authorization may have left before the presentation that is under way.
    left: bool,
    /// Whether somebody still waits for the answer.
    wanted: bool,
    /// Whether a presentation after the settlement was asked for and not begun.
    asking_again: bool,
    resends_left: u8,
    asked: u32,
}

/// How often the same authorization is presented again after a lost reply.
pub const MAX_RESENDS: u8 = 2;
/// How often the chain is asked before the call reports `unknown`: with the waits between, about
/// seven seconds, three blocks of Base.
pub const MAX_ASKS: u32 = 8;

impl Payment {
    /// Begins the payment that `auth_nonce` belongs to.
    pub const fn new(auth_nonce: B256) -> Self {
        Self {
            auth_nonce,
            terms: Vec::new(),
            state: State::New,
            left: false,
            wanted: true,
            asking_again: false,
            resends_left: MAX_RESENDS,
            asked: 0,
        }
    }

    /// Takes up a payment from the journal after a restart: whatever was stored may have been
    /// sent. Returns it with the first actions.
    ///
    /// # Errors
    ///
    /// [`Misuse::OutOfOrder`] for no terms, [`Misuse::OtherNonce`] for terms of several nonces.
    pub fn recover(terms: Vec<Terms>) -> Result<(Self, Vec<Action>), Misuse> {
        let first = terms.first().ok_or(Misuse::OutOfOrder)?;
        let (auth_nonce, key) = (first.auth_nonce, first.key);
        let other = |terms: &Terms| terms.auth_nonce != auth_nonce || terms.key != key;
        if terms.iter().any(other) {
            return Err(Misuse::OtherNonce);
        }
        let mut payment = Self::new(auth_nonce);
        payment.terms = terms;
        payment.state = State::Unknown { refused: None };
        payment.left = true;
        // After a restart nobody waits for the answer any more.
        payment.wanted = false;
        Ok((payment, vec![Action::AskChain]))
    }

    /// Takes up a payment from the journal for somebody who still wants what it paid for: as
    /// [`Payment::recover`], and the same bytes may be presented again.
    ///
    /// # Errors
    ///
    /// As [`Payment::recover`].
    pub fn resume(terms: Vec<Terms>) -> Result<(Self, Vec<Action>), Misuse> {
        let (mut payment, actions) = Self::recover(terms)?;
        payment.wanted = true;
        Ok((payment, actions))
    }

    /// Takes an event and says what to do.
    ///
    /// # Errors
    ///
    /// [`Misuse`]; the payment is as before.
    pub fn on_event(&mut self, event: Event, now: Timestamp) -> Result<Vec<Action>, Misuse> {
        if self.is_final() {
            return self.after_the_end(&event);
        }
        match event {
            Event::Signed(terms) => self.signed(terms),
            Event::AuthorizationStored => self.stored(),
            Event::Sent => self.sent(),
            Event::NotSent => self.not_sent(),
            Event::GivenUp => self.given_up(),
            Event::ReplyOk(reply) => self.reply_ok(&reply, now),
            Event::ReplyMute => self.reply_mute(),
            Event::ReplyLost => self.reply_lost(),
            Event::ReplyRefused(reason) => self.refused(reason),
            Event::ChainSays(facts) => self.chain_says(&facts, now),
            Event::ChainSilent => Ok(self.silent(now)),
            Event::Woken => Ok(self.ask()),
        }
    }

    /// The money is accounted for. All that may still be wanted is the answer.
    fn after_the_end(&mut self, event: &Event) -> Result<Vec<Action>, Misuse> {
        match event {
            // The nonce is spent: these bytes cannot cost anything any more.
            Event::Sent if core::mem::take(&mut self.asking_again) => Ok(Vec::new()),
            // A `Send` that was still waiting must not happen any more.
            Event::Signed(_) | Event::Sent => Err(Misuse::Concluded),
            Event::ReplyLost | Event::NotSent => Ok(self.ask_for_the_answer()),
            Event::ReplyOk(_) | Event::ReplyMute | Event::ReplyRefused(_) => {
                self.wanted = false;
                Ok(Vec::new())
            }
            Event::AuthorizationStored
            | Event::GivenUp
            | Event::ChainSays(_)
            | Event::ChainSilent
            | Event::Woken => Ok(Vec::new()),
        }
    }

    /// The nonce of this payment.
    pub const fn auth_nonce(&self) -> &B256 {
        &self.auth_nonce
    }

    /// Where the payment stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether nothing can change any more.
    pub const fn is_final(&self) -> bool {
        match self.state {
            State::Settled(_) | State::NotSettled(_) | State::Abandoned => true,
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Submitted { .. }
            | State::Unknown { .. } => false,
        }
    }

    /// Whether money moved.
    pub const fn charged(&self) -> Charged {
        match self.state {
            State::Settled(_) => Charged::Yes,
            // A fallback is being prepared: the authorization before it was sent.
            State::Signed | State::Authorized if self.left => Charged::Unknown,
            State::New
            | State::Signed
            | State::Authorized
            | State::NotSettled(_)
            | State::Abandoned => Charged::No,
            State::Sent | State::Submitted { .. } | State::Unknown { .. } => Charged::Unknown,
        }
    }

    /// What the books must keep aside: the largest amount that may still be taken.
    pub fn reserved(&self) -> Amount {
        if self.is_final() {
            return Amount::ZERO;
        }
        let amounts = self.terms.iter().map(|terms| terms.amount);
        amounts.max().unwrap_or(Amount::ZERO)
    }

    /// What was signed, in order; after a fallback the last one is current.
    pub fn terms(&self) -> &[Terms] {
        &self.terms
    }

    /// The last second at which any of the authorizations can be settled, Unix seconds.
    pub fn deadline_s(&self) -> u64 {
        let deadlines = self.terms.iter().map(|terms| terms.deadline_s);
        deadlines.max().unwrap_or(0)
    }

    fn signed(&mut self, terms: Terms) -> Result<Vec<Action>, Misuse> {
        // 1. One nonce, checked before anything else.
        let first = self.terms.first();
        if terms.auth_nonce != self.auth_nonce || first.is_some_and(|it| it.key != terms.key) {
            return Err(Misuse::OtherNonce);
        }
        match self.state {
            State::New | State::Sent | State::Unknown { .. } => {}
            // The node says that it took the money: a fallback would race a settlement for nothing.
            State::Submitted { .. }
            | State::Signed
            | State::Authorized
            | State::Settled(_)
            | State::NotSettled(_)
            | State::Abandoned => return Err(Misuse::OutOfOrder),
        }
        self.left |= self.state != State::New;
        // Whoever signs again wants the answer, also after a refusal.
        self.wanted = true;
        self.terms.push(terms);
        self.state = State::Signed;
        Ok(vec![Action::Store(terms.digest)])
    }

    fn stored(&mut self) -> Result<Vec<Action>, Misuse> {
        // 2. Stored before sent.
        self.expect(|state| *state == State::Signed)?;
        self.state = State::Authorized;
        Ok(self.current().map(Action::Send).into_iter().collect())
    }

    fn sent(&mut self) -> Result<Vec<Action>, Misuse> {
        self.expect(|state| matches!(state, State::Authorized | State::Sent))?;
        // A presentation that nothing was heard of counts as one that left.
        self.left |= self.state == State::Sent;
        self.state = State::Sent;
        Ok(Vec::new())
    }

    fn not_sent(&mut self) -> Result<Vec<Action>, Misuse> {
        self.expect(|state| *state == State::Sent)?;
        // An earlier presentation left: what became of that one is the question.
        if self.left {
            return self.reply_lost();
        }
        self.state = State::Authorized;
        match (self.spend_resend(), self.current()) {
            (true, Some(digest)) => Ok(vec![Action::Send(digest)]),
            _ => self.given_up(),
        }
    }

    fn given_up(&mut self) -> Result<Vec<Action>, Misuse> {
        self.expect(|state| matches!(state, State::New | State::Signed | State::Authorized))?;
        // An earlier authorization has been sent.
        if self.left {
            self.state = State::Unknown { refused: None };
            return Ok(self.ask());
        }
        self.state = State::Abandoned;
        Ok(vec![Action::Conclude])
    }

    fn reply_ok(&mut self, reply: &SettleResponse, now: Timestamp) -> Result<Vec<Action>, Misuse> {
        if !reply.success {
            let reason = reply.error_reason.clone();
            return self.refused(reason.unwrap_or(Reason::UnexpectedSettleError));
        }
        self.expect(Self::awaits_reply)?;
        (self.left, self.wanted) = (true, false);
        // 4. Said by the node: the chain decides.
        self.state = State::Submitted {
            transaction: reply.transaction_hash(),
        };
        if reply.transaction.is_empty() {
            // Nothing was due, says the node: the chain can confirm it only after the deadline,
            // so the call need not wait for it.
            self.asked = MAX_ASKS.saturating_sub(1);
            return Ok(self.wait_or_conclude(now));
        }
        self.asked = 0;
        Ok(self.ask())
    }

    fn reply_mute(&mut self) -> Result<Vec<Action>, Misuse> {
        self.expect(Self::awaits_reply)?;
        self.wanted = false;
        self.reply_lost()
    }

    fn reply_lost(&mut self) -> Result<Vec<Action>, Misuse> {
        self.expect(Self::awaits_reply)?;
        self.left = true;
        self.state = State::Unknown { refused: None };
        self.asked = 0;
        Ok(self.ask())
    }

    fn refused(&mut self, reason: Reason) -> Result<Vec<Action>, Misuse> {
        self.expect(Self::awaits_reply)?;
        (self.left, self.wanted) = (true, false);
        self.state = State::Unknown {
            refused: Some(reason),
        };
        self.asked = 0;
        Ok(self.ask())
    }

    const fn awaits_reply(state: &State) -> bool {
        matches!(state, State::Sent | State::Unknown { .. })
    }

    fn expect(&self, allowed: impl Fn(&State) -> bool) -> Result<(), Misuse> {
        if allowed(&self.state) {
            Ok(())
        } else {
            Err(Misuse::OutOfOrder)
        }
    }

    fn current(&self) -> Option<B256> {
        self.terms.last().map(|terms| terms.digest)
    }
}

#[cfg(test)]
mod tests;
