//! Reading an enclave's answer: one JSON body, or a stream of frames.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use seamline_core::{B256, NodeId};
use seamline_evm::x402::decode_header;
use seamline_net::sse::Event;
use serde::Deserialize;

use super::Response;
use crate::call::verify::Proof;

/// SSE comment that carries the settlement of a streamed answer.
const SETTLEMENT_COMMENT: &[u8] = b"seamline-settlement ";

#[derive(Deserialize)]
struct Whole {
    choices: Vec<WholeChoice>,
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
}

#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    choices: Vec<FrameChoice>,
    error: Option<serde_json::Value>,
    #[serde(flatten)]
    proof: WireProof,
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
}

#[derive(Deserialize)]
struct WireProof {
    tee_signature: Option<String>,
    tee_request_hash: Option<String>,
    tee_output_hash: Option<String>,
    tee_timestamp: Option<u64>,
    tee_id: Option<String>,
}

impl WireProof {
    /// All five fields, well-formed, or nothing: half a proof proves nothing.
    fn read(&self) -> Option<Proof> {
        Some(Proof {
            signature: STANDARD.decode(self.tee_signature.as_ref()?).ok()?,
            request_hash: hash(self.tee_request_hash.as_ref()?)?,
            output_hash: hash(self.tee_output_hash.as_ref()?)?,
            timestamp_s: self.tee_timestamp?,
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
pub(super) fn parse_whole(body: &[u8]) -> Result<Response, &'static str> {
    let whole: Whole = serde_json::from_slice(body).map_err(|_| "it is not a chat completion")?;
    let choice = whole
        .choices
        .into_iter()
        .next()
        .ok_or("it has no choices")?;
    refuse_tools(choice.finish_reason.as_deref())?;
    Ok(Response {
        text: choice.message.content.unwrap_or_default(),
        proof: whole.proof.read(),
        used_bytes: 0,
        chunks: 1,
    })
}

/// A streamed answer so far.
#[derive(Default)]
pub(super) struct Stream {
    text: String,
    proof: Option<Proof>,
    settle_reply: Option<Bytes>,
    complete: bool,
}

impl Stream {
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
            refuse_tools(choice.finish_reason.as_deref())?;
            self.text
                .push_str(&choice.delta.content.unwrap_or_default());
        }
        if let Some(proof) = frame.proof.read() {
            self.proof = Some(proof);
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
        Ok(Response {
            text: self.text,
            proof: self.proof,
            used_bytes: u64::try_from(used).map_err(|_| "it is too long")?,
            chunks,
        })
    }
}

/// Text that accompanies tool calls is not signed, so an answer with tool calls is not one that this
/// version can prove.
fn refuse_tools(finish: Option<&str>) -> Result<(), &'static str> {
    if finish == Some("tool_calls") {
        return Err("it calls tools, which were not offered");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
