use crate::NodeId;
use crate::cbor;

/// Why a policy, a catalogue or a decision is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not deterministic CBOR of the expected layout.
    #[error("the bytes do not decode")]
    Decode(#[source] cbor::Error),
    /// Two candidates are the same node.
    #[error("node `{0}` appears twice in the catalogue")]
    DuplicateNode(NodeId),
    /// The encoded catalogue is not sorted by node.
    #[error("the catalogue is not sorted by node")]
    NotSorted,
    /// A number is above the bound that its field has.
    #[error("`{field}` is out of range")]
    OutOfRange {
        /// The field of the policy, the candidate or the decision.
        field: &'static str,
    },
    /// A list, a text or the whole is longer than its bound.
    #[error("`{field}` is too long")]
    TooLong {
        /// The field of the policy, the candidate or the decision.
        field: &'static str,
    },
    /// A code or a version is not one of this engine.
    #[error("`{field}` is unknown to this engine")]
    Unknown {
        /// The field that holds the code.
        field: &'static str,
    },
}

impl Error {
    /// Returns the stable code of this error, as the vectors name it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "decode",
            Self::DuplicateNode(_) => "duplicate_node",
            Self::NotSorted => "not_sorted",
            Self::OutOfRange { .. } => "out_of_range",
            Self::TooLong { .. } => "too_long",
            Self::Unknown { .. } => "unknown",
        }
    }
}
