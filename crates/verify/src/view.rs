//! JSON views: derived, never normative. The file is the receipt.

use seamline_core::hesitation::Hesitation;
use seamline_core::receipt::{
    Amendment, Bundle, Cost, DecisionSummary, Event, Leaf, Value as Field,
};
use serde_json::{Map, Value, json};

use crate::claim::Finding;
use crate::verdict::Verdict;

/// The verdict as JSON.
pub fn verdict_json(verdict: &Verdict) -> Value {
    let Verdict {
        status,
        level,
        ceiling,
        dev,
        findings,
        not_proven,
        receipt_hash,
    } = verdict;
    json!({
        "status": status.as_str(),
        "level": level.as_str(),
        "ceiling": { "level": ceiling.level.as_str(), "reason": ceiling.reason },
        "dev": dev,
        "receipt_hash": receipt_hash,
        "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
        "not_proven": not_proven,
    })
}

/// Findings as JSON, in their order.
pub fn findings_json(findings: &[Finding]) -> Value {
    findings.iter().map(finding_json).collect()
}

fn finding_json(finding: &Finding) -> Value {
    let Finding {
        claim,
        source,
        outcome,
        event,
        detail,
    } = finding;
    json!({
        "claim": claim.id(),
        "sentence": claim.sentence(),
        "source": source.as_str(),
        "outcome": outcome.as_str(),
        "event": event,
        "detail": detail,
    })
}

/// A receipt as JSON: core, events and the evidence table, without the evidence itself. Bytes are
/// hexadecimal, amounts decimal strings.
pub fn receipt_json(bundle: &Bundle) -> Value {
    let core = bundle.core();
    let summary = &core.summary;
    let kinds = core.kinds.iter().map(|kind| kind.as_str());
    let leaves = bundle.leaves().iter().zip(kinds);
    let evidence = core.evidence.iter().map(|entry| {
        json!({
            "type": entry.kind.as_str(),
            "sha256": entry.hash,
            "len": entry.len,
            "carried": bundle.evidence(&entry.hash).is_some(),
        })
    });
    json!({
        "non_normative": true,
        "receipt_hash": bundle.receipt_hash(),
        "call_id": core.call_id.to_string(),
        "seq": core.seq,
        "prev": core.prev,
        "recorder": hex::encode(core.recorder),
        "h_bind": core.h_bind,
        "policy_hash": core.policy_hash,
        "open_leaf": core.open_leaf,
        "event_root": core.event_root,
        "dropped_events": core.dropped,
        "dev": summary.dev,
        "outcome": summary.outcome.as_str(),
        "error_code": summary.error_code.as_ref().map(ToString::to_string),
        "charged": summary.charged.as_str(),
        "cost": cost_json(&summary.cost),
        "engine": summary.engine.as_ref().map(ToString::to_string),
        "catalogue_root": summary.catalogue_root,
        "decisions": summary.decisions.iter().map(decision_json).collect::<Vec<_>>(),
        "hesitations": summary.hesitations.iter().map(hesitation_json).collect::<Vec<_>>(),
        "events": leaves.map(|(leaf, kind)| event_json(leaf, kind)).collect::<Vec<_>>(),
        "evidence": evidence.collect::<Vec<_>>(),
    })
}

/// A hesitation as JSON.
pub fn hesitation_json(hesitation: &Hesitation) -> Value {
    let Hesitation {
        event,
        code,
        severity,
        arg,
        limit,
    } = hesitation;
    json!({
        "code": code.as_str(),
        "severity": severity.as_str(),
        "arg": arg,
        "limit": limit,
        "unit": code.rule().unit.as_str(),
        "event": event,
        "meaning": code.rule().meaning,
    })
}

fn cost_json(cost: &Cost) -> Value {
    let Cost {
        asset,
        network,
        quoted,
        authorized,
        settled,
        state,
    } = cost;
    json!({
        "asset": asset,
        "network": network.as_ref().map(ToString::to_string),
        "quoted": quoted.to_string(),
        "authorized": authorized.to_string(),
        "settled": settled.map(|amount| amount.to_string()),
        "state": state.as_str(),
    })
}

fn decision_json(decision: &DecisionSummary) -> Value {
    let DecisionSummary {
        event,
        known,
        usable,
        chosen,
        runner_up,
        margin_ppm,
        deciding,
        propensity: (numerator, denominator),
    } = decision;
    json!({
        "event": event,
        "known": known,
        "usable": usable,
        "chosen": chosen.map(|node| node.to_string()),
        "runner_up": runner_up.map(|node| node.to_string()),
        "margin_ppm": margin_ppm,
        "deciding": deciding.name(),
        "propensity": [numerator, denominator],
    })
}

/// An amendment as JSON: its place in the log, and the event.
pub fn amendment_json(amendment: &Amendment) -> Value {
    let event = amendment.recorded().map(|recorded| {
        let kind = recorded.event.kind().as_str();
        json!({ "kind": kind, "dt_us": recorded.dt_us, "fields": fields_json(&recorded.event) })
    });
    json!({ "index": amendment.index(), "event": event })
}

fn fields_json(event: &Event) -> Map<String, Value> {
    let fields = event.fields().into_iter();
    let fields = fields.map(|(name, value)| (name.to_owned(), field_json(value)));
    fields.collect()
}

fn event_json(leaf: &Leaf, kind: &str) -> Value {
    let Leaf::Shown { recorded, .. } = leaf else {
        return json!({ "kind": kind, "hidden": true, "leaf": leaf.hash() });
    };
    let fields = fields_json(&recorded.event);
    json!({ "kind": kind, "dt_us": recorded.dt_us, "fields": fields })
}

fn field_json(value: Field) -> Value {
    match value {
        Field::Bool(value) => json!(value),
        // JSON numbers are only safe below 2^53.
        Field::Uint(value) => match u64::try_from(value) {
            Ok(value) if value < 1 << 53 => json!(value),
            _ => json!(value.to_string()),
        },
        Field::Int(value) => json!(value),
        Field::Text(text) => json!(text),
        Field::Bytes(bytes) => json!(hex::encode(bytes)),
        Field::Null => Value::Null,
    }
}
