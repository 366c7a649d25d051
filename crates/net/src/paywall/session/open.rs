use core::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use http::request::Parts;
use seamline_core::{Address, Amount, B256, Timestamp, sha256};
use seamline_evm::x402::{Offer, PaymentPayload};
use tokio::time::Instant;

use super::{Opening, path};
use crate::paywall::job::{Job, Left, Manner, Purse};
use crate::paywall::keeper::{Keeper, TICK};
use crate::paywall::ledger::Reservation;
use crate::paywall::meter::{Meter, PaymentContext};
use crate::paywall::settle::report;
use crate::paywall::store::Debt;
use crate::paywall::{Inner, Paywall};
use crate::session::Session;

/// A session that takes requests.
pub(in crate::paywall) struct Open {
    /// A random UUID. Never logged.
    pub(super) token: String,
    pub(super) token_hash: B256,
    pub(super) authorization: B256,
    method: Method,
    path: String,
    url: String,
    pub(super) payer: Address,
    pub(super) auth_nonce: B256,
    pub(super) deadline: Timestamp,
    pub(super) offer: Offer,
    payload: PaymentPayload,
    pub(super) cap: Amount,
    state: Mutex<Session>,
    till: tokio::sync::Mutex<Till>,
}

/// The durable side of a session: one writer at a time.
struct Till {
    /// What the store knows.
    written: Amount,
    /// When the store last heard of it.
    heard: Instant,
    hand: Hand,
}

/// Whose the record is.
enum Hand {
    /// This session's.
    Ours(Box<Keeper>, Reservation),
    /// The settlement's, which wrote everything down before it took it.
    Settling,
    /// Another process's, which settles what it finds there.
    Lost(#[expect(dead_code, reason = "keeps the authorization from being used here")] Reservation),
}

impl Open {
    /// Makes a session of a good payment; gives it back where it cannot be one.
    pub(super) fn new(opening: Box<Opening>, now: Timestamp) -> Result<Self, Box<Opening>> {
        let Some(token) = token() else {
            return Err(opening);
        };
        let Opening {
            purse,
            reservation,
            promise,
            authorization,
            method,
            path,
            url,
        } = *opening;
        let (keeper, payload, offer) = match purse {
            Purse::Facilitator {
                keeper: Some(keeper),
                payload,
                offer,
            } => (keeper, payload, offer),
            purse @ (Purse::Facilitator { keeper: None, .. }
            | Purse::Prepaid { .. }
            | Purse::Local(_)
            | Purse::Empty) => {
                return Err(Box::new(Opening {
                    purse,
                    reservation,
                    promise,
                    authorization,
                    method,
                    path,
                    url,
                }));
            }
        };
        Ok(Self {
            token_hash: sha256(&[token.as_bytes()]),
            token,
            authorization,
            method,
            path,
            url,
            payer: promise.payer,
            auth_nonce: promise.auth_nonce,
            deadline: promise.deadline,
            offer: *offer,
            payload: *payload,
            cap: promise.max,
            state: Mutex::new(Session::new(promise.max, promise.deadline, now)),
            till: tokio::sync::Mutex::new(Till {
                written: Amount::ZERO,
                heard: Instant::now(),
                hand: Hand::Ours(Box::new(keeper), reservation),
            }),
        })
    }

    /// Whether the request is for what the session was opened for.
    pub(super) fn is_for(&self, head: &Parts) -> bool {
        head.method == self.method && path(head) == self.path
    }

    /// Never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, Session> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down durably what is owed by now. `false`: the record is another process's, so that
    /// nothing may be delivered any more.
    pub(super) async fn write(&self, inner: &Inner) -> bool {
        let mut till = self.till.lock().await;
        self.write_in(&mut till, inner).await
    }

    async fn write_in(&self, till: &mut Till, inner: &Inner) -> bool {
        // Read with the till in hand: who waited for it finds its charge written by who had it.
        let amount = self.lock().owed();
        let keeper = match &mut till.hand {
            Hand::Ours(keeper, _) => keeper,
            Hand::Settling => return true,
            Hand::Lost(_) => return false,
        };
        if amount == till.written {
            return true;
        }
        match keeper.owe(self.debt(amount), (inner.config.clock)()).await {
            Ok(true) => {
                till.written = amount;
                till.heard = Instant::now();
                true
            }
            Ok(false) => {
                self.lose(till);
                false
            }
            // As with every payment: a store that fails costs durability, not the settlement.
            Err(error) => {
                report(&error);
                true
            }
        }
    }

    /// Whether the record is this process's, as far as it knows.
    pub(super) async fn is_ours(&self) -> bool {
        match self.till.lock().await.hand {
            Hand::Ours(..) | Hand::Settling => true,
            Hand::Lost(_) => false,
        }
    }

    /// Says to the store that the session lives, unless it heard so a moment ago.
    pub(super) async fn renew(&self, inner: &Inner) {
        let mut till = self.till.lock().await;
        if till.heard.elapsed() < TICK {
            return;
        }
        let Hand::Ours(keeper, _) = &mut till.hand else {
            return;
        };
        match keeper.renew((inner.config.clock)()).await {
            Ok(true) => till.heard = Instant::now(),
            Ok(false) => self.lose(&mut till),
            Err(error) => report(&error),
        }
    }

    fn lose(&self, till: &mut Till) {
        tracing::warn!("another process settles a session of this one");
        self.lock().close();
        if let Hand::Ours(_, reservation) = core::mem::replace(&mut till.hand, Hand::Settling) {
            till.hand = Hand::Lost(reservation);
        }
    }

    /// Settles the sum, once; what is unknown then is asked for in the background, like the
    /// settlement of every payment.
    pub(super) async fn settle(&self, paywall: &Paywall, sum: Amount) {
        let (keeper, reservation) = {
            let mut till = self.till.lock().await;
            self.write_in(&mut till, &paywall.0).await;
            match core::mem::replace(&mut till.hand, Hand::Settling) {
                Hand::Ours(keeper, reservation) => (*keeper, reservation),
                Hand::Settling => return,
                lost @ Hand::Lost(_) => {
                    till.hand = lost;
                    return;
                }
            }
        };
        let mut job = Job {
            paywall: paywall.clone(),
            reservation,
            purse: Purse::of(Some(keeper), self.debt(sum)),
            context: PaymentContext {
                payer: self.payer,
                offer: self.offer.clone(),
                max: sum,
                auth_nonce: self.auth_nonce,
                meter: Meter::new(sum),
            },
            stop: Instant::now(),
            manner: Manner {
                trailers: false,
                v1: false,
                secret: false,
                url: self.url.clone(),
            },
            in_session: false,
        };
        let settled = job.settle(sum, Left::Delivered).await;
        job.close(settled, None, sum);
    }

    fn debt(&self, amount: Amount) -> Debt {
        Debt {
            amount,
            upfront: false,
            delivered: true,
            payload: self.payload.clone(),
            offer: self.offer.clone(),
        }
    }
}

/// A random UUID (RFC 9562, version 4): 122 bits that nobody guesses.
fn token() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    let mut number = u128::from_be_bytes(bytes);
    number = (number & !(0xf << 76)) | (0x4 << 76);
    number = (number & !(0x3 << 62)) | (0x2 << 62);
    let digits = format!("{number:032x}");
    let mut text = String::new();
    let mut rest = digits.as_str();
    for len in [8, 4, 4, 4, 12] {
        let (part, others) = rest.split_at_checked(len)?;
        let dash = if text.is_empty() { "" } else { "-" };
        write!(text, "{dash}{part}").ok()?;
        rest = others;
    }
    Some(text)
}
