use core::time::Duration;

use seamline_core::{Address, Timestamp};
use seamline_evm::x402::Supported;
use tokio::sync::Mutex;

use crate::facilitator::{FacilitatorApi, FacilitatorError};

/// What the facilitator said it supports, kept for [`FRESH`] and, while it cannot be asked, for
/// longer: an address that settles does not change under authorizations that name it.
#[derive(Default)]
pub(super) struct SupportedCache(Mutex<Option<(Timestamp, Supported)>>);

/// How long an answer is used without asking again (x402 appendix C: 5 to 10 minutes).
const FRESH: Duration = Duration::from_secs(300);

impl SupportedCache {
    /// Returns the account that settles `scheme` on `network`; one request asks, the others wait.
    pub(super) async fn facilitator(
        &self,
        api: &dyn FacilitatorApi,
        scheme: &str,
        network: &str,
        now: Timestamp,
    ) -> Result<Option<Address>, FacilitatorError> {
        let mut kept = self.0.lock().await;
        if let Some((at, supported)) = &*kept
            && now.saturating_since(*at) < FRESH
            && let Some(found) = supported.facilitator(scheme, network)
        {
            return Ok(Some(found));
        }
        match (api.supported().await, &*kept) {
            (Ok(fresh), _) => {
                let found = fresh.facilitator(scheme, network);
                *kept = Some((now, fresh));
                Ok(found)
            }
            (Err(error), Some((_, stale))) => {
                tracing::warn!(%error, "the facilitator does not say what it supports");
                Ok(stale.facilitator(scheme, network))
            }
            (Err(error), None) => Err(error),
        }
    }
}
