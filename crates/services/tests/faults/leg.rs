//! One payment, performed as the client performs it: the payment says what may be done.

use core::time::Duration;
use std::collections::VecDeque;

use seamline_core::{Amount, B256};
use seamline_evm::chain::{self, SettlementQuery};
use seamline_evm::payment::{Action, Event, Misuse, Payment, State, Terms};
use seamline_evm::scheme::{Marks, SignedAuthorization, sign_with};
use seamline_evm::x402::extensions::payment_identifier::{self, PaymentId};
use seamline_evm::x402::{PaymentRequired, Reason, SettleResponse};
use tokio::time::{Instant, sleep};

use crate::books::Entry;
use crate::http::Reply;
use crate::payer::{Payer, Step, Stop};
use crate::points::Crash;

/// Wait before the first re-presentation; doubled for the next. As the client's.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// As the client's.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long a settlement is waited for that nobody promised. As the client's.
pub(crate) const UNPROMISED_WAIT: Duration = Duration::from_millis(500);
/// How long a promised one is waited for. As the client's.
const PROMISED_WAIT: Duration = Duration::from_secs(5);

pub(crate) enum Next {
    Present,
    Report,
}

/// One payment under way.
pub(crate) struct Leg<'a> {
    pub(crate) payer: &'a Payer,
    pub(crate) purchase: u64,
    pub(crate) payment: Payment,
    pub(crate) signed: Option<SignedAuthorization>,
    pub(crate) from_block: u64,
    pub(crate) replied: Instant,
}

impl Leg<'_> {
    /// Signs an offer of a shop and stores the authorization.
    pub(crate) async fn authorize(
        &mut self,
        shop: usize,
        required: &PaymentRequired,
        marks: Marks,
    ) -> Step<()> {
        let payer = self.payer;
        let world = &payer.world;
        let payee = world.shops[shop].payee;
        let mut spent = payer.books.spent();
        if marks.fallback {
            // The reservation of this very payment covers it.
            spent.reserved = Amount::ZERO;
        }
        let Ok(admitted) = payer.policy().admit(required, payee, &spent) else {
            return Err(Stop::Unsigned);
        };
        let now = (world.clock(world.plan.skew_s[0]))();
        let nonce = *self.payment.auth_nonce();
        // As the client's: without a name a lost answer cannot be had again.
        let name = PaymentId::from_bytes(nonce.0.first_chunk().unwrap());
        let named = [(payment_identifier::KEY.to_owned(), name.addition())];
        let named = named.into_iter().collect();
        let signed = sign_with(&admitted, nonce, marks, named, &world.payer, now).unwrap();
        let actions = self.tell(Event::Signed(Terms::from(&signed)));
        let actions = actions.map_err(|_| Stop::Unsigned)?;
        payer.dies(Crash::BeforeStore)?;
        self.signed = Some(signed);
        let next = self.perform(actions, UNPROMISED_WAIT).await?;
        assert!(matches!(next, Next::Present));
        payer.dies(Crash::AfterStore)
    }

    /// Tries the other seller with the same nonce.
    pub(crate) async fn fall_back(&mut self) -> Step<Option<SettleResponse>> {
        let Ok(required) = self.payer.ask(1, self.purchase).await else {
            return Ok(None);
        };
        self.payer
            .say(self.purchase, "falls back to the other seller");
        match self.authorize(1, &required, Marks { fallback: true }).await {
            Ok(()) => self.execute(1).await,
            Err(Stop::Unsigned) => Ok(None),
            Err(Stop::Crashed) => Err(Stop::Crashed),
        }
    }

    /// Presents the authorization until it brings an answer, or until the payment says no more.
    pub(crate) async fn execute(&mut self, shop: usize) -> Step<Option<SettleResponse>> {
        let mut wait = FIRST_WAIT;
        loop {
            // Nothing leaves without the payment's consent.
            self.tell(Event::Sent).unwrap();
            let (heard, asked) = match self.present(shop).await? {
                Presented::Answered(reply) => return Ok(reply),
                Presented::Refused(reason) => {
                    let heard = Event::ReplyRefused(reason);
                    self.pay(heard, UNPROMISED_WAIT).await?;
                    return Ok(None);
                }
                Presented::Useless => return Ok(None),
                Presented::Lost(heard, asked) => (heard, asked),
            };
            wait = asked.unwrap_or(wait).min(MAX_WAIT);
            self.replied = Instant::now();
            if matches!(self.pay(heard, UNPROMISED_WAIT).await?, Next::Report) {
                return Ok(None);
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn present(&self, shop: usize) -> Step<Presented> {
        let header = self.signed.as_ref().unwrap().header();
        let world = &self.payer.world;
        let sending = world.send(shop, self.purchase, Some(&header));
        let reply = if self.payer.dies(Crash::WhileSent).is_err() {
            // The process dies a moment after the request left.
            drop(tokio::time::timeout(Duration::from_millis(300), sending).await);
            return Err(Stop::Crashed);
        } else {
            sending.await
        };
        self.payer.dies(Crash::AfterReply)?;
        Ok(match reply {
            Reply::NotSent => Presented::Lost(Event::NotSent, None),
            Reply::Lost => Presented::Lost(Event::ReplyLost, None),
            Reply::Answer(answer) => {
                let status = answer.status.as_u16();
                let header = answer.headers.get("payment-response");
                let said = header.and_then(|it| SettleResponse::from_header(it.as_bytes()).ok());
                let said = said.or_else(|| answer.said.clone());
                let pause = answer.headers.get("retry-after");
                let pause = pause.and_then(|it| it.to_str().ok()?.parse().ok());
                let code = said.as_ref().and_then(|it| it.error_reason.clone());
                self.payer.say(
                    self.purchase,
                    &format!(
                        "answered {status} {}",
                        code.map_or(String::new(), |it| it.as_str().to_owned())
                    ),
                );
                match status {
                    200..=299 => Presented::Answered(said),
                    402 => {
                        let reason = said.and_then(|it| it.error_reason).or_else(|| {
                            let header = answer.headers.get("payment-required")?;
                            let required = PaymentRequired::from_header(header.as_bytes());
                            Some(Reason::from(required.ok()?.error?.as_str()))
                        });
                        let unknown = || Reason::from("unknown_reason");
                        Presented::Refused(reason.unwrap_or_else(unknown))
                    }
                    409 | 425 | 429 | 500..=599 => {
                        Presented::Lost(Event::ReplyLost, pause.map(Duration::from_secs))
                    }
                    _ => Presented::Useless,
                }
            }
        })
    }

    /// Learns what became of the authorization, as long as the client waits.
    pub(crate) async fn settle(&mut self, reply: Option<SettleResponse>) -> Step<()> {
        let promised = reply.as_ref().is_some_and(|reply| reply.success);
        let patience = if promised {
            PROMISED_WAIT
        } else {
            UNPROMISED_WAIT
        };
        let heard = match reply {
            Some(reply) => Event::ReplyOk(Box::new(reply)),
            None => match self.payment.state() {
                State::New | State::Signed | State::Authorized => Event::GivenUp,
                State::Sent => Event::ReplyMute,
                State::Submitted { .. }
                | State::Unknown { .. }
                | State::Settled(_)
                | State::NotSettled(_)
                | State::Abandoned => Event::Woken,
            },
        };
        if !matches!(heard, Event::Woken) {
            self.replied = Instant::now();
        }
        self.pay(heard, patience).await?;
        let nonce = *self.payment.auth_nonce();
        self.write(&nonce);
        Ok(())
    }

    async fn pay(&mut self, event: Event, patience: Duration) -> Step<Next> {
        let actions = self.tell(event).unwrap();
        self.perform(actions, patience).await
    }

    /// Does what the payment asks for until it wants something presented or may report.
    pub(crate) async fn perform(&mut self, actions: Vec<Action>, patience: Duration) -> Step<Next> {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            let event = match action {
                Action::Store(_) => self.store(),
                Action::Send(_) | Action::ResendSame(_) => return Ok(Next::Present),
                Action::AskChain => self.ask_chain().await,
                Action::Wait(time) => {
                    let left = patience.saturating_sub(self.replied.elapsed());
                    if left.is_zero() {
                        return Ok(Next::Report);
                    }
                    sleep(time.min(left)).await;
                    Event::Woken
                }
                Action::Conclude => return Ok(Next::Report),
            };
            actions.extend(self.tell(event).unwrap());
        }
        Ok(Next::Report)
    }

    pub(crate) fn tell(&mut self, event: Event) -> Result<Vec<Action>, Misuse> {
        let world = &self.payer.world;
        let now = (world.clock(world.plan.skew_s[0]))();
        let before = self.payment.state().as_str();
        let word = format!("{event:?}");
        let actions = self.payment.on_event(event, now);
        let word: String = word.chars().take(60).collect();
        let after = self.payment.state().as_str();
        self.payer
            .say(self.purchase, &format!("{word}: {before} -> {after}"));
        actions
    }

    fn store(&self) -> Event {
        let mut books = self.payer.books.0.lock().unwrap();
        let entry = books.entry(*self.payment.auth_nonce());
        let entry = entry.or_insert_with(|| Entry {
            purchase: self.purchase,
            payloads: Vec::new(),
            from_block: self.from_block,
            state: State::Authorized,
            was_unknown: false,
            anchor: None,
            was_undone: false,
        });
        let signed = self.signed.as_ref().unwrap();
        entry.payloads.push(signed.payload_json().to_owned());
        Event::AuthorizationStored
    }

    pub(crate) async fn ask_chain(&self) -> Event {
        let signed = self.signed.as_ref().unwrap();
        let query = SettlementQuery {
            method: signed.method,
            payer: signed.payer,
            auth_nonce: signed.auth_nonce,
            asset: signed.asset,
            from_block: self.from_block,
        };
        let facts = chain::facts(&self.payer.rpc, &query).await;
        facts.map_or(Event::ChainSilent, Event::ChainSays)
    }

    pub(crate) fn write(&self, nonce: &B256) {
        let mut books = self.payer.books.0.lock().unwrap();
        let entry = books.get_mut(nonce).unwrap();
        entry.state = self.payment.state().clone();
        entry.was_unknown |= entry.is_open();
        entry.anchor = match &entry.state {
            State::Settled(facts) => Some(facts.into()),
            State::NotSettled(block) => Some(block.into()),
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Submitted { .. }
            | State::Unknown { .. }
            | State::Abandoned => None,
        };
    }
}

/// How one presentation ended.
enum Presented {
    Answered(Option<SettleResponse>),
    Refused(Reason),
    Useless,
    Lost(Event, Option<Duration>),
}
