//! The scheme `exact` over Permit2: exactly what was signed, once, through a proxy that binds the
//! recipient; anybody may send the transaction.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall as _;

use crate::bindings::{
    ExactWitness, IExactProxy, Permit2612, PermitTransferFrom, TokenPermissions,
};
use crate::scheme::{Members, Method, Wrapped, payment_key};
use crate::typed::ExactAuthorization;
use crate::x402::PaymentPayload;
use crate::{Error, Malformed, Signature};

/// What an `exact` payment over Permit2 promises, read from its payload.
///
/// # Security
///
/// Holds a live authorization; `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Permit {
    /// Who pays.
    pub from: Address,
    /// What is promised.
    pub authorization: ExactAuthorization,
    /// The signature bytes: 65 of an account's key, anything of a contract (ERC-1271), or the wrapper
    /// of a wallet that is not deployed yet (ERC-6492).
    pub signature: Vec<u8>,
}

impl Permit {
    /// Reads the Permit2 part of a payment. Numbers may be decimal or `0x` hexadecimal strings.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`] with the member that is missing or malformed.
    pub fn of(payload: &PaymentPayload) -> Result<Self, Malformed> {
        let members = Members(payload.payload());
        let authorization = ExactAuthorization {
            token: members.account("/permit2Authorization/permitted/token")?,
            amount: members.number("/permit2Authorization/permitted/amount")?,
            spender: members.account("/permit2Authorization/spender")?,
            nonce: members.number("/permit2Authorization/nonce")?,
            deadline: members.number("/permit2Authorization/deadline")?,
            to: members.account("/permit2Authorization/witness/to")?,
            valid_after: members.number("/permit2Authorization/witness/validAfter")?,
        };
        Ok(Self {
            from: members.account("/permit2Authorization/from")?,
            authorization,
            signature: members.bytes("/signature")?,
        })
    }

    /// The nonce as the 32 bytes that commit to a call.
    pub fn auth_nonce(&self) -> B256 {
        B256::from(self.authorization.nonce)
    }

    /// The digest that the payer signed on `chain_id`.
    pub fn digest(&self, chain_id: u64) -> B256 {
        self.authorization.digest(chain_id)
    }

    /// The account whose key made the signature. For a payer that is a contract this says nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`].
    pub fn recover(&self, chain_id: u64) -> Result<Address, Error> {
        Signature::parse(&self.signature)?.recover(&self.digest(chain_id))
    }

    /// What identifies the payment on chain: Permit2 spends a nonce of a payer once, for all tokens
    /// and schemes.
    pub fn key(&self, chain_id: u64) -> B256 {
        let (token, nonce) = (self.authorization.token, self.auth_nonce());
        payment_key(Method::Permit2, chain_id, token, self.from, nonce)
    }

    /// The input of the proxy's `settle`, or with an approval to use first, of `settleWithPermit`.
    pub fn settle_call(&self, approval: Option<Permit2612>) -> Bytes {
        let ExactAuthorization {
            token,
            amount,
            spender: _,
            nonce,
            deadline,
            to,
            valid_after,
        } = self.authorization;
        let permit = PermitTransferFrom {
            permitted: TokenPermissions { token, amount },
            nonce,
            deadline,
        };
        let witness = ExactWitness {
            to,
            validAfter: valid_after,
        };
        let (owner, signature) = (self.from, Wrapped::inner(&self.signature));
        let input = match approval {
            None => IExactProxy::settleCall {
                permit,
                owner,
                witness,
                signature,
            }
            .abi_encode(),
            Some(permit2612) => IExactProxy::settleWithPermitCall {
                permit2612,
                permit,
                owner,
                witness,
                signature,
            }
            .abi_encode(),
        };
        input.into()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("from", &self.from)
            .field("authorization", &self.authorization)
            .finish_non_exhaustive()
    }
}
