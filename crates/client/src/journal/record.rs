use seamline_core::{Amount, B256, Charged};
use seamline_evm::payment::{Action, Misuse, Payment, State, Terms};
use serde::{Deserialize, Serialize};

/// What the journal knows of one call. Holds no prompt and no completion.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallRecord {
    /// Gap-free sequence number.
    pub seq: u64,
    /// The call's id, 32 hexadecimal digits.
    pub call_id: String,
    /// Wall time of the open entry, Unix milliseconds.
    pub opened_ms: u64,
    /// Model asked for.
    pub model: String,
    /// Whether the call is still open, and how it ended.
    pub state: CallState,
    /// The last step that was begun.
    pub step: String,
    /// The payment leg, from the moment it was signed.
    pub payment: Option<PaymentRecord>,
    /// Hash of the sealed receipt.
    pub receipt: Option<B256>,
}

/// Whether a call is open, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Opened and not closed: it runs now, or its process died.
    Open,
    /// Its process died; what became of its money was settled afterwards from the chain.
    Interrupted,
    /// An answer was delivered and proven.
    Answered,
    /// It ended with an error.
    Failed,
}

/// One authorization and what became of it.
///
/// `Debug` leaves the authorization itself out.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PaymentRecord {
    /// The Permit2 nonce, equal to the call's H_bind.
    pub auth_nonce: B256,
    /// The digest that was signed: names the authorization.
    pub digest: B256,
    /// Who pays.
    pub payer: seamline_core::Address,
    /// The ERC-20.
    pub asset: seamline_core::Address,
    /// CAIP-2 id of the chain.
    pub network: String,
    /// Who is paid.
    pub pay_to: seamline_core::Address,
    /// The node that was asked.
    pub node: B256,
    /// Most that may be settled, base units, decimal.
    #[serde(with = "decimal")]
    pub(crate) amount: Amount,
    /// Unix seconds after which the chain refuses the authorization.
    pub deadline_s: u64,
    /// Block at which the authorization was signed: settlements are searched from here.
    pub from_block: u64,
    /// The payment payload exactly as it was sent, so that only this one is ever sent again.
    pub(crate) payload: String,
    /// What is known about it.
    pub state: PaymentState,
    /// What was settled, base units, where it was.
    #[serde(with = "optional_decimal")]
    pub(crate) settled: Option<Amount>,
    /// The settlement's transaction.
    pub transaction: Option<B256>,
    /// The settlement's block.
    pub block: Option<u64>,
    /// The hash of the settlement's block.
    pub block_hash: Option<B256>,
}

/// What is known about an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Signed and stored; may or may not have been sent.
    Authorized,
    /// Settled on chain.
    Settled,
    /// Not settled and never to be: it did not leave this machine, or the deadline passed and the
    /// chain never saw the nonce.
    NotSettled,
    /// Sent, and the chain does not say yet, whatever the node says.
    Unknown,
}

impl PaymentState {
    /// The stable word for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Settled => "settled",
            Self::NotSettled => "not_settled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the chain may still change it.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Authorized | Self::Unknown => true,
            Self::Settled | Self::NotSettled => false,
        }
    }
}

impl CallRecord {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and integers always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What this call cost, or may still cost: reserved until the chain proves otherwise.
    pub fn committed(&self) -> Amount {
        let Some(payment) = &self.payment else {
            return Amount::ZERO;
        };
        match payment.state {
            PaymentState::Settled => payment.settled.unwrap_or(payment.amount),
            PaymentState::NotSettled => Amount::ZERO,
            PaymentState::Authorized | PaymentState::Unknown => payment
                .rebuild()
                .map_or(payment.amount, |(payment, _)| payment.reserved()),
        }
    }

    /// Whether money moved, as far as the books know.
    pub fn charged(&self) -> Charged {
        match self.payment.as_ref().map(|payment| payment.state) {
            None | Some(PaymentState::NotSettled) => Charged::No,
            Some(PaymentState::Settled) => Charged::Yes,
            Some(PaymentState::Authorized | PaymentState::Unknown) => Charged::Unknown,
        }
    }
}

impl PaymentRecord {
    /// Most that may be settled.
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// What was settled, where it was.
    pub const fn settled(&self) -> Option<Amount> {
        self.settled
    }

    /// The payment as its rules see it, after a restart: whatever is stored may have been sent.
    pub(crate) fn rebuild(&self) -> Result<(Payment, Vec<Action>), Misuse> {
        Payment::recover(vec![Terms {
            auth_nonce: self.auth_nonce,
            digest: self.digest,
            pay_to: self.pay_to,
            amount: self.amount,
            deadline_s: self.deadline_s,
        }])
    }

    /// Takes over where the payment stands.
    pub(crate) fn follow(&mut self, payment: &Payment) {
        self.state = match payment.state() {
            State::New | State::Signed | State::Authorized => PaymentState::Authorized,
            State::Sent | State::Submitted { .. } | State::Unknown { .. } => PaymentState::Unknown,
            State::NotSettled(_) | State::Abandoned => PaymentState::NotSettled,
            State::Settled(facts) => {
                self.settled = Some(facts.amount);
                self.transaction = Some(facts.transaction);
                self.block = Some(facts.block_number);
                self.block_hash = Some(facts.block_hash);
                PaymentState::Settled
            }
        };
    }
}

impl core::fmt::Debug for PaymentRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PaymentRecord")
            .field("auth_nonce", &self.auth_nonce)
            .field("amount", &self.amount)
            .field("deadline_s", &self.deadline_s)
            .field("state", &self.state)
            .field("settled", &self.settled)
            .finish_non_exhaustive()
    }
}

/// Amounts are decimal strings in JSON: they do not fit its numbers.
mod decimal {
    use seamline_core::Amount;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(amount: &Amount, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(from)?;
        Amount::parse(&text).map_err(D::Error::custom)
    }
}

mod optional_decimal {
    use seamline_core::Amount;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        amount: &Option<Amount>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => to.collect_str(amount),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Amount>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Amount::parse(&text).map_err(D::Error::custom))
            .transpose()
    }
}
