//! Sessions: one authorization for many requests, settled once (`X-Upto-Session`).
//!
//! Each request of a session is a piece of work like any other, whose purse is a part of the
//! session's: set aside before the handler runs, charged and written down before a buffered answer
//! leaves. The session itself is one record of the store, so that a crash owes what was delivered;
//! after a restart its token is unknown, and its debt is settled like every other one.

mod hold;
mod open;

use core::time::Duration;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use seamline_core::{Address, Amount, B256, sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::hold::SessionHold;
pub(super) use self::open::Open;
use super::Paywall;
use super::flow::{Refusal, busy};
use super::job::{Job, Manner, Purse};
use super::judge::SETTLE_TIME;
use super::keeper::TICK;
use super::ledger::{Admission, Presentation};
use super::meter::{Meter, PaymentContext};
use super::purchase::Purchase;
use super::request::{strip, takes_trailers, target};
use super::sale::Sale;
use crate::session::{NoPlace, Standing};

/// Names a session, in requests and in answers. Whoever knows the token can spend what is left.
pub(super) const SESSION: HeaderName = HeaderName::from_static("x-upto-session");

/// How long before its authorization's end a session's last request ends: what is settled then
/// still has the time that every settlement gets.
const MARGIN: Duration = Duration::from_secs(10);

/// How many sessions are written to the store at the same time.
const AT_ONCE: usize = 32;

/// The sessions of one paywall.
#[derive(Default)]
pub(super) struct Sessions {
    books: Mutex<Books>,
    /// Told when a session opens: who presented the same message meanwhile goes on in it.
    opened: Notify,
}

#[derive(Default)]
struct Books {
    /// By the hash of the token: looking one up tells nothing about the others.
    by_token: HashMap<B256, Arc<Open>>,
    /// By the payment message that opened it, which may be presented again in place of the token.
    by_payment: HashMap<B256, Arc<Open>>,
    /// Whether somebody looks after them.
    tended: bool,
    /// No session opens any more: the process ends.
    closed: bool,
}

impl Paywall {
    /// The session that a request names; `None` where it names none.
    pub(super) fn serve_in_session(
        &self,
        head: &Parts,
        sale: &Sale,
    ) -> Option<Result<Arc<Open>, Refusal>> {
        self.0.config.sessions?;
        let mut values = head.headers.get_all(SESSION).iter();
        let token = values.next()?;
        let found = (values.next().is_none() && sale.session.is_some())
            .then(|| self.0.sessions.of_token(token.as_bytes()))
            .flatten();
        Some(found.filter(|open| open.is_for(head)).ok_or_else(dead))
    }

    /// The session that a payment has opened, where it is presented again.
    pub(super) fn session_of(
        &self,
        purchase: &Purchase,
        head: &Parts,
    ) -> Option<Result<Arc<Open>, Refusal>> {
        if !purchase.session {
            return None;
        }
        let open = self.0.sessions.of_payment(&purchase.authorization)?;
        Some(if open.is_for(head) {
            Ok(open)
        } else {
            Err(dead())
        })
    }

    /// Makes a session of a payment that was found good.
    pub(super) fn open_session(&self, opening: Box<Opening>) -> Result<Arc<Open>, Box<Opening>> {
        let Some(rules) = self.0.config.sessions else {
            return Err(opening);
        };
        let (payer, now) = (opening.promise.payer, (self.0.config.clock)());
        let (open, tended) = {
            // Counted and added at once: many may open sessions at the same time.
            let mut books = self.0.sessions.lock();
            let all = books.by_token.values();
            let of_payer = all.filter(|other| other.payer == payer).count();
            let full = books.by_token.len() >= rules.max_sessions;
            if books.closed || full || of_payer >= rules.max_per_payer {
                return Err(opening);
            }
            let open = Arc::new(Open::new(opening, now)?);
            books.by_token.insert(open.token_hash, Arc::clone(&open));
            books
                .by_payment
                .insert(open.authorization, Arc::clone(&open));
            (open, core::mem::replace(&mut books.tended, true))
        };
        self.0.sessions.opened.notify_waiters();
        if !tended {
            self.tend();
        }
        Ok(open)
    }

    /// Runs the handler for a request that a session pays for.
    pub(super) async fn run_in_session(
        &self,
        open: Arc<Open>,
        sale: &Sale,
        mut head: Parts,
        body: Bytes,
        next: Next,
    ) -> Result<Response, Refusal> {
        let asked = sale.session.as_ref().map(|session| session.asked);
        let asked = asked.ok_or_else(dead)?;
        let now = (self.0.config.clock)();
        let hold = match SessionHold::begin(self, &open, asked, now) {
            Ok(hold) => hold,
            Err(NoPlace::Over) => {
                open.lock().exhaust();
                self.settle_if_over(&open);
                return Err(dead());
            }
            Err(NoPlace::Full) => return Err(Refusal::Problem(busy())),
        };
        let number = hold.place().number.to_be_bytes();
        let presentation = Presentation {
            key: sha256(&[b"seamline/v1/session", open.token_hash.as_slice(), &number]),
            payer: open.payer,
            authorization: open.authorization,
            request: B256::ZERO,
            deadline: open.deadline,
        };
        let Admission::New(reservation) = self.0.ledger.begin(presentation, now) else {
            return Err(Refusal::Problem(busy()));
        };
        let began = Instant::now();
        let left = open.deadline.saturating_since(now);
        let left = left.saturating_sub(SETTLE_TIME).saturating_sub(MARGIN);
        let context = PaymentContext {
            payer: open.payer,
            offer: open.offer.clone(),
            max: asked,
            auth_nonce: open.auth_nonce,
            meter: Meter::new(asked),
        };
        let job = Job {
            paywall: self.clone(),
            reservation,
            purse: Purse::Local(Box::new(hold)),
            context: context.clone(),
            stop: began.checked_add(left).unwrap_or(began),
            manner: Manner {
                trailers: takes_trailers(&head.headers),
                v1: false,
                secret: false,
                url: sale.resource.url().to_owned(),
            },
            in_session: true,
        };
        strip(&mut head.headers);
        head.headers.remove(SESSION);
        head.extensions.insert(context);
        let request = Request::from_parts(head, Body::from(body));
        let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
        let mut response = self.detach(job.run(handler.map(Result::ok), false)).await?;
        if let Ok(mut token) = HeaderValue::from_str(&open.token) {
            token.set_sensitive(true);
            response.headers_mut().insert(SESSION, token);
        }
        Ok(response)
    }

    /// Settles the sessions that are over by now, and says to the store that the others live.
    ///
    /// The paywall does this by itself every few seconds while there are sessions; settlements run
    /// in [`Paywall::tasks`].
    pub async fn tend_sessions(&self) {
        // What is over first: a store that is slow delays no settlement.
        let all = self.0.sessions.all().into_iter();
        let alive = all.filter(|open| !self.settle_if_over(open));
        let alive: Vec<_> = alive.collect();
        let renewed = stream::iter(alive).for_each_concurrent(AT_ONCE, |open| async move {
            open.renew(&self.0).await;
        });
        renewed.await;
    }

    /// Ends all sessions and settles them, each once its last request has ended, and opens no further
    /// one: at a shutdown, after the listener has stopped and before [`Paywall::tasks`] are drained.
    /// Requests that are still judged then are paid alone.
    pub fn close_sessions(&self) {
        self.0.sessions.lock().closed = true;
        for open in self.0.sessions.all() {
            open.lock().close();
            self.settle_if_over(&open);
        }
    }

    /// Ends the sessions of a payer that cheated, and settles what they owe.
    pub(super) fn close_sessions_of(&self, payer: Address) {
        for open in self.0.sessions.all() {
            if open.payer == payer {
                open.lock().close();
                self.settle_if_over(&open);
            }
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.0.sessions.lock().by_token.len()
    }

    /// Hands a session that is over to its settlement; whether it is over.
    fn settle_if_over(&self, open: &Arc<Open>) -> bool {
        let Some(rules) = self.0.config.sessions else {
            return false;
        };
        let now = (self.0.config.clock)();
        let sum = match open.lock().take_due(now, &rules) {
            Standing::Open => return false,
            Standing::Ended => return true,
            Standing::Due(sum) => sum,
        };
        self.0.sessions.forget(open);
        // Where the runtime is gone, the record in the store is what is left.
        if tokio::runtime::Handle::try_current().is_ok() {
            let (paywall, open) = (self.clone(), Arc::clone(open));
            self.0.tasks.spawn(async move {
                open.settle(&paywall, sum).await;
            });
        }
        true
    }

    /// Looks after the sessions until there are none.
    fn tend(&self) {
        let inner = Arc::downgrade(&self.0);
        // Of no set: nothing waits for it, and what it would do is in the store.
        tokio::spawn(async move {
            loop {
                sleep(TICK).await;
                let Some(inner) = inner.upgrade() else {
                    return;
                };
                let paywall = Self(inner);
                paywall.tend_sessions().await;
                if paywall.0.sessions.rest() {
                    return;
                }
            }
        });
    }
}

/// A good payment that is to become a session.
pub(super) struct Opening {
    pub(super) purse: Purse,
    pub(super) reservation: super::ledger::Reservation,
    pub(super) promise: super::promise::Promise,
    pub(super) authorization: B256,
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) url: String,
}

impl Opening {
    /// Puts together what a session needs.
    pub(super) fn new(
        purse: Purse,
        reservation: super::ledger::Reservation,
        purchase: &Purchase,
        head: &Parts,
    ) -> Self {
        Self {
            purse,
            reservation,
            promise: purchase.promise.clone(),
            authorization: purchase.authorization,
            method: head.method.clone(),
            path: path(head),
            url: purchase.manner.url.clone(),
        }
    }
}

impl Sessions {
    /// Resolves when a session opens from now on.
    pub(super) const fn opened(&self) -> &Notify {
        &self.opened
    }

    fn of_token(&self, token: &[u8]) -> Option<Arc<Open>> {
        self.lock().by_token.get(&sha256(&[token])).cloned()
    }

    fn of_payment(&self, authorization: &B256) -> Option<Arc<Open>> {
        self.lock().by_payment.get(authorization).cloned()
    }

    fn all(&self) -> Vec<Arc<Open>> {
        self.lock().by_token.values().cloned().collect()
    }

    fn forget(&self, open: &Open) {
        let mut books = self.lock();
        books.by_token.remove(&open.token_hash);
        books.by_payment.remove(&open.authorization);
    }

    /// Whether there is nothing to look after; then nobody does.
    fn rest(&self) -> bool {
        let mut books = self.lock();
        books.tended = !books.by_token.is_empty();
        !books.tended
    }

    /// Never held across an await, nor together with a session's own lock.
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path that a session is bound to: without the query, and without a slash at its end.
fn path(head: &Parts) -> String {
    let target = target(head);
    let path = target.split('?').next().unwrap_or_default();
    path.trim_end_matches('/').to_owned()
}

/// The answer to a session that takes no request: without an offer, so that the client forgets the
/// session and asks again.
pub(super) fn dead() -> Refusal {
    let body = r#"{"error": "Session expired or exhausted"}"#;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Refusal::answer(response)
}

/// What a session asks for, beside the offers of the pricer.
#[derive(Clone, Debug)]
pub(super) struct SessionOffer {
    pub(super) offer: seamline_evm::x402::Offer,
    /// What this request can cost.
    pub(super) asked: Amount,
}

/// What stands for the request in the record of a session.
pub(super) fn any_request() -> B256 {
    sha256(&[b"seamline/v1/session"])
}
