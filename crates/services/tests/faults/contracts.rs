//! The contracts of the simulated chain: one token with ERC-3009, and Permit2 behind the two proxies
//! of x402. Each call is decoded from its bytes, and the payer's signature is recovered.

use std::collections::{BTreeMap, BTreeSet};

use alloy_sol_types::{SolCall as _, SolError as _};
use seamline_core::{Address, B256, U256, keccak256};
use seamline_evm::bindings::{
    EXACT_PROXY, IExactProxy, IPermit2, ITokenErrors, ITransferByAccount, ITransferByAnyone,
    IUptoProxy, UPTO_PROXY,
};
use seamline_evm::scheme::Authorization;
use seamline_evm::typed::{ExactAuthorization, TransferAuthorization, UptoAuthorization};
use seamline_evm::{eip3009, exact, upto};
use serde_json::{Value, json};

pub(crate) const CHAIN_ID: u64 = 31_610;
pub(crate) const TOKEN: Address = Address::repeat_byte(0x11);
pub(crate) const TOKEN_NAME: &str = "OpenGradient";
pub(crate) const TOKEN_VERSION: &str = "1";

/// What a settling call asks for.
#[derive(Clone)]
pub(crate) struct Settles {
    pub(crate) promise: Authorization,
    /// What moves.
    pub(crate) amount: U256,
    /// Who signed, by the signature alone.
    signer: Option<Address>,
}

/// What the contracts remember.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) tokens: BTreeMap<Address, U256>,
    /// Payment keys of what is spent: nonces of Permit2 and of the token.
    spent: BTreeSet<B256>,
    /// Permit2's bitmap, by owner and nonce.
    permit2: BTreeSet<(Address, U256)>,
    /// The token's nonces, by authorizer.
    token: BTreeSet<(Address, B256)>,
    pub(crate) account_nonces: BTreeMap<Address, u64>,
}

impl Settles {
    /// Reads a call of a settling function; `None` for any other call.
    pub(crate) fn read(to: Address, input: &[u8]) -> Option<Self> {
        let (promise, amount) = match to {
            TOKEN => transfer(input)?,
            EXACT_PROXY => exact(input)?,
            UPTO_PROXY => upto(input)?,
            _ => return None,
        };
        let signer = promise.recover(CHAIN_ID).ok();
        Some(Self {
            promise,
            amount,
            signer,
        })
    }

    /// The logs of success.
    pub(crate) fn logs(&self, transaction: B256) -> Vec<Value> {
        let log = |address: Address, topics: &[B256], data: String| {
            json!({
                "address": address.to_string(), "topics": topics, "data": data,
                "transactionHash": transaction, "logIndex": "0x0",
            })
        };
        let (payer, to) = (self.promise.payer(), self.promise.pay_to());
        let moved = [
            keccak256("Transfer(address,address,uint256)"),
            payer.into_word(),
            to.into_word(),
        ];
        let amount = hex::encode_prefixed(self.amount.to_be_bytes::<32>());
        let moved = log(TOKEN, &moved, amount);
        match &self.promise {
            Authorization::Eip3009(_) => {
                let used = [
                    keccak256("AuthorizationUsed(address,bytes32)"),
                    payer.into_word(),
                    self.promise.auth_nonce(),
                ];
                vec![log(TOKEN, &used, "0x".to_owned()), moved]
            }
            Authorization::ExactPermit2(_) | Authorization::Upto(_) => {
                let settled = [keccak256("Settled()")];
                let proxy = self.promise.contract();
                vec![moved, log(proxy, &settled, "0x".to_owned())]
            }
        }
    }
}

impl Ledger {
    pub(crate) fn new(tokens: &[(Address, U256)]) -> Self {
        Self {
            tokens: tokens.iter().copied().collect(),
            ..Self::default()
        }
    }

    /// Does what a settling call asks for, or reverts with bytes.
    pub(crate) fn settle(
        &mut self,
        call: &Settles,
        sender: Address,
        time_s: u64,
    ) -> Result<(), Vec<u8>> {
        let promise = &call.promise;
        let (payer, now) = (promise.payer(), U256::from(time_s));
        let key = promise.key(CHAIN_ID);
        match promise {
            Authorization::Eip3009(it) => {
                let terms = it.authorization;
                if now <= terms.valid_after || now >= terms.valid_before {
                    let (after, before) = (terms.valid_after, terms.valid_before);
                    return Err(ITokenErrors::ERC3009InvalidAuthorizationTime {
                        validAfter: after,
                        validBefore: before,
                    }
                    .abi_encode());
                }
                if call.signer != Some(payer) {
                    return Err(ITokenErrors::ERC3009InvalidSignature {}.abi_encode());
                }
                if self.token.contains(&(payer, terms.nonce)) {
                    let (authorizer, nonce) = (payer, terms.nonce);
                    return Err(
                        ITokenErrors::ERC3009UsedAuthorization { authorizer, nonce }.abi_encode()
                    );
                }
            }
            Authorization::ExactPermit2(_) | Authorization::Upto(_) => {
                if promise.facilitator().is_some_and(|only| only != sender) {
                    return Err(IUptoProxy::UnauthorizedFacilitator {}.abi_encode());
                }
                if call.amount > promise.amount() {
                    return Err(IUptoProxy::AmountExceedsPermitted {}.abi_encode());
                }
                if now < promise.valid_after() {
                    return Err(IUptoProxy::PaymentTooEarly {}.abi_encode());
                }
                let deadline = U256::from(promise.deadline_s());
                if now > deadline {
                    let error = IPermit2::SignatureExpired {
                        signatureDeadline: deadline,
                    };
                    return Err(error.abi_encode());
                }
                if self.permit2.contains(&(payer, nonce_of(promise))) {
                    return Err(IPermit2::InvalidNonce {}.abi_encode());
                }
                if call.signer != Some(payer) {
                    return Err(IPermit2::InvalidSigner {}.abi_encode());
                }
            }
        }
        let balance = self.tokens.get(&payer).copied().unwrap_or(U256::ZERO);
        let Some(rest) = balance.checked_sub(call.amount) else {
            return Err(Vec::new());
        };
        self.tokens.insert(payer, rest);
        let to = self.tokens.entry(promise.pay_to()).or_default();
        *to += call.amount;
        assert!(self.spent.insert(key), "the contracts' own rules");
        match promise {
            Authorization::Eip3009(_) => self.token.insert((payer, promise.auth_nonce())),
            Authorization::ExactPermit2(_) | Authorization::Upto(_) => {
                self.permit2.insert((payer, nonce_of(promise)))
            }
        };
        Ok(())
    }

    /// A word of Permit2's bitmap.
    pub(crate) fn bitmap(&self, owner: Address, word: U256) -> U256 {
        let of_word = self
            .permit2
            .iter()
            .filter(|(of, nonce)| *of == owner && *nonce >> 8 == word);
        of_word.fold(U256::ZERO, |bits, (_, nonce)| {
            bits | (U256::from(1) << (*nonce & U256::from(255)))
        })
    }

    pub(crate) fn is_used(&self, authorizer: Address, nonce: B256) -> bool {
        self.token.contains(&(authorizer, nonce))
    }

    pub(crate) fn tokens_of(&self, owner: Address) -> U256 {
        self.tokens.get(&owner).copied().unwrap_or(U256::ZERO)
    }
}

fn nonce_of(promise: &Authorization) -> U256 {
    U256::from_be_bytes(promise.auth_nonce().0)
}

fn transfer(input: &[u8]) -> Option<(Authorization, U256)> {
    let (authorization, signature) =
        if let Ok(it) = ITransferByAccount::transferWithAuthorizationCall::abi_decode(input) {
            let terms = TransferAuthorization {
                from: it.from,
                to: it.to,
                value: it.value,
                valid_after: it.validAfter,
                valid_before: it.validBefore,
                nonce: it.nonce,
            };
            (terms, [it.r.as_slice(), it.s.as_slice(), &[it.v]].concat())
        } else {
            let it = ITransferByAnyone::transferWithAuthorizationCall::abi_decode(input).ok()?;
            let terms = TransferAuthorization {
                from: it.from,
                to: it.to,
                value: it.value,
                valid_after: it.validAfter,
                valid_before: it.validBefore,
                nonce: it.nonce,
            };
            (terms, it.signature.to_vec())
        };
    let transfer = eip3009::Transfer {
        authorization,
        chain_id: CHAIN_ID,
        token: TOKEN,
        name: TOKEN_NAME.to_owned(),
        version: TOKEN_VERSION.to_owned(),
        signature,
    };
    Some((Authorization::Eip3009(transfer), authorization.value))
}

fn exact(input: &[u8]) -> Option<(Authorization, U256)> {
    let it = IExactProxy::settleCall::abi_decode(input).ok()?;
    let permit = exact::Permit {
        from: it.owner,
        authorization: ExactAuthorization {
            token: it.permit.permitted.token,
            amount: it.permit.permitted.amount,
            spender: EXACT_PROXY,
            nonce: it.permit.nonce,
            deadline: it.permit.deadline,
            to: it.witness.to,
            valid_after: it.witness.validAfter,
        },
        signature: it.signature.to_vec(),
    };
    Some((
        Authorization::ExactPermit2(permit),
        it.permit.permitted.amount,
    ))
}

fn upto(input: &[u8]) -> Option<(Authorization, U256)> {
    let it = IUptoProxy::settleCall::abi_decode(input).ok()?;
    let permit = upto::Permit {
        from: it.owner,
        authorization: UptoAuthorization {
            token: it.permit.permitted.token,
            amount: it.permit.permitted.amount,
            spender: UPTO_PROXY,
            nonce: it.permit.nonce,
            deadline: it.permit.deadline,
            to: it.witness.to,
            facilitator: it.witness.facilitator,
            valid_after: it.witness.validAfter,
        },
        signature: it.signature.to_vec(),
    };
    Some((Authorization::Upto(permit), it.amount))
}
