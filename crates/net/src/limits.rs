//! Limits on what a peer may make us hold, and how long it may make us wait.
//!
//! Each is a default of an options type or a fixed bound of a parser. None is a protocol
//! constant: a peer that needs more is refused, not misread.

use core::time::Duration;

use crate::pace::MinSpeed;

/// Longest request body that the paywall buffers: chat requests with inlined documents stay below
/// 200 KiB; the canonical JSON parser stops at the same size.
pub const REQUEST_BODY_BYTES: usize = 1024 * 1024;

/// Longest response body that a client reads: a long completion with signed checkpoints is below
/// 1 MiB; an attestation document with a full chain is below 32 KiB.
pub const RESPONSE_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// Longest body that a facilitator accepts: an `upto` settle request is 3 KiB (x402 §3).
pub const FACILITATOR_BODY_BYTES: usize = 64 * 1024;

/// Longest response of an RPC endpoint: a block of logs for a registry with hundreds of nodes is
/// below 4 MiB.
pub const RPC_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// Most calls in one JSON-RPC batch: public endpoints refuse batches above 100.
pub const RPC_BATCH_CALLS: usize = 100;

/// Longest base64 text in an x402 header: an `upto` payment is 1.4 kB, with every gas-sponsoring
/// extension below 8 kB (x402 §1.2).
pub const PAYMENT_HEADER_BYTES: usize = 32 * 1024;

/// Longest SSE line, without its end: as long as an event, because events usually are of one line. A chat
/// frame is below 1 KiB, but some upstreams send the arguments of a call, or an image, in one piece.
pub const SSE_LINE_BYTES: usize = SSE_EVENT_BYTES;

/// Longest data of one SSE event, all of its lines together: a large image in base64.
pub const SSE_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// How long a TCP connection and its TLS handshake may take to establish.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may be silent in the middle of an exchange: the slowest first token of a
/// reasoning model that still answers.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a whole exchange may take, streamed body included; equals the usual lifetime of an
/// authorization (x402 `maxTimeoutSeconds` 300).
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a client may take to send a request head, and to complete a TLS handshake.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to send the body of a request: a megabyte over a slow mobile line.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client may take too little of an answer that is waiting for it; as long as a paid stream
/// waits for its reader.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The least that a client sends of a request's body, in any ten seconds that it is waited for: a
/// kilobyte a second, a fifth of the slowest mobile line.
pub const BODY_SPEED: MinSpeed = MinSpeed {
    bytes: 10 * 1024,
    window: Duration::from_secs(10),
};

/// The least that a client takes of an answer, in any [`WRITE_TIMEOUT`] that it is waited for: half a
/// kilobyte a second.
pub const READ_BYTES: usize = 15 * 1024;

/// Most bytes of request bodies that a paywall holds before it knows that they are paid for: as many
/// as 64 requests of the greatest length.
pub const UNPAID_BYTES: usize = 64 * 1024 * 1024;

/// How long requests in flight may take to finish once a shutdown began.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Most connections that one listener serves at a time; more wait in the kernel's backlog.
pub const CONNECTIONS: usize = 1024;
