//! One receipt under examination: what was decoded, what is trusted, what was found.

use std::fmt::Display;

use seamline_core::decision::{Catalogue, RoutePolicy};
use seamline_core::receipt::{
    Bundle, CatalogueRead, Closed, Core, EventBody, EventKind, Opened, Outcome as CallOutcome,
    RecordSeen, SettlementSeen, Slot, events_of,
};
use seamline_core::{B256, SourceClass, Timestamp};
use seamline_evm::policy::SpendPolicy;

use crate::claim::{Claim, Finding, Outcome};
use crate::trust::Trust;

pub(crate) struct Case<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) trust: &'a Trust,
    pub(crate) now: Timestamp,
    pub(crate) slots: Vec<Slot<'a>>,
    pub(crate) opened: Option<&'a Opened>,
    pub(crate) route: Option<RoutePolicy>,
    pub(crate) spend: Option<SpendPolicy>,
    pub(crate) findings: Vec<Finding>,
    /// What became known after the receipt was sealed, oldest first: when, and what.
    pub(crate) amended: Vec<(u64, SettlementSeen)>,
    /// What became known later about the answer's record, oldest first.
    pub(crate) recorded: Vec<RecordSeen>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(bundle: &'a Bundle, trust: &'a Trust, now: Timestamp) -> Self {
        let slots = bundle.slots();
        let opened = slots.first().and_then(|slot| slot.event()?.get::<Opened>());
        Self {
            bundle,
            trust,
            now,
            route: opened.and_then(|it| RoutePolicy::decode(&it.route_policy).ok()),
            spend: opened.and_then(|it| SpendPolicy::decode(&it.spend_policy).ok()),
            slots,
            opened,
            findings: Vec::new(),
            amended: Vec::new(),
            recorded: Vec::new(),
        }
    }

    pub(crate) const fn core(&self) -> &'a Core {
        self.bundle.core()
    }

    /// The shown events of one kind.
    pub(crate) fn events<T: EventBody + 'a>(&self) -> Vec<(usize, u64, &'a T)> {
        events_of(&self.slots).collect()
    }

    /// The last event of one kind before `index` of which `wanted` is true.
    pub(crate) fn last_before<T: EventBody + 'a>(
        &self,
        index: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Last<&'a T> {
        let before = self.slots.get(..index).unwrap_or_default();
        for slot in before.iter().rev().filter(|slot| slot.kind() == T::KIND) {
            match slot.event().and_then(|event| event.get::<T>()) {
                Some(event) if wanted(event) => return Last::Shown(event),
                Some(_) => {}
                None => return Last::Hidden,
            }
        }
        Last::Never
    }

    /// Where an event of this kind last happened, shown or hidden.
    pub(crate) fn last_place(&self, kind: EventKind) -> Option<usize> {
        self.slots.iter().rposition(|slot| slot.kind() == kind)
    }

    /// Where an event of this kind last happened before `index`, shown or hidden.
    pub(crate) fn last_place_before(&self, kind: EventKind, index: usize) -> Option<usize> {
        let before = self.slots.get(..index).unwrap_or_default();
        before.iter().rposition(|slot| slot.kind() == kind)
    }

    /// Whether an event of this kind happened, shown or hidden.
    pub(crate) fn happened(&self, kind: EventKind) -> bool {
        self.core().kinds.contains(&kind)
    }

    /// Whether an event of this kind is hidden.
    pub(crate) fn hides(&self, kind: EventKind) -> bool {
        let hidden = |slot: &Slot<'_>| !slot.is_shown() && slot.kind() == kind;
        self.slots.iter().any(hidden)
    }

    /// The recorder's wall clock at `dt_us` after the open event.
    pub(crate) fn wall(&self, dt_us: u64) -> Option<Timestamp> {
        let opened = self.opened?.wall_ms;
        Some(Timestamp::from_millis(opened.saturating_add(dt_us / 1_000)))
    }

    /// The catalogue that was last read before `index`; one that cannot be read counts as none.
    pub(crate) fn catalogue_before(&self, index: usize) -> Last<Catalogue> {
        match self.last_before::<CatalogueRead>(index, |_| true) {
            Last::Shown(read) => {
                Catalogue::decode(&read.candidates).map_or(Last::Never, Last::Shown)
            }
            Last::Hidden => Last::Hidden,
            Last::Never => Last::Never,
        }
    }

    /// How the call ended, where that is shown.
    pub(crate) fn closed(&self) -> Option<&'a Closed> {
        self.slots.last()?.event()?.get()
    }

    /// Whether the caller is said to have received an answer.
    pub(crate) fn answered(&self) -> bool {
        self.closed()
            .is_some_and(|closed| closed.outcome == CallOutcome::Answered)
    }

    pub(crate) fn blob(&self, hash: &B256) -> Option<&'a [u8]> {
        self.bundle.evidence(hash)
    }

    /// Whether a claim was found to be wrong.
    pub(crate) fn has_failure(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.outcome == Outcome::Fail)
    }

    // Reporting

    pub(crate) fn pass(&mut self, claim: Claim, source: SourceClass, at: impl Into<At>) {
        self.add(claim, source, Outcome::Pass, at, "");
    }

    pub(crate) fn fail(&mut self, claim: Claim, at: impl Into<At>, detail: impl Display) {
        self.add(claim, SourceClass::Failed, Outcome::Fail, at, detail);
    }

    /// Reports a claim that could not be checked.
    pub(crate) fn open(
        &mut self,
        claim: Claim,
        outcome: Outcome,
        at: impl Into<At>,
        detail: impl Display,
    ) {
        self.add(claim, SourceClass::NotChecked, outcome, at, detail);
    }

    /// Reports a claim that was computed again, and says what is wrong if it is.
    pub(crate) fn recomputed(
        &mut self,
        claim: Claim,
        at: impl Into<At>,
        wrong: Option<impl Display>,
    ) {
        match wrong {
            None => self.pass(claim, SourceClass::Recomputed, at),
            Some(detail) => self.fail(claim, at, detail),
        }
    }

    pub(crate) fn add(
        &mut self,
        claim: Claim,
        source: SourceClass,
        outcome: Outcome,
        at: impl Into<At>,
        detail: impl Display,
    ) {
        let At(event) = at.into();
        self.findings.push(Finding {
            claim,
            source,
            outcome,
            event,
            detail: printable(&detail.to_string()),
        });
    }
}

/// The last event of a kind, as far as the file shows it. A hidden event in between may be the one
/// that is looked for: then neither a success nor a failure follows.
pub(crate) enum Last<T> {
    Shown(T),
    Hidden,
    Never,
}

/// The event that a finding is about: an index, or `()` for none.
pub(crate) struct At(Option<u32>);

impl From<()> for At {
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl From<usize> for At {
    fn from(index: usize) -> Self {
        Self(u32::try_from(index).ok())
    }
}

/// Text of others in printable ASCII, cut to a line: control characters, escapes of terminals and
/// look-alike letters stay out of every output.
pub(crate) fn printable(text: &str) -> String {
    const MAX: usize = 200;
    let mut out = String::with_capacity(text.len().min(MAX));
    for c in text.chars() {
        if out.len() >= MAX {
            out.push_str("...");
            break;
        }
        match c {
            ' '..='~' => out.push(c),
            _ => out.extend(c.escape_default()),
        }
    }
    out
}
