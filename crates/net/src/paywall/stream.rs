//! From a handler's response to a settled answer.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use seamline_core::Amount;
use seamline_evm::x402::{FacilitatorRequest, PaymentPayload, SettleResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Paywall;
use super::answer::{self, Answer, End};
use super::holdback::Holdback;
use super::ledger::{LONGEST_ANSWER, Outcome, Reservation};
use super::meter::PaymentContext;
use super::settle::{Settled, settle};
use crate::limits::RESPONSE_BODY_BYTES;
use crate::problem::Problem;

/// One paid piece of work.
pub(super) struct Job {
    pub(super) paywall: Paywall,
    pub(super) reservation: Reservation,
    pub(super) payload: PaymentPayload,
    pub(super) context: PaymentContext,
    /// When the work ends, so that the authorization can still be settled.
    pub(super) stop: Instant,
}

/// Pieces of a stream that wait for a slow client; then the handler waits.
const PIECES: usize = 16;

impl Job {
    /// Settles a handler's response: an event stream while it flows, anything else before it
    /// leaves. With `settle_first` (another node may hold an authorization of the same nonce, or the
    /// payer has no credit) a stream is held back too.
    pub(super) async fn finish(self, response: Response, settle_first: bool) -> Response {
        // The handler refused or failed: nothing is due, the authorization is free again.
        if response.status().as_u16() >= 400 {
            return response;
        }
        let (mut head, body) = response.into_parts();
        answer::prepare(&mut head.headers);
        if is_event_stream(&head) && !settle_first {
            return self.stream(head, body);
        }
        let Ok(collected) = timeout_at(self.stop, self.collect(head, body)).await else {
            return self.too_slow();
        };
        match collected {
            Ok(answer) => {
                let amount = self.context.meter.get();
                self.settle_again(Some(answer), amount).await
            }
            Err(problem) => problem.into_response_as(self.paywall.0.config.problems),
        }
    }

    /// Says that the authorization expires before the answer is there: nothing left, so nothing is
    /// settled.
    pub(super) fn too_slow(self) -> Response {
        let text = "the answer takes longer than the payment is valid";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "payment_expires", text)
            .into_response_as(self.paywall.0.config.problems)
    }

    /// Settles `amount`, then releases the answer; or resumes such a settlement.
    pub(super) async fn settle_again(self, answer: Option<Answer>, amount: Amount) -> Response {
        let settled = self.settle(amount).await;
        let response = match (&settled, &answer) {
            (Settled::Paid(settled), Some(answer)) => answer.respond(settled),
            (Settled::Paid(settled), None) | (Settled::Refused(settled), _) => {
                answer::withheld(settled)
            }
            (Settled::Unknown(settled), _) => answer::uncertain(settled),
        };
        self.close(settled, answer, amount);
        response
    }

    async fn collect(&self, head: Parts, body: Body) -> Result<Answer, Problem> {
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

    /// Answers at once and lets a task of its own carry the stream.
    fn stream(self, head: Parts, body: Body) -> Response {
        let (sender, mut receiver) = mpsc::channel(PIECES);
        let tasks = self.paywall.0.tasks.clone();
        let kept = Answer {
            status: head.status,
            headers: head.headers.clone(),
            body: Bytes::new(),
            end: End::Buffered,
        };
        tasks.spawn(self.carry(kept, body, sender));
        let pieces = stream::poll_fn(move |context| receiver.poll_recv(context));
        Response::from_parts(head, Body::from_stream(pieces))
    }

    async fn carry(self, mut kept: Answer, body: Body, client: mpsc::Sender<Piece>) {
        let mut copy = Copy::default();
        let mut holdback = Holdback::new();
        let carried = flow(body, &mut holdback, &mut copy, &client);
        let carried = timeout_at(self.stop, carried).await;
        let flow = carried.unwrap_or(Flow::Late);
        let amount = self.context.meter.get();
        let tail = holdback.finish();
        // Nothing was delivered that costs anything, and the stream did not reach its end: the
        // authorization is free for another try.
        if amount.is_zero() && !(flow == Flow::Ended && tail.done) {
            let nothing = super::settle::nothing(self.network(), self.context.payer);
            drop(self);
            return conclude(&client, &tail, &nothing, flow).await;
        }
        let settled = self.settle(amount).await;
        let said = settled.response().clone();
        copy.add(&tail.held);
        let whole = flow == Flow::Ended && tail.at_line_start;
        let answer = copy.whole().filter(|_| whole).map(|body| {
            kept.body = body;
            kept.end = End::Stream { done: tail.done };
            kept
        });
        // Written down first: a client that does not read must not hold the books open.
        self.close(settled, answer, amount);
        conclude(&client, &tail, &said, flow).await;
    }

    async fn settle(&self, amount: Amount) -> Settled {
        let inner = &self.paywall.0;
        let request = FacilitatorRequest {
            payment_payload: self.payload.clone(),
            payment_requirements: self.context.offer.with_amount(amount),
        };
        let api = inner.facilitator.as_ref();
        let payer = self.context.payer;
        let settled = settle(api, &request, payer, amount, inner.config.settle_wait).await;
        match &settled {
            Settled::Paid(_) => {}
            Settled::Refused(response) => {
                let reason = response.error_reason.as_ref().map(|reason| reason.as_str());
                tracing::warn!(reason, "a settlement was refused after the work was done");
            }
            Settled::Unknown(_) => tracing::warn!("the outcome of a settlement is unknown"),
        }
        settled
    }

    fn close(self, settled: Settled, answer: Option<Answer>, amount: Amount) {
        let answer = answer.filter(|answer| answer.body.len() <= LONGEST_ANSWER);
        let outcome = match (settled, answer) {
            (Settled::Paid(settled), Some(answer)) => Outcome::Answered(answer, settled),
            (Settled::Paid(settled), None) => Outcome::Spent(settled),
            (Settled::Refused(settled), _) => Outcome::Unpaid(settled),
            (Settled::Unknown(_), answer) => Outcome::Unsettled(answer, amount),
        };
        let now = (self.paywall.0.config.clock)();
        self.reservation.close(outcome, now);
    }

    fn network(&self) -> &str {
        &self.context.offer.terms().network
    }
}

impl Settled {
    const fn response(&self) -> &SettleResponse {
        match self {
            Self::Paid(response) | Self::Refused(response) | Self::Unknown(response) => response,
        }
    }
}

/// A piece of a streamed body, or the sign that the stream broke.
type Piece = Result<Bytes, std::io::Error>;

/// How a handler's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// By itself.
    Ended,
    /// The handler's stream failed.
    Broke,
    /// The client left.
    Left,
    /// The authorization is about to expire: what was metered must be settled now.
    Late,
}

/// Carries a stream from the handler to the client.
async fn flow(
    body: Body,
    holdback: &mut Holdback,
    copy: &mut Copy,
    client: &mpsc::Sender<Piece>,
) -> Flow {
    // Dropped at the end, before the meter is read: what the handler settles in its destructors
    // counts.
    let mut pieces = body.into_data_stream();
    loop {
        let piece = tokio::select! {
            biased;
            () = client.closed() => return Flow::Left,
            piece = pieces.next() => piece,
        };
        let piece = match piece {
            None => return Flow::Ended,
            Some(Err(_)) => return Flow::Broke,
            Some(Ok(piece)) => piece,
        };
        let out = Bytes::from(holdback.push(&piece));
        copy.add(&out);
        if !out.is_empty() && client.send(Ok(out)).await.is_err() {
            return Flow::Left;
        }
    }
}

/// Sends what follows a stream: held bytes, the settlement, the final frame. A client that left
/// gets nothing, which is its choice.
async fn conclude(
    client: &mpsc::Sender<Piece>,
    tail: &super::holdback::Tail,
    settled: &SettleResponse,
    flow: Flow,
) {
    let mut end = BytesMut::from(tail.held.as_slice());
    if tail.at_line_start {
        end.extend_from_slice(&answer::stream_end(settled, tail.done));
    }
    if !end.is_empty() && client.send(Ok(end.freeze())).await.is_err() {
        return;
    }
    if matches!(flow, Flow::Broke | Flow::Late) {
        let broken = std::io::Error::other("the stream broke off");
        // The client sees a body that does not end, as it should.
        drop(client.send(Err(broken)).await);
    }
}

/// What was streamed, while it is short enough to be kept.
#[derive(Default)]
struct Copy {
    bytes: BytesMut,
    overflowed: bool,
}

impl Copy {
    fn add(&mut self, piece: &[u8]) {
        if self.overflowed || self.bytes.len().saturating_add(piece.len()) > LONGEST_ANSWER {
            self.overflowed = true;
            self.bytes = BytesMut::new();
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn whole(self) -> Option<Bytes> {
        (!self.overflowed).then(|| self.bytes.freeze())
    }
}

fn is_event_stream(head: &Parts) -> bool {
    head.status == StatusCode::OK && head.headers.get(CONTENT_TYPE).is_some_and(is_sse)
}

fn is_sse(content_type: &http::HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("text/event-stream")
}
