//! A refusal in words, as a code, and whose fault it is.

use seamline_core::decision::Rejection;
use seamline_core::{Fault, NodeId};
use seamline_evm::policy::{NotAdmitted, Refusal};

pub(super) fn rejected_text(rejected: &[(NodeId, Rejection)]) -> String {
    let parts: Vec<_> = rejected
        .iter()
        .map(|(node, why)| format!("{} {}", node.short(), why.name()))
        .collect();
    parts.join(", ")
}

pub(crate) fn refusal_text(refused: &NotAdmitted) -> String {
    nearest(refused).map_or_else(
        || "it makes none".to_owned(),
        |why| printable(&why.to_string()),
    )
}

/// A node's words in printable ASCII, cut to a line: no control characters and escapes of terminals.
fn printable(text: &str) -> String {
    const MAX: usize = 200;
    let cut = text.chars().take(MAX);
    cut.flat_map(|c| match c {
        ' '..='~' => vec![c],
        _ => c.escape_default().collect(),
    })
    .collect()
}

/// The code of the refusal nearest to being admitted: the budget's if a cap was all that stood in
/// the way, otherwise the first.
pub(crate) fn refusal_code(refused: &NotAdmitted) -> &'static str {
    match nearest(refused) {
        None => "offer.none",
        Some(Refusal::Amount { .. }) => "offer.amount",
        Some(Refusal::Asset { .. }) => "offer.asset",
        Some(Refusal::Facilitator { .. } | Refusal::FacilitatorMissing) => "offer.facilitator",
        Some(Refusal::Flow { .. }) => "offer.flow",
        Some(Refusal::Lifetime { .. }) => "offer.lifetime",
        Some(Refusal::Method { .. }) => "offer.method",
        Some(Refusal::Network { .. }) => "offer.network",
        Some(Refusal::PayTo { .. }) => "offer.pay_to",
        Some(Refusal::PerCall { .. }) => "offer.per_call",
        Some(Refusal::PerDay { .. }) => "offer.per_day",
        Some(Refusal::PerHour { .. }) => "offer.per_hour",
        Some(Refusal::PerModelDay { .. }) => "offer.per_model_day",
        Some(Refusal::PerNodeDay { .. }) => "offer.per_node_day",
        Some(Refusal::Scheme { .. }) => "offer.scheme",
        Some(_) => "offer.refused",
    }
}

/// A cap is the caller's own choice; every other refusal is about what the node asked for.
const fn is_cap(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::PerCall { .. }
            | Refusal::PerHour { .. }
            | Refusal::PerDay { .. }
            | Refusal::PerNodeDay { .. }
            | Refusal::PerModelDay { .. }
    )
}

fn nearest(refused: &NotAdmitted) -> Option<&Refusal> {
    let cap = refused.refusals.iter().find(|refusal| is_cap(refusal));
    cap.or_else(|| refused.refusals.first())
}

pub(crate) fn refusal_fault(refused: &NotAdmitted) -> Fault {
    if nearest(refused).is_some_and(is_cap) {
        Fault::Caller
    } else {
        Fault::Node
    }
}
