use core::fmt;

/// The twelve steps of a call, in order (DESIGN §4, `docs/guide`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Append the open leaf to the local log, durably, before any network I/O.
    Open,
    /// Read the registry at one block and the nodes' listed prices.
    Discover,
    /// Choose a node.
    Decide,
    /// Fetch and verify evidence.
    Attest,
    /// Bind the connection to the attested TLS key.
    Connect,
    /// Get the node's offer (HTTP 402).
    Offer,
    /// Hold the offer against the spend policy.
    Admit,
    /// Sign the authorization and write it to the journal.
    Authorize,
    /// Send the request with the authorization; the response streams.
    Execute,
    /// Check the enclave's signature over request and response.
    Verify,
    /// Learn from the reply and the chain what was settled.
    Settle,
    /// Seal the receipt and append the close leaf.
    Seal,
}

impl Step {
    /// All steps in order.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Discover,
        Self::Decide,
        Self::Attest,
        Self::Connect,
        Self::Offer,
        Self::Admit,
        Self::Authorize,
        Self::Execute,
        Self::Verify,
        Self::Settle,
        Self::Seal,
    ];

    /// The step's stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Discover => "discover",
            Self::Decide => "decide",
            Self::Attest => "attest",
            Self::Connect => "connect",
            Self::Offer => "offer",
            Self::Admit => "admit",
            Self::Authorize => "authorize",
            Self::Execute => "execute",
            Self::Verify => "verify",
            Self::Settle => "settle",
            Self::Seal => "seal",
        }
    }

    /// Finds a step by its stable name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Watches a call from the outside: progress lines, streamed text.
///
/// The methods run on the call's own task and delay it for as long as they take; they must not
/// block on the call.
pub trait Watch: Send {
    /// A step begins. `detail` names the node or the amount in words for people; it never holds
    /// the prompt, the completion, a key or an authorization.
    fn step(&mut self, step: Step, detail: &str) {
        let _ = (step, detail);
    }

    /// A step has taken its effect (what it writes is durable, what it sends is sent).
    fn done(&mut self, step: Step) {
        let _ = step;
    }

    /// A piece of the answer arrived. `proven` is false where the node's signature has not been
    /// checked yet; the receipt then says that the text was used before it was proven.
    fn text(&mut self, piece: &str, proven: bool) {
        let _ = (piece, proven);
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
