use std::io;
use std::sync::Arc;

use seamline_net::limits::DRAIN_TIMEOUT;
use seamline_net::{FacilitatorApi, serve_tls};
use tokio::net::TcpListener;

use crate::enclave::Enclave;

/// Serves `enclave` over TLS with its attested certificate until `shutdown` resolves; then lets
/// answers and settlements under way finish.
///
/// # Cancellation
///
/// Dropping the future closes the listener; settlements under way continue on their own.
///
/// # Errors
///
/// As [`seamline_net::serve_tls`]; [`io::ErrorKind::TimedOut`] also where a settlement did not
/// finish in time. It is not lost: the payer can present the authorization again.
pub async fn serve(
    enclave: &Arc<Enclave>,
    facilitator: Arc<dyn FacilitatorApi>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let paywall = enclave.paywall(facilitator);
    let identity = enclave.identity();
    let (cert, key) = (identity.tls_certificate(), identity.tls_private_key());
    let router = enclave.router(&paywall);
    serve_tls(listener, router, cert.to_vec(), key.to_vec(), shutdown).await?;
    paywall.close_sessions();
    let settled = paywall.tasks().drain(DRAIN_TIMEOUT).await;
    if settled && enclave.tasks().drain(DRAIN_TIMEOUT).await {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}
