//! One call that has been paid for and understood: what it costs, and what its answer proves.

use bytes::Bytes;
use seamline_core::{Address, Amount, B256};
use seamline_evm::scheme::{Method, Scheme, payment_key};
use seamline_net::{DataMode, Meter, PaymentContext};

use crate::price::{CallPrice, Used};
use crate::upstream::Usage;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completion,
}

/// A call that has been paid for and understood.
pub(crate) struct Call {
    /// The model as the request spells it, which answers echo.
    pub(crate) model: String,
    pub(crate) price: CallPrice,
    pub(crate) input_hash: B256,
    pub(crate) meter: Meter,
    pub(crate) payer: Address,
    /// The payment that a facilitator settles for it; `None` where none does.
    pub(crate) payment: Option<B256>,
    /// What becomes of its hashes.
    pub(crate) mode: DataMode,
    /// The request as it came, which a settlement of its own publishes.
    pub(crate) request: Bytes,
    /// Words of the prompt, of tools and formats too: what a stream that is cut off pays for the prompt,
    /// because its tokens are known at the end only.
    pub(crate) prompt_words: u64,
}

impl Call {
    /// Sets the meter for an answer that may be cut off now, after `tokens` and `images` of it.
    pub(crate) fn settle_so_far(&self, tokens: u64, images: u64) {
        self.charge(&self.counted(tokens, images));
    }

    /// Whether an answer of `tokens` and `images` is worth more than the call may cost: it is not
    /// delivered further then.
    pub(crate) fn is_over(&self, tokens: u64, images: u64) -> bool {
        self.price.cost(&self.counted(tokens, images)) > self.meter.max()
    }

    /// Sets the meter for a complete answer: what the upstream counted. Where it counts nothing, at
    /// least what was seen to be delivered is due.
    pub(crate) fn settle_for(&self, usage: Option<Usage>, tokens: u64, images: u64) {
        match usage {
            Some(tokens) => self.charge(&Used { tokens, images }),
            None => {
                tracing::warn!("the upstream counted no tokens, so its words are charged");
                self.settle_so_far(tokens, images);
            }
        }
    }

    /// What the meter says, for people.
    pub(crate) fn statement(&self) -> Option<[String; 3]> {
        self.price.statement(self.meter.get())
    }

    /// Nothing of value was delivered.
    pub(crate) fn give_away(&self) {
        self.meter.set(Amount::ZERO);
    }

    /// Sets the meter, at most to its ceiling: an upstream that counts more than was asked for
    /// costs the node, and cuts no answer off.
    fn charge(&self, used: &Used) {
        let cost = self.price.cost(used);
        self.meter.set(cost.min(self.meter.max()));
    }

    const fn counted(&self, tokens: u64, images: u64) -> Used {
        Used {
            tokens: Usage {
                prompt_tokens: self.prompt_words,
                completion_tokens: tokens,
            },
            images,
        }
    }
}

/// What the chain spends once for this payment; `None` where no facilitator settles it.
pub(crate) fn payment_of(payment: &PaymentContext) -> Option<B256> {
    let terms = payment.offer.terms();
    let scheme = Scheme::parse(&terms.scheme)?;
    if scheme == Scheme::BatchSettlement {
        return None;
    }
    let method = Method::of(scheme, terms)?;
    let (chain_id, asset) = (terms.chain_id()?, terms.asset_address()?);
    let (payer, auth_nonce) = (payment.payer, payment.auth_nonce);
    Some(payment_key(method, chain_id, asset, payer, auth_nonce))
}

/// Words of a text: no tokenizer makes fewer tokens of it. Where there are no spaces, sixteen bytes
/// count as a word.
pub(crate) fn words(text: &str) -> u64 {
    let words = text.split_whitespace().count().max(text.len() / 16);
    u64::try_from(words).unwrap_or(u64::MAX)
}
