//! What holds of every decision.

use proptest::prelude::*;

use super::*;

fn any_amount() -> impl Strategy<Value = u128> {
    prop_oneof![0..2_000_000_u128, any::<u128>(), Just(0), Just(1_000_000)]
}

prop_compose! {
    fn any_candidate()(
        byte in 1_u8..40,
        cost in any_amount(),
        latency_us in prop_oneof![0..2_000_000_u64, any::<u64>()],
        health_ppm in prop_oneof![0..=1_000_000_u32, Just(1_000_000)],
        heartbeat_age_s in 0..1_900_u64,
        cooling in 0..20_u8,
        flags in 0..20_u8,
    ) -> Candidate {
        Candidate {
            health_ppm,
            heartbeat_age_s,
            cooling_until_ms: if cooling == 0 { NOW.as_millis() + 5 } else { 0 },
            enabled: flags != 0,
            offers_model: flags != 1,
            ..candidate(byte, cost, latency_us)
        }
    }
}

fn any_catalogue() -> impl Strategy<Value = Vec<Candidate>> {
    proptest::collection::vec(any_candidate(), 0..12).prop_map(|mut candidates| {
        candidates.sort_by_key(|candidate| candidate.node);
        candidates.dedup_by_key(|candidate| candidate.node);
        candidates
    })
}

prop_compose! {
    fn any_policy()(
        cap in any_amount(),
        weights in any::<[u32; 3]>(),
        small in any::<[u8; 3]>(),
        use_small: bool,
        latency_bound_us in prop_oneof![Just(0), 1..3_000_000_u64, any::<u64>()],
        explore_ppm in prop_oneof![Just(0), 0..=MAX_EXPLORE_PPM],
        avoid in proptest::collection::vec((1_u8..40).prop_map(id), 0..3),
    ) -> RoutePolicy {
        let [weight_price, weight_latency, weight_health] = if use_small {
            small.map(|weight| u32::from(weight % 8))
        } else {
            weights
        };
        RoutePolicy {
            cap: Amount::new(cap),
            weight_price,
            weight_latency,
            weight_health,
            latency_bound_us,
            explore_ppm,
            avoid,
            ..policy()
        }
    }
}

/// Applies a flip to the inputs of the decision that listed it.
fn turned(policy: &RoutePolicy, candidates: &[Candidate], flip: &Flip, to: u128) -> Decision {
    let mut policy = RoutePolicy {
        explore_ppm: 0,
        ..policy.clone()
    };
    let mut candidates = candidates.to_vec();
    let node = candidates
        .iter_mut()
        .find(|candidate| candidate.node == flip.node)
        .unwrap();
    match flip.what {
        Lever::Price => {
            assert_eq!(flip.from, node.cost.get());
            node.cost = Amount::new(to);
        }
        Lever::Latency => {
            assert_eq!(flip.from, u128::from(node.latency_us));
            node.latency_us = u64::try_from(to).unwrap();
        }
        Lever::Health => {
            assert_eq!(flip.from, u128::from(node.health_ppm));
            node.health_ppm = u32::try_from(to).unwrap();
        }
        Lever::Cap => {
            assert_eq!(flip.from, policy.cap.get());
            policy.cap = Amount::new(to);
        }
    }
    decided(&policy, candidates)
}

fn wins_alone(decision: &Decision, flip: &Flip) -> bool {
    let decided_by_score = matches!(decision.deciding, DecidingKey::Only | DecidingKey::Score);
    decision.chosen == Some(flip.node) && decided_by_score
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_decision_is_consistent(policy in any_policy(), list in any_catalogue(), seed: u64) {
        let catalogue = catalogue(list.clone());
        let decision = decide(&policy, &catalogue, NOW, &draw(seed));

        // 1. Every candidate is there once, in order, and the scores are in range.
        let nodes: Vec<NodeId> = decision.candidates.iter().map(|c| c.node).collect();
        let expected: Vec<NodeId> = list.iter().map(|c| c.node).collect();
        prop_assert_eq!(nodes, expected);
        let score = |node: &NodeId| match decision.verdict(node) {
            Some(Verdict::Usable { score }) => Some(score),
            Some(Verdict::Rejected { .. }) | None => None,
        };
        let scores: Vec<i64> = catalogue.candidates().iter().filter_map(|c| score(&c.node)).collect();
        prop_assert!(scores.iter().all(|score| (0..=1_000_000).contains(score)));

        // 2. The ranking holds the usable ones, the chosen first, the others by score.
        prop_assert_eq!(scores.len(), decision.rank.len());
        prop_assert_eq!(u32::try_from(scores.len()).unwrap(), decision.usable);
        prop_assert_eq!(decision.rank.first().copied(), decision.chosen);
        prop_assert_eq!(decision.rank.get(1).copied(), decision.runner_up);
        let ranked: Vec<i64> = decision.rank.iter().filter_map(score).collect();
        prop_assert_eq!(ranked.len(), scores.len());
        prop_assert!(ranked.iter().skip(1).is_sorted_by(|a, b| a >= b));

        // 3. The deciding key says how the chosen one compares.
        let best = scores.iter().max();
        let tied = scores.iter().filter(|score| Some(*score) == best).count();
        let key = match ranked.first() {
            None => DecidingKey::Nothing,
            Some(_) if ranked.len() == 1 => DecidingKey::Only,
            chosen if chosen < best => DecidingKey::Explored,
            Some(_) if tied > 1 => DecidingKey::Tie,
            Some(_) => DecidingKey::Score,
        };
        prop_assert_eq!(decision.deciding, key);
        prop_assert_eq!(decision.margin_ppm == 0, match ranked.as_slice() {
            [] => true,
            [_] => false,
            [a, b, ..] => a.abs_diff(*b) * 1_000_000 < (*a).max(*b).max(1).unsigned_abs(),
        });

        // 4. The weights of all candidates add up to the denominator.
        let (numerator, denominator) = decision.propensity;
        if let (Some(n), Some(k)) = (u64::try_from(scores.len()).ok().filter(|n| *n > 0), u64::try_from(tied).ok()) {
            let explore = u64::from(policy.explore_ppm);
            let high = (1_000_000 - explore) * n + explore * k;
            let low = explore * k;
            prop_assert_eq!(denominator, high * k + low * (n - k));
            prop_assert_eq!(numerator, if key == DecidingKey::Explored { low } else { high });
        }

        // 5. Encodings come back as they were, and hold the same bytes.
        prop_assert_eq!(Decision::decode(&decision.encode()), Ok(decision));
        prop_assert_eq!(RoutePolicy::decode(&policy.encode()), Ok(policy));
        prop_assert_eq!(Catalogue::decode(&catalogue.encode()), Ok(catalogue));
    }

    #[test]
    fn the_order_of_discovery_does_not_matter(
        policy in any_policy(),
        (list, shuffled) in any_catalogue().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        seed: u64,
    ) {
        let (a, b) = (catalogue(list), catalogue(shuffled));
        prop_assert_eq!(a.root(), b.root());
        prop_assert_eq!(
            decide(&policy, &a, NOW, &draw(seed)),
            decide(&policy, &b, NOW, &draw(seed))
        );
    }

    #[test]
    fn flips_turn_the_decision(policy in any_policy(), list in any_catalogue(), seed: u64) {
        let decision = decide(&policy, &catalogue(list.clone()), NOW, &draw(seed));
        for flip in &decision.flips {
            let after = turned(&policy, &list, flip, flip.to);
            prop_assert!(wins_alone(&after, flip), "{flip:?}");
            // One step less is not enough, except for the cap, whose flip only suffices.
            let short = match flip.what {
                Lever::Price | Lever::Latency => flip.to + 1,
                Lever::Health => flip.to - 1,
                Lever::Cap => continue,
            };
            let after = turned(&policy, &list, flip, short);
            prop_assert!(!wins_alone(&after, flip), "{flip:?} goes further than needed");
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = RoutePolicy::decode(&bytes);
        let _ = Catalogue::decode(&bytes);
        let _ = Decision::decode(&bytes);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        list in any_catalogue(), policy in any_policy(), flip in any::<(usize, u8)>(), seed: u64,
    ) {
        let catalogue = catalogue(list);
        let decision = decide(&policy, &catalogue, NOW, &draw(seed)).encode();
        for mut bytes in [policy.encode(), catalogue.encode(), decision] {
            let place = flip.0 % bytes.len();
            bytes[place] ^= 1 << (flip.1 % 8);
            let again = [
                RoutePolicy::decode(&bytes).map(|policy| policy.encode()),
                Catalogue::decode(&bytes).map(|catalogue| catalogue.encode()),
                Decision::decode(&bytes).map(|decision| decision.encode()),
            ];
            for encoded in again.into_iter().flatten() {
                prop_assert_eq!(&encoded, &bytes);
            }
        }
    }
}
