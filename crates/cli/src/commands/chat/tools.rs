//! The functions that a question offers, and the calls that an answer makes of them.

use std::path::Path;

use seamline::ToolCall;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Longest file of definitions: as much as a question may have.
const MAX_FILE: u64 = 512 * 1024;

/// Reads definitions: JSON on the command line, or files that hold one or a list of them.
pub(super) fn read(named: &[String]) -> Result<Vec<Value>, Failure> {
    let mut tools = Vec::new();
    for one in named {
        let json = one.trim_start().starts_with(['{', '[']);
        let text = if json {
            one.clone()
        } else {
            file(Path::new(one))?
        };
        match serde_json::from_str(&text) {
            Ok(Value::Array(many)) => tools.extend(many),
            Ok(value) => tools.push(value),
            Err(err) => return Err(malformed(&format!("a tool is not JSON: {err}"))),
        }
    }
    match tools.iter().find(|tool| !is_function(tool)) {
        Some(_) => Err(malformed("a tool is no definition of a function")),
        None => Ok(tools),
    }
}

fn file(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let unreadable = |err: std::io::Error| {
        let text = format!("cannot read the tool `{}`: {err}", path.display());
        Failure::usage("request.tool", text).hint("name a file, or write the JSON itself")
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let most = MAX_FILE.saturating_add(1);
    file.take(most)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(text.len()).map_or(true, |len| len > MAX_FILE) {
        return Err(malformed(&format!(
            "a tool is longer than {MAX_FILE} bytes"
        )));
    }
    Ok(text)
}

fn is_function(tool: &Value) -> bool {
    let name = tool.pointer("/function/name").and_then(Value::as_str);
    let kind = tool.get("type").and_then(Value::as_str);
    kind == Some("function") && name.is_some_and(|name| !name.is_empty())
}

fn malformed(text: &str) -> Failure {
    Failure::usage("request.tool", text).hint(
        "as in the chat API: {\"type\": \"function\", \"function\": {\"name\": \"now\", \"parameters\": {}}}",
    )
}

/// A call as it is printed. The arguments are the model's text, which need not be JSON.
pub(super) fn call_json(call: &ToolCall) -> Value {
    json!({ "id": call.id, "name": call.name, "arguments": call.arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = r#"{"type":"function","function":{"name":"now"}}"#;

    #[test]
    fn definitions_come_from_the_line_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools.json");
        std::fs::write(&path, format!("[{NOW}, {NOW}]")).unwrap();
        let file = path.to_str().unwrap().to_owned();
        let read = read(&[NOW.to_owned(), file]).unwrap();
        let now: Value = serde_json::from_str(NOW).unwrap();
        assert_eq!(read, [now.clone(), now.clone(), now]);
    }

    #[test]
    fn what_defines_no_function_is_refused() {
        for wrong in [
            "{",
            "[1]",
            "{}",
            r#"{"type":"function"}"#,
            r#"{"type":"function","function":{"name":""}}"#,
            r#"{"type":"retrieval","function":{"name":"now"}}"#,
            "/no/such/file",
            "",
        ] {
            assert!(read(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.json");
        let length = usize::try_from(MAX_FILE).unwrap() + 1;
        std::fs::write(&path, " ".repeat(length)).unwrap();
        let refused = read(&[path.to_str().unwrap().to_owned()]).unwrap_err();
        assert_eq!(refused.code, "request.tool");
    }

    #[test]
    fn call_is_printed_with_its_arguments_as_text() {
        let printed = call_json(&call("{\"city\": \"Paris\"}"));
        assert_eq!(printed["arguments"], "{\"city\": \"Paris\"}");
        assert_eq!(printed["name"], "weather");
    }

    fn call(arguments: &str) -> ToolCall {
        ToolCall {
            id: "call_1".to_owned(),
            name: "weather".to_owned(),
            arguments: arguments.to_owned(),
        }
    }
}
