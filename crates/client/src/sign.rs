//! Signing an admitted offer: funds first, then the extensions that the payer answers, then one
//! signature, off the threads of the runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use core::time::Duration;
use seamline_core::{Amount, B256, Timestamp, U256};
use seamline_evm::policy::Admitted;
use seamline_evm::rpc::At;
use seamline_evm::scheme::{Marks, Method, Scheme, SignedAuthorization, sign_approval, sign_with};
use seamline_evm::signer::SignError;
use seamline_evm::x402::PaymentRequired;
use seamline_evm::x402::extensions::payment_identifier::{self, PaymentId};
use seamline_evm::x402::extensions::{self, eip2612};
use seamline_evm::{Error, Rpc, RpcCall, Signer, chain};
use serde_json::{Map, Value};

use crate::client::lock;
use crate::journal::Token;

/// How long a reading of the payer's funds is used while it covers what is signed.
const FUNDS_TTL: Duration = Duration::from_secs(30);

/// What the payer can pay with, as last read, less what was signed since. Only spares questions: the
/// chain alone decides what settles.
#[derive(Debug, Default)]
pub(crate) struct Funds(Mutex<HashMap<Token, Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    read: Timestamp,
    tokens: U256,
    allowance: U256,
}

/// Why an admitted offer was not signed.
#[derive(Debug)]
pub(crate) enum SignFault {
    /// The payer holds too little.
    Funds(Amount),
    /// Permit2 may move too little, and the server sponsors no approval.
    Allowance(Amount),
    /// The chain could not be asked.
    Chain(Error),
    /// The signer said no, or is not there.
    Sign(Error),
}

/// What an authorization needs besides the offer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Means {
    /// `nonces(payer)` of the token, where the approval of Permit2 is signed along.
    pub(crate) sponsor_nonce: Option<U256>,
}

impl Funds {
    /// Looks whether the payer could be charged at all: an authorization that nobody can settle would
    /// leave the call unknown until its deadline. `outlay` is what leaves the wallet at most: the price,
    /// or what is put into a channel.
    pub(crate) async fn check(
        &self,
        rpc: &dyn Rpc,
        signer: &dyn Signer,
        admitted: &Admitted,
        required: &PaymentRequired,
        outlay: Amount,
        now: Timestamp,
    ) -> Result<Means, SignFault> {
        let needed = U256::from(outlay.get());
        if needed.is_zero() {
            return Ok(Means::default());
        }
        let permit2 = admitted.method() == Method::Permit2;
        let token = token(admitted);
        if self.covers(&token, needed, permit2, now) {
            return Ok(Means::default());
        }
        let account = chain::account(rpc, admitted.asset(), signer.address());
        let account = account.await.map_err(SignFault::Chain)?;
        if account.tokens < needed {
            return Err(SignFault::Funds(outlay));
        }
        let reading = Reading {
            read: now,
            tokens: account.tokens,
            allowance: account.permit2_allowance,
        };
        lock(&self.0).insert(token, reading);
        if !permit2 || account.permit2_allowance >= needed {
            return Ok(Means::default());
        }
        // A deposit's approval is never signed along.
        let channel = admitted.scheme() == Scheme::BatchSettlement;
        let sponsored = !channel && eip2612::is_declared(required.extensions.as_ref());
        if !sponsored || admitted.token_domain().is_none() {
            return Err(SignFault::Allowance(outlay));
        }
        let nonce = token_nonce(rpc, admitted, signer).await;
        let sponsor_nonce = Some(nonce.map_err(SignFault::Chain)?);
        Ok(Means { sponsor_nonce })
    }

    fn covers(&self, token: &Token, needed: U256, permit2: bool, now: Timestamp) -> bool {
        let readings = lock(&self.0);
        readings.get(token).is_some_and(|it| {
            let young = it.read <= now && now.saturating_since(it.read) < FUNDS_TTL;
            young && it.tokens >= needed && (!permit2 || it.allowance >= needed)
        })
    }

    /// What was just signed is no longer there for the next.
    pub(crate) fn signed(&self, admitted: &Admitted) {
        let amount = U256::from(admitted.amount().get());
        if let Some(it) = lock(&self.0).get_mut(&token(admitted)) {
            it.tokens = it.tokens.saturating_sub(amount);
            if admitted.method() == Method::Permit2 {
                it.allowance = it.allowance.saturating_sub(amount);
            }
        }
    }

    /// Asks again the next time.
    pub(crate) fn forget(&self) {
        lock(&self.0).clear();
    }
}

/// The token that an offer asks for.
pub(crate) fn token(admitted: &Admitted) -> Token {
    Token {
        network: admitted.offer().terms().network.clone(),
        asset: admitted.asset(),
    }
}

/// Signs on a thread that may block: a signer of another process may take seconds.
///
/// `id` names the payment to the server and must be random: an authorization is public once it is
/// settled, and a server gives its answer a second time only to who knows what the chain does not
/// show. It is sent to every server; those that do not know it ignore it.
pub(crate) async fn sign(
    signer: &Arc<dyn Signer>,
    admitted: &Admitted,
    required: &PaymentRequired,
    means: Means,
    auth_nonce: B256,
    id: PaymentId,
    now: Timestamp,
) -> Result<SignedAuthorization, SignFault> {
    let signer = Arc::clone(signer);
    let admitted = admitted.clone();
    let mut extensions = Map::new();
    extensions.insert(payment_identifier::KEY.to_owned(), id.addition());
    let all = required.extensions.clone();
    let work = move || {
        if let Some(nonce) = means.sponsor_nonce {
            let approval = sign_approval(&admitted, nonce, &*signer, now)?;
            extensions.insert(eip2612::KEY.to_owned(), approval.addition());
        }
        let extensions = echo(all, &extensions);
        let marks = Marks::default();
        sign_with(&admitted, auth_nonce, marks, extensions, &*signer, now)
    };
    let signed = tokio::task::spawn_blocking(work).await;
    let signed = signed.unwrap_or_else(|_| {
        let detail = "the signer stopped".to_owned();
        Err(Error::Sign(SignError::Unavailable { detail }))
    });
    signed.map_err(SignFault::Sign)
}

/// The extensions that the payer answers, as they were declared, with its own members added. The others
/// are not sent back: a header has a bounded size.
fn echo(declared: Option<Value>, additions: &Map<String, Value>) -> Map<String, Value> {
    let mut declared = match declared {
        Some(Value::Object(declared)) => declared,
        Some(_) | None => Map::new(),
    };
    declared.retain(|name, _| additions.contains_key(name));
    extensions::merge(Some(&Value::Object(declared)), additions)
}

async fn token_nonce(
    rpc: &dyn Rpc,
    admitted: &Admitted,
    signer: &dyn Signer,
) -> Result<U256, Error> {
    // nonces(address)
    let mut input = vec![0x7e, 0xce, 0xbe, 0x00];
    input.extend_from_slice(signer.address().into_word().as_slice());
    let asked = [RpcCall::call(admitted.asset(), &input, At::Latest)];
    let mut answers = rpc.batch(&asked).await?;
    let answer = answers.pop().ok_or(Error::Answer("the token's nonce"))?;
    let word = answer.map_err(Error::Call)?;
    let digits = word.as_str().and_then(|word| word.strip_prefix("0x"));
    let word = digits.and_then(|digits| hex::decode_to_array::<_, 32>(digits).ok());
    word.map(U256::from_be_bytes)
        .ok_or(Error::Answer("the token's nonce"))
}
