//! Paying plain x402 servers: no registry, no evidence, one budget.
//!
//! A [`Payer`] buys from any server that answers 402 in x402 version 2 or 1. It applies the same spend
//! policy, the same journal and the same rules of payment as a call of a node: one purchase signs one
//! nonce, an authorization is on disk before it is sent, a lost answer is asked for again with the same
//! bytes, and only the chain says what was paid.
//!
//! What evidence does for a node, nothing does here: the server's word is *asserted*. The connection is
//! trusted by name ([`seamline_net::TlsTrust::WebRoots`]), the address that is paid by the caller's list
//! or by first use ([`Payees`]), and the receipt says so.
//!
//! | step | what |
//! |---|---|
//! | open | the purchase is in the log before anything is sent |
//! | offer | the request without payment; an answer other than 402 is the result, and is free |
//! | admit | the spend policy over all offers; the payee must be the one known for this origin |
//! | authorize | signed with the purchase's nonce, stored with its reservation |
//! | execute | sent once; after an ambiguous failure the same bytes again |
//! | settle | what the server says, then what the chain says |
//! | seal | a receipt, whatever the outcome |
//!
//! # Repeating a purchase
//!
//! A purchase whose payment is unknown is not bought again: the same request (method, URL and body)
//! presents the authorization that exists, until the chain proves that it can never settle. So a
//! program that repeats a failed purchase pays at most once.

mod channel;
mod error;
mod exchange;
mod execute;
mod offer;
mod open;
mod outlet;
mod payer;
mod resume;
mod run;
mod seal;
mod wire;

use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use seamline_core::{Address, Amount, B256, Charged};
use seamline_evm::chain::FINALITY_DEPTH;
use seamline_net::TlsTrust;
use std::path::PathBuf;

use crate::purse::ChannelUse;
pub use error::{Error, ErrorKind};
pub use outlet::{Head, Inlet, Outlet, outlet};
pub use payer::{Chain, Payer, PayerConfig};

/// One request, to be paid for if its server asks for it.
///
/// `Debug` shows the method and the origin, never the rest.
#[derive(Clone)]
pub struct Purchase {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) max_price: Option<Amount>,
    pub(crate) buy_again: bool,
}

/// Settings of a [`Payer`], each with a default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PayOptions {
    /// Who may be paid; whoever an origin named first, by default.
    pub payees: Payees,
    /// Whom the payer believes to be the server of a URL; the web's authorities by default.
    pub tls: TlsTrust,
    /// Longest silence of a server, 60 seconds by default.
    pub server_timeout: Duration,
    /// Longest wait for a whole answer, 300 seconds by default: a server that trickles is cut off.
    pub total_timeout: Duration,
    /// Longest answer, 16 MiB by default.
    pub max_answer_bytes: u64,
    /// Payment channels to keep with each seller that offers them (`batch-settlement`), as many as requests
    /// go to it at once; none by default. A channel holds a deposit of at most the budget's cap per
    /// channel, and is paid for with vouchers, each within the caps. What became of a voucher is the
    /// seller's word, bounded by what was signed, until its claim is on the chain ([`Payer::recover`]).
    pub channels_per_seller: u32,
    /// Longest wait for a settlement to show on chain after the answer, five seconds by default.
    pub settle_wait: Duration,
    /// Blocks, its own included, under which an outcome is final: until then [`Payer::recover`] looks
    /// whether a fork has taken it away. Twelve by default.
    pub finality_depth: u64,
}

/// Who may be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payees {
    /// The address that an origin named when it was paid first; another one is refused until
    /// [`crate::Journal::unpin`] forgets it. The first is taken on the word of TLS alone.
    FirstUse,
    /// These addresses only, at every origin.
    Listed(Vec<Address>),
}

/// A server's answer.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty where it was passed on as it came.
    pub body: Bytes,
}

/// What a purchase brought.
#[derive(Clone)]
#[non_exhaustive]
pub struct Purchased {
    /// The answer.
    pub answer: Answer,
    /// Number of the purchase in the journal.
    pub seq: u64,
    /// Whether money moved.
    pub charged: Charged,
    /// Most that could be settled, base units; `None` where nothing was signed.
    pub authorized: Option<Amount>,
    /// What was settled, where the chain says so.
    pub settled: Option<Amount>,
    /// What is known about the payment: `none`, `settled`, `unknown`, `not_settled`; over a
    /// channel `charged`, `unknown`, `not_charged`, which is the seller's word.
    pub payment_state: &'static str,
    /// The settlement's transaction, from the chain.
    pub transaction: Option<B256>,
    /// The payment channel that was used, where one was.
    pub channel: Option<ChannelUse>,
    /// What the server's own word about the settlement is worth.
    pub claim: Claim,
    /// What the seller signed about its offer.
    pub signed_offer: Signed,
    /// What the seller signed about the payment.
    pub signed_receipt: Signed,
    /// Whether an authorization of an earlier attempt was presented, and nothing was signed.
    pub repeated: bool,
    /// Bytes that were passed on as they came; `None` where the answer was read whole.
    pub passed: Option<u64>,
    /// Our sealed receipt. `None` for a repeated purchase: the first attempt has it.
    pub receipt: Option<Bytes>,
    /// The file it was written to.
    pub receipt_path: Option<PathBuf>,
}

/// What the server's word about the settlement (`PAYMENT-RESPONSE`) is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// It said nothing, or nothing that reads.
    None,
    /// The chain shows what it said.
    Confirmed,
    /// The chain does not show it yet.
    Unconfirmed,
    /// The chain shows something else.
    Contradicted,
}

/// What a signature of the seller (extension `offer-receipt`) is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signed {
    /// The seller signed nothing.
    No,
    /// The recipient of the payment signed what was offered, or what was paid.
    Yes,
    /// A signature is there, in a format that is not verified here.
    Unsupported,
    /// A signature is there and does not hold.
    Broken,
}

impl Purchase {
    /// A request.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            max_price: None,
            buy_again: false,
        }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST request with a JSON body.
    pub fn post_json(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self::new(Method::POST, url)
            .header(http::header::CONTENT_TYPE, json)
            .body(body)
    }

    /// Adds a header. The headers of x402 are the payer's own and are replaced.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the body: the exact bytes that are sent, and that name the purchase.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Lowers the budget's cap for this purchase, in base units of the token. It never raises it.
    #[must_use]
    pub const fn max_price(mut self, cap: Amount) -> Self {
        self.max_price = Some(cap);
        self
    }
}

impl Purchase {
    /// Buys again what an earlier attempt paid for and did not get. Without this, a settled payment that
    /// brought no answer is only ever presented again. While it is unknown whether the earlier attempt
    /// was paid, nothing is signed in any case.
    #[must_use]
    pub const fn buy_again(mut self) -> Self {
        self.buy_again = true;
        self
    }
}

impl Default for PayOptions {
    fn default() -> Self {
        Self {
            payees: Payees::FirstUse,
            tls: TlsTrust::web(),
            server_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(300),
            max_answer_bytes: 16 * 1024 * 1024,
            channels_per_seller: 0,
            settle_wait: Duration::from_secs(5),
            finality_depth: FINALITY_DEPTH,
        }
    }
}

impl Claim {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Contradicted => "contradicted",
        }
    }
}

impl Signed {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unsupported => "unsupported",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Debug for Purchase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purchase")
            .field("method", &self.method)
            .field(
                "origin",
                &wire::Target::of(&self.url).ok().map(|it| it.origin),
            )
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Purchased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purchased")
            .field("answer", &self.answer)
            .field("charged", &self.charged)
            .field("authorized", &self.authorized)
            .field("settled", &self.settled)
            .field("claim", &self.claim)
            .field("repeated", &self.repeated)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
