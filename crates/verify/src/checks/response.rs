//! Checks 15 and 16: the enclave's signature over request and answer.

use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::{ChatRequest, message_hash, output_hash};
use seamline_core::infer::InferRequest;
use seamline_core::receipt::{
    Attested, EventKind, EvidenceType, RequestSent, ResponseEnded, SignatureChecked,
};
use seamline_core::{B256, SourceClass, binding};

use crate::case::{Case, Last};
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
    } else if case.answered() && !super::purchase::is_one(case) {
        // A signature from before the last request belongs to an earlier answer.
        let signed = case.last_place(EventKind::SignatureChecked);
        if signed.is_none() || signed < case.last_place(EventKind::RequestSent) {
            let detail = "the answer carries no signature";
            case.open(Claim::ResponseSignature, Outcome::Absent, (), detail);
        }
    }
    request(case);
    output(case);
}

fn signature(case: &mut Case<'_>, index: usize, checked: &SignatureChecked) {
    let Some(spki) = case.blob(&checked.signing_key) else {
        let detail = "the signing key is withheld";
        return case.open(Claim::ResponseSignature, Outcome::Absent, index, detail);
    };
    let message = message_hash(checked.input_hash, checked.output_hash, checked.timestamp_s);
    let verified = verify_rsa_pss(spki, &message, &checked.signature);
    // The answer stands on the last signature; an earlier one may have been refused.
    let last = case.last_place(EventKind::SignatureChecked) == Some(index);
    match (verified, checked.ok) {
        (Ok(()), true) => match signer(case, index, checked) {
            Signer::Attested => {
                case.pass(Claim::ResponseSignature, SourceClass::SignedByNode, index);
            }
            Signer::Unknown(outcome, detail) => {
                case.open(Claim::ResponseSignature, outcome, index, detail);
            }
            Signer::Other(detail) => case.fail(Claim::ResponseSignature, index, detail),
        },
        (Err(error), true) => case.fail(Claim::ResponseSignature, index, error),
        (_, false) if last && case.answered() => {
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

/// Whose signature it is.
enum Signer {
    /// That of the node that was asked, under the key that its evidence binds.
    Attested,
    /// That of a key, and no more is known.
    Unknown(Outcome, &'static str),
    /// That of somebody who was not asked.
    Other(&'static str),
}

/// Whether the key is that of the node that was asked. Anybody can make a key and sign with it: a
/// signature proves something only under a key that evidence binds.
fn signer(case: &Case<'_>, index: usize, checked: &SignatureChecked) -> Signer {
    match case.last_before::<RequestSent>(index, |_| true) {
        Last::Shown(sent) if sent.node == checked.node => {}
        Last::Shown(_) => return Signer::Other("another node was asked"),
        Last::Hidden => return Signer::Unknown(Outcome::Redacted, "the request event is hidden"),
        Last::Never => return Signer::Other("nobody was asked"),
    }
    match case.last_before::<Attested>(index, |it| it.node == checked.node) {
        Last::Shown(it) if it.signing_key_sha256 == checked.signing_key => Signer::Attested,
        Last::Shown(_) => Signer::Other("the evidence binds another key"),
        Last::Hidden => Signer::Unknown(Outcome::Redacted, "the attestation verdict is hidden"),
        Last::Never => Signer::Unknown(Outcome::Absent, "no evidence binds the key to the node"),
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
    let hash = input_hash(body);
    let signed = case.events::<SignatureChecked>();
    let other = signed
        .into_iter()
        .find(|(_, _, it)| Some(it.input_hash) != hash);
    let wrong = other.map(|_| "it is not the one that the enclave signed for");
    content(case, claim, wrong);
}

/// What an enclave signs of a request, whichever of the two it is: no body is both.
fn input_hash(body: &[u8]) -> Option<B256> {
    let chat = ChatRequest::parse(body).map(|request| request.input_hash());
    let infer = || InferRequest::parse(body).map(|request| request.input_hash());
    chat.ok().or_else(|| infer().ok())
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
    content(case, claim, wrong);
}

/// Reports content that is the committed one: whether it is the signed one too, a hidden signature
/// does not say.
fn content(case: &mut Case<'_>, claim: Claim, wrong: Option<&'static str>) {
    if wrong.is_none() && case.hides(EventKind::SignatureChecked) {
        let detail = "it is the committed one; what was signed is hidden";
        return case.open(claim, Outcome::Redacted, (), detail);
    }
    case.recomputed(claim, (), wrong);
}
