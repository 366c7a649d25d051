mod reply;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use seamline_core::json::{self, Keys, Object, Value};
use seamline_net::client::Body;
use seamline_net::{ClientOptions, HttpClient, client, http_client, sse};
use zeroize::Zeroizing;

use self::reply::{ANSWER_BYTES, Parsed, Streamed, parse_images, parse_whole};
use crate::keys::ProviderKeys;
use crate::upstream::{ChatJob, Piece, Pieces, Upstream, UpstreamError, UpstreamFuture};

/// Any OpenAI-compatible endpoint as an upstream: a model API over HTTPS, or a local server over
/// HTTP on loopback.
///
/// Forwards what the signed hash covers and the members that sample or pace an answer, as they came;
/// the model's name there, `stream` (it asks for usage at the end) and the bound on tokens are the
/// enclave's. Nothing else: other members could make the endpoint answer another question than the
/// one that the signature names (`functions`, `logit_bias`, a template of one's own), or cost more
/// than the price knows (`n`, `service_tier`, `web_search_options`).
///
/// # Retries
///
/// None: an upstream that bills would bill twice.
pub struct OpenAiUpstream {
    client: HttpClient,
    url: String,
    authorization: Option<HeaderValue>,
    keys: Option<(ProviderKeys, &'static str)>,
    image_models: BTreeSet<String>,
    images_url: String,
    /// Our model id, and the id of the same model at the endpoint.
    models: BTreeMap<String, String>,
}

/// How to reach an OpenAI-compatible endpoint.
#[expect(
    missing_debug_implementations,
    reason = "it holds an API key, and Debug is how it would reach a log"
)]
pub struct OpenAiOptions {
    /// URL up to and including `/v1`, without a trailing slash.
    pub base_url: String,
    /// API key, sent as a bearer token; `None` sends no `Authorization`.
    pub api_key: Option<Zeroizing<String>>,
    /// Model ids to offer (lower case), each with the endpoint's own id.
    pub models: BTreeMap<String, String>,
    /// Limits and the pinned certificate of the endpoint.
    pub client: ClientOptions,
}

impl OpenAiUpstream {
    /// Sets up the client; connects to nothing.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Malformed`] for a key that cannot stand in a header,
    /// [`UpstreamError::Unreachable`] where the TLS stack refuses its configuration.
    pub fn new(options: OpenAiOptions) -> Result<Self, UpstreamError> {
        let OpenAiOptions {
            base_url,
            api_key,
            models,
            client,
        } = options;
        let authorization = api_key.map(|key| bearer(&key)).transpose()?;
        Ok(Self {
            client: http_client(client).map_err(|_| UpstreamError::Unreachable)?,
            url: format!("{base_url}/chat/completions"),
            images_url: format!("{base_url}/images/generations"),
            authorization,
            keys: None,
            image_models: BTreeSet::new(),
            models,
        })
    }

    /// Takes the key of `provider`, such as `openai`, once an operator has handed it over; until then
    /// nothing is sold.
    #[must_use]
    pub fn with_keys(mut self, keys: ProviderKeys, provider: &'static str) -> Self {
        self.keys = Some((keys, provider));
        self
    }

    /// Asks `/images/generations` for the answers of these models (our ids), with the last message as
    /// the prompt. The others answer chats, with images where they make some.
    #[must_use]
    pub fn with_image_models(mut self, models: impl IntoIterator<Item = String>) -> Self {
        self.image_models = models.into_iter().collect();
        self
    }

    fn headers(&self) -> HeaderMap {
        let handed = self.keys.as_ref();
        let handed = handed.and_then(|(keys, provider)| keys.bearer(provider));
        let mut headers = HeaderMap::new();
        if let Some(authorization) = handed.or_else(|| self.authorization.clone()) {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        headers
    }

    async fn image(&self, job: ChatJob, model: &str) -> Result<Pieces, UpstreamError> {
        let prompt = job.messages.last().map_or("", |said| said.text.as_str());
        let body = Object::new()
            .with("model", model)
            .with("prompt", prompt)
            .with("n", 1);
        let body = Value::from(body).to_json(Keys::Insertion).into();
        let bytes = self.ask(&self.images_url, body).await?;
        let bytes = bytes.bytes().await.map_err(|err| unreachable(&err))?;
        let pieces = parse_images(&bytes)?;
        Ok(Box::pin(stream::iter(pieces.into_iter().map(Ok))))
    }

    async fn ask(&self, url: &str, body: Bytes) -> Result<Body, UpstreamError> {
        let response = self.client.post_json(url, self.headers(), body).await;
        let response = response.map_err(|err| unreachable(&err))?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(UpstreamError::Refused { status });
        }
        Ok(response.into_body())
    }

    async fn start(&self, job: ChatJob) -> Result<Pieces, UpstreamError> {
        let model = self
            .models
            .get(&job.model)
            .ok_or(UpstreamError::UnknownModel)?;
        if self.image_models.contains(&job.model) {
            return self.image(job, model).await;
        }
        let body = forwarded(&job, model)?;
        let body = self.ask(&self.url, body).await?;
        if job.stream {
            return Ok(Box::pin(stream::unfold(Reading::new(body), Reading::next)));
        }
        let bytes = body.bytes().await.map_err(|err| unreachable(&err))?;
        let pieces = parse_whole(&bytes)?;
        Ok(Box::pin(stream::iter(pieces.into_iter().map(Ok))))
    }
}

impl Upstream for OpenAiUpstream {
    fn unready(&self) -> Option<&'static str> {
        let (keys, _) = self.keys.as_ref()?;
        (!keys.are_set()).then_some("Provider keys have not been initialized yet")
    }

    fn models(&self) -> Vec<String> {
        self.models.keys().cloned().collect()
    }

    fn chat(&self, job: ChatJob) -> UpstreamFuture<'_> {
        Box::pin(self.start(job))
    }
}

impl std::fmt::Debug for OpenAiUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAiUpstream")
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}

/// A streamed answer while it is read.
struct Reading {
    body: Body,
    decoder: sse::Decoder,
    parsed: Streamed,
    ready: VecDeque<Piece>,
    ended: bool,
}

impl Reading {
    fn new(body: Body) -> Self {
        Self {
            body,
            decoder: sse::Decoder::within(ANSWER_BYTES),
            parsed: Streamed::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    async fn next(mut self) -> Option<(Result<Piece, UpstreamError>, Self)> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.ended |= matches!(piece, Piece::End { .. });
                return Some((Ok(piece), self));
            }
            if self.ended {
                return None;
            }
            if let Err(err) = self.read().await {
                self.ended = true;
                return Some((Err(err), self));
            }
        }
    }

    async fn read(&mut self) -> Result<(), UpstreamError> {
        let Some(bytes) = self.body.chunk().await.map_err(|err| unreachable(&err))? else {
            return Err(UpstreamError::CutOff);
        };
        let mut events = Vec::new();
        let fed = self.decoder.feed(&bytes, &mut events);
        for event in events {
            let sse::Event::Message { data, .. } = event else {
                continue;
            };
            match self.parsed.on_data(&data)? {
                Parsed::Pieces(pieces) => self.ready.extend(pieces),
                Parsed::Done(pieces) => {
                    self.ready.extend(pieces);
                    return Ok(());
                }
            }
        }
        let reason = "its event stream is malformed";
        fed.map_err(|_| UpstreamError::Malformed { reason })
    }
}

/// The members of a request that reach the endpoint: what the signed hash covers, and how to sample
/// or pace an answer.
const FORWARDED: [&str; 12] = [
    "messages",
    "temperature",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
];

/// The request as the endpoint gets it.
fn forwarded(job: &ChatJob, model: &str) -> Result<Bytes, UpstreamError> {
    let reason = "the request is no JSON object";
    let Ok(Value::Object(asked)) = json::parse(&job.body) else {
        return Err(UpstreamError::Malformed { reason });
    };
    let mut body = Object::new().with("model", model);
    for name in FORWARDED {
        if let Some(value) = asked.get(name) {
            body.insert(name, value.clone());
        }
    }
    body.insert("max_tokens", job.max_tokens);
    body.insert("stream", job.stream);
    if job.stream {
        body.insert("stream_options", Object::new().with("include_usage", true));
    }
    Ok(Value::from(body).to_json(Keys::Insertion).into())
}

fn bearer(key: &str) -> Result<HeaderValue, UpstreamError> {
    let text = Zeroizing::new(format!("Bearer {key}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| UpstreamError::Malformed {
        reason: "the API key cannot stand in a header",
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(err: &client::Error) -> UpstreamError {
    // The client's errors hold no URL, header or body.
    tracing::warn!(error = %seamline_core::chain(err), "cannot reach the upstream");
    UpstreamError::Unreachable
}
