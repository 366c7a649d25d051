//! From a handler's response to a settled answer.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use seamline_core::Amount;
use seamline_evm::x402::{Offer, PaymentPayload, SettleResponse};
use tokio::time::{Instant, timeout_at};

use super::Paywall;
use super::answer::{self, Answer, End};
use super::holdback::Holdback;
use super::keeper::{Keeper, TICK};
use super::ledger::{LONGEST_ANSWER, Outcome, Reservation};
use super::local::Held;
use super::meter::PaymentContext;
use super::outbox;
use super::settle::{Settled, nothing, report};
use super::store::Debt;
use super::stream::{Streamed, is_sse};
use crate::limits::RESPONSE_BODY_BYTES;
use crate::problem::Problem;

/// One paid piece of work.
pub(super) struct Job {
    pub(super) paywall: Paywall,
    pub(super) reservation: Reservation,
    pub(super) purse: Purse,
    pub(super) context: PaymentContext,
    /// When the work ends, so that the authorization can still be settled.
    pub(super) stop: Instant,
    pub(super) manner: Manner,
    /// A session pays for it: the session keeps the authorization and the books.
    pub(super) in_session: bool,
}

/// What left before it was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: it can be withheld.
    Nothing,
    /// What is due.
    Delivered,
}

/// How the payer wants to be answered.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// It reads trailers.
    pub(super) trailers: bool,
    /// It speaks version 1.
    pub(super) v1: bool,
    /// Its message cannot be written by somebody else.
    pub(super) secret: bool,
    /// What it bought.
    pub(super) url: String,
}

/// Where the money comes from.
pub(super) enum Purse {
    /// An authorization that the facilitator settles.
    Facilitator {
        keeper: Option<Keeper>,
        payload: Box<PaymentPayload>,
        /// The requirement whose amount is what was authorized.
        offer: Box<Offer>,
    },
    /// A settlement that happened before the handler ran.
    Prepaid {
        keeper: Option<Keeper>,
        settled: Box<SettleResponse>,
    },
    /// What a scheme of our own holds.
    Local(Box<dyn Held>),
    /// Nothing any more.
    Empty,
}

impl Purse {
    /// Money that the facilitator settles, as `debt` says, of whatever amount.
    pub(super) fn of(keeper: Option<Keeper>, debt: Debt) -> Self {
        Self::Facilitator {
            keeper,
            payload: Box::new(debt.payload),
            offer: Box::new(debt.offer),
        }
    }
}

impl Job {
    /// Runs the handler to its end, or until the authorization is about to expire.
    pub(super) async fn run(
        mut self,
        handler: impl Future<Output = Option<Response>> + Send,
        settle_first: bool,
    ) -> Response {
        match self.carry(handler).await {
            Some(Some(response)) => self.finish(response, settle_first).await,
            Some(None) => {
                let problem = Problem::internal("handler_failed", "the handler panicked");
                self.fail_with(problem).await
            }
            None => self.too_slow().await,
        }
    }

    /// Runs `work` to its end, and keeps the lease meanwhile; `None` where the authorization is about
    /// to expire.
    async fn carry<T>(&mut self, work: impl Future<Output = T> + Send) -> Option<T> {
        let mut work = core::pin::pin!(work);
        loop {
            let tick = Instant::now().checked_add(TICK).unwrap_or(self.stop);
            match timeout_at(tick.min(self.stop), work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) if Instant::now() >= self.stop => return None,
                // Where the record is another process's, the settlement says so at the end.
                Err(_) => {
                    self.renew().await;
                }
            }
        }
    }

    /// Settles a handler's response: a stream while it flows, anything else before it leaves. With
    /// `settle_first` (another node may hold an authorization of the same nonce, or the payer has
    /// no credit) a stream is held back too.
    async fn finish(mut self, response: Response, settle_first: bool) -> Response {
        // The handler refused, failed, or left HTTP: nothing is due, the authorization is free.
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return self.fail(response).await;
        }
        if status.is_informational() {
            let problem = Problem::internal("handler_failed", "the handler changed the protocol");
            return self.fail_with(problem).await;
        }
        let (mut head, body) = response.into_parts();
        answer::prepare(&mut head.headers);
        let prepaid = matches!(self.purse, Purse::Prepaid { .. });
        if Streamed::is(&head) && (prepaid || !settle_first) {
            return self.stream(head, body).await;
        }
        let Some(collected) = self.carry(collect(head, body)).await else {
            return self.too_slow().await;
        };
        match collected {
            Ok(answer) => {
                let amount = self.due(true);
                self.settle_and_answer(Some(answer), amount).await
            }
            Err(problem) => self.fail_with(problem).await,
        }
    }

    /// Settles `amount`, then releases the answer; or resumes such a settlement.
    pub(super) async fn settle_and_answer(
        mut self,
        answer: Option<Answer>,
        amount: Amount,
    ) -> Response {
        let v1 = self.manner.v1;
        let settled = self.settle(amount, Left::Nothing).await;
        let response = match (&settled, &answer) {
            (Settled::Paid(settled), Some(answer)) => answer.respond(settled, v1),
            (Settled::Paid(settled), None) => answer::gone(settled, v1),
            (Settled::Refused(settled), _) => answer::withheld(settled, v1),
            (Settled::Unknown(settled) | Settled::Owing(settled), _) => {
                answer::uncertain(settled, v1)
            }
        };
        self.close(settled, answer, amount);
        response
    }

    /// Gives the authorization back: nothing of value was delivered. What was settled in advance
    /// stays settled, and buys another try.
    pub(super) async fn fail(mut self, mut response: Response) -> Response {
        // Of this payer only, and silent about payments, like any other answer to one.
        answer::prepare(response.headers_mut());
        match core::mem::replace(&mut self.purse, Purse::Empty) {
            Purse::Facilitator {
                keeper: Some(keeper),
                ..
            } => {
                if let Err(error) = keeper.release().await {
                    report(&error);
                }
            }
            Purse::Prepaid { keeper, settled } => {
                if let Some(mut keeper) = keeper
                    && let Err(error) = keeper.leave(self.now()).await
                {
                    report(&error);
                }
                answer::say(response.headers_mut(), &settled, self.manner.v1);
            }
            Purse::Local(_) | Purse::Facilitator { keeper: None, .. } | Purse::Empty => {}
        }
        response
    }

    async fn fail_with(self, problem: Problem) -> Response {
        let shape = self.paywall.0.config.problems;
        self.fail(problem.into_response_as(shape)).await
    }

    /// Says that the authorization expires before the answer is there: nothing left, so nothing is
    /// settled.
    pub(super) async fn too_slow(self) -> Response {
        let text = "the answer takes longer than the payment is valid";
        let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "payment_expires", text);
        self.fail_with(problem).await
    }

    /// What is due, given whether anything was delivered.
    pub(super) fn due(&self, delivered: bool) -> Amount {
        let exact = self.context.offer.terms().scheme == "exact";
        self.context.meter.due(exact, delivered)
    }

    /// Settles `amount` from the purse, which is empty then.
    pub(super) async fn settle(&mut self, amount: Amount, left: Left) -> Settled {
        let payer = self.context.payer;
        let network = &self.context.offer.terms().network;
        let settled = match core::mem::replace(&mut self.purse, Purse::Empty) {
            Purse::Prepaid { keeper, settled } => {
                if let Some(mut keeper) = keeper
                    && let Err(error) = keeper.end((*settled).clone(), true, self.now()).await
                {
                    report(&error);
                }
                // Its receipt was made when it was settled.
                return Settled::Paid(*settled);
            }
            Purse::Facilitator { keeper, .. } if amount.is_zero() => {
                if let Some(keeper) = keeper
                    && let Err(error) = keeper.release().await
                {
                    report(&error);
                }
                Settled::Paid(nothing(network, payer))
            }
            Purse::Local(held) if amount.is_zero() => {
                drop(held);
                Settled::Paid(nothing(network, payer))
            }
            Purse::Facilitator {
                mut keeper,
                payload,
                offer,
            } => {
                let debt = Debt {
                    amount,
                    upfront: false,
                    delivered: left == Left::Delivered,
                    payload: *payload,
                    offer: *offer,
                };
                self.paywall.0.settle(&mut keeper, debt, payer).await
            }
            Purse::Local(held) => Settled::of(held.commit(amount).await),
            Purse::Empty => Settled::Paid(nothing(network, payer)),
        };
        self.paywall.0.with_receipt(settled, &self.manner.url).await
    }

    /// Writes down what became of the authorization.
    pub(super) fn close(self, settled: Settled, answer: Option<Answer>, amount: Amount) {
        if self.in_session {
            return;
        }
        let now = self.now();
        // Whoever could write the same message would get it.
        let answer = answer.filter(|_| self.manner.secret);
        let answer = answer.filter(|answer| answer.body.len() <= LONGEST_ANSWER);
        let local = self.paywall.0.is_local(&self.context.offer);
        let refused = settled.is_unpaid().then_some(self.context.payer);
        let paywall = self.paywall.clone();
        let outcome = match (settled, answer) {
            // A voucher of nothing is free for another request.
            (Settled::Paid(_), _) if local && amount.is_zero() => return,
            (Settled::Paid(settled), Some(answer)) => Outcome::Answered(answer, settled),
            // Its own books hold the charge: the same voucher gets their correction.
            (Settled::Paid(_), None) if local => return,
            (Settled::Paid(settled), None) => Outcome::Spent(settled),
            // The scheme itself resumes what is unknown.
            (Settled::Refused(_) | Settled::Unknown(_) | Settled::Owing(_), _) if local => return,
            (Settled::Refused(settled), _) => Outcome::Unpaid(settled),
            (settled @ (Settled::Unknown(_) | Settled::Owing(_)), answer) => {
                let presentation = self.reservation.presentation();
                let outcome = Outcome::Unsettled(answer, amount);
                self.reservation
                    .leave(outcome, settled.is_refused_now(), now);
                outbox::retry(&self.paywall, presentation);
                if let Some(payer) = refused {
                    paywall.close_sessions_of(payer);
                }
                return;
            }
        };
        self.reservation.close(outcome, now);
        // After the books: what these sessions' ends begin is not on credit any more.
        if let Some(payer) = refused {
            paywall.close_sessions_of(payer);
        }
    }

    /// Says to the store that the work goes on. `false`: the record is another process's, so that
    /// nothing may be delivered any more.
    pub(super) async fn renew(&mut self) -> bool {
        let now = self.now();
        let keeper = match &mut self.purse {
            Purse::Facilitator { keeper, .. } | Purse::Prepaid { keeper, .. } => keeper,
            Purse::Local(held) => return held.renew().await,
            Purse::Empty => return true,
        };
        let Some(keeper) = keeper else { return true };
        // As with every payment: a store that fails costs durability, not the settlement.
        keeper.renew(now).await.unwrap_or_else(|error| {
            report(&error);
            true
        })
    }

    /// Writes down what a stream delivered so far. `false` as in [`renew`](Self::renew).
    pub(super) async fn note(&mut self, amount: Amount) -> bool {
        let now = self.now();
        match &mut self.purse {
            Purse::Facilitator {
                keeper: Some(keeper),
                payload,
                offer,
            } => {
                let debt = Debt {
                    amount,
                    upfront: false,
                    delivered: true,
                    payload: (**payload).clone(),
                    offer: (**offer).clone(),
                };
                keeper.owe(debt, now).await.unwrap_or_else(|error| {
                    report(&error);
                    true
                })
            }
            Purse::Local(held) => held.note(amount).await,
            Purse::Facilitator { keeper: None, .. } | Purse::Prepaid { .. } | Purse::Empty => true,
        }
    }

    fn now(&self) -> seamline_core::Timestamp {
        (self.paywall.0.config.clock)()
    }
}

/// Reads a handler's whole answer.
async fn collect(head: Parts, body: Body) -> Result<Answer, Problem> {
    let limit = usize::try_from(RESPONSE_BODY_BYTES).unwrap_or(usize::MAX);
    let body = to_bytes(body, limit).await.map_err(|_| {
        Problem::internal("handler_failed", "the handler's body broke or is too long")
    })?;
    let mut answer = Answer {
        status: head.status,
        headers: head.headers,
        end: End::Buffered,
        body,
    };
    if answer.headers.get(CONTENT_TYPE).is_some_and(is_sse) {
        let mut holdback = Holdback::new();
        let mut out = holdback.push(&answer.body);
        let tail = holdback.finish();
        out.extend_from_slice(&tail.held);
        if tail.at_line_start {
            answer.body = out.into();
            answer.end = End::Stream { done: tail.done };
        }
    }
    Ok(answer)
}
