//! Deposits and messages of a payer.

use alloy_primitives::{B256, U256};
use seamline_core::{Amount, Timestamp};
use serde_json::{Map, Value, json};

use super::{Channel, Refusal, SESSION_EXTENSION};
use crate::channel::{
    Deposit, DepositAuthorization, Erc3009Deposit, PERMIT2_COLLECTOR, Payload, Permit2Deposit,
};
use crate::policy::Admitted;
use crate::scheme::Method;
use crate::signer::sign_checked;
use crate::typed::TokenDomain;
use crate::x402::{PaymentPayload, VERSION};
use crate::{Error, Malformed, Signer};

/// Signs a deposit of `amount`; `salt` makes its nonce.
pub(super) fn deposit(
    channel: &Channel,
    admitted: &Admitted,
    amount: Amount,
    salt: B256,
    payer: &dyn Signer,
    now: Timestamp,
) -> Result<Deposit, Refusal> {
    let end = now.as_secs().checked_add(admitted.lifetime_s());
    let end = U256::from(end.ok_or(Error::AmountRange)?);
    let salt = U256::from_be_bytes(salt.0);
    let mut deposit = Deposit {
        amount,
        authorization: match admitted.method() {
            Method::Eip3009 => DepositAuthorization::Erc3009(Erc3009Deposit {
                valid_after: U256::ZERO,
                valid_before: end,
                salt,
                signature: Vec::new(),
            }),
            Method::Permit2 => DepositAuthorization::Permit2(Permit2Deposit {
                from: payer.address(),
                token: admitted.asset(),
                amount: amount.into(),
                spender: PERMIT2_COLLECTOR,
                nonce: salt,
                deadline: end,
                channel_id: channel.id,
                signature: Vec::new(),
            }),
        },
    };
    let domain = domain(admitted)?;
    let digest = deposit.digest(&channel.id, payer.address(), &domain);
    let signed = sign_checked(payer, &digest)?.as_bytes().to_vec();
    match &mut deposit.authorization {
        DepositAuthorization::Erc3009(it) => it.signature = signed,
        DepositAuthorization::Permit2(it) => it.signature = signed,
    }
    Ok(deposit)
}

/// Writes the message with the members in the order of the official SDKs.
pub(super) fn message(admitted: &Admitted, payload: &Payload) -> Result<PaymentPayload, Refusal> {
    let resource = admitted
        .resource()
        .map(|resource| format!(r#","resource":{}"#, resource.raw()));
    let message = format!(
        r#"{{"x402Version":{VERSION},"payload":{}{},"accepted":{}}}"#,
        payload.write(),
        resource.unwrap_or_default(),
        admitted.offer().raw(),
    );
    Ok(PaymentPayload::parse(message.as_bytes()).map_err(Error::Malformed)?)
}

/// The message with the extension that names its call.
pub(super) fn with_bind(message: &PaymentPayload, bind: &B256) -> Result<PaymentPayload, Refusal> {
    let mut extensions = match message.extensions() {
        Some(Value::Object(extensions)) => extensions.clone(),
        Some(_) | None => Map::new(),
    };
    let named = json!({ "info": { "bind": bind } });
    extensions.insert(SESSION_EXTENSION.to_owned(), named);
    let bound = message.with_extensions(&extensions);
    Ok(bound.map_err(Error::Malformed)?)
}

/// The token's domain; Permit2 needs no more of it than the token and the chain.
fn domain(admitted: &Admitted) -> Result<TokenDomain, Error> {
    match (admitted.token_domain(), admitted.method()) {
        (Some(domain), _) => Ok(domain.clone()),
        (None, Method::Permit2) => Ok(TokenDomain {
            name: String::new(),
            version: String::new(),
            chain_id: admitted.chain_id(),
            token: admitted.asset(),
        }),
        (None, Method::Eip3009) => Err(Malformed::Field("extra.name").into()),
    }
}
