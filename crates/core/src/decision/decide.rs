use alloy_primitives::B256;

use super::flips::flips;
use super::score::{Entry, MILLION, Scorer};
use super::{
    Catalogue, Considered, DecidingKey, Decision, MAX_EXPLORE_PPM, Rejection, RoutePolicy, Verdict,
    draw, filter,
};
use crate::{NodeId, Timestamp};

/// Chooses a node, by the rules of `spec/decision.md`.
///
/// The outcome depends on the arguments and on nothing else: not on the order in which candidates
/// were found, not on the machine. `draw` is 32 bytes that were committed to before the catalogue
/// was known. An `explore_ppm` above [`MAX_EXPLORE_PPM`] counts as that.
pub fn decide(
    policy: &RoutePolicy,
    catalogue: &Catalogue,
    now: Timestamp,
    draw: &B256,
) -> Decision {
    // 1. Filter and score.
    let scorer = Scorer::new(policy);
    let Field {
        candidates,
        usable: mut ranked,
        over_cap,
    } = Field::of(policy, &scorer, catalogue, now);
    // 2. Rank by score; the draw orders equals.
    let tied = rank(&mut ranked, draw);
    // 3. Choose, mostly the best, and put it in front: then comes the order of fallback.
    let choice = choose(ranked.len(), tied, policy.explore_ppm, draw);
    if let Some(front) = choice.and_then(|choice| ranked.get_mut(..=choice.position)) {
        front.rotate_right(1);
    }
    let (chosen, runner_up) = (ranked.first(), ranked.get(1));
    // 4. Say why, and what would have turned it.
    let deciding = deciding(choice, ranked.len(), tied);
    Decision {
        chosen: chosen.map(node),
        runner_up: runner_up.map(node),
        margin_ppm: margin_ppm(chosen, runner_up),
        deciding,
        propensity: choice.map_or((0, 1), |choice| choice.propensity),
        usable: u32::try_from(ranked.len()).unwrap_or(u32::MAX),
        rank: ranked.iter().map(node).collect(),
        flips: flips(&scorer, deciding, chosen, runner_up, &ranked, &over_cap),
        candidates,
    }
}

const fn node(entry: &Entry<'_>) -> NodeId {
    entry.candidate.node
}

/// The candidates after the filters.
struct Field<'a> {
    candidates: Vec<Considered>,
    usable: Vec<Entry<'a>>,
    /// Those that only the cap rejected.
    over_cap: Vec<Entry<'a>>,
}

impl<'a> Field<'a> {
    fn of(policy: &RoutePolicy, scorer: &Scorer, catalogue: &'a Catalogue, now: Timestamp) -> Self {
        let all = catalogue.candidates().len();
        let mut field = Self {
            candidates: Vec::with_capacity(all),
            usable: Vec::with_capacity(all),
            over_cap: Vec::new(),
        };
        for candidate in catalogue.candidates() {
            let rejection = filter::first_failure(policy, candidate, now);
            let verdict = match rejection {
                None => {
                    let entry = scorer.entry(candidate);
                    field.usable.push(entry);
                    let score = entry.score;
                    Verdict::Usable { score }
                }
                Some(reason) => {
                    if reason == Rejection::OverCap {
                        field.over_cap.push(scorer.entry(candidate));
                    }
                    let (observed, bound) = filter::numbers(reason, policy, candidate, now);
                    Verdict::Rejected {
                        reason,
                        observed,
                        bound,
                    }
                }
            };
            let node = candidate.node;
            field.candidates.push(Considered { node, verdict });
        }
        field
    }
}

/// Sorts by score, highest first, and entries of equal score by their tie hash, which is computed
/// for those only. Returns how many have the highest score.
fn rank(entries: &mut [Entry<'_>], draw: &B256) -> usize {
    entries.sort_unstable_by_key(|entry| (core::cmp::Reverse(entry.score), node(entry)));
    for equals in entries.chunk_by_mut(|a, b| a.score == b.score) {
        if equals.len() > 1 {
            equals.sort_by_cached_key(|entry| draw::tie_hash(draw, &node(entry)));
        }
    }
    entries
        .chunk_by(|a, b| a.score == b.score)
        .next()
        .map_or(0, <[_]>::len)
}

#[derive(Clone, Copy)]
struct Choice {
    /// Position in the ranking.
    position: usize,
    propensity: (u64, u64),
}

/// Chooses one of `usable` ranked candidates, of which the first `tied` share the highest score.
///
/// Each candidate has `explore_ppm` divided evenly among all, and the best have the rest divided
/// evenly among them; over the common denominator 1,000,000 * tied * usable these are integers.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "usable <= 4,096, tied <= usable, explore <= 200,000: all below 2^45; no divisor is zero"
)]
fn choose(usable: usize, tied: usize, explore_ppm: u32, draw: &B256) -> Option<Choice> {
    let n = u64::try_from(usable).ok().filter(|n| *n > 0)?;
    let k = u64::try_from(tied).ok().filter(|k| *k > 0)?;
    let explore = u64::from(explore_ppm.min(MAX_EXPLORE_PPM));
    let denominator = MILLION * k * n;
    let low = explore * k;
    let high = (MILLION - explore) * n + low;
    // Where one candidate has all the weight, no draw can change the choice.
    let drawn = if high == denominator {
        0
    } else {
        draw::uniform(draw, denominator)
    };
    let best = high * k;
    let (position, weight) = if drawn < best {
        (drawn / high, high)
    } else {
        // Then `best < denominator`, which takes `explore > 0`.
        (k + (drawn - best) / low, low)
    };
    Some(Choice {
        position: usize::try_from(position).ok()?,
        propensity: (weight, denominator),
    })
}

const fn deciding(choice: Option<Choice>, usable: usize, tied: usize) -> DecidingKey {
    match choice {
        None => DecidingKey::Nothing,
        Some(_) if usable == 1 => DecidingKey::Only,
        Some(choice) if choice.position >= tied => DecidingKey::Explored,
        Some(_) if tied > 1 => DecidingKey::Tie,
        Some(_) => DecidingKey::Score,
    }
}

fn margin_ppm(chosen: Option<&Entry<'_>>, runner_up: Option<&Entry<'_>>) -> u32 {
    let (Some(chosen), Some(runner_up)) = (chosen, runner_up) else {
        return if chosen.is_some() { 1_000_000 } else { 0 };
    };
    let larger = chosen.score.max(runner_up.score).max(1).unsigned_abs();
    let margin = chosen
        .score
        .abs_diff(runner_up.score)
        .saturating_mul(MILLION)
        .checked_div(larger);
    margin
        .and_then(|margin| u32::try_from(margin).ok())
        .unwrap_or(u32::MAX)
}
