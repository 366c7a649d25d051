//! What the token is worth in US dollars, and when that is not known well enough to ask a price.

mod http;
mod rate;
#[cfg(test)]
mod tests;

use core::fmt;

use seamline_core::Timestamp;

pub use self::http::{HttpPriceFeed, HttpPriceFeedOptions};
pub use self::rate::Rate;
pub(crate) use self::rate::dollars;

/// Says what one whole token is worth.
///
/// Whoever asks a price asks this first; where it is not known the request is refused with 503
/// before anything is charged. There is no fallback: a wild price is worse than none.
pub trait PriceFeed: Send + Sync + fmt::Debug {
    /// The rate at `now`.
    ///
    /// # Errors
    ///
    /// [`Unpriced`]: nothing may be sold for the token now.
    fn rate(&self, now: Timestamp) -> Result<Rate, Unpriced>;

    /// What monitors are told of it (`price_feed` in `GET /health`).
    fn status(&self) -> FeedStatus;
}

/// Why there is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unpriced {
    /// The feed has said nothing yet.
    #[error("the price feed has no rate yet")]
    Unknown,
    /// What it said last is too old.
    #[error("the rate of the price feed is {age_s} s old")]
    Stale {
        /// How old.
        age_s: u64,
    },
    /// What it says now cannot be right.
    #[error("the rate of the price feed is out of bounds")]
    OutOfBounds,
}

/// How a feed fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// What it said last, where that was within its bounds.
    pub rate: Option<Rate>,
    /// When.
    pub last_success: Option<Timestamp>,
    /// How often it was asked.
    pub fetches: u64,
    /// How often it did not answer, or answered something else.
    pub errors: u64,
    /// The last errors in a row.
    pub consecutive_failures: u64,
    /// The last one of these.
    pub last_error: Option<&'static str>,
    /// Seconds between two questions; 0 where it is not asked.
    pub refresh_interval_s: u64,
}

/// A rate that somebody decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPrice(pub Rate);

impl PriceFeed for FixedPrice {
    fn rate(&self, _: Timestamp) -> Result<Rate, Unpriced> {
        Ok(self.0)
    }

    fn status(&self) -> FeedStatus {
        FeedStatus {
            rate: Some(self.0),
            ..FeedStatus::default()
        }
    }
}
