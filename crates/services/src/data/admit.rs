//! What is taken.

use seamline_core::canonical::{ChatRequest, CompletionRequest, output_hash, output_preimage};
use seamline_core::infer::{InferRequest, Outputs, outputs_preimage};
use seamline_core::json;
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
    /// The payment already paid for as many answers as one may.
    #[error("the payment of the data has put as many answers on record as one may")]
    TooMany,
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
            let said = known.words().map_err(Error::Store)?.contains(data);
            if said || matches!(known.state, State::Ready | State::Taken { .. }) {
                return Ok(status::of_item(core, id, &known).await?);
            }
        }
        let now_s = core.now_s();
        // 2. What needs nobody else.
        check_time(&data.inference, now_s)?;
        if core.config.payments.is_some() && data.payment.is_none() {
            return Err(Refusal::NoPayment.into());
        }
        // 3. The registered key.
        let config = &core.config;
        let node = data.inference.node;
        let found = core.nodes.find(config.rpc.as_ref(), config.registry, node);
        let key = found.await.map_err(Error::from)?;
        let key = key.ok_or(Refusal::UnknownNode)?;
        // 4. Its signature, then what it signed: megabytes that a stranger could send are not read.
        let (verify, strict) = (config.verify, config.payments.is_some());
        let (inference, content) = (data.inference.clone(), data.content.clone());
        // Long enough to be kept from the async threads.
        let checked = tokio::task::spawn_blocking(move || {
            let message = inference.message_hash();
            if !verify(&key.public_key, &message, &inference.signature) {
                return Err(Refusal::Signature);
            }
            let content = content.as_ref();
            content.map_or(Ok(()), |it| check_content(&inference, it, strict))?;
            Ok(key.pay_to)
        });
        let pay_to = checked.await.unwrap_or(Err(Refusal::Signature))?;
        // 5. Remembered; its payment is looked at by the worker.
        let state = if config.payments.is_some() {
            State::Waiting
        } else {
            State::Ready
        };
        let item = Item::new(data, now_s, state, pay_to);
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

/// How much longer than what its hash covers a text may be that is published: spelling, ids, usage.
const UNSIGNED: usize = 8 * 1024;

/// As [`check_content`], of a request for an inference: the outputs, however they are spelled, are those
/// that were signed.
fn check_infer(
    inference: &SignedInference,
    request: &InferRequest,
    content: &Content,
    strict: bool,
) -> Result<(), Refusal> {
    let longest = request.canonical_bytes().len().saturating_add(UNSIGNED);
    let too_long = strict && content.input.len() > longest;
    if too_long || request.input_hash() != inference.input_hash {
        return Err(Refusal::Input);
    }
    let answer = json::parse(content.output.as_bytes()).map_err(|_| Refusal::Output)?;
    let outputs = answer.get("outputs").map(Outputs::from_value);
    let preimage = outputs.and_then(|outputs| outputs_preimage(&outputs.ok()?).ok());
    let preimage = preimage.ok_or(Refusal::Output)?;
    let longest = preimage.len().saturating_mul(6).saturating_add(UNSIGNED);
    let held = output_hash(&preimage) == inference.output_hash;
    if held && !(strict && content.output.len() > longest) {
        Ok(())
    } else {
        Err(Refusal::Output)
    }
}

/// Holds what will be published against what was signed: whoever hands it over could write anything there.
///
/// Where `strict`, everything must be held against a hash, and what no hash covers is bounded. Where only
/// enclaves reach the desk it is not: OpenGradient's hand over the last frame of a stream, which has no
/// text.
pub(super) fn check_content(
    inference: &SignedInference,
    content: &Content,
    strict: bool,
) -> Result<(), Refusal> {
    let input = content.input.as_bytes();
    if let Ok(infer) = InferRequest::parse(input) {
        return check_infer(inference, &infer, content, strict);
    }
    let chat = ChatRequest::parse(input).map(|it| (it.input_hash(), it.canonical_bytes().len()));
    let completion =
        CompletionRequest::parse(input).map(|it| (it.input_hash(), it.canonical_bytes().len()));
    let signed = [chat.ok(), completion.ok()].into_iter().flatten();
    let signed = signed.filter(|(hash, _)| *hash == inference.input_hash);
    let covered = signed.map(|(_, bytes)| bytes).max();
    let covered = covered.ok_or(Refusal::Input)?;
    if strict && input.len() > covered.saturating_add(UNSIGNED) {
        return Err(Refusal::Input);
    }
    let output = json::parse(content.output.as_bytes()).map_err(|_| Refusal::Output)?;
    let choice = output.get("choices").and_then(|choices| choices.at(0));
    let message = choice.is_some_and(|choice| choice.get("message").is_some());
    let text = choice.and_then(|choice| choice.get("text")?.as_str());
    let preimage = match (choice, text) {
        // Which of them is shown is the reader's choice.
        (_, Some(_)) if message => return Err(Refusal::Output),
        (_, Some(text)) => Some(text.to_owned()),
        (Some(choice), None) if message => output_preimage(choice),
        (Some(_) | None, None) if strict => None,
        (Some(_) | None, None) => return Ok(()),
    };
    let preimage = preimage.ok_or(Refusal::Output)?;
    // A byte is six at most, as a JSON escape.
    let longest = preimage.len().saturating_mul(6).saturating_add(UNSIGNED);
    let held = output_hash(&preimage) == inference.output_hash;
    if held && !(strict && content.output.len() > longest) {
        Ok(())
    } else {
        Err(Refusal::Output)
    }
}
