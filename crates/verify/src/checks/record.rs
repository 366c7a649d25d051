//! Check 17: what is said about the answer's record on a chain, and the proof that a batch holds it.

use seamline_core::receipt::{
    EventKind, RecordMode as Mode, RecordSeen, RecordStage as Stage, SignatureChecked,
};
use seamline_core::{B256, SourceClass, U256};
use seamline_evm::merkle::{self, Leaf};
use seamline_evm::settlement::InclusionProof;

use crate::case::{At, Case, Last};
use crate::claim::{Claim, Outcome};

/// A word about the record, and where it stands: within the call, or after it.
struct Word {
    index: Option<usize>,
    seen: RecordSeen,
}

pub(super) fn check(case: &mut Case<'_>) {
    let shown = case.events::<RecordSeen>().into_iter();
    let shown = shown.map(|(index, _, seen)| Word {
        index: Some(index),
        seen: seen.clone(),
    });
    let later = case.recorded.iter().map(|seen| Word {
        index: None,
        seen: seen.clone(),
    });
    let words: Vec<Word> = shown.chain(later).collect();
    let gaps = case.hides(EventKind::RecordSeen);
    if gaps {
        let detail = "an event about the record is hidden";
        case.open(Claim::RecordStates, Outcome::Redacted, (), detail);
    }
    let Some(last) = words.last() else { return };
    case.recomputed(Claim::RecordStates, (), states(&words, gaps).err());
    for word in &words {
        inclusion(case, word);
    }
    on_chain(case, last);
}

fn at(word: &Word) -> At {
    word.index.map_or_else(|| At::from(()), At::from)
}

/// Whether each word is whole, and follows from the ones before it. Between two that are shown may stand
/// one that is hidden: then nothing is said about their order.
fn states(words: &[Word], gaps: bool) -> Result<(), String> {
    let mut before: Option<&RecordSeen> = None;
    for Word { seen, .. } in words {
        whole(seen)?;
        if let Some(before) = before.filter(|_| !gaps) {
            follows(before, seen)?;
        }
        before = Some(seen);
    }
    Ok(())
}

/// What each stage says, and what it leaves open (`spec/receipt.md`, "Record").
fn whole(seen: &RecordSeen) -> Result<(), String> {
    let RecordSeen {
        stage,
        mode,
        via: _,
        chain_id,
        contract,
        root,
        siblings,
        transaction,
        block_number,
        block_hash,
        blob,
        job,
    } = seen;
    let place = chain_id.is_some() && contract.is_some();
    let placed = chain_id.is_some() || contract.is_some();
    let block = block_number.is_some() && block_hash.is_some();
    let blocked = block_number.is_some() || block_hash.is_some();
    let path = root.is_some() && siblings.is_some();
    let pathed = root.is_some() || siblings.is_some();
    let named = transaction.is_some() || blob.is_some() || job.is_some();
    let batch = *mode == Mode::Batch;
    let fits = match stage {
        _ if *mode == Mode::Private => !(placed || blocked || pathed || named),
        Stage::Asked => !(placed || blocked || pathed || named),
        Stage::Named | Stage::Failed => !(placed || blocked || pathed),
        Stage::Included => batch && place && path && !blocked && transaction.is_none(),
        Stage::Recorded => {
            place && block && transaction.is_some() && path == batch && pathed == batch
        }
        Stage::Missing => place && !blocked && !pathed,
    };
    let known = !matches!(stage, Stage::Included | Stage::Recorded | Stage::Missing);
    if fits && (*mode != Mode::Private || known) {
        return Ok(());
    }
    let (stage, mode) = (stage.as_str(), mode.as_str());
    Err(format!(
        "a {mode} record that is {stage} says too little or too much"
    ))
}

fn follows(before: &RecordSeen, seen: &RecordSeen) -> Result<(), String> {
    let (from, to) = (before.stage, seen.stage);
    let legal = match from {
        Stage::Asked | Stage::Named | Stage::Failed | Stage::Missing => to != Stage::Asked,
        Stage::Included => matches!(to, Stage::Included | Stage::Recorded | Stage::Missing),
        // A fork may take a record away; then the recorder looks again.
        Stage::Recorded => matches!(to, Stage::Recorded | Stage::Missing),
    };
    if !legal || before.mode != seen.mode {
        return Err(format!("it goes from {} to {}", from.as_str(), to.as_str()));
    }
    let held = matches!(from, Stage::Included | Stage::Recorded);
    let holds = matches!(to, Stage::Included | Stage::Recorded);
    if held && holds && (before.root, before.chain_id) != (seen.root, seen.chain_id) {
        return Err("it names another batch".to_owned());
    }
    let same = (from, to) == (Stage::Recorded, Stage::Recorded);
    if same && before.transaction != seen.transaction {
        return Err("it names another transaction".to_owned());
    }
    Ok(())
}

/// Whether the siblings lead from this very answer to the root.
fn inclusion(case: &mut Case<'_>, word: &Word) {
    let claim = Claim::RecordInclusion;
    let (Some(root), Some(siblings)) = (word.seen.root, &word.seen.siblings) else {
        return;
    };
    let before = word.index.unwrap_or(case.slots.len());
    let leaf = match case.last_before::<SignatureChecked>(before, |it| it.ok) {
        Last::Shown(signed) => leaf(signed),
        Last::Hidden => {
            let detail = "the signature event is hidden, of which the leaf is made";
            return case.open(claim, Outcome::Redacted, at(word), detail);
        }
        Last::Never => return case.fail(claim, at(word), "there is no signed answer"),
    };
    let wrong = match path(siblings) {
        None => Some("the siblings are no proof"),
        Some(path) if !merkle::verify(&leaf, &path, &root) => {
            Some("the siblings do not lead from the answer to the root")
        }
        Some(_) => None,
    };
    case.recomputed(claim, at(word), wrong);
}

/// The leaf of the answer (`spec/settlement.md`, "Batch tree").
fn leaf(signed: &SignatureChecked) -> B256 {
    let leaf = Leaf {
        tee_id: *signed.node.as_b256(),
        input_hash: signed.input_hash,
        output_hash: signed.output_hash,
        signature: signed.signature.clone().into(),
        timestamp: U256::from(signed.timestamp_s),
    };
    leaf.hash()
}

fn path(siblings: &[u8]) -> Option<Vec<B256>> {
    let (path, rest) = siblings.as_chunks::<32>();
    let fits = rest.is_empty() && path.len() <= InclusionProof::MAX_SIBLINGS;
    fits.then(|| path.iter().map(|it| B256::from(*it)).collect())
}

/// What is known about the chain, after the last word: never a success, offline.
fn on_chain(case: &mut Case<'_>, last: &Word) {
    let claim = Claim::RecordOnChain;
    let seen = &last.seen;
    let (outcome, detail) = match seen.stage {
        Stage::Recorded => {
            let number = seen.block_number.unwrap_or_default();
            let detail = format!("the recorder read it at block {number}; ask the chain");
            (Outcome::UncheckedOffline, detail)
        }
        Stage::Included => {
            let detail = "a batch holds the answer; nobody has read its root on the chain";
            (Outcome::Absent, detail.to_owned())
        }
        Stage::Asked => {
            let detail = format!("a {} record was asked for", seen.mode.as_str());
            (Outcome::Absent, detail)
        }
        Stage::Named => {
            let detail = "asserted: it is the word of the node, which nobody has checked";
            (Outcome::Absent, detail.to_owned())
        }
        Stage::Missing => {
            let detail = "the recorder asked the chain, which has no such record of the answer";
            (Outcome::Absent, detail.to_owned())
        }
        Stage::Failed => (Outcome::Absent, "the node says that it failed".to_owned()),
    };
    let source = if seen.stage == Stage::Named {
        SourceClass::Asserted
    } else {
        SourceClass::NotChecked
    };
    case.add(claim, source, outcome, at(last), detail);
}
