//! Each code at its boundaries, and what is made from all of them.

mod attempts;
mod codes;
mod evidence;
mod payment;
mod reference;
mod routing;
mod timing;
mod vectors;

use alloy_primitives::{Address, B256};

use super::*;
use crate::decision::{self, Candidate, Catalogue, RoutePolicy};
use crate::receipt::*;
use crate::{Amount, Charged, NodeId, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);

/// Events with their times in microseconds, as a reader sees them.
fn found(events: &[(u64, Event)], code: Code) -> Option<(Severity, i64, i64)> {
    let recorded: Vec<Recorded> = events
        .iter()
        .map(|(dt_us, event)| Recorded {
            dt_us: *dt_us,
            event: event.clone(),
        })
        .collect();
    let slots: Vec<Slot<'_>> = recorded.iter().map(Slot::Shown).collect();
    let list = of(&slots);
    let mut entries = list.iter().filter(|it| it.code == code);
    let entry = entries.next().map(|it| (it.severity, it.arg, it.limit));
    assert_eq!(entries.next(), None, "at most one per code");
    entry
}

/// Each value with the severity that it must have.
#[track_caller]
fn boundaries<T: Copy + std::fmt::Debug>(
    code: Code,
    cases: &[(T, Option<Severity>)],
    events: impl Fn(T) -> Vec<(u64, Event)>,
) {
    for (value, expected) in cases {
        let severity = found(&events(*value), code).map(|it| it.0);
        assert_eq!(severity, *expected, "{code} at {value:?}");
    }
}

const NONE: Option<Severity> = None;
const NOTICE: Option<Severity> = Some(Severity::Notice);
const WARN: Option<Severity> = Some(Severity::Warn);
const ERROR: Option<Severity> = Some(Severity::Error);

fn node(byte: u8) -> NodeId {
    NodeId::new(B256::repeat_byte(byte))
}

fn policy(cap: u128, explore_ppm: u32) -> RoutePolicy {
    RoutePolicy {
        model: "m".to_owned(),
        cap: Amount::new(cap),
        weight_price: 0,
        weight_latency: 0,
        weight_health: 1,
        latency_bound_us: 1,
        explore_ppm,
        max_heartbeat_age_s: 600,
        measurements: vec![B256::ZERO],
        network: "eip155:1".to_owned(),
        asset: Address::ZERO,
        avoid: Vec::new(),
    }
}

fn candidate(byte: u8, health_ppm: u32) -> Candidate {
    Candidate {
        node: node(byte),
        endpoint: String::new(),
        pay_to: Address::ZERO,
        measurement: B256::ZERO,
        offers_model: true,
        network: "eip155:1".to_owned(),
        asset: Address::ZERO,
        cost: Amount::new(100),
        latency_us: 1,
        health_ppm,
        heartbeat_age_s: 1,
        observed_age_ms: 1,
        cooling_until_ms: 0,
        enabled: true,
    }
}

fn decided(candidates: Vec<Candidate>, explore_ppm: u32, draw: B256) -> Event {
    let catalogue = Catalogue::new(candidates).unwrap();
    let decision = decision::decide(&policy(1_000, explore_ppm), &catalogue, NOW, &draw);
    let decided = Decided {
        draw,
        now_ms: NOW.as_millis(),
        attempt: 0,
        decision: decision.encode(),
        engine: decision::ENGINE.into(),
    };
    decided.into()
}

fn opened(cap: u128) -> Event {
    let opened = Opened {
        seq: 0,
        call_id: crate::CallId::new([0; 16]),
        req_commitment: B256::ZERO,
        policy_hash: B256::ZERO,
        spend_policy: Vec::new(),
        route_policy: policy(cap, 0).encode(),
        wall_ms: NOW.as_millis(),
        draw_commitment: B256::ZERO,
        recorder: [0; 32],
    };
    opened.into()
}

fn closed() -> Event {
    let (outcome, error_code, charged) = (Outcome::Answered, None, Charged::Unknown);
    let closed = Closed {
        outcome,
        error_code,
        charged,
    };
    closed.into()
}

fn admitted(amount: u128, offer_event: u32) -> Event {
    let admitted = Admitted {
        offer_event,
        amount: Amount::new(amount),
        asset: Address::ZERO,
        network: "eip155:1".into(),
        pay_to: Address::ZERO,
        scheme: "upto".into(),
        max_timeout_s: 60,
    };
    admitted.into()
}

fn offered(offer: u8) -> Event {
    let (node, remembered) = (node(1), false);
    let offer = B256::repeat_byte(offer);
    let offered = Offered {
        node,
        offer,
        remembered,
    };
    offered.into()
}

fn catalogue_read(listed: u128, read_age_ms: u64) -> Event {
    let mut listing = candidate(1, 1);
    listing.cost = Amount::new(listed);
    let catalogue = Catalogue::new(vec![listing]).unwrap();
    let read = CatalogueRead {
        chain_id: 1,
        block_number: 1,
        block_hash: B256::ZERO,
        registry: Address::ZERO,
        read_age_ms,
        root: catalogue.root(),
        candidates: catalogue.encode(),
        block_time_s: 1,
    };
    read.into()
}

fn retried(wait_ms: u64) -> Event {
    let (cause, attempt) = ("timeout".into(), 1);
    let retried = Retried {
        cause,
        attempt,
        wait_ms,
    };
    retried.into()
}

fn seen(state: SettlementState, waited_ms: u64, transaction: u8) -> Event {
    let seen = SettlementSeen {
        state,
        transaction: Some(B256::repeat_byte(transaction)),
        block_number: None,
        block_hash: None,
        amount: Some(Amount::new(1)),
        waited_ms,
    };
    seen.into()
}

fn fetched(fetched_for_this_call: bool, age_ms: u64, max_age_ms: u64) -> Event {
    let fetched = EvidenceFetched {
        node: node(1),
        evidence: B256::ZERO,
        evidence_nonce: [0; 20],
        fetched_for_this_call,
        age_ms,
        max_age_ms,
    };
    fetched.into()
}
