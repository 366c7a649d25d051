//! The verdict as `seamline receipt verify` prints it.

use core::fmt::Write as _;

use crate::claim::{Finding, Outcome};
use crate::verdict::Verdict;

/// Prints every finding, claim by claim with its source class, then what is not proven, then the
/// verdict. Printable ASCII only; ends with a newline.
pub fn findings_text(verdict: &Verdict) -> String {
    let mut out = String::new();
    if verdict.dev {
        line(&mut out, DEV);
    }
    for finding in &verdict.findings {
        line(&mut out, &finding_line(finding));
    }
    if !verdict.not_proven.is_empty() {
        line(&mut out, "not proven:");
        for sentence in &verdict.not_proven {
            line(&mut out, &format!("  - {sentence}"));
        }
    }
    line(&mut out, &verdict_line(verdict));
    out
}

/// What every printed form of a verdict over development evidence begins with.
pub(crate) const DEV: &str =
    "! development network: software attestation, no hardware behind any of this";

pub(crate) fn verdict_line(verdict: &Verdict) -> String {
    let (level, meaning) = (verdict.level, verdict.level.meaning());
    let (status, reason) = (verdict.status, &verdict.ceiling.reason);
    let dev = if verdict.dev { ", dev" } else { "" };
    match verdict.first_failure() {
        Some(finding) => {
            let (claim, detail) = (finding.claim, &finding.detail);
            format!("verdict: {status} ({level} {meaning}{dev}): {claim} failed: {detail}")
        }
        None => format!("verdict: {status} ({level} {meaning}{dev}); ceiling {level}: {reason}"),
    }
}

fn finding_line(finding: &Finding) -> String {
    let sign = match finding.outcome {
        Outcome::Pass => '=',
        Outcome::Fail => '!',
        Outcome::Absent | Outcome::Stale | Outcome::UncheckedOffline | Outcome::Redacted => '-',
    };
    let (outcome, source) = (finding.outcome, finding.source);
    let (id, sentence) = (finding.claim.id(), finding.claim.sentence());
    let mut text = format!("{sign} {outcome:<17} {id:<24} {sentence} [{source}");
    if let Some(event) = finding.event {
        // Writing to a String cannot fail.
        let _ = write!(text, ", event {event}");
    }
    text.push(']');
    if !finding.detail.is_empty() {
        let _ = write!(text, ": {}", finding.detail);
    }
    text
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
