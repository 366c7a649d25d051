//! From an answer of the enclave to what the relay carries.

use axum::body::{Body, BodyDataStream, to_bytes};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, StatusCode, header};
use seamline_net::{Meter, PaymentContext, ReadOn, Streamed};
use seamline_ohttp::{
    Billing, ChunkSealer, Error, MEDIA_CHUNKED_RESPONSE, MEDIA_RESPONSE, ServerExchange, bhttp,
};

use super::entropy;
use crate::price::CallPrice;

/// Longest answer that is sealed as one message, and longest event of a stream: as long as a client of ours
/// reads.
const WHOLE: usize = 16 * 1024 * 1024;

/// What an answer cost, in clear, for the relay.
const COST: HeaderName = HeaderName::from_static("x-inference-cost-opg");
const COST_USD: HeaderName = HeaderName::from_static("x-inference-cost-usd");
const PRICE: HeaderName = HeaderName::from_static("x-inference-price-opg-usd");

/// Whether a handler's answer flows.
fn is_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    value.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// OpenGradient's format: a whole answer as one message, an event stream as chunks, an error in clear as
/// far as its status goes. What an error says is about the request, so that part is sealed.
pub(super) async fn opengradient(
    response: Response,
    exchange: ServerExchange,
    payment: &PaymentContext,
) -> Result<Response, Error> {
    let (head, body) = response.into_parts();
    let price = head.extensions.get::<Worth>().copied();
    if head.status.is_success() && is_stream(&head.headers) {
        let bill = Bill {
            meter: payment.meter.clone(),
            price,
        };
        let read_on = head.extensions.get::<ReadOn>().copied();
        return streamed(body, exchange, bill, read_on);
    }
    let body = to_bytes(body, WHOLE).await.map_err(|_| Error::Seal)?;
    let entropy = entropy().map_err(|_| Error::Seal)?;
    if head.status.is_success() {
        let sealed = exchange.seal(&body, entropy)?;
        let media_type = [(header::CONTENT_TYPE, MEDIA_RESPONSE)];
        let mut response = (head.status, media_type, sealed).into_response();
        let bill = Bill {
            meter: payment.meter.clone(),
            price,
        };
        let Billing {
            cost_opg,
            cost_usd,
            opg_price_usd,
        } = bill.now();
        let said = [
            (COST, cost_opg),
            (COST_USD, cost_usd),
            (PRICE, opg_price_usd),
        ];
        for (name, value) in said {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        return Ok(response);
    }
    let text = match head.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "Try again later",
        status if status.is_client_error() => "The request was refused",
        _ => "Request processing failed",
    };
    let said = String::from_utf8_lossy(&body);
    let said = serde_json::from_str(&said)
        .unwrap_or_else(|_| serde_json::Value::String(said.clone().into_owned()));
    let envelope = serde_json::json!({ "status": head.status.as_u16(), "body": said });
    let sealed = exchange.seal(envelope.to_string().as_bytes(), entropy)?;
    let body = serde_json::json!({ "error": text, "sealed": BASE64.encode(sealed) });
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((head.status, json, body.to_string()).into_response())
}

/// RFC 9458: every answer whole and sealed, whatever its status.
pub(super) async fn binary(
    response: Response,
    exchange: ServerExchange,
) -> Result<Response, Error> {
    let (head, body) = response.into_parts();
    let content = to_bytes(body, WHOLE).await.map_err(|_| Error::Seal)?;
    let media_type = head.headers.get(header::CONTENT_TYPE);
    let fields = media_type.map(|value| ("content-type".to_owned(), value.as_bytes().to_vec()));
    let answer = bhttp::Response {
        status: head.status.as_u16(),
        fields: fields.into_iter().collect(),
        content: content.to_vec(),
        trailers: Vec::new(),
    };
    let len = seamline_ohttp::bucket(content.len().saturating_add(64));
    let entropy = entropy().map_err(|_| Error::Seal)?;
    let sealed = exchange.seal(&answer.encode(len)?, entropy)?;
    let media_type = [(header::CONTENT_TYPE, MEDIA_RESPONSE)];
    Ok((media_type, sealed).into_response())
}

fn streamed(
    body: Body,
    exchange: ServerExchange,
    bill: Bill,
    read_on: Option<ReadOn>,
) -> Result<Response, Error> {
    let (start, sealer) = exchange.seal_chunked(entropy().map_err(|_| Error::Seal)?)?;
    let state = Chunks {
        start: Some(start),
        sealer: Some(sealer),
        events: body.into_data_stream(),
        buffer: BytesMut::new(),
        rest: Bytes::new(),
        held: None,
        bill,
    };
    let chunks = stream::unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Some((piece, state))
    })
    .fuse();
    let media_type = [(header::CONTENT_TYPE, MEDIA_CHUNKED_RESPONSE)];
    let mut response = (media_type, Body::from_stream(chunks)).into_response();
    let extensions = response.extensions_mut();
    extensions.insert(Streamed);
    if let Some(read_on) = read_on {
        extensions.insert(read_on);
    }
    Ok(response)
}

/// One event of the stream in each chunk; one that is longer than a chunk in several.
struct Chunks {
    start: Option<Vec<u8>>,
    sealer: Option<ChunkSealer>,
    events: BodyDataStream,
    buffer: BytesMut,
    /// What is left of an event that is longer than a chunk.
    rest: Bytes,
    /// `data: [DONE]`, which waits for the end: the last chunk is sealed differently.
    held: Option<Bytes>,
    bill: Bill,
}

const DONE: &[u8] = b"data: [DONE]\n\n";
/// Longest chunk in clear: a client's longest, without the tag.
const CHUNK: usize = 1024 * 1024 - 16;

impl Chunks {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Some(start) = self.start.take() {
            return Some(Ok(start.into()));
        }
        // Over: the inner stream must not be asked again.
        let _ = self.sealer.as_ref()?;
        loop {
            if self.rest.is_empty()
                && let Some(event) = self.event()
            {
                if event == DONE && self.held.is_none() {
                    self.held = Some(event);
                    continue;
                }
                // Whatever follows the end goes before it.
                self.rest = event;
            }
            if !self.rest.is_empty() {
                let part = self.rest.split_to(self.rest.len().min(CHUNK));
                let sealed = self.sealer.as_mut()?.seal(&part);
                return Some(self.or_end(sealed.map(Bytes::from)));
            }
            match self.events.next().await {
                Some(Ok(bytes)) if self.buffer.len().saturating_add(bytes.len()) <= WHOLE => {
                    self.buffer.extend_from_slice(&bytes);
                }
                // A stream that breaks has no final chunk, and no client takes it for a whole one.
                Some(Ok(_) | Err(_)) => return Some(self.or_end(Err(Error::Seal))),
                None => return self.end(),
            }
        }
    }

    /// An event with its empty line.
    fn event(&mut self) -> Option<Bytes> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        Some(self.buffer.split_to(end.saturating_add(2)).freeze())
    }

    /// The billing frame and the final chunk.
    fn end(&mut self) -> Option<Result<Bytes, Error>> {
        let sealer = self.sealer.take()?;
        let Some(last) = self.held.take().filter(|_| self.buffer.is_empty()) else {
            return Some(Err(Error::Truncated(seamline_ohttp::Part::Response)));
        };
        let billing = self.bill.now().encode();
        let end = billing.and_then(|billing| {
            let last = sealer.finish(&last)?;
            Ok(Bytes::from([billing, last].concat()))
        });
        Some(end)
    }

    fn or_end(&mut self, piece: Result<Bytes, Error>) -> Result<Bytes, Error> {
        if piece.is_err() {
            self.sealer = None;
        }
        piece
    }
}

/// The price of a call, for the bill: in the extensions of a handler's answer.
#[derive(Clone, Copy)]
pub(crate) struct Worth(pub(crate) CallPrice);

/// What is due, as it is said in clear.
struct Bill {
    meter: Meter,
    price: Option<Worth>,
}

impl Bill {
    /// Dollars at the rate that the call was priced at. Where a price is in the token itself, no rate was
    /// asked for, and zero stands for "not known".
    fn now(&self) -> Billing {
        let cost = self.meter.get();
        let zero = || "0".to_owned();
        let said = self.price.and_then(|Worth(price)| price.statement(cost));
        let [_, cost_usd, opg_price_usd] = said.unwrap_or_else(|| [zero(), zero(), zero()]);
        Billing {
            cost_opg: cost.to_string(),
            cost_usd: if cost_usd.is_empty() {
                zero()
            } else {
                cost_usd
            },
            opg_price_usd,
        }
    }
}
