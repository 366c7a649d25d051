//! The scheme `exact` over ERC-3009: the token itself checks the payer's signature and moves exactly
//! what was signed, whoever sends the transaction.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use serde_json::Value;

use crate::bindings::{ITransferByAccount, ITransferByAnyone};
use crate::scheme::{Members, Method, Wrapped, payment_key};
use crate::typed::{TokenDomain, TransferAuthorization};
use crate::x402::PaymentPayload;
use crate::{Error, Malformed, Signature};

/// What an `exact` payment over ERC-3009 promises, read from its payload and its echoed offer.
///
/// # Security
///
/// Holds a live authorization; `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What is promised.
    pub authorization: TransferAuthorization,
    /// EIP-155 chain id of the offer.
    pub chain_id: u64,
    /// Token contract.
    pub token: Address,
    /// `name` of the token's EIP-712 domain, as the offer says it.
    pub name: String,
    /// `version` of the token's EIP-712 domain, as the offer says it.
    pub version: String,
    /// The signature bytes: 65 of an account's key, anything of a contract (ERC-1271), or the wrapper
    /// of a wallet that is not deployed yet (ERC-6492).
    pub signature: Vec<u8>,
}

impl Transfer {
    /// Reads the ERC-3009 part of a payment. Numbers may be decimal or `0x` hexadecimal strings; the
    /// nonce is 32 bytes in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`] with the member that is missing or malformed; `extra/name` and
    /// `extra/version` are the domain of the token, which the offer must name.
    pub fn of(payload: &PaymentPayload) -> Result<Self, Malformed> {
        let accepted = payload.accepted().terms();
        let domain = |name: &str, pointer| {
            let value = accepted.extra.get(name).and_then(Value::as_str);
            value.map(str::to_owned).ok_or(Malformed::Field(pointer))
        };
        let members = Members(payload.payload());
        let authorization = TransferAuthorization {
            from: members.account("/authorization/from")?,
            to: members.account("/authorization/to")?,
            value: members.number("/authorization/value")?,
            valid_after: members.number("/authorization/validAfter")?,
            valid_before: members.number("/authorization/validBefore")?,
            nonce: members.word("/authorization/nonce")?,
        };
        Ok(Self {
            authorization,
            signature: members.bytes("/signature")?,
            chain_id: accepted.chain_id().ok_or(Malformed::Field("network"))?,
            token: accepted.asset_address().ok_or(Malformed::Field("asset"))?,
            name: domain("name", "extra/name")?,
            version: domain("version", "extra/version")?,
        })
    }

    /// The EIP-712 domain that the signature is made under.
    pub fn domain(&self, chain_id: u64) -> TokenDomain {
        TokenDomain {
            name: self.name.clone(),
            version: self.version.clone(),
            chain_id,
            token: self.token,
        }
    }

    /// The digest that the payer signed on `chain_id`.
    pub fn digest(&self, chain_id: u64) -> B256 {
        self.authorization.digest(&self.domain(chain_id))
    }

    /// The account whose key made the signature. For a payer that is a contract this says nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`].
    pub fn recover(&self, chain_id: u64) -> Result<Address, Error> {
        Signature::parse(&self.signature)?.recover(&self.digest(chain_id))
    }

    /// What identifies the payment on chain, whoever is asked to settle it: a token spends a nonce of
    /// a payer once, and every token counts for itself.
    pub fn key(&self, chain_id: u64) -> B256 {
        let TransferAuthorization { from, nonce, .. } = self.authorization;
        payment_key(Method::Eip3009, chain_id, self.token, from, nonce)
    }

    /// The last second at which it settles, Unix seconds: the one before `validBefore`.
    pub fn deadline_s(&self) -> u64 {
        let last = self.authorization.valid_before.saturating_sub(U256::ONE);
        u64::try_from(last).unwrap_or(u64::MAX)
    }

    /// Whether the payer's own key made the signature.
    fn is_of_key(&self) -> bool {
        let signer = self.recover(self.chain_id);
        signer.is_ok_and(|signer| signer == self.authorization.from)
    }

    /// The input of the token's `transferWithAuthorization`. What the payer's key signed goes by
    /// `v, r, s`, the form that every token has; anything else, 65 bytes of a contract's owner too, goes
    /// by bytes: OpenZeppelin's token asks a contract in that form only.
    pub fn settle_call(&self) -> Bytes {
        self.call(self.is_of_key())
    }

    pub(crate) fn call(&self, is_of_key: bool) -> Bytes {
        let TransferAuthorization {
            from,
            to,
            value,
            valid_after,
            valid_before,
            nonce,
        } = self.authorization;
        let (words, rest) = self.signature.as_chunks::<32>();
        if let (true, [r, s], [v]) = (is_of_key, words, rest) {
            let call = ITransferByAccount::transferWithAuthorizationCall {
                from,
                to,
                value,
                validAfter: valid_after,
                validBefore: valid_before,
                nonce,
                v: *v,
                r: r.into(),
                s: s.into(),
            };
            return call.abi_encode().into();
        }
        let signature = Wrapped::inner(&self.signature);
        let call = ITransferByAnyone::transferWithAuthorizationCall {
            from,
            to,
            value,
            validAfter: valid_after,
            validBefore: valid_before,
            nonce,
            signature,
        };
        call.abi_encode().into()
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("authorization", &self.authorization)
            .field("token", &self.token)
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
