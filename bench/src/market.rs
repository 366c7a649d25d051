use seamline_core::decision::{Candidate, Catalogue, RoutePolicy};
use seamline_core::{Address, Amount, B256, NodeId, keccak256};

const ASSET: Address = Address::repeat_byte(0x5e);
const NETWORK: &str = "eip155:31610";

/// A catalogue of `size` usable candidates that differ in price and latency.
///
/// # Panics
///
/// Never: the candidates are distinct.
pub fn catalogue(size: u64) -> Catalogue {
    let candidates = (0..size).map(candidate).collect();
    #[expect(clippy::expect_used, reason = "the ids are hashes of distinct numbers")]
    Catalogue::new(candidates).expect("distinct candidates")
}

fn candidate(index: u64) -> Candidate {
    let id = keccak256(index.to_be_bytes());
    let spread = |modulus: u64| index.wrapping_mul(7_919).checked_rem(modulus).unwrap_or(0);
    Candidate {
        node: NodeId::new(id),
        endpoint: format!("https://node-{index}.example:8443"),
        pay_to: Address::from_word(id),
        measurement: B256::repeat_byte(0x11),
        offers_model: true,
        network: NETWORK.to_owned(),
        asset: ASSET,
        cost: Amount::new(u128::from(spread(900)).saturating_add(50)),
        latency_us: spread(400_000).saturating_add(1_000),
        health_ppm: 1_000_000,
        heartbeat_age_s: 60,
        observed_age_ms: 500,
        cooling_until_ms: 0,
        enabled: true,
    }
}

/// A policy under which every candidate of [`catalogue`] is usable.
pub fn policy() -> RoutePolicy {
    RoutePolicy {
        model: "seamline/guide".to_owned(),
        cap: Amount::new(1_000),
        weight_price: 60,
        weight_latency: 30,
        weight_health: 10,
        latency_bound_us: 2_000_000,
        explore_ppm: 0,
        max_heartbeat_age_s: 1_800,
        measurements: vec![B256::repeat_byte(0x11)],
        network: NETWORK.to_owned(),
        asset: ASSET,
        avoid: Vec::new(),
    }
}
