//! The steps of one request (x402 appendix C), in their order.

use core::time::Duration;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::StatusCode;
use http::request::Parts;
use seamline_core::{Amount, Timestamp};
use seamline_evm::scheme::is_fallback;
use tokio::time::Instant;

use super::Paywall;
use super::answer::{self, Answer};
use super::credit::crowded;
use super::job::{Job, Purse};
use super::judge::SETTLE_TIME;
use super::keeper::{Found, Keeper, Reopened};
use super::ledger::{Admission, Outcome, Reservation};
use super::meter::{Meter, PaymentContext};
use super::purchase::Purchase;
use super::request::{guard, strip};
use super::sale::{Refused, Sale};
use super::session::{Open, Opening, dead};
use super::store::{Debt, StoreError};
use crate::problem::Problem;

/// Why a request goes no further.
pub(super) enum Refusal {
    /// It is answered with this.
    Answer(Box<Response>),
    /// It is answered with what it costs.
    Required(Box<Sale>, Refused),
    /// Its payer has as much under way as it may, since a moment.
    Owing,
    /// Something is wrong with it, or with us.
    Problem(Problem),
}

impl Paywall {
    /// Answers one request.
    pub(super) async fn handle(&self, request: Request, next: Next) -> Response {
        let shape = self.0.config.problems;
        match self.serve(request, next).await {
            Ok(response) => response,
            Err(Refusal::Answer(response)) => *response,
            Err(Refusal::Required(sale, refused)) => self.0.payment_required(*sale, refused).await,
            Err(Refusal::Problem(problem)) => problem.into_response_as(shape),
            Err(Refusal::Owing) => crowded().into_response_as(shape),
        }
    }

    async fn serve(&self, mut request: Request, next: Next) -> Result<Response, Refusal> {
        let inner = &self.0;
        let now = (inner.config.clock)();
        self.housekeep(now);
        // 1. One answer to one request, by its own method.
        guard(&mut request)?;
        let (mut head, body) = request.into_parts();
        // 2. What it costs, where that does not depend on the body: who does not pay need not send it.
        let known = inner.sale_by_head(&head, now).await.transpose()?;
        if let Some(sale) = &known
            && let Some(refusal) = inner.unpaid(sale, &head)
        {
            inner.discard_body(&head, body).await;
            return Err(refusal);
        }
        // 3. The whole request, and else what it costs: computed, not remembered.
        let (body, room) = inner.read_body(body).await?;
        let sale = match known {
            Some(sale) => sale,
            None => inner.sale(&head, &body, now).await?,
        };
        // 4. The payment: a session's, or at most one, for one of these offers, and what it promises.
        if let Some(open) = self.serve_in_session(&head, &sale) {
            drop(room);
            return self.run_in_session(open?, &sale, head, body, next).await;
        }
        let purchase = inner.purchase(&sale, &head, &body, now)?;
        if let Some(open) = self.session_of(&purchase, &head) {
            drop(room);
            return self.run_in_session(open?, &sale, head, body, next).await;
        }
        // 5. Reserved before anything is computed or asked.
        let began = Instant::now();
        // One wait, for whatever it is.
        let patience = if inner.unpaid.is_tight() {
            Duration::ZERO
        } else {
            inner.config.join_wait
        };
        let until = began.checked_add(patience).unwrap_or(began);
        let reservation = match self.reserve(&purchase, &sale, &head, now, until).await? {
            Reserved::New(reservation) => reservation,
            Reserved::Session(open) => {
                drop(room);
                return self.run_in_session(open, &sale, head, body, next).await;
            }
            Reserved::Open(reservation, answer, amount) => {
                return self
                    .settle_again(reservation, purchase, &sale, answer, amount)
                    .await;
            }
        };
        let judged = loop {
            // 6. Its payer owes little enough.
            let turn = self.afford(&purchase, &reservation, until).await?;
            let now = (inner.config.clock)();
            // 7. Not begun by another process, nor by an earlier one.
            let begun = match self.begun(&purchase, &sale, now).await? {
                Begun::Owes(keeper, debt) => {
                    let amount = debt.amount;
                    let job = self.job(reservation, &purchase, Purse::of(Some(keeper), *debt));
                    return self
                        .detach(async move { job.settle_and_answer(None, amount).await })
                        .await;
                }
                Begun::No => None,
                Begun::Yes(keeper) => Some(*keeper),
            };
            // 8. It lives long enough to be worked for, then settled; it is valid; its payer still
            //    owes little enough; it is paid for, where payment comes first.
            let judged = self.judge(&purchase, &sale, &reservation, begun, now).await;
            drop(turn);
            match judged {
                Ok(judged) => break judged,
                // Others of this payer were faster. What was verified then may not be good any more
                // when they are settled.
                Err(Refusal::Owing) => {}
                Err(refusal) => return Err(refusal),
            }
        };
        drop(room);
        // 9. The handler, and the settlement at what it metered: both run to their end, or until
        //    the authorization is about to expire.
        let on_credit = || reservation.on_credit(inner.config.max_on_credit);
        let settle_first =
            purchase.local.is_none() && (is_fallback(&purchase.payload) || !on_credit());
        let (reservation, judged) = if purchase.session && !settle_first {
            let opening = Opening::new(judged, reservation, &purchase, &head);
            match self.open_session(Box::new(opening)) {
                Ok(open) => return self.run_in_session(open, &sale, head, body, next).await,
                // There is no room: it is paid for alone.
                Err(opening) => (opening.reservation, opening.purse),
            }
        } else {
            (reservation, judged)
        };
        let job = self.job(reservation, &purchase, judged);
        strip(&mut head.headers);
        head.extensions.insert(job.context.clone());
        let request = Request::from_parts(head, Body::from(body));
        let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
        self.detach(job.run(handler.map(Result::ok), settle_first))
            .await
    }

    async fn reserve(
        &self,
        purchase: &Purchase,
        sale: &Sale,
        head: &Parts,
        now: Timestamp,
        until: Instant,
    ) -> Result<Reserved, Refusal> {
        loop {
            // A message that opens a session is reserved until that is settled: what its twin waits for
            // is the opening, which is not missed from here on.
            let mut opened = core::pin::pin!(self.0.sessions.opened().notified());
            opened.as_mut().enable();
            if let Some(open) = self.session_of(purchase, head) {
                return Ok(Reserved::Session(open?));
            }
            let mut twin = match self.0.ledger.begin(purchase.presentation(), now) {
                Admission::New(reservation) => return Ok(Reserved::New(reservation)),
                Admission::Resume(reservation, answer, amount) => {
                    return Ok(Reserved::Open(reservation, answer, amount));
                }
                Admission::Done(_) if purchase.session => return Err(dead()),
                Admission::Done(outcome) => {
                    return Err(Refusal::answer(recall(&outcome, purchase.manner.v1)));
                }
                Admission::Conflict => return Err(purchase.refuse_conflict(sale)),
                Admission::Full => return Err(Refusal::Problem(busy())),
                Admission::Join(twin) => twin,
            };
            // Nothing is ever sent: the twin's end drops the sender.
            tokio::select! {
                biased;
                _ = twin.changed() => {}
                () = opened, if purchase.session => {}
                () = tokio::time::sleep_until(until) => {
                    return Err(Refusal::answer(answer::in_flight()));
                }
            }
        }
    }

    /// What the store knows of the authorization.
    async fn begun(
        &self,
        purchase: &Purchase,
        sale: &Sale,
        now: Timestamp,
    ) -> Result<Begun, Refusal> {
        if purchase.local.is_some() {
            return Ok(Begun::No);
        }
        let v1 = purchase.manner.v1;
        let store = &self.0.config.store;
        let scope = self.0.config.scope;
        match Keeper::find(store, &purchase.presentation(), scope, now).await? {
            Found::New => Ok(Begun::No),
            Found::Busy => Err(Refusal::answer(answer::in_flight())),
            Found::Conflict => Err(purchase.refuse_conflict(sale)),
            Found::Ended(settled) if settled.success => {
                Err(Refusal::answer(answer::gone(&settled, v1)))
            }
            Found::Ended(settled) => Err(Refusal::answer(answer::withheld(&settled, v1))),
            Found::Ours(keeper) => Ok(match keeper.debt().cloned() {
                Some(debt) if !debt.upfront => Begun::Owes(keeper, Box::new(debt)),
                Some(_) | None => Begun::Yes(Box::new(keeper)),
            }),
        }
    }

    async fn settle_again(
        &self,
        reservation: Reservation,
        purchase: Purchase,
        sale: &Sale,
        answer: Option<Answer>,
        amount: Amount,
    ) -> Result<Response, Refusal> {
        let (store, presentation) = (&self.0.config.store, purchase.presentation());
        let now = (self.0.config.clock)();
        let keeper = match Keeper::reopen(store, &presentation).await? {
            Reopened::Ours(keeper) => Some(keeper),
            Reopened::Gone => {
                let scope = self.0.config.scope;
                Keeper::hold(store, &presentation, scope, now).await?
            }
            Reopened::Lost => None,
        };
        // Somebody else was paid with it by now.
        let keeper = keeper.ok_or_else(|| purchase.refuse_conflict(sale))?;
        let purse = Purse::of(Some(keeper), purchase.debt(amount));
        let job = self.job(reservation, &purchase, purse);
        self.detach(async move { job.settle_and_answer(answer, amount).await })
            .await
    }

    fn job(&self, reservation: Reservation, purchase: &Purchase, purse: Purse) -> Job {
        let max = purchase.max();
        let promise = &purchase.promise;
        let now = (self.0.config.clock)();
        let left = promise.deadline.saturating_since(now);
        let began = Instant::now();
        Job {
            paywall: self.clone(),
            reservation,
            purse,
            context: PaymentContext {
                payer: promise.payer,
                offer: purchase.offer.clone(),
                max,
                auth_nonce: promise.auth_nonce,
                meter: Meter::new(max),
            },
            stop: began
                .checked_add(left.saturating_sub(SETTLE_TIME))
                .unwrap_or(began),
            manner: purchase.manner.clone(),
            in_session: false,
        }
    }

    /// Runs `work` to its end although the client may leave.
    pub(super) async fn detach(
        &self,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Result<Response, Refusal> {
        // The job's reservation is released by its drop where the work panicked.
        let task = self.0.tasks.spawn(work);
        task.await.map_err(|_| panicked())
    }
}

/// What a reservation is for.
enum Reserved {
    /// All of the work.
    New(Reservation),
    /// Nothing: it goes on in the session that its twin opened.
    Session(Arc<Open>),
    /// The settlement only: the handler has run.
    Open(Reservation, Option<Answer>, Amount),
}

/// What an earlier process left of an authorization.
enum Begun {
    /// Nothing.
    No,
    /// A debt: the settlement is open, the answer is lost.
    Owes(Keeper, Box<Debt>),
    /// Work that delivered nothing.
    Yes(Box<Keeper>),
}

impl Refusal {
    pub(super) fn answer(response: Response) -> Self {
        Self::Answer(Box::new(response))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<StoreError> for Refusal {
    /// What cannot be written down is not served: it could be served again for nothing.
    fn from(error: StoreError) -> Self {
        let text = "payments cannot be taken right now, try again soon";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Problem::new(status, "payment_store_failed", text);
        let problem = problem.not_charged("node", SOON);
        Self::Problem(problem.with_internal(seamline_core::chain(&error)))
    }
}

/// What an authorization's earlier presentation came to.
pub(super) fn recall(outcome: &Outcome, v1: bool) -> Response {
    match outcome {
        Outcome::Answered(answer, settled) => answer.respond(settled, v1),
        Outcome::Spent(settled) => answer::gone(settled, v1),
        Outcome::Unpaid(settled) => answer::withheld(settled, v1),
        // `Ledger::begin` hands these out for resuming.
        Outcome::Unsettled(..) => answer::in_flight().into_response(),
    }
}

pub(super) fn busy() -> Problem {
    let text = "too many payments are in progress, try again soon";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "too_many_payments", text).not_charged("node", SOON)
}

/// When a paywall that is busy, or whose store is, is worth another try.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn panicked() -> Refusal {
    Refusal::Problem(Problem::internal("handler_failed", "a task panicked"))
}
