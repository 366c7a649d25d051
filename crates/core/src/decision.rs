//! The routing decision: a pure function in integers (`spec/decision.md`).
//!
//! [`decide`] filters the candidates of a [`Catalogue`] by a [`RoutePolicy`], scores what is left,
//! breaks ties and explores by a committed draw, and records why: each rejection with what was
//! observed and what was allowed, the margin to the runner-up, the exact probability of the choice,
//! and the changes that would have turned it. The recorder and the verifier call this same
//! function.

mod catalogue;
mod decide;
mod draw;
mod encoding;
mod error;
mod filter;
mod flips;
mod policy;
mod record;
mod score;

#[cfg(test)]
mod tests;

pub use catalogue::{Candidate, Catalogue, MAX_CANDIDATES};
pub use decide::decide;
pub use error::Error;
pub use policy::{MAX_EXPLORE_PPM, RoutePolicy};
pub use record::{Considered, DecidingKey, Decision, Flip, Lever, Rejection, Verdict};

/// Names this version of the decision rules in receipts. A verifier that does not know the name
/// must say so instead of replaying with other rules.
pub const ENGINE: &str = "seamline/decide/1";
