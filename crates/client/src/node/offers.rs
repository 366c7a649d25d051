//! Offers that a node made before, so that a steady call takes one round trip.

use core::time::Duration;

use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::PaymentRequired;

/// Models of one node whose offers are remembered: more is a caller that changes its mind.
const MAX_MODELS: usize = 64;

/// The last good offer of a node for each model.
#[derive(Debug, Default)]
pub(crate) struct Offers(Vec<(String, RememberedOffer)>);

/// An offer as it came, and the most that it covers.
#[derive(Clone, Debug)]
pub(crate) struct RememberedOffer {
    pub(crate) required: PaymentRequired,
    ceiling: Amount,
    read: Timestamp,
}

impl Offers {
    /// The offer for `model`, if it is young enough and covers `estimate`.
    pub(crate) fn covering(
        &self,
        model: &str,
        estimate: Amount,
        now: Timestamp,
        ttl: Duration,
    ) -> Option<PaymentRequired> {
        let (_, offer) = self.0.iter().find(|(known, _)| known == model)?;
        let young = offer.read <= now && now.saturating_since(offer.read) < ttl;
        (young && estimate <= offer.ceiling).then(|| offer.required.clone())
    }

    /// Remembers what was admitted just now for `amount`.
    pub(crate) fn keep(
        &mut self,
        model: &str,
        required: PaymentRequired,
        ceiling: Amount,
        now: Timestamp,
    ) {
        self.forget(model);
        if self.0.len() >= MAX_MODELS {
            self.0.remove(0);
        }
        let offer = RememberedOffer {
            required,
            ceiling,
            read: now,
        };
        self.0.push((model.to_owned(), offer));
    }

    /// Forgets the offer for `model`: it was refused.
    pub(crate) fn forget(&mut self, model: &str) {
        self.0.retain(|(known, _)| known != model);
    }

    /// Forgets everything: another instance answers.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{NOW, required};

    const TTL: Duration = Duration::from_secs(60);

    fn after(seconds: u64) -> Timestamp {
        NOW.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn an_offer_covers_what_it_says_and_no_longer_than_it_is_young() {
        let mut offers = Offers::default();
        let ceiling = Amount::new(100);
        offers.keep("guide", required(100), ceiling, NOW);
        let covering = |model: &str, amount, at| {
            let found = offers.covering(model, Amount::new(amount), at, TTL);
            found.is_some()
        };
        assert!(covering("guide", 100, after(59)));
        assert!(!covering("guide", 101, NOW), "it costs more");
        assert!(!covering("guide", 1, after(60)), "it is old");
        let before = Timestamp::from_secs(NOW.as_secs() - 1);
        assert!(!covering("guide", 1, before), "the clock went back");
        assert!(!covering("other", 1, NOW), "it is for another model");
    }

    #[test]
    fn a_refused_offer_is_forgotten() {
        let mut offers = Offers::default();
        for model in ["a", "b"] {
            offers.keep(model, required(100), Amount::new(100), NOW);
        }
        offers.forget("a");
        let known = |offers: &Offers, model| {
            let found = offers.covering(model, Amount::new(1), NOW, TTL);
            found.is_some()
        };
        assert!(!known(&offers, "a") && known(&offers, "b"));
        offers.clear();
        assert!(!known(&offers, "b"));
    }

    #[test]
    fn many_models_do_not_fill_the_memory() {
        let mut offers = Offers::default();
        for model in 0..(MAX_MODELS + 3) {
            let model = model.to_string();
            offers.keep(&model, required(1), Amount::new(1), NOW);
        }
        assert_eq!(offers.0.len(), MAX_MODELS);
        assert!(offers.covering("0", Amount::new(1), NOW, TTL).is_none());
    }
}
