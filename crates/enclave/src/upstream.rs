use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;

/// The model API or local model behind an enclave.
///
/// What an upstream says is *asserted*: the enclave proves that it forwarded a request and what
/// came back, never which weights answered.
pub trait Upstream: Send + Sync {
    /// Says why nothing can be answered now, such as for want of an API key; `None` where it can.
    /// Asked before a price is told.
    fn unready(&self) -> Option<&'static str> {
        None
    }

    /// Lists the ids of the models that this upstream serves, in a stable order.
    fn models(&self) -> Vec<String>;

    /// Starts one chat.
    ///
    /// The pieces come as they are made: any number of [`Piece::Text`], [`Piece::Images`] and
    /// [`Piece::ToolCalls`], then exactly one [`Piece::End`]. A stream that ends without it was cut off.
    ///
    /// # Cancellation
    ///
    /// Dropping the future or the pieces stops the work; nothing is kept.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`], before the first piece from the future, later from the pieces.
    fn chat(&self, job: ChatJob) -> UpstreamFuture<'_>;
}

/// The future of [`Upstream::chat`].
pub type UpstreamFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Pieces, UpstreamError>> + Send + 'a>>;

/// A chat's answer as it is made.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, UpstreamError>> + Send>>;

/// One chat as an upstream sees it.
///
/// Has no `Debug`: it holds the prompt.
#[expect(
    missing_debug_implementations,
    reason = "prompts never reach logs, and Debug is how they would"
)]
#[derive(Clone)]
pub struct ChatJob {
    /// The model id as the caller wrote it, trimmed and in lower case.
    pub model: String,
    /// The conversation, oldest first, content flattened to text.
    pub messages: Vec<JobMessage>,
    /// The most tokens the answer may have, already bounded by the enclave's limit.
    pub max_tokens: u64,
    /// Whether the caller reads the answer as it is made.
    pub stream: bool,
    /// A chat request with the members that may reach an upstream, for those that forward it: what
    /// the signature covers, as it is signed, and what samples or paces an answer.
    pub body: Bytes,
}

/// One message of a chat.
#[expect(
    missing_debug_implementations,
    reason = "prompts never reach logs, and Debug is how they would"
)]
#[derive(Clone, PartialEq, Eq)]
pub struct JobMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text of the message; parts that are not text are left out.
    pub text: String,
}

/// One piece of an answer.
#[expect(
    missing_debug_implementations,
    reason = "completions never reach logs, and Debug is how they would"
)]
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// The next text.
    Text(String),
    /// All tool calls of the answer, in order; at most once.
    ToolCalls(Vec<ToolCall>),
    /// Images of the answer, as `data:` URIs.
    Images(Vec<String>),
    /// The answer is complete.
    End {
        /// Why it ended.
        finish: Finish,
        /// The tokens counted, where the upstream counts.
        usage: Option<Usage>,
    },
}

/// A call of a tool that the model asks for.
#[expect(
    missing_debug_implementations,
    reason = "completions never reach logs, and Debug is how they would"
)]
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The id that the tool's answer must name.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments as the model wrote them: JSON, usually.
    pub arguments: String,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The answer is complete.
    Stop,
    /// The limit on tokens cut it off.
    Length,
    /// The model asks for tools.
    ToolCalls,
}

/// Tokens of one call, as counted by the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// Why an upstream gave no answer, or no complete one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The upstream cannot be reached or broke the connection.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// The upstream refused the request.
    #[error("the upstream answered with status {status}")]
    Refused {
        /// Its HTTP status.
        status: u16,
    },
    /// The upstream's answer is not what the OpenAI API describes.
    #[error("the upstream's answer is malformed: {reason}")]
    Malformed {
        /// What is wrong, in words.
        reason: &'static str,
    },
    /// The answer ended before its end was marked.
    #[error("the upstream's answer was cut off")]
    CutOff,
    /// The model is not one of this upstream's.
    #[error("the upstream does not serve this model")]
    UnknownModel,
}
