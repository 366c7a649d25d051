use std::fmt;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolValue as _};
use seamline_core::Amount;
use serde_json::Value;

use super::bindings::IBatchSettlement;
use super::typed::{DepositPermit, ReceiveAuthorization, deposit_nonce};
use super::wire::{self, Reader};
use super::{ChannelConfig, ERC3009_COLLECTOR, PERMIT2_COLLECTOR};
use crate::Malformed;
use crate::scheme::Method;
use crate::typed::TokenDomain;

/// Money that a payer puts into a channel, authorized but not yet moved.
///
/// # Security
///
/// Anyone can send it to the chain until it expires; it can only land in the channel that it names.
/// `Debug` leaves the signature out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// How much, base units.
    pub amount: Amount,
    /// The signed promise.
    pub authorization: DepositAuthorization,
}

/// How a deposit is authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DepositAuthorization {
    /// By the token itself.
    Erc3009(Erc3009Deposit),
    /// By Permit2.
    Permit2(Permit2Deposit),
}

/// The part of an ERC-3009 `ReceiveWithAuthorization` that is on the wire; the rest follows from
/// the channel and the amount.
#[derive(Clone, PartialEq, Eq)]
pub struct Erc3009Deposit {
    /// The deposit is valid after this second, Unix seconds.
    pub valid_after: U256,
    /// The deposit is valid before this second, Unix seconds.
    pub valid_before: U256,
    /// Makes the nonce, together with the channel's id.
    pub salt: U256,
    /// The payer's signature.
    pub signature: Vec<u8>,
}

/// A Permit2 transfer with the channel as its witness, as it is on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Permit2Deposit {
    /// Who pays.
    pub from: Address,
    /// Token contract.
    pub token: Address,
    /// How much, base units.
    pub amount: U256,
    /// Who may take it: the collector.
    pub spender: Address,
    /// Permit2 nonce.
    pub nonce: U256,
    /// Last second at which it is valid, Unix seconds.
    pub deadline: U256,
    /// The witness: the channel that it may go into.
    pub channel_id: B256,
    /// The payer's signature.
    pub signature: Vec<u8>,
}

impl Deposit {
    /// What moves the token.
    pub const fn method(&self) -> Method {
        match self.authorization {
            DepositAuthorization::Erc3009(_) => Method::Eip3009,
            DepositAuthorization::Permit2(_) => Method::Permit2,
        }
    }

    /// The contract that collects it.
    pub const fn collector(&self) -> Address {
        match self.authorization {
            DepositAuthorization::Erc3009(_) => ERC3009_COLLECTOR,
            DepositAuthorization::Permit2(_) => PERMIT2_COLLECTOR,
        }
    }

    /// The payer's signature.
    pub fn signature(&self) -> &[u8] {
        match &self.authorization {
            DepositAuthorization::Erc3009(it) => &it.signature,
            DepositAuthorization::Permit2(it) => &it.signature,
        }
    }

    /// The nonce that the deposit spends once: of the token, or of Permit2.
    pub fn auth_nonce(&self, channel_id: &B256) -> B256 {
        match &self.authorization {
            DepositAuthorization::Erc3009(it) => deposit_nonce(channel_id, it.salt),
            DepositAuthorization::Permit2(it) => B256::from(it.nonce),
        }
    }

    /// First second at which it can no longer land, Unix seconds.
    pub fn dead_at_s(&self) -> U256 {
        match &self.authorization {
            DepositAuthorization::Erc3009(it) => it.valid_before,
            DepositAuthorization::Permit2(it) => it.deadline.saturating_add(U256::ONE),
        }
    }

    /// The digest that the payer signed, for the channel `channel_id` of `payer`; `domain` is the
    /// token's.
    pub fn digest(&self, channel_id: &B256, payer: Address, domain: &TokenDomain) -> B256 {
        match &self.authorization {
            DepositAuthorization::Erc3009(it) => ReceiveAuthorization {
                from: payer,
                value: self.amount,
                valid_after: it.valid_after,
                valid_before: it.valid_before,
                nonce: deposit_nonce(channel_id, it.salt),
            }
            .digest(domain),
            DepositAuthorization::Permit2(it) => DepositPermit {
                token: domain.token,
                amount: self.amount.into(),
                nonce: it.nonce,
                deadline: it.deadline,
                channel_id: *channel_id,
            }
            .digest(domain.chain_id),
        }
    }

    /// What the collector is given. `sponsored` is an encoded EIP-2612 approval for Permit2 to use
    /// first, or empty.
    pub fn collector_data(&self, sponsored: &[u8]) -> Bytes {
        match &self.authorization {
            DepositAuthorization::Erc3009(it) => {
                let signature = Bytes::copy_from_slice(&it.signature);
                (it.valid_after, it.valid_before, it.salt, signature)
                    .abi_encode_params()
                    .into()
            }
            DepositAuthorization::Permit2(it) => {
                let signature = Bytes::copy_from_slice(&it.signature);
                let sponsored = Bytes::copy_from_slice(sponsored);
                (it.nonce, it.deadline, signature, sponsored)
                    .abi_encode_params()
                    .into()
            }
        }
    }

    /// The call of the contract that makes the deposit. `None` where the channel cannot exist.
    pub fn call(&self, config: &ChannelConfig, sponsored: &[u8]) -> Option<Bytes> {
        let call = IBatchSettlement::depositCall {
            config: config.to_sol()?,
            amount: self.amount.get(),
            collector: self.collector(),
            collectorData: self.collector_data(sponsored),
        };
        Some(call.abi_encode().into())
    }

    /// Reads `deposit`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        let amount = reader.amount("amount")?;
        let authorization = reader.object("authorization")?;
        let erc3009 = authorization.optional("erc3009Authorization");
        let permit2 = authorization.optional("permit2Authorization");
        let authorization = match (erc3009, permit2) {
            (Some(value), None) => DepositAuthorization::Erc3009(Erc3009Deposit::parse(value)?),
            (None, Some(value)) => DepositAuthorization::Permit2(Permit2Deposit::parse(value)?),
            // Two promises in one message: which of them is meant is nobody's guess to make.
            (Some(_), Some(_)) | (None, None) => return Err(Malformed::Field("authorization")),
        };
        Ok(Self {
            amount,
            authorization,
        })
    }

    /// Writes `deposit` with the members in the order of the official SDKs.
    pub fn write(&self) -> String {
        let authorization = match &self.authorization {
            DepositAuthorization::Erc3009(it) => it.write(),
            DepositAuthorization::Permit2(it) => it.write(),
        };
        format!(
            r#"{{"amount":"{}","authorization":{authorization}}}"#,
            self.amount
        )
    }
}

impl Erc3009Deposit {
    fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        Ok(Self {
            valid_after: reader.number("validAfter")?,
            valid_before: reader.number("validBefore")?,
            salt: reader.number("salt")?,
            signature: reader.signature("signature")?,
        })
    }

    fn write(&self) -> String {
        let salt: [u8; 32] = self.salt.to_be_bytes();
        format!(
            concat!(
                r#"{{"erc3009Authorization":{{"validAfter":"{}","validBefore":"{}","#,
                r#""salt":"{}","signature":"{}"}}}}"#
            ),
            self.valid_after,
            self.valid_before,
            wire::hex(&salt),
            wire::hex(&self.signature),
        )
    }
}

impl Permit2Deposit {
    fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        let permitted = reader.object("permitted")?;
        Ok(Self {
            from: reader.address("from")?,
            token: permitted.address("token")?,
            amount: permitted.number("amount")?,
            spender: reader.address("spender")?,
            nonce: reader.number("nonce")?,
            deadline: reader.number("deadline")?,
            channel_id: reader.object("witness")?.word("channelId")?,
            signature: reader.signature("signature")?,
        })
    }

    fn write(&self) -> String {
        format!(
            concat!(
                r#"{{"permit2Authorization":{{"from":"{}","permitted":{{"token":"{}","amount":"{}"}},"#,
                r#""spender":"{}","nonce":"{}","deadline":"{}","witness":{{"channelId":"{}"}},"#,
                r#""signature":"{}"}}}}"#
            ),
            self.from,
            self.token,
            self.amount,
            self.spender,
            self.nonce,
            self.deadline,
            wire::hex(self.channel_id.as_slice()),
            wire::hex(&self.signature),
        )
    }
}

impl fmt::Debug for Erc3009Deposit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erc3009Deposit")
            .field("valid_before", &self.valid_before)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit2Deposit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit2Deposit")
            .field("from", &self.from)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
