use core::fmt;
use std::sync::Arc;

use seamline_core::Timestamp;
use seamline_evm::x402::extensions::payment_identifier::PaymentId;

/// The effects that a client needs from its process: wall time and entropy.
///
/// Tests pass a fixed clock and a seeded source; programs pass [`Env::system`].
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    entropy: Arc<Entropy>,
}

type Entropy = dyn Fn(&mut [u8]) -> Result<(), EntropyError> + Send + Sync;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct EntropyError;

impl Env {
    /// Builds an environment from a clock and a source of cryptographically secure bytes.
    pub fn new(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        entropy: impl Fn(&mut [u8]) -> Result<(), EntropyError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: Arc::new(clock),
            entropy: Arc::new(entropy),
        }
    }

    /// The system's clock and random source.
    pub fn system() -> Self {
        Self::new(system_now, |bytes| {
            getrandom::fill(bytes).map_err(|_| EntropyError)
        })
    }

    /// The current wall time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Draws the name of a payment, which nobody else can guess.
    pub(crate) fn payment_id(&self) -> Result<PaymentId, EntropyError> {
        self.random().map(|bytes| PaymentId::from_bytes(&bytes))
    }

    /// Draws `N` secret bytes.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        let mut bytes = [0; N];
        (self.entropy)(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads the system clock; a clock before 1970 reads as the epoch and fails every freshness check.
fn system_now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of the SDK that reads the clock"
    )]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since_epoch.map_or(0, |span| {
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
    });
    Timestamp::from_millis(millis)
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}
