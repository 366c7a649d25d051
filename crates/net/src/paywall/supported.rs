use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use seamline_core::Timestamp;
use seamline_evm::x402::Supported;
use tokio::sync::Mutex;

use crate::facilitator::{FacilitatorApi, FacilitatorError};

/// What the facilitator said it supports, kept for [`FRESH`] and, while it cannot be asked, for
/// longer: an address that settles does not change under authorizations that name it.
#[derive(Default)]
pub(super) struct SupportedCache {
    kept: Mutex<Option<(Timestamp, Arc<Supported>)>>,
    /// Until when nobody is asked who need not be, Unix milliseconds.
    quiet_until_ms: AtomicU64,
}

/// How long an answer is used without asking again (x402 appendix C: 5 to 10 minutes).
const FRESH: Duration = Duration::from_secs(300);
/// How long a facilitator that cannot be reached is not asked what can be left out.
const QUIET: Duration = Duration::from_secs(30);

impl SupportedCache {
    /// Returns what is supported, asked anew where what is kept is old or does not hold what is
    /// `wanted`; one request asks, the others wait.
    pub(super) async fn get(
        &self,
        api: &dyn FacilitatorApi,
        now: Timestamp,
        wanted: impl Fn(&Supported) -> bool,
    ) -> Result<Arc<Supported>, FacilitatorError> {
        let mut kept = self.kept.lock().await;
        if let Some((at, supported)) = &*kept
            && now.saturating_since(*at) < FRESH
            && wanted(supported)
        {
            return Ok(Arc::clone(supported));
        }
        match (api.supported().await, &*kept) {
            (Ok(fresh), _) => {
                let fresh = Arc::new(fresh);
                *kept = Some((now, Arc::clone(&fresh)));
                Ok(fresh)
            }
            (Err(error), Some((_, stale))) => {
                tracing::warn!(%error, "the facilitator does not say what it supports");
                Ok(Arc::clone(stale))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Whether the facilitator knows an extension, as far as it can be reached: who was silent
    /// lately is not waited for again.
    pub(super) async fn knows(
        &self,
        api: &dyn FacilitatorApi,
        now: Timestamp,
        extension: &str,
    ) -> bool {
        if now.as_millis() < self.quiet_until_ms.load(Ordering::Relaxed) {
            return false;
        }
        match self.get(api, now, |_| true).await {
            Ok(supported) => supported.extensions.iter().any(|key| key == extension),
            Err(_) => {
                let until = now.saturating_add(QUIET).as_millis();
                self.quiet_until_ms.store(until, Ordering::Relaxed);
                false
            }
        }
    }
}
