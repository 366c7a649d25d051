//! A payer's signed promise in any scheme, read from a payment.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use seamline_core::Amount;

use super::{Eip2612, Method, Scheme, Wrapped, sponsor};
use crate::bindings::{EXACT_PROXY, UPTO_PROXY};
use crate::typed::TransferAuthorization;
use crate::x402::{PaymentPayload, Reason};
use crate::{Error, Malformed, Signature, eip3009, exact, upto};

/// Gas for `transferWithAuthorization`. Measured: 96,000 for an account's signature on FiatTokenV2_2
/// without its proxy; the rest is for that proxy and for a contract payer's own check.
pub const EIP3009_GAS: u64 = 250_000;
/// Gas for a settlement through a proxy of x402. Measured: 93,000 for an account's signature; the
/// rest is for a contract payer's own check, bounded against one that burns gas.
pub const PERMIT2_GAS: u64 = 300_000;
/// Gas for the EIP-2612 approval before it: two fresh storage slots and the check of a signature, about
/// 55,000 by the gas schedule, and room for the proxy of a token.
pub const APPROVAL_GAS: u64 = 80_000;

/// What a payment promises. Nothing is checked but that it can be read: [`crate::facilitator`] and
/// the paywall do that.
///
/// # Security
///
/// Holds a live authorization; `Debug` leaves the signature out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// `exact` over ERC-3009.
    Eip3009(eip3009::Transfer),
    /// `exact` over Permit2.
    ExactPermit2(exact::Permit),
    /// `upto` over Permit2.
    Upto(upto::Permit),
}

impl Authorization {
    /// Reads the promise of a payment by the scheme that it accepted; for `exact` the member
    /// `permit2Authorization` tells the method.
    ///
    /// # Errors
    ///
    /// `unsupported_scheme` for a scheme that makes no such promise, `missing_eip712_domain` where
    /// ERC-3009 has no domain to be signed under, else `invalid_payload` or, over Permit2,
    /// `invalid_permit2_payload_format`.
    pub fn of(payload: &PaymentPayload) -> Result<Self, Reason> {
        let permit2 = |_| Reason::InvalidPermit2PayloadFormat;
        match Scheme::parse(&payload.accepted().terms().scheme) {
            Some(Scheme::Upto) => upto::Permit::of(payload).map(Self::Upto).map_err(permit2),
            Some(Scheme::Exact) if payload.payload().get("permit2Authorization").is_some() => {
                exact::Permit::of(payload)
                    .map(Self::ExactPermit2)
                    .map_err(permit2)
            }
            Some(Scheme::Exact) => {
                eip3009::Transfer::of(payload)
                    .map(Self::Eip3009)
                    .map_err(|malformed| match malformed {
                        Malformed::Field("extra/name" | "extra/version") => {
                            Reason::MissingEip712Domain
                        }
                        Malformed::Field(_)
                        | Malformed::Base64
                        | Malformed::Depth
                        | Malformed::Duplicate
                        | Malformed::Json
                        | Malformed::Size
                        | Malformed::Version => Reason::InvalidPayload,
                    })
            }
            Some(Scheme::BatchSettlement) | None => Err(Reason::UnsupportedScheme),
        }
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Eip3009(_) | Self::ExactPermit2(_) => Scheme::Exact,
            Self::Upto(_) => Scheme::Upto,
        }
    }

    /// What moves the token.
    pub const fn method(&self) -> Method {
        match self {
            Self::Eip3009(_) => Method::Eip3009,
            Self::ExactPermit2(_) | Self::Upto(_) => Method::Permit2,
        }
    }

    /// Who pays.
    pub const fn payer(&self) -> Address {
        match self {
            Self::Eip3009(it) => it.authorization.from,
            Self::ExactPermit2(it) => it.from,
            Self::Upto(it) => it.from,
        }
    }

    /// Who receives.
    pub const fn pay_to(&self) -> Address {
        match self {
            Self::Eip3009(it) => it.authorization.to,
            Self::ExactPermit2(it) => it.authorization.to,
            Self::Upto(it) => it.authorization.to,
        }
    }

    /// Token contract.
    pub const fn asset(&self) -> Address {
        match self {
            Self::Eip3009(it) => it.token,
            Self::ExactPermit2(it) => it.authorization.token,
            Self::Upto(it) => it.authorization.token,
        }
    }

    /// What moves, or for `upto` the most that may move, in base units.
    pub const fn amount(&self) -> U256 {
        match self {
            Self::Eip3009(it) => it.authorization.value,
            Self::ExactPermit2(it) => it.authorization.amount,
            Self::Upto(it) => it.authorization.amount,
        }
    }

    /// `validAfter` as signed, Unix seconds: over Permit2 the first second at which it settles, over
    /// ERC-3009 the one before.
    pub const fn valid_after(&self) -> U256 {
        match self {
            Self::Eip3009(it) => it.authorization.valid_after,
            Self::ExactPermit2(it) => it.authorization.valid_after,
            Self::Upto(it) => it.authorization.valid_after,
        }
    }

    /// The last second at which it settles, Unix seconds; at most the largest `u64`.
    pub fn deadline_s(&self) -> u64 {
        let deadline = match self {
            Self::Eip3009(it) => return it.deadline_s(),
            Self::ExactPermit2(it) => it.authorization.deadline,
            Self::Upto(it) => it.authorization.deadline,
        };
        u64::try_from(deadline).unwrap_or(u64::MAX)
    }

    /// The nonce as the 32 bytes that commit to a call.
    pub fn auth_nonce(&self) -> B256 {
        match self {
            Self::Eip3009(it) => it.authorization.nonce,
            Self::ExactPermit2(it) => it.auth_nonce(),
            Self::Upto(it) => it.auth_nonce(),
        }
    }

    /// The one account that may settle it; `None` where anybody may.
    pub const fn facilitator(&self) -> Option<Address> {
        match self {
            Self::Upto(it) => Some(it.authorization.facilitator),
            Self::Eip3009(_) | Self::ExactPermit2(_) => None,
        }
    }

    /// The proxy that Permit2 is told to obey; `None` for ERC-3009.
    pub const fn spender(&self) -> Option<Address> {
        match self {
            Self::Eip3009(_) => None,
            Self::ExactPermit2(it) => Some(it.authorization.spender),
            Self::Upto(it) => Some(it.authorization.spender),
        }
    }

    /// The signature bytes, as they came.
    pub fn signature(&self) -> &[u8] {
        match self {
            Self::Eip3009(it) => &it.signature,
            Self::ExactPermit2(it) => &it.signature,
            Self::Upto(it) => &it.signature,
        }
    }

    /// The digest that the payer signed on `chain_id`.
    pub fn digest(&self, chain_id: u64) -> B256 {
        match self {
            Self::Eip3009(it) => it.digest(chain_id),
            Self::ExactPermit2(it) => it.digest(chain_id),
            Self::Upto(it) => it.digest(chain_id),
        }
    }

    /// The account whose key made the signature. For a payer that is a contract this says nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`].
    pub fn recover(&self, chain_id: u64) -> Result<Address, Error> {
        Signature::parse(self.signature())?.recover(&self.digest(chain_id))
    }

    /// What the chain spends once, whoever is asked to settle it: chain, payer and nonce, for
    /// ERC-3009 the token too. All schemes over Permit2 share their nonces.
    pub fn key(&self, chain_id: u64) -> B256 {
        payment_key(
            self.method(),
            chain_id,
            self.asset(),
            self.payer(),
            self.auth_nonce(),
        )
    }

    /// The contract that a settlement calls.
    pub const fn contract(&self) -> Address {
        match self {
            Self::Eip3009(it) => it.token,
            Self::ExactPermit2(_) => EXACT_PROXY,
            Self::Upto(_) => UPTO_PROXY,
        }
    }

    /// The call that settles: the contract and its input. `amount` is looked at for
    /// `upto` only, what is exact is signed; `sponsor` over Permit2 only.
    pub fn settle_call(&self, amount: Amount, sponsor: Option<&Eip2612>) -> (Address, Bytes) {
        match self {
            Self::Eip3009(it) => (it.token, it.settle_call()),
            // Permit2 takes any signature in one form.
            Self::ExactPermit2(_) | Self::Upto(_) => self.call(false, amount, sponsor),
        }
    }

    /// As [`Authorization::settle_call`], where it is known whether the payer's own key signed.
    pub(crate) fn call(
        &self,
        is_of_key: bool,
        amount: Amount,
        sponsor: Option<&Eip2612>,
    ) -> (Address, Bytes) {
        let approval = || sponsor.map(sponsor::argument);
        let input = match self {
            Self::Eip3009(it) => it.call(is_of_key),
            Self::ExactPermit2(it) => it.settle_call(approval()),
            Self::Upto(it) => it.settle_call(amount, approval()),
        };
        (self.contract(), input)
    }

    /// Most gas that a settlement without sponsoring may use, and the bound of its simulation, so
    /// that what passes the simulation passes on chain. [`APPROVAL_GAS`] comes on top of it.
    pub const fn gas_limit(&self) -> u64 {
        match self {
            Self::Eip3009(_) => EIP3009_GAS,
            Self::ExactPermit2(_) | Self::Upto(_) => PERMIT2_GAS,
        }
    }

    /// The wrapper of a wallet that is not deployed yet, where the signature has one.
    pub(crate) fn wrapped(&self) -> Option<Wrapped> {
        Wrapped::of(self.signature())
    }

    /// `validBefore` or the deadline as signed: what the facilitators' buffer is measured against.
    pub(crate) const fn expiry(&self) -> U256 {
        match self {
            Self::Eip3009(it) => {
                let TransferAuthorization { valid_before, .. } = it.authorization;
                valid_before
            }
            Self::ExactPermit2(it) => it.authorization.deadline,
            Self::Upto(it) => it.authorization.deadline,
        }
    }
}

/// What the chain spends once: chain, payer and nonce, for ERC-3009 the token too; over Permit2 a nonce
/// counts for all tokens and schemes.
///
/// The same as [`Authorization::key`], for books that keep the parts.
pub fn payment_key(
    method: Method,
    chain_id: u64,
    asset: Address,
    payer: Address,
    auth_nonce: B256,
) -> B256 {
    let (domain, token): (&[u8], &[u8]) = match method {
        Method::Eip3009 => (b"seamline/v1/eip3009-payment", asset.as_slice()),
        Method::Permit2 => (b"seamline/v1/permit2-payment", &[]),
    };
    let chain_id = chain_id.to_be_bytes();
    let parts = [
        domain,
        &chain_id,
        token,
        payer.as_slice(),
        auth_nonce.as_slice(),
    ];
    keccak256(parts.concat())
}
