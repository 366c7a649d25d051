//! What a call asks for. The twelve steps are the same for all; what differs is here.

use seamline_core::canonical::ChatRequest;
use seamline_core::infer::RunError;
use seamline_core::{Amount, B256};
use seamline_evm::cost::{self, Prices};

use crate::chat::Chat;
use crate::error::ErrorKind;
use crate::infer::Infer;
use crate::node::ListedModel;

/// What a call asks for.
#[derive(Clone, Copy)]
pub(crate) enum Ask<'a> {
    Chat(&'a Chat),
    Infer(&'a Infer),
}

impl<'a> From<&'a Chat> for Ask<'a> {
    fn from(chat: &'a Chat) -> Self {
        Self::Chat(chat)
    }
}

impl<'a> From<&'a Infer> for Ask<'a> {
    fn from(infer: &'a Infer) -> Self {
        Self::Infer(infer)
    }
}

impl<'a> Ask<'a> {
    /// The model, as nodes list it.
    pub(crate) fn model(self) -> &'a String {
        match self {
            Self::Chat(chat) => &chat.model,
            Self::Infer(infer) => &infer.model,
        }
    }

    /// The path that it is posted to.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat(_) => "/v1/chat/completions",
            Self::Infer(_) => "/v1/infer",
        }
    }

    pub(crate) const fn max_price(self) -> Option<Amount> {
        match self {
            Self::Chat(chat) => chat.max_price,
            Self::Infer(infer) => infer.max_price,
        }
    }

    /// Whether there is nothing to ask.
    pub(crate) fn is_empty(self) -> bool {
        match self {
            Self::Chat(chat) => chat.is_empty(),
            // A model may need no inputs.
            Self::Infer(_) => false,
        }
    }

    /// The exact bytes that are sent, and the hash that enclaves sign of them.
    pub(crate) fn to_wire(self) -> Result<(Vec<u8>, B256), ErrorKind> {
        match self {
            Self::Chat(chat) => {
                let body = chat.to_wire();
                let request = ChatRequest::parse(&body).map_err(ErrorKind::Request)?;
                Ok((body, request.input_hash()))
            }
            Self::Infer(infer) => {
                let request = &infer.request;
                Ok((request.canonical_bytes().to_vec(), request.input_hash()))
            }
        }
    }

    /// Whether the answer is wanted as a stream.
    pub(crate) const fn stream(self) -> bool {
        match self {
            Self::Chat(chat) => chat.stream,
            Self::Infer(_) => false,
        }
    }

    /// Whether the answer may call functions.
    pub(crate) const fn offers_tools(self) -> bool {
        match self {
            Self::Chat(chat) => chat.offers_tools(),
            Self::Infer(_) => false,
        }
    }

    /// The most tokens that the answer may have.
    pub(crate) const fn max_tokens(self) -> u32 {
        match self {
            Self::Chat(chat) => chat.max_tokens,
            Self::Infer(_) => 0,
        }
    }

    /// Whether request and answer go into the receipt.
    pub(crate) const fn contents(self) -> bool {
        match self {
            Self::Chat(_) => false,
            Self::Infer(infer) => infer.contents,
        }
    }

    /// Whether it is a chat, which a node that lists no models may serve at its ceiling.
    pub(crate) const fn is_chat(self) -> bool {
        matches!(self, Self::Chat(_))
    }

    /// Whether this is the listed model, of the kind that is asked for.
    pub(crate) fn is(self, model: &ListedModel) -> bool {
        self.is_of_kind(model) && model.id == *self.model()
    }

    /// Whether the listed model answers requests like this.
    pub(crate) const fn is_of_kind(self, model: &ListedModel) -> bool {
        self.is_chat() == model.infer.is_none()
    }

    /// Holds the inputs against what a node says that the model takes.
    pub(crate) fn check(self, model: &ListedModel) -> Result<(), RunError> {
        match (self, &model.infer) {
            (Self::Infer(infer), Some(listed)) => listed.info.check(infer.request.inputs()),
            (Self::Chat(_) | Self::Infer(_), _) => Ok(()),
        }
    }

    /// The most that this request, of `bytes`, can cost at a listed price: what an honest node of this
    /// network offers. For a chat every byte counts as a token; for a model its size and its elements
    /// are known.
    pub(crate) fn estimate(self, model: &ListedModel, bytes: usize) -> Amount {
        let prices = Prices {
            input: model.price_input,
            output: model.price_output,
        };
        let (input, output) = match (self, &model.infer) {
            (Self::Infer(infer), Some(listed)) => {
                let elements = infer.request.inputs().elements();
                let input = listed.model_elements.saturating_add(elements);
                (input, listed.max_output_elements)
            }
            (Self::Chat(_) | Self::Infer(_), _) => {
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                (bytes, u64::from(self.max_tokens()))
            }
        };
        cost::metered(&prices, input, output).unwrap_or(Amount::MAX)
    }
}
