//! Serving an axum router over TCP or TLS, with limits on connections and a graceful end.

mod patience;
mod tls;

use core::future::Future;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::middleware::map_request;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use self::patience::Patience;
use crate::limits::{
    BODY_SPEED, BODY_TIMEOUT, CONNECTIONS, DRAIN_TIMEOUT, HEADER_TIMEOUT, READ_BYTES, WRITE_TIMEOUT,
};
use crate::pace::{MinSpeed, Pace};
use crate::tasks::Tasks;

/// How a listener serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Most connections at a time; [`CONNECTIONS`].
    pub max_connections: usize,
    /// Limit on a TLS handshake and on each request head; [`HEADER_TIMEOUT`].
    pub header_timeout: Duration,
    /// Limit on the body of each request; [`BODY_TIMEOUT`].
    pub body_timeout: Duration,
    /// The least that a client sends of a body; [`BODY_SPEED`].
    pub body_speed: MinSpeed,
    /// How long a client may take too little of what waits for it; [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// The least that it takes in such a span; [`READ_BYTES`].
    pub read_bytes: usize,
    /// How long requests in flight may take to finish once `shutdown` resolved; [`DRAIN_TIMEOUT`].
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: CONNECTIONS,
            header_timeout: HEADER_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            body_speed: BODY_SPEED,
            write_timeout: WRITE_TIMEOUT,
            read_bytes: READ_BYTES,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// Serves `router` over plain HTTP/1.1 until `shutdown` resolves, with default options.
///
/// # Errors
///
/// As [`serve_with`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve_with(listener, router, None, ServeOptions::default(), shutdown).await
}

/// Serves `router` over TLS 1.2 or 1.3, with ALPN `http/1.1` and the certificate `cert_der` whose
/// PKCS #8 (or SEC 1, or PKCS #1) private key is `key_der`.
///
/// # Errors
///
/// As [`serve_with`]; [`io::ErrorKind::InvalidInput`] where certificate and key cannot be used
/// together.
pub async fn serve_tls(
    listener: TcpListener,
    router: Router,
    cert_der: Vec<u8>,
    key_der: Vec<u8>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let tls = TlsIdentity::new(cert_der, key_der)?;
    let options = ServeOptions::default();
    serve_with(listener, router, Some(tls), options, shutdown).await
}

pub use self::tls::TlsIdentity;

/// Serves `router` until `shutdown` resolves: then it stops to accept, lets requests in flight
/// finish, and cuts what is left after `options.drain_timeout`.
///
/// Every socket has TCP_NODELAY, without which a streamed token waits for the peer's delayed
/// acknowledgement, up to 44 ms.
///
/// # Cancellation
///
/// Dropping the future closes the listener and asks the connections to end, without waiting.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] where requests were cut at the end of the drain. Failures of single
/// connections, and of `accept`, are logged and survived.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsIdentity>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (body_timeout, body_speed) = (options.body_timeout, options.body_speed);
    let router = router.layer(map_request(move |request: Request| async move {
        request.map(|body| bounded(body, body_timeout, body_speed))
    }));
    let connections = Tasks::new();
    let stop = CancellationToken::new();
    let _stop_on_drop = stop.clone().drop_guard();
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let mut shutdown = core::pin::pin!(shutdown);
    loop {
        let accepted = async {
            // Fails only where the semaphore is closed, which nobody does.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        let socket = match accepted {
            Ok((socket, _peer)) => socket,
            Err(error) => {
                // Out of file descriptors, or a peer that left: both pass.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = Connection {
            router: router.clone(),
            tls: tls.clone(),
            header_timeout: options.header_timeout,
            read_speed: MinSpeed {
                bytes: options.read_bytes,
                window: options.write_timeout,
            },
            stop: stop.clone(),
        };
        connections.spawn(async move {
            connection.run(socket).await;
            drop(slot);
        });
    }
    drop(listener);
    stop.cancel();
    if connections.drain(options.drain_timeout).await {
        Ok(())
    } else {
        let left = connections.len();
        let text = format!("{left} connections did not finish before the shutdown deadline");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

/// A body that fails where it is not complete `limit` after its head, or comes too slowly: a peer that
/// sends a byte now and then would otherwise hold a connection for ever.
pub(crate) fn bounded(body: Body, limit: Duration, least: MinSpeed) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let began = Instant::now();
    let ends = began.checked_add(limit).unwrap_or(began);
    let begun = (body.into_data_stream(), Pace::new(least));
    let pieces = stream::unfold(Some(begun), move |begun| async move {
        let (mut pieces, mut pace) = begun?;
        let now = Instant::now();
        let until = now.checked_add(pace.left()).unwrap_or(ends).min(ends);
        match timeout_at(until, pieces.next()).await {
            Ok(piece) => {
                pace.waited(now.elapsed());
                let piece = piece?;
                pace.moved(piece.as_ref().map_or(0, Bytes::len));
                Some((piece, Some((pieces, pace))))
            }
            Err(_) => {
                let late = axum::Error::new(io::Error::from(io::ErrorKind::TimedOut));
                Some((Err(late), None))
            }
        }
    });
    Body::from_stream(pieces)
}

/// How long to wait after a failed `accept`, so that exhaustion does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

struct Connection {
    router: Router,
    tls: Option<TlsIdentity>,
    header_timeout: Duration,
    read_speed: MinSpeed,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, socket: TcpStream) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        let Some(identity) = self.tls.clone() else {
            return self.exchange(socket).await;
        };
        let handshake = tokio::time::timeout(self.header_timeout, identity.accept(socket));
        match handshake.await {
            Ok(Ok(stream)) => self.exchange(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "tls handshake failed"),
            Err(_) => tracing::debug!("tls handshake took too long"),
        }
    }

    async fn exchange(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let stream = Patience::new(stream, self.read_speed);
        let service = TowerToHyperService::new(self.router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = core::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            // Peers that leave are daily life; the error holds no header and no body.
            tracing::debug!(%error, "connection ended");
        }
    }
}
