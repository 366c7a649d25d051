//! 9. execute: the paid request, presented again unchanged if the reply is lost.

mod answer;
mod pace;

use bytes::Bytes;
use core::time::Duration;
use http::{HeaderMap, HeaderValue, header};
use seamline_core::binding;
use seamline_core::receipt as event;
use seamline_evm::registry::NodeRecord;
use seamline_evm::upto::Authorization;
use seamline_evm::x402::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE, Reason, decode_header};
use seamline_net::client::{Body, Error as NetError};

use super::attest::Enclave;
use super::offer::{chat_url, offers};
use super::verify::Proof;
use super::{Call, word};
use crate::error::ErrorKind;
use crate::step::Step;

/// How often one authorization is presented: once, and twice more after a lost reply.
const MAX_PRESENTATIONS: u32 = 3;
/// Wait before the first re-presentation; doubled for the next.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// A node's `Retry-After` is followed up to here: a peer does not set our timers.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What came back for the money.
pub(super) struct Response {
    pub(super) text: String,
    pub(super) proof: Option<Proof>,
    /// Raw JSON of the node's word about the settlement.
    pub(super) settle_reply: Option<Bytes>,
    /// Bytes of the answer that the caller had before the signature could be checked.
    pub(super) used_bytes: u64,
}

/// How one presentation ended.
enum Presented {
    Answered(Response),
    /// The same bytes may be presented again: the reply was lost, or the node asks for patience.
    Again {
        failure: ErrorKind,
        wait: Option<Duration>,
    },
    Refused(ErrorKind),
}

impl Call<'_> {
    pub(super) async fn execute(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        authorization: &Authorization,
    ) -> Result<Response, ErrorKind> {
        self.begin(Step::Execute, &format!("node {}", record.node.short()));
        // What was handed to the caller already, when a stream broke and is read again.
        let mut delivered = String::new();
        let mut lost = None;
        let mut wait = FIRST_WAIT;
        for attempt in 1..=MAX_PRESENTATIONS {
            let failure = match self
                .present(record, enclave, authorization, &mut delivered)
                .await
            {
                Presented::Answered(response) => {
                    self.record_end(&response);
                    self.done();
                    return Ok(response);
                }
                // After a lost reply a refusal is only an echo of it: the first failure says more.
                Presented::Refused(failure) => return Err(lost.unwrap_or(failure)),
                Presented::Again {
                    failure,
                    wait: asked,
                } => {
                    wait = asked.unwrap_or(wait).min(MAX_WAIT);
                    failure
                }
            };
            if attempt == MAX_PRESENTATIONS {
                return Err(lost.unwrap_or(failure));
            }
            self.event(event::Retried {
                cause: word(&failure.code()),
                attempt: self.requests,
                wait_ms: crate::client::millis(wait),
            });
            lost.get_or_insert(failure);
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        Err(ErrorKind::Interrupted {
            node: record.node,
            source: None,
        })
    }

    /// Presents the authorization once.
    async fn present(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        authorization: &Authorization,
        delivered: &mut String,
    ) -> Presented {
        let node = record.node;
        let Ok(payment) = HeaderValue::from_str(&authorization.payload.to_header()) else {
            return Presented::Refused(ErrorKind::Answer {
                node,
                what: "the payment is no header",
            });
        };
        let mut headers = self.headers();
        headers.insert(PAYMENT_SIGNATURE, payment);
        self.record_request(record, true);
        let exchanged = enclave
            .http
            .post_json(&chat_url(record), headers, self.body.clone())
            .await;
        self.sent |= exchanged
            .as_ref()
            .err()
            .is_none_or(NetError::may_have_been_sent);
        let response = match exchanged {
            Ok(response) => response,
            Err(source) => return lost_reply(record, source),
        };
        let status = response.status().as_u16();
        self.event(event::ResponseFirst {
            status: u32::from(status),
        });
        match status {
            200 => match self.read(record, response, delivered).await {
                Ok(read) => Presented::Answered(read),
                Err(failure @ ErrorKind::Interrupted { .. }) => Presented::Again {
                    failure,
                    wait: None,
                },
                Err(failure) => Presented::Refused(failure),
            },
            402 => Presented::Refused(refusal(record, response.headers(), authorization)),
            // In flight at the node, or the settlement is pending: the same bytes, later.
            409 | 425 | 429 | 503 => {
                let wait = retry_after(response.headers());
                Presented::Again {
                    failure: ErrorKind::Status { node, status },
                    wait,
                }
            }
            _ => Presented::Refused(ErrorKind::Status { node, status }),
        }
    }

    async fn read(
        &mut self,
        record: &NodeRecord,
        response: http::Response<Body>,
        delivered: &mut String,
    ) -> Result<Response, ErrorKind> {
        let node = record.node;
        let header_reply = settle_reply(response.headers());
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let streams = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let mut read = if streams {
            self.read_stream(record, response.into_body(), delivered)
                .await?
        } else {
            let interrupted = |source| ErrorKind::Interrupted {
                node,
                source: Some(source),
            };
            let body = response.into_body().bytes().await.map_err(interrupted)?;
            answer::parse_whole(&body).map_err(|what| ErrorKind::Answer { node, what })?
        };
        read.settle_reply = read.settle_reply.or(header_reply);
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
        let mut answer = answer::Stream::default();
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
            self.deliver(answer.text(), delivered).map_err(malformed)?;
        }
        if !answer.is_complete() {
            return Err(interrupted(None));
        }
        answer.finish(delivered.len()).map_err(malformed)
    }

    /// Hands on what the caller has not seen yet. A stream that is read again must begin with what
    /// was delivered before.
    fn deliver(&mut self, text: &str, delivered: &mut String) -> Result<(), &'static str> {
        if !self.chat.stream || text.len() <= delivered.len() {
            return Ok(());
        }
        let fresh = text
            .strip_prefix(delivered.as_str())
            .ok_or("the answer changed when it was asked for again")?;
        self.watch.text(fresh, false);
        delivered.push_str(fresh);
        Ok(())
    }

    fn record_end(&mut self, response: &Response) {
        let bytes = u64::try_from(response.text.len()).unwrap_or(u64::MAX);
        let output_commitment =
            binding::output_commitment(&self.output_salt, response.text.as_bytes());
        self.event(event::ResponseEnded {
            bytes,
            chunks: 1,
            output_commitment,
        });
    }
}

/// A failed exchange: worth presenting again, whether or not the node saw it.
fn lost_reply(record: &NodeRecord, source: NetError) -> Presented {
    let node = record.node;
    let failure = if source.may_have_been_sent() {
        ErrorKind::Interrupted {
            node,
            source: Some(source),
        }
    } else {
        ErrorKind::Unreachable { node, source }
    };
    Presented::Again {
        failure,
        wait: None,
    }
}

/// Reads a 402 to a paid request: another price than the one accepted, or a reason.
fn refusal(record: &NodeRecord, headers: &HeaderMap, paid: &Authorization) -> ErrorKind {
    let node = record.node;
    let Some(Ok(required)) = offers(headers) else {
        let reason = settle_reply(headers)
            .and_then(|json| seamline_evm::x402::SettleResponse::parse(&json).ok())
            .and_then(|reply| reply.error_reason)
            .unwrap_or_else(|| Reason::from("no reason given"));
        return ErrorKind::PaymentRefused { node, reason };
    };
    let accepted = paid.payload.accepted();
    if required
        .offers
        .iter()
        .any(|offer| offer.terms().mismatch(accepted.terms()).is_none())
    {
        let reason = Reason::from(required.error.as_deref().unwrap_or("no reason given"));
        ErrorKind::PaymentRefused { node, reason }
    } else {
        ErrorKind::OfferChanged { node }
    }
}

/// The raw JSON of the one `PAYMENT-RESPONSE` header.
fn settle_reply(headers: &HeaderMap) -> Option<Bytes> {
    let value = headers.get(PAYMENT_RESPONSE)?;
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
