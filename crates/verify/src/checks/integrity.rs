//! Checks 4 to 6: nothing was changed since it was signed.

use core::time::Duration;

use seamline_core::SourceClass;
use seamline_core::receipt::{Error, Slot};

use crate::case::Case;
use crate::claim::{Claim, Outcome};

/// How far a receipt's clock may run ahead of the reader's.
const MAX_AHEAD: Duration = Duration::from_secs(300);

pub(super) fn check(case: &mut Case<'_>) {
    let bundle = case.bundle;
    // 4. Leaves and their kinds.
    report(case, Claim::EventsKinds, bundle.check_kinds());
    report(case, Claim::EventsRoot, bundle.check_root());
    // 5. Order and causality.
    report(case, Claim::EventsOrder, bundle.check_order());
    report(case, Claim::EventsCausality, bundle.check_causality());
    report(case, Claim::EvidenceTable, bundle.check_evidence());
    // What does not fit the core says nothing about whether the core is genuine.
    if case.has_failure() {
        return;
    }
    // 6. The signature, under the key that the receipt names.
    match bundle.check_signature() {
        Ok(_) => {
            case.pass(Claim::FormatEnvelope, SourceClass::Recomputed, ());
            case.pass(Claim::ReceiptSignature, SourceClass::Recomputed, ());
        }
        Err(error @ Error::ProtectedHeader) => case.fail(Claim::FormatEnvelope, (), error),
        Err(error) => case.fail(Claim::ReceiptSignature, (), error),
    }
    hidden(case);
    let dropped = case.core().dropped;
    if dropped > 0 {
        let detail = format!("{dropped} events were not recorded because there were too many");
        case.open(Claim::EventsDropped, Outcome::Absent, (), detail);
    }
    // Times never fall, so the last event that is shown is the latest.
    let mut shown = case.slots.iter().rev().filter_map(Slot::recorded);
    let latest = shown.next().map_or(0, |recorded| recorded.dt_us);
    if let Some(latest) = case.wall(latest) {
        let ahead = latest.saturating_since(case.now);
        let wrong = (ahead > MAX_AHEAD).then(|| {
            let ahead = ahead.as_millis();
            format!("its last event is {ahead} ms after now")
        });
        case.recomputed(Claim::ReceiptTime, (), wrong);
    }
}

fn hidden(case: &mut Case<'_>) {
    let slots = case.slots.iter().enumerate();
    let hidden: Vec<String> = slots
        .filter(|(_, slot)| !slot.is_shown())
        .map(|(index, slot)| format!("{index} {}", slot.kind().as_str()))
        .collect();
    if hidden.is_empty() {
        case.pass(Claim::EventsHidden, SourceClass::Recomputed, ());
        return;
    }
    let (count, all) = (hidden.len(), case.slots.len());
    let detail = format!("{count} of {all} events are hidden: {}", hidden.join(", "));
    case.open(Claim::EventsHidden, Outcome::Redacted, (), detail);
}

fn report(case: &mut Case<'_>, claim: Claim, result: Result<(), Error>) {
    case.recomputed(claim, (), result.err());
}
