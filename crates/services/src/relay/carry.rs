//! One request, from its reservation to its end.

use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use seamline_core::Amount;
use seamline_ohttp::{Limits, MEDIA_CHUNKED_RESPONSE, MEDIA_RESPONSE, RelayFrames};

use super::carrier::{CarryError, Errand, Paid, Reply};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Denied(Denied),
    Busy,
    Deadline,
    Carry(CarryError),
    /// The answer is not of the format.
    Answer,
}

/// A reservation that ends with the request: at what it cost, or at the most where that is not known,
/// such as after a panic.
struct Reservation {
    relay: Arc<Inner>,
    token: [u8; 32],
    cost: Option<Amount>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let most = self.relay.config.max_price;
        let now = (self.relay.config.clock)();
        let books = self.relay.books.lock();
        let mut books = books.unwrap_or_else(PoisonError::into_inner);
        books.end(&self.token, most, self.cost.unwrap_or(most), now);
    }
}

impl Relay {
    /// Carries a request. Where the caller leaves, the request and its payment go on to their end.
    pub(super) async fn carry(
        &self,
        token: [u8; 32],
        target: Target,
        format: Format,
        body: Bytes,
    ) -> Result<Reply, Failed> {
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let place = place.map_err(|_| Failed::Busy)?;
        let (now, max_price) = ((self.0.config.clock)(), self.0.config.max_price);
        {
            let books = self.0.books.lock();
            let mut books = books.unwrap_or_else(PoisonError::into_inner);
            books
                .begin(&token, max_price, now)
                .map_err(Failed::Denied)?;
        }
        let mut reservation = Reservation {
            relay: Arc::clone(&self.0),
            token,
            cost: None,
        };
        let errand = Errand {
            target,
            path: format.path(),
            body,
            max_price,
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let relay = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let _place = place;
            let carried = relay.carrier.carry(errand).await;
            let (answer, cost) = conclude(format, carried.reply, carried.paid);
            reservation.cost = Some(cost);
            drop(reservation);
            // Nobody may be waiting any more.
            let _ = sender.send(answer);
        });
        match tokio::time::timeout(self.0.config.deadline, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Failed::Carry(CarryError::Relay)),
            Err(_) => Err(Failed::Deadline),
        }
    }
}

/// What the caller gets, and what it costs its account: what was paid, and never more than the enclave's
/// bill where there is one.
fn conclude(
    format: Format,
    reply: Result<Reply, CarryError>,
    paid: Paid,
) -> (Result<Reply, Failed>, Amount) {
    let (Paid::Exactly(most) | Paid::UpTo(most)) = paid;
    let mut reply = match reply {
        Ok(reply) => reply,
        Err(err) => return (Err(Failed::Carry(err)), most),
    };
    let is = |media_type: &str| reply.media_type == media_type;
    let success = (200..300).contains(&reply.status);
    match format {
        _ if !success => {
            let is_json = is("application/json") || is("application/problem+json");
            if !is_json || reply.status < 400 {
                return (Err(Failed::Answer), most);
            }
            // An error costs nothing. A node that settles one all the same is the relay's loss, within
            // the budget of its wallet, unless the chain has shown it already.
            let cost = match paid {
                Paid::Exactly(cost) => cost,
                Paid::UpTo(_) => Amount::ZERO,
            };
            (Ok(reply), cost)
        }
        _ if is(MEDIA_RESPONSE) => (Ok(reply), most),
        Format::OpenGradient if is(MEDIA_CHUNKED_RESPONSE) => match unbilled(&reply.body) {
            Ok((body, bill)) => {
                reply.body = body.into();
                let cost = bill.map_or(most, |bill| bill.min(most));
                if cost != most {
                    tracing::warn!(%cost, paid = %most, "a node was paid more than it billed");
                }
                (Ok(reply), cost)
            }
            Err(_) => (Err(Failed::Answer), most),
        },
        Format::OpenGradient | Format::Rfc9458 => (Err(Failed::Answer), most),
    }
}

/// The response without its billing frame, and the bill.
fn unbilled(body: &[u8]) -> Result<(Vec<u8>, Option<Amount>), seamline_ohttp::Error> {
    let mut frames = RelayFrames::new(Limits::default());
    let mut forward = frames.push(body)?;
    let end = frames.finish()?;
    forward.extend(end.rest);
    // A bill beyond any amount bounds nothing.
    let bill = end.billing.and_then(|it| Amount::parse(&it.cost_opg).ok());
    Ok((forward, bill))
}
