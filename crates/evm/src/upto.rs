//! The scheme `upto` over Permit2: one authorization for at most an amount, settled once by one
//! facilitator for what was metered.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use seamline_core::{Amount, Timestamp};
use serde_json::{Value, json};

use crate::bindings::{IUptoProxy, PermitTransferFrom, TokenPermissions, UPTO_PROXY, UptoWitness};
use crate::policy::Admitted;
use crate::typed::UptoAuthorization;
use crate::x402::{PaymentPayload, VERSION, address, uint256};
use crate::{Error, Malformed, Signature, Wallet};

/// Name of the scheme on the wire.
pub const SCHEME: &str = "upto";
/// How far `validAfter` lies before the payer's clock, in seconds, against clocks that differ;
/// as OpenGradient's SDK signs it.
pub const VALID_AFTER_SLACK_S: u64 = 600;
/// The extension by which a payer says that another node may hold an authorization of the same
/// nonce (`spec/payment.md`, "Fallback").
pub const FALLBACK_EXTENSION: &str = "seamline-fallback";

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

/// A signed promise, ready to be written to the journal and then sent.
///
/// # Security
///
/// Whoever holds it together with the facilitator's key can take [`Authorization::amount`] until
/// the deadline. `Debug` leaves the signature out.
#[derive(Clone)]
pub struct Authorization {
    /// The digest that was signed.
    pub digest: B256,
    /// Who pays.
    pub payer: Address,
    /// The most that may be taken.
    pub amount: Amount,
    /// Last second at which it can be settled, Unix seconds.
    pub deadline_s: u64,
    /// The nonce: `H_bind` of the call.
    pub auth_nonce: B256,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Token contract.
    pub asset: Address,
    /// Recipient.
    pub pay_to: Address,
    /// Who alone may settle.
    pub facilitator: Address,
    /// The message, byte for byte.
    pub payload: PaymentPayload,
}

/// What a caller says about an authorization besides its terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Another node may hold an authorization of the same nonce: the server should settle before
    /// it serves.
    pub fallback: bool,
}

/// Signs `admitted` with `auth_nonce`, the call's `H_bind`.
///
/// The same arguments yield the same bytes: a retry re-presents, it does not sign anew.
///
/// # Errors
///
/// [`Error::AmountRange`] where the deadline leaves the type's range.
pub fn sign(
    admitted: &Admitted,
    auth_nonce: B256,
    marks: Marks,
    wallet: &Wallet,
    now: Timestamp,
) -> Result<Authorization, Error> {
    let now_s = now.as_secs();
    let deadline_s = now_s
        .checked_add(admitted.lifetime_s())
        .ok_or(Error::AmountRange)?;
    let authorization = UptoAuthorization {
        token: admitted.asset(),
        amount: admitted.amount().into(),
        spender: UPTO_PROXY,
        nonce: U256::from_be_bytes(auth_nonce.0),
        deadline: U256::from(deadline_s),
        to: admitted.pay_to(),
        facilitator: admitted.facilitator(),
        valid_after: U256::from(now_s.saturating_sub(VALID_AFTER_SLACK_S)),
    };
    let digest = authorization.digest(admitted.chain_id());
    let signature = wallet.sign_hash(&digest);
    let payload = PaymentPayload::parse(
        message(
            admitted,
            marks,
            wallet.address(),
            &authorization,
            &signature,
        )
        .as_bytes(),
    )?;
    Ok(Authorization {
        digest,
        payer: wallet.address(),
        amount: admitted.amount(),
        deadline_s,
        auth_nonce,
        chain_id: admitted.chain_id(),
        asset: admitted.asset(),
        pay_to: admitted.pay_to(),
        facilitator: admitted.facilitator(),
        payload,
    })
}

/// Whether the payer marked a payment as the fallback of another one of the same nonce.
pub fn is_fallback(payload: &PaymentPayload) -> bool {
    let marked = payload
        .extensions()
        .and_then(|all| all.get(FALLBACK_EXTENSION)?.get("info")?.get("fallback"));
    marked == Some(&Value::Bool(true))
}

impl Permit {
    /// Reads the `upto` part of a payment. Numbers may be decimal or `0x` hexadecimal strings.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`] with the member that is missing or malformed.
    pub fn of(payload: &PaymentPayload) -> Result<Self, Malformed> {
        let payload = payload.payload();
        let text = |pointer: &'static str| {
            let value = payload.pointer(pointer).and_then(Value::as_str);
            value.ok_or(Malformed::Field(pointer))
        };
        let account = |pointer| address(text(pointer)?).ok_or(Malformed::Field(pointer));
        let number = |pointer| uint256(text(pointer)?).ok_or(Malformed::Field(pointer));
        let authorization = UptoAuthorization {
            token: account("/permit2Authorization/permitted/token")?,
            amount: number("/permit2Authorization/permitted/amount")?,
            spender: account("/permit2Authorization/spender")?,
            nonce: number("/permit2Authorization/nonce")?,
            deadline: number("/permit2Authorization/deadline")?,
            to: account("/permit2Authorization/witness/to")?,
            facilitator: account("/permit2Authorization/witness/facilitator")?,
            valid_after: number("/permit2Authorization/witness/validAfter")?,
        };
        let signature = text("/signature")?;
        let digits = signature.strip_prefix("0x");
        let signature = digits.and_then(|digits| hex::decode(digits).ok());
        Ok(Self {
            from: account("/permit2Authorization/from")?,
            authorization,
            signature: signature.ok_or(Malformed::Field("/signature"))?,
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
    /// of a payer once.
    pub fn key(&self, chain_id: u64) -> B256 {
        let nonce: [u8; 32] = self.authorization.nonce.to_be_bytes();
        alloy_primitives::keccak256(
            [
                b"seamline/v1/permit2-payment".as_slice(),
                &chain_id.to_be_bytes(),
                self.from.as_slice(),
                &nonce,
            ]
            .concat(),
        )
    }

    /// The call of the proxy that settles `amount`.
    pub fn settle_call(&self, amount: Amount) -> IUptoProxy::settleCall {
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
        IUptoProxy::settleCall {
            permit: PermitTransferFrom {
                permitted: TokenPermissions {
                    token,
                    amount: permitted,
                },
                nonce,
                deadline,
            },
            amount: amount.into(),
            owner: self.from,
            witness: UptoWitness {
                to,
                facilitator,
                validAfter: valid_after,
            },
            signature: self.signature.clone().into(),
        }
    }
}

impl Authorization {
    /// Reads an authorization back from the journal or from a receipt.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where it is not one; [`Error::Signature`] where the payer's key did
    /// not sign it; [`Error::AmountRange`] where a number leaves its range.
    pub fn from_payload(payload: PaymentPayload) -> Result<Self, Error> {
        let network = payload.accepted().terms().chain_id();
        let chain_id = network.ok_or(Malformed::Field("network"))?;
        let permit = Permit::of(&payload)?;
        if permit.recover(chain_id)? != permit.from {
            return Err(Error::Signature);
        }
        let terms = permit.authorization;
        Ok(Self {
            digest: permit.digest(chain_id),
            payer: permit.from,
            amount: Amount::try_from(terms.amount).map_err(|_| Error::AmountRange)?,
            deadline_s: u64::try_from(terms.deadline).map_err(|_| Error::AmountRange)?,
            auth_nonce: permit.auth_nonce(),
            chain_id,
            asset: terms.token,
            pay_to: terms.to,
            facilitator: terms.facilitator,
            payload,
        })
    }

    /// The value of the `PAYMENT-SIGNATURE` header.
    pub fn header(&self) -> String {
        self.payload.to_header()
    }

    /// The JSON of the message: what the journal and the receipt keep.
    pub fn payload_json(&self) -> &str {
        self.payload.raw()
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

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("digest", &self.digest)
            .field("payer", &self.payer)
            .field("pay_to", &self.pay_to)
            .field("amount", &self.amount)
            .field("deadline_s", &self.deadline_s)
            .finish_non_exhaustive()
    }
}

/// Writes the message with the members in the order of OpenGradient's SDK.
fn message(
    admitted: &Admitted,
    marks: Marks,
    from: Address,
    terms: &UptoAuthorization,
    signature: &Signature,
) -> String {
    let permit = format!(
        concat!(
            r#"{{"from":"{}","permitted":{{"token":"{}","amount":"{}"}},"spender":"{}","#,
            r#""nonce":"{}","deadline":"{}","#,
            r#""witness":{{"to":"{}","facilitator":"{}","validAfter":"{}"}}}}"#
        ),
        from,
        terms.token,
        terms.amount,
        terms.spender,
        terms.nonce,
        terms.deadline,
        terms.to,
        terms.facilitator,
        terms.valid_after
    );
    let resource = admitted
        .resource()
        .map(|resource| format!(",\"resource\":{}", resource.raw()));
    let extensions = marks.fallback.then(|| {
        let marked = json!({ FALLBACK_EXTENSION: { "info": { "fallback": true } } });
        format!(",\"extensions\":{marked}")
    });
    format!(
        r#"{{"x402Version":{VERSION},"payload":{{"permit2Authorization":{permit},"signature":"{}"}},"accepted":{}{}{}}}"#,
        signature.to_hex(),
        admitted.offer().raw(),
        resource.unwrap_or_default(),
        extensions.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
