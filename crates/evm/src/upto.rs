//! The scheme `upto` over Permit2: one authorization for at most an amount, settled once by one
//! facilitator for what was metered.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall as _;
use seamline_core::Amount;

use crate::bindings::{IUptoProxy, Permit2612, PermitTransferFrom, TokenPermissions, UptoWitness};
use crate::scheme::{Members, Method, Wrapped, payment_key};
use crate::typed::UptoAuthorization;
use crate::x402::PaymentPayload;
use crate::{Error, Malformed, Signature};

/// Name of the scheme on the wire.
pub const SCHEME: &str = "upto";

/// What an `upto` payment promises, read from its payload.
///
/// # Security
///
/// Holds a live authorization; `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Permit {
    /// Who pays.
    pub from: Address,
    /// What is promised.
    pub authorization: UptoAuthorization,
    /// The signature bytes: 65 of an account's key, anything of a contract (ERC-1271).
    pub signature: Vec<u8>,
}

impl Permit {
    /// Reads the `upto` part of a payment. Numbers may be decimal or `0x` hexadecimal strings.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`] with the member that is missing or malformed.
    pub fn of(payload: &PaymentPayload) -> Result<Self, Malformed> {
        let members = Members(payload.payload());
        let authorization = UptoAuthorization {
            token: members.account("/permit2Authorization/permitted/token")?,
            amount: members.number("/permit2Authorization/permitted/amount")?,
            spender: members.account("/permit2Authorization/spender")?,
            nonce: members.number("/permit2Authorization/nonce")?,
            deadline: members.number("/permit2Authorization/deadline")?,
            to: members.account("/permit2Authorization/witness/to")?,
            facilitator: members.account("/permit2Authorization/witness/facilitator")?,
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

    /// What identifies the payment on chain, whoever is asked to settle it: Permit2 spends a nonce
    /// of a payer once, for all tokens and schemes.
    pub fn key(&self, chain_id: u64) -> B256 {
        let (token, nonce) = (self.authorization.token, self.auth_nonce());
        payment_key(Method::Permit2, chain_id, token, self.from, nonce)
    }

    /// The input of the proxy's `settle` for `amount`, or with an approval to use first, of
    /// `settleWithPermit`.
    pub fn settle_call(&self, amount: Amount, approval: Option<Permit2612>) -> Bytes {
        let UptoAuthorization {
            token,
            amount: permitted,
            spender: _,
            nonce,
            deadline,
            to,
            facilitator,
            valid_after,
        } = self.authorization;
        let permit = PermitTransferFrom {
            permitted: TokenPermissions {
                token,
                amount: permitted,
            },
            nonce,
            deadline,
        };
        let witness = UptoWitness {
            to,
            facilitator,
            validAfter: valid_after,
        };
        let (amount, owner) = (amount.into(), self.from);
        let signature = Wrapped::inner(&self.signature);
        let input = match approval {
            None => IUptoProxy::settleCall {
                permit,
                amount,
                owner,
                witness,
                signature,
            }
            .abi_encode(),
            Some(permit2612) => IUptoProxy::settleWithPermitCall {
                permit2612,
                permit,
                amount,
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
