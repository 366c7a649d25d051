//! The four questions that every error of a call answers: what failed (its code), whose fault,
//! may I retry and where, was I charged.

use core::fmt;
use core::fmt::Write as _;
use core::time::Duration;
use std::error::Error;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The caller asked for something impossible or forbade what it needs.
    Caller,
    /// The node or its enclave broke the protocol or is down.
    Node,
    /// A relay between the caller and the node.
    Relay,
    /// The chain or the RPC endpoint that speaks for it.
    Chain,
    /// The payment was refused: funds, allowance, facilitator.
    Payment,
    /// Seamline itself or the machine it runs on.
    Us,
}

/// Whether the same call may be tried again, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Trying again cannot help until something else changes.
    Never,
    /// The same node may be asked again after this long.
    Same {
        /// How long to wait first.
        after: Duration,
    },
    /// Another node may serve the call.
    Other,
}

/// Whether money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Charged {
    /// Nothing was settled, and nothing that was signed can settle any more or was ever sent.
    No,
    /// A settlement is on the chain.
    Yes,
    /// An authorization was sent and the chain does not say yet. It stops being unknown at the
    /// authorization's deadline.
    Unknown,
}

/// Where a statement comes from, so that nobody reads more into a finding than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceClass {
    /// Signed under a hardware vendor's pinned root.
    Hardware,
    /// Software attestation of a development network: same format, no hardware behind it.
    Dev,
    /// Read from a chain at a recorded block.
    Chain,
    /// Signed by the node's attested key.
    SignedByNode,
    /// Computed again by the reader from what the receipt carries.
    Recomputed,
    /// Only said by a party; nothing here proves it.
    Asserted,
    /// Could have been checked and was not.
    NotChecked,
    /// Checked, and wrong.
    Failed,
}

macro_rules! words {
    ($type:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// The stable word for this value in JSON and in receipts' printed form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant { .. } => $word),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(Fault { Caller => "caller", Node => "node", Relay => "relay", Chain => "chain", Payment => "payment", Us => "us" });
words!(Retry { Never => "never", Same => "same", Other => "other" });
words!(Charged { No => "no", Yes => "yes", Unknown => "unknown" });
words!(SourceClass {
    Hardware => "hardware", Dev => "dev", Chain => "chain", SignedByNode => "signed by node",
    Recomputed => "recomputed", Asserted => "asserted", NotChecked => "not checked", Failed => "failed",
});

/// Prints an error and its causes, outermost first, joined by `: `.
///
/// Only the edges of the system call this; messages themselves never repeat their cause.
pub fn chain(err: &(dyn Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {err}");
        cause = err.source();
    }
    text
}
