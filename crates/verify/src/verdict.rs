//! Levels, status, and what a receipt does not prove.

use seamline_core::B256;

use crate::claim::{Claim, Finding, Outcome};

/// How far a receipt is borne out. Levels build on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Refuted: a claim is wrong.
    X,
    /// Unreadable.
    L0,
    /// Intact: nothing was changed since it was signed, by whomever.
    L1,
    /// Attributed: a key that the reader trusts signed it, for the call that it was opened for.
    L2,
    /// Corroborated: what other parties signed bears it out, and what can be computed again comes
    /// out the same.
    L3,
}

impl Level {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X => "X",
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
        }
    }

    /// The level in a word for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::X => "refuted",
            Self::L0 => "unreadable",
            Self::L1 => "intact",
            Self::L2 => "attributed",
            Self::L3 => "corroborated",
        }
    }

    /// The level that a word names.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::L1, Self::L2, Self::L3]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

impl core::fmt::Display for Level {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the reader may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Everything that was asked for was checked and holds.
    Satisfied,
    /// Something is wrong.
    Refuted,
    /// Nothing is wrong, but something that was asked for could not be checked.
    Incomplete,
}

impl Status {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::Refuted => "refuted",
            Self::Incomplete => "incomplete",
        }
    }

    /// The exit code of `seamline receipt verify`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Satisfied => 0,
            Self::Refuted => 1,
            Self::Incomplete => 3,
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The highest level that this receipt can reach, and why no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The level.
    pub level: Level,
    /// Why not the next one.
    pub reason: String,
}

/// What came of verifying a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the reader may conclude.
    pub status: Status,
    /// How far the receipt is borne out.
    pub level: Level,
    /// How far it can be, and why no further.
    pub ceiling: Ceiling,
    /// Whether any evidence is software attestation of a development network. Such a receipt
    /// proves nothing about hardware, and every printed form says so.
    pub dev: bool,
    /// Every claim that was looked at, in order.
    pub findings: Vec<Finding>,
    /// What the receipt does not prove, in plain sentences.
    pub not_proven: Vec<String>,
    /// The hash that names the receipt; absent if the file could not be read.
    pub receipt_hash: Option<B256>,
}

impl Verdict {
    /// The first claim that is wrong.
    pub fn first_failure(&self) -> Option<&Finding> {
        let mut findings = self.findings.iter();
        findings.find(|finding| finding.outcome == Outcome::Fail)
    }

    /// The findings about one claim.
    pub fn about(&self, claim: Claim) -> impl DoubleEndedIterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(move |finding| finding.claim == claim)
    }

    /// Puts findings together.
    pub(crate) fn conclude(
        findings: Vec<Finding>,
        readable: bool,
        required: Level,
        legs: bool,
    ) -> Self {
        let wrong = findings.iter().any(|it| it.outcome == Outcome::Fail);
        let open = |up_to: Level| {
            findings.iter().find(|finding| {
                let asked = finding.claim.level().is_some_and(|level| level <= up_to);
                asked && finding.outcome != Outcome::Pass
            })
        };
        let levels = [Level::L3, Level::L2, Level::L1];
        let reached = levels.into_iter().find(|&level| open(level).is_none());
        let level = match (readable, wrong) {
            (false, _) => Level::L0,
            (true, true) => Level::X,
            // Nothing was used that another party could bear out.
            (true, false) if !legs => reached.unwrap_or(Level::L0).min(Level::L2),
            (true, false) => reached.unwrap_or(Level::L0),
        };
        let status = if wrong {
            Status::Refuted
        } else if !readable || open(required).is_some() {
            Status::Incomplete
        } else {
            Status::Satisfied
        };
        let reason = match (level, open(Level::L3)) {
            (Level::X, _) => "a claim is wrong".to_owned(),
            (_, Some(finding)) => {
                let (claim, outcome) = (finding.claim.sentence(), finding.outcome);
                format!("not shown ({outcome}): {claim}")
            }
            (Level::L3, None) => "no witness has signed the log that holds it".to_owned(),
            (_, None) => "the call used nothing that another party could bear out".to_owned(),
        };
        Self {
            status,
            level,
            ceiling: Ceiling { level, reason },
            dev: false,
            findings,
            not_proven: Vec::new(),
            receipt_hash: None,
        }
    }
}
