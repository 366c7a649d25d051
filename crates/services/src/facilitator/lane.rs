use std::sync::Arc;

use seamline_core::U256;
use seamline_evm::facilitator::{SETTLE_GAS, SettlePlan};
use seamline_evm::rpc::At;
use seamline_evm::tx::{FeeCeiling, Fees, SignedTransaction, Transaction};
use seamline_evm::{Rpc, RpcCall, RpcError, Wallet};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::record::Sent;

/// The one sequence of transactions of the settling account.
///
/// An account nonce is taken, signed, remembered and sent under the lock; the transaction is
/// waited for outside it, so settlements overlap.
pub(super) struct Lane {
    wallet: Wallet,
    rpc: Arc<dyn Rpc>,
    chain_id: u64,
    ceiling: FeeCeiling,
    /// The account nonce after the highest one that this process knows to be taken.
    next: Mutex<u64>,
}

/// The lane, held: whoever has it signs next.
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    next: MutexGuard<'a, u64>,
}

/// What became of a broadcast.
pub(super) enum Broadcast {
    /// The endpoint has the transaction, or may have it.
    Sent,
    /// The endpoint refused it and does not know it: it is nowhere.
    Refused(RpcError),
}

impl Lane {
    pub(super) fn new(
        wallet: Wallet,
        rpc: Arc<dyn Rpc>,
        chain_id: u64,
        ceiling: FeeCeiling,
    ) -> Self {
        Self {
            wallet,
            rpc,
            chain_id,
            ceiling,
            next: Mutex::new(0),
        }
    }

    /// Waits for the lane.
    pub(super) async fn turn(&self) -> Turn<'_> {
        Turn {
            lane: self,
            next: self.next.lock().await,
        }
    }
}

impl Turn<'_> {
    /// Signs the transaction of `plan` with the next account nonce; nothing is taken yet.
    pub(super) async fn sign(&self, plan: &SettlePlan) -> Result<Sent, seamline_evm::Error> {
        let calls = [
            RpcCall::account_nonce(self.lane.wallet.address(), At::Pending),
            RpcCall::fee_history(),
        ];
        let results = self.lane.rpc.batch(&calls).await?;
        let [count, history] = results.as_slice() else {
            return Err(seamline_evm::Error::BatchLength {
                sent: calls.len(),
                received: results.len(),
            });
        };
        let count = account_nonce(count).ok_or(seamline_evm::Error::Answer("an account nonce"))?;
        let account_nonce = count.max(*self.next);
        let fees = Fees::from_history(read(history)?, &self.lane.ceiling)?;
        let SignedTransaction { raw, hash } = self.lane.wallet.sign_transaction(&Transaction {
            chain_id: self.lane.chain_id,
            account_nonce,
            fees,
            gas_limit: SETTLE_GAS,
            to: Some(plan.contract()),
            value: U256::ZERO,
            input: plan.calldata(),
        });
        Ok(Sent {
            raw: hex::encode_prefixed(&raw),
            transaction: hash,
            account_nonce,
        })
    }

    /// Takes the account nonce of `sent` and sends it. Only a refusal gives the nonce back.
    pub(super) async fn send(&mut self, sent: &Sent) -> Broadcast {
        let before = *self.next;
        self.taken(sent);
        let outcome = broadcast(self.lane.rpc.as_ref(), sent).await;
        if matches!(outcome, Broadcast::Refused(_)) {
            *self.next = before;
        }
        outcome
    }

    /// Marks the account nonce of a remembered transaction as taken.
    pub(super) fn taken(&mut self, sent: &Sent) {
        *self.next = sent.account_nonce.saturating_add(1).max(*self.next);
    }
}

/// Sends, or sends again, the same bytes.
pub(super) async fn broadcast(rpc: &dyn Rpc, sent: &Sent) -> Broadcast {
    let Ok(raw) = hex::decode(&sent.raw) else {
        // Written by ourselves as hexadecimal; a record that is not is nowhere on the chain.
        return Broadcast::Refused(refusal("the remembered transaction is not hexadecimal"));
    };
    let calls = [RpcCall::send_raw_transaction(&raw)];
    let answer = rpc.batch(&calls).await;
    match answer.as_deref() {
        Ok([Err(error)]) if !already_known(error) && nowhere(rpc, sent).await => {
            Broadcast::Refused(error.clone())
        }
        // Taken, known already, or no clear answer: then it may have been taken.
        Ok(_) | Err(_) => Broadcast::Sent,
    }
}

/// Whether the endpoint says that it does not know a transaction. An error of the send alone does not
/// say it: endpoints fail after they have passed a transaction on, too.
async fn nowhere(rpc: &dyn Rpc, sent: &Sent) -> bool {
    let answer = rpc.batch(&[RpcCall::transaction(sent.transaction)]).await;
    matches!(answer.as_deref(), Ok([Ok(Value::Null)]))
}

/// Whether a refusal says that another transaction has taken the account nonce.
pub(super) fn nonce_taken(error: &RpcError) -> bool {
    error.message.to_ascii_lowercase().contains("nonce too low")
}

/// Endpoints say in words that they have a transaction already; there is no code for it.
fn already_known(error: &RpcError) -> bool {
    let text = error.message.to_ascii_lowercase();
    ["already known", "already imported", "known transaction"]
        .iter()
        .any(|words| text.contains(words))
}

/// Reads the answer to `eth_getTransactionCount`.
pub(super) fn account_nonce(result: &Result<Value, RpcError>) -> Option<u64> {
    let digits = result.as_ref().ok()?.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok()
}

fn refusal(message: &str) -> RpcError {
    RpcError {
        code: 0,
        message: message.to_owned(),
        data: None,
    }
}

fn read(result: &Result<Value, RpcError>) -> Result<&Value, seamline_evm::Error> {
    result
        .as_ref()
        .map_err(|error| seamline_evm::Error::Call(error.clone()))
}
