//! What a payer signs for an admitted offer.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use seamline_core::{Amount, Timestamp};
use serde_json::{Map, Value, json};

use super::{Authorization, Method, Scheme};
use crate::bindings::{EXACT_PROXY, UPTO_PROXY};
use crate::policy::Admitted;
use crate::signer::sign_checked;
use crate::typed::{ExactAuthorization, TransferAuthorization, UptoAuthorization};
use crate::x402::{PaymentPayload, VERSION};
use crate::{Error, Malformed, Signature, Signer, eip3009, exact, upto};

/// How far `validAfter` lies before the payer's clock, in seconds, against clocks that differ;
/// as OpenGradient's SDK signs it.
pub const VALID_AFTER_SLACK_S: u64 = 600;
/// The extension by which a payer says that another node may hold an authorization of the same
/// nonce (`spec/payment.md`, "Fallback").
pub const FALLBACK_EXTENSION: &str = "seamline-fallback";

/// A signed promise, ready to be written to the journal and then sent.
///
/// # Security
///
/// Whoever holds it (for `upto` together with the facilitator's key) can have
/// [`SignedAuthorization::amount`] moved to its recipient until the deadline. `Debug` leaves the
/// signature out.
#[derive(Clone)]
pub struct SignedAuthorization {
    /// The scheme.
    pub scheme: Scheme,
    /// What moves the token.
    pub method: Method,
    /// The digest that was signed.
    pub digest: B256,
    /// What the chain spends once ([`Authorization::key`]).
    pub key: B256,
    /// Who pays.
    pub payer: Address,
    /// What moves, for `upto` the most that may.
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
    /// Who alone may settle; `None` where anybody may.
    pub facilitator: Option<Address>,
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
/// The same arguments yield the same message up to the signature, and with a [`crate::Wallet`] the
/// same bytes: a retry re-presents, it does not sign anew.
///
/// # Errors
///
/// As [`sign_with`].
pub fn sign(
    admitted: &Admitted,
    auth_nonce: B256,
    marks: Marks,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<SignedAuthorization, Error> {
    sign_with(admitted, auth_nonce, marks, Map::new(), signer, now)
}

/// As [`sign`], with the extensions that the payer answers: each as the server declared it, with the
/// payer's members added to its `info`.
///
/// # Cancellation
///
/// Synchronous; blocks as long as the signer does.
///
/// # Errors
///
/// [`Error::AmountRange`] where the deadline leaves the type's range; [`Error::Malformed`] where the
/// offer lacks what its scheme needs; [`Error::Sign`].
pub fn sign_with(
    admitted: &Admitted,
    auth_nonce: B256,
    marks: Marks,
    mut extensions: Map<String, Value>,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<SignedAuthorization, Error> {
    let promise = promise(admitted, auth_nonce, signer.address(), now)?;
    let digest = promise.digest(admitted.chain_id());
    let signature = sign_checked(signer, &digest)?;
    if marks.fallback {
        let marked = json!({ "info": { "fallback": true } });
        extensions.insert(FALLBACK_EXTENSION.to_owned(), marked);
    }
    let message = message(admitted, &extensions, &promise, &signature);
    Ok(SignedAuthorization {
        scheme: promise.scheme(),
        method: promise.method(),
        digest,
        key: promise.key(admitted.chain_id()),
        payer: promise.payer(),
        amount: admitted.amount(),
        deadline_s: promise.deadline_s(),
        auth_nonce,
        chain_id: admitted.chain_id(),
        asset: promise.asset(),
        pay_to: promise.pay_to(),
        facilitator: promise.facilitator(),
        payload: PaymentPayload::parse(message.as_bytes())?,
    })
}

/// Whether the payer marked a payment as the fallback of another one of the same nonce.
pub fn is_fallback(payload: &PaymentPayload) -> bool {
    let marked = payload
        .extensions()
        .and_then(|all| all.get(FALLBACK_EXTENSION)?.get("info")?.get("fallback"));
    marked == Some(&Value::Bool(true))
}

/// What is to be signed, still without its signature.
fn promise(
    admitted: &Admitted,
    auth_nonce: B256,
    from: Address,
    now: Timestamp,
) -> Result<Authorization, Error> {
    let now_s = now.as_secs();
    let until = now_s.checked_add(admitted.lifetime_s());
    let deadline = U256::from(until.ok_or(Error::AmountRange)?);
    let valid_after = U256::from(now_s.saturating_sub(VALID_AFTER_SLACK_S));
    let (token, to) = (admitted.asset(), admitted.pay_to());
    let (amount, nonce) = (admitted.amount().into(), U256::from_be_bytes(auth_nonce.0));
    let signature = Vec::new();
    match (admitted.scheme(), admitted.method()) {
        (Scheme::Exact, Method::Eip3009) => {
            let domain = admitted.token_domain().cloned();
            let domain = domain.ok_or(Malformed::Field("extra/name"))?;
            Ok(Authorization::Eip3009(eip3009::Transfer {
                authorization: TransferAuthorization {
                    from,
                    to,
                    value: amount,
                    valid_after,
                    valid_before: deadline,
                    nonce: auth_nonce,
                },
                chain_id: admitted.chain_id(),
                token,
                name: domain.name,
                version: domain.version,
                signature,
            }))
        }
        (Scheme::Exact, Method::Permit2) => Ok(Authorization::ExactPermit2(exact::Permit {
            from,
            authorization: ExactAuthorization {
                token,
                amount,
                spender: EXACT_PROXY,
                nonce,
                deadline,
                to,
                valid_after,
            },
            signature,
        })),
        (Scheme::Upto, Method::Permit2) => Ok(Authorization::Upto(upto::Permit {
            from,
            authorization: UptoAuthorization {
                token,
                amount,
                spender: UPTO_PROXY,
                nonce,
                deadline,
                to,
                facilitator: admitted
                    .facilitator()
                    .ok_or(Malformed::Field("extra/facilitatorAddress"))?,
                valid_after,
            },
            signature,
        })),
        (Scheme::Upto, Method::Eip3009) => {
            Err(Malformed::Field("extra/assetTransferMethod").into())
        }
        (Scheme::BatchSettlement, Method::Eip3009 | Method::Permit2) => {
            Err(Malformed::Field("scheme").into())
        }
    }
}

impl SignedAuthorization {
    /// Reads an authorization back from the journal or from a receipt.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where it is not one; [`Error::Signature`] where the payer's key did
    /// not sign it; [`Error::AmountRange`] where a number leaves its range.
    pub fn from_payload(payload: PaymentPayload) -> Result<Self, Error> {
        let network = payload.accepted().terms().chain_id();
        let chain_id = network.ok_or(Malformed::Field("network"))?;
        let promise = Authorization::of(&payload).map_err(|_| Malformed::Field("payload"))?;
        if promise.recover(chain_id)? != promise.payer() {
            return Err(Error::Signature);
        }
        u64::try_from(promise.expiry()).map_err(|_| Error::AmountRange)?;
        Ok(Self {
            scheme: promise.scheme(),
            method: promise.method(),
            digest: promise.digest(chain_id),
            key: promise.key(chain_id),
            payer: promise.payer(),
            amount: Amount::try_from(promise.amount()).map_err(|_| Error::AmountRange)?,
            deadline_s: promise.deadline_s(),
            auth_nonce: promise.auth_nonce(),
            chain_id,
            asset: promise.asset(),
            pay_to: promise.pay_to(),
            facilitator: promise.facilitator(),
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

impl fmt::Debug for SignedAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedAuthorization")
            .field("scheme", &self.scheme)
            .field("method", &self.method)
            .field("digest", &self.digest)
            .field("payer", &self.payer)
            .field("pay_to", &self.pay_to)
            .field("amount", &self.amount)
            .field("deadline_s", &self.deadline_s)
            .finish_non_exhaustive()
    }
}

/// Writes the message with the members in the order of the official SDKs.
fn message(
    admitted: &Admitted,
    extensions: &Map<String, Value>,
    promise: &Authorization,
    signature: &Signature,
) -> String {
    let member = match promise.method() {
        Method::Eip3009 => "authorization",
        Method::Permit2 => "permit2Authorization",
    };
    let resource = admitted
        .resource()
        .map(|resource| format!(",\"resource\":{}", resource.raw()));
    let extensions =
        (!extensions.is_empty()).then(|| format!(",\"extensions\":{}", json!(extensions)));
    format!(
        r#"{{"x402Version":{VERSION},"payload":{{"{member}":{},"signature":"{}"}},"accepted":{}{}{}}}"#,
        members(promise),
        signature.to_hex(),
        admitted.offer().raw(),
        resource.unwrap_or_default(),
        extensions.unwrap_or_default(),
    )
}

/// The members of a promise. Addresses are EIP-55, numbers decimal.
fn members(promise: &Authorization) -> String {
    match promise {
        Authorization::Eip3009(it) => {
            let TransferAuthorization {
                from,
                to,
                value,
                valid_after,
                valid_before,
                nonce,
            } = it.authorization;
            format!(
                concat!(
                    r#"{{"from":"{}","to":"{}","value":"{}","validAfter":"{}","#,
                    r#""validBefore":"{}","nonce":"{}"}}"#
                ),
                from, to, value, valid_after, valid_before, nonce
            )
        }
        Authorization::ExactPermit2(it) => {
            let terms = it.authorization;
            let witness = format!(
                r#"{{"to":"{}","validAfter":"{}"}}"#,
                terms.to, terms.valid_after
            );
            permit2(
                it.from,
                terms.token,
                terms.amount,
                terms.spender,
                terms.nonce,
                terms.deadline,
                &witness,
            )
        }
        Authorization::Upto(it) => {
            let terms = it.authorization;
            let witness = format!(
                r#"{{"to":"{}","facilitator":"{}","validAfter":"{}"}}"#,
                terms.to, terms.facilitator, terms.valid_after
            );
            permit2(
                it.from,
                terms.token,
                terms.amount,
                terms.spender,
                terms.nonce,
                terms.deadline,
                &witness,
            )
        }
    }
}

fn permit2(
    from: Address,
    token: Address,
    amount: U256,
    spender: Address,
    nonce: U256,
    deadline: U256,
    witness: &str,
) -> String {
    format!(
        concat!(
            r#"{{"from":"{}","permitted":{{"token":"{}","amount":"{}"}},"spender":"{}","#,
            r#""nonce":"{}","deadline":"{}","witness":{}}}"#
        ),
        from, token, amount, spender, nonce, deadline, witness
    )
}
