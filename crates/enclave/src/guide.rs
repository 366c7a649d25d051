mod book;
mod index;
#[cfg(test)]
mod tests;
mod words;

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use self::index::{Hit, Index};
use crate::upstream::{
    ChatJob, Finish, Piece, Pieces, Upstream, UpstreamError, UpstreamFuture, Usage,
};

/// The model `seamline/guide`: a deterministic index of Seamline's handbook, not a language model.
///
/// It answers with the passage of `docs/guide/` that shares most with the last user message, word
/// for word, and names the page. The ranking uses integers only and knows no state, so the same
/// request gives the same answer, bit for bit, on every machine. Asked who it is, or about
/// something that the handbook does not hold, it says what it is.
///
/// A token of this model is a word: a run of characters between white space. `max_tokens` cuts
/// after that many words.
pub struct GuideUpstream {
    index: Index,
    pace: Option<Duration>,
}

impl GuideUpstream {
    /// The model's id.
    pub const MODEL: &str = "seamline/guide";

    /// Builds the index. `tokens_per_second` is the pace at which answers are made, which is how
    /// the nodes of a local network differ in speed; `None` answers at once.
    pub fn new(tokens_per_second: Option<NonZeroU32>) -> Self {
        let pace = |tokens: NonZeroU32| {
            Duration::from_secs(1)
                .checked_div(tokens.get())
                .unwrap_or_default()
        };
        Self {
            index: Index::new(book::PAGES),
            pace: tokens_per_second.map(pace),
        }
    }

    /// The whole answer to one question, before `max_tokens` cuts it.
    pub fn answer(&self, question: &str) -> String {
        if asks_who(question) {
            return format!("{WHO}\n\n{WHAT_TO_ASK}");
        }
        let hits = self.index.rank(question);
        let Some((Hit { passage, .. }, others)) = hits.split_first() else {
            return format!("{WHO}\n\n{NOTHING_FOUND} {WHAT_TO_ASK}");
        };
        // The same page goes on where this passage ends; another page may only share its words.
        let same_page = others
            .iter()
            .find(|other| other.passage.page == passage.page);
        let see_also = same_page
            .or_else(|| others.first())
            .map(|other| format!("; see also \"{}\"", other.passage.heading))
            .unwrap_or_default();
        format!(
            "{}\n\n(The handbook, \"{}\", docs/guide/{}{see_also})",
            passage.text, passage.page, passage.file
        )
    }

    fn pieces(&self, job: &ChatJob) -> Result<Pieces, UpstreamError> {
        if job.model != Self::MODEL {
            return Err(UpstreamError::UnknownModel);
        }
        let asked = job.messages.iter().rev().find(|said| said.role == "user");
        let answer = self.answer(asked.map_or("", |said| said.text.as_str()));
        let words = split_words(&answer);
        let limit = usize::try_from(job.max_tokens).unwrap_or(usize::MAX);
        let finish = if words.len() > limit {
            Finish::Length
        } else {
            Finish::Stop
        };
        let words: Vec<String> = words.into_iter().take(limit).collect();
        let prompt_words = job.messages.iter().map(|said| count_words(&said.text));
        let end = Piece::End {
            finish,
            usage: Some(Usage {
                prompt_tokens: prompt_words.fold(0, u64::saturating_add),
                completion_tokens: u64::try_from(words.len()).unwrap_or(u64::MAX),
            }),
        };
        let start = Instant::now();
        let pace = self.pace;
        let words =
            stream::iter(words.into_iter().zip(1_u32..)).then(move |(word, nth)| async move {
                if let Some(due) = pace.and_then(|pace| start.checked_add(pace.saturating_mul(nth)))
                {
                    sleep_until(due).await;
                }
                Ok(Piece::Text(word))
            });
        let end = stream::once(async move { Ok(end) });
        Ok(Box::pin(words.chain(end)))
    }
}

impl Upstream for GuideUpstream {
    fn models(&self) -> Vec<String> {
        vec![Self::MODEL.to_owned()]
    }

    fn chat(&self, job: ChatJob) -> UpstreamFuture<'_> {
        Box::pin(async move { self.pieces(&job) })
    }
}

impl std::fmt::Debug for GuideUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuideUpstream")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// Whether the question is about the answerer, or a mere greeting.
fn asks_who(question: &str) -> bool {
    let words = words::raw_words(question);
    let said = words.join(" ");
    let greeting = words.len() <= 3 && words.iter().any(|word| GREETINGS.contains(&word.as_str()));
    greeting || words.is_empty() || WHO_QUESTIONS.iter().any(|asked| said.contains(asked))
}

/// Cuts `text` into words, each with the white space before it, so that the pieces add up to the
/// text.
fn split_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in text.chars() {
        match words.last_mut() {
            Some(word) if !(in_word && c.is_whitespace()) => word.push(c),
            Some(_) | None => words.push(c.to_string()),
        }
        in_word = !c.is_whitespace();
    }
    words
}

fn count_words(text: &str) -> u64 {
    text.split_whitespace()
        .fold(0, |n: u64, _| n.saturating_add(1))
}

const GREETINGS: [&str; 6] = ["hello", "hi", "hey", "thanks", "test", "ping"];

const WHO_QUESTIONS: [&str; 9] = [
    "who are you",
    "what are you",
    "who is this",
    "are you a",
    "are you an",
    "your name",
    "which model are you",
    "what model are you",
    "introduce yourself",
];

const WHO: &str = "I am seamline/guide, a deterministic index of the handbook, not a language \
     model. I look for the passage of the Seamline handbook that shares most with your question, \
     and I quote it word for word. I compose nothing, I remember nothing between calls, and the \
     same question always gets the same answer.";

const NOTHING_FOUND: &str = "I found no passage that fits your question.";

const WHAT_TO_ASK: &str = "You can ask, for example: What happens in a call? How do I cap what a \
     call may cost? How do I verify a receipt? How is a node chosen? What is proven, and what is \
     only asserted? The whole handbook is in docs/guide.";
