//! Checks 18 to 22: everything that can be computed again is computed again.

use core::time::Duration;

use seamline_core::decision::{self, Catalogue, Decision};
use seamline_core::hesitation;
use seamline_core::receipt::{
    CatalogueRead, Compared, Decided, EventKind, FellBack, RequestSent, SummaryPart,
};
use seamline_core::{SourceClass, Timestamp, binding};

use crate::case::{Case, Last};
use crate::claim::{Claim, Outcome};

/// How far a decision's `now` may be from the recorder's clock at its event: what a busy machine
/// needs between reading the clock and writing the event.
const MAX_DRIFT: Duration = Duration::from_secs(10);

pub(super) fn check(case: &mut Case<'_>) {
    // 17. The catalogue.
    for (index, _, read) in case.events::<CatalogueRead>() {
        catalogue(case, index, read);
    }
    if case.hides(EventKind::CatalogueRead) {
        let detail = "the candidates are hidden";
        case.open(Claim::CatalogueRoot, Outcome::Redacted, (), detail);
    }
    // 18-19. Every decision.
    for (index, dt_us, decided) in case.events::<Decided>() {
        decision(case, index, dt_us, decided);
    }
    if case.hides(EventKind::Decided) {
        let detail = "a decision is hidden";
        case.open(Claim::DecisionReplay, Outcome::Redacted, (), detail);
    }
    // 20. What was decided was done.
    let routed = [EventKind::RequestSent, EventKind::FellBack];
    if super::purchase::is_one(case) {
        super::purchase::check(case);
    } else if case.answered() || routed.into_iter().any(|kind| case.happened(kind)) {
        followed(case);
    }
    // 21. What was signed about the events.
    summary(case);
    hesitations(case);
}

fn catalogue(case: &mut Case<'_>, index: usize, read: &CatalogueRead) {
    let wrong = match Catalogue::decode(&read.candidates) {
        Ok(catalogue) if catalogue.root() == read.root => None,
        Ok(_) => Some("the root comes out otherwise".to_owned()),
        Err(error) => Some(format!("the candidates cannot be read: {error}")),
    };
    case.recomputed(Claim::CatalogueRoot, index, wrong);
    let claim = Claim::CatalogueRegistry;
    match case.trust.network {
        Some(network) if network.chain_id == read.chain_id && network.registry == read.registry => {
            case.pass(claim, SourceClass::Recomputed, index);
        }
        Some(_) => {
            let (registry, chain) = (read.registry, read.chain_id);
            let detail = format!("the nodes are those of {registry} on chain {chain}");
            case.fail(claim, index, detail);
        }
        None => {
            let detail = "your trust file names no registry";
            case.open(claim, Outcome::Absent, index, detail);
        }
    }
    let detail = format!("ask the chain about block {}", read.block_number);
    let claim = Claim::CatalogueOnChain;
    case.open(claim, Outcome::UncheckedOffline, index, detail);
}

fn decision(case: &mut Case<'_>, index: usize, dt_us: u64, decided: &Decided) {
    if let Some(opened) = case.opened {
        let committed = binding::draw_commitment(&decided.draw) == opened.draw_commitment;
        let wrong = (!committed).then_some("it is another draw");
        case.recomputed(Claim::DecisionDraw, index, wrong);
    }
    let now = Timestamp::from_millis(decided.now_ms);
    if let Some(wall) = case.wall(dt_us) {
        let drift = now.saturating_since(wall).max(wall.saturating_since(now));
        let wrong = (drift > MAX_DRIFT).then(|| format!("it is {} ms off", drift.as_millis()));
        case.recomputed(Claim::DecisionTime, index, wrong);
    }
    let claim = Claim::DecisionReplay;
    if decided.engine != decision::ENGINE {
        let engine = decided.engine.as_str();
        let detail = format!("engine {engine} is not known to this verifier");
        return case.open(claim, Outcome::Absent, index, detail);
    }
    let Some(route) = &case.route else {
        return case.open(
            claim,
            Outcome::Redacted,
            index,
            "the route policy is missing",
        );
    };
    let candidates = match case.catalogue_before(index) {
        Last::Shown(candidates) => candidates,
        Last::Hidden => {
            let detail = "the candidates are hidden";
            return case.open(claim, Outcome::Redacted, index, detail);
        }
        Last::Never => return case.fail(claim, index, "the candidates are missing"),
    };
    let replayed = decision::decide(route, &candidates, now, &decided.draw);
    let wrong = match Decision::decode(&decided.decision) {
        Ok(recorded) => difference(&recorded, &replayed).or_else(|| {
            let differs = replayed.encode() != decided.decision;
            differs.then_some("the encoding")
        }),
        Err(_) => Some("everything: it cannot be read"),
    };
    let wrong = wrong.map(|what| format!("replayed otherwise: {what}"));
    case.recomputed(claim, index, wrong);
}

/// The first part in which two decisions differ.
fn difference(a: &Decision, b: &Decision) -> Option<&'static str> {
    [
        ("candidates", a.candidates != b.candidates),
        ("usable", a.usable != b.usable),
        ("chosen", a.chosen != b.chosen),
        ("runner-up", a.runner_up != b.runner_up),
        ("margin", a.margin_ppm != b.margin_ppm),
        ("deciding key", a.deciding != b.deciding),
        ("propensity", a.propensity != b.propensity),
        ("rank", a.rank != b.rank),
        ("flips", a.flips != b.flips),
    ]
    .into_iter()
    .find_map(|(what, differs)| differs.then_some(what))
}

/// Requests go to the chosen node, and after a fallback to the next in rank.
fn followed(case: &mut Case<'_>) {
    let claim = Claim::DecisionFollowed;
    let hidden = [
        EventKind::Decided,
        EventKind::RequestSent,
        EventKind::FellBack,
    ];
    if hidden.into_iter().any(|kind| case.hides(kind)) {
        return case.open(claim, Outcome::Redacted, (), "a routing event is hidden");
    }
    if case.answered() && !case.happened(EventKind::RequestSent) {
        return case.fail(claim, (), "an answer, and nobody was asked");
    }
    // Whom it asked is the recorder's word, and stays open where it does not say that it is a purchase.
    let chose = case.happened(EventKind::Decided) || case.happened(EventKind::CatalogueRead);
    if !chose && case.happened(EventKind::RequestSent) {
        let detail = "nothing was decided: whom to ask was the caller's word";
        return case.open(claim, Outcome::Absent, (), detail);
    }
    match detour(case) {
        None => case.pass(claim, SourceClass::Recomputed, ()),
        Some((index, detail)) => case.fail(claim, index, detail),
    }
}

/// The first event that leaves the decided way.
fn detour(case: &Case<'_>) -> Option<(usize, &'static str)> {
    let mut rank = Vec::new();
    // The node that is to be asked: the chosen one, or the one last fallen back to.
    let mut expected = None;
    for (index, slot) in case.slots.iter().enumerate() {
        let Some(event) = slot.event() else { continue };
        if let Some(decided) = event.get::<Decided>() {
            let decision = Decision::decode(&decided.decision).ok();
            expected = decision.as_ref().and_then(|decision| decision.chosen);
            rank = decision.map(|decision| decision.rank).unwrap_or_default();
        }
        if let Some(sent) = event.get::<RequestSent>()
            && expected != Some(sent.node)
        {
            return Some((index, "a request went to another node than decided"));
        }
        if let Some(fell) = event.get::<FellBack>() {
            let place = |node| rank.iter().position(|ranked| *ranked == node);
            let further = place(fell.from) < place(fell.to) && place(fell.from).is_some();
            if !further || expected != Some(fell.from) {
                return Some((index, "the fallback does not follow the decided order"));
            }
            expected = Some(fell.to);
        }
    }
    None
}

fn summary(case: &mut Case<'_>) {
    let compared = case.core().summary.compare(&case.slots);
    for (part, compared) in compared {
        let claim = match part {
            SummaryPart::Decisions => Claim::SummaryDecisions,
            SummaryPart::Outcome => Claim::SummaryOutcome,
            SummaryPart::Cost => Claim::SummaryCost,
            SummaryPart::CatalogueRoot => Claim::SummaryCatalogue,
            SummaryPart::Dev => Claim::SummaryDev,
        };
        match compared {
            Compared::Equal => case.pass(claim, SourceClass::Recomputed, ()),
            Compared::Different => case.fail(claim, (), "the events say otherwise"),
            Compared::Hidden => {
                case.open(claim, Outcome::Redacted, (), "its events are hidden");
            }
        }
    }
}

fn hesitations(case: &mut Case<'_>) {
    let claim = Claim::Hesitations;
    let comparison = hesitation::compare(&case.core().summary.hesitations, &case.slots);
    let names = |codes: &[hesitation::Code]| {
        let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        names.join(", ")
    };
    if !comparison.different.is_empty() {
        let detail = format!("differing: {}", names(&comparison.different));
        case.fail(claim, (), detail);
    } else if !comparison.hidden.is_empty() {
        let detail = format!("not comparable: {}", names(&comparison.hidden));
        case.open(claim, Outcome::Redacted, (), detail);
    } else {
        case.pass(claim, SourceClass::Recomputed, ());
    }
}
