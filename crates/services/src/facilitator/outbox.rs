//! Sends transactions in the order of the account, those that wait together in one batch.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::B256;
use seamline_evm::{Rpc, RpcCall, RpcError};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::classify::classify;
use super::keeper::Mail;
use super::settlement::Reply;

/// A transaction to send.
pub(super) struct Outgoing {
    /// Whose it is.
    pub(super) key: B256,
    pub(super) transaction: B256,
    pub(super) account_nonce: u64,
    /// The signed bytes, hexadecimal.
    pub(super) raw: String,
}

/// Transactions of one batch.
const MAX_BATCH: usize = 32;
/// An endpoint that takes longer has not answered; the bytes are sent again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends until nobody hands in any more; replies go to the keeper.
pub(super) async fn run(
    rpc: Arc<dyn Rpc>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    replies: mpsc::UnboundedSender<Mail>,
) {
    let mut waiting = Vec::with_capacity(MAX_BATCH);
    while queue.recv_many(&mut waiting, MAX_BATCH).await > 0 {
        // Endpoints queue a transaction behind a gap, or refuse it: send without gaps.
        waiting.sort_by_key(|outgoing| outgoing.account_nonce);
        for (outgoing, reply) in send(rpc.as_ref(), &waiting).await {
            let mail = Mail::Offered {
                key: outgoing.key,
                transaction: outgoing.transaction,
                reply,
            };
            if replies.send(mail).is_err() {
                return;
            }
        }
        waiting.clear();
    }
}

async fn send<'a>(rpc: &dyn Rpc, waiting: &'a [Outgoing]) -> Vec<(&'a Outgoing, Reply)> {
    let mut sent = Vec::new();
    let mut calls = Vec::new();
    for outgoing in waiting {
        // Written by ourselves as hexadecimal; what is not can be nowhere on the chain.
        match hex::decode(&outgoing.raw) {
            Ok(raw) => {
                calls.push(RpcCall::send_raw_transaction(&raw));
                sent.push(outgoing);
            }
            Err(_) => tracing::error!("a remembered transaction is not hexadecimal"),
        }
    }
    let answer = timeout(PATIENCE, rpc.batch(&calls)).await;
    let results = match answer {
        Ok(Ok(results)) if results.len() == calls.len() => results,
        // No clear answer: then they may have been taken.
        Ok(Ok(_) | Err(_)) | Err(_) => {
            return sent.into_iter().map(|it| (it, Reply::Later)).collect();
        }
    };
    let mut replies = Vec::with_capacity(sent.len());
    for (outgoing, result) in sent.into_iter().zip(results) {
        let reply = match result {
            Ok(_) => Reply::Taken,
            Err(error) => refusal(rpc, outgoing, &error).await,
        };
        replies.push((outgoing, reply));
    }
    replies
}

async fn refusal(rpc: &dyn Rpc, outgoing: &Outgoing, error: &RpcError) -> Reply {
    let transaction = outgoing.transaction;
    let reply = match classify(error) {
        Some(reply) => reply,
        None => match rpc
            .batch(&[RpcCall::transaction(transaction)])
            .await
            .as_deref()
        {
            Ok([Ok(Value::Null)]) => Reply::Refused,
            Ok([Ok(_)]) => Reply::Taken,
            Ok(_) | Err(_) => Reply::Later,
        },
    };
    match reply {
        Reply::Taken => {}
        Reply::NoFunds => {
            tracing::error!(%error, %transaction, "the settling account cannot pay for gas");
        }
        Reply::NonceTaken | Reply::Later | Reply::Underpriced | Reply::Refused => {
            tracing::warn!(%error, %transaction, "a transaction was not taken");
        }
    }
    reply
}
