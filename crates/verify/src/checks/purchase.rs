//! Checks 11 and 20 for purchases from plain servers: one origin, and no node.

use seamline_core::receipt::{EventKind, Offered, Purchased, RequestSent};
use seamline_core::{NodeId, SourceClass, binding};

use crate::case::Case;
use crate::claim::{Claim, Outcome};

/// What belongs to a call of a node: beside it, nothing is a purchase.
const OF_NODES: [EventKind; 7] = [
    EventKind::CatalogueRead,
    EventKind::Decided,
    EventKind::EvidenceFetched,
    EventKind::Attested,
    EventKind::TlsBound,
    EventKind::SignatureChecked,
    EventKind::FellBack,
];

pub(super) fn check(case: &mut Case<'_>) {
    if !is_one(case) {
        return;
    }
    let claim = Claim::DecisionFollowed;
    let routed = [EventKind::RequestSent, EventKind::Offered];
    let hidden = case.hides(EventKind::Purchased) || routed.iter().any(|kind| case.hides(*kind));
    if hidden {
        return case.open(claim, Outcome::Redacted, (), "a routing event is hidden");
    }
    if case.answered() && !case.happened(EventKind::RequestSent) {
        return case.fail(claim, (), "an answer, and nobody was asked");
    }
    match astray(case) {
        Err((index, detail)) => case.fail(claim, index, detail),
        Ok(origin) => {
            let detail =
                format!("a purchase: the caller named {origin}, and nobody else was asked");
            case.add(claim, SourceClass::Asserted, Outcome::Pass, (), detail);
        }
    }
}

/// Whether the receipt is of a purchase.
pub(super) fn is_one(case: &Case<'_>) -> bool {
    case.happened(EventKind::Purchased)
}

/// Why the recorder let the address be paid; `None` where that event is hidden.
pub(super) fn payee(case: &Case<'_>) -> Option<&'static str> {
    let purchases = case.events::<Purchased>();
    let (_, _, purchase) = purchases.first()?;
    Some(match purchase.payee.as_str() {
        "listed" => "the caller listed the address",
        "known" => "the origin was paid at the address before",
        "first" => "the server itself named the address, and was believed for the first time",
        _ => "it is not said why the address was believed",
    })
}

/// The origin that everything went to.
fn astray(case: &Case<'_>) -> Result<String, (usize, &'static str)> {
    if let Some(kind) = OF_NODES.into_iter().find(|kind| case.happened(*kind)) {
        let index = case.last_place(kind).unwrap_or_default();
        return Err((
            index,
            "a purchase has no candidates, no decision and no evidence",
        ));
    }
    let purchases = case.events::<Purchased>();
    let Some(((first, _, purchase), rest)) = purchases.split_first() else {
        return Err((0, "it is not said what was bought"));
    };
    if let Some((index, ..)) = rest.first() {
        return Err((*index, "two purchases in one receipt"));
    }
    let origin = purchase.origin.as_str();
    let node = NodeId::new(binding::origin_id(origin));
    let sent = case.events::<RequestSent>();
    let sent = sent.iter().map(|(index, _, it)| (*index, it.node));
    let offers = case.events::<Offered>();
    let offers = offers.iter().map(|(index, _, it)| (*index, it.node));
    for (index, asked) in sent.chain(offers) {
        if asked != node {
            return Err((index, "it went to another origin than the purchase"));
        }
        if index < *first {
            return Err((index, "it was asked before it was said whom"));
        }
    }
    Ok(origin.to_owned())
}
