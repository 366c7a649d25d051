use std::sync::Arc;
use std::time::Duration;

use seamline_core::Address;

use crate::identity::EnclaveIdentity;

/// Ways in which an enclave can be made to lie or break, for tests and drills.
///
/// The default is an honest enclave. Takes effect only through
/// [`EnclaveConfig::danger_with_faults`](crate::EnclaveConfig::danger_with_faults). A wrong
/// measurement is not here: the [`Attester`](crate::Attester) makes that lie.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Evidence binds the signing key of this identity instead of the enclave's own.
    pub evidence_for: Option<Arc<EnclaveIdentity>>,
    /// Evidence binds the TLS certificate of this identity instead of the enclave's own.
    pub evidence_certificate: Option<Arc<EnclaveIdentity>>,
    /// Evidence carries a nonce of the enclave's choice instead of the one asked for.
    pub stale_nonce: bool,
    /// One byte of the answer's text is changed after it was signed.
    pub altered_text: bool,
    /// The answer is signed by this identity's key, under the enclave's own id.
    pub signed_by: Option<Arc<EnclaveIdentity>>,
    /// Every offer after the honest ones asks for this many times the honest amount.
    pub later_offers_times: Option<u32>,
    /// Offers that are honest first, at least one. Each chat request makes one, a paid one too.
    pub honest_offers: u32,
    /// Offers name this address as the one to pay.
    pub pay_to: Option<Address>,
    /// A streamed answer pauses this long after its first piece.
    pub stall: Option<Duration>,
    /// A streamed answer breaks off after its first piece, without a word.
    pub close_mid_stream: bool,
    /// Chat requests are answered with 503 before payment is even asked for.
    pub fail_before_payment: bool,
    /// Seconds added to the timestamp that is signed; negative for a clock that is behind.
    pub clock_skew_s: i64,
}
