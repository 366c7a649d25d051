//! Checks 15 and 16: the enclave's signature over request and answer.

use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::{ChatRequest, message_hash, output_hash};
use seamline_core::receipt::{
    Closed, EventKind, EvidenceType, Outcome as CallOutcome, ResponseEnded, SignatureChecked,
};
use seamline_core::{SourceClass, binding};

use crate::case::Case;
use crate::claim::{Claim, Outcome};

/// How far the enclave's clock may be from the call: beyond it, the answer is a recording.
const MAX_SKEW_S: u64 = 300;

pub(super) fn check(case: &mut Case<'_>) {
    for (index, dt_us, checked) in case.events::<SignatureChecked>() {
        signature(case, index, checked);
        time(case, index, dt_us, checked);
    }
    if case.hides(EventKind::SignatureChecked) {
        let detail = "the signature event is hidden";
        case.open(Claim::ResponseSignature, Outcome::Redacted, (), detail);
    } else if answered(case) && !case.happened(EventKind::SignatureChecked) {
        let detail = "the answer carries no signature";
        case.open(Claim::ResponseSignature, Outcome::Absent, (), detail);
    }
    request(case);
    output(case);
}

fn answered(case: &Case<'_>) -> bool {
    let closed = case.events::<Closed>().pop();
    closed.is_some_and(|(_, _, closed)| closed.outcome == CallOutcome::Answered)
}

fn signature(case: &mut Case<'_>, index: usize, checked: &SignatureChecked) {
    let Some(spki) = case.blob(&checked.signing_key) else {
        let detail = "the signing key is withheld";
        return case.open(Claim::ResponseSignature, Outcome::Absent, index, detail);
    };
    let message = message_hash(checked.input_hash, checked.output_hash, checked.timestamp_s);
    let verified = verify_rsa_pss(spki, &message, &checked.signature);
    match (verified, checked.ok) {
        (Ok(()), true) => case.pass(Claim::ResponseSignature, SourceClass::SignedByNode, index),
        (Err(error), true) => case.fail(Claim::ResponseSignature, index, error),
        (_, false) if answered(case) => {
            let detail = "the answer was given although the record says that its proof is bad";
            case.fail(Claim::ResponseSignature, index, detail);
        }
        // An honest record of a node that lied: there is no proven answer, and none was given.
        (Err(_), false) => {
            let detail = "it does not verify, as recorded; the answer was refused";
            case.open(Claim::ResponseSignature, Outcome::Absent, index, detail);
        }
        (Ok(()), false) => {
            let detail = "it verifies, but the recorder refused the answer";
            case.open(Claim::ResponseSignature, Outcome::Absent, index, detail);
        }
    }
}

/// The signature carries no nonce, so its time is what tells an answer from a recording.
fn time(case: &mut Case<'_>, index: usize, dt_us: u64, checked: &SignatureChecked) {
    let (Some(opened), Some(seen)) = (case.wall(0), case.wall(dt_us)) else {
        return;
    };
    let earliest = opened.as_secs().saturating_sub(MAX_SKEW_S);
    let latest = seen.as_secs().saturating_add(MAX_SKEW_S);
    let fits = (earliest..=latest).contains(&checked.timestamp_s);
    let at = checked.timestamp_s;
    let wrong = (!fits).then(|| format!("it was signed at {at}, outside the call"));
    match wrong {
        // The recorder refused the answer, perhaps for this.
        Some(detail) if !checked.ok => {
            case.open(Claim::ResponseTime, Outcome::Absent, index, detail);
        }
        wrong => case.recomputed(Claim::ResponseTime, index, wrong),
    }
}

/// The blob of a type that holds salt and content, where the file carries one.
fn salted<'a>(case: &Case<'a>, kind: EvidenceType) -> Option<([u8; 16], &'a [u8])> {
    let table = &case.core().evidence;
    let entry = table.iter().find(|entry| entry.kind == kind)?;
    let (salt, content) = case.blob(&entry.hash)?.split_first_chunk()?;
    Some((*salt, content))
}

fn request(case: &mut Case<'_>) {
    let claim = Claim::RequestContent;
    let Some((salt, body)) = salted(case, EvidenceType::Request) else {
        return case.open(claim, Outcome::Absent, (), "the request is not attached");
    };
    let committed = case.opened.map(|opened| opened.req_commitment);
    if committed != Some(binding::request_commitment(&salt, body)) {
        return case.fail(claim, (), "it is not the one that was committed");
    }
    let hash = ChatRequest::parse(body)
        .map(|request| request.input_hash())
        .ok();
    let signed = case.events::<SignatureChecked>();
    let other = signed
        .into_iter()
        .find(|(_, _, it)| Some(it.input_hash) != hash);
    let wrong = other.map(|_| "it is not the one that the enclave signed for");
    case.recomputed(claim, (), wrong);
}

fn output(case: &mut Case<'_>) {
    let claim = Claim::OutputContent;
    let Some((salt, text)) = salted(case, EvidenceType::Output) else {
        return case.open(claim, Outcome::Absent, (), "the answer is not attached");
    };
    if case.hides(EventKind::ResponseEnded) {
        let detail = "the event that commits to it is hidden";
        return case.open(claim, Outcome::Redacted, (), detail);
    }
    let ended = case.events::<ResponseEnded>().pop();
    let committed = ended.map(|(_, _, ended)| ended.output_commitment);
    if committed != Some(binding::output_commitment(&salt, text)) {
        return case.fail(claim, (), "it is not the one that was committed");
    }
    let hash = core::str::from_utf8(text).map(output_hash).ok();
    let signed = case.events::<SignatureChecked>().pop();
    let wrong = signed
        .is_some_and(|(_, _, it)| Some(it.output_hash) != hash)
        .then_some("it is not the one that the enclave signed");
    case.recomputed(claim, (), wrong);
}
