//! The functions that an answer calls, whole or in the fragments of a stream.

use std::collections::BTreeMap;

use seamline_core::canonical::{self, tool_calls_preimage};
use serde::Deserialize;

use crate::chat::ToolCall;

/// Calls of one answer that are read: more is no answer.
const MAX_CALLS: usize = 128;

/// A call, or a fragment of one.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireCall {
    index: Option<u64>,
    id: Option<String>,
    function: WireFunction,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireFunction {
    name: Option<String>,
    arguments: Option<String>,
}

/// The calls of an answer that came whole.
pub(super) fn whole(calls: Vec<WireCall>) -> Result<Vec<ToolCall>, &'static str> {
    if calls.len() > MAX_CALLS {
        return Err("it calls too many functions");
    }
    let read = |call: WireCall| ToolCall {
        id: call.id.unwrap_or_default(),
        name: call.function.name.unwrap_or_default(),
        arguments: call.function.arguments.unwrap_or_default(),
    };
    Ok(calls.into_iter().map(read).collect())
}

/// The calls of a stream so far.
#[derive(Default)]
pub(super) struct Streamed(BTreeMap<u64, ToolCall>);

impl Streamed {
    /// Adds fragments. An absent index is 0; the last id and name of a call count, arguments are appended.
    pub(super) fn push(&mut self, fragments: Vec<WireCall>) -> Result<(), &'static str> {
        for fragment in fragments {
            let index = fragment.index.unwrap_or(0);
            if self.0.len() >= MAX_CALLS && !self.0.contains_key(&index) {
                return Err("it calls too many functions");
            }
            let call = self.0.entry(index).or_insert_with(|| ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            });
            let said = |text: Option<String>| text.filter(|text| !text.is_empty());
            if let Some(id) = said(fragment.id) {
                call.id = id;
            }
            if let Some(name) = said(fragment.function.name) {
                call.name = name;
            }
            call.arguments
                .push_str(&fragment.function.arguments.unwrap_or_default());
        }
        Ok(())
    }

    /// The calls in the order of their index.
    pub(super) fn finish(self) -> Vec<ToolCall> {
        self.0.into_values().collect()
    }
}

/// The text whose hash is signed for these calls.
pub(super) fn preimage(calls: &[ToolCall]) -> String {
    tool_calls_preimage(calls.iter().map(|call| canonical::ToolCall {
        id: &call.id,
        name: &call.name,
        arguments: &call.arguments,
    }))
}
