use std::sync::Arc;

use seamline_core::{Address, B256, U256};
use seamline_evm::channel::facilitator::{
    Delegation, Ready, Rules, SettleCall, SettlePlan, conclude_verify, plan_settle, plan_verify,
};
use seamline_evm::rpc::At;
use seamline_evm::tx::{Fees, SignedTransaction, Transaction};
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse, VerifyResponse};
use seamline_evm::{RpcCall, Signer as _};
use seamline_net::Tasks;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::ChannelDeskConfig;
use super::flights::{Flight, Flights};

/// Performs what channels need on chain.
pub(super) struct Desk {
    config: ChannelDeskConfig,
    network: String,
    flights: Flights,
    tasks: Tasks,
    /// Held from the choice of an account nonce until the endpoint has the transaction.
    lane: Mutex<Lane>,
}

/// The next account nonce, as far as it is known here.
#[derive(Default)]
struct Lane {
    next: Option<u64>,
}

impl Desk {
    pub(super) fn new(config: ChannelDeskConfig) -> Self {
        Self {
            network: format!("eip155:{}", config.chain_id),
            config,
            flights: Flights::default(),
            tasks: Tasks::new(),
            lane: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.config.wallet.address()
    }

    pub(super) fn authorizer(&self) -> Option<Address> {
        self.config.authorizer.as_ref().map(|it| it.address())
    }

    pub(super) fn network(&self) -> &str {
        &self.network
    }

    pub(super) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(super) async fn verify(&self, request: &FacilitatorRequest) -> VerifyResponse {
        if let Err(reason) = self.own_business(request) {
            return VerifyResponse::invalid(reason, None);
        }
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        let own = [self.address()];
        match plan_verify(payload, offer, &self.rules(&own)) {
            Ok(plan) => {
                let answer = self.config.rpc.batch(plan.calls()).await;
                conclude_verify(&plan, &answer)
            }
            Err(invalid) => VerifyResponse::invalid(invalid.reason, invalid.payer),
        }
    }

    /// Settles, or joins the same settlement that is under way. It goes on where nobody waits.
    pub(super) async fn settle(desk: &Arc<Self>, request: &FacilitatorRequest) -> SettleResponse {
        let plan = match desk.plan(request) {
            Ok(plan) => plan,
            Err((reason, payer)) => return desk.failed(payer, reason, None),
        };
        let payer = plan.payer();
        let (mut progress, flight) = desk.flights.join(plan.key());
        if let Some(flight) = flight {
            let worker = Arc::clone(desk);
            desk.tasks
                .spawn(async move { worker.carry(plan, flight).await });
        }
        let ended = progress.wait_for(|progress| progress.answer.is_some());
        // An error means that the task is gone; the last progress tells how far it came.
        drop(timeout(desk.config.settle_wait, ended).await);
        let last = progress.borrow().clone();
        last.answer
            .unwrap_or_else(|| desk.failed(payer, Reason::SettlementPending, last.transaction))
    }

    fn plan(&self, request: &FacilitatorRequest) -> Result<SettlePlan, (Reason, Option<Address>)> {
        self.own_business(request)
            .map_err(|reason| (reason, None))?;
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        let own = [self.address()];
        let plan = plan_settle(payload, offer, &self.rules(&own));
        plan.map_err(|invalid| (invalid.reason, invalid.payer))
    }

    async fn carry(&self, plan: SettlePlan, flight: Flight) {
        let answer = self.perform(&plan, &flight).await;
        let answer =
            answer.unwrap_or_else(|(reason, hash)| self.failed(plan.payer(), reason, hash));
        flight.end(answer, plan.once());
    }

    async fn perform(
        &self,
        plan: &SettlePlan,
        flight: &Flight,
    ) -> Result<SettleResponse, (Reason, Option<B256>)> {
        let unsent = |reason| (reason, None);
        // 1. The chain's view of it.
        let answer = self.config.rpc.batch(plan.calls()).await;
        let call = match plan.conclude(&answer).map_err(unsent)? {
            Ready::Send(call) => call,
            Ready::Nothing => return Ok(plan.done_before()),
        };
        // 2. The transaction, in the order of the account.
        let sent = self.send(&call).await.map_err(unsent)?;
        flight.sent(sent.hash);
        // 3. What it did.
        let receipt = self.receipt(&sent).await;
        let settled = plan.check_settled(&receipt, call.before.as_ref());
        settled
            .map(|settled| settled.response)
            .map_err(|reason| (reason, Some(sent.hash)))
    }

    async fn send(&self, call: &SettleCall) -> Result<SignedTransaction, Reason> {
        let mut lane = self.lane.lock().await;
        let asked = [
            RpcCall::account_nonce(self.address(), At::Pending),
            RpcCall::fee_history(),
        ];
        let unread = || Reason::InvalidBatchSettlementEvmRpcReadFailed;
        let results = self.config.rpc.batch(&asked).await;
        let results = results.map_err(|_| unread())?;
        let [Ok(nonce), Ok(history)] = results.as_slice() else {
            return Err(unread());
        };
        let pending = number(nonce).ok_or_else(unread)?;
        // An endpoint that lags may not have seen the last one yet.
        let account_nonce = lane.next.map_or(pending, |next| next.max(pending));
        let fees = Fees::from_history(history, &self.config.fee_ceiling);
        let transaction = Transaction {
            chain_id: self.config.chain_id,
            account_nonce,
            fees: fees.map_err(|_| Reason::UnexpectedSettleError)?,
            gas_limit: call.gas_limit,
            to: Some(call.to),
            value: U256::ZERO,
            input: call.input.clone(),
        };
        let signed = self.config.wallet.sign_transaction(&transaction);
        let sending = [RpcCall::send_raw_transaction(&signed.raw)];
        match self.config.rpc.batch(&sending).await.as_deref() {
            Ok([Ok(_)]) => {
                lane.next = account_nonce.checked_add(1);
                Ok(signed)
            }
            // Refused: nothing is on its way, and the account is where the chain says.
            Ok(_) => {
                lane.next = None;
                Err(Reason::UnexpectedSettleError)
            }
            // It may be on its way: wait for it.
            Err(_) => {
                lane.next = account_nonce.checked_add(1);
                Ok(signed)
            }
        }
    }

    /// Waits for a transaction receipt, and sends the same bytes again now and then.
    async fn receipt(&self, sent: &SignedTransaction) -> Value {
        let mut looks: u32 = 0;
        loop {
            let mut asked = vec![RpcCall::transaction_receipt(sent.hash)];
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(RESEND_EVERY) {
                asked.push(RpcCall::send_raw_transaction(&sent.raw));
            }
            let results = self.config.rpc.batch(&asked).await.unwrap_or_default();
            if let Some(Ok(receipt)) = results.into_iter().next()
                && !receipt.is_null()
            {
                return receipt;
            }
            tokio::time::sleep(self.config.poll).await;
        }
    }

    fn rules<'a>(&'a self, own: &'a [Address]) -> Rules<'a> {
        Rules {
            now: (self.config.clock)(),
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
        if terms.network != self.network {
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
        SettleResponse::failed(&self.network, payer, reason, transaction)
    }
}

/// How many looks for a receipt lie between two sends of the same transaction: an endpoint may have
/// dropped it.
const RESEND_EVERY: u32 = 64;

fn number(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok()
}
