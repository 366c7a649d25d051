//! The answers' records on a chain, as they become known after a receipt was sealed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seamline_core::receipt::log::Body;
use seamline_core::receipt::{
    self, Bundle, RecordMode, RecordSeen, RecordStage, Recorded, SealingKey, SignatureChecked,
    Word, events_of,
};
use seamline_core::{Address, B256, Timestamp};
use seamline_evm::settlement::{
    InclusionProof, ProofError, SignedInference, Standing, Witnessed, individual, witness,
};
use seamline_evm::{Rpc, chain};

use crate::amendments;
use crate::books::Books;
use crate::config::Home;
use crate::error::ErrorKind;
use crate::journal::{CallRecord, JournalError, NamedRecord};

/// Why a proven inclusion is not written to a receipt. Nothing was written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IncludeError {
    /// The file is no receipt.
    #[error("the receipt cannot be read")]
    Receipt(#[source] receipt::Error),
    /// It shows no signed answer: there was none, or it is hidden.
    #[error("the receipt shows no signed answer")]
    Unsigned,
    /// The proof is about another answer.
    #[error("the proof is about another answer")]
    OtherAnswer,
    /// The proof proves nothing.
    #[error("the proof does not prove the answer")]
    Proof(#[from] ProofError),
    /// The call asked for a record of its own, and a batch is none.
    #[error("the call asked for a record of its own, not for a batch")]
    Individual,
    /// The receipt is not of this installation, which alone can amend it.
    #[error("the receipt is not one of this installation's")]
    Stranger,
    /// The chain is said to have the answer in another batch already.
    #[error("the receipt has the answer in another batch")]
    OtherBatch,
    /// The journal is in use, or damaged.
    #[error("the journal cannot be written")]
    Journal(#[from] JournalError),
    /// The amendment's file was not written; the log has it, and the next recovery writes it.
    #[error("the amendment was not written beside the receipt")]
    Write(#[source] Box<crate::error::ErrorKind>),
}

/// Writes down, as a signed amendment beside its receipt, that a batch holds the answer of a sealed call:
/// *recorded* where [`InclusionProof::settled`] says in which block the root is, else *included*. Returns the
/// folder's file, or `None` where the receipt says as much already.
///
/// `receipt` is the file of the receipt, with its signature shown. Of the proof everything is checked but
/// [`InclusionProof::settled`]: the caller has read that from a chain, or sets it to `None`.
///
/// # Errors
///
/// [`IncludeError`]. [`JournalError::InUse`] while another process, such as `seamline serve`, has this home
/// open: ask again when it is gone.
pub fn include(
    home: &Home,
    recorder: &SealingKey,
    receipt: &[u8],
    proof: &InclusionProof,
    now: Timestamp,
) -> Result<Option<PathBuf>, IncludeError> {
    let bundle = Bundle::decode(receipt).map_err(IncludeError::Receipt)?;
    // 1. The proof is about this very answer, and proves it.
    if signed(&bundle).ok_or(IncludeError::Unsigned)? != proof.inference {
        return Err(IncludeError::OtherAnswer);
    }
    proof.check(proof.settled.as_ref().map(|it| it.root))?;
    // 2. The receipt is of these books.
    let books = Books::open(&home.journal)?;
    let calls = books.journal.calls()?;
    let hash = bundle.receipt_hash();
    let call = calls.into_iter().find(|call| call.receipt == Some(hash));
    let call = call.ok_or(IncludeError::Stranger)?;
    // 3. It follows from what is known.
    let seen = included(proof);
    match last_word(&books, &bundle, &call)? {
        Some(last) if last.mode == RecordMode::Individual => return Err(IncludeError::Individual),
        Some(last) if holds(&last) => {
            if (last.root, last.chain_id) != (seen.root, seen.chain_id) {
                return Err(IncludeError::OtherBatch);
            }
            if last.stage == seen.stage || last.stage == RecordStage::Recorded {
                return Ok(None);
            }
        }
        Some(_) | None => {}
    }
    // 4. Into the log, then beside the receipt.
    amend(&books, &call, seen, now)?;
    let written = amendments::export(&books, recorder, &home.receipts);
    let written = written.map_err(|err| IncludeError::Write(Box::new(err)))?;
    Ok(written.into_iter().next_back())
}

fn included(proof: &InclusionProof) -> RecordSeen {
    let siblings: Vec<u8> = proof.proof.iter().flat_map(|it| it.0).collect();
    let seen = RecordSeen {
        chain_id: Some(proof.chain_id),
        contract: Some(proof.contract),
        root: Some(proof.root),
        siblings: Some(siblings),
        ..at_stage(RecordStage::Included, RecordMode::Batch, "proof")
    };
    match &proof.settled {
        None => seen,
        Some(found) => RecordSeen {
            stage: RecordStage::Recorded,
            via: Word::new("chain"),
            transaction: Some(found.transaction),
            block_number: Some(found.block_number),
            block_hash: Some(found.block_hash),
            blob: Some(Word::new(&found.blob_text())),
            ..seen
        },
    }
}

const fn holds(seen: &RecordSeen) -> bool {
    matches!(seen.stage, RecordStage::Included | RecordStage::Recorded)
}

/// The answer that a receipt shows, as its enclave signed it.
fn signed(bundle: &Bundle) -> Option<SignedInference> {
    let slots = bundle.slots();
    let mut checked = events_of::<SignatureChecked>(&slots);
    let (_, _, signed) = checked.rfind(|(_, _, it)| it.ok)?;
    Some(SignedInference {
        node: signed.node,
        input_hash: signed.input_hash,
        output_hash: signed.output_hash,
        signature: signed.signature.clone().into(),
        timestamp: signed.timestamp_s,
    })
}

/// What is known of the record so far: the last amendment's word, else the receipt's.
fn last_word(
    books: &Books,
    bundle: &Bundle,
    call: &CallRecord,
) -> Result<Option<RecordSeen>, JournalError> {
    let amended = books.journal.amendments()?.into_iter().rev();
    let mut late = amended.filter_map(|entry| match entry.body {
        Body::Amend { seq, event, .. } if seq == call.seq => {
            event.event.get::<RecordSeen>().cloned()
        }
        Body::Amend { .. } | Body::Open { .. } | Body::Close { .. } => None,
    });
    if let Some(seen) = late.next() {
        return Ok(Some(seen));
    }
    let slots = bundle.slots();
    let last = events_of::<RecordSeen>(&slots).next_back();
    Ok(last.map(|(_, _, seen)| seen.clone()))
}

fn amend(
    books: &Books,
    call: &CallRecord,
    seen: RecordSeen,
    now: Timestamp,
) -> Result<(), JournalError> {
    let Some(receipt) = call.receipt else {
        return Ok(());
    };
    let waited_ms = now.as_millis().saturating_sub(call.opened_ms);
    let event = Recorded {
        dt_us: waited_ms.saturating_mul(1_000),
        event: seen.into(),
    };
    books
        .journal
        .amend_call(call, now.as_millis(), receipt, event)
}

/// How long a record is looked for: an enclave's signature is recorded within the hour, or never.
const WATCHED_MS: u64 = 24 * 60 * 60 * 1_000;

/// Most blocks of one question for logs: what public endpoints allow.
const SPAN: u64 = 1_000;
/// Questions for one record: an hour of a chain with a block each second.
const SPANS: u32 = 4;

/// Looks for the records of their own that answers of sealed calls were to get, and amends those calls: the
/// transaction that the node named, or the contract's log where it named none. At most five RPC calls each;
/// what is not there yet is looked for the next time, for a day.
pub(crate) async fn observe(
    books: &Books,
    folder: &Path,
    rpc: &Arc<dyn Rpc>,
    chain_id: u64,
    contract: Address,
    now: Timestamp,
) -> Result<(), ErrorKind> {
    let _alone = books.recovering.lock().await;
    let calls = books.journal.calls().map_err(ErrorKind::Journal)?;
    for mut call in calls {
        let young = now.as_millis().saturating_sub(call.opened_ms) < WATCHED_MS;
        let open = call.named_record.filter(|it| !it.known && young);
        let (Some(named), Some(_)) = (open, call.receipt) else {
            continue;
        };
        // The leaf's members are in the receipt; one that was moved away is not amended.
        let path = folder.join(format!("{}.seam", call.call_id));
        let bundle = std::fs::read(path).ok();
        let bundle = bundle.and_then(|bytes| Bundle::decode(&bytes).ok());
        let Some(bundle) = bundle else { continue };
        let Some(inference) = signed(&bundle) else {
            continue;
        };
        let last = last_word(books, &bundle, &call).map_err(ErrorKind::Journal)?;
        let Some(last) = last else { continue };
        let found = look(&**rpc, contract, &named, &inference).await;
        let Some((transaction, said)) = found.map_err(ErrorKind::Chain)? else {
            continue;
        };
        let seen = RecordSeen {
            transaction: Some(transaction),
            ..place(&last, chain_id, contract, said)
        };
        if let Some(named) = &mut call.named_record {
            named.known = true;
        }
        amend(books, &call, seen, now).map_err(ErrorKind::Journal)?;
    }
    Ok(())
}

/// The transaction of a record and what it says; `None` where the chain has nothing yet.
async fn look(
    rpc: &dyn Rpc,
    contract: Address,
    named: &NamedRecord,
    inference: &SignedInference,
) -> Result<Option<(B256, Witnessed)>, seamline_evm::Error> {
    if let Some(transaction) = named.transaction {
        let said = witness(rpc, contract, transaction, inference).await?;
        return Ok((said != Witnessed::Absent).then_some((transaction, said)));
    }
    let newest = chain::newest_block(rpc).await?.number;
    let (mut first, mut found) = (named.from_block, None);
    for _ in 0..SPANS {
        let last = newest.min(first.saturating_add(SPAN.saturating_sub(1)));
        if found.is_none() && first <= last {
            found = individual(rpc, contract, inference, first, last).await?;
        }
        first = last.saturating_add(1);
    }
    let Some(Standing::Mined {
        transaction,
        block_number,
        block_hash,
        ..
    }) = found
    else {
        return Ok(None);
    };
    let said = Witnessed::Recorded {
        block_number,
        block_hash,
    };
    Ok(Some((transaction, said)))
}

/// What the chain says of a record that was named.
pub(crate) fn place(
    named: &RecordSeen,
    chain_id: u64,
    contract: Address,
    said: Witnessed,
) -> RecordSeen {
    let seen = RecordSeen {
        stage: RecordStage::Missing,
        via: Word::new("chain"),
        chain_id: Some(chain_id),
        contract: Some(contract),
        ..named.clone()
    };
    match said {
        Witnessed::Recorded {
            block_number,
            block_hash,
        } => RecordSeen {
            stage: RecordStage::Recorded,
            block_number: Some(block_number),
            block_hash: Some(block_hash),
            ..seen
        },
        Witnessed::Absent | Witnessed::Other => seen,
    }
}

/// A word that says how much is known, and nothing else.
pub(crate) fn at_stage(stage: RecordStage, mode: RecordMode, via: &str) -> RecordSeen {
    RecordSeen {
        stage,
        mode,
        via: Word::new(via),
        chain_id: None,
        contract: None,
        root: None,
        siblings: None,
        transaction: None,
        block_number: None,
        block_hash: None,
        blob: None,
        job: None,
    }
}
