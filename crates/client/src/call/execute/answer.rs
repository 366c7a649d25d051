//! Reading an enclave's answer: one JSON body, or a stream of frames.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use seamline_core::infer::{Outputs, outputs_preimage};
use seamline_core::{B256, NodeId, json};
use seamline_evm::x402::decode_header;
use seamline_net::sse::Event;
use serde::Deserialize;

use super::Response;
use super::tools::{self, Streamed, WireCall};
use crate::call::verify::Proof;
use crate::chat::ToolCall;
use crate::dialect::{Framed, Published, Usage};

/// SSE comment that carries the settlement of a streamed answer.
const SETTLEMENT_COMMENT: &[u8] = b"seamline-settlement ";

#[derive(Deserialize)]
struct Whole {
    choices: Vec<WholeChoice>,
    usage: Option<serde_json::Value>,
    #[serde(flatten)]
    proof: WireProof,
}

#[derive(Deserialize)]
struct WholeChoice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    choices: Vec<FrameChoice>,
    error: Option<serde_json::Value>,
    usage: Option<serde_json::Value>,
    #[serde(flatten)]
    proof: WireProof,
    #[serde(flatten)]
    record: Framed,
}

#[derive(Deserialize)]
struct FrameChoice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize)]
struct WireProof {
    tee_signature: Option<String>,
    tee_request_hash: Option<String>,
    tee_output_hash: Option<String>,
    tee_timestamp: Option<Seconds>,
    tee_id: Option<String>,
}

/// Whole seconds: a number, or the same as decimal digits, which OpenGradient's SDK accepts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Digits(String),
}

impl Seconds {
    fn read(&self) -> Option<u64> {
        match self {
            Self::Number(seconds) => Some(*seconds),
            Self::Digits(text) => text.parse().ok(),
        }
    }
}

impl WireProof {
    /// All five fields, well-formed, or nothing: half a proof proves nothing.
    fn read(&self) -> Option<Proof> {
        Some(Proof {
            signature: STANDARD.decode(self.tee_signature.as_ref()?).ok()?,
            request_hash: hash(self.tee_request_hash.as_ref()?)?,
            output_hash: hash(self.tee_output_hash.as_ref()?)?,
            timestamp_s: self.tee_timestamp.as_ref()?.read()?,
            node: NodeId::parse(self.tee_id.as_ref()?)?,
        })
    }
}

fn hash(text: &str) -> Option<B256> {
    hex::decode_to_array(text)
        .ok()
        .map(|bytes: [u8; 32]| B256::from(bytes))
}

/// Reads a complete answer.
pub(super) fn parse_whole(body: &[u8], tools: bool) -> Result<Response, &'static str> {
    let whole: Whole = serde_json::from_slice(body).map_err(|_| "it is not a chat completion")?;
    let choice = whole
        .choices
        .into_iter()
        .next()
        .ok_or("it has no choices")?;
    let calls = ends_with_calls(choice.finish_reason.as_deref(), tools)?;
    let (text, tool_calls) = if calls {
        let calls = choice.message.tool_calls.unwrap_or_default();
        (String::new(), tools::whole(calls)?)
    } else {
        (choice.message.content.unwrap_or_default(), Vec::new())
    };
    refuse_no_calls(calls, &tool_calls)?;
    Ok(Response {
        text,
        tool_calls,
        proof: whole.proof.read(),
        usage: usage(whole.usage)?,
        published: Published::default(),
        used_bytes: 0,
        chunks: 1,
    })
}

/// Reads the outputs of a model. Their canonical form is what is signed, however they are written.
pub(super) fn parse_outputs(body: &[u8]) -> Result<Response, &'static str> {
    let proof: WireProof = serde_json::from_slice(body).map_err(|_| "it is no JSON object")?;
    let value = json::parse(body).map_err(|_| "it does not read")?;
    let outputs = value.get("outputs").ok_or("it has no outputs")?;
    let outputs = Outputs::from_value(outputs).map_err(|_| "its outputs are no tensors")?;
    let text = outputs_preimage(&outputs).map_err(|_| "its outputs are too long")?;
    Ok(Response {
        text,
        tool_calls: Vec::new(),
        proof: proof.read(),
        usage: None,
        published: Published::default(),
        used_bytes: 0,
        chunks: 1,
    })
}

/// What the node says that the call used; nothing where it says nothing.
fn usage(said: Option<serde_json::Value>) -> Result<Option<Usage>, &'static str> {
    said.filter(|said| !said.is_null())
        .map(serde_json::from_value)
        .transpose()
        .map_err(|_| "its usage does not read")
}

/// A streamed answer so far.
#[derive(Default)]
pub(super) struct Stream {
    text: String,
    /// Whether functions were offered.
    tools: bool,
    calls: Streamed,
    /// Whether the answer ends with calls of functions.
    ends_with_calls: bool,
    usage: Option<Usage>,
    proof: Option<Proof>,
    record: Option<Framed>,
    settle_reply: Option<Bytes>,
    complete: bool,
}

impl Stream {
    /// Nothing so far, of an answer that may call functions or not.
    pub(super) fn new(tools: bool) -> Self {
        Self {
            tools,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, event: Event) -> Result<(), &'static str> {
        if self.complete {
            return Err("it goes on after its end");
        }
        match event {
            Event::Comment(comment) => {
                let comment = comment.trim_ascii_start();
                if let Some(value) = comment.strip_prefix(SETTLEMENT_COMMENT) {
                    self.settle_reply = decode_header(value.trim_ascii()).ok().map(Bytes::from);
                }
                Ok(())
            }
            Event::Message { data, .. } if data == b"[DONE]" => {
                self.complete = true;
                Ok(())
            }
            Event::Message { data, .. } => self.frame(&data),
            _ => Ok(()),
        }
    }

    fn frame(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let frame: Frame = serde_json::from_slice(data).map_err(|_| "a frame is not JSON")?;
        if frame.error.is_some() {
            return Err("the node broke off the stream");
        }
        if let Some(choice) = frame.choices.into_iter().next() {
            self.ends_with_calls |= ends_with_calls(choice.finish_reason.as_deref(), self.tools)?;
            self.text
                .push_str(&choice.delta.content.unwrap_or_default());
            self.calls
                .push(choice.delta.tool_calls.unwrap_or_default())?;
        }
        if let Some(usage) = usage(frame.usage)? {
            self.usage = Some(usage);
        }
        if let Some(proof) = frame.proof.read() {
            self.proof = Some(proof);
        }
        if let Some(record) = frame.record.said() {
            self.record = Some(record);
        }
        Ok(())
    }

    /// The node's word about the settlement, as soon as it came.
    pub(super) fn take_settle_reply(&mut self) -> Option<Bytes> {
        self.settle_reply.take()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Ends the answer, of which the caller has used `used` bytes already and which came in
    /// `chunks` pieces.
    pub(super) fn finish(self, used: usize, chunks: u64) -> Result<Response, &'static str> {
        let (text, tool_calls) = if self.ends_with_calls {
            (String::new(), self.calls.finish())
        } else {
            (self.text, Vec::new())
        };
        refuse_no_calls(self.ends_with_calls, &tool_calls)?;
        Ok(Response {
            text,
            tool_calls,
            proof: self.proof,
            usage: self.usage,
            published: Published::default().framed(self.record),
            used_bytes: u64::try_from(used).map_err(|_| "it is too long")?,
            chunks,
        })
    }
}

/// Whether an answer ends with calls of functions, which then are what is signed: text beside them is not.
fn ends_with_calls(finish: Option<&str>, offered: bool) -> Result<bool, &'static str> {
    let calls = finish == Some("tool_calls");
    if calls && !offered {
        return Err("it calls tools, which were not offered");
    }
    Ok(calls)
}

fn refuse_no_calls(ends_with_calls: bool, calls: &[ToolCall]) -> Result<(), &'static str> {
    if ends_with_calls && calls.is_empty() {
        return Err("it ends with tool calls and has none");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
