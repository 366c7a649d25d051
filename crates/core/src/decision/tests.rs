#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow in a test is a failed test"
)]

use alloy_primitives::{Address, B256};

use super::*;
use crate::{Amount, NodeId, Timestamp, sha256};

mod properties;

const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);
const MEASUREMENT: B256 = B256::repeat_byte(0xaa);
const ASSET: Address = Address::repeat_byte(0xcc);

fn id(byte: u8) -> NodeId {
    NodeId::new(B256::repeat_byte(byte))
}

fn draw(number: u64) -> B256 {
    sha256(&[b"test draw", &number.to_be_bytes()])
}

fn policy() -> RoutePolicy {
    RoutePolicy {
        model: "seamline/guide".to_owned(),
        cap: Amount::new(1_000_000),
        weight_price: 5,
        weight_latency: 3,
        weight_health: 2,
        latency_bound_us: 1_000_000,
        explore_ppm: 0,
        max_heartbeat_age_s: 1_800,
        measurements: vec![MEASUREMENT],
        network: "eip155:31610".to_owned(),
        asset: ASSET,
        avoid: Vec::new(),
    }
}

fn candidate(byte: u8, cost: u128, latency_us: u64) -> Candidate {
    Candidate {
        node: id(byte),
        endpoint: format!("https://127.0.0.1:{byte}"),
        pay_to: Address::repeat_byte(byte),
        measurement: MEASUREMENT,
        offers_model: true,
        network: "eip155:31610".to_owned(),
        asset: ASSET,
        cost: Amount::new(cost),
        latency_us,
        health_ppm: 1_000_000,
        heartbeat_age_s: 60,
        observed_age_ms: 500,
        cooling_until_ms: 0,
        enabled: true,
    }
}

fn catalogue(candidates: impl IntoIterator<Item = Candidate>) -> Catalogue {
    Catalogue::new(candidates.into_iter().collect()).unwrap()
}

fn decided(policy: &RoutePolicy, candidates: impl IntoIterator<Item = Candidate>) -> Decision {
    decide(policy, &catalogue(candidates), NOW, &draw(0))
}

#[test]
fn nothing_is_chosen_from_nothing() {
    let decision = decided(&policy(), []);
    assert_eq!((decision.chosen, decision.runner_up), (None, None));
    assert_eq!(decision.deciding, DecidingKey::Nothing);
    assert_eq!((decision.propensity, decision.margin_ppm), ((0, 1), 0));
    assert!(decision.rank.is_empty() && decision.flips.is_empty());
}

#[test]
fn each_filter_rejects_by_itself() {
    type Change = fn(&mut RoutePolicy, &mut Candidate);
    let leading = |byte: u8| u128::from_be_bytes([byte; 16]);
    let cases: [(Rejection, u128, u128, Change); 9] = [
        (Rejection::Disabled, 0, 1, |_, c| c.enabled = false),
        (Rejection::Avoided, 1, 0, |p, c| {
            p.avoid = vec![id(9), c.node];
        }),
        (Rejection::ModelNotOffered, 0, 1, |_, c| {
            c.offers_model = false;
        }),
        (Rejection::NetworkNotAllowed, 8453, 31610, |_, c| {
            c.network = "eip155:8453".to_owned();
        }),
        (
            Rejection::AssetNotAllowed,
            leading(0xcd),
            leading(0xcc),
            |_, c| {
                c.asset = Address::repeat_byte(0xcd);
            },
        ),
        (
            Rejection::MeasurementNotAllowed,
            leading(0xab),
            1,
            |_, c| {
                c.measurement = B256::repeat_byte(0xab);
            },
        ),
        (Rejection::HeartbeatStale, 1_801, 1_800, |_, c| {
            c.heartbeat_age_s = 1_801;
        }),
        (
            Rejection::Cooling,
            1_780_272_000_001,
            1_780_272_000_000,
            |_, c| c.cooling_until_ms = NOW.as_millis() + 1,
        ),
        (Rejection::OverCap, 1_000_001, 1_000_000, |_, c| {
            c.cost = Amount::new(1_000_001);
        }),
    ];
    for (reason, observed, bound, change) in cases {
        let (mut policy, mut rejected) = (policy(), candidate(1, 10, 10));
        change(&mut policy, &mut rejected);
        let decision = decided(&policy, [rejected, candidate(2, 900_000, 900_000)]);
        let expected = Verdict::Rejected {
            reason,
            observed,
            bound,
        };
        assert_eq!(decision.verdict(&id(1)), Some(expected));
        assert_eq!(decision.chosen, Some(id(2)), "{reason:?}");
        assert_eq!(decision.deciding, DecidingKey::Only);
        assert_eq!(decision.margin_ppm, 1_000_000);
    }
}

#[test]
fn bounds_are_inclusive() {
    let mut edge = candidate(1, 1_000_000, 1_000_000);
    edge.heartbeat_age_s = 1_800;
    edge.cooling_until_ms = NOW.as_millis();
    edge.health_ppm = 0;
    let decision = decided(&policy(), [edge]);
    assert_eq!(decision.verdict(&id(1)), Some(Verdict::Usable { score: 0 }));
}

#[test]
fn the_first_filter_counts() {
    // Fails everything at once; the order of `Rejection::ALL` is that of the filters.
    let mut all = candidate(1, u128::MAX, 10);
    all.enabled = false;
    all.offers_model = false;
    all.cooling_until_ms = u64::MAX;
    let decision = decided(&policy(), [all]);
    let Some(Verdict::Rejected { reason, .. }) = decision.verdict(&id(1)) else {
        panic!("accepted");
    };
    assert_eq!(reason, Rejection::Disabled);
    for (index, reason) in Rejection::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(reason.code()), index);
    }
    for (index, key) in DecidingKey::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(key.code()), index);
    }
    for (index, lever) in Lever::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(lever.code()), index);
    }
}

#[test]
fn an_empty_list_of_measurements_accepts_none() {
    let mut policy = policy();
    policy.measurements.clear();
    assert_eq!(decided(&policy, [candidate(1, 1, 1)]).usable, 0);
}

#[test]
fn scores_are_weighted_shares() {
    // Price 80 %, latency 90 %, health 100 %: (5 * 80 + 3 * 90 + 2 * 100) / 10 = 87 %.
    let decision = decided(&policy(), [candidate(1, 200_000, 100_000)]);
    let score = Verdict::Usable { score: 870_000 };
    assert_eq!(decision.verdict(&id(1)), Some(score));
}

#[test]
fn zero_weights_leave_it_to_the_draw() {
    let mut policy = policy();
    (
        policy.weight_price,
        policy.weight_latency,
        policy.weight_health,
    ) = (0, 0, 0);
    let decision = decided(&policy, [candidate(1, 1, 1), candidate(2, 900_000, 1)]);
    assert_eq!(decision.deciding, DecidingKey::Tie);
    assert_eq!(decision.propensity, (2_000_000, 4_000_000));
    // No quality counts, but a cap below the cost of the chosen one would turn it.
    assert!(decision.flips.iter().all(|flip| flip.what == Lever::Cap));
}

#[test]
fn a_cap_of_zero_takes_what_is_free() {
    let mut policy = policy();
    policy.cap = Amount::ZERO;
    let decision = decided(&policy, [candidate(1, 0, 1), candidate(2, 1, 1)]);
    assert_eq!(decision.chosen, Some(id(1)));
    assert_eq!(decision.usable, 1);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let mut policy = policy();
    policy.cap = Amount::MAX;
    policy.latency_bound_us = u64::MAX;
    (
        policy.weight_price,
        policy.weight_latency,
        policy.weight_health,
    ) = (u32::MAX, u32::MAX, u32::MAX);
    let mut slow = candidate(1, u128::MAX / 2, u64::MAX);
    slow.health_ppm = 0;
    let decision = decided(&policy, [slow, candidate(2, 0, 0)]);
    let verdict = |byte| decision.verdict(&id(byte)).unwrap();
    assert_eq!(verdict(2), Verdict::Usable { score: 1_000_000 });
    // Half of the cap is left: 500,000 of a million, and nothing for latency and health.
    assert_eq!(verdict(1), Verdict::Usable { score: 166_666 });
}

#[test]
fn a_catalogue_is_sorted_unique_and_bounded() {
    let sorted = catalogue([candidate(2, 1, 1), candidate(1, 1, 1)]);
    assert_eq!(sorted.candidates()[0].node, id(1));
    assert_eq!(sorted.get(&id(2)).map(|found| found.node), Some(id(2)));
    assert_eq!(sorted.get(&id(3)), None);

    let twice = Catalogue::new(vec![candidate(1, 1, 1), candidate(1, 2, 2)]);
    assert_eq!(twice, Err(Error::DuplicateNode(id(1))));

    let mut healthy = candidate(1, 1, 1);
    healthy.health_ppm = 1_000_001;
    let field = "health_ppm";
    assert_eq!(
        Catalogue::new(vec![healthy]),
        Err(Error::OutOfRange { field })
    );

    let mut long = candidate(1, 1, 1);
    long.endpoint = "x".repeat(513);
    let field = "endpoint";
    assert_eq!(Catalogue::new(vec![long]), Err(Error::TooLong { field }));

    let mut long = candidate(1, 1, 1);
    long.network = "x".repeat(65);
    let field = "network";
    assert_eq!(Catalogue::new(vec![long]), Err(Error::TooLong { field }));

    let many = (0..=MAX_CANDIDATES).map(|_| candidate(1, 1, 1)).collect();
    let field = "candidates";
    assert_eq!(Catalogue::new(many), Err(Error::TooLong { field }));
}

#[test]
fn a_policy_is_bounded() {
    let check = |change: fn(&mut RoutePolicy)| {
        let mut policy = policy();
        change(&mut policy);
        assert_eq!(
            RoutePolicy::decode(&policy.encode()).err(),
            policy.check().err()
        );
        policy.check().map_err(|err| err.to_string())
    };
    assert_eq!(check(|policy| policy.explore_ppm = MAX_EXPLORE_PPM), Ok(()));
    let out_of_range = "`explore_ppm` is out of range".to_owned();
    let outcome = check(|policy| policy.explore_ppm = MAX_EXPLORE_PPM + 1);
    assert_eq!(outcome, Err(out_of_range));
    let too_long = |field: &str| Err(format!("`{field}` is too long"));
    assert_eq!(check(|p| p.model = "x".repeat(257)), too_long("model"));
    assert_eq!(check(|p| p.network = "x".repeat(65)), too_long("network"));
    let outcome = check(|policy| policy.measurements = vec![MEASUREMENT; 257]);
    assert_eq!(outcome, too_long("measurements"));
    assert_eq!(check(|p| p.avoid = vec![id(1); 1_025]), too_long("avoid"));
    // Size is looked at before anything else.
    let field = "policy";
    let outcome = RoutePolicy::decode(&vec![0; (64 << 10) + 1]);
    assert_eq!(outcome, Err(Error::TooLong { field }));
}

#[test]
fn propensities_are_the_frequencies() {
    // Two candidates tie, one is worse, and one call in five explores.
    let mut policy = policy();
    policy.explore_ppm = 200_000;
    let catalogue = catalogue([
        candidate(1, 100, 100),
        candidate(2, 100, 100),
        candidate(3, 900_000, 100),
    ]);
    let calls = 30_000_u64;
    let mut counts = [0_u64; 3];
    let mut propensities = [(0, 0); 3];
    for number in 0..calls {
        let decision = decide(&policy, &catalogue, NOW, &draw(number));
        let chosen = decision.chosen.unwrap();
        let index = usize::from(chosen.as_b256()[0]) - 1;
        counts[index] += 1;
        propensities[index] = decision.propensity;
        let explored = decision.deciding == DecidingKey::Explored;
        assert_eq!(explored, index == 2);
    }
    let (numerators, denominators): (Vec<u64>, Vec<u64>) = propensities.into_iter().unzip();
    assert_eq!(denominators, [6_000_000; 3]);
    assert_eq!(numerators, [2_800_000, 2_800_000, 400_000]);
    for (count, numerator) in counts.into_iter().zip(numerators) {
        let expected = calls * numerator / 6_000_000;
        // Four standard deviations at most: sqrt(30,000 * 0.47 * 0.53) is 86.
        assert!(count.abs_diff(expected) < 350, "{count} of {expected}");
    }
}

#[test]
fn tied_candidates_share_the_first_place_evenly() {
    let catalogue = catalogue((1..=5).map(|byte| candidate(byte, 100, 100)));
    let mut first = [0_u64; 5];
    let mut last = [0_u64; 5];
    for number in 0..10_000 {
        let decision = decide(&policy(), &catalogue, NOW, &draw(number));
        assert_eq!(decision.rank.len(), 5);
        first[usize::from(decision.rank[0].as_b256()[0]) - 1] += 1;
        last[usize::from(decision.rank[4].as_b256()[0]) - 1] += 1;
    }
    for count in first.into_iter().chain(last) {
        assert!(count.abs_diff(2_000) < 200, "{count}");
    }
}

#[test]
fn a_single_best_needs_no_draw() {
    let catalogue = catalogue([candidate(1, 100, 100), candidate(2, 200, 100)]);
    let decisions: Vec<Decision> = (0..50)
        .map(|number| decide(&policy(), &catalogue, NOW, &draw(number)))
        .collect();
    assert!(decisions.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(decisions[0].propensity, (2_000_000, 2_000_000));
}

#[test]
fn a_cap_flip_names_the_candidate_that_a_higher_cap_admits() {
    let mut policy = policy();
    policy.cap = Amount::new(100);
    // Nobody is usable: the cheapest would be with its own cost as cap.
    let decision = decided(&policy, [candidate(1, 300, 1), candidate(2, 200, 1)]);
    let flip = Flip {
        what: Lever::Cap,
        node: id(2),
        from: 100,
        to: 200,
    };
    assert_eq!(decision.flips, [flip]);
}

#[test]
fn flips_are_what_a_person_would_expect() {
    // Both answer at once and are healthy; only the price differs, by 100,000 of a million.
    let list = [candidate(1, 100_000, 0), candidate(2, 200_000, 0)];
    let decision = decided(&policy(), list);
    assert_eq!(
        (decision.chosen, decision.runner_up),
        (Some(id(1)), Some(id(2)))
    );
    let price = decision.flips.iter().find(|flip| flip.what == Lever::Price);
    // A score of one more takes two parts per million of the cap, as price weighs one half.
    assert_eq!(
        price.map(|flip| (flip.from, flip.to)),
        Some((200_000, 99_998))
    );
    // Latency and health are at their best already.
    assert!(decision.flips.iter().all(|flip| flip.what == Lever::Price));
}

#[test]
fn a_bound_of_zero_leaves_nothing_to_gain() {
    let mut policy = policy();
    (policy.weight_price, policy.weight_health) = (0, 0);
    policy.latency_bound_us = 0;
    let decision = decided(&policy, [candidate(1, 0, 0), candidate(2, 0, 1)]);
    assert_eq!(decision.deciding, DecidingKey::Tie);
    assert!(decision.flips.is_empty());
}
