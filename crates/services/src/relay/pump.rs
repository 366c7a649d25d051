//! From a node's answer to the caller, piece by piece, without what is for the relay alone.

use core::time::Duration;

use axum::body::Bytes;
use http::header::CONTENT_TYPE;
use seamline::pay::{Head, Inlet};
use seamline_core::Amount;
use seamline_ohttp::{Limits, MEDIA_CHUNKED_RESPONSE, MEDIA_RESPONSE, RelayFrames};
use tokio::sync::{mpsc, oneshot};

use super::carry::{Failed, Format};

/// What the caller gets as it comes. A piece of `Err` breaks the response off.
#[derive(Debug)]
pub(super) struct Flowing {
    pub(super) media_type: &'static str,
    pub(super) pieces: mpsc::Receiver<Result<Bytes, Broken>>,
}

/// The answer broke off: to be told apart from one that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub(super) struct Broken;

/// What became of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The node's answer was none to pass on: the carrier says what came instead.
    None,
    /// All of it was passed on.
    Whole,
    /// The caller left, or the node broke off, or sent what is not of the format.
    Cut,
    /// It is not Oblivious HTTP: nothing was passed on.
    Foreign,
}

/// Longest answer that is one message; as long as our callers read.
const WHOLE: usize = 32 * 1024 * 1024;
/// How long a caller may read nothing before it counts as one that left.
const STALL: Duration = Duration::from_secs(30);
/// Pieces that wait for a slow caller.
const PIECES: usize = 16;

/// The caller's side: the beginning of the answer, or why there is none.
pub(super) type Teller = oneshot::Sender<Result<Flowing, Failed>>;

/// Passes an answer on. Where the caller leaves, the node's connection is closed: at once where the
/// answer flows or `early` says so, else once it flows. Returns the node's bill with it.
pub(super) async fn run(
    format: Format,
    mut inlet: Inlet,
    teller: &mut Option<Teller>,
    early: bool,
) -> (Flow, Option<Amount>) {
    let head = match teller {
        Some(caller) if early => tokio::select! {
            head = inlet.head() => head,
            () = caller.closed() => return (Flow::Cut, None),
        },
        _ => inlet.head().await,
    };
    let Some(head) = head else {
        return (Flow::None, None);
    };
    let media_type = media_type(&head);
    match format {
        _ if media_type == MEDIA_RESPONSE.as_bytes() => (whole(inlet, teller).await, None),
        Format::OpenGradient if media_type == MEDIA_CHUNKED_RESPONSE.as_bytes() => {
            chunked(inlet, teller).await
        }
        Format::OpenGradient | Format::Rfc9458 => {
            tell(teller, Err(Failed::Answer));
            (Flow::Foreign, None)
        }
    }
}

fn media_type(head: &Head) -> &[u8] {
    let value = head.headers.get(CONTENT_TYPE);
    value.map_or(&b""[..], http::HeaderValue::as_bytes)
}

pub(super) fn tell(teller: &mut Option<Teller>, said: Result<Flowing, Failed>) {
    if let Some(teller) = teller.take() {
        // Nobody may be waiting any more.
        let _ = teller.send(said);
    }
}

/// One message: it says nothing before its tag is there, so it passes when it is whole.
async fn whole(mut inlet: Inlet, teller: &mut Option<Teller>) -> Flow {
    let mut body = Vec::new();
    while let Some(piece) = inlet.piece().await {
        if body.len().saturating_add(piece.len()) > WHOLE {
            tell(teller, Err(Failed::Answer));
            return Flow::Cut;
        }
        body.extend_from_slice(&piece);
    }
    if !inlet.is_whole() {
        tell(teller, Err(Failed::Cut));
        return Flow::Cut;
    }
    let (sender, pieces) = mpsc::channel(1);
    // There is room for one.
    let _ = sender.try_send(Ok(body.into()));
    let media_type = MEDIA_RESPONSE;
    tell(teller, Ok(Flowing { media_type, pieces }));
    Flow::Whole
}

async fn chunked(mut inlet: Inlet, teller: &mut Option<Teller>) -> (Flow, Option<Amount>) {
    let mut frames = RelayFrames::new(Limits::default());
    let (caller, pieces) = mpsc::channel(PIECES);
    let media_type = MEDIA_CHUNKED_RESPONSE;
    tell(teller, Ok(Flowing { media_type, pieces }));
    loop {
        let piece = tokio::select! {
            piece = inlet.piece() => piece,
            () = caller.closed() => return (Flow::Cut, bill(&frames)),
        };
        let Some(piece) = piece else {
            break;
        };
        let Ok(forward) = frames.push(&piece) else {
            return broken(&caller, bill(&frames)).await;
        };
        if !forward.is_empty() && !pass(&caller, Ok(forward.into())).await {
            return (Flow::Cut, bill(&frames));
        }
    }
    let bill = bill(&frames);
    if !inlet.is_whole() {
        return broken(&caller, bill).await;
    }
    match frames.finish() {
        Ok(end) if end.rest.is_empty() => (Flow::Whole, bill),
        Ok(end) => {
            // A caller who left before the last chunk was served all the same.
            let _ = pass(&caller, Ok(end.rest.into())).await;
            (Flow::Whole, bill)
        }
        Err(_) => broken(&caller, bill).await,
    }
}

/// Hands a piece on; `false` where the caller left, or reads nothing for too long.
async fn pass(caller: &mpsc::Sender<Result<Bytes, Broken>>, piece: Result<Bytes, Broken>) -> bool {
    let passed = tokio::time::timeout(STALL, caller.send(piece)).await;
    passed.is_ok_and(|passed| passed.is_ok())
}

async fn broken(
    caller: &mpsc::Sender<Result<Bytes, Broken>>,
    bill: Option<Amount>,
) -> (Flow, Option<Amount>) {
    let _ = pass(caller, Err(Broken)).await;
    (Flow::Cut, bill)
}

/// The node's bill, where it came. One beyond any amount bounds nothing.
fn bill(frames: &RelayFrames) -> Option<Amount> {
    Amount::parse(&frames.billing()?.cost_opg).ok()
}
