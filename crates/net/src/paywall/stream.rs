//! Answers that leave while they are made.

mod end;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http_body::Frame;
use http_body_util::StreamBody;
use seamline_core::Amount;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use self::end::{Conclusion, Copy};
use super::answer::{self, Answer, End};
use super::holdback::{Holdback, Tail};
use super::job::{Job, Left, Purse};
use super::keeper::TICK;

/// Marks a handler's response whose body leaves while it is made, whatever its media type; to be put
/// into the extensions of the response.
///
/// Event streams (`text/event-stream`) and lines of JSON (`application/x-ndjson`) need no mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streamed;

impl Streamed {
    pub(super) fn is(head: &Parts) -> bool {
        let marked = head.extensions.get::<Self>().is_some();
        let streams = |value| is_sse(value) || is_media_type(value, "application/x-ndjson");
        let named = head.headers.get(CONTENT_TYPE).is_some_and(streams);
        head.status == StatusCode::OK && (marked || named)
    }
}

/// Asks that a stream is read on for this long after its reader left or stalled, until its end, its
/// ceiling, or 10 s before its authorization ends; to be put into the extensions of a response.
///
/// For handlers that learn at the end only what they are to charge, and have to pay for it themselves
/// by then. Without it a handler's stream is dropped as soon as nobody reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOn(pub Duration);

/// A piece of a streamed body, or its trailers.
type Piece = Frame<Bytes>;

/// Pieces of a stream that wait for a slow client; then the handler waits.
const PIECES: usize = 16;
/// How often what was delivered is written down, where it grew.
const NOTE: Duration = Duration::from_secs(1);

/// How a handler's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// By itself.
    Ended,
    /// The handler's stream failed.
    Broke,
    /// The client left.
    Left,
    /// The client reads nothing.
    Stalled,
    /// The authorization is about to expire: what was metered must be settled now.
    Late,
    /// The record is another process's by now, which settles what it finds there.
    Lost,
    /// More was metered than was authorized.
    Ceiling,
}

impl Job {
    /// Answers at once and lets a task of its own carry the stream.
    pub(super) async fn stream(mut self, mut head: Parts, body: Body) -> Response {
        // What is due before the first byte is owed before the first byte.
        let begun = self.due(false);
        if !begun.is_zero() && !self.note(begun).await {
            return self.fail(answer::in_flight()).await;
        }
        let read_on = head.extensions.remove::<ReadOn>();
        if let Purse::Prepaid { settled, .. } = &self.purse {
            answer::say(&mut head.headers, settled, self.manner.v1);
        }
        if self.manner.trailers {
            answer::announce_trailer(&mut head.headers);
        }
        let (sender, mut receiver) = mpsc::channel(PIECES);
        let broken = Arc::new(AtomicBool::new(false));
        let tasks = self.paywall.0.tasks.clone();
        let mut headers = head.headers.clone();
        headers.remove(http::header::TRAILER);
        let kept = Answer {
            status: head.status,
            headers,
            body: Bytes::new(),
            end: End::Buffered,
        };
        let sse = head.headers.get(CONTENT_TYPE).is_some_and(is_sse);
        let carrier = Carrier {
            written: begun,
            job: self,
            copy: Copy::default(),
            holdback: sse.then(Holdback::new),
            renewed: Instant::now(),
            read_on: read_on.map(|ReadOn(wait)| wait),
            delivered: false,
            client: sender,
            broken: Arc::clone(&broken),
        };
        tasks.spawn(carrier.carry(kept, body));
        // The client sees a body that does not end, as it should, however much of it is waiting.
        let pieces = stream::poll_fn(move |context| {
            receiver.poll_recv(context).map(|piece| match piece {
                None if broken.swap(false, Ordering::SeqCst) => {
                    Some(Err(io::Error::other("the stream broke off")))
                }
                piece => piece.map(Ok),
            })
        });
        Response::from_parts(head, Body::new(StreamBody::new(pieces)))
    }
}

/// Carries one stream from the handler to the client.
struct Carrier {
    job: Job,
    copy: Copy,
    /// Of an event stream only.
    holdback: Option<Holdback>,
    client: mpsc::Sender<Piece>,
    /// Whether the body ends in an error.
    broken: Arc<AtomicBool>,
    /// Whether anything left.
    delivered: bool,
    /// What the store knows of the meter.
    written: Amount,
    /// When the store last heard of this stream.
    renewed: Instant,
    /// How long to read on once nobody listens.
    read_on: Option<Duration>,
}

impl Carrier {
    async fn carry(mut self, mut kept: Answer, body: Body) {
        let flow = self.flow(body).await;
        let cut = match flow {
            Flow::Broke | Flow::Stalled | Flow::Late | Flow::Lost | Flow::Ceiling => true,
            Flow::Ended | Flow::Left => false,
        };
        self.broken.store(cut, Ordering::SeqCst);
        let is_sse = self.holdback.is_some();
        let tail = self
            .holdback
            .take()
            .map_or_else(Tail::default, Holdback::finish);
        let delivered = self.delivered || flow == Flow::Ended;
        let amount = self.job.due(delivered);
        let whole = flow == Flow::Ended;
        let ended = whole && (tail.done || !is_sse);
        let Self {
            mut job,
            mut copy,
            client,
            ..
        } = self;
        let end = Conclusion {
            trailers: job.manner.trailers && whole,
            stall: job.paywall.0.config.stall,
            client,
            is_sse,
            event: whole && !amount.is_zero(),
        };
        // Nothing was delivered that costs anything, and the stream did not reach its end: the
        // authorization is free for another try.
        if amount.is_zero() && !ended {
            let network = &job.context.offer.terms().network;
            let nothing = super::settle::nothing(network, job.context.payer);
            drop(job.fail(Response::default()).await);
            return end.say(&tail, &nothing).await;
        }
        let settled = job.settle(amount, Left::Delivered).await;
        let said = settled.response().clone();
        copy.add(&tail.held);
        let answer = copy
            .whole()
            .filter(|_| whole && (tail.at_line_start || !is_sse))
            .map(|body| {
                kept.body = body;
                if is_sse {
                    kept.end = End::Stream { done: tail.done };
                }
                kept
            });
        // Written down first: a client that does not read must not hold the books open.
        job.close(settled, answer, amount);
        end.say(&tail, &said).await;
    }

    async fn flow(&mut self, body: Body) -> Flow {
        // Dropped at the end, before the meter is read: what the handler settles in its destructors
        // counts.
        let mut pieces = body.into_data_stream();
        let flow = self.deliver(&mut pieces).await;
        match (flow, self.read_on) {
            (Flow::Left | Flow::Stalled, Some(wait)) => self.read_on(flow, &mut pieces, wait).await,
            _ => flow,
        }
    }

    /// Reads what nobody listens to any more, for what is metered by it. A stream whose reader left and
    /// which comes to its end is kept like any other: its payer may present the payment again.
    async fn read_on(&mut self, flow: Flow, pieces: &mut BodyDataStream, wait: Duration) -> Flow {
        let now = Instant::now();
        let ends = now.checked_add(wait).unwrap_or(now).min(self.job.stop);
        let mut stop = core::pin::pin!(tokio::time::sleep_until(ends));
        let mut ticks = interval(NOTE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                biased;
                () = &mut stop => return flow,
                _ = ticks.tick() => {
                    if !self.write().await {
                        return Flow::Lost;
                    }
                    continue;
                }
                next = next(pieces) => next,
            };
            let Next::Piece(piece) = next else {
                let left = flow == Flow::Left && matches!(next, Next::End);
                return if left { Flow::Ended } else { flow };
            };
            if self.is_over() {
                return Flow::Ceiling;
            }
            let out = match &mut self.holdback {
                Some(holdback) => Bytes::from(holdback.push(&piece)),
                None => piece,
            };
            self.copy.add(&out);
        }
    }

    async fn deliver(&mut self, pieces: &mut BodyDataStream) -> Flow {
        let mut ticks = interval(NOTE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let client = self.client.clone();
        let mut stop = core::pin::pin!(tokio::time::sleep_until(self.job.stop));
        loop {
            // Writes to the store are never dropped half-way: only waiting is.
            let piece = tokio::select! {
                biased;
                () = client.closed() => return Flow::Left,
                () = &mut stop => return Flow::Late,
                // Before the pieces: a stream that never waits is written down, too.
                _ = ticks.tick() => {
                    if !self.write().await {
                        return Flow::Lost;
                    }
                    continue;
                }
                piece = next(pieces) => piece,
            };
            let piece = match piece {
                Next::Piece(piece) => piece,
                Next::End => return Flow::Ended,
                Next::Broke => return Flow::Broke,
            };
            if self.is_over() {
                return Flow::Ceiling;
            }
            let out = match &mut self.holdback {
                Some(holdback) => Bytes::from(holdback.push(&piece)),
                None => piece,
            };
            self.copy.add(&out);
            if out.is_empty() {
                continue;
            }
            let first = !self.delivered;
            if let Some(end) = self.send(out).await {
                return end;
            }
            // What is due once anything left is owed at once and not at the next tick: a process that
            // dies in between would serve the payment again.
            if first && !self.write().await {
                return Flow::Lost;
            }
        }
    }

    /// Hands a piece to the client; returns how the stream ends where it left or reads nothing for
    /// too long.
    async fn send(&mut self, out: Bytes) -> Option<Flow> {
        let began = Instant::now();
        let stall = self.job.paywall.0.config.stall;
        let ends = began.checked_add(stall).unwrap_or(began);
        let client = self.client.clone();
        loop {
            let tick = Instant::now().checked_add(NOTE).unwrap_or(ends);
            let wait = tick.min(ends).min(self.job.stop);
            match timeout_at(wait, client.reserve()).await {
                Ok(Ok(permit)) => {
                    permit.send(Frame::data(out));
                    self.delivered = true;
                    return None;
                }
                Ok(Err(_)) => return Some(Flow::Left),
                Err(_) if Instant::now() >= self.job.stop => return Some(Flow::Late),
                Err(_) if Instant::now() >= ends => {
                    tracing::debug!("a reader of a paid stream stalled");
                    return Some(Flow::Stalled);
                }
                Err(_) if self.write().await => {}
                Err(_) => return Some(Flow::Lost),
            }
        }
    }

    /// Whether the meter passed what was authorized. `exact` has no meter to pass.
    fn is_over(&self) -> bool {
        let context = &self.job.context;
        context.offer.terms().scheme != "exact" && context.meter.is_exceeded()
    }

    /// Writes down what is due, or at least that the work goes on. `false`: the record is another
    /// process's, so that nothing may be delivered any more.
    async fn write(&mut self) -> bool {
        let due = self.job.due(self.delivered);
        let ours = if due != self.written && !due.is_zero() {
            self.written = due;
            self.job.note(due).await
        } else if self.renewed.elapsed() >= TICK {
            self.job.renew().await
        } else {
            return true;
        };
        self.renewed = Instant::now();
        ours
    }
}

/// What comes next of a handler's stream.
enum Next {
    Piece(Bytes),
    End,
    Broke,
}

/// Reads a piece; a handler that panics breaks its stream, and no more.
async fn next(pieces: &mut BodyDataStream) -> Next {
    match AssertUnwindSafe(pieces.next()).catch_unwind().await {
        Ok(Some(Ok(piece))) => Next::Piece(piece),
        Ok(None) => Next::End,
        Ok(Some(Err(_))) | Err(_) => Next::Broke,
    }
}

pub(super) fn is_sse(content_type: &http::HeaderValue) -> bool {
    is_media_type(content_type, "text/event-stream")
}

fn is_media_type(content_type: &http::HeaderValue, wanted: &str) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(wanted)
}
