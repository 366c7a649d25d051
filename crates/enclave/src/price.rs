//! What a call may cost at most, and what it costs: integers, rounded up to a base unit.

use seamline_core::Amount;
use seamline_evm::cost::{Prices, metered};

use crate::config::ModelPrice;
use crate::upstream::Usage;

impl ModelPrice {
    /// The most that a call can cost: every byte of the request body counted as a token, and an
    /// answer of `max_tokens`.
    ///
    /// No tokenizer makes more tokens than there are bytes, so the metered cost never exceeds
    /// this. Whoever knows the prices can compute the same amount before asking.
    pub fn ceiling(&self, body_bytes: u64, max_tokens: u64) -> Amount {
        self.cost(&Usage {
            prompt_tokens: body_bytes,
            completion_tokens: max_tokens,
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: u128, output: u128) -> ModelPrice {
        ModelPrice {
            input: Amount::new(input),
            output: Amount::new(output),
        }
    }

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> Usage {
        Usage {
            prompt_tokens,
            completion_tokens,
        }
    }

    #[test]
    fn costs_are_rounded_up_to_a_base_unit() {
        let price = price(3, 2_000_000);
        assert_eq!(price.cost(&usage(0, 0)), Amount::ZERO);
        assert_eq!(price.cost(&usage(1, 0)), Amount::new(1));
        assert_eq!(price.cost(&usage(333_333, 0)), Amount::new(1));
        assert_eq!(price.cost(&usage(333_334, 0)), Amount::new(2));
        assert_eq!(price.cost(&usage(1, 5)), Amount::new(11));
    }

    #[test]
    fn the_ceiling_bounds_every_cost_that_can_follow() {
        let price = price(250, 1_250);
        let ceiling = price.ceiling(120, 40);
        for (prompt, completion) in [(0, 0), (120, 40), (119, 40), (1, 39)] {
            assert!(price.cost(&usage(prompt, completion)) <= ceiling);
        }
    }

    #[test]
    fn absurd_prices_saturate() {
        let price = price(u128::MAX, u128::MAX);
        assert_eq!(price.ceiling(u64::MAX, u64::MAX), Amount::MAX);
    }
}
