use std::sync::Arc;

use seamline_core::{Address, Amount, B256, U256};
use seamline_evm::RpcCall;
use seamline_evm::channel::ChainState;
use seamline_evm::channel::facilitator::{
    Delegation, Ready, Rules, SettleCall, SettlePlan, conclude_verify, plan_settle, plan_verify,
};
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse, VerifyResponse};
use seamline_net::Tasks;
use serde_json::Value;
use tokio::time::timeout;

use super::ChannelDeskConfig;
use super::flights::{Flight, Flights};
use crate::facilitator::{
    Error, Job, JobError, Lane, Outcome, Sellers, Sent, Unavailable, has_code,
};

/// Performs what channels need on chain, through the facilitator's lane.
pub(super) struct Desk {
    lane: Lane,
    config: ChannelDeskConfig,
    flights: Flights,
    tasks: Tasks,
}

/// How often what was displaced or reverted is tried again under the same name.
const MAX_TRIES: u8 = 16;

/// Why there is no success.
enum Failure {
    /// A business outcome.
    Refused(Reason, Option<B256>),
    /// The budgets, with a retry hint.
    Full(JobError),
    /// There is no answer now.
    Unavailable(Error),
}

impl Desk {
    pub(super) fn new(lane: Lane, config: ChannelDeskConfig) -> Self {
        Self {
            lane,
            config,
            flights: Flights::default(),
            tasks: Tasks::new(),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.lane.address()
    }

    pub(super) fn authorizer(&self) -> Option<Address> {
        self.config.authorizer.as_ref().map(|it| it.address())
    }

    pub(super) fn sellers(&self) -> &Sellers {
        self.lane.sellers()
    }

    pub(super) fn network(&self) -> &str {
        self.lane.network()
    }

    pub(super) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(super) async fn verify(
        &self,
        request: &FacilitatorRequest,
    ) -> Result<VerifyResponse, Error> {
        if let Err(reason) = self.own_business(request) {
            return Ok(VerifyResponse::invalid(reason, None));
        }
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        let own = [self.address()];
        let plan = match plan_verify(payload, offer, &self.rules(&own)) {
            Ok(plan) => plan,
            Err(invalid) => return Ok(VerifyResponse::invalid(invalid.reason, invalid.payer)),
        };
        let answer = self.lane.rpc().batch(plan.calls()).await;
        let verdict = conclude_verify(&plan, &answer);
        if verdict.invalid_reason == Some(Reason::InvalidBatchSettlementEvmRpcReadFailed) {
            return Err(Error::Unavailable(Unavailable::Chain));
        }
        Ok(verdict)
    }

    /// Settles, or joins the same settlement that is under way. It goes on where nobody waits.
    pub(super) async fn settle(
        desk: &Arc<Self>,
        request: &FacilitatorRequest,
    ) -> Result<SettleResponse, Error> {
        let plan = match Self::planned(desk, request).await? {
            Ok(plan) => plan,
            Err((reason, payer)) => return Ok(desk.failed(payer, reason, None)),
        };
        let payer = plan.payer();
        let joined = desk.flights.join(plan.key());
        let (mut progress, flight) = joined.ok_or(Error::Unavailable(Unavailable::Busy))?;
        if let Some(flight) = flight {
            let worker = Arc::clone(desk);
            let seller = request.payment_requirements.terms().pay_to_address();
            desk.tasks
                .spawn(async move { worker.carry(plan, seller, flight).await });
        }
        let ended = progress.wait_for(|progress| progress.answer.is_some());
        // An error means that the task is gone; the last progress tells how far it came.
        drop(timeout(desk.config.settle_wait, ended).await);
        let last = progress.borrow().clone();
        match last.answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(Error::Flight(error)),
            None => Ok(desk.failed(payer, Reason::SettlementPending, last.transaction)),
        }
    }

    /// Plans, on a thread of its own where an authorizer in another program may be asked.
    async fn planned(
        desk: &Arc<Self>,
        request: &FacilitatorRequest,
    ) -> Result<Result<SettlePlan, (Reason, Option<Address>)>, Error> {
        let authorizer = desk.config.authorizer.as_ref();
        if authorizer.is_none_or(|it| it.is_immediate()) {
            return Ok(desk.plan(request));
        }
        let (worker, request) = (Arc::clone(desk), request.clone());
        let planned = tokio::task::spawn_blocking(move || worker.plan(&request));
        planned
            .await
            .map_err(|_| Error::Unavailable(Unavailable::Busy))
    }

    fn plan(&self, request: &FacilitatorRequest) -> Result<SettlePlan, (Reason, Option<Address>)> {
        self.own_business(request)
            .map_err(|reason| (reason, None))?;
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        let own = [self.address()];
        let plan = plan_settle(payload, offer, &self.rules(&own));
        plan.map_err(|invalid| (invalid.reason, invalid.payer))
    }

    async fn carry(&self, plan: SettlePlan, seller: Option<Address>, flight: Flight) {
        let answer = match self.perform(&plan, seller, &flight).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Refused(reason, hash)) => Ok(self.failed(plan.payer(), reason, hash)),
            Err(Failure::Full(full)) => Ok(self.full(plan.payer(), &full)),
            Err(Failure::Unavailable(error)) => {
                let text = seamline_core::chain(&error);
                tracing::error!(error = text, "a channel's settlement could not be finished");
                Err(Arc::new(error))
            }
        };
        flight.end(answer);
    }

    async fn perform(
        &self,
        plan: &SettlePlan,
        seller: Option<Address>,
        flight: &Flight,
    ) -> Result<SettleResponse, Failure> {
        for attempt in 0..MAX_TRIES {
            let id = self.id(plan, attempt);
            // 1. What is remembered, by this process or another one.
            let known = self.lane.find(id).await.map_err(Failure::Unavailable)?;
            let sent = match known {
                Some(known) => known,
                None => {
                    // 2. The chain's view of it.
                    let answer = self.lane.rpc().batch(plan.calls()).await;
                    let call = match plan.conclude(&answer) {
                        Ok(Ready::Send(call)) => call,
                        Ok(Ready::Nothing) => return Ok(plan.done_before()),
                        Err(Reason::InvalidBatchSettlementEvmRpcReadFailed) => {
                            return Err(Failure::Unavailable(Error::Unavailable(
                                Unavailable::Chain,
                            )));
                        }
                        Err(reason) => return Err(Failure::Refused(reason, None)),
                    };
                    // 3. The transaction, in the order of the account.
                    let results = answer.as_deref().unwrap_or_default();
                    let payer = plan.payer();
                    let job = Job {
                        id,
                        to: call.to,
                        gas_limit: call.gas_limit,
                        payer: payer.or(seller),
                        runs_payers_code: payer
                            .is_some_and(|payer| has_code(plan.calls(), results, payer)),
                        memo: memo(&call),
                        input: call.input.to_vec(),
                    };
                    self.lane.begin(job).await.map_err(|error| match error {
                        JobError::Facilitator(error) => Failure::Unavailable(error),
                        full @ (JobError::Budget { .. } | JobError::Memo) => Failure::Full(full),
                    })?
                }
            };
            if let Some(answer) = self.finish(plan, sent, flight).await? {
                return Ok(answer);
            }
        }
        Err(Failure::Refused(plan.failed(), None))
    }

    /// Waits for a job. `None` where it is to be tried again, under another name.
    async fn finish(
        &self,
        plan: &SettlePlan,
        mut sent: Sent,
        flight: &Flight,
    ) -> Result<Option<SettleResponse>, Failure> {
        let is_old = sent.ended().is_some();
        if let Some(transaction) = sent.transaction() {
            flight.sent(transaction);
        }
        let before = before(sent.memo());
        let outcome = sent.outcome().await.map_err(Failure::Unavailable)?;
        match outcome {
            // What can be asked for again means something new by now.
            Outcome::Done { .. } if is_old && !plan.once() => Ok(None),
            Outcome::Done { transaction, .. } => {
                let receipt = self.receipt(transaction).await?;
                let settled = plan.check_settled(&receipt, before.as_ref());
                let settled = settled.map(|settled| Some(settled.response));
                settled.map_err(|reason| Failure::Refused(reason, Some(transaction)))
            }
            // Asked for anew, the chain says whether it would pass now.
            Outcome::Reverted { .. } if is_old => Ok(None),
            Outcome::Reverted { transaction } => {
                Err(Failure::Refused(plan.failed(), Some(transaction)))
            }
            Outcome::Displaced => Ok(None),
        }
    }

    async fn receipt(&self, transaction: B256) -> Result<Value, Failure> {
        let asked = [RpcCall::transaction_receipt(transaction)];
        let results = self.lane.rpc().batch(&asked).await;
        match results.ok().and_then(|results| results.into_iter().next()) {
            Some(Ok(receipt)) if !receipt.is_null() => Ok(receipt),
            // The record knows the outcome: asked again, it is told.
            Some(_) | None => Err(Failure::Unavailable(Error::Unavailable(Unavailable::Chain))),
        }
    }

    /// The name of a settlement's job. What can be asked for again and again has one for each minute:
    /// within it, replicas and restarts join; after it, it means something new.
    fn id(&self, plan: &SettlePlan, attempt: u8) -> B256 {
        let minute = if plan.once() {
            0
        } else {
            (self.lane.clock())().as_secs().div_euclid(60)
        };
        seamline_core::sha256(&[
            b"seamline/v1/channel-job".as_slice(),
            plan.key().as_slice(),
            &minute.to_be_bytes(),
            &[attempt],
        ])
    }

    fn rules<'a>(&'a self, own: &'a [Address]) -> Rules<'a> {
        Rules {
            now: (self.lane.clock())(),
            own_signers: own,
            delegation: match &self.config.authorizer {
                Some(signer) => Delegation::Claims(signer.as_ref()),
                None => Delegation::None,
            },
        }
    }

    /// Whether a payment is on our chain and in a token that we know.
    fn own_business(&self, request: &FacilitatorRequest) -> Result<(), Reason> {
        let terms = request.payment_requirements.terms();
        if terms.network != self.network() {
            return Err(Reason::InvalidBatchSettlementEvmNetworkMismatch);
        }
        match terms.asset_address() {
            Some(asset) if self.config.assets.contains(&asset) => Ok(()),
            Some(_) | None => Err(Reason::InvalidPaymentRequirements),
        }
    }

    fn failed(
        &self,
        payer: Option<Address>,
        reason: Reason,
        transaction: Option<B256>,
    ) -> SettleResponse {
        SettleResponse::failed(self.network(), payer, reason, transaction)
    }

    fn full(&self, payer: Option<Address>, full: &JobError) -> SettleResponse {
        let JobError::Budget { code, retry_after } = full else {
            return self.failed(payer, Reason::UnexpectedSettleError, None);
        };
        let mut response = self.failed(payer, Reason::Other((*code).to_owned()), None);
        response.extra = retry_after.map(crate::facilitator::retry_after);
        response
    }
}

/// What a call's answer needs to know of the channel before it.
fn memo(call: &SettleCall) -> String {
    let before = call.before.unwrap_or_default();
    let words = [
        before.balance.to_string(),
        before.total_claimed.to_string(),
        before.withdraw_requested_at_s.to_string(),
        before.withdraw_amount.to_string(),
        before.refund_nonce.to_string(),
    ];
    words.join(" ")
}

fn before(memo: &str) -> Option<ChainState> {
    let mut words = memo.split(' ');
    Some(ChainState {
        balance: Amount::parse(words.next()?).ok()?,
        total_claimed: Amount::parse(words.next()?).ok()?,
        withdraw_requested_at_s: words.next()?.parse().ok()?,
        withdraw_amount: Amount::parse(words.next()?).ok()?,
        refund_nonce: U256::from_str_radix(words.next()?, 10).ok()?,
    })
}
