//! The ordered checks. The list below is the list of `spec/receipt.md`, section "Checks".

mod amended;
mod attribution;
mod evidence;
mod integrity;
mod payment;
mod purchase;
mod record;
mod replay;
mod response;
mod session;
mod settlement;
mod unproven;
mod voucher;

use seamline_core::receipt::{Bundle, Error};
use seamline_core::{SourceClass, Timestamp};

use crate::case::{Case, printable};
use crate::claim::{Claim, Finding, Outcome};
use crate::trust::Trust;
use crate::verdict::Verdict;

pub(crate) fn run(bytes: &[u8], amendments: &[Vec<u8>], trust: &Trust, now: Timestamp) -> Verdict {
    // 1-3. Size, magic, version, strict decoding, one encoding, ranges and orders.
    let bundle = match Bundle::decode(bytes) {
        Ok(bundle) => bundle,
        Err(error) => return unreadable(&error, trust),
    };
    let mut case = Case::new(&bundle, trust, now);
    for claim in [
        Claim::FormatSize,
        Claim::FormatVersion,
        Claim::FormatEncoding,
    ] {
        case.pass(claim, SourceClass::Recomputed, ());
    }
    // 4-6. Event tree, kinds, order, evidence table, signature.
    integrity::check(&mut case);
    // What is not intact says nothing: whatever else it seems to hold was not signed like this.
    if case.has_failure() {
        return conclude(case);
    }
    // 7-10. Whose key, which call, opened how, bound to what.
    attribution::check(&mut case);
    amended::check(&mut case, amendments);
    // 11-12. Offer and authorization.
    payment::check(&mut case);
    voucher::check(&mut case);
    session::check(&mut case);
    // 13. Settlement.
    settlement::check(&mut case);
    // 14. Evidence.
    evidence::check(&mut case);
    // 15-16. The enclave's signature over request and answer.
    response::check(&mut case);
    // 17. The answer's record on a chain.
    record::check(&mut case);
    // 18-22. Catalogue, decisions, summary, hesitations.
    replay::check(&mut case);
    // 23. The verdict.
    conclude(case)
}

fn conclude(case: Case<'_>) -> Verdict {
    let not_proven = unproven::sentences(&case);
    let dev = case.core().summary.dev
        || case
            .findings
            .iter()
            .any(|finding| finding.source == SourceClass::Dev);
    let others = [
        Claim::EvidenceVerified,
        Claim::AuthorizationSigner,
        Claim::ResponseSignature,
    ];
    let legs = case
        .findings
        .iter()
        .any(|finding| others.contains(&finding.claim));
    // Nobody but the recorder saw what a plain server answered.
    let legs = legs && !purchase::is_one(&case);
    let receipt_hash = case.bundle.receipt_hash();
    let verdict = Verdict::conclude(case.findings, true, case.trust.required, legs);
    Verdict {
        dev,
        not_proven,
        receipt_hash: Some(receipt_hash),
        ..verdict
    }
}

fn unreadable(error: &Error, trust: &Trust) -> Verdict {
    let is = |claim, is: bool| is.then_some(claim);
    let unknown = matches!(error, Error::UnsupportedVersion { .. });
    let envelope = matches!(error, Error::UnprotectedHeader | Error::ProtectedHeader);
    let claim = is(Claim::FormatSize, matches!(error, Error::TooLarge { .. }))
        .or_else(|| is(Claim::FormatVersion, unknown || *error == Error::BadMagic))
        .or_else(|| is(Claim::FormatEnvelope, envelope))
        .unwrap_or(Claim::FormatEncoding);
    // A version that this build does not know may be perfectly fine.
    let (source, outcome) = if unknown {
        (SourceClass::NotChecked, Outcome::Absent)
    } else {
        (SourceClass::Failed, Outcome::Fail)
    };
    let finding = Finding {
        claim,
        source,
        outcome,
        event: None,
        detail: printable(&seamline_core::chain(error)),
    };
    Verdict::conclude(vec![finding], false, trust.required, false)
}
