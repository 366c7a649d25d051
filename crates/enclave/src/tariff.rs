//! Prices in US dollars, as OpenGradient's gateways keep them.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::feed::PriceFeed;

/// What one model costs, in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DollarPrice {
    /// A million tokens of the request.
    pub input: u64,
    /// A million tokens of the answer.
    pub output: u64,
    /// One image of the answer.
    pub image: u64,
}

/// Prices in US dollars that are paid in a token.
///
/// A call costs `ceil(dollars * 10^decimals / rate)` base units: dollars are summed exactly, and the
/// quotient is rounded up once, at the end.
#[derive(Clone)]
pub struct DollarPrices {
    /// By model id (lower case). A model of the upstream without a price is not offered.
    pub models: BTreeMap<String, DollarPrice>,
    /// What the token is worth.
    pub feed: Arc<dyn PriceFeed>,
    /// Decimals of the token, at most 18; 18.
    pub decimals: u8,
}

impl DollarPrices {
    /// Prices for a token of 18 decimals.
    pub fn new(models: BTreeMap<String, DollarPrice>, feed: Arc<dyn PriceFeed>) -> Self {
        Self {
            models,
            feed,
            decimals: 18,
        }
    }
}

impl fmt::Debug for DollarPrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DollarPrices")
            .field("models", &self.models.len())
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}

impl DollarPrice {
    /// The models of OpenGradient's published Python SDK 1.1.4, with the prices that public gateways
    /// list; to be changed at will. `gemini-3.1-flash-lite-preview` has no listed price and gets that
    /// of its successor.
    pub fn opengradient() -> BTreeMap<String, Self> {
        TABLE
            .iter()
            .map(|(model, input, output, image)| {
                let price = Self {
                    input: *input,
                    output: *output,
                    image: *image,
                };
                ((*model).to_owned(), price)
            })
            .collect()
    }
}

/// Model, millionths of a dollar per million tokens in and out, and per image.
const TABLE: &[(&str, u64, u64, u64)] = &[
    ("gpt-4.1-2025-04-14", 2_000_000, 8_000_000, 0),
    ("gpt-4.1", 2_000_000, 8_000_000, 0),
    ("gpt-4.1-mini", 400_000, 1_600_000, 0),
    ("gpt-4.1-nano", 100_000, 400_000, 0),
    ("o3", 10_000_000, 40_000_000, 0),
    ("o4-mini", 1_100_000, 4_400_000, 0),
    ("gpt-5", 1_250_000, 10_000_000, 0),
    ("gpt-5-mini", 250_000, 2_000_000, 0),
    ("gpt-5.2", 1_750_000, 14_000_000, 0),
    ("gpt-5.4", 2_500_000, 15_000_000, 0),
    ("gpt-5.4-mini", 750_000, 4_500_000, 0),
    ("gpt-5.4-nano", 200_000, 1_250_000, 0),
    ("gpt-5.5", 5_000_000, 30_000_000, 0),
    ("gpt-image-2", 0, 0, 50_000),
    ("claude-sonnet-4-5", 3_000_000, 15_000_000, 0),
    ("claude-sonnet-4-6", 3_000_000, 15_000_000, 0),
    ("claude-haiku-4-5", 1_000_000, 5_000_000, 0),
    ("claude-opus-4-5", 5_000_000, 25_000_000, 0),
    ("claude-opus-4-6", 5_000_000, 25_000_000, 0),
    ("claude-opus-4-7", 5_000_000, 25_000_000, 0),
    ("claude-opus-4-8", 5_000_000, 25_000_000, 0),
    ("gemini-2.5-flash", 300_000, 2_500_000, 0),
    ("gemini-2.5-pro", 1_250_000, 10_000_000, 0),
    ("gemini-2.5-flash-lite", 100_000, 400_000, 0),
    ("gemini-3-flash-preview", 500_000, 3_000_000, 0),
    ("gemini-3.1-pro-preview", 2_000_000, 12_000_000, 0),
    ("gemini-3.1-flash-lite-preview", 300_000, 2_500_000, 0),
    ("gemini-3.5-flash", 1_500_000, 9_000_000, 0),
    ("gemini-2.5-flash-image", 300_000, 30_000_000, 0),
    ("gemini-3.1-flash-image", 500_000, 60_000_000, 0),
    ("grok-4", 3_000_000, 15_000_000, 0),
    ("grok-4-fast", 200_000, 500_000, 0),
    ("grok-4-1-fast", 200_000, 500_000, 0),
    ("grok-4-1-fast-non-reasoning", 200_000, 500_000, 0),
    ("grok-4.20-reasoning", 2_000_000, 6_000_000, 0),
    ("grok-4.20-non-reasoning", 2_000_000, 6_000_000, 0),
    ("grok-code-fast-1", 200_000, 1_500_000, 0),
    ("grok-2-image", 0, 0, 20_000),
    ("seed-1.6", 800_000, 8_000_000, 0),
    ("seed-1.8", 800_000, 8_000_000, 0),
    ("seed-2.0-lite", 400_000, 1_600_000, 0),
    ("deepseek-v4-flash", 140_000, 280_000, 0),
    ("deepseek-v4-pro", 1_740_000, 3_480_000, 0),
    ("seedream-4.0", 0, 0, 30_000),
    ("seedance-4.5", 0, 0, 50_000),
    ("hermes-4-405b", 1_000_000, 3_000_000, 0),
    ("hermes-4-70b", 130_000, 400_000, 0),
    ("glm-5.2", 1_400_000, 4_400_000, 0),
    ("glm-image", 0, 0, 15_000),
];
