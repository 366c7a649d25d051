//! The only place that prints.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::{Value, json};

use crate::failure::{Exit, Failure};

/// Prints data. A closed pipe ends the command quietly, as it should for `| head`.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    raw(text.as_bytes())
}

fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(err) => Err(Failure::new(
            Exit::Unknown,
            "stdout",
            format!("cannot write to standard output: {err}"),
        )),
    }
}

/// Prints text that a model wrote: byte for byte into pipes and files, without control characters to
/// a terminal, which they could steer.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        data(&harmless(text))
    } else {
        data(text)
    }
}

/// Prints what a server sent, as [`answer`] does.
pub(crate) fn body(bytes: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        data(&harmless(&String::from_utf8_lossy(bytes)))
    } else {
        raw(bytes)
    }
}

/// Replaces control characters but line ends and tabs.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        _ if c.is_control() => char::REPLACEMENT_CHARACTER,
        _ => c,
    };
    text.chars().map(shown).collect()
}

/// Prints one line of data.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    data(&format!("{text}\n"))
}

/// Prints one JSON value on one line.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(&value.to_string())
}

/// Prints a message for a person. Messages are lost silently where standard error is closed.
pub(crate) fn message(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a progress line, to terminals only.
pub(crate) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        message(text);
    }
}

/// Prints a failure: to standard error in words, and with `--json` as an object on standard output,
/// so that a script that reads JSON always gets some.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    if as_json {
        let mut error = serde_json::Map::new();
        let mut put = |name: &str, value: Value| error.insert(name.to_owned(), value);
        put("code", json!(failure.code));
        put("message", json!(failure.message));
        if let Some(hint) = &failure.hint {
            put("hint", json!(hint));
        }
        if let Some(call) = &failure.call {
            put("fault", json!(call.fault));
            put("retry", json!(call.retry));
            put("charged", json!(call.charged));
            put("receipt_path", json!(call.receipt));
        }
        // The exit code already says that it failed.
        let _ = json(&json!({ "error": error }));
    }
    message(&failure.to_string());
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn an_answer_cannot_steer_a_terminal() {
        assert_eq!(harmless("a\tb\nc \u{e9}"), "a\tb\nc \u{e9}");
        assert_eq!(
            harmless("\u{1b}[2J\r\u{9b}x\u{7f}"),
            "\u{fffd}[2J\u{fffd}\u{fffd}x\u{fffd}"
        );
    }
}
