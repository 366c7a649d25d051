use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Amount, Timestamp, keccak256};
use seamline_evm::channel::seller::{Channel, Decline, Request, Step, envelope};
use seamline_evm::channel::{ChainState, Payload, SCHEME, Terms};
use seamline_evm::x402::{
    FacilitatorRequest, Offer, OfferTerms, PaymentPayload, Reason, SettleResponse,
};
use serde_json::{Value, json};

use super::hold::{Hold, declined};
use super::{Channels, Inner};
use crate::facilitator::FacilitatorError;
use crate::paywall::{LocalFuture, LocalPromise, LocalScheme, Verdict};
use crate::problem::Problem;

impl LocalScheme for Channels {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn complete<'a>(&'a self, terms: &'a mut OfferTerms) -> LocalFuture<'a, Result<(), Problem>> {
        let config = &self.0.config;
        let authorizer = config.authorizer.address().to_string();
        let times = u128::from(config.min_deposit_times);
        let wish = terms
            .amount()
            .map(|amount| amount.get().saturating_mul(times).to_string());
        let members = [
            ("receiverAuthorizer", Some(json!(authorizer))),
            ("withdrawDelay", Some(json!(config.withdraw_delay_s))),
            ("minDeposit", wish.map(|wish| json!(wish))),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                terms.extra.insert(name.to_owned(), value);
            }
        }
        Box::pin(core::future::ready(Ok(())))
    }

    fn promise(
        &self,
        payload: &PaymentPayload,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<LocalPromise, Reason> {
        let parsed = Payload::parse(payload.payload())?;
        let (config, voucher) = parsed
            .channel()
            .ok_or(Reason::InvalidBatchSettlementEvmPayloadType)?;
        let terms = Terms::of(offer)?;
        let refund = matches!(parsed, Payload::Refund { .. });
        let kind: &[u8] = if refund { b"refund" } else { b"charge" };
        let ceiling = voucher.max_claimable.get().to_be_bytes();
        let key = keccak256(
            [
                b"seamline/v1/channel-promise".as_slice(),
                voucher.channel_id.as_slice(),
                &ceiling,
                kind,
            ]
            .concat(),
        );
        // A voucher has no end of its own: the request gets what the offer allows.
        let life = Duration::from_secs(terms.max_timeout_s);
        Ok(LocalPromise {
            key,
            payer: config.payer,
            max: if refund { Amount::ZERO } else { terms.amount },
            auth_nonce: key,
            expires: now.saturating_add(life),
        })
    }

    fn reserve<'a>(
        &'a self,
        payload: &'a PaymentPayload,
        offer: &'a Offer,
        now: Timestamp,
    ) -> LocalFuture<'a, Verdict> {
        Box::pin(async move {
            match self.0.begin(payload, offer, now) {
                Ok((hold, step, parsed)) => self.0.hold(hold, step, parsed, payload, offer).await,
                Err(decline) => declined(&decline),
            }
        })
    }
}

impl Inner {
    /// Lets a request hold its channel.
    fn begin(
        self: &Arc<Self>,
        payload: &PaymentPayload,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<(Hold, Step, Payload), Decline> {
        let parsed = Payload::parse(payload.payload()).map_err(Decline::Refused)?;
        let terms = Terms::of(offer).map_err(Decline::Refused)?;
        let Some((config, voucher)) = parsed.channel() else {
            let reason = Reason::InvalidBatchSettlementEvmPayloadType;
            return Err(Decline::Refused(reason));
        };
        // The id keys the books, so that it is the channel's before they are looked at.
        config
            .check(&voucher.channel_id, &terms)
            .map_err(Decline::Refused)?;
        let channel_id = voucher.channel_id;
        let request = Request {
            payload: &parsed,
            terms: &terms,
        };
        let mut books = self.lock();
        books.next_hold = books.next_hold.wrapping_add(1);
        let id = books.next_hold;
        if let Some(channel) = books.channels.get_mut(&channel_id) {
            let step = channel.begin(&request, &self.config.rules, id, now)?;
            let hold = Hold::new(Arc::clone(self), channel_id, id);
            return Ok((hold, step, parsed));
        }
        if books.channels.len() >= self.config.max_channels {
            let reason =
                Reason::from("invalid_batch_settlement_evm_verification_state_unavailable");
            return Err(Decline::Refused(reason));
        }
        let mut channel = Channel::new(config.clone(), terms.chain_id);
        let step = channel.begin(&request, &self.config.rules, id, now)?;
        books.channels.insert(channel_id, channel);
        let hold = Hold::new(Arc::clone(self), channel_id, id);
        Ok((hold, step, parsed))
    }

    /// Asks what the books and the mirror do not know.
    async fn hold(
        &self,
        mut hold: Hold,
        step: Step,
        parsed: Payload,
        payload: &PaymentPayload,
        offer: &Offer,
    ) -> Verdict {
        let known = match step {
            Step::Serve => return Verdict::Held(Box::new(hold)),
            Step::Verify => {
                let verified = self.verified(payload, offer).await;
                verified.map_err(|verdict| self.told(&hold, verdict))
            }
            Step::Deposit => self.deposited(&mut hold, &parsed, payload, offer).await,
        };
        let chain = match known {
            Ok(chain) => chain,
            Err(verdict) => return *verdict,
        };
        if let Err(verdict) = self.confirm(&hold, chain) {
            return *verdict;
        }
        match parsed {
            Payload::Refund { amount, .. } => self.refund(hold, amount, offer).await,
            Payload::Deposit { .. }
            | Payload::Voucher { .. }
            | Payload::Claim { .. }
            | Payload::Settle { .. } => Verdict::Held(Box::new(hold)),
        }
    }

    /// The books, for a payer whose promise is below what was claimed: the facilitator says so of a
    /// signature that holds.
    fn told(&self, hold: &Hold, verdict: Box<Verdict>) -> Box<Verdict> {
        let below = Reason::InvalidBatchSettlementEvmCumulativeBelowClaimed;
        let behind = matches!(&*verdict, Verdict::Declined { reason, .. } if *reason == below);
        let books = self.lock();
        let channel = books.channels.get(&hold.channel_id);
        let known = channel.filter(|channel| behind && channel.synced_at().is_some());
        known.map_or(verdict, |channel| Box::new(declined(&channel.corrective())))
    }

    fn confirm(&self, hold: &Hold, chain: ChainState) -> Result<(), Box<Verdict>> {
        let now = self.now();
        let mut books = self.lock();
        let channel = books.channels.get_mut(&hold.channel_id);
        let confirmed = channel.map(|channel| channel.confirm(hold.id, chain, now));
        match confirmed {
            Some(Ok(())) => Ok(()),
            Some(Err(decline)) => Err(Box::new(declined(&decline))),
            None => Err(Box::new(refused(
                Reason::InvalidBatchSettlementEvmMissingChannel,
            ))),
        }
    }

    /// The chain's state by the facilitator, where it finds the payment valid.
    async fn verified(
        &self,
        payload: &PaymentPayload,
        offer: &Offer,
    ) -> Result<ChainState, Box<Verdict>> {
        let request = request(payload, offer);
        let verdict = self.facilitator.verify(&request).await;
        let verdict = verdict.map_err(|error| Box::new(unreachable(&error)))?;
        if !verdict.is_valid {
            let reason = verdict.invalid_reason;
            return Err(stop(reason.unwrap_or(Reason::UnexpectedVerifyError)));
        }
        let extra = verdict.extra.unwrap_or_default();
        ChainState::parse(&extra).map_err(|_| stop(Reason::UnexpectedVerifyError))
    }

    /// Makes the deposit. Returns the chain's state with it.
    async fn deposited(
        &self,
        hold: &mut Hold,
        parsed: &Payload,
        payload: &PaymentPayload,
        offer: &Offer,
    ) -> Result<ChainState, Box<Verdict>> {
        let settled = self.facilitator.settle(&request(payload, offer)).await;
        let settled = settled.map_err(|error| Box::new(unreachable(&error)))?;
        if settled.success {
            let amount = settled.settled_amount();
            hold.deposit = settled.transaction_hash().zip(amount);
            let extra = settled.extra.as_ref();
            let state = extra.and_then(|extra| extra.get("channelState"));
            let state = ChainState::parse(state.unwrap_or(&Value::Null));
            return state.map_err(|_| stop(Reason::UnexpectedSettleError));
        }
        let reason = settled.error_reason;
        let reason = reason.unwrap_or(Reason::UnexpectedSettleError);
        if reason == Reason::SettlementPending {
            return Err(stop(reason));
        }
        // It may have landed before, with an answer that got lost: then the voucher is covered.
        let Some((config, voucher)) = parsed.channel() else {
            return Err(stop(reason));
        };
        let alone = Payload::Voucher {
            config: config.clone(),
            voucher: voucher.clone(),
        };
        let alone = envelope(&alone, offer).map_err(|_| stop(reason.clone()))?;
        let covered = self.verified(&alone, offer).await;
        covered.map_err(|_| stop(reason))
    }

    /// Gives back what is left of a channel.
    async fn refund(&self, mut hold: Hold, amount: Option<Amount>, offer: &Offer) -> Verdict {
        let order = self.order(&hold, amount).await;
        let order = match order {
            Ok(order) => order,
            Err(reason) => return refused(reason),
        };
        let Ok(order) = envelope(&order, offer) else {
            return refused(Reason::InvalidBatchSettlementEvmRefundPayload);
        };
        let settled = match self.facilitator.settle(&request(&order, offer)).await {
            Ok(settled) => settled,
            Err(error) => return unreachable(&error),
        };
        if !settled.success {
            let reason = settled.error_reason;
            return refused(reason.unwrap_or(Reason::UnexpectedSettleError));
        }
        let extra = settled.extra.clone().unwrap_or_default();
        let state = extra.get("channelState").unwrap_or(&Value::Null);
        let Ok(chain) = ChainState::parse(state) else {
            return refused(Reason::UnexpectedSettleError);
        };
        let now = self.now();
        let charged = {
            let mut books = self.lock();
            let channel = books.channels.get_mut(&hold.channel_id);
            channel.map(|channel| {
                channel.refunded(hold.id, chain, now);
                channel.charged()
            })
        };
        hold.ended = true;
        let Some(charged) = charged else {
            return refused(Reason::InvalidBatchSettlementEvmMissingChannel);
        };
        // Where it fails, the chain has it: the books catch up at the next look.
        self.write(hold.channel_id).await;
        Verdict::Done(with_total(settled, extra, charged))
    }

    async fn order(&self, hold: &Hold, amount: Option<Amount>) -> Result<Payload, Reason> {
        let missing = Reason::InvalidBatchSettlementEvmMissingChannel;
        let books = self.lock().channels.get(&hold.channel_id).cloned();
        let books = books.ok_or(missing)?;
        let (id, signer) = (hold.id, Arc::clone(&self.config.authorizer));
        // A signer of another process or device may take its time.
        let signed =
            tokio::task::spawn_blocking(move || books.refund_order(id, amount, Some(&*signer)));
        signed.await.unwrap_or(Err(Reason::UnexpectedSettleError))
    }
}

fn request(payload: &PaymentPayload, offer: &Offer) -> FacilitatorRequest {
    FacilitatorRequest {
        payment_payload: payload.clone(),
        payment_requirements: offer.clone(),
    }
}

fn with_total(mut settled: SettleResponse, mut extra: Value, charged: Amount) -> SettleResponse {
    if let Some(state) = extra.get_mut("channelState").and_then(Value::as_object_mut) {
        let total = json!(charged.to_string());
        state.insert("chargedCumulativeAmount".to_owned(), total);
    }
    settled.extra = Some(extra);
    settled
}

fn refused(reason: Reason) -> Verdict {
    Verdict::Declined {
        reason,
        extra: serde_json::Map::new(),
    }
}

fn stop(reason: Reason) -> Box<Verdict> {
    Box::new(refused(reason))
}

fn unreachable(error: &FacilitatorError) -> Verdict {
    Verdict::Failed(crate::paywall::no_facilitator(error))
}
