//! Gas sponsoring by EIP-2612: an approval of Permit2 that the payer signs and the facilitator uses in
//! the transaction that settles.

use std::fmt;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::{Amount, Timestamp};
use serde_json::{Value, json};

use super::Members;
use crate::bindings::{IToken, PERMIT2, Permit2612};
use crate::policy::Admitted;
use crate::signer::sign_checked;
use crate::typed::Approval;
use crate::x402::{PaymentPayload, Reason};
use crate::{Error, Malformed, Signer};

/// The extension that carries the approval.
pub const SPONSORING_EXTENSION: &str = "eip2612GasSponsoring";

/// An approval of Permit2 for exactly one authorization, as the extension carries it.
///
/// The facilitator looks at its members; whether the token accepts the signature, the simulation says.
///
/// # Security
///
/// Whoever holds it can make the approval, and nothing else: moving tokens takes the authorization
/// besides. `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Eip2612 {
    /// What is approved.
    pub approval: Approval,
    /// Token contract.
    pub token: Address,
    /// `r || s || v`.
    pub signature: [u8; 65],
}

impl Eip2612 {
    /// Reads the extension of a payment; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `invalid_eip2612_extension_format`.
    pub fn of(payload: &PaymentPayload) -> Result<Option<Self>, Reason> {
        let extensions = payload.extensions();
        let Some(extension) = extensions.and_then(|all| all.get(SPONSORING_EXTENSION)) else {
            return Ok(None);
        };
        // A server's advertisement, echoed by a payer that does not use it, approves nothing.
        let info = extension.get("info");
        if info.is_none_or(|info| info.get("signature").is_none()) {
            return Ok(None);
        }
        let read = || -> Result<Self, Malformed> {
            let members = Members(extension);
            let signature = members.bytes("/info/signature")?;
            Ok(Self {
                approval: Approval {
                    owner: members.account("/info/from")?,
                    spender: members.account("/info/spender")?,
                    value: members.number("/info/amount")?,
                    nonce: members.number("/info/nonce")?,
                    deadline: members.number("/info/deadline")?,
                },
                token: members.account("/info/asset")?,
                signature: signature
                    .try_into()
                    .map_err(|_| Malformed::Field("/info/signature"))?,
            })
        };
        let sponsor = read().map_err(|_| Reason::InvalidEip2612ExtensionFormat)?;
        Ok(Some(sponsor))
    }

    /// Signs the approval for the authorization that `admitted` leads to: exactly its amount, as the
    /// proxies demand, and no longer than it lives. `token_nonce` is the token's `nonces(payer)`.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where the offer does not name the token's domain; [`Error::Sign`];
    /// [`Error::AmountRange`].
    pub fn sign(
        admitted: &Admitted,
        token_nonce: U256,
        signer: &dyn Signer,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let deadline = now.as_secs().checked_add(admitted.lifetime_s());
        let approval = Approval {
            owner: signer.address(),
            spender: PERMIT2,
            value: admitted.amount().into(),
            nonce: token_nonce,
            deadline: U256::from(deadline.ok_or(Error::AmountRange)?),
        };
        let domain = admitted.token_domain();
        let domain = domain.ok_or(Malformed::Field("extra/name"))?;
        let signature = sign_checked(signer, &approval.digest(domain))?;
        Ok(Self {
            approval,
            token: admitted.asset(),
            signature: *signature.as_bytes(),
        })
    }

    /// The members that the payer adds to the extension's `info`.
    pub fn info(&self) -> Value {
        json!({
            "from": self.approval.owner.to_string(),
            "asset": self.token.to_string(),
            "spender": self.approval.spender.to_string(),
            "amount": self.approval.value.to_string(),
            "nonce": self.approval.nonce.to_string(),
            "deadline": self.approval.deadline.to_string(),
            "signature": hex::encode_prefixed(self.signature),
            "version": "1",
        })
    }

    /// The argument of the proxies' `settleWithPermit`.
    pub(crate) fn argument(&self) -> Permit2612 {
        let (words, rest) = self.signature.as_chunks::<32>();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        Permit2612 {
            value: self.approval.value,
            deadline: self.approval.deadline,
            r: word(0).into(),
            s: word(1).into(),
            v: rest.first().copied().unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Eip2612 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eip2612")
            .field("approval", &self.approval)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The input of the token's `approve` by which a payer lets Permit2 move at most `amount`: bounded,
/// because what is approved is what a broken Permit2 could take.
pub fn approve_permit2_call(amount: Amount) -> Bytes {
    let call = IToken::approveCall {
        spender: PERMIT2,
        value: amount.into(),
    };
    call.abi_encode().into()
}
