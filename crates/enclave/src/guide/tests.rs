use std::num::NonZeroU32;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::*;
use crate::upstream::JobMessage;

fn guide() -> GuideUpstream {
    GuideUpstream::new(None)
}

fn job(question: &str, max_tokens: u64) -> ChatJob {
    ChatJob {
        model: GuideUpstream::MODEL.to_owned(),
        messages: vec![JobMessage {
            role: "user".to_owned(),
            text: question.to_owned(),
        }],
        max_tokens,
        stream: true,
        body: Bytes::new(),
    }
}

async fn run(guide: &GuideUpstream, job: ChatJob) -> (Vec<String>, Finish, Usage) {
    let mut pieces = guide.chat(job).await.map_err(drop).unwrap();
    let mut words = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece.unwrap() {
            Piece::Text(text) => words.push(text),
            Piece::ToolCalls(_) | Piece::Images(_) => panic!("the guide has words only"),
            Piece::End { finish, usage } => {
                assert!(pieces.next().await.is_none(), "pieces after the end");
                return (words, finish, usage.unwrap());
            }
        }
    }
    panic!("no end");
}

#[test]
fn questions_find_the_passage_that_answers_them() {
    let guide = guide();
    for (question, heading) in GOLDEN {
        let hits = guide.index.rank(question);
        let found = hits.first().map(|hit| hit.passage.heading.as_str());
        assert_eq!(found, Some(*heading), "{question}");
        let answer = guide.answer(question);
        let words = count_words(&answer);
        assert!((60..=140).contains(&words), "{question}: {words} words");
    }
}

#[test]
fn the_first_question_of_the_readme_gets_a_whole_answer() {
    let answer = guide().answer("How do I cap what a call may cost?");
    for needed in [
        "`--max-price`",
        "spend policy",
        "per call",
        "per day",
        "docs/guide/04-spending.md",
    ] {
        assert!(answer.contains(needed), "{needed} is missing in: {answer}");
    }
}

#[test]
fn it_says_what_it_is() {
    let guide = guide();
    for question in [
        "Who are you?",
        "Are you an AI?",
        "hello",
        "",
        "What is the capital of France?",
        "Wie wird das Wetter?",
        "zxqv",
    ] {
        let answer = guide.answer(question);
        let honest =
            "I am seamline/guide, a deterministic index of the handbook, not a language model";
        assert!(answer.starts_with(honest), "{question}: {answer}");
        let words = count_words(&answer);
        assert!((60..=140).contains(&words), "{question}: {words} words");
    }
}

#[test]
fn every_passage_is_short_enough_to_be_an_answer() {
    let guide = guide();
    for passage in guide.index.passages() {
        let words = count_words(&passage.text);
        let name = (&passage.page, &passage.heading);
        assert!((55..=120).contains(&words), "{name:?} has {words} words");
        assert!(!passage.page.is_empty() && !passage.heading.is_empty());
        // A passage is quoted alone, so it must not lean on its heading.
        assert!(!passage.text.starts_with("It "), "{name:?}");
    }
    assert!(guide.index.passages().len() >= 40, "pages are missing");
}

#[test]
fn synonyms_lead_to_words_of_the_handbook() {
    let guide = guide();
    for (word, others) in words::SYNONYMS {
        assert_eq!(words::stem(word), *word, "{word} is not a stem");
        for other in *others {
            assert!(guide.index.frequency(other) > 0, "{other} leads nowhere");
        }
    }
}

#[tokio::test]
async fn words_add_up_to_the_answer_and_are_counted() {
    let guide = guide();
    let question = "What is a receipt?";
    let (words, finish, usage) = run(&guide, job(question, 1_000)).await;
    assert_eq!(words.concat(), guide.answer(question));
    assert_eq!(finish, Finish::Stop);
    assert_eq!(usage.prompt_tokens, 4);
    assert_eq!(usage.completion_tokens, u64::try_from(words.len()).unwrap());
    assert_eq!(usage.completion_tokens, count_words(&words.concat()));
}

#[tokio::test]
async fn max_tokens_cuts_after_that_many_words() {
    let guide = guide();
    let (words, finish, usage) = run(&guide, job("What is a receipt?", 5)).await;
    assert_eq!(words.concat(), "A receipt is the signed");
    assert_eq!((finish, usage.completion_tokens), (Finish::Length, 5));
    let (words, finish, _) = run(&guide, job("What is a receipt?", 0)).await;
    assert_eq!((words.len(), finish), (0, Finish::Length));
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept() {
    let slow = GuideUpstream::new(NonZeroU32::new(10));
    let start = Instant::now();
    let (words, ..) = run(&slow, job("What is a receipt?", 20)).await;
    assert_eq!(words.len(), 20);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn another_model_is_refused() {
    let mut other = job("What is a receipt?", 5);
    other.model = "gpt-5".to_owned();
    let refused = guide().chat(other).await.map(drop);
    assert!(matches!(refused, Err(UpstreamError::UnknownModel)));
}

#[test]
fn only_the_last_user_message_counts() {
    let mut long = job("What is a receipt?", 1_000);
    long.messages.push(JobMessage {
        role: "assistant".to_owned(),
        text: "A receipt is a record.".to_owned(),
    });
    long.messages.push(JobMessage {
        role: "user".to_owned(),
        text: "What is the trust file?".to_owned(),
    });
    let guide = guide();
    let pieces = futures_util::FutureExt::now_or_never(run(&guide, long))
        .unwrap()
        .0;
    assert_eq!(pieces.concat(), guide.answer("What is the trust file?"));
}

const GOLDEN: &[(&str, &str)] = &[
    (
        "How do I cap what a call may cost?",
        "How do I cap what a call may cost?",
    ),
    (
        "set a spending limit per day",
        "How does the daily limit work?",
    ),
    ("What is Seamline?", "What is Seamline?"),
    ("what happens during a call", "What happens in a call?"),
    ("what is a receipt", "What is a receipt?"),
    ("How can I verify a receipt?", "How do I verify a receipt?"),
    ("exit codes", "What do the exit codes mean?"),
    (
        "What is proven and what is only asserted?",
        "What does Seamline prove, and what not?",
    ),
    (
        "how does it pick a node",
        "How does Seamline choose a node?",
    ),
    (
        "what is the runner-up",
        "What are the margin and the runner-up?",
    ),
    (
        "Can I be charged twice?",
        "How does Seamline avoid paying twice?",
    ),
    (
        "what if the process crashes mid-call",
        "What happens if it is killed in the middle of a call?",
    ),
    ("is my prompt private", "Who can read my prompt?"),
    ("What is dev evidence?", "What is dev evidence?"),
    (
        "How do I run the local network?",
        "How do I run the local network?",
    ),
    ("what is a hesitation", "What is a hesitation?"),
    (
        "What does SETTLEWAIT mean?",
        "Hesitation codes: payment, evidence and time",
    ),
    ("where is the trust file", "What is the trust file?"),
    ("what if a node cheats", "What happens when a node lies?"),
    ("which commands exist", "Which commands are there?"),
    (
        "Why did it settle less than I authorized?",
        "Why was less settled than authorized?",
    ),
    ("does it support python", "What can this version not do?"),
    ("what does an error tell me", "What does an error tell me?"),
    ("What is seamline/guide?", "What is seamline/guide?"),
    ("how to verify offline", "How do I verify a receipt?"),
    ("how do I install", "How do I make my first call?"),
    (
        "what is a facilitator",
        "What are a node, an enclave, an offer and a facilitator?",
    ),
    (
        "what is TIE",
        "Hesitation codes: routing, retries and price",
    ),
    (
        "how do refunds work",
        "What if the answer is lost after I paid?",
    ),
    (
        "does seamline store my prompts",
        "Are prompts stored or logged?",
    ),
    (
        "why was this node chosen",
        "How does Seamline choose a node?",
    ),
    ("what does L3 mean", "What are the levels of a verdict?"),
    (
        "how much does it cost",
        "How do I cap what a call may cost?",
    ),
    ("how do I see my balance", "What does my wallet need?"),
    ("explain the receipt", "How do I read the story of a call?"),
];
