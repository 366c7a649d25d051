//! What can go wrong in a call, and the four answers that every error gives.

mod code;
pub(crate) mod refusal;

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use seamline_core::decision::Rejection;
use seamline_core::{Amount, Charged, Fault, NodeId, Retry};
use seamline_evm::policy::NotAdmitted;
use seamline_evm::x402::Reason;

use self::refusal::{refusal_text, rejected_text};
use crate::journal::{JournalError, Over};
use crate::leg::LegFault;
use crate::purse::PurseFault;
use crate::sealing::SealFault;
use crate::sign::SignFault;
use crate::step::Step;

/// A call that gave no proven answer.
///
/// Answers four questions: what failed ([`Error::code`]), whose fault ([`Error::fault`]), may I retry
/// and where ([`Error::retry`]), was I charged ([`Error::charged`]). A call that was opened also leaves
/// a receipt of its failure.
#[derive(Debug)]
pub struct Error {
    kind: Box<ErrorKind>,
    step: Step,
    charged: Charged,
    receipt: Option<PathBuf>,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request asks nothing.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The request cannot be put into canonical form.
    #[error("the request cannot be put into canonical form")]
    Request(#[source] seamline_core::canonical::Error),
    /// The budget allows nothing.
    #[error("the budget allows nothing")]
    ZeroBudget,
    /// No active node lists the model.
    #[error("no node offers the model `{model}`")]
    UnknownModel {
        /// The model asked for.
        model: String,
        /// The models that nodes list.
        known: Vec<String>,
    },
    /// The model does not take these inputs, by what every node says of it.
    #[error("the model does not take these inputs")]
    Inputs(#[source] seamline_core::infer::RunError),
    /// The journal refused.
    #[error("cannot keep the books")]
    Journal(#[source] JournalError),
    /// A receipt or another file of the home could not be written.
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
    /// The chain is not the one that the trust settings name.
    #[error("the endpoint speaks for chain {observed}, not for chain {expected}")]
    WrongChain {
        /// The chain that the settings name.
        expected: u64,
        /// The chain that answered.
        observed: u64,
    },
    /// The registry lists no active node.
    #[error("the registry lists no active node")]
    NoNodes,
    /// The node was revoked, or stopped, since the registry was read. Nothing was signed for it.
    #[error("the registry has node {} no longer active", .node.short())]
    Inactive {
        /// The node.
        node: NodeId,
    },
    /// Every node was rejected by the route policy.
    #[error("no node is usable: {}", rejected_text(.rejected))]
    NoUsableNode {
        /// Each node with the first rule that rejected it.
        rejected: Vec<(NodeId, Rejection)>,
    },
    /// The node's listing of models does not read.
    #[error("node {} lists its models in a form that does not read", .node.short())]
    Listing {
        /// The node.
        node: NodeId,
    },
    /// The node could not be reached, or broke the connection before an authorization was sent.
    #[error("node {} cannot be reached", .node.short())]
    Unreachable {
        /// The node.
        node: NodeId,
        /// What failed.
        #[source]
        source: seamline_net::client::Error,
    },
    /// The node answered with an unexpected HTTP status.
    #[error("node {} answered with status {status}", .node.short())]
    Status {
        /// The node.
        node: NodeId,
        /// The status.
        status: u16,
    },
    /// The node's evidence was refused.
    #[error("the evidence of node {} is refused", .node.short())]
    Evidence {
        /// The node.
        node: NodeId,
        /// The check that refused it.
        #[source]
        source: seamline_attest::Error,
    },
    /// The evidence and the registry do not say the same.
    #[error("evidence and registry disagree about the {what} of node {}", .node.short())]
    RegistryDisagrees {
        /// The node.
        node: NodeId,
        /// What differs.
        what: &'static str,
    },
    /// The node's offer does not read.
    #[error("the offer of node {} does not read", .node.short())]
    Offer {
        /// The node.
        node: NodeId,
        /// What is wrong with it.
        #[source]
        source: seamline_evm::Malformed,
    },
    /// The spend policy admits none of the node's offers.
    #[error("the spend policy refuses the offer of node {}: {}", .node.short(), refusal_text(.source))]
    Refused {
        /// The node.
        node: NodeId,
        /// Why each offer was refused.
        source: NotAdmitted,
    },
    /// Parallel calls used up the budget in between.
    #[error("{0}")]
    OverBudget(Over),
    /// Nothing is promised in a payment channel.
    #[error("no voucher was signed: {0}")]
    Channel(#[source] seamline_evm::channel::payer::Refusal),
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
    /// The node or its facilitator refused the payment.
    #[error("node {} refuses the payment: {reason}", .node.short())]
    PaymentRefused {
        /// The node.
        node: NodeId,
        /// The reason on the wire.
        reason: Reason,
    },
    /// The node wants more than it offered, after the authorization was signed.
    #[error("node {} changed its offer after it was accepted", .node.short())]
    OfferChanged {
        /// The node.
        node: NodeId,
    },
    /// The connection broke after the authorization was sent, and asking again did not help.
    #[error("node {} did not answer the paid request", .node.short())]
    Interrupted {
        /// The node.
        node: NodeId,
        /// What failed last.
        #[source]
        source: Option<seamline_net::client::Error>,
    },
    /// The answer does not read.
    #[error("the answer of node {} is malformed: {what}", .node.short())]
    Answer {
        /// The node.
        node: NodeId,
        /// What is wrong, in words.
        what: &'static str,
    },
    /// The answer is proven, and what the node says beside it cannot be true.
    #[error("node {} claims what cannot be: {fault}", .node.short())]
    Claim {
        /// The node.
        node: NodeId,
        /// What cannot be.
        fault: ClaimFault,
    },
    /// The node's signature does not cover what was sent and received.
    #[error("the signature of node {} does not hold: {fault}", .node.short())]
    Signature {
        /// The node.
        node: NodeId,
        /// What does not hold.
        fault: SignatureFault,
    },
}

/// What is wrong with an answer's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// The answer carries no signature, or a malformed one.
    #[error("it is missing or malformed")]
    Missing,
    /// It names another enclave.
    #[error("it names another enclave")]
    Node,
    /// It covers another request.
    #[error("it covers another request than the one sent")]
    Request,
    /// It covers another answer.
    #[error("it covers another answer than the one received")]
    Output,
    /// Its time is too far from ours.
    #[error("its time is more than five minutes from ours")]
    Time,
    /// It is not by the attested key.
    #[error("it is not by the attested key")]
    Key,
    /// It came with an earlier answer to this client.
    #[error("it came with an earlier answer")]
    Replayed,
}

/// What is wrong with something that a node says and nobody signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimFault {
    /// It counts more tokens than were sent, or than were asked for, or does not add up.
    #[error("its usage is more than was sent and asked for")]
    Usage,
    /// It says that the answer was published, and nobody asked for that.
    #[error("it published an answer that was to stay off the record")]
    Unasked,
    /// Its settlement headers are those of another answer.
    #[error("its settlement headers are those of another answer")]
    Other,
}

/// How long to wait before the same node or the chain is worth asking again.
const SOON: Duration = Duration::from_secs(1);

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
    pub(crate) fn new(
        kind: ErrorKind,
        step: Step,
        charged: Charged,
        receipt: Option<PathBuf>,
    ) -> Self {
        Self {
            kind: Box::new(kind),
            step,
            charged,
            receipt,
        }
    }

    /// What failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The stable code of what failed, as `docs/reference/errors.md` lists it.
    pub fn code(&self) -> String {
        self.kind.code()
    }

    /// The step of the call that failed.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }

    /// Whether the same call may be made again, and where. A call whose payment is unknown is never
    /// to be made again before it is known: `receipt list` says when.
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

    /// The receipt of the failed call; `None` if the call was never opened.
    pub fn receipt(&self) -> Option<&std::path::Path> {
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
