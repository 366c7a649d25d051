use alloy_primitives::{Address, B256};
use seamline_core::Amount;
use serde_json::{Map, Value, json};

use super::wire::{self, Reader};
use super::{ChainState, SCHEME};
use crate::Malformed;
use crate::scheme::{Method, Scheme};
use crate::typed::TokenDomain;
use crate::x402::{Offer, Reason};

/// What an offer of this scheme asks, read from its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The most that one request costs, base units.
    pub amount: Amount,
    /// Who is paid.
    pub pay_to: Address,
    /// The key that signs claims and refunds for the receiver.
    pub receiver_authorizer: Address,
    /// Token contract.
    pub asset: Address,
    /// The token's EIP-712 domain, where the offer names it; ERC-3009 deposits need it.
    pub domain: Option<TokenDomain>,
    /// How deposits move the token.
    pub method: Method,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay_s: u64,
    /// The least deposit that the seller wishes for, base units.
    pub min_deposit: Option<Amount>,
    /// How long a deposit may live, in seconds.
    pub max_timeout_s: u64,
}

/// What a seller says in a 402 that corrects a payer's books (`extra.channelState` and
/// `extra.voucherState`).
///
/// Said by the seller: see [`super::payer::Channel::adopt`] for what a payer believes of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CorrectiveState {
    /// Which channel.
    pub channel_id: B256,
    /// The chain as the seller knows it.
    pub chain: ChainState,
    /// What was charged in total.
    pub charged: Option<Amount>,
    /// The newest voucher that the seller holds: its ceiling and its signature.
    pub voucher: Option<(Amount, Vec<u8>)>,
}

impl Terms {
    /// Reads an offer.
    ///
    /// # Errors
    ///
    /// The reason of the first member that is missing or of another scheme.
    pub fn of(offer: &Offer) -> Result<Self, Reason> {
        let terms = offer.terms();
        if terms.scheme != SCHEME {
            return Err(Reason::InvalidBatchSettlementEvmScheme);
        }
        let unreadable = || Reason::InvalidPaymentRequirements;
        let chain_id = terms.chain_id();
        let chain_id = chain_id.ok_or(Reason::InvalidBatchSettlementEvmNetworkMismatch)?;
        let asset = terms.asset_address().ok_or_else(unreadable)?;
        let extra = Value::Object(terms.extra.clone());
        let reader = Reader(&extra);
        let authorizer = reader.address("receiverAuthorizer").ok();
        let authorizer = authorizer.filter(|it| *it != Address::ZERO);
        let delay = reader.small("withdrawDelay").ok();
        let said = |name| reader.text(name).ok().filter(|text| !text.is_empty());
        let domain = said("name")
            .zip(said("version"))
            .map(|(name, version)| TokenDomain {
                name: name.to_owned(),
                version: version.to_owned(),
                chain_id,
                token: asset,
            });
        Ok(Self {
            chain_id,
            amount: terms.amount().ok_or_else(unreadable)?,
            pay_to: terms.pay_to_address().ok_or_else(unreadable)?,
            receiver_authorizer: authorizer
                .ok_or(Reason::InvalidBatchSettlementEvmReceiverAuthorizerMismatch)?,
            asset,
            domain,
            method: Method::of(Scheme::BatchSettlement, terms).ok_or_else(unreadable)?,
            withdraw_delay_s: delay
                .ok_or(Reason::InvalidBatchSettlementEvmWithdrawDelayMismatch)?,
            min_deposit: reader.amount("minDeposit").ok(),
            max_timeout_s: terms.max_timeout_seconds,
        })
    }

    /// The token's domain on this chain; Permit2 deposits need no more of it than the token.
    pub(super) fn token_domain(&self) -> TokenDomain {
        self.domain.clone().unwrap_or_else(|| TokenDomain {
            name: String::new(),
            version: String::new(),
            chain_id: self.chain_id,
            token: self.asset,
        })
    }
}

impl CorrectiveState {
    /// Members of `extra` that only a corrective 402 has; an echo need not repeat them.
    pub const MEMBERS: [&'static str; 2] = ["channelState", "voucherState"];

    /// Reads the state out of the `extra` of a corrective 402; `None` where it has none.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn of(offer: &Offer) -> Result<Option<Self>, Malformed> {
        let extra = Value::Object(offer.terms().extra.clone());
        let Some(state) = Reader(&extra).optional("channelState") else {
            return Ok(None);
        };
        let reader = Reader(state);
        let charged = reader.optional("chargedCumulativeAmount");
        let charged = charged.map(|_| reader.amount("chargedCumulativeAmount"));
        let voucher = Reader(&extra).optional("voucherState").map(Reader);
        let voucher = voucher.filter(|it| it.optional("signature").is_some());
        let voucher = voucher.map(|it| {
            let ceiling = it.amount("signedMaxClaimable")?;
            Ok((ceiling, it.signature("signature")?))
        });
        Ok(Some(Self {
            channel_id: reader.word("channelId")?,
            chain: ChainState::parse(state)?,
            charged: charged.transpose()?,
            voucher: voucher.transpose()?,
        }))
    }

    /// The members to merge into the `extra` of an offer.
    pub fn write(&self) -> Map<String, Value> {
        let mut state = self.chain.write(&self.channel_id);
        if let Some(charged) = self.charged {
            let charged = json!(charged.to_string());
            state.insert("chargedCumulativeAmount".to_owned(), charged);
        }
        let mut extra = Map::new();
        extra.insert("channelState".to_owned(), Value::Object(state));
        if let Some((ceiling, signature)) = &self.voucher {
            let voucher = json!({
                "signedMaxClaimable": ceiling.to_string(),
                "signature": wire::hex(signature),
            });
            extra.insert("voucherState".to_owned(), voucher);
        }
        extra
    }
}

impl std::fmt::Debug for CorrectiveState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CorrectiveState")
            .field("channel_id", &self.channel_id)
            .field("chain", &self.chain)
            .field("charged", &self.charged)
            .finish_non_exhaustive()
    }
}
