//! What a call may cost at most, and what it costs: integers, rounded up to a base unit.

#[cfg(test)]
mod tests;

use seamline_core::Amount;
use seamline_evm::cost::{Prices, metered};

use crate::config::ModelPrice;
use crate::feed::{Rate, dollars};
use crate::tariff::DollarPrice;
use crate::upstream::Usage;

/// Most images of one answer: what its ceiling is computed for.
pub(crate) const MAX_IMAGES: u64 = 1;

/// The price of a model for one request: in the token itself, or in dollars at the rate of the
/// moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallPrice {
    Token(ModelPrice),
    Dollar {
        price: DollarPrice,
        rate: Rate,
        decimals: u8,
    },
}

/// What an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) tokens: Usage,
    pub(crate) images: u64,
}

impl CallPrice {
    /// The most that a call can cost: every byte of the request body counted as a token, an answer of
    /// `max_tokens`, and as many images as an answer may have.
    ///
    /// No tokenizer makes more tokens than there are bytes, so the metered cost never exceeds
    /// this. Whoever knows the prices can compute the same amount before asking.
    pub(crate) fn ceiling(&self, body_bytes: u64, max_tokens: u64) -> Amount {
        self.cost(&Used {
            tokens: Usage {
                prompt_tokens: body_bytes,
                completion_tokens: max_tokens,
            },
            images: MAX_IMAGES,
        })
    }

    /// What `used` costs, rounded up to a base unit; [`Amount::MAX`] where it would not fit.
    pub(crate) fn cost(&self, used: &Used) -> Amount {
        let Used { tokens, images } = used;
        match self {
            Self::Token(price) => price.cost(tokens),
            Self::Dollar {
                price,
                rate,
                decimals,
            } => in_tokens(pico_usd(price, tokens, *images), *rate, *decimals),
        }
    }

    /// What an amount is worth, for people: base units, dollars, and dollars per token. Nothing
    /// where the price is not in dollars.
    pub(crate) fn statement(&self, cost: Amount) -> Option<[String; 3]> {
        match self {
            Self::Token(_) => None,
            Self::Dollar { rate, decimals, .. } => {
                let unit = 10_u128.checked_pow(u32::from(*decimals))?;
                // Rounded down: said, not charged.
                let pico = cost.get().checked_mul(rate.pico_usd());
                let pico = pico.and_then(|product| product.checked_div(unit));
                let worth = pico.map_or_else(String::new, dollars);
                Some([cost.to_string(), worth, rate.to_string()])
            }
        }
    }

    /// Base units per million tokens in and out, rounded up.
    pub(crate) fn per_million(&self) -> [Amount; 2] {
        let million = |prompt_tokens, completion_tokens| {
            self.cost(&Used {
                tokens: Usage {
                    prompt_tokens,
                    completion_tokens,
                },
                images: 0,
            })
        };
        [million(1_000_000, 0), million(0, 1_000_000)]
    }
}

/// Dollars in units of 10^-12: millionths per million tokens are that per token.
fn pico_usd(price: &DollarPrice, tokens: &Usage, images: u64) -> Option<u128> {
    let part = |count: u64, price: u64| u128::from(count).checked_mul(u128::from(price));
    let image = part(images, price.image)?.checked_mul(1_000_000)?;
    part(tokens.prompt_tokens, price.input)?
        .checked_add(part(tokens.completion_tokens, price.output)?)?
        .checked_add(image)
}

fn in_tokens(pico: Option<u128>, rate: Rate, decimals: u8) -> Amount {
    let units = || {
        let unit = 10_u128.checked_pow(u32::from(decimals))?;
        let product = pico?.checked_mul(unit)?;
        Some(product.div_ceil(rate.pico_usd()))
    };
    units().map_or(Amount::MAX, Amount::new)
}

impl ModelPrice {
    /// What `usage` costs, rounded up to a base unit; [`Amount::MAX`] where it would not fit.
    pub fn cost(&self, usage: &Usage) -> Amount {
        let Self { input, output } = *self;
        let Usage {
            prompt_tokens,
            completion_tokens,
        } = *usage;
        metered(&Prices { input, output }, prompt_tokens, completion_tokens).unwrap_or(Amount::MAX)
    }
}
