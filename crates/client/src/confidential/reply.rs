//! What an enclave answered, proven.

use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::{message_hash, output_hash};
use seamline_core::{B256, NodeId, Timestamp};
use seamline_net::sse::{Decoder, Event};
use seamline_ohttp::ClientExchange;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Opened;
use super::key::{EnclaveKey, Vouched};

/// A proven answer.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answered {
    /// The text.
    pub text: String,
    /// The enclave that signed it.
    pub node: NodeId,
    /// Who vouches for the key that the request was sealed with.
    pub vouched: Vouched,
    /// The time that the enclave signed.
    pub signed_at: Timestamp,
}

/// Why an answer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerRefused {
    /// It is no chat completion, or one of tool calls.
    #[error("it is no chat completion of text")]
    Malformed,
    /// A part of the signature is missing.
    #[error("it is not signed")]
    Missing,
    /// It is another enclave's.
    #[error("another enclave signed it")]
    Node,
    /// It answers another request.
    #[error("it answers another request")]
    Request,
    /// The text is not the one that was signed.
    #[error("the text is not the one that was signed")]
    Output,
    /// It was signed at another time.
    #[error("it was signed at another time")]
    Time,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
}

/// How far a signed time may be from ours, as of an open call.
const MAX_SKEW: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    choices: Vec<Choice>,
    tee_signature: Option<String>,
    tee_request_hash: Option<String>,
    tee_output_hash: Option<String>,
    tee_timestamp: Option<u64>,
    tee_id: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Said>,
    delta: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    #[serde(default)]
    tool_calls: serde_json::Value,
}

pub(super) fn verify(
    opened: &Opened,
    key: &EnclaveKey,
    input_hash: B256,
    now: Timestamp,
) -> Result<Answered, AnswerRefused> {
    let (text, last) = match opened {
        Opened::Whole(body) => {
            let body = parse(body)?;
            (text_of(&body)?, body)
        }
        Opened::Stream(events) => read_stream(events)?,
    };
    // What the enclave says about the hashes is only compared.
    let missing = AnswerRefused::Missing;
    let signature = last.tee_signature.ok_or(missing)?;
    let signature = STANDARD.decode(signature).map_err(|_| missing)?;
    let said_request = hash(last.tee_request_hash.as_deref()).ok_or(missing)?;
    let said_output = hash(last.tee_output_hash.as_deref()).ok_or(missing)?;
    let timestamp_s = last.tee_timestamp.ok_or(missing)?;
    let node = last.tee_id.as_deref().and_then(NodeId::parse);
    if node.ok_or(missing)? != key.node() {
        return Err(AnswerRefused::Node);
    }
    if said_request != input_hash {
        return Err(AnswerRefused::Request);
    }
    let output_hash = output_hash(&text);
    if said_output != output_hash {
        return Err(AnswerRefused::Output);
    }
    let signed_at = Timestamp::from_secs(timestamp_s);
    let skew = now
        .saturating_since(signed_at)
        .max(signed_at.saturating_since(now));
    if skew > MAX_SKEW {
        return Err(AnswerRefused::Time);
    }
    let message = message_hash(input_hash, output_hash, timestamp_s);
    verify_rsa_pss(key.signing_key(), &message, &signature)
        .map_err(|_| AnswerRefused::Signature)?;
    Ok(Answered {
        text,
        node: key.node(),
        vouched: key.vouched(),
        signed_at,
    })
}

/// What an enclave said about a refusal, sealed in the body of an error.
pub(super) fn said(body: &[u8], exchange: ClientExchange) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Deserialize)]
    struct Error {
        sealed: String,
    }
    let error: Error = serde_json::from_slice(body).ok()?;
    exchange.open(&STANDARD.decode(error.sealed).ok()?).ok()
}

fn parse(body: &[u8]) -> Result<Body, AnswerRefused> {
    serde_json::from_slice(body).map_err(|_| AnswerRefused::Malformed)
}

/// The text of the one choice. Tool calls are signed as another text, and refused here.
fn text_of(body: &Body) -> Result<String, AnswerRefused> {
    let mut text = String::new();
    for choice in body.choices.iter().take(1) {
        if choice.finish_reason.as_deref() == Some("tool_calls") {
            return Err(AnswerRefused::Malformed);
        }
        for said in [&choice.message, &choice.delta].into_iter().flatten() {
            if !said.tool_calls.is_null() {
                return Err(AnswerRefused::Malformed);
            }
            text.push_str(said.content.as_deref().unwrap_or_default());
        }
    }
    Ok(text)
}

/// The text of all frames, and the signed last one before `[DONE]`, which must have come.
fn read_stream(events: &[u8]) -> Result<(String, Body), AnswerRefused> {
    let malformed = AnswerRefused::Malformed;
    let mut text = String::new();
    let (mut last, mut done) = (None, false);
    for data in data_of(events)? {
        if done {
            return Err(malformed);
        }
        if data == b"[DONE]" {
            done = true;
            continue;
        }
        let frame = parse(&data)?;
        text.push_str(&text_of(&frame)?);
        last = Some(frame);
    }
    if !done {
        return Err(malformed);
    }
    Ok((text, last.ok_or(AnswerRefused::Missing)?))
}

fn data_of(stream: &[u8]) -> Result<Vec<Vec<u8>>, AnswerRefused> {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    let fed = decoder.feed(stream, &mut events);
    fed.and_then(|()| decoder.finish())
        .map_err(|_| AnswerRefused::Malformed)?;
    let data = events.into_iter().filter_map(|event| match event {
        Event::Message { data, .. } => Some(data),
        Event::Comment(_) | _ => None,
    });
    Ok(data.collect())
}

fn hash(text: Option<&str>) -> Option<B256> {
    let bytes: [u8; 32] = hex::decode_to_array(text?).ok()?;
    Some(bytes.into())
}

impl core::fmt::Debug for Answered {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Answered")
            .field("node", &self.node)
            .field("vouched", &self.vouched)
            .field("signed_at", &self.signed_at)
            .finish_non_exhaustive()
    }
}
