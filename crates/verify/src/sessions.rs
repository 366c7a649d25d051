//! Several receipts of one payment channel: their places must not overlap (`spec/receipt.md`, "Sessions").

use std::collections::BTreeMap;

use seamline_core::receipt::{Bundle, VoucherCharged, events_of};
use seamline_core::{Amount, B256, SourceClass};

use crate::claim::{Claim, Finding, Outcome};

/// A call's place in a channel: what the calls before it were charged, and what it brought the total to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    from: Amount,
    to: Amount,
    receipt: B256,
}

/// Checks that the charges of receipts do not overlap in the channels that they share: one finding per
/// channel of which there are two or more, in the order of the channels' ids.
///
/// A receipt that is there twice counts once. What each receipt says by itself is [`crate::verify`]'s to
/// check. A gap between two places is no failure: the receipts of other calls of the channel are missing.
///
/// # Cost
///
/// That of sorting the charges.
pub fn verify_sessions(receipts: &[Bundle]) -> Vec<Finding> {
    let mut channels: BTreeMap<B256, Vec<Place>> = BTreeMap::new();
    for bundle in receipts {
        let slots = bundle.slots();
        for (_, _, charged) in events_of::<VoucherCharged>(&slots) {
            let to = charged.charged_after;
            // A charge beyond its own total is refuted with its receipt.
            let from = to.checked_sub(charged.amount).unwrap_or(to);
            let receipt = bundle.receipt_hash();
            let places = channels.entry(charged.channel).or_default();
            places.push(Place { from, to, receipt });
        }
    }
    channels
        .into_iter()
        .filter_map(|(channel, places)| judge(&channel, places))
        .collect()
}

fn judge(channel: &B256, mut places: Vec<Place>) -> Option<Finding> {
    places.sort_unstable();
    places.dedup();
    // What cost nothing takes no place.
    let count = places.len();
    places.retain(|place| place.from < place.to);
    if count < 2 {
        return None;
    }
    let pairs = || places.iter().zip(places.iter().skip(1));
    let overlap = pairs().find(|(one, next)| next.from < one.to);
    let gap = pairs().find(|(one, next)| next.from > one.to);
    let (source, outcome, detail) = match (overlap, gap) {
        (Some((one, next)), _) => {
            let (a, b) = (short(&one.receipt), short(&next.receipt));
            let detail = format!(
                "channel {}: receipt {a} has {} to {}, receipt {b} has {} to {}",
                short(channel),
                one.from,
                one.to,
                next.from,
                next.to
            );
            (SourceClass::Failed, Outcome::Fail, detail)
        }
        (None, Some((one, next))) => {
            let detail = format!(
                "channel {}: what was charged from {} to {} is in none of these receipts",
                short(channel),
                one.to,
                next.from
            );
            (SourceClass::NotChecked, Outcome::Absent, detail)
        }
        (None, None) => {
            let detail = format!("channel {}: {count} calls", short(channel));
            (SourceClass::Recomputed, Outcome::Pass, detail)
        }
    };
    Some(Finding {
        claim: Claim::SessionPlaces,
        source,
        outcome,
        event: None,
        detail,
    })
}

fn short(hash: &B256) -> String {
    hash.to_string().chars().skip(2).take(8).collect()
}

#[cfg(test)]
mod tests;
