//! Gas sponsoring by EIP-2612: an approval of Permit2 that the payer signs and the facilitator uses in
//! the transaction that settles. How it is written is [`crate::x402::extensions::eip2612`].

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::{Amount, Timestamp};

use crate::bindings::{IToken, PERMIT2, Permit2612};
use crate::policy::Admitted;
use crate::signer::sign_checked;
use crate::typed::Approval;
use crate::x402::extensions::eip2612;
use crate::x402::{PaymentPayload, Reason};
use crate::{Error, Malformed, Signer};

pub use crate::x402::extensions::eip2612::Approval as Eip2612;
pub use crate::x402::extensions::eip2612::KEY as SPONSORING_EXTENSION;

impl Eip2612 {
    /// The approval that comes with a payment; `None` where there is none. Nothing is checked but its
    /// form.
    ///
    /// # Errors
    ///
    /// `invalid_eip2612_extension_format`.
    pub fn of(payload: &PaymentPayload) -> Result<Option<Self>, Reason> {
        eip2612::of(payload.extensions())
    }
}

/// Signs the approval of Permit2 for the authorization that `admitted` leads to: exactly its amount, as
/// the proxies demand, and no longer than it lives. `token_nonce` is the token's `nonces(payer)`.
///
/// The approval alone moves nothing: that takes the authorization besides.
///
/// # Errors
///
/// [`Error::Malformed`] where the offer does not name the token's domain; [`Error::Sign`];
/// [`Error::AmountRange`].
pub fn sign_approval(
    admitted: &Admitted,
    token_nonce: U256,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<Eip2612, Error> {
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
    Ok(Eip2612 {
        from: approval.owner,
        asset: admitted.asset(),
        spender: approval.spender,
        amount: approval.value,
        nonce: approval.nonce,
        deadline: approval.deadline,
        signature: *signature.as_bytes(),
    })
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

/// The argument of the proxies' `settleWithPermit`.
pub(crate) fn argument(approval: &Eip2612) -> Permit2612 {
    let (words, rest) = approval.signature.as_chunks::<32>();
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    Permit2612 {
        value: approval.amount,
        deadline: approval.deadline,
        r: word(0).into(),
        s: word(1).into(),
        v: rest.first().copied().unwrap_or_default(),
    }
}
