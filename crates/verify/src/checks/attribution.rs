//! Checks 7 to 10: a trusted key signed it, for the call that it was opened for.

use seamline_core::{SourceClass, binding};

use crate::case::Case;
use crate::claim::{Claim, Outcome};

pub(super) fn check(case: &mut Case<'_>) {
    let core = case.core();
    // 7. The key.
    let trusted = case
        .trust
        .recorders
        .iter()
        .any(|key| key.as_bytes() == &core.recorder);
    if trusted {
        case.pass(Claim::RecorderTrusted, SourceClass::Recomputed, ());
    } else {
        let detail = "your trust file does not name the key that signed it";
        case.open(Claim::RecorderTrusted, Outcome::Absent, (), detail);
    }
    let call_id = binding::call_id(&core.recorder, core.seq);
    let wrong = (call_id != core.call_id).then_some("it is not derived from key and number");
    case.recomputed(Claim::RecorderCallId, (), wrong);
    // 8. The chain of receipts needs its neighbours.
    let detail = "the receipts before it were not given";
    case.open(Claim::ReceiptChain, Outcome::Absent, (), detail);
    // 9. The open event.
    let open_leaf = case.bundle.check_open_leaf();
    case.recomputed(Claim::OpenLeaf, (), open_leaf.err());
    let Some(opened) = case.opened else {
        for claim in [Claim::OpenFields, Claim::PolicyHash, Claim::BindingHBind] {
            case.open(claim, Outcome::Redacted, 0, "the open event is hidden");
        }
        return;
    };
    let differs = [
        ("number", opened.seq != core.seq),
        ("call id", opened.call_id != core.call_id),
        ("policy hash", opened.policy_hash != core.policy_hash),
        ("key", opened.recorder != core.recorder),
    ];
    let differing = differs.into_iter().find(|(_, differs)| *differs);
    let wrong = differing.map(|(what, _)| format!("the {what} differs"));
    case.recomputed(Claim::OpenFields, 0, wrong);
    let policies = binding::policy_hash(&opened.spend_policy, &opened.route_policy);
    let wrong = if policies != opened.policy_hash {
        Some("the policies have another hash")
    } else if case.route.is_none() {
        Some("the route policy cannot be read")
    } else if case.spend.is_none() {
        Some("the spend policy cannot be read")
    } else {
        None
    };
    case.recomputed(Claim::PolicyHash, 0, wrong);
    // 10. The binding value.
    let h_bind = binding::h_bind(&opened.call_id, &opened.req_commitment, &opened.policy_hash);
    let wrong = (h_bind != core.h_bind).then_some("it comes out otherwise");
    case.recomputed(Claim::BindingHBind, 0, wrong);
}
