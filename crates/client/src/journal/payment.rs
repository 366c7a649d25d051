//! One authorization, and what became of it.

use seamline_core::{Address, Amount, B256};
use seamline_evm::chain::Anchor;
use seamline_evm::payment::{Action, Misuse, Payment, State, Terms};
use seamline_evm::scheme::{Method, Scheme, SignedAuthorization, payment_key};
use serde::{Deserialize, Serialize};

use super::book::Token;

/// One authorization and what became of it.
///
/// `Debug` leaves the authorization itself out.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PaymentRecord {
    /// The nonce, equal to the call's H_bind.
    pub auth_nonce: B256,
    /// The scheme; `upto` in journals of the first version.
    #[serde(default = "upto")]
    pub scheme: String,
    /// What moves the token; `permit2` in journals of the first version.
    #[serde(default = "permit2")]
    pub method: String,
    /// Authorizations of the same nonce that were signed before this one and may be in other hands.
    /// The chain settles at most one of them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<Earlier>,
    /// The digest that was signed: names the authorization.
    pub digest: B256,
    /// Who pays.
    pub payer: Address,
    /// The ERC-20.
    pub asset: Address,
    /// CAIP-2 id of the chain.
    pub network: String,
    /// Who is paid.
    pub pay_to: Address,
    /// The node that was asked.
    pub node: B256,
    /// Most that may be settled, base units, decimal.
    #[serde(with = "super::decimal::plain")]
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
    #[serde(with = "super::decimal::optional")]
    pub(crate) settled: Option<Amount>,
    /// The settlement's transaction.
    pub transaction: Option<B256>,
    /// The settlement's block.
    pub block: Option<u64>,
    /// The hash of the settlement's block.
    pub block_hash: Option<B256>,
    /// The block that `state` was read in, while a fork could still take it away. Absent in journals of
    /// earlier versions, which called the first block final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rests_on: Option<RestsOn>,
}

/// A block that the books rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestsOn {
    number: u64,
    hash: B256,
}

/// What the books say about a payment: two of these differ where something became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) state: PaymentState,
    block_hash: Option<B256>,
}

/// An authorization that another one of the same nonce followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Earlier {
    pub(crate) scheme: String,
    pub(crate) digest: B256,
    pub(crate) pay_to: Address,
    #[serde(with = "super::decimal::plain")]
    pub(crate) amount: Amount,
    pub(crate) deadline_s: u64,
}

impl Earlier {
    fn scheme(&self) -> Option<Scheme> {
        Scheme::parse(&self.scheme)
    }
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

impl PaymentRecord {
    /// Most that may be settled.
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// Whether nobody looks any more: the chain has told, in a block that is deep enough.
    pub const fn is_final(&self) -> bool {
        !self.state.is_live() && self.rests_on.is_none()
    }

    /// What the books say now.
    pub(crate) const fn known(&self) -> Known {
        Known {
            state: self.state,
            block_hash: self.block_hash,
        }
    }

    /// The block that an outcome rests on, where a fork may still take it away.
    pub(crate) fn anchor(&self) -> Option<Anchor> {
        let rests_on = self.rests_on?;
        Some(Anchor {
            number: rests_on.number,
            hash: rests_on.hash,
        })
    }

    /// The block is deep enough, or the day is over: nobody looks again.
    pub(crate) const fn finalize(&mut self) {
        self.rests_on = None;
    }

    /// A fork took the outcome away: what became of the authorization is open again.
    pub(crate) const fn reopen(&mut self) {
        self.state = PaymentState::Unknown;
        self.forget_outcome();
    }

    const fn forget_outcome(&mut self) {
        (self.settled, self.transaction) = (None, None);
        (self.block, self.block_hash, self.rests_on) = (None, None, None);
    }

    /// What was settled, where it was.
    pub const fn settled(&self) -> Option<Amount> {
        self.settled
    }

    /// What a signed authorization leaves in the books. `earlier` is the record of the one before it
    /// of the same nonce.
    pub(crate) fn new(
        signed: &SignedAuthorization,
        node: B256,
        from_block: u64,
        earlier: Option<Self>,
    ) -> Self {
        let earlier = earlier.map(|record| {
            let mut all = record.earlier;
            all.push(Earlier {
                scheme: record.scheme,
                digest: record.digest,
                pay_to: record.pay_to,
                amount: record.amount,
                deadline_s: record.deadline_s,
            });
            (all, record.from_block)
        });
        let (earlier, from_block) = match earlier {
            Some((earlier, first)) => (earlier, first.min(from_block)),
            None => (Vec::new(), from_block),
        };
        Self {
            auth_nonce: signed.auth_nonce,
            scheme: signed.scheme.as_str().to_owned(),
            method: signed.method.as_str().to_owned(),
            earlier,
            digest: signed.digest,
            payer: signed.payer,
            asset: signed.asset,
            network: format!("eip155:{}", signed.chain_id),
            pay_to: signed.pay_to,
            node,
            amount: signed.amount,
            deadline_s: signed.deadline_s,
            from_block,
            payload: signed.payload_json().to_owned(),
            state: PaymentState::Authorized,
            settled: None,
            transaction: None,
            block: None,
            block_hash: None,
            rests_on: None,
        }
    }

    /// Whether the chain settles at most one of this authorization and another.
    pub(crate) fn shares_nonce_with(&self, other: &SignedAuthorization) -> bool {
        self.auth_nonce == other.auth_nonce
            && self.payer == other.payer
            && self.chain_id() == other.chain_id
            && self.method() == Some(other.method)
            && (other.method == Method::Permit2 || self.asset == other.asset)
    }

    /// What stays in the books when the newest authorization was never promised to anybody.
    pub(crate) fn without_last(mut self) -> Option<Self> {
        let last = self.earlier.pop()?;
        self.scheme = last.scheme;
        self.digest = last.digest;
        self.pay_to = last.pay_to;
        self.amount = last.amount;
        self.deadline_s = last.deadline_s;
        // Its bytes are gone with the newer ones: it is never presented again, only asked about.
        self.payload = String::new();
        Some(self)
    }

    /// The token that is paid with.
    pub(crate) fn token(&self) -> Token {
        Token {
            network: self.network.clone(),
            asset: self.asset,
        }
    }

    /// EIP-155 id of the chain; zero where the record names none.
    pub(crate) fn chain_id(&self) -> u64 {
        let id = self.network.strip_prefix("eip155:");
        id.and_then(|id| id.parse().ok()).unwrap_or(0)
    }

    /// The scheme of the newest authorization.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        Scheme::parse(&self.scheme)
    }

    /// What moves the token.
    pub(crate) fn method(&self) -> Option<Method> {
        Method::parse(&self.method)
    }

    /// Most that may settle of all authorizations: they share a nonce, so it is the largest.
    pub(crate) fn reserved_amount(&self) -> Amount {
        let earlier = self.earlier.iter().map(|earlier| earlier.amount);
        earlier.fold(self.amount, Amount::max)
    }

    /// Last second at which any of the authorizations can be settled.
    pub(crate) fn last_deadline_s(&self) -> u64 {
        let earlier = self.earlier.iter().map(|earlier| earlier.deadline_s);
        earlier.fold(self.deadline_s, u64::max)
    }

    /// The payment as its rules see it, after a restart: whatever is stored may have been sent.
    pub(crate) fn rebuild(&self) -> Result<(Payment, Vec<Action>), Misuse> {
        Payment::recover(self.terms()?)
    }

    fn terms(&self) -> Result<Vec<Terms>, Misuse> {
        let (scheme, method) = (self.scheme(), self.method());
        let (scheme, method) = scheme.zip(method).ok_or(Misuse::OutOfOrder)?;
        let key = payment_key(
            method,
            self.chain_id(),
            self.asset,
            self.payer,
            self.auth_nonce,
        );
        let earlier = self.earlier.iter().map(|earlier| Terms {
            auth_nonce: self.auth_nonce,
            scheme: earlier.scheme().unwrap_or(scheme),
            method,
            key,
            digest: earlier.digest,
            pay_to: earlier.pay_to,
            amount: earlier.amount,
            deadline_s: earlier.deadline_s,
        });
        let newest = Terms {
            auth_nonce: self.auth_nonce,
            scheme,
            method,
            key,
            digest: self.digest,
            pay_to: self.pay_to,
            amount: self.amount,
            deadline_s: self.deadline_s,
        };
        Ok(earlier.chain([newest]).collect())
    }

    /// The payment for somebody who repeats what it is for.
    pub(crate) fn resume(&self) -> Result<Payment, Misuse> {
        let (payment, _) = Payment::resume(self.terms()?)?;
        Ok(payment)
    }

    /// Takes over where the payment stands.
    pub(crate) fn follow(&mut self, payment: &Payment) {
        self.forget_outcome();
        self.state = match payment.state() {
            State::New | State::Signed | State::Authorized => PaymentState::Authorized,
            State::Sent | State::Submitted { .. } | State::Unknown { .. } => PaymentState::Unknown,
            State::Abandoned => PaymentState::NotSettled,
            State::NotSettled(block) => {
                self.rests_on = Some(Anchor::from(block).into());
                PaymentState::NotSettled
            }
            State::Settled(facts) => {
                self.settled = Some(facts.amount);
                self.transaction = Some(facts.transaction);
                self.block = Some(facts.block_number);
                self.block_hash = Some(facts.block_hash);
                self.rests_on = Some(Anchor::from(facts).into());
                PaymentState::Settled
            }
        };
    }
}

impl From<Anchor> for RestsOn {
    fn from(anchor: Anchor) -> Self {
        Self {
            number: anchor.number,
            hash: anchor.hash,
        }
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

fn upto() -> String {
    Scheme::Upto.as_str().to_owned()
}

fn permit2() -> String {
    Method::Permit2.as_str().to_owned()
}
