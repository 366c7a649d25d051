//! Check 14: evidence, up to a pinned root, as of the time that the receipt records.

use core::time::Duration;

use seamline_attest::{Claims, Measurements, NonceRule, Policy, Verified, verify};
use std::collections::BTreeSet;

use seamline_core::receipt::{
    Attested, EventKind, EvidenceFetched, RequestSent, SignatureChecked, TlsBound,
};
use seamline_core::{NodeId, SourceClass, binding};

use crate::case::{Case, Last};
use crate::claim::{Claim, Outcome};

/// The claims that one attested node is examined for.
const CLAIMS: [Claim; 6] = [
    Claim::EvidenceVerified,
    Claim::EvidenceNonce,
    Claim::EvidenceMeasurement,
    Claim::EvidenceTls,
    Claim::EvidenceSigningKey,
    Claim::EvidenceReading,
];

pub(super) fn check(case: &mut Case<'_>) {
    for (index, dt_us, verdict) in case.events::<Attested>() {
        node(case, index, dt_us, verdict);
    }
    if case.hides(EventKind::Attested) {
        let detail = "the attestation verdict is hidden";
        case.open(Claim::EvidenceVerified, Outcome::Redacted, (), detail);
        return;
    }
    if super::purchase::is_one(case) {
        // A plain server has none; nothing is claimed of it.
        return;
    }
    // Who is asked without evidence may be anybody, and evidence that comes later is too late: the
    // prompt is out.
    let (mut attested, mut asked) = (BTreeSet::new(), BTreeSet::new());
    for (index, slot) in case.slots.clone().iter().enumerate() {
        let Some(event) = slot.event() else { continue };
        if let Some(verdict) = event.get::<Attested>() {
            attested.insert(verdict.node);
        }
        if let Some(sent) = event.get::<RequestSent>()
            && !attested.contains(&sent.node)
            && asked.insert(sent.node)
        {
            let detail = format!("node {} was asked without evidence", sent.node.short());
            case.open(Claim::EvidenceVerified, Outcome::Absent, index, detail);
        }
    }
}

fn node(case: &mut Case<'_>, index: usize, dt_us: u64, verdict: &Attested) {
    let Some(now) = case.wall(dt_us) else { return };
    let of_node = |it: &EvidenceFetched| it.node == verdict.node;
    let fetched = match case.last_before(index, of_node) {
        Last::Shown(fetched) => fetched,
        Last::Hidden => {
            let detail = "the evidence event is hidden";
            return unchecked(case, index, Outcome::Redacted, detail);
        }
        Last::Never => {
            let detail = "a verdict without evidence";
            return case.fail(Claim::EvidenceVerified, index, detail);
        }
    };
    let Some(document) = case.blob(&fetched.evidence) else {
        return unchecked(case, index, Outcome::Absent, "the evidence is withheld");
    };
    // Nonce and measurement get findings of their own below.
    let mut policy = Policy::live(NonceRule::Any, Measurements::AnyReported);
    if !fetched.fetched_for_this_call {
        let kept = Duration::from_millis(fetched.age_ms.min(fetched.max_age_ms));
        policy.max_age = policy.max_age.saturating_add(kept);
    }
    let claims = match verify(document, &case.trust.roots, &policy, now) {
        Ok(claims) => claims,
        Err(error) if error.code() == "UNTRUSTED_ROOT" => {
            let detail = "your trust file names no root to which it chains";
            return unchecked(case, index, Outcome::Absent, detail);
        }
        Err(error) => return case.fail(Claim::EvidenceVerified, index, error),
    };
    let detail = if claims.source == SourceClass::Dev {
        "software attestation of a development network, no hardware"
    } else {
        claims.kind
    };
    case.add(
        Claim::EvidenceVerified,
        claims.source,
        Outcome::Pass,
        index,
        detail,
    );
    nonce(case, index, &claims, fetched);
    measurement(case, index, &claims);
    tls(case, index, &claims, verdict.node);
    signing_key(case, index, &claims, verdict);
    reading(case, index, &claims, verdict);
}

fn nonce(case: &mut Case<'_>, index: usize, claims: &Verified<Claims>, fetched: &EvidenceFetched) {
    let own = binding::evidence_nonce(&case.core().h_bind);
    let wrong = if claims.nonce.as_deref() != Some(fetched.evidence_nonce.as_slice()) {
        Some("the document carries another nonce than recorded")
    } else if fetched.fetched_for_this_call && fetched.evidence_nonce != own {
        Some("the nonce is not that of this call")
    } else {
        None
    };
    match wrong {
        None => case.pass(Claim::EvidenceNonce, claims.source, index),
        Some(detail) => case.fail(Claim::EvidenceNonce, index, detail),
    }
}

fn measurement(case: &mut Case<'_>, index: usize, claims: &Verified<Claims>) {
    let measured = claims.pcr_hash;
    let route = case.route.as_ref();
    if route.is_some_and(|route| !route.measurements.contains(&measured)) {
        let detail = format!("{measured} is not allowed by the call's policy");
        return case.fail(Claim::EvidenceMeasurement, index, detail);
    }
    if case.trust.measurements.contains(&measured) {
        return case.pass(Claim::EvidenceMeasurement, claims.source, index);
    }
    let detail = format!("the policy allows {measured}; your trust file does not name it");
    case.open(Claim::EvidenceMeasurement, Outcome::Absent, index, detail);
}

fn tls(case: &mut Case<'_>, index: usize, claims: &Verified<Claims>, node: NodeId) {
    let bound = claims.binding.map(|binding| binding.tls_cert_sha256);
    let mut connections = case.events::<TlsBound>();
    connections.retain(|(_, _, it)| it.node == node);
    let mut of_node = connections.iter();
    if of_node.any(|(_, _, it)| Some(it.cert_sha256) != bound) {
        let detail = "the node presented another certificate than the evidence binds";
        case.fail(Claim::EvidenceTls, index, detail);
    } else if case.hides(EventKind::TlsBound) {
        let detail = "a connection event is hidden";
        case.open(Claim::EvidenceTls, Outcome::Redacted, index, detail);
    } else if connections.is_empty() {
        let detail = "no connection to the node was bound";
        case.open(Claim::EvidenceTls, Outcome::Absent, index, detail);
    } else {
        case.pass(Claim::EvidenceTls, claims.source, index);
    }
}

fn signing_key(case: &mut Case<'_>, index: usize, claims: &Verified<Claims>, verdict: &Attested) {
    let Some(spki) = case.blob(&verdict.signing_key_sha256) else {
        // Without an answer nothing was signed, and the key was not needed.
        if case.happened(EventKind::SignatureChecked) {
            let detail = "the signing key is withheld";
            case.open(Claim::EvidenceSigningKey, Outcome::Absent, index, detail);
        }
        return;
    };
    match claims.bind_signing_key(spki) {
        Ok(key) if key.node_id() == verdict.node => {
            case.pass(Claim::EvidenceSigningKey, claims.source, index);
        }
        Ok(_) => {
            let detail = "the key names another node";
            case.fail(Claim::EvidenceSigningKey, index, detail);
        }
        Err(error) => case.fail(Claim::EvidenceSigningKey, index, error),
    }
    let used = case.events::<SignatureChecked>();
    let other = |it: &SignatureChecked| {
        it.node == verdict.node && it.signing_key != verdict.signing_key_sha256
    };
    if let Some((at, ..)) = used.into_iter().find(|(_, _, it)| other(it)) {
        let detail = "the answer was checked with another key than the attested one";
        case.fail(Claim::EvidenceSigningKey, at, detail);
    }
}

/// The recorder's reading of the document, field by field.
fn reading(case: &mut Case<'_>, index: usize, claims: &Verified<Claims>, verdict: &Attested) {
    let bound = claims.binding;
    let checks = [
        ("source", claims.source == verdict.source),
        ("kind", verdict.kind == claims.kind),
        ("measurement", claims.pcr_hash == verdict.measurement),
        (
            "certificate",
            bound.is_some_and(|it| it.tls_cert_sha256 == verdict.tls_cert_sha256),
        ),
        (
            "signing key",
            bound.is_some_and(|it| it.app_sha256 == verdict.signing_key_sha256),
        ),
        (
            "end of validity",
            claims.leaf_not_after.as_millis() == verdict.leaf_not_after_ms,
        ),
        (
            "time",
            claims.timestamp.as_millis() == verdict.doc_timestamp_ms,
        ),
    ];
    let differing = checks.into_iter().find(|(_, same)| !same);
    let wrong = differing.map(|(what, _)| format!("the {what} differs"));
    case.recomputed(Claim::EvidenceReading, index, wrong);
}

fn unchecked(case: &mut Case<'_>, index: usize, outcome: Outcome, detail: &str) {
    for claim in CLAIMS {
        case.open(claim, outcome, index, detail);
    }
}
