//! The stable code of each failure, and whose fault it is.

use seamline_core::Fault;
use seamline_core::infer::RunError;

use super::refusal::{refusal_code, refusal_fault};
use super::{ClaimFault, ErrorKind, SignatureFault};
use crate::journal::JournalError;

impl SignatureFault {
    const fn code(self) -> &'static str {
        match self {
            Self::Missing => "signature.missing",
            Self::Node => "signature.node",
            Self::Request => "signature.request",
            Self::Output => "signature.output",
            Self::Time => "signature.time",
            Self::Key => "signature.key",
            Self::Replayed => "signature.replayed",
        }
    }
}

impl ClaimFault {
    const fn code(self) -> &'static str {
        match self {
            Self::Usage => "claim.usage",
            Self::Unasked => "claim.settlement_unasked",
            Self::Other => "claim.settlement_other",
        }
    }
}

/// What a description of a model refuses; nothing else comes from there.
fn inputs_code(refused: &RunError) -> &'static str {
    match refused.code() {
        "input_missing" => "inputs.missing",
        "input_unknown" => "inputs.unknown",
        "input_shape" => "inputs.shape",
        "input_kind" => "inputs.kind",
        _ => "inputs.number",
    }
}

impl ErrorKind {
    /// The stable code, as `docs/reference/errors.md` lists it.
    pub fn code(&self) -> String {
        let fixed = match self {
            Self::EmptyPrompt => "request.empty",
            Self::Request(_) => "request.malformed",
            Self::ZeroBudget => "budget.zero",
            Self::UnknownModel { .. } => "model.unknown",
            Self::Inputs(source) => inputs_code(source),
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
            Self::WrongChain { .. } => "chain.wrong",
            Self::NoNodes => "registry.empty",
            Self::Inactive { .. } => "registry.inactive",
            Self::NoUsableNode { .. } => "route.none",
            Self::Listing { .. } => "node.listing",
            Self::Unreachable {
                source: seamline_net::client::Error::PinMismatch,
                ..
            } => "node.certificate",
            Self::Unreachable { .. } => "node.unreachable",
            Self::Status { .. } => "node.status",
            Self::Evidence { source, .. } => {
                return format!("evidence.{}", source.code().to_ascii_lowercase());
            }
            Self::RegistryDisagrees { .. } => "evidence.registry",
            Self::Offer { .. } => "offer.malformed",
            Self::Refused { source, .. } => refusal_code(source),
            Self::OverBudget(over) => over.code(),
            Self::Channel(_) => "payment.channel",
            Self::Sign(_) => "authorization.sign",
            Self::Payment(_) => "payment.misuse",
            Self::Funds { .. } => "payment.funds",
            Self::Allowance { .. } => "payment.allowance",
            Self::PaymentRefused { .. } => "payment.refused",
            Self::OfferChanged { .. } => "offer.changed",
            Self::Interrupted { .. } => "node.interrupted",
            Self::Answer { .. } => "answer.malformed",
            Self::Claim { fault, .. } => fault.code(),
            Self::Signature { fault, .. } => fault.code(),
        };
        fixed.to_owned()
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::EmptyPrompt
            | Self::Request(_)
            | Self::ZeroBudget
            | Self::UnknownModel { .. }
            | Self::Inputs(_)
            | Self::NoUsableNode { .. }
            | Self::OverBudget(_)
            | Self::WrongChain { .. } => Fault::Caller,
            Self::Journal(_)
            | Self::Write { .. }
            | Self::Seal(_)
            | Self::Entropy(_)
            | Self::Sign(_)
            | Self::Payment(_) => Fault::Us,
            Self::Chain(_) | Self::NoNodes => Fault::Chain,
            Self::Refused { source, .. } => refusal_fault(source),
            Self::Channel(_)
            | Self::Funds { .. }
            | Self::Allowance { .. }
            | Self::PaymentRefused { .. } => Fault::Payment,
            Self::Listing { .. }
            | Self::Inactive { .. }
            | Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Evidence { .. }
            | Self::RegistryDisagrees { .. }
            | Self::Offer { .. }
            | Self::OfferChanged { .. }
            | Self::Interrupted { .. }
            | Self::Answer { .. }
            | Self::Claim { .. }
            | Self::Signature { .. } => Fault::Node,
        }
    }

    /// Whether another node may help, while nothing was sent that could settle.
    pub(crate) const fn another_node_may_help(&self) -> bool {
        matches!(
            self,
            Self::Listing { .. }
                | Self::Inactive { .. }
                | Self::Unreachable { .. }
                | Self::Status { .. }
                | Self::Evidence { .. }
                | Self::RegistryDisagrees { .. }
                | Self::Offer { .. }
                | Self::Refused { .. }
        )
    }
}
