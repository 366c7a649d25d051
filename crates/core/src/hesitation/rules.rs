//! The rules: each code as a pure function over the events that a reader sees.

use std::collections::BTreeMap;

use alloy_primitives::U256;

use super::{Code, Hesitation, Severity};
use crate::decision::{Catalogue, DecidingKey, Decision, Rejection, RoutePolicy, Verdict};
use crate::receipt::{
    Admitted, Asserted, Attested, CatalogueRead, ClockRead, Closed, Decided, EventBody,
    EvidenceFetched, FellBack, Offered, Opened, ResponseEnded, Retried, SettlementSeen,
    SettlementState, SignatureChecked, Slot, Stalled, events_of,
};

/// What a rule found at one event.
#[derive(Clone, Copy)]
struct Found {
    event: usize,
    severity: Severity,
    arg: i64,
    limit: i64,
}

/// How a signed list of hesitations compares with the computed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Codes whose signed and computed entries differ, or that stand on one side only.
    pub different: Vec<Code>,
    /// Codes that cannot be computed because an event that they read is hidden.
    pub hidden: Vec<Code>,
}

/// Computes the hesitations of a call: at most one per code, its worst occurrence, the earliest
/// where several are equally bad; sorted by event and code.
///
/// Hidden events count as absent; [`compare`] knows which codes that spoils.
pub fn of(slots: &[Slot<'_>]) -> Vec<Hesitation> {
    let mut list: Vec<Hesitation> = Code::ALL
        .iter()
        .filter_map(|&code| worst(code, slots))
        .collect();
    list.sort_unstable();
    list
}

/// Compares a signed list with what the visible events give, leaving out the codes of which an
/// event is hidden.
pub fn compare(signed: &[Hesitation], slots: &[Slot<'_>]) -> Comparison {
    let computed = of(slots);
    let mut comparison = Comparison {
        different: Vec::new(),
        hidden: Vec::new(),
    };
    for &code in Code::ALL {
        let reads = code.rule().reads;
        let hidden = |slot: &Slot<'_>| !slot.is_shown() && reads.contains(&slot.kind());
        if slots.iter().any(hidden) {
            comparison.hidden.push(code);
            continue;
        }
        let of_code = |list: &[Hesitation]| -> Vec<Hesitation> {
            let same = list.iter().filter(|entry| entry.code == code);
            same.copied().collect()
        };
        if of_code(signed) != of_code(&computed) {
            comparison.different.push(code);
        }
    }
    // The list has one order, so that it has one encoding.
    if !signed.is_sorted()
        && let Some(first) = signed.first()
    {
        comparison.different.push(first.code);
    }
    comparison
}

fn worst(code: Code, slots: &[Slot<'_>]) -> Option<Hesitation> {
    let found = match code {
        Code::Tie => decisions(slots, code, margin),
        Code::Thin => decisions(slots, code, |decision| Some(i64::from(decision.usable))),
        Code::Cooled => decisions(slots, code, cooling),
        Code::Explored => decisions(slots, code, explored),
        Code::CapNear => cap_near(slots),
        Code::QuoteDrift => quote_drift(slots),
        Code::Requote => requote(slots),
        Code::Retry => retry(slots),
        Code::Backoff => backoff(slots).into_iter().collect(),
        Code::Fallback => fallback(slots),
        Code::SettleWait => settle_wait(slots).into_iter().collect(),
        Code::SettleUnknown => settle_unknown(slots).into_iter().collect(),
        Code::PayLate => pay_late(slots).into_iter().collect(),
        Code::AttStale => each(slots, code, |fetched: &EvidenceFetched| {
            let bound = u128::from(fetched.max_age_ms.max(1));
            ppm(u128::from(fetched.age_ms), bound)
        }),
        Code::AttCached => each(slots, code, |fetched: &EvidenceFetched| {
            (!fetched.fetched_for_this_call).then_some(signed(fetched.age_ms))
        }),
        Code::CertNear => cert_near(slots),
        Code::SigLate => signature_late(slots),
        Code::Stall => stall(slots),
        Code::Clock => each(slots, code, |clock: &ClockRead| {
            Some(clock.skew_ms.saturating_abs())
        }),
        Code::RegStale => each(slots, code, |read: &CatalogueRead| {
            Some(signed(read.read_age_ms))
        }),
        Code::SaySo => say_so(slots),
    };
    let badness = |found: &Found| {
        // Further beyond the threshold is worse; on equal terms the earlier event is reported.
        let beyond = found.arg.abs_diff(found.limit);
        (found.severity, beyond, core::cmp::Reverse(found.event))
    };
    let worst = found.into_iter().max_by_key(badness)?;
    Some(Hesitation {
        event: u32::try_from(worst.event).unwrap_or(u32::MAX),
        code,
        severity: worst.severity,
        arg: worst.arg,
        limit: worst.limit,
    })
}

/// Measures `value` against the thresholds of `code`.
fn measured(code: Code, event: usize, value: i64) -> Option<Found> {
    let (severity, limit) = code.rule().severity(value)?;
    Some(found(event, severity, value, limit))
}

const fn found(event: usize, severity: Severity, arg: i64, limit: i64) -> Found {
    Found {
        event,
        severity,
        arg,
        limit,
    }
}

/// For rules that look at one event at a time.
fn each<T: EventBody>(
    slots: &[Slot<'_>],
    code: Code,
    value: impl Fn(&T) -> Option<i64>,
) -> Vec<Found> {
    events_of::<T>(slots)
        .filter_map(|(index, _, event)| measured(code, index, value(event)?))
        .collect()
}

/// For rules that look at one decision at a time.
fn decisions(slots: &[Slot<'_>], code: Code, value: fn(&Decision) -> Option<i64>) -> Vec<Found> {
    each(slots, code, |decided: &Decided| {
        value(&Decision::decode(&decided.decision).ok()?)
    })
}

fn margin(decision: &Decision) -> Option<i64> {
    let close = match decision.deciding {
        DecidingKey::Score | DecidingKey::Tie => decision.usable >= 2,
        DecidingKey::Nothing | DecidingKey::Only | DecidingKey::Explored => false,
    };
    close.then_some(i64::from(decision.margin_ppm))
}

fn cooling(decision: &Decision) -> Option<i64> {
    let cooling = decision.candidates.iter().filter(|candidate| {
        matches!(
            candidate.verdict,
            Verdict::Rejected {
                reason: Rejection::Cooling,
                ..
            }
        )
    });
    ppm(wide(cooling.count()), wide(decision.candidates.len()))
}

fn explored(decision: &Decision) -> Option<i64> {
    let (numerator, denominator) = decision.propensity;
    let share = ppm(u128::from(numerator), u128::from(denominator))?;
    (decision.deciding == DecidingKey::Explored).then_some(share)
}

fn cap_near(slots: &[Slot<'_>]) -> Vec<Found> {
    let opened = events_of::<Opened>(slots).next();
    let policy = opened.and_then(|(_, _, opened)| RoutePolicy::decode(&opened.route_policy).ok());
    let Some(cap) = policy.map(|policy| policy.cap.get()) else {
        return Vec::new();
    };
    each(slots, Code::CapNear, |admitted: &Admitted| {
        let amount = admitted.amount.get();
        match cap.checked_sub(amount) {
            Some(left) => ppm(left, cap),
            None => ppm(amount.saturating_sub(cap), cap.max(1)).map(i64::saturating_neg),
        }
    })
}

fn quote_drift(slots: &[Slot<'_>]) -> Vec<Found> {
    let drift = |index: usize, admitted: &Admitted| {
        let before = slots.get(..index)?;
        let asked = usize::try_from(admitted.offer_event).ok()?;
        let offered = before.get(asked)?.event()?.get::<Offered>()?;
        let (_, _, read) = events_of::<CatalogueRead>(before).next_back()?;
        let catalogue = Catalogue::decode(&read.candidates).ok()?;
        let mut candidates = catalogue.candidates().iter();
        let listed = candidates.find(|it| it.node == offered.node)?.cost.get();
        let above = admitted.amount.get().saturating_sub(listed);
        ppm(above, listed.max(1))
    };
    events_of::<Admitted>(slots)
        .filter_map(|(index, _, it)| measured(Code::QuoteDrift, index, drift(index, it)?))
        .collect()
}

fn requote(slots: &[Slot<'_>]) -> Vec<Found> {
    let mut last = BTreeMap::new();
    let mut changes = BTreeMap::<_, i64>::new();
    let mut found = Vec::new();
    for (index, _, offered) in events_of::<Offered>(slots) {
        let before = last.insert(offered.node, offered.offer);
        if before.is_some_and(|offer| offer != offered.offer) {
            let count = changes.entry(offered.node).or_default();
            *count = count.saturating_add(1);
            found.extend(measured(Code::Requote, index, *count));
        }
    }
    found
}

fn retry(slots: &[Slot<'_>]) -> Vec<Found> {
    (1..)
        .zip(events_of::<Retried>(slots))
        .filter_map(|(count, (index, ..))| measured(Code::Retry, index, count))
        .collect()
}

fn say_so(slots: &[Slot<'_>]) -> Vec<Found> {
    (1..)
        .zip(events_of::<Asserted>(slots))
        .filter_map(|(count, (index, ..))| measured(Code::SaySo, index, count))
        .collect()
}

fn backoff(slots: &[Slot<'_>]) -> Option<Found> {
    let (last, ..) = events_of::<Retried>(slots).next_back()?;
    let (_, total_us, _) = events_of::<Closed>(slots).next_back()?;
    let waited_us = events_of::<Retried>(slots)
        .map(|(_, _, retried)| u128::from(retried.wait_ms).saturating_mul(1_000))
        .fold(0, u128::saturating_add);
    let share = ppm(waited_us, u128::from(total_us.max(1)))?;
    measured(Code::Backoff, last, share)
}

fn fallback(slots: &[Slot<'_>]) -> Vec<Found> {
    let first = events_of::<Decided>(slots).next();
    let decision = first.and_then(|(_, _, decided)| Decision::decode(&decided.decision).ok());
    let last = decision.and_then(|decision| decision.rank.last().copied());
    (2..)
        .zip(events_of::<FellBack>(slots))
        .filter_map(|(rank, (event, _, fell))| {
            if Some(fell.to) == last {
                return Some(found(event, Severity::Error, rank, rank));
            }
            measured(Code::Fallback, event, rank)
        })
        .collect()
}

fn settle_wait(slots: &[Slot<'_>]) -> Option<Found> {
    let (event, _, seen) = events_of::<SettlementSeen>(slots).next_back()?;
    let waited = signed(seen.waited_ms);
    match seen.state {
        SettlementState::Submitted | SettlementState::Unknown => {
            Some(found(event, Severity::Error, waited, 0))
        }
        SettlementState::None
        | SettlementState::Authorized
        | SettlementState::Settled
        | SettlementState::NotSettled
        | SettlementState::Superseded => measured(Code::SettleWait, event, waited),
    }
}

fn settle_unknown(slots: &[Slot<'_>]) -> Option<Found> {
    let code = Code::SettleUnknown;
    let settlements = || events_of::<SettlementSeen>(slots);
    let mut answers = settlements().filter(|(_, _, seen)| {
        matches!(
            seen.state,
            SettlementState::Settled | SettlementState::NotSettled
        )
    });
    if let Some((_, _, first)) = answers.next() {
        let says = |seen: &SettlementSeen| (seen.state, seen.transaction);
        if let Some((event, ..)) = answers.find(|(_, _, other)| says(other) != says(first)) {
            return Some(found(event, Severity::Error, 2, 1));
        }
    }
    let mut open = settlements().filter(|it| it.2.state == SettlementState::Unknown);
    let (event, since, _) = open.next()?;
    let millis = |until: u64| signed(until.saturating_sub(since) / 1_000);
    let mut later = settlements().filter(|(index, ..)| *index > event);
    if let Some((_, at, _)) = later.find(|it| it.2.state.is_final()) {
        return measured(code, event, millis(at));
    }
    let end = events_of::<Closed>(slots).next_back();
    let waited = end.map_or(0, |(_, at, _)| millis(at));
    let [_, limit, _] = code.rule().limits;
    Some(found(event, Severity::Warn, waited, limit.unwrap_or(0)))
}

fn pay_late(slots: &[Slot<'_>]) -> Option<Found> {
    let (ended, since, _) = events_of::<ResponseEnded>(slots).next()?;
    let mut settled = events_of::<SettlementSeen>(slots)
        .filter(|(index, _, seen)| *index > ended && seen.state == SettlementState::Settled);
    let (index, at, _) = settled.next()?;
    let late = signed(at.saturating_sub(since) / 1_000);
    measured(Code::PayLate, index, late)
}

fn cert_near(slots: &[Slot<'_>]) -> Vec<Found> {
    let Some((_, _, opened)) = events_of::<Opened>(slots).next() else {
        return Vec::new();
    };
    events_of::<Attested>(slots)
        .filter_map(|(index, dt_us, verdict)| {
            let now = opened.wall_ms.saturating_add(dt_us / 1_000);
            let left = signed(verdict.leaf_not_after_ms).saturating_sub(signed(now));
            measured(Code::CertNear, index, left)
        })
        .collect()
}

fn signature_late(slots: &[Slot<'_>]) -> Vec<Found> {
    events_of::<SignatureChecked>(slots)
        .filter_map(|(index, _, checked)| {
            let found = measured(Code::SigLate, index, signed(checked.after_use_bytes))?;
            let severity = if checked.ok {
                found.severity
            } else {
                Severity::Error
            };
            Some(Found { severity, ..found })
        })
        .collect()
}

fn stall(slots: &[Slot<'_>]) -> Vec<Found> {
    events_of::<Stalled>(slots)
        .filter_map(|(index, _, stalled)| {
            let gap = signed(stalled.gap_us);
            let usual = signed(stalled.median_us.saturating_mul(5));
            let long = stalled.median_us > 0 && gap > usual;
            let notice = long.then_some(found(index, Severity::Notice, gap, usual));
            measured(Code::Stall, index, gap).or(notice)
        })
        .collect()
}

/// `part` of `whole` in parts per million, rounded down and held at the end of the type; `None`
/// of nothing.
fn ppm(part: u128, whole: u128) -> Option<i64> {
    let share = U256::from(part)
        .checked_mul(U256::from(1_000_000u32))?
        .checked_div(U256::from(whole))?;
    Some(i64::try_from(share).unwrap_or(i64::MAX))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn wide(count: usize) -> u128 {
    u128::try_from(count).unwrap_or(u128::MAX)
}
