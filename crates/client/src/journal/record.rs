use seamline_core::{Address, Amount, B256, Charged};
use seamline_evm::payment::{Action, Misuse, Payment, State, Terms};
use seamline_evm::scheme::{Method, Scheme, SignedAuthorization, payment_key};
use serde::{Deserialize, Serialize};

use super::book::Token;
use super::channels::{VoucherRecord, VoucherState};

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
    /// What was bought, where it was no call of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseRecord>,
    /// What was promised in a payment channel instead of an authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<VoucherRecord>,
}

/// What a call costs at most, and where.
pub(super) struct Bill {
    pub(super) token: Token,
    pub(super) node: B256,
    pub(super) amount: Amount,
}

/// What was bought from a plain server. Holds no URL, no header and no body. `Debug` leaves the payment
/// out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PurchaseRecord {
    /// Names the request: the same one is the same purchase (`spec/binding.md`, "Purchases").
    pub key: B256,
    /// Scheme, host and port.
    pub origin: String,
    /// The payment as it is sent, where the server speaks version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v1_payload: Option<String>,
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
            let voucher = self.voucher.as_ref();
            return voucher.map_or(Amount::ZERO, VoucherRecord::committed);
        };
        match payment.state {
            PaymentState::Settled => payment.settled.unwrap_or(payment.amount),
            PaymentState::NotSettled => Amount::ZERO,
            PaymentState::Authorized | PaymentState::Unknown => payment
                .rebuild()
                .map_or(payment.amount, |(payment, _)| payment.reserved()),
        }
    }

    /// What the call costs at most; `None` where nothing was signed.
    pub(super) fn bill(&self) -> Option<Bill> {
        match (&self.payment, &self.voucher) {
            (Some(payment), _) => Some(Bill {
                token: payment.token(),
                node: payment.node,
                amount: payment.reserved_amount(),
            }),
            (None, Some(voucher)) => Some(Bill {
                token: voucher.token(),
                node: voucher.node,
                amount: voucher.amount,
            }),
            (None, None) => None,
        }
    }

    /// The key of a purchase that was paid, or may have been, and that brought no answer.
    pub(crate) fn undelivered(&self) -> Option<B256> {
        let paid = self.charged() != Charged::No;
        let missing = self.state != CallState::Answered;
        let purchase = self.purchase.as_ref()?;
        (paid && missing).then_some(purchase.key)
    }

    /// Whether money moved, as far as the books know.
    pub fn charged(&self) -> Charged {
        if let (None, Some(voucher)) = (&self.payment, &self.voucher) {
            return match (voucher.state, voucher.charged) {
                (VoucherState::Void, _) => Charged::No,
                (VoucherState::Charged, Some(amount)) if amount.is_zero() => Charged::No,
                (VoucherState::Charged, _) => Charged::Yes,
                (VoucherState::Open, _) => Charged::Unknown,
            };
        }
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

impl core::fmt::Debug for PurchaseRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PurchaseRecord")
            .field("key", &self.key)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
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
