//! Ranking of the handbook's passages: BM25 in integers, so that every machine agrees.

use std::collections::BTreeMap;

use super::book::Page;
use super::words::{synonyms, terms};

/// The handbook, cut into passages and ready to be asked.
pub(super) struct Index {
    passages: Vec<Passage>,
    /// For each term: in how many passages it occurs.
    frequency: BTreeMap<String, u64>,
    /// Mean length of a passage, in terms.
    mean_len: u64,
}

/// One section of a page.
pub(super) struct Passage {
    /// The page's title.
    pub(super) page: String,
    /// The page's file below `docs/guide/`.
    pub(super) file: &'static str,
    /// The section's heading.
    pub(super) heading: String,
    /// The section's paragraphs, each on one line, with a blank line between two.
    pub(super) text: String,
    heading_terms: Vec<String>,
    /// Weighted occurrences of each term.
    counts: BTreeMap<String, u64>,
    len: u64,
}

/// A passage that shares words with the question.
pub(super) struct Hit<'a> {
    /// The passage.
    pub(super) passage: &'a Passage,
    /// Its score: larger is better, comparable only within one question.
    pub(super) score: u64,
}

impl Index {
    /// Cuts `pages` at their headings.
    pub(super) fn new(pages: &'static [Page]) -> Self {
        let passages: Vec<Passage> = pages.iter().flat_map(passages_of).collect();
        let mut frequency = BTreeMap::new();
        for term in passages.iter().flat_map(|passage| passage.counts.keys()) {
            let count: &mut u64 = frequency.entry(term.clone()).or_default();
            *count = count.saturating_add(1);
        }
        let total = passages
            .iter()
            .fold(0_u64, |sum, passage| sum.saturating_add(passage.len));
        let mean_len = total
            .checked_div(as_u64(passages.len()))
            .unwrap_or(0)
            .max(1);
        Self {
            passages,
            frequency,
            mean_len,
        }
    }

    /// Ranks the passages that share words with `question`, best first; equals in the order of the
    /// handbook. Empty where less than a third of what the question weighs occurs in the best one.
    pub(super) fn rank(&self, question: &str) -> Vec<Hit<'_>> {
        let mut asked = terms(question);
        asked.sort_unstable();
        asked.dedup();
        let mut hits: Vec<Hit<'_>> = self
            .passages
            .iter()
            .map(|passage| Hit {
                passage,
                score: self.total_score(passage, &asked),
            })
            .filter(|hit| hit.score > 0)
            .collect();
        // A stable sort keeps the handbook's order among equals.
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.score));
        let covers = |hit: &Hit<'_>| self.covered(hit.passage, &asked);
        if !hits.first().is_some_and(covers) {
            hits.clear();
        }
        hits
    }

    /// The passages in the order of the handbook.
    #[cfg(test)]
    pub(super) fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// In how many passages `term` occurs.
    #[cfg(test)]
    pub(super) fn frequency(&self, term: &str) -> u64 {
        self.frequency.get(term).copied().unwrap_or(0)
    }

    /// Whether `passage` holds at least a third of the weight of the terms asked for.
    fn covered(&self, passage: &Passage, asked: &[String]) -> bool {
        let weigh = |sum: u64, term: &String| sum.saturating_add(self.rarity(term));
        let total = asked.iter().fold(0, weigh);
        let found = asked
            .iter()
            .filter(|term| self.score(passage, term) > 0)
            .fold(0, weigh);
        found.saturating_mul(3) >= total
    }

    /// The sum over all terms, and a quarter more where the question holds the whole heading: "what
    /// is a receipt" wants that section before the many others that speak of receipts.
    fn total_score(&self, passage: &Passage, asked: &[String]) -> u64 {
        let add = |sum: u64, term: &String| sum.saturating_add(self.score(passage, term));
        let sum = asked.iter().fold(0, add);
        let named = passage
            .heading_terms
            .iter()
            .all(|term| asked.contains(term));
        if named {
            sum.saturating_add(sum / 4)
        } else {
            sum
        }
    }

    /// The score of one term, or half of its best synonym's where that is more.
    fn score(&self, passage: &Passage, term: &str) -> u64 {
        let meant = synonyms(term)
            .iter()
            .map(|other| self.exact_score(passage, other) / 2)
            .max();
        self.exact_score(passage, term).max(meant.unwrap_or(0))
    }

    /// BM25 with k1 = 1.2 and b = 0.75, in thousandths.
    fn exact_score(&self, passage: &Passage, term: &str) -> u64 {
        let Some(&count) = passage.counts.get(term) else {
            return 0;
        };
        let relative_len = passage
            .len
            .saturating_mul(750)
            .checked_div(self.mean_len)
            .unwrap_or(0);
        let norm = relative_len.saturating_add(250).saturating_mul(12) / 10;
        let count = count.saturating_mul(1_000);
        let saturated = count
            .saturating_mul(2_200)
            .checked_div(count.saturating_add(norm))
            .unwrap_or(0);
        saturated.saturating_mul(self.rarity(term)) / 1_000
    }

    /// log2(1 + (N - n + 0.5) / (n + 0.5)) in 256ths: how much a term tells.
    fn rarity(&self, term: &str) -> u64 {
        let n = self.frequency.get(term).copied().unwrap_or(0);
        let all = as_u64(self.passages.len());
        let doubled = n.saturating_mul(2).saturating_add(1);
        let rest = all.saturating_sub(n).saturating_mul(2).saturating_add(1);
        let ratio = rest
            .saturating_mul(256)
            .checked_div(doubled)
            .unwrap_or(0)
            .saturating_add(256);
        log2_in_256ths(ratio)
    }
}

/// log2(`x` / 256) in 256ths, with a straight line between powers of two; `x` is at least 256.
fn log2_in_256ths(x: u64) -> u64 {
    let whole = u64::from(x.max(256).ilog2()).saturating_sub(8);
    let mantissa = x
        .checked_shr(u32::try_from(whole).unwrap_or(0))
        .unwrap_or(0);
    whole
        .saturating_mul(256)
        .saturating_add(mantissa.saturating_sub(256))
}

fn passages_of(page: &'static Page) -> Vec<Passage> {
    let mut sections = page.text.split("\n## ");
    let title = sections
        .next()
        .and_then(|head| head.lines().next())
        .map_or("", |line| line.trim_start_matches("# "));
    sections
        .map(|section| {
            let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
            passage(title, page.file, heading.trim(), &unwrap_lines(body))
        })
        .collect()
}

fn passage(page: &str, file: &'static str, heading: &str, text: &str) -> Passage {
    let mut counts = BTreeMap::new();
    // A word in a heading says more about a passage than one in its text.
    for (part, weight) in [(heading, 3_u64), (page, 1), (text, 1)] {
        for term in terms(part) {
            let count: &mut u64 = counts.entry(term).or_default();
            *count = count.saturating_add(weight);
        }
    }
    Passage {
        page: page.to_owned(),
        file,
        heading: heading.to_owned(),
        heading_terms: terms(heading),
        text: text.to_owned(),
        len: as_u64(terms(text).len()),
        counts,
    }
}

/// Joins the lines of each paragraph, so that a terminal may wrap them anew; code keeps its lines.
fn unwrap_lines(body: &str) -> String {
    let mut text = String::new();
    let mut in_code = false;
    for paragraph in body.trim().split("\n\n") {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let mut first = true;
        for line in paragraph.lines() {
            let fence = line.starts_with("```");
            if !first {
                text.push(if in_code || fence { '\n' } else { ' ' });
            }
            first = false;
            in_code ^= fence;
            text.push_str(line);
        }
    }
    text
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
