//! The filters, in their order (`spec/decision.md` §3).

use super::{Candidate, Rejection, RoutePolicy};
use crate::Timestamp;

/// Returns the first filter that the candidate fails.
pub(super) fn first_failure(
    policy: &RoutePolicy,
    candidate: &Candidate,
    now: Timestamp,
) -> Option<Rejection> {
    // The order is that of the codes. The cap comes last, so that a candidate rejected for it
    // is known to be usable with a higher one.
    if !candidate.enabled {
        Some(Rejection::Disabled)
    } else if policy.avoid.contains(&candidate.node) {
        Some(Rejection::Avoided)
    } else if !candidate.offers_model {
        Some(Rejection::ModelNotOffered)
    } else if candidate.network != policy.network {
        Some(Rejection::NetworkNotAllowed)
    } else if candidate.asset != policy.asset {
        Some(Rejection::AssetNotAllowed)
    } else if !policy.measurements.contains(&candidate.measurement) {
        Some(Rejection::MeasurementNotAllowed)
    } else if candidate.heartbeat_age_s > policy.max_heartbeat_age_s {
        Some(Rejection::HeartbeatStale)
    } else if candidate.cooling_until_ms > now.as_millis() {
        Some(Rejection::Cooling)
    } else if candidate.cost > policy.cap {
        Some(Rejection::OverCap)
    } else {
        None
    }
}

/// Returns what was observed and what was allowed, in the unit of the reason.
pub(super) fn numbers(
    reason: Rejection,
    policy: &RoutePolicy,
    candidate: &Candidate,
    now: Timestamp,
) -> (u128, u128) {
    match reason {
        Rejection::Disabled | Rejection::ModelNotOffered => (0, 1),
        Rejection::Avoided => (1, 0),
        Rejection::NetworkNotAllowed => (chain_id(&candidate.network), chain_id(&policy.network)),
        Rejection::AssetNotAllowed => (
            leading(candidate.asset.as_slice()),
            leading(policy.asset.as_slice()),
        ),
        Rejection::MeasurementNotAllowed => (
            leading(candidate.measurement.as_slice()),
            u128::try_from(policy.measurements.len()).unwrap_or(u128::MAX),
        ),
        Rejection::HeartbeatStale => (
            candidate.heartbeat_age_s.into(),
            policy.max_heartbeat_age_s.into(),
        ),
        Rejection::Cooling => (candidate.cooling_until_ms.into(), now.as_millis().into()),
        Rejection::OverCap => (candidate.cost.get(), policy.cap.get()),
    }
}

/// Returns the number behind `eip155:`, or 0 where the name is not of that form (ASCII digits, no
/// leading zero, below 2^64).
fn chain_id(network: &str) -> u128 {
    network
        .strip_prefix("eip155:")
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|digits| !digits.starts_with('0'))
        .and_then(|digits| digits.parse::<u64>().ok())
        .unwrap_or(0)
        .into()
}

/// Returns the first 16 bytes as a big-endian number.
fn leading(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .take(16)
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}
