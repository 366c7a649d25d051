//! What can go wrong in a purchase, and the four answers that every error gives.

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};

use seamline_core::{Address, Amount, Charged, Fault, Retry};
use seamline_evm::policy::NotAdmitted;
use seamline_evm::x402::Reason;

use super::Answer;
use crate::error::refusal::{refusal_code, refusal_fault, refusal_text};
use crate::journal::{JournalError, Over};
use crate::leg::LegFault;
use crate::purse::PurseFault;
use crate::sealing::SealFault;
use crate::sign::SignFault;
use crate::step::Step;

/// A purchase that brought no answer, or one that is worth nothing.
///
/// Answers four questions: what failed ([`Error::code`]), whose fault ([`Error::fault`]), may I retry
/// and where ([`Error::retry`]), was I charged ([`Error::charged`]).
#[derive(Debug)]
pub struct Error {
    kind: Box<ErrorKind>,
    step: Step,
    charged: Charged,
    seq: Option<u64>,
    receipt: Option<PathBuf>,
    amounts: Option<Box<Amounts>>,
}

/// What the books say about a payment.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    authorized: Option<Amount>,
    settled: Option<Amount>,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL is none that is paid at.
    #[error("this url is not paid at: {what}")]
    Url {
        /// Why.
        what: &'static str,
    },
    /// The budget allows nothing.
    #[error("the budget allows nothing")]
    ZeroBudget,
    /// The budget names a chain for which there is no endpoint.
    #[error("there is no endpoint for the chain `{network}`")]
    NoChain {
        /// CAIP-2 id of the chain.
        network: String,
    },
    /// The payer's own HTTP client could not be set up.
    #[error("cannot set up the http client")]
    Http(#[source] seamline_net::client::Error),
    /// The journal refused.
    #[error("cannot keep the books")]
    Journal(#[source] JournalError),
    /// A receipt could not be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The receipt could not be sealed.
    #[error("cannot seal the receipt")]
    Seal(#[source] seamline_core::receipt::Error),
    /// The system gave no random bytes.
    #[error("cannot draw random bytes")]
    Entropy(#[source] crate::env::EntropyError),
    /// The chain could not be read.
    #[error("cannot read the chain")]
    Chain(#[source] seamline_evm::Error),
    /// The server could not be reached, or broke the connection before an authorization was sent.
    #[error("the server cannot be reached")]
    Unreachable(#[source] seamline_net::client::Error),
    /// The server sends the request elsewhere. Nothing follows it: a payment goes to the server that
    /// asked for it, or nowhere.
    #[error("the server redirects to {}", .to.as_deref().unwrap_or("a place that is not paid at"))]
    Redirect {
        /// The status.
        status: u16,
        /// The origin that it names, where that is one that may be paid at.
        to: Option<String>,
    },
    /// A 402 without an offer that reads.
    #[error("the server asks for a payment and makes no offer")]
    NoOffer,
    /// The offer does not read.
    #[error("the server's offer does not read")]
    Offer(#[source] seamline_evm::Malformed),
    /// The spend policy admits none of the offers.
    #[error("the spend policy refuses the offer: {}", refusal_text(.0))]
    Refused(NotAdmitted),
    /// The server wants the money sent to another address than before. It may have moved; it may have
    /// been broken into.
    #[error("{origin} asks to be paid at another address than before")]
    PayeeChanged {
        /// The server.
        origin: String,
        /// The addresses that it was paid at.
        known: Vec<Address>,
    },
    /// Parallel calls used up the budget in between.
    #[error("{0}")]
    OverBudget(Over),
    /// The authorization could not be signed.
    #[error("cannot sign the authorization")]
    Sign(#[source] seamline_evm::Error),
    /// The rules of the payment refused a step: a bug of this crate, stopped before it could cost
    /// money.
    #[error("the payment does not allow this step")]
    Payment(#[source] seamline_evm::payment::Misuse),
    /// The payer holds less of the token than the offer asks. Nothing was signed.
    #[error("the wallet holds less than the {needed} base units that the offer asks")]
    Funds {
        /// The offer's amount.
        needed: Amount,
    },
    /// Permit2 may move less of the payer's tokens than the offer asks. Nothing was signed.
    #[error("Permit2 may not move the {needed} base units that the offer asks")]
    Allowance {
        /// The offer's amount.
        needed: Amount,
    },
    /// The server or its facilitator refused the payment.
    #[error("the server refuses the payment: {reason}")]
    PaymentRefused {
        /// The reason on the wire.
        reason: Reason,
    },
    /// The server wants something else than it offered, after the authorization was signed.
    #[error("the server changed its offer after it was accepted")]
    OfferChanged,
    /// The answer to the paid request was lost, and asking again did not help.
    #[error("the server did not answer the paid request")]
    Interrupted(#[source] Option<seamline_net::client::Error>),
    /// Whoever read the streamed answer left before its end. What was served until then may be charged.
    #[error("the reader of the answer left before its end")]
    Stopped,
    /// The server took the paid request and answered with an error.
    #[error("the server answered the paid request with status {}", .0.status)]
    Status(Box<Answer>),
    /// The payment channel refuses the step, or the policy leaves no room in it.
    #[error("the payment channel does not allow it")]
    Channel(#[source] seamline_evm::channel::payer::Refusal),
    /// The same request was paid for over a channel before, and brought no answer.
    #[error("an earlier attempt was charged and brought no answer")]
    PaidInVain,
    /// The same request was paid for before, and what became of that payment is not known yet.
    #[error("the payment of an earlier attempt is unknown until {until_s}")]
    Unresolved {
        /// Last second at which it can be settled, Unix seconds. After it the chain tells.
        until_s: u64,
    },
}

/// How long to wait before the same server or the chain is worth asking again.
const SOON: Duration = Duration::from_secs(1);

impl ErrorKind {
    /// The stable code, as `docs/reference/errors.md` lists it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "purchase.url",
            Self::ZeroBudget => "budget.zero",
            Self::NoChain { .. } => "chain.unknown",
            Self::Http(_) => "purchase.http",
            Self::Journal(JournalError::InUse { .. }) => "journal.in_use",
            Self::Journal(
                JournalError::Damaged { .. }
                | JournalError::Record { .. }
                | JournalError::Log { .. },
            ) => "journal.damaged",
            Self::Journal(JournalError::Storage { .. }) => "journal.storage",
            Self::Write { .. } => "home.write",
            Self::Seal(_) => "receipt.seal",
            Self::Entropy(_) => "entropy",
            Self::Chain(_) => "chain.unreachable",
            Self::Unreachable(_) => "server.unreachable",
            Self::Redirect { .. } => "server.redirect",
            Self::NoOffer => "offer.none",
            Self::Offer(_) => "offer.malformed",
            Self::Refused(source) => refusal_code(source),
            Self::PayeeChanged { .. } => "payee.changed",
            Self::OverBudget(over) => over.code(),
            Self::Sign(_) => "authorization.sign",
            Self::Payment(_) => "payment.misuse",
            Self::Funds { .. } => "payment.funds",
            Self::Allowance { .. } => "payment.allowance",
            Self::PaymentRefused { .. } => "payment.refused",
            Self::OfferChanged => "offer.changed",
            Self::Interrupted(_) => "server.interrupted",
            Self::Stopped => "purchase.stopped",
            Self::Status(_) => "server.status",
            Self::Channel(_) => "payment.channel",
            Self::PaidInVain => "payment.in_vain",
            Self::Unresolved { .. } => "payment.unresolved",
        }
    }

    /// Whose fault it is; a plain server counts as a node.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Url { .. }
            | Self::ZeroBudget
            | Self::NoChain { .. }
            | Self::Unresolved { .. }
            | Self::Stopped
            | Self::OverBudget(_) => Fault::Caller,
            Self::Http(_)
            | Self::Journal(_)
            | Self::Write { .. }
            | Self::Seal(_)
            | Self::Entropy(_)
            | Self::Sign(_)
            | Self::Payment(_) => Fault::Us,
            Self::Chain(_) => Fault::Chain,
            Self::Refused(source) => refusal_fault(source),
            Self::Funds { .. }
            | Self::Allowance { .. }
            | Self::Channel(_)
            | Self::PaymentRefused { .. } => Fault::Payment,
            Self::Unreachable(_)
            | Self::Redirect { .. }
            | Self::NoOffer
            | Self::Offer(_)
            | Self::PayeeChanged { .. }
            | Self::OfferChanged
            | Self::PaidInVain
            | Self::Interrupted(_)
            | Self::Status(_) => Fault::Node,
        }
    }
}

impl From<LegFault> for ErrorKind {
    fn from(fault: LegFault) -> Self {
        match fault {
            LegFault::Journal(source) => Self::Journal(source),
            LegFault::Over(over) => Self::OverBudget(over),
            LegFault::Payment(misuse) => Self::Payment(misuse),
        }
    }
}

impl From<PurseFault> for ErrorKind {
    fn from(fault: PurseFault) -> Self {
        match fault {
            PurseFault::Refused(refusal) => Self::Channel(refusal),
            PurseFault::Over(over) => Self::OverBudget(over),
            PurseFault::Journal(source) => Self::Journal(source),
            PurseFault::Entropy(source) => Self::Entropy(source),
            PurseFault::Chain(source) => Self::Chain(source),
            PurseFault::Signer => Self::Sign(PurseFault::stopped()),
        }
    }
}

impl From<SealFault> for ErrorKind {
    fn from(fault: SealFault) -> Self {
        match fault {
            SealFault::Seal(source) => Self::Seal(source),
            SealFault::Write(path, source) => Self::Write { path, source },
            SealFault::Journal(source) => Self::Journal(source),
        }
    }
}

impl From<SignFault> for ErrorKind {
    fn from(fault: SignFault) -> Self {
        match fault {
            SignFault::Funds(needed) => Self::Funds { needed },
            SignFault::Allowance(needed) => Self::Allowance { needed },
            SignFault::Chain(source) => Self::Chain(source),
            SignFault::Sign(source) => Self::Sign(source),
        }
    }
}

impl Error {
    pub(super) fn new(kind: ErrorKind, step: Step, charged: Charged) -> Self {
        Self {
            kind: Box::new(kind),
            step,
            charged,
            seq: None,
            receipt: None,
            amounts: None,
        }
    }

    /// What the books say about its payment.
    pub(super) fn of_payment(
        mut self,
        authorized: Option<Amount>,
        settled: Option<Amount>,
    ) -> Self {
        self.amounts = Some(Box::new(Amounts {
            authorized,
            settled,
        }));
        self
    }

    pub(super) fn of_call(mut self, seq: u64, receipt: Option<PathBuf>) -> Self {
        self.seq = Some(seq);
        self.receipt = receipt;
        self
    }

    /// What failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The stable code of what failed.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// The step that failed.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }

    /// Whether the same purchase may be made again, and where.
    ///
    /// The same request may always be handed to [`super::Payer::fetch`] again: while its payment is
    /// unknown, that presents the authorization that exists, and pays nothing twice. This answer is
    /// about buying anew.
    pub fn retry(&self) -> Retry {
        if self.charged != Charged::No {
            return Retry::Never;
        }
        match self.fault() {
            Fault::Node | Fault::Relay => Retry::Other,
            Fault::Chain => Retry::Same { after: SOON },
            Fault::Caller | Fault::Payment | Fault::Us => Retry::Never,
        }
    }

    /// Whether money moved, as far as known when the error was made.
    pub const fn charged(&self) -> Charged {
        self.charged
    }

    /// What was settled, base units, where the chain shows it.
    pub fn settled(&self) -> Option<Amount> {
        self.amounts.as_ref()?.settled
    }

    /// Most that can be settled, base units; `None` where nothing was signed.
    pub fn authorized(&self) -> Option<Amount> {
        self.amounts.as_ref()?.authorized
    }

    /// Number of the purchase in the journal; `None` if it was never opened.
    pub const fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// The receipt of the failed purchase, where one was sealed.
    pub fn receipt(&self) -> Option<&Path> {
        self.receipt.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}
