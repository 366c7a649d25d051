//! `seamline request hash`: the bytes that an enclave hashes of a request, for whoever checks one by hand.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;

use seamline_core::canonical::{ChatRequest, CompletionRequest, Error};
use seamline_core::json::{self, MAX_BYTES, Object, Value};
use serde_json::json;

use crate::args;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(args: &args::RequestHash) -> Result<Exit, Failure> {
    let mut source = open(&args.file)?;
    if args.lines {
        return lines(source);
    }
    let mut body = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    source
        .by_ref()
        .take(limit.saturating_add(1))
        .read_to_end(&mut body)
        .map_err(|err| unreadable(&args.file, &err))?;
    let hashed = hash(&body).map_err(Refused::into_failure)?;
    if !hashed.left_out.is_empty() {
        output::message(&format!(
            "not covered by the hash: {}",
            hashed.left_out.join(", ")
        ));
    }
    if args.output.json {
        output::json(&hashed.view())?;
    } else {
        output::data(&format!("{}\n{}\n", hashed.canonical, hashed.hash))?;
    }
    Ok(Exit::Ok)
}

/// The members that the canonical form reads; others change nothing of the hash.
const READ: [&str; 9] = [
    "model",
    "messages",
    "prompt",
    "temperature",
    "max_tokens",
    "stop",
    "tools",
    "response_format",
    "web_search",
];

struct Hashed {
    canonical: String,
    /// As `tee_request_hash` has it: 64 digits without `0x`.
    hash: String,
    left_out: Vec<String>,
}

impl Hashed {
    fn view(&self) -> serde_json::Value {
        json!({ "canonical": self.canonical, "hash": self.hash })
    }
}

/// Why a request has no hash, and where.
struct Refused {
    error: Error,
    /// The member at fault, as a path; empty where it is the whole body.
    field: String,
    /// Line and column, both from 1, of what is no JSON.
    place: Option<(usize, usize)>,
}

impl Refused {
    fn into_failure(self) -> Failure {
        let code = format!("request.{}", self.error.code());
        let (message, hint) = match (self.error, self.place) {
            (Error::Json(error), Some((line, column))) => (
                format!(
                    "the request is not JSON: {} at line {line}, column {column}",
                    error.reason
                ),
                "correct it there",
            ),
            (error, _) if self.field.is_empty() => (
                error.to_string(),
                "write an object with `model` and `messages`, or `prompt`",
            ),
            (error, _) => (format!("`{}`: {error}", self.field), hint(error)),
        };
        Failure::usage(&code, message).hint(hint)
    }

    fn view(&self) -> serde_json::Value {
        json!({ "error": { "code": self.error.code(), "field": self.field } })
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "advice is for the errors that have some; the enum is another crate's and may grow"
)]
fn hint(error: Error) -> &'static str {
    match error {
        Error::NoStableText { .. } => {
            "enclaves hash Python's `repr` of this value, which depends on their version of Python: send text"
        }
        Error::UnknownRole => "roles are system, developer, user, assistant, tool and function",
        _ => "enclaves refuse it too: there is no hash to compare",
    }
}

/// A chat where there are messages or no prompt, otherwise a completion.
fn hash(body: &[u8]) -> Result<Hashed, Refused> {
    let value = json::parse(body).map_err(|error| Refused {
        error: Error::Json(error),
        field: String::new(),
        place: Some(place(body, error.offset)),
    })?;
    let members = value.as_object();
    let has = |name: &str| members.is_some_and(|members| members.get(name).is_some());
    let (canonical, hash) = if has("prompt") && !has("messages") {
        let request = CompletionRequest::parse(body).map_err(|error| refused(&value, error))?;
        (request.canonical_bytes(), request.input_hash())
    } else {
        let request =
            ChatRequest::from_value(value.clone()).map_err(|error| refused(&value, error))?;
        (request.canonical_bytes(), request.input_hash())
    };
    let names = members.into_iter().flat_map(Object::iter);
    let left_out = names
        .map(|(name, _)| name.to_str_lossy().into_owned())
        .filter(|name| !READ.contains(&name.as_str()))
        .collect();
    Ok(Hashed {
        canonical: String::from_utf8_lossy(&canonical).into_owned(),
        hash: hex::encode(hash),
        left_out,
    })
}

fn refused(body: &Value, error: Error) -> Refused {
    let named = error.member().map_or("", |member| member.name());
    let field = match faulty_message(body, error) {
        Some(index) if named == "messages" => format!("messages[{index}]"),
        Some(index) => format!("messages[{index}].{named}"),
        None => named.to_owned(),
    };
    Refused {
        error,
        field,
        place: None,
    }
}

/// The first message that alone is refused for the same reason.
fn faulty_message(body: &Value, error: Error) -> Option<usize> {
    let messages = body.as_object()?.get("messages")?.as_array()?;
    messages.iter().position(|message| {
        let alone = Object::new()
            .with("model", "m")
            .with("messages", Value::array([message.clone()]));
        ChatRequest::from_value(alone.into()).err() == Some(error)
    })
}

/// Line and column of a byte, both from 1; columns count characters.
fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline.saturating_add(1));
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default())
        .chars()
        .count();
    (line, column.saturating_add(1))
}

/// One request in, one line of JSON out, so that another program can ask for many.
fn lines(source: Box<dyn Read>) -> Result<Exit, Failure> {
    let failed =
        |err: io::Error| Failure::new(Exit::Unknown, "stdout", format!("the pipe broke: {err}"));
    let mut source = BufReader::new(source);
    let mut out = io::stdout().lock();
    let mut exit = Exit::Ok;
    let mut line = Vec::new();
    loop {
        line.clear();
        // One more than a request may have, and its line break: what is longer is refused as too large.
        let limit = u64::try_from(MAX_BYTES)
            .unwrap_or(u64::MAX)
            .saturating_add(2);
        let read = source.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.map_err(failed)? == 0 {
            out.flush().map_err(failed)?;
            return Ok(exit);
        }
        let view = match hash(line.trim_ascii()) {
            Ok(hashed) => hashed.view(),
            Err(refused) => {
                exit = Exit::Usage;
                refused.view()
            }
        };
        writeln!(out, "{view}").map_err(failed)?;
        // Whoever asks line by line waits for the answer.
        if source.buffer().is_empty() {
            out.flush().map_err(failed)?;
        }
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file_of = File::open(file).map_err(|err| unreadable(file, &err))?;
    Ok(Box::new(file_of))
}

fn unreadable(file: &Path, err: &io::Error) -> Failure {
    Failure::usage(
        "request.unreadable",
        format!("cannot read `{}`: {err}", file.display()),
    )
    .hint("name a file, or `-` for standard input")
}

#[cfg(test)]
mod tests;
