use core::fmt;

use super::python::python_str;
use super::{Error, Member};
use crate::json::{Object, Value};

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions; the request's `developer` is this role too.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The outcome of a tool call.
    Tool,
    /// The outcome of a function call, in the form before tools.
    Function,
}

impl Role {
    /// Returns the role as it stands in canonical bytes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }

    fn of(message: &Object) -> Result<Self, Error> {
        let member = Member::Role;
        let role = message.get("role").ok_or(Error::Missing { member })?;
        match role.as_str() {
            Some("system" | "developer") => Ok(Self::System),
            Some("user") => Ok(Self::User),
            Some("assistant") => Ok(Self::Assistant),
            Some("tool") => Ok(Self::Tool),
            Some("function") => Ok(Self::Function),
            Some(_) | None => Err(Error::UnknownRole),
        }
    }
}

/// One message as an upstream needs it: who speaks, and the text.
///
/// `Debug` shows the role and the length of the text only.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; of a message in parts, the text parts joined by newlines. Lone surrogates are
    /// replaced by U+FFFD.
    pub text: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.name();
        write!(f, "{role} message of {} bytes", self.text.len())
    }
}

/// Reshapes a message as enclaves do before they hash it. Members that are not named here are
/// dropped and so are not covered by the signature.
pub(super) fn reshape(message: &Value) -> Result<(Message, Value), Error> {
    let message = message.as_object().ok_or(Error::WrongType {
        member: Member::Messages,
    })?;
    let role = Role::of(message)?;
    let verbatim = |name: &str| message.get(name).cloned().unwrap_or(Value::Null);
    let content = match role {
        Role::System | Role::Tool | Role::Function => verbatim("content"),
        Role::User => user_content(&verbatim("content"))?,
        Role::Assistant => Some(verbatim("content"))
            .filter(Value::is_truthy)
            .unwrap_or_else(|| "".into()),
    };
    let text = flatten(&content);
    let reshaped = Object::new()
        .with("role", role.name())
        .with("content", content);
    let reshaped = match role {
        Role::System | Role::User => reshaped,
        Role::Assistant => reshaped.with_some("tool_calls", tool_calls(message)?),
        Role::Tool => reshaped.with("tool_call_id", verbatim("tool_call_id")),
        Role::Function => reshaped.with("name", verbatim("name")),
    };
    Ok((Message { role, text }, reshaped.into()))
}

/// Keeps the text of a message in parts, and of each attachment only that it was there.
fn user_content(content: &Value) -> Result<Value, Error> {
    match content {
        Value::String(_) => Ok(content.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            python_str(content).map(Value::from)
        }
    }
}

fn part(part: &Value) -> Result<Value, Error> {
    let text_part = |text: Value| Value::object([("type", "text".into()), ("text", text)]);
    // 1. What is no object becomes a text part.
    let Some(object) = part.as_object() else {
        return match part {
            Value::String(_) => Ok(text_part(part.clone())),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => python_str(part).map(|text| text_part(text.into())),
        };
    };
    // 2. A text part keeps its text.
    let kind = object.get("type").cloned().unwrap_or(Value::Null);
    let truthy = |value: Option<&Value>| value.filter(|value| value.is_truthy()).cloned();
    if kind.as_str() == Some("text") {
        return Ok(text_part(
            truthy(object.get("text")).unwrap_or_else(|| "".into()),
        ));
    }
    // 3. An attachment keeps its type and its file name.
    let inner = object.get("file").and_then(|file| file.get("filename"));
    let filename = truthy(inner).or_else(|| truthy(object.get("filename")));
    let reduced = Object::new().with("type", kind);
    Ok(reduced.with_some("filename", filename).into())
}

fn tool_calls(message: &Object) -> Result<Option<Value>, Error> {
    let Some(calls) = message.get("tool_calls").filter(|calls| calls.is_truthy()) else {
        return Ok(None);
    };
    let wrong = Error::WrongType {
        member: Member::ToolCalls,
    };
    let calls = calls.as_array().ok_or(wrong)?;
    let reshaped: Result<Value, Error> = calls
        .iter()
        .map(|call| {
            let call = call.as_object().ok_or(wrong)?;
            let nothing = Object::new();
            let function = match call.get("function") {
                Some(function) => function.as_object().ok_or(wrong)?,
                None => &nothing,
            };
            let or = |object: &Object, name: &str, default: &str| {
                object.get(name).cloned().unwrap_or_else(|| default.into())
            };
            let function = Object::new()
                .with("name", or(function, "name", ""))
                .with("arguments", or(function, "arguments", ""));
            Ok(Object::new()
                .with("id", or(call, "id", ""))
                .with("type", or(call, "type", "function"))
                .with("function", function)
                .into())
        })
        .collect();
    reshaped.map(Some)
}

/// Returns the text of canonical content.
fn flatten(content: &Value) -> String {
    match content {
        Value::String(text) => text.to_str_lossy().into_owned(),
        Value::Array(parts) => {
            let texts: Vec<_> = parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_text))
                .map(|text| text.to_str_lossy())
                .collect();
            texts.join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}
