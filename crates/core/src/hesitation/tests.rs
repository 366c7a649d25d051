use std::time::Duration;

use alloy_primitives::{Address, B256};
use proptest::prelude::*;

use super::*;
use crate::decision::{self, Candidate, Catalogue, RoutePolicy};
use crate::receipt::*;
use crate::{Amount, Charged, NodeId, SourceClass, Timestamp};

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

#[test]
fn tie() {
    let cases = [
        (900_000, NONE),
        (950_000, NONE),
        (950_001, NOTICE),
        (990_000, NOTICE),
        (990_001, WARN),
        (999_999, WARN),
        (1_000_000, ERROR),
    ];
    boundaries(Code::Tie, &cases, |other| {
        let both = vec![candidate(1, 1_000_000), candidate(2, other)];
        vec![(0, decided(both, 0, B256::ZERO))]
    });
}

#[test]
fn thin() {
    boundaries(
        Code::Thin,
        &[(4, NONE), (3, NOTICE), (2, NOTICE), (1, WARN), (0, ERROR)],
        |usable| {
            let nodes = (0..5).map(|index| {
                let mut node = candidate(index, 1_000_000);
                node.enabled = index < usable;
                node
            });
            vec![(0, decided(nodes.collect(), 0, B256::ZERO))]
        },
    );
}

#[test]
fn cooled() {
    boundaries(
        Code::Cooled,
        &[(0, NONE), (1, NOTICE), (2, NOTICE), (3, WARN), (4, ERROR)],
        |cooling| {
            let nodes = (0..4).map(|index| {
                let mut node = candidate(index, 1_000_000);
                let until = NOW.saturating_add(Duration::from_secs(9)).as_millis();
                node.cooling_until_ms = if index < cooling { until } else { 0 };
                node
            });
            vec![(0, decided(nodes.collect(), 0, B256::ZERO))]
        },
    );
}

#[test]
fn explored() {
    let both = || vec![candidate(1, 1_000_000), candidate(2, 1)];
    let with_draw = |byte| decided(both(), 200_000, B256::repeat_byte(byte));
    let severities: Vec<_> = (0..=u8::MAX)
        .map(|byte| found(&[(0, with_draw(byte))], Code::Explored).map(|it| it.0))
        .collect();
    // The draw explores one call in five, and half of those choose the worse node.
    let explored = severities.iter().filter(|it| **it == NOTICE).count();
    assert!((5..60).contains(&explored), "{explored}");
    assert_eq!(
        found(&[(0, decided(both(), 0, B256::ZERO))], Code::Explored),
        None
    );
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

#[test]
fn cap_near() {
    let cases = [
        (8_000, NONE),
        (8_001, NOTICE),
        (9_500, NOTICE),
        (9_501, WARN),
        (10_000, WARN),
        (10_001, ERROR),
        (u128::MAX, ERROR),
    ];
    boundaries(Code::CapNear, &cases, |amount| {
        vec![(0, opened(10_000)), (1, admitted(amount, 1))]
    });
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

#[test]
fn quote_drift() {
    let cases = [
        (900, NONE),
        (1_020, NONE),
        (1_021, NOTICE),
        (1_100, NOTICE),
        (1_101, WARN),
        (1_500, WARN),
        (1_501, ERROR),
    ];
    boundaries(Code::QuoteDrift, &cases, |amount| {
        vec![
            (0, catalogue_read(1_000, 0)),
            (1, offered(1)),
            (2, admitted(amount, 1)),
        ]
    });
}

#[test]
fn requote() {
    boundaries(
        Code::Requote,
        &[(1, NONE), (2, NOTICE), (3, WARN), (4, ERROR)],
        |offers: u8| (0..offers).map(|offer| (0, offered(offer))).collect(),
    );
    assert_eq!(
        found(&[(0, offered(1)), (1, offered(1))], Code::Requote),
        None
    );
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

#[test]
fn retry() {
    boundaries(
        Code::Retry,
        &[(0, NONE), (1, NOTICE), (2, WARN), (3, ERROR), (9, ERROR)],
        |count: usize| vec![(0, retried(0)); count],
    );
}

#[test]
fn backoff() {
    let cases = [
        (0, NONE),
        (50, NONE),
        (51, NOTICE),
        (250, NOTICE),
        (251, WARN),
        (500, WARN),
        (501, ERROR),
    ];
    boundaries(Code::Backoff, &cases, |wait_ms| {
        vec![(0, retried(wait_ms)), (1_000_000, closed())]
    });
}

#[test]
fn fallback() {
    let fell = |to| {
        let (from, to, cause) = (node(1), node(to), "node_down".into());
        Event::from(FellBack { from, to, cause })
    };
    let order = || {
        let nodes = (1..=5u8).map(|byte| candidate(byte, 1_000_000 - u32::from(byte) * 1_000));
        decided(nodes.collect(), 0, B256::ZERO)
    };
    let cases = [(1, NONE), (2, NOTICE), (3, WARN), (4, WARN), (5, ERROR)];
    boundaries(Code::Fallback, &cases, |rank| {
        let fallbacks = (2..=rank).map(|to| (1, fell(to)));
        [(0, order())].into_iter().chain(fallbacks).collect()
    });
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

#[test]
fn settle_wait() {
    use SettlementState::{Authorized, NotSettled, Settled, Submitted, Unknown};
    let cases = [
        ((Settled, 2_000), NONE),
        ((Settled, 2_001), NOTICE),
        ((NotSettled, 10_000), NOTICE),
        ((Settled, 10_001), WARN),
        ((Submitted, 0), ERROR),
        ((Unknown, 0), ERROR),
        ((Authorized, 0), NONE),
    ];
    boundaries(Code::SettleWait, &cases, |(state, waited_ms)| {
        vec![(0, seen(state, waited_ms, 1))]
    });
    // Only the last word counts.
    let resolved = [(0, seen(Unknown, 9, 1)), (1, seen(Settled, 9, 1))];
    assert_eq!(found(&resolved, Code::SettleWait), None);
}

#[test]
fn settle_unknown() {
    use SettlementState::{NotSettled, Settled, Unknown};
    let cases = [(0, NOTICE), (30_000, NOTICE), (30_001, WARN)];
    boundaries(Code::SettleUnknown, &cases, |millis: u64| {
        vec![
            (0, seen(Unknown, 0, 1)),
            (millis * 1_000, seen(Settled, 0, 1)),
        ]
    });
    let never = [(0, seen(Unknown, 0, 1)), (5_000, closed())];
    let limit = 30_000;
    assert_eq!(
        found(&never, Code::SettleUnknown),
        Some((Severity::Warn, 5, limit))
    );
    let known = [(0, seen(Settled, 0, 1))];
    assert_eq!(found(&known, Code::SettleUnknown), None);
    for other in [seen(NotSettled, 0, 1), seen(Settled, 0, 2)] {
        let contradiction = [(0, seen(Settled, 0, 1)), (1, other)];
        assert_eq!(
            found(&contradiction, Code::SettleUnknown).unwrap().0,
            Severity::Error
        );
    }
}

#[test]
fn pay_late() {
    let ended = || {
        let ended = ResponseEnded {
            bytes: 1,
            chunks: 1,
            output_commitment: B256::ZERO,
        };
        Event::from(ended)
    };
    let settled = || seen(SettlementState::Settled, 0, 1);
    let late = [(1_000, ended()), (4_000, settled())];
    assert_eq!(found(&late, Code::PayLate), Some((Severity::Notice, 3, -1)));
    let early = [(1_000, settled()), (4_000, ended())];
    assert_eq!(found(&early, Code::PayLate), None);
    let unknown = [
        (1_000, ended()),
        (4_000, seen(SettlementState::Unknown, 0, 1)),
    ];
    assert_eq!(found(&unknown, Code::PayLate), None);
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

#[test]
fn evidence_stale() {
    let cases = [
        (500, NONE),
        (501, NOTICE),
        (900, NOTICE),
        (901, WARN),
        (1_000, WARN),
        (1_001, ERROR),
    ];
    boundaries(Code::AttStale, &cases, |age| {
        vec![(0, fetched(false, age, 1_000))]
    });
}

#[test]
fn evidence_cached() {
    let cases = [(0, NOTICE), (3_600_000, NOTICE), (3_600_001, WARN)];
    boundaries(Code::AttCached, &cases, |age| {
        vec![(0, fetched(false, age, u64::MAX))]
    });
    assert_eq!(found(&[(0, fetched(true, 9, 10))], Code::AttCached), None);
}

#[test]
fn certificate_near_its_end() {
    const MINUTE: u64 = 60_000;
    let cases = [
        (30 * MINUTE, NONE),
        (30 * MINUTE - 1, NOTICE),
        (5 * MINUTE, NOTICE),
        (5 * MINUTE - 1, WARN),
        (0, WARN),
    ];
    let verdict = |leaf_not_after_ms| {
        let verdict = Attested {
            node: node(1),
            source: SourceClass::Dev,
            kind: "software-dev".into(),
            measurement: B256::ZERO,
            tls_cert_sha256: B256::ZERO,
            signing_key_sha256: B256::ZERO,
            leaf_not_after_ms,
            doc_timestamp_ms: 0,
        };
        Event::from(verdict)
    };
    // Two seconds into the call.
    let now = NOW.as_millis() + 2_000;
    boundaries(Code::CertNear, &cases, |left| {
        vec![(0, opened(1)), (2_000_000, verdict(now + left))]
    });
    let expired = [(0, opened(1)), (2_000_000, verdict(now - 1))];
    assert_eq!(
        found(&expired, Code::CertNear),
        Some((Severity::Error, -1, 0))
    );
}

#[test]
fn signature_late() {
    let checked = |ok, after_use_bytes| {
        let checked = SignatureChecked {
            node: node(1),
            input_hash: B256::ZERO,
            output_hash: B256::ZERO,
            timestamp_s: 0,
            signature: Vec::new(),
            signing_key: B256::ZERO,
            ok,
            after_use_bytes,
        };
        Event::from(checked)
    };
    let cases = [
        ((true, 0), NONE),
        ((false, 0), NONE),
        ((true, 1), NOTICE),
        ((true, 1_024), NOTICE),
        ((true, 1_025), WARN),
        ((false, 1), ERROR),
    ];
    boundaries(Code::SigLate, &cases, |(ok, bytes)| {
        vec![(0, checked(ok, bytes))]
    });
}

#[test]
fn stall() {
    let stalled = |gap_us, median_us| {
        let after_chunks = 1;
        let stalled = Stalled {
            gap_us,
            median_us,
            after_chunks,
        };
        Event::from(stalled)
    };
    let cases = [
        ((500, 100), NONE),
        ((501, 100), NOTICE),
        ((2_000_000, 0), NONE),
        ((2_000_001, 0), WARN),
        ((2_000_001, 1_000_000), WARN),
        ((10_000_000, 0), WARN),
        ((10_000_001, 0), ERROR),
    ];
    boundaries(Code::Stall, &cases, |(gap, median)| {
        vec![(0, stalled(gap, median))]
    });
    let two = [(0, stalled(3_000_000, 0)), (1, stalled(4_000_000, 0))];
    let (_, worst, _) = found(&two, Code::Stall).unwrap();
    assert_eq!(worst, 4_000_000);
}

#[test]
fn clock() {
    let read = |skew_ms| {
        let source = "node-date".into();
        Event::from(ClockRead { source, skew_ms })
    };
    let cases = [
        (2_000, NONE),
        (-2_000, NONE),
        (2_001, NOTICE),
        (-2_001, NOTICE),
        (30_000, NOTICE),
        (30_001, WARN),
        (-300_000, WARN),
        (300_001, ERROR),
        (i64::MIN, ERROR),
    ];
    boundaries(Code::Clock, &cases, |skew| vec![(0, read(skew))]);
}

#[test]
fn registry_stale() {
    let cases = [
        (60_000, NONE),
        (60_001, NOTICE),
        (600_000, NOTICE),
        (600_001, WARN),
        (3_600_000, WARN),
        (3_600_001, ERROR),
        (u64::MAX, ERROR),
    ];
    boundaries(Code::RegStale, &cases, |age| {
        vec![(0, catalogue_read(1, age))]
    });
}

#[test]
fn hidden_events_make_their_codes_incomparable_and_no_others() {
    let recorded = |event| Recorded { dt_us: 0, event };
    let events = [recorded(retried(0)), recorded(catalogue_read(1, 60_001))];
    let shown: Vec<Slot<'_>> = events.iter().map(Slot::Shown).collect();
    let signed = of(&shown);
    assert_eq!(compare(&signed, &shown).different, []);
    let hidden = [Slot::Hidden(EventKind::Retried), Slot::Shown(&events[1])];
    let comparison = compare(&signed, &hidden);
    assert_eq!(comparison.different, []);
    assert_eq!(comparison.hidden, [Code::Retry, Code::Backoff]);
    // What can still be computed is still compared.
    let without: Vec<_> = signed
        .iter()
        .filter(|it| it.code != Code::RegStale)
        .copied()
        .collect();
    assert_eq!(compare(&without, &hidden).different, [Code::RegStale]);
}

#[test]
fn numbers_and_words_are_unique_and_round_trip() {
    let mut words = std::collections::BTreeSet::new();
    for &code in Code::ALL {
        assert_eq!(Code::from_number(code.number()), Some(code));
        assert!(words.insert(code.as_str()));
    }
    assert!(Code::ALL.is_sorted_by_key(|code| code.number()));
    assert_eq!(Code::from_number(0), None);
}

proptest! {
    #[test]
    fn hesitations_round_trip(arg in any::<i64>(), limit in any::<i64>(), event in any::<u32>()) {
        for &code in Code::ALL {
            for severity in [Severity::Notice, Severity::Warn, Severity::Error] {
                let hesitation = Hesitation { event, code, severity, arg, limit };
                let mut writer = Writer::new();
                hesitation.write(&mut writer);
                let bytes = writer.finish();
                let read = Hesitation::read(&mut Reader::new(&bytes).unwrap());
                prop_assert_eq!(read, Ok(hesitation));
            }
        }
    }
}

/// The reference page is made from the rules: one source.
fn reference() -> String {
    let mut page = String::from(
        "# Hesitations\n\nGenerated from `crates/core/src/hesitation/code.rs`; \
         `spec/hesitations.md` says how they are computed.\nWrite it again with \
         `cargo test -p seamline-core write_reference -- --ignored`.\n\n\
         | code | number | meaning | value | unit | notice | warn | error |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for &code in Code::ALL {
        let rule = code.rule();
        let sign = match rule.side {
            Side::Above => ">",
            Side::Below => "<",
        };
        let limits = rule.limits.map(|limit| match limit {
            Some(-1 | 1_000_001) => "any".to_owned(),
            Some(limit) => format!("{sign} {limit}"),
            None => "see value".to_owned(),
        });
        let [notice, warn, error] = limits;
        let (word, number, unit) = (code.as_str(), code.number(), rule.unit.as_str());
        let (meaning, value) = (rule.meaning, rule.value);
        page.push_str(&format!(
            "| {word} | {number} | {meaning} | {value} | {unit} | {notice} | {warn} | {error} |\n"
        ));
    }
    page
}

fn reference_path() -> std::path::PathBuf {
    seamline_testkit::project_root().join("docs/reference/hesitations.md")
}

#[test]
fn reference_page_is_current() {
    let page = std::fs::read_to_string(reference_path()).unwrap();
    assert_eq!(page, reference(), "run `write_reference`");
}

#[test]
#[ignore = "writes docs/reference/hesitations.md"]
fn write_reference() {
    std::fs::write(reference_path(), reference()).unwrap();
}

/// Calls with one hesitation or more, for readers in other languages.
fn vector_cases() -> Vec<(&'static str, Vec<(u64, Event)>)> {
    let both = vec![candidate(1, 1_000_000), candidate(2, 1_000_000)];
    let one = vec![candidate(1, 1_000_000)];
    let unknown = seen(SettlementState::Unknown, 900, 1);
    let settled = seen(SettlementState::Settled, 12_000, 1);
    vec![
        ("a tie", vec![(5, decided(both, 0, B256::ZERO))]),
        ("the only node", vec![(5, decided(one, 0, B256::ZERO))]),
        (
            "an offer at the cap",
            vec![(0, opened(1_000)), (9, admitted(1_000, 1))],
        ),
        (
            "an offer above the listed price",
            vec![
                (0, catalogue_read(1_000, 61_000)),
                (1, offered(1)),
                (2, admitted(1_200, 1)),
            ],
        ),
        (
            "a retry after a wait",
            vec![(10, retried(300)), (1_000_000, closed())],
        ),
        (
            "a settlement that was unknown for two seconds",
            vec![(0, unknown), (2_000_000, settled)],
        ),
        (
            "cached evidence that grows old",
            vec![(0, fetched(false, 3_700_000, 4_000_000))],
        ),
        ("nothing to hesitate about", vec![(0, fetched(true, 0, 10))]),
    ]
}

fn vectors() -> serde_json::Value {
    let cases = vector_cases().into_iter().map(|(name, events)| {
        let recorded = events
            .into_iter()
            .map(|(dt_us, event)| Recorded { dt_us, event });
        let recorded: Vec<Recorded> = recorded.collect();
        let slots: Vec<Slot<'_>> = recorded.iter().map(Slot::Shown).collect();
        let hesitations = of(&slots).into_iter().map(|it| {
            let (code, severity) = (it.code.as_str(), it.severity.as_str());
            serde_json::json!([code, severity, it.arg, it.limit, it.event])
        });
        serde_json::json!({
            "name": name,
            "events": recorded.iter().map(|it| ::hex::encode(it.encode())).collect::<Vec<_>>(),
            "hesitations": hesitations.collect::<Vec<_>>(),
        })
    });
    serde_json::json!({
        "note": "events: the encoding of spec/receipt.md, in order; hesitations: code, severity, value, limit, event",
        "cases": cases.collect::<Vec<_>>(),
    })
}

#[test]
fn vectors_are_current() {
    assert_eq!(
        seamline_testkit::json_vector("hesitation/calls.json"),
        vectors()
    );
}

#[test]
#[ignore = "writes spec/vectors/hesitation/calls.json"]
fn write_vectors() {
    let path = seamline_testkit::project_root().join("spec/vectors/hesitation/calls.json");
    let text = serde_json::to_string_pretty(&vectors()).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}
