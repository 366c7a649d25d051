//! The seam to an x402 facilitator: who verifies payments and settles them.

#[cfg(feature = "client")]
mod http;

use core::future::Future;
use core::pin::Pin;

use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse};

#[cfg(feature = "client")]
pub use self::http::{HttpFacilitator, TokenRefused};
#[cfg(feature = "client")]
pub(crate) use self::http::{exchange, read_any};

/// An answer of a facilitator, later.
pub type FacilitatorFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, FacilitatorError>> + Send + 'a>>;

/// An x402 facilitator (x402 specification v2 §7): in process or over HTTP.
pub trait FacilitatorApi: Send + Sync {
    /// Asks whether the payment could be settled; nothing is reserved.
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse>;

    /// Settles the payment at the amount of the request's requirement.
    ///
    /// # Retries
    ///
    /// Safe with the identical request: our facilitator joins the settlement that is under way or
    /// returns its outcome. Others may answer that the nonce is used.
    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse>;

    /// Asks what the facilitator settles, and with which accounts.
    fn supported(&self) -> FacilitatorFuture<'_, Supported>;
}

/// Why a facilitator gave no answer. A refusal is an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FacilitatorError {
    /// It answered something that x402 does not define.
    #[error("the facilitator's answer is malformed")]
    Malformed(#[source] seamline_evm::Malformed),
    /// It answered with this HTTP status instead of a business outcome.
    #[error("the facilitator answered http status {0}")]
    Status(u16),
    /// It could not be asked, or its answer got lost.
    #[error("the facilitator could not be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
