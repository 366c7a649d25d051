use std::fmt;

use alloy_primitives::{Address, U256};
use seamline_core::Amount;
use serde_json::Value;

use super::bindings::IBatchSettlement;
use super::wire::{self, Reader};
use super::{ChannelConfig, Deposit, Voucher};
use crate::Malformed;
use crate::x402::Reason;

/// The scheme's part of a payment: what a payer sends to a seller (deposit, voucher, refund), and
/// what a seller sends to its facilitator (claim, settle, refund with an order). `Debug` leaves the
/// signatures out.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// Opens a channel or adds to it, and promises the first request's amount.
    Deposit {
        /// The channel.
        config: ChannelConfig,
        /// The promise.
        voucher: Voucher,
        /// The money.
        deposit: Deposit,
    },
    /// Promises one more request's amount.
    Voucher {
        /// The channel.
        config: ChannelConfig,
        /// The promise.
        voucher: Voucher,
    },
    /// Asks for what is left of a channel.
    Refund {
        /// The channel.
        config: ChannelConfig,
        /// A promise of exactly what was charged.
        voucher: Voucher,
        /// How much; everything that is left where absent.
        amount: Option<Amount>,
        /// What the seller adds for the facilitator.
        order: Option<RefundOrder>,
    },
    /// Records on chain what sellers are owed.
    Claim {
        /// One per channel.
        claims: Vec<Claim>,
        /// The receiver's side's signature over all of them; the facilitator's own where absent.
        authorizer_signature: Option<Vec<u8>>,
    },
    /// Pays out what was claimed.
    Settle {
        /// To whom.
        receiver: Address,
        /// Token contract.
        token: Address,
    },
}

/// What a seller adds to a refund for its facilitator.
#[derive(Clone, PartialEq, Eq)]
pub struct RefundOrder {
    /// The channel's refund counter on chain.
    pub nonce: U256,
    /// What is claimed first; may be empty.
    pub claims: Vec<Claim>,
    /// The receiver's side's signature over the refund; the facilitator's own where absent.
    pub refund_signature: Option<Vec<u8>>,
    /// The receiver's side's signature over the claims; the facilitator's own where absent.
    pub claim_signature: Option<Vec<u8>>,
}

/// What is claimed of one channel: a total, covered by a voucher.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The channel.
    pub config: ChannelConfig,
    /// The voucher's ceiling, base units.
    pub max_claimable: Amount,
    /// The voucher's signature.
    pub signature: Vec<u8>,
    /// What is claimed in total, at most the ceiling, base units. A total that is not above what the
    /// chain has recorded already does nothing.
    pub total_claimed: Amount,
}

impl Payload {
    /// Reads the scheme's part of a payment.
    ///
    /// # Errors
    ///
    /// `…_payload_type` where `type` names nothing of this scheme, otherwise the type's own
    /// `…_payload` reason, `…_channel_id_invalid`, or `…_refund_amount_invalid`.
    pub fn parse(payload: &Value) -> Result<Self, Reason> {
        let reader = Reader(payload);
        let kind = reader.text("type").unwrap_or_default();
        match kind {
            "deposit" => {
                let (config, voucher) =
                    channel(reader, Reason::InvalidBatchSettlementEvmDepositPayload)?;
                let deposit = reader.member("deposit").and_then(Deposit::parse);
                let deposit =
                    deposit.map_err(|_| Reason::InvalidBatchSettlementEvmDepositPayload)?;
                Ok(Self::Deposit {
                    config,
                    voucher,
                    deposit,
                })
            }
            "voucher" => {
                let (config, voucher) =
                    channel(reader, Reason::InvalidBatchSettlementEvmVoucherPayload)?;
                Ok(Self::Voucher { config, voucher })
            }
            "refund" => refund(reader),
            "claim" => claim(reader)
                .map_err(|_| Reason::from("invalid_batch_settlement_evm_claim_payload")),
            "settle" => settle(reader)
                .map_err(|_| Reason::from("invalid_batch_settlement_evm_settle_payload")),
            _ => Err(Reason::InvalidBatchSettlementEvmPayloadType),
        }
    }

    /// Writes it with the members in the order of the official SDKs.
    pub fn write(&self) -> String {
        match self {
            Self::Deposit {
                config,
                voucher,
                deposit,
            } => {
                let deposit = deposit.write();
                let parts = written("deposit", config, voucher);
                format!(r#"{{{parts},"deposit":{deposit}}}"#)
            }
            Self::Voucher { config, voucher } => {
                format!("{{{}}}", written("voucher", config, voucher))
            }
            Self::Refund {
                config,
                voucher,
                amount,
                order,
            } => {
                let mut json = written("refund", config, voucher);
                if let Some(amount) = amount {
                    json.push_str(&format!(r#","amount":"{amount}""#));
                }
                if let Some(order) = order {
                    json.push_str(&order.write());
                }
                format!("{{{json}}}")
            }
            Self::Claim {
                claims,
                authorizer_signature,
            } => {
                let claims = Claim::write_all(claims);
                let signature = signed("claimAuthorizerSignature", authorizer_signature.as_deref());
                format!(r#"{{"type":"claim","claims":{claims}{signature}}}"#)
            }
            Self::Settle { receiver, token } => {
                format!(r#"{{"type":"settle","receiver":"{receiver}","token":"{token}"}}"#)
            }
        }
    }

    /// The channel and the promise, of what a payer sends.
    pub const fn channel(&self) -> Option<(&ChannelConfig, &Voucher)> {
        match self {
            Self::Deposit {
                config, voucher, ..
            }
            | Self::Voucher { config, voucher }
            | Self::Refund {
                config, voucher, ..
            } => Some((config, voucher)),
            Self::Claim { .. } | Self::Settle { .. } => None,
        }
    }
}

impl Claim {
    /// Reads one element of `claims`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        let voucher = reader.object("voucher")?;
        Ok(Self {
            config: ChannelConfig::parse(voucher.member("channel")?)?,
            max_claimable: voucher.amount("maxClaimableAmount")?,
            signature: reader.signature("signature")?,
            total_claimed: reader.amount("totalClaimed")?,
        })
    }

    /// Writes one element of `claims`.
    pub fn write(&self) -> String {
        format!(
            r#"{{"voucher":{{"channel":{},"maxClaimableAmount":"{}"}},"signature":"{}","totalClaimed":"{}"}}"#,
            self.config.write(),
            self.max_claimable,
            wire::hex(&self.signature),
            self.total_claimed,
        )
    }

    /// As the contract reads it. `None` where the channel cannot exist.
    pub fn to_sol(&self) -> Option<IBatchSettlement::VoucherClaim> {
        Some(IBatchSettlement::VoucherClaim {
            voucher: IBatchSettlement::Voucher {
                channel: self.config.to_sol()?,
                maxClaimableAmount: self.max_claimable.get(),
            },
            signature: self.signature.clone().into(),
            totalClaimed: self.total_claimed.get(),
        })
    }

    fn write_all(claims: &[Self]) -> String {
        let claims: Vec<String> = claims.iter().map(Self::write).collect();
        format!("[{}]", claims.join(","))
    }
}

impl RefundOrder {
    fn write(&self) -> String {
        format!(
            r#","refundNonce":"{}","claims":{}{}{}"#,
            self.nonce,
            Claim::write_all(&self.claims),
            signed(
                "refundAuthorizerSignature",
                self.refund_signature.as_deref()
            ),
            signed("claimAuthorizerSignature", self.claim_signature.as_deref()),
        )
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposit {
                voucher, deposit, ..
            } => write!(f, "Deposit({voucher:?}, {deposit:?})"),
            Self::Voucher { voucher, .. } => voucher.fmt(f),
            Self::Refund {
                voucher,
                amount,
                order,
                ..
            } => write!(f, "Refund({voucher:?}, {amount:?}, {order:?})"),
            Self::Claim { claims, .. } => write!(f, "Claim({claims:?})"),
            Self::Settle { receiver, token } => write!(f, "Settle({receiver}, {token})"),
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("config", &self.config)
            .field("max_claimable", &self.max_claimable)
            .field("total_claimed", &self.total_claimed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RefundOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefundOrder")
            .field("nonce", &self.nonce)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

fn written(kind: &str, config: &ChannelConfig, voucher: &Voucher) -> String {
    let (config, voucher) = (config.write(), voucher.write());
    format!(r#""type":"{kind}","channelConfig":{config},"voucher":{voucher}"#)
}

fn signed(name: &str, signature: Option<&[u8]>) -> String {
    let signature = signature.map(|it| format!(r#","{name}":"{}""#, wire::hex(it)));
    signature.unwrap_or_default()
}

fn channel(reader: Reader<'_>, reason: Reason) -> Result<(ChannelConfig, Voucher), Reason> {
    let config = reader.member("channelConfig");
    let voucher = reader.member("voucher");
    let (Ok(config), Ok(voucher)) = (config, voucher) else {
        return Err(reason);
    };
    if Reader(voucher).word("channelId").is_err() {
        return Err(Reason::from(
            "invalid_batch_settlement_evm_channel_id_invalid",
        ));
    }
    let config = ChannelConfig::parse(config);
    let voucher = Voucher::parse(voucher);
    match (config, voucher) {
        (Ok(config), Ok(voucher)) => Ok((config, voucher)),
        (Ok(_) | Err(_), _) => Err(reason),
    }
}

fn refund(reader: Reader<'_>) -> Result<Payload, Reason> {
    let malformed = || Reason::InvalidBatchSettlementEvmRefundPayload;
    let (config, voucher) = channel(reader, malformed())?;
    let amount = reader.optional("amount").map(|_| reader.amount("amount"));
    let amount = amount.transpose();
    let amount = amount.map_err(|_| Reason::InvalidBatchSettlementEvmRefundAmountInvalid)?;
    if amount.is_some_and(Amount::is_zero) {
        return Err(Reason::InvalidBatchSettlementEvmRefundAmountInvalid);
    }
    let ordered = reader.optional("refundNonce").is_some();
    let order = ordered.then(|| order(reader)).transpose();
    Ok(Payload::Refund {
        config,
        voucher,
        amount,
        order: order.map_err(|_| malformed())?,
    })
}

fn order(reader: Reader<'_>) -> Result<RefundOrder, Malformed> {
    Ok(RefundOrder {
        nonce: reader.number("refundNonce")?,
        claims: claims(reader)?,
        refund_signature: optional_signature(reader, "refundAuthorizerSignature")?,
        claim_signature: optional_signature(reader, "claimAuthorizerSignature")?,
    })
}

fn claim(reader: Reader<'_>) -> Result<Payload, Malformed> {
    Ok(Payload::Claim {
        claims: claims(reader)?,
        authorizer_signature: optional_signature(reader, "claimAuthorizerSignature")?,
    })
}

fn settle(reader: Reader<'_>) -> Result<Payload, Malformed> {
    Ok(Payload::Settle {
        receiver: reader.address("receiver")?,
        token: reader.address("token")?,
    })
}

fn claims(reader: Reader<'_>) -> Result<Vec<Claim>, Malformed> {
    let claims = reader.member("claims")?.as_array();
    let claims = claims.ok_or(Malformed::Field("claims"))?;
    if claims.len() > MAX_CLAIMS {
        return Err(Malformed::Field("claims"));
    }
    claims.iter().map(Claim::parse).collect()
}

fn optional_signature(
    reader: Reader<'_>,
    name: &'static str,
) -> Result<Option<Vec<u8>>, Malformed> {
    let present = reader.optional(name).is_some();
    present.then(|| reader.signature(name)).transpose()
}

/// Most claims in one message: what the official SDKs put into one.
pub(super) const MAX_CLAIMS: usize = 100;
