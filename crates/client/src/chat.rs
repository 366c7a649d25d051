use seamline_core::Amount;
use zeroize::Zeroize as _;

/// One chat request: a model, messages and limits.
///
/// `Debug` shows sizes, never the messages. The text is wiped from memory when this is dropped;
/// copies inside TLS and HTTP buffers are not.
#[derive(Clone)]
pub struct Chat {
    pub(crate) model: String,
    pub(crate) messages: Vec<Message>,
    pub(crate) max_tokens: u32,
    pub(crate) stream: bool,
    pub(crate) max_price: Option<Amount>,
    pub(crate) tools: Vec<serde_json::Value>,
}

/// A function that an answer calls.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The id that an answer to the call refers to.
    pub id: String,
    /// The function.
    pub name: String,
    /// Its arguments: JSON, as the model wrote it.
    pub arguments: String,
}

impl core::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ToolCall").finish_non_exhaustive()
    }
}

/// One message of a conversation.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: String,
}

impl Chat {
    /// Most tokens that an answer may have unless [`Chat::max_tokens`] says otherwise. The ceiling
    /// that a node asks for grows with it.
    pub const DEFAULT_MAX_TOKENS: u32 = 512;

    /// Starts a request to `model`, as nodes list it.
    pub fn model(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            messages: Vec::new(),
            max_tokens: Self::DEFAULT_MAX_TOKENS,
            stream: false,
            max_price: None,
            tools: Vec::new(),
        }
    }

    /// Adds a system message.
    #[must_use]
    pub fn system(self, content: impl Into<String>) -> Self {
        self.message("system", content.into())
    }

    /// Adds a user message.
    #[must_use]
    pub fn user(self, content: impl Into<String>) -> Self {
        self.message("user", content.into())
    }

    /// Offers a function to the model, in the form of the chat API: `{"type": "function", "function": {…}}`.
    /// An answer that calls functions has no text: text beside calls is not signed. An answer that might
    /// call some is therefore not delivered piece by piece.
    #[must_use]
    pub fn tool(mut self, definition: serde_json::Value) -> Self {
        self.tools.push(definition);
        self
    }

    /// Limits the answer to `tokens`.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// Delivers the answer piece by piece, before the node's signature over it can be checked; the
    /// receipt says so (SIGLATE).
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }

    /// Lowers the budget's cap for this call, in base units of the asset. It never raises it.
    #[must_use]
    pub fn max_price(mut self, cap: Amount) -> Self {
        self.max_price = Some(cap);
        self
    }

    fn message(mut self, role: &'static str, content: String) -> Self {
        self.messages.push(Message { role, content });
        self
    }

    /// The exact bytes that are sent, hashed and committed to. Written once per call: re-encoding
    /// is how two honest parties end up with two hashes.
    pub(crate) fn to_wire(&self) -> Vec<u8> {
        let messages: Vec<_> = self
            .messages
            .iter()
            .map(|message| serde_json::json!({ "role": message.role, "content": message.content }))
            .collect();
        let mut body = serde_json::json!({
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "stream": self.stream,
        });
        if let Some(object) = body.as_object_mut()
            && self.offers_tools()
        {
            object.insert("tools".to_owned(), self.tools.clone().into());
        }
        body.to_string().into_bytes()
    }

    /// Whether the model may answer with calls of functions.
    pub(crate) const fn offers_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// Whether there is nothing to ask: no message, or only blank ones.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages
            .iter()
            .all(|message| message.content.trim().is_empty())
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        for message in &mut self.messages {
            message.content.zeroize();
        }
    }
}

impl core::fmt::Debug for Chat {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Chat")
            .field("model", &self.model)
            .field("messages", &self.messages.len())
            .field("max_tokens", &self.max_tokens)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
