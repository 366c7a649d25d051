//! The page of error codes, and the proof that it lists all that the code can say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use super::{NOTE, repository, sources};

/// Failures of a call, from `ErrorKind::code`: code, fault, meaning, what to do.
const CALL: &str = include_str!("call.txt");

/// Failures of a purchase that a call does not have, from `pay::ErrorKind::code`: code, fault, meaning,
/// what to do.
const PURCHASE: &str = include_str!("purchase.txt");

/// Refusals of evidence, from `attest`'s checks: code, meaning.
const EVIDENCE: &str = include_str!("evidence.txt");

/// Failures of the command outside a call: code, exit code, meaning, what to do.
const COMMAND: &str = include_str!("command.txt");

/// The rows of a table, their columns separated by `|`.
#[track_caller]
fn rows<const N: usize>(table: &'static str) -> Vec<[&'static str; N]> {
    let row = |line: &'static str| {
        let columns: Vec<_> = line.split(" | ").collect();
        columns
            .try_into()
            .unwrap_or_else(|columns| panic!("{N} columns: {columns:?}"))
    };
    table.lines().map(row).collect()
}

/// The codes of a table.
fn codes<const N: usize>(table: &'static str) -> BTreeSet<&'static str> {
    rows::<N>(table).iter().map(|row| row[0]).collect()
}

/// How `Error::retry` follows from the fault while nothing was charged.
fn retry(fault: &str) -> &'static str {
    match fault {
        "node" | "relay" => "other",
        "chain" => "same",
        _ => "never",
    }
}

pub(super) fn page() -> String {
    let mut text = format!("{NOTE}# Error codes\n\n");
    text.push_str(
        "A failed call answers four questions: what failed (`code`), whose fault it is (`fault`: caller, node, relay, chain, \
payment, us), whether the same question may be asked again (`retry`: never, same, other node), and whether money moved \
(`charged`: no, yes, unknown). The codes are stable; the words around them are not.\n\n\
`charged` is not a property of the code: it is what the books and the chain say when the error is made. Before step 8 \
(authorize) it is always *no*. `retry` below holds while `charged` is *no*; otherwise it is *never*. A failure at one \
node before anything was signed lets the next node be tried within the same call.\n\n## A call\n\n\
| code | fault | retry | meaning | what to do |\n|---|---|---|---|---|\n",
    );
    for [code, fault, what, todo] in rows(CALL) {
        writeln!(
            text,
            "| `{code}` | {fault} | {} | {what} | {todo} |",
            retry(fault)
        )
        .unwrap();
    }
    text.push_str(
        "\n## A purchase\n\n`seamline fetch` buys from plain x402 servers, which count as nodes. It has the codes of a call, and these:\n\n\
| code | fault | retry | meaning | what to do |\n|---|---|---|---|---|\n",
    );
    for [code, fault, what, todo] in rows(PURCHASE) {
        writeln!(
            text,
            "| `{code}` | {fault} | {} | {what} | {todo} |",
            retry(fault)
        )
        .unwrap();
    }
    text.push_str(
        "\n## Evidence\n\nThe node's evidence is refused before anything is sent to it: `fault` is node, `retry` other, `charged` no. \
Do not talk to the node; another one is tried. The checks are in [evidence](../../spec/evidence.md).\n\n\
| code | what was refused |\n|---|---|\n",
    );
    for [code, what] in rows(EVIDENCE) {
        writeln!(text, "| `evidence.{}` | {what} |", code.to_lowercase()).unwrap();
    }
    text.push_str(
        "\n## The command\n\nOutside a call nothing is charged.\n\n| code | exit | meaning | what to do |\n|---|---|---|---|\n",
    );
    for [code, exit, what, todo] in rows(COMMAND) {
        writeln!(text, "| `{code}` | {exit} | {what} | {todo} |").unwrap();
    }
    text
}

/// The quoted words of a source text that look like codes.
fn quoted(source: &str, looks: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| !word.is_empty() && looks(word))
        .collect()
}

fn lower(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_'))
}

#[test]
fn every_code_of_a_call_is_listed() {
    let folder = repository().join("crates/client/src");
    let mut files = sources(&folder.join("error"));
    let main = folder.join("error.rs");
    files.push((main.clone(), fs::read_to_string(main).unwrap()));
    // What has a dot and no blank is a code; messages are sentences.
    let made: BTreeSet<_> = files
        .iter()
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .flat_map(|(_, source)| source.lines())
        .flat_map(|line| quoted(line, |word| lower(word) && word.contains('.')))
        .chain(["entropy"])
        .collect();
    let listed = codes::<4>(CALL);
    let missing: Vec<_> = made.difference(&listed).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    let invented: Vec<_> = listed.difference(&made).collect();
    assert!(
        invented.is_empty(),
        "on the page and in no source: {invented:?}"
    );
}

#[test]
fn every_code_of_a_purchase_is_listed() {
    let source = repository().join("crates/client/src/pay/error.rs");
    let source = fs::read_to_string(source).unwrap();
    let lines = source.lines();
    let made = lines.flat_map(|line| quoted(line, |word| lower(word) && word.contains('.')));
    let calls = codes::<4>(CALL);
    let own: BTreeSet<_> = made.filter(|code| !calls.contains(code)).collect();
    assert_eq!(own, codes::<4>(PURCHASE));
}

#[test]
fn every_refusal_of_evidence_is_listed() {
    let source = fs::read_to_string(repository().join("crates/attest/src/error.rs")).unwrap();
    let upper = |word: &str| {
        word.len() > 2
            && word
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let listed = codes::<2>(EVIDENCE);
    assert_eq!(quoted(&source, upper), listed);
}

#[test]
fn every_code_of_the_command_is_listed() {
    let mut made = BTreeSet::new();
    let all = sources(&repository().join("crates/cli/src"));
    for (path, source) in &all {
        if path
            .components()
            .any(|part| part.as_os_str() == "reference")
        {
            continue;
        }
        for maker in ["Failure::usage(", "Failure::new("] {
            for call in source.split(maker).skip(1) {
                // The code is the first literal of the call, after an exit code at most.
                let mut parts = call.split('"');
                let head: String = parts
                    .next()
                    .unwrap_or_default()
                    .split_whitespace()
                    .collect();
                if head.is_empty() || (head.starts_with("Exit::") && head.ends_with(',')) {
                    made.insert(parts.next().unwrap_or_default());
                }
            }
        }
    }
    let listed = codes::<4>(COMMAND);
    assert_eq!(made, listed);
}
