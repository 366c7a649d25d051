//! What would have turned the decision (`spec/decision.md` §8).

use super::score::{Entry, MILLION, Scorer};
use super::{DecidingKey, Flip, Lever};

/// Returns the changes that would have given the runner-up, or a candidate above the cap, the
/// highest score of all.
pub(super) fn flips(
    scorer: &Scorer,
    deciding: DecidingKey,
    chosen: Option<&Entry<'_>>,
    runner_up: Option<&Entry<'_>>,
    usable: &[Entry<'_>],
    over_cap: &[Entry<'_>],
) -> Vec<Flip> {
    match deciding {
        DecidingKey::Score | DecidingKey::Tie => {}
        DecidingKey::Nothing | DecidingKey::Only if !over_cap.is_empty() => {}
        // The draw chose against the scores: no change of a score would have turned it for sure.
        DecidingKey::Nothing | DecidingKey::Only | DecidingKey::Explored => return Vec::new(),
    }
    let mut flips = Vec::with_capacity(4);
    if let (Some(chosen), Some(runner_up)) = (chosen, runner_up) {
        flips.extend(price(scorer, chosen, runner_up));
        flips.extend(latency(scorer, chosen, runner_up));
        flips.extend(health(scorer, chosen, runner_up));
    }
    let cheapest = over_cap
        .iter()
        .min_by_key(|entry| (entry.candidate.cost, entry.candidate.node));
    for rival in runner_up.into_iter().chain(cheapest) {
        flips.extend(cap(scorer, chosen, rival, usable, over_cap));
    }
    flips
}

/// Returns the least share, in parts per million, that lifts the runner-up's score above the
/// chosen one's, where its other parts add up to `rest`; `None` where a million is not enough.
fn needed(scorer: &Scorer, weight: u64, rest: u64, chosen: &Entry<'_>) -> Option<u64> {
    let goal = u64::try_from(chosen.score)
        .ok()?
        .saturating_add(1)
        .saturating_mul(scorer.total());
    let missing = goal.saturating_sub(rest);
    let share = missing
        .checked_next_multiple_of(weight)?
        .checked_div(weight)?;
    (share <= MILLION).then_some(share)
}

/// Returns the largest value whose headroom below `bound` is at least `share`: the inverse of
/// the share of headroom. A bound of zero has no headroom.
fn largest_with(share: u64, bound: u128) -> Option<u128> {
    if bound == 0 {
        return None;
    }
    // ceil(share * bound / 1,000,000), in two parts so that nothing overflows: share <= 1,000,000.
    let million = u128::from(MILLION);
    let share = u128::from(share);
    let whole = bound.checked_div(million)?.checked_mul(share)?;
    let part = bound
        .checked_rem(million)?
        .checked_mul(share)?
        .div_ceil(million);
    bound.checked_sub(whole.checked_add(part)?)
}

fn price(scorer: &Scorer, chosen: &Entry<'_>, runner_up: &Entry<'_>) -> Option<Flip> {
    let share = needed(scorer, scorer.price, runner_up.base, chosen)?;
    let from = runner_up.candidate.cost.get();
    let to = largest_with(share, scorer.cap).filter(|to| *to < from)?;
    Some(flip(Lever::Price, runner_up, from, to))
}

fn latency(scorer: &Scorer, chosen: &Entry<'_>, runner_up: &Entry<'_>) -> Option<Flip> {
    let candidate = runner_up.candidate;
    let rest = scorer
        .price_part(candidate.cost.get())
        .saturating_add(scorer.health_part(candidate));
    let share = needed(scorer, scorer.latency, rest, chosen)?;
    let from = candidate.latency_us.into();
    let to = largest_with(share, scorer.latency_bound.into()).filter(|to| *to < from)?;
    Some(flip(Lever::Latency, runner_up, from, to))
}

fn health(scorer: &Scorer, chosen: &Entry<'_>, runner_up: &Entry<'_>) -> Option<Flip> {
    let candidate = runner_up.candidate;
    let rest = scorer
        .price_part(candidate.cost.get())
        .saturating_add(scorer.latency_part(candidate));
    let share = needed(scorer, scorer.health, rest, chosen)?;
    let from = candidate.health_ppm.into();
    Some(flip(Lever::Health, runner_up, from, share.into()))
}

/// Returns a cap under which `rival` has the highest score.
///
/// All price scores move with the cap, so the closed form is one that suffices between two
/// candidates; that it does so among all is tried out before it is listed.
fn cap(
    scorer: &Scorer,
    chosen: Option<&Entry<'_>>,
    rival: &Entry<'_>,
    usable: &[Entry<'_>],
    over_cap: &[Entry<'_>],
) -> Option<Flip> {
    let to = match chosen {
        Some(chosen) => sufficient_cap(scorer, chosen, rival)?,
        None => rival.candidate.cost.get(),
    };
    let at = scorer.at_cap(to);
    let score = |entry: &Entry<'_>| at.score(entry.candidate.cost.get(), entry.base);
    let best = score(rival);
    let beaten = |entry: &Entry<'_>| {
        entry.candidate.node == rival.candidate.node
            || entry.candidate.cost.get() > to
            || score(entry) < best
    };
    let wins = usable.iter().chain(over_cap).all(beaten);
    wins.then(|| flip(Lever::Cap, rival, scorer.cap, to))
}

/// Returns the cap nearest to the present one that surely puts `rival` above `chosen`.
///
/// With real price shares `1,000,000 * (1 - cost / cap)`, rounding costs the rival less than its
/// price weight and the final division less than the total: it wins where the weighted difference
/// of the price shares is at least `handicap`.
fn sufficient_cap(scorer: &Scorer, chosen: &Entry<'_>, rival: &Entry<'_>) -> Option<u128> {
    let slack = scorer.total().saturating_add(scorer.price);
    let handicap =
        i128::from(slack.saturating_add(chosen.base)).saturating_sub(i128::from(rival.base));
    let (own, theirs) = (rival.candidate.cost.get(), chosen.candidate.cost.get());
    let gain = own
        .abs_diff(theirs)
        .checked_mul(u128::from(scorer.price.saturating_mul(MILLION)))?;
    let distance = handicap.unsigned_abs();
    if own < theirs {
        // A lower cap makes the price count more, and below its cost the chosen one is out.
        let counts_more = if handicap > 0 {
            gain.checked_div(distance)?
        } else {
            0
        };
        Some(counts_more.max(theirs.checked_sub(1)?))
    } else if own > theirs && handicap < 0 {
        // A higher cap makes the price count less.
        Some(gain.div_ceil(distance).max(own))
    } else {
        None
    }
}

const fn flip(what: Lever, entry: &Entry<'_>, from: u128, to: u128) -> Flip {
    Flip {
        what,
        node: entry.candidate.node,
        from,
        to,
    }
}
