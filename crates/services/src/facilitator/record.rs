use seamline_core::{Amount, B256};
use seamline_evm::upto::Permit;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use serde::{Deserialize, Serialize};

/// What the store knows about one payment.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Layout of this record.
    pub(super) version: u32,
    /// [`fingerprint`] of the request.
    pub(super) fingerprint: B256,
    /// The request as it came: `FacilitatorRequest::to_json`.
    pub(super) request: String,
    /// When the authorization expires, Unix seconds.
    pub(super) deadline_s: u64,
    /// What became of it.
    pub(super) state: State,
}

/// The states of a settlement. `NEW` is the absence of a record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum State {
    /// Signed, perhaps sent, perhaps in a block.
    Broadcasting(Sent),
    /// In a block, successful or not: the answer to every further request.
    Done {
        /// The answer.
        response: SettleResponse,
        /// Block that the transaction is in; absent for a settlement that another process made.
        block: Option<Place>,
    },
}

/// A transaction on its way.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sent {
    /// The signed bytes, hexadecimal.
    pub(super) raw: String,
    /// Hash of the transaction.
    pub(super) transaction: B256,
    /// The place of the transaction in the account's sequence.
    pub(super) account_nonce: u64,
}

/// A place on the chain.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Place {
    /// Number of the block.
    pub(super) number: u64,
    /// Hash of the block.
    pub(super) hash: B256,
}

/// The layout that this version writes.
pub(super) const VERSION: u32 = 1;

/// What a settlement is about, read from its request.
#[derive(Clone)]
pub(super) struct Subject {
    /// What identifies the payment on chain.
    pub(super) key: B256,
    /// What makes two requests for it the same.
    pub(super) fingerprint: B256,
    /// The fingerprint with the signature: before it is verified, a request may be anybody's.
    pub(super) claim: B256,
    /// What the payer promised.
    pub(super) permit: Permit,
    /// What is to be settled.
    pub(super) amount: Amount,
    /// When the authorization expires, Unix seconds.
    pub(super) deadline_s: u64,
}

impl Subject {
    /// Reads a request, or says with which reason it cannot be read.
    pub(super) fn of(request: &FacilitatorRequest, chain_id: u64) -> Result<Self, Reason> {
        let permit = Permit::of(&request.payment_payload)
            .map_err(|_| Reason::InvalidPermit2PayloadFormat)?;
        let amount = request.payment_requirements.terms().amount();
        let fingerprint = fingerprint(request, &permit, chain_id);
        Ok(Self {
            key: permit.key(chain_id),
            fingerprint,
            claim: seamline_core::sha256(&[fingerprint.as_slice(), &permit.signature]),
            amount: amount.ok_or(Reason::InvalidPaymentRequirements)?,
            deadline_s: u64::try_from(permit.authorization.deadline).unwrap_or(u64::MAX),
            permit,
        })
    }
}

/// Hashes what must be equal for two requests to be the same settlement: the whole authorization,
/// through the digest that its payer signed, and every member of the requirement that decides who
/// gets how much of what.
fn fingerprint(request: &FacilitatorRequest, permit: &Permit, chain_id: u64) -> B256 {
    let terms = request.payment_requirements.terms();
    let digest = permit.digest(chain_id);
    let members = [
        &terms.scheme,
        &terms.network,
        &terms.asset,
        &terms.pay_to,
        &terms.amount,
    ];
    let lengths = members.map(|member| member.len().to_string());
    let mut parts: Vec<&[u8]> = vec![b"seamline/v1/settlement", digest.as_slice()];
    for (member, length) in members.iter().zip(&lengths) {
        // Lengths first: no member can flow into the next one.
        parts.extend([length.as_bytes(), b":", member.as_bytes()]);
    }
    seamline_core::sha256(&parts)
}
