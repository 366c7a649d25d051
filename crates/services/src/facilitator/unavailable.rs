//! Why a facilitator cannot answer now: nobody's payment is at fault.

use core::time::Duration;

use seamline_evm::signer::SignError;

use super::Error;

/// What is missing for an answer. Nothing was signed or sent for the request; the same request may be
/// repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The gas of the hour is used up, or as many settlements of the payer are under way as may be.
    #[error("a budget is used up: {code}")]
    Budget {
        /// Which one.
        code: &'static str,
        /// When there is room again.
        retry_after: Duration,
    },
    /// As much is under way as this replica takes on.
    #[error("as much is under way as is taken on at once")]
    Busy,
    /// The chain's endpoint did not answer, or not what was asked.
    #[error("the chain's endpoint does not answer")]
    Chain,
    /// The chain asks more for gas than the ceiling allows.
    #[error("the chain asks more for gas than the ceiling of this facilitator")]
    Fees,
    /// The signer of the settling account failed.
    #[error("the settling account cannot sign")]
    Signer(#[source] SignError),
}

impl Unavailable {
    /// The stable code of the problem body.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Budget { code, .. } => code,
            Self::Busy => "busy",
            Self::Chain => "chain_unavailable",
            Self::Fees => "fees_over_ceiling",
            Self::Signer(_) => "signer_unavailable",
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> &'static str {
        match self {
            Self::Budget { .. } | Self::Busy | Self::Signer(_) => "facilitator",
            Self::Chain | Self::Fees => "chain",
        }
    }

    const fn text(&self) -> &'static str {
        match self {
            Self::Budget { .. } => "a gas budget is used up for now; nothing was sent",
            Self::Busy => "as much is under way as is taken on at once",
            Self::Chain => "the chain does not answer; the payment is not at fault",
            Self::Fees => "the chain asks more for gas than this facilitator pays",
            Self::Signer(_) => "the settling account cannot sign now; nothing was sent",
        }
    }

    /// When asking again makes sense: the value of `Retry-After`.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Budget { retry_after, .. } => *retry_after,
            // An endpoint that restarts, a block, another settlement.
            Self::Busy | Self::Chain => Duration::from_secs(1),
            // A key service, or a market: people may have to look.
            Self::Fees | Self::Signer(_) => Duration::from_secs(5),
        }
    }
}

/// What a problem body says.
pub(crate) struct Why {
    pub(crate) code: &'static str,
    pub(crate) fault: &'static str,
    pub(crate) text: &'static str,
    pub(crate) retry_after: Duration,
}

impl Error {
    /// What to say of it to whoever asked.
    pub(crate) fn why(&self) -> Why {
        match self {
            Self::Unavailable(why) => Why {
                code: why.code(),
                fault: why.fault(),
                text: why.text(),
                retry_after: why.retry_after(),
            },
            Self::Flight(error) => error.why(),
            Self::Rpc(_) | Self::Chain { .. } => Why {
                code: Unavailable::Chain.code(),
                fault: Unavailable::Chain.fault(),
                text: Unavailable::Chain.text(),
                retry_after: Unavailable::Chain.retry_after(),
            },
            Self::Store(_) | Self::Randomness => Why {
                code: "store_failed",
                fault: "facilitator",
                text: "the facilitator cannot remember settlements and settles nothing",
                retry_after: Duration::from_secs(1),
            },
        }
    }
}
