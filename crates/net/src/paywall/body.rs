//! Reading bodies that nobody has paid for yet.

use core::time::Duration;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::EXPECT;
use http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Inner, PaywallConfig};
use crate::problem::Problem;
use crate::server::bounded;

/// Room for the bodies that are held before it is known that they are paid for.
pub(super) struct Unpaid {
    /// In units of [`UNIT`] bytes.
    room: Arc<Semaphore>,
    /// All of it.
    units: usize,
}

/// The room that one body takes, until it is dropped.
#[derive(Default)]
pub(super) struct Room(Option<OwnedSemaphorePermit>);

/// What room is counted in.
const UNIT: usize = 1024;
/// Longest body that may take the last quarter of the room: whoever fills it with long ones keeps no
/// ordinary request out.
const SMALL: usize = 64 * 1024;

impl Unpaid {
    pub(super) fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    /// Whether so much is taken that nobody should wait with a body in hand.
    pub(super) fn is_tight(&self) -> bool {
        self.room.available_permits() < self.units / 2
    }

    /// Makes room for `bytes` in all; `false` where there is none.
    fn grow(&self, room: &mut Room, bytes: usize) -> bool {
        let held = room.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = bytes.div_ceil(UNIT).saturating_sub(held);
        if needed == 0 {
            return true;
        }
        let left = self.room.available_permits().saturating_sub(needed);
        if bytes > SMALL && left < self.units / 4 {
            return false;
        }
        let Ok(needed) = u32::try_from(needed) else {
            return false;
        };
        match Arc::clone(&self.room).try_acquire_many_owned(needed) {
            Ok(more) => {
                match &mut room.0 {
                    Some(held) => held.merge(more),
                    none => *none = Some(more),
                }
                true
            }
            Err(_) => false,
        }
    }
}

impl Inner {
    /// Reads a body to its end, within the limits on its length, on its time, and on all bodies
    /// together.
    pub(super) async fn read_body(&self, body: Body) -> Result<(Bytes, Room), Problem> {
        let limit = self.config.max_body_bytes;
        let announced = body.size_hint().lower();
        if usize::try_from(announced).map_or(true, |bytes| bytes > limit) {
            return Err(too_large(limit));
        }
        let mut pieces = self.config.bounded(body).into_data_stream();
        let mut room = Room::default();
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| incomplete(&error))?;
            let length = whole.len().saturating_add(piece.len());
            if length > limit {
                return Err(too_large(limit));
            }
            if !self.unpaid.grow(&mut room, length) {
                return Err(crowded());
            }
            whole.extend_from_slice(&piece);
        }
        Ok((whole.freeze(), room))
    }

    /// Reads what a client is about to send and keeps nothing: one that is cut off while it still sends
    /// may not read what it is told. Who waits to be asked for a body, or announces one that is too
    /// long, is told at once.
    pub(super) async fn discard_body(&self, head: &Parts, body: Body) {
        let limit = self.config.max_body_bytes;
        let announced = body.size_hint().lower();
        let is_long = usize::try_from(announced).map_or(true, |bytes| bytes > limit);
        if is_long || head.headers.contains_key(EXPECT) {
            return;
        }
        let mut pieces = self.config.bounded(body).into_data_stream();
        let mut read = 0_usize;
        while let Some(Ok(piece)) = pieces.next().await {
            read = read.saturating_add(piece.len());
            if read > limit {
                return;
            }
        }
    }
}

impl PaywallConfig {
    fn bounded(&self, body: Body) -> Body {
        bounded(body, self.body_timeout, self.body_speed)
    }
}

fn too_large(limit: usize) -> Problem {
    let text = format!("the request body is longer than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
}

fn incomplete(error: &axum::Error) -> Problem {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let late = error.downcast_ref::<std::io::Error>();
        if late.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            let text = "the request body comes too slowly";
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "request_too_slow", text);
        }
        cause = error.source();
    }
    let text = "the request body is incomplete";
    Problem::new(StatusCode::BAD_REQUEST, "request_incomplete", text)
}

fn crowded() -> Problem {
    let text = "too many requests are being read, try again soon";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "too_many_requests", text).not_charged("node", Duration::from_secs(1))
}
