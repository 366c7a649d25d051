//! One request, from its reservation to its end.

use core::time::Duration;
use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use seamline::pay::outlet;
use seamline_core::Amount;

use super::books::Open;
use super::carrier::{Carried, CarryError, Errand, Paid, Reply};
use super::pump::{self, Flow, Flowing};
use super::{Denied, Inner, Relay, Target};

/// The format of a request, which its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenGradient,
    Rfc9458,
}

impl Format {
    fn path(self) -> &'static str {
        match self {
            Self::OpenGradient => "/v1/ohttp",
            Self::Rfc9458 => "/.well-known/ohttp-gateway",
        }
    }
}

/// Why a request brought nothing.
#[derive(Clone, Debug)]
pub(super) enum Failed {
    Denied(Denied),
    Busy,
    Deadline,
    Carry(CarryError),
    /// The answer is not of the format.
    Answer,
    /// The answer broke off.
    Cut,
    /// The node's own refusal.
    Refused(Reply),
}

/// Longest that an authorization may be settled: OpenGradient's nodes ask for at most ten minutes.
const HOLD: Duration = Duration::from_secs(15 * 60);
/// How long a key configuration is passed on without asking again.
const FRESH: Duration = Duration::from_secs(60);
/// Pieces of an answer that wait on their way through the relay.
const PIECES: usize = 4;

/// A reservation that ends with the request: at what it cost, or at the most where that is not known,
/// such as after a panic.
struct Reservation {
    relay: Arc<Inner>,
    open: Option<Open>,
    cost: Cost,
}

/// What an account is charged for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// This much.
    Is(Amount),
    /// Nothing, once its payment cannot be settled any more.
    NothingLater,
    /// Nobody knows: the most.
    Most,
}

impl Reservation {
    /// Gives the account's place back: the answer is over, and only its settlement is waited for.
    fn answered(&mut self) {
        if let Some(open) = &mut self.open {
            let books = self.relay.books.lock();
            let mut books = books.unwrap_or_else(PoisonError::into_inner);
            books.answered(open);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let now = (self.relay.config.clock)();
        let books = self.relay.books.lock();
        let mut books = books.unwrap_or_else(PoisonError::into_inner);
        match self.cost {
            Cost::Is(cost) => books.end(open, cost, now),
            Cost::NothingLater => books.hold(open, now.saturating_add(HOLD)),
            Cost::Most => {
                let most = open.most;
                books.end(open, most, now);
            }
        }
    }
}

impl Relay {
    /// Carries a request. Where the caller leaves, what it costs is what was served: see [`pump::run`].
    pub(super) async fn carry(
        &self,
        token: [u8; 32],
        target: Target,
        format: Format,
        body: Bytes,
        streams: bool,
    ) -> Result<Flowing, Failed> {
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let place = place.map_err(|_| Failed::Busy)?;
        let (now, max_price) = ((self.0.config.clock)(), self.0.config.max_price);
        // 1. Reserved, on disk, before anything is sent.
        let open = {
            let books = self.0.books.lock();
            let mut books = books.unwrap_or_else(PoisonError::into_inner);
            books.begin(token, max_price, now).map_err(Failed::Denied)?
        };
        let mut reservation = Reservation {
            relay: Arc::clone(&self.0),
            open: Some(open),
            cost: Cost::Most,
        };
        let errand = Errand {
            target,
            path: format.path(),
            body,
            max_price,
        };
        let (teller, told) = tokio::sync::oneshot::channel();
        let relay = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            // 2. Carried, while the answer passes.
            let (outlet, inlet) = outlet(PIECES);
            let mut teller = Some(teller);
            let passing = async {
                let (flow, bill) = pump::run(format, inlet, &mut teller, streams).await;
                drop(place);
                reservation.answered();
                (flow, bill)
            };
            let carrying = relay.carrier.carry(errand, outlet);
            let (carried, (flow, bill)) = tokio::join!(carrying, passing);
            // 3. Charged.
            reservation.cost = cost(&carried, flow, bill);
            drop(reservation);
            if flow == Flow::None {
                pump::tell(&mut teller, Err(refusal(carried.reply)));
            }
        });
        match tokio::time::timeout(self.0.config.deadline, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Failed::Carry(CarryError::Relay)),
            Err(_) => Err(Failed::Deadline),
        }
    }
}

impl Relay {
    /// A node's key configuration, asked for within the account's rate and at most once a minute.
    pub(super) async fn config(&self, token: &[u8; 32], target: Target) -> Result<Bytes, Failed> {
        let now = (self.0.config.clock)();
        {
            let books = self.0.books.lock();
            let mut books = books.unwrap_or_else(PoisonError::into_inner);
            books.count(token, now).map_err(Failed::Denied)?;
        }
        let node = target.node;
        {
            let known = self.0.configs.lock();
            let known = known.unwrap_or_else(PoisonError::into_inner);
            if let Some((asked, config)) = known.get(&node)
                && now.saturating_since(*asked) < FRESH
            {
                return Ok(config.clone());
            }
        }
        let config = self.0.carrier.config(target).await;
        let config = config.map_err(Failed::Carry)?;
        let known = self.0.configs.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert(node, (now, config.clone()));
        Ok(config)
    }
}

/// What an account is charged: what was paid, and never more than the enclave's bill where there is one.
fn cost(carried: &Carried, flow: Flow, bill: Option<Amount>) -> Cost {
    let (Paid::Exactly(most) | Paid::UpTo(most)) = carried.paid;
    match (flow, &carried.reply, carried.paid) {
        // An error costs nothing. A node that settles one all the same is the relay's loss, within the
        // budget of its wallet, unless the chain has shown it already. As long as it could, the account's
        // own budget is reserved beside the wallet's: who causes errors blocks nobody else.
        (Flow::None, Ok(reply), Paid::UpTo(_)) if reply.status >= 400 => Cost::NothingLater,
        (Flow::None | Flow::Foreign, _, _) => Cost::Is(most),
        (Flow::Whole | Flow::Cut, _, _) => {
            let cost = bill.map_or(most, |bill| bill.min(most));
            if cost != most {
                tracing::warn!(%cost, paid = %most, "a node may take more than it billed");
            }
            Cost::Is(cost)
        }
    }
}

/// What the caller is told where nothing flowed.
fn refusal(reply: Result<Reply, CarryError>) -> Failed {
    match reply {
        Err(err) => Failed::Carry(err),
        Ok(reply) if reply.status >= 400 && is_problem(&reply) => Failed::Refused(reply),
        Ok(_) => Failed::Answer,
    }
}

fn is_problem(reply: &Reply) -> bool {
    let media_type = reply.media_type.as_str();
    media_type == "application/json" || media_type == "application/problem+json"
}
