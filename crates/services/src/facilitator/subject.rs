use seamline_core::{Amount, B256};
use seamline_evm::chain::SettlementQuery;
use seamline_evm::scheme::{Authorization, Method};
use seamline_evm::x402::{FacilitatorRequest, Reason};

/// What a settlement is about, read from its request.
///
/// # Security
///
/// Holds a live authorization; it has no `Debug`.
#[derive(Clone)]
pub(super) struct Subject {
    /// What identifies the payment on chain.
    pub(super) key: B256,
    /// What makes two requests for it the same.
    pub(super) fingerprint: B256,
    /// The fingerprint with the signature: before it is verified, a request may be anybody's.
    pub(super) claim: B256,
    /// What the payer promised.
    pub(super) authorization: Authorization,
    /// What is to be settled.
    pub(super) amount: Amount,
}

impl Subject {
    /// Reads a request, or says with which reason it cannot be read.
    pub(super) fn of(request: &FacilitatorRequest, chain_id: u64) -> Result<Self, Reason> {
        let authorization = Authorization::of(&request.payment_payload)?;
        let amount = request.payment_requirements.terms().amount();
        let fingerprint = fingerprint(request, &authorization, chain_id);
        let signature = authorization.signature();
        Ok(Self {
            key: authorization.key(chain_id),
            fingerprint,
            claim: seamline_core::sha256(&[fingerprint.as_slice(), signature]),
            amount: amount.ok_or(Reason::InvalidPaymentRequirements)?,
            authorization,
        })
    }

    /// Where the chain shows that it was settled.
    pub(super) fn query(&self, from_block: u64) -> SettlementQuery {
        SettlementQuery {
            method: self.authorization.method(),
            payer: self.authorization.payer(),
            auth_nonce: self.authorization.auth_nonce(),
            asset: self.authorization.asset(),
            from_block,
        }
    }

    /// The reason where the chain has spent the authorization.
    pub(super) const fn spent(&self) -> Reason {
        match self.authorization.method() {
            Method::Eip3009 => Reason::InvalidExactEvmNonceAlreadyUsed,
            Method::Permit2 => Reason::Permit2InvalidNonce,
        }
    }

    /// The reason where it ran out.
    pub(super) const fn expired(&self) -> Reason {
        match self.authorization.method() {
            Method::Eip3009 => Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
            Method::Permit2 => Reason::Permit2DeadlineExpired,
        }
    }
}

/// Hashes what must be equal for two requests to be the same settlement: the whole authorization,
/// through the digest that its payer signed, and every member of the requirement that decides who
/// gets how much of what.
fn fingerprint(request: &FacilitatorRequest, promise: &Authorization, chain_id: u64) -> B256 {
    let terms = request.payment_requirements.terms();
    let digest = promise.digest(chain_id);
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
