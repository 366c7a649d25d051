//! What is taken.

use seamline_core::canonical::{ChatRequest, CompletionRequest, output_hash, output_preimage};
use seamline_core::{B256, json};
use seamline_evm::settlement::{
    Content, INDIVIDUAL_MAX_AGE_S, SettlementData, SettlementJob, SignedInference,
};

use super::book::{self, Item, State};
use super::{DataDesk, Error, status};

/// Why data is refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It names no payment.
    #[error("the data names no payment")]
    NoPayment,
    /// The payment moved no money.
    #[error("the payment of the data was not settled")]
    NotPaid,
    /// The payment went to somebody else than the node.
    #[error("the payment of the data went to another account than the node's")]
    OtherPayee,
    /// Somebody else paid.
    #[error("`eth_address` is not who paid")]
    OtherPayer,
    /// `input` is not what was hashed.
    #[error("`input` does not have the hash that the enclave signed")]
    Input,
    /// `output` is not what was hashed.
    #[error("`output` does not have the hash that the enclave signed")]
    Output,
    /// The signature does not verify.
    #[error("the enclave's signature does not verify")]
    Signature,
    /// The enclave signed it too long ago, or has not signed it yet.
    #[error("`tee_timestamp` is not of the last hour")]
    Time,
    /// The registry does not have the node, or has it disabled.
    #[error("the registry has no such enabled node")]
    UnknownNode,
}

/// What an answer to [`DataDesk::settle`] may be instead of a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Failed(#[from] Error),
}

/// How far an enclave's clock may run ahead, seconds: the contract's tolerance.
const AHEAD_S: u64 = 300;

impl DataDesk {
    /// Takes data, durably; returns its job. The same data again has the same job.
    pub(super) async fn settle(&self, data: &SettlementData) -> Result<SettlementJob, NotTaken> {
        let core = &self.0.core;
        let id = data.inference.id();
        // 1. What is known is not checked again: its node may be gone meanwhile.
        if let Some(known) = core.item(id).await? {
            return Ok(status::of_item(core, id, &known).await?);
        }
        let now_s = core.now_s();
        // 2. What needs nobody else.
        check_time(&data.inference, now_s)?;
        if core.config.payments.is_some() && data.payment.is_none() {
            return Err(Refusal::NoPayment.into());
        }
        if let Some(content) = &data.content {
            check_content(&data.inference, content)?;
        }
        // 3. The registered key.
        let config = &core.config;
        let node = data.inference.node;
        let found = core.nodes.find(config.rpc.as_ref(), config.registry, node);
        let key = found.await.map_err(Error::Chain)?;
        let key = key.ok_or(Refusal::UnknownNode)?;
        let message = data.inference.message_hash();
        let (verify, spki) = (config.verify, key.public_key.clone());
        let signature = data.inference.signature.clone();
        // Long enough to be kept from the async threads.
        let verified =
            tokio::task::spawn_blocking(move || verify(&spki, &message, &signature)).await;
        if !verified.unwrap_or(false) {
            return Err(Refusal::Signature.into());
        }
        // 4. Remembered; its payment is looked at by the worker.
        let state = if config.payments.is_some() {
            State::Waiting
        } else {
            State::Ready
        };
        let item = Item::new(data, now_s, state, key.pay_to);
        let admitted = item.clone();
        let known = core.book(move |book| book::admit(book, id, &admitted));
        let known = known.await?;
        core.news.notify_one();
        Ok(status::of_item(core, id, known.as_ref().unwrap_or(&item)).await?)
    }
}

const fn check_time(inference: &SignedInference, now_s: u64) -> Result<(), Refusal> {
    let signed_s = inference.timestamp;
    let ahead = signed_s.saturating_sub(now_s);
    let age = now_s.saturating_sub(signed_s);
    if ahead > AHEAD_S || age > INDIVIDUAL_MAX_AGE_S {
        return Err(Refusal::Time);
    }
    Ok(())
}

/// Holds what will be published against what was signed: whoever hands it over could write anything
/// there. The answer of a stream is its last frame, which has no text: nothing can be held against it.
pub(super) fn check_content(inference: &SignedInference, content: &Content) -> Result<(), Refusal> {
    let input = content.input.as_bytes();
    let chat = ChatRequest::parse(input).map(|request| request.input_hash());
    let completion = CompletionRequest::parse(input).map(|request| request.input_hash());
    let hashes: [Option<B256>; 2] = [chat.ok(), completion.ok()];
    if !hashes.contains(&Some(inference.input_hash)) {
        return Err(Refusal::Input);
    }
    let output = json::parse(content.output.as_bytes()).map_err(|_| Refusal::Output)?;
    let choice = output.get("choices").and_then(|choices| choices.at(0));
    let Some(choice) = choice else {
        return Ok(());
    };
    let text = choice
        .get("text")
        .and_then(json::Value::as_str)
        .map(ToOwned::to_owned);
    let is_whole = choice.get("message").is_some() || text.is_some();
    if !is_whole {
        return Ok(());
    }
    let preimage = text.or_else(|| output_preimage(choice));
    if preimage.is_some_and(|preimage| output_hash(&preimage) == inference.output_hash) {
        Ok(())
    } else {
        Err(Refusal::Output)
    }
}
