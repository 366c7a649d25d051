//! 9. execute: the paid request, presented again unchanged if the reply is lost.

mod answer;
mod pace;
mod tools;

use core::time::Duration;
use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use seamline_core::binding;
use seamline_core::receipt::{self as event, EvidenceType};
use seamline_evm::payment::Event;
use seamline_evm::registry::NodeRecord;
use seamline_evm::scheme::SignedAuthorization;
use seamline_evm::x402::{
    PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, Reason, decode_header,
};
use seamline_net::client::{Body, Error as NetError};
use tokio::time::Instant;

use super::attest::Enclave;
use super::offer::offers;
use super::verify::Proof;
use super::{Call, word};
use crate::chat::ToolCall;
use crate::dialect::{Published, Usage};
use crate::error::ErrorKind;
use crate::leg::{FIRST_WAIT, MAX_WAIT, Next, UNPROMISED_WAIT};
use crate::step::Step;

/// What came back for the money.
pub(super) struct Response {
    pub(super) text: String,
    /// The functions that it calls; text beside them is not signed, and `text` is empty then.
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) proof: Option<Proof>,
    /// What it says beside its signature.
    pub(super) usage: Option<Usage>,
    pub(super) published: Published,
    /// Bytes of the answer that the caller had before the signature could be checked.
    pub(super) used_bytes: u64,
    /// Pieces in which the answer arrived; one where it came whole.
    pub(super) chunks: u64,
}

impl Response {
    /// The text whose hash is signed: the tool calls where the answer ends with them, else the text.
    pub(super) fn preimage(&self) -> Cow<'_, str> {
        if self.tool_calls.is_empty() {
            return Cow::Borrowed(&self.text);
        }
        Cow::Owned(tools::preimage(&self.tool_calls))
    }
}

/// How one presentation ended.
pub(super) enum Presented {
    Answered(Response),
    /// The reply was lost, or the node asks for patience: the payment says whether the same bytes
    /// are presented again.
    Lost {
        failure: ErrorKind,
        heard: Event,
        wait: Option<Duration>,
    },
    /// An answer of no use: presenting the same bytes again would bring the same.
    Useless(ErrorKind),
}

impl Call<'_> {
    pub(super) async fn execute(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        authorization: &SignedAuthorization,
    ) -> Result<Response, ErrorKind> {
        self.begin(Step::Execute, &format!("node {}", record.node.short()));
        let payload = &authorization.payload;
        let payment = payment_header(record, payload)?;
        // What was handed to the caller already, when a stream broke and is read again.
        let mut delivered = String::new();
        let mut lost = None;
        let mut wait = FIRST_WAIT;
        loop {
            // Nothing leaves without the payment's consent.
            self.leg.tell(Event::Sent)?;
            let presented = self
                .present(record, enclave, &payment, payload, &mut delivered)
                .await;
            let (failure, heard, asked) = match presented {
                Presented::Answered(response) => {
                    self.record_end(&response);
                    self.done();
                    return Ok(response);
                }
                // After a lost reply a refusal is only an echo of it: the first failure says more.
                Presented::Useless(failure) => return Err(lost.unwrap_or(failure)),
                // Presented again, it would be another inference for the same money.
                Presented::Lost { failure, heard, .. }
                    if heard == Event::ReplyLost && !enclave.dialect.answers_again() =>
                {
                    return Err(failure);
                }
                Presented::Lost {
                    failure,
                    heard,
                    wait,
                } => (failure, heard, wait),
            };
            wait = asked.unwrap_or(wait).min(MAX_WAIT);
            let cause = word(&failure.code());
            lost.get_or_insert(failure);
            self.leg.replied = Instant::now();
            match (self.leg.pay(heard, UNPROMISED_WAIT).await?, lost.take()) {
                (Next::Report, Some(failure)) => return Err(failure),
                (_, kept) => lost = kept,
            }
            self.event(event::Retried {
                cause,
                attempt: self.requests,
                wait_ms: crate::client::millis(wait),
            });
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    /// Presents the payment once.
    pub(super) async fn present(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        payment: &HeaderValue,
        payload: &PaymentPayload,
        delivered: &mut String,
    ) -> Presented {
        let node = record.node;
        let mut headers = self.headers();
        headers.insert(PAYMENT_SIGNATURE, payment.clone());
        self.record_request(record, true);
        let exchanged = enclave
            .http
            .post_json(&self.url(record), headers, self.body.clone())
            .await;
        let response = match exchanged {
            Ok(response) => response,
            Err(source) => return lost_reply(record, source),
        };
        let status = response.status().as_u16();
        self.event(event::ResponseFirst {
            status: u32::from(status),
        });
        if let Some(reply) = settle_reply(response.headers()) {
            self.settle_reply = Some(reply);
        }
        match status {
            200 => match self.read(record, response, delivered).await {
                Ok(read) => Presented::Answered(read),
                Err(failure @ ErrorKind::Interrupted { .. }) => Presented::Lost {
                    failure,
                    heard: Event::ReplyLost,
                    wait: None,
                },
                Err(failure) => Presented::Useless(failure),
            },
            402 => {
                let (failure, reason) = refusal(record, response.headers(), payload);
                self.refused = Some(reason);
                self.fresh = offers(response.headers()).and_then(Result::ok);
                Presented::Useless(failure)
            }
            // In flight at the node, or the settlement is pending: the same bytes, later.
            409 | 425 | 429 | 503 => {
                let wait = retry_after(response.headers());
                Presented::Lost {
                    failure: ErrorKind::Status { node, status },
                    heard: Event::ReplyLost,
                    wait,
                }
            }
            _ => Presented::Useless(ErrorKind::Status { node, status }),
        }
    }

    async fn read(
        &mut self,
        record: &NodeRecord,
        response: http::Response<Body>,
        delivered: &mut String,
    ) -> Result<Response, ErrorKind> {
        let node = record.node;
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let streams = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let published = Published::of(response.headers());
        if streams && self.ask.is_chat() {
            let body = response.into_body();
            let mut read = self.read_stream(record, body, delivered).await?;
            read.published = published.framed(read.published.take_frame());
            return Ok(read);
        }
        let interrupted = |source| ErrorKind::Interrupted {
            node,
            source: Some(source),
        };
        let body = response.into_body().bytes().await.map_err(interrupted)?;
        let tools = self.ask.offers_tools();
        let read = if self.ask.is_chat() {
            answer::parse_whole(&body, tools)
        } else {
            answer::parse_outputs(&body)
        };
        let mut read = read.map_err(|what| ErrorKind::Answer { node, what })?;
        read.published = published;
        Ok(read)
    }

    async fn read_stream(
        &mut self,
        record: &NodeRecord,
        mut body: Body,
        delivered: &mut String,
    ) -> Result<Response, ErrorKind> {
        let node = record.node;
        let interrupted = |source| ErrorKind::Interrupted { node, source };
        let malformed = |what| ErrorKind::Answer { node, what };
        let mut answer = answer::Stream::new(self.ask.offers_tools());
        let mut pace = pace::Pace::start();
        let mut decoder = seamline_net::sse::Decoder::new();
        let mut events = Vec::new();
        while let Some(piece) = body
            .chunk()
            .await
            .map_err(|source| interrupted(Some(source)))?
        {
            if let Some(stall) = pace.arrived() {
                self.event(stall);
            }
            decoder
                .feed(&piece, &mut events)
                .map_err(|_| malformed("the stream is no event stream"))?;
            for event in events.drain(..) {
                answer.take(event).map_err(malformed)?;
            }
            if let Some(reply) = answer.take_settle_reply() {
                self.settle_reply = Some(reply);
            }
            self.deliver(answer.text(), delivered).map_err(malformed)?;
        }
        if !answer.is_complete() {
            return Err(interrupted(None));
        }
        answer
            .finish(delivered.len(), pace.chunks())
            .map_err(malformed)
    }

    /// Hands on what the caller has not seen yet. A stream that is read again must begin with what
    /// was delivered before.
    fn deliver(&mut self, text: &str, delivered: &mut String) -> Result<(), &'static str> {
        // Text beside calls is not signed, and whether there are calls only the end says.
        if !self.ask.stream() || self.ask.offers_tools() || text.len() <= delivered.len() {
            return Ok(());
        }
        let fresh = text
            .strip_prefix(delivered.as_str())
            .ok_or("the answer changed when it was asked for again")?;
        self.watch.text(fresh, false);
        delivered.push_str(fresh);
        Ok(())
    }

    pub(super) fn record_end(&mut self, response: &Response) {
        let output = response.preimage();
        let bytes = u64::try_from(output.len()).unwrap_or(u64::MAX);
        let output_commitment = binding::output_commitment(&self.output_salt, output.as_bytes());
        if self.ask.contents() {
            let output = [self.output_salt.as_slice(), output.as_bytes()].concat();
            self.attach(EvidenceType::Output, output);
        }
        self.event(event::ResponseEnded {
            bytes,
            chunks: response.chunks,
            output_commitment,
        });
    }
}

/// The payment as a header, the same bytes every time.
pub(super) fn payment_header(
    record: &NodeRecord,
    payload: &PaymentPayload,
) -> Result<HeaderValue, ErrorKind> {
    let mut payment =
        HeaderValue::from_str(&payload.to_header()).map_err(|_| ErrorKind::Answer {
            node: record.node,
            what: "its offer makes no header",
        })?;
    // Whoever holds it can settle it: out of logs and out of HPACK's table.
    payment.set_sensitive(true);
    Ok(payment)
}

/// A failed exchange: worth presenting again, whether or not the node saw it.
fn lost_reply(record: &NodeRecord, source: NetError) -> Presented {
    let node = record.node;
    let (heard, failure) = if source.may_have_been_sent() {
        let source = Some(source);
        (Event::ReplyLost, ErrorKind::Interrupted { node, source })
    } else {
        (Event::NotSent, ErrorKind::Unreachable { node, source })
    };
    Presented::Lost {
        failure,
        heard,
        wait: None,
    }
}

/// Reads a 402 to a paid request: another price than the one accepted, or a reason.
fn refusal(record: &NodeRecord, headers: &HeaderMap, paid: &PaymentPayload) -> (ErrorKind, Reason) {
    let node = record.node;
    let refused = |reason: Reason| {
        // The node has read the prompt by now: text of its own choice stays out of errors and logs.
        let known = !matches!(reason, Reason::Other(_));
        let reason = if known {
            reason
        } else {
            Reason::from("unknown_reason")
        };
        let kind = ErrorKind::PaymentRefused {
            node,
            reason: reason.clone(),
        };
        (kind, reason)
    };
    let Some(Ok(required)) = offers(headers) else {
        let reason = settle_reply(headers)
            .and_then(|json| seamline_evm::x402::SettleResponse::parse(&json).ok())
            .and_then(|reply| reply.error_reason)
            .unwrap_or_else(|| Reason::from("unknown_reason"));
        return refused(reason);
    };
    let accepted = paid.accepted();
    let reason = Reason::from(required.error.as_deref().unwrap_or("unknown_reason"));
    let mut offers = required.offers.iter();
    if offers.any(|offer| offer.terms().mismatch(accepted.terms()).is_none()) {
        refused(reason)
    } else {
        (ErrorKind::OfferChanged { node }, reason)
    }
}

/// The raw JSON of the one `PAYMENT-RESPONSE` header.
fn settle_reply(headers: &HeaderMap) -> Option<Bytes> {
    let mut values = headers.get_all(PAYMENT_RESPONSE).iter();
    let (value, second) = (values.next()?, values.next());
    if second.is_some() {
        return None;
    }
    decode_header(value.as_bytes()).ok().map(Bytes::from)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
