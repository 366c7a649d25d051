//! What a receipt does not prove, in plain sentences.

use seamline_core::SourceClass;
use seamline_core::receipt::{EventKind, SettlementSeen, SettlementState};

use crate::case::Case;
use crate::claim::{Claim, Outcome};

pub(super) fn sentences(case: &Case<'_>) -> Vec<String> {
    let mut list = Vec::new();
    let mut say = |sentence: &str| list.push(sentence.to_owned());
    let passed = |claim| {
        let mut findings = case.findings.iter();
        findings.any(|it| it.claim == claim && it.outcome == Outcome::Pass)
    };
    let dev =
        case.core().summary.dev || case.findings.iter().any(|it| it.source == SourceClass::Dev);
    if dev {
        say(
            "That any hardware was involved: the evidence is software attestation of a \
             development network, and whoever holds its root key can make more.",
        );
    }
    if !passed(Claim::RecorderTrusted) {
        say("Whose receipt this is: the signing key is not one that you trust.");
    }
    if case.happened(EventKind::SignatureChecked) {
        say(
            "Which model or weights answered: the enclave's code is measured, what it calls \
             upstream is not.",
        );
    }
    let mut about = case.findings.iter();
    let asked = about.any(|it| {
        let shown = matches!(it.outcome, Outcome::Pass | Outcome::Redacted);
        it.claim == Claim::RequestContent && shown
    });
    if !asked {
        say("What was asked: the receipt holds commitments, not content.");
    }
    if case.happened(EventKind::SignatureChecked) {
        say(
            "Anything of the request outside its canonical form: tool choice, seed and the bytes of \
             attachments are not in the signed hash.",
        );
    }
    if case.happened(EventKind::SignatureChecked) && !passed(Claim::RequestContent) {
        say(
            "That the answer is to the committed request: the signature is over another hash of it, \
             and only the content shows that both are of the same.",
        );
    }
    if !passed(Claim::OutputContent) {
        say("What was answered: the receipt holds commitments, not content.");
    }
    if case.happened(EventKind::Decided) {
        say(
            "That the draw was not chosen by the recorder: it was committed before the nodes were \
             read, but the recorder alone made it.",
        );
    }
    if case.happened(EventKind::CatalogueRead) {
        say(
            "That the registry held these nodes, or no others: it is a recorded read; ask the chain.",
        );
    }
    if case.happened(EventKind::Offered) {
        say("That the node made this offer: offers are not signed.");
    }
    if case.happened(EventKind::Purchased) {
        say(
            "Who answered, and what: a plain server proves nothing but its name to whoever connects, \
             and only the recorder was there.",
        );
    }
    if case.happened(EventKind::VoucherSigned) {
        if case.amended.is_empty() {
            say(
                "That money moved, or how much will: what was charged is the node's word. It is claimed \
                 later, and until the channel's next voucher up to the whole promise; ask the chain.",
            );
        }
        say(
            "That the voucher was signed for this call alone: its signature names a channel and a total, \
             the message beside it names the call. The receipts of the channel's other calls bear it out \
             by not overlapping.",
        );
    }
    for (_, seen) in &case.amended {
        if let Some(transaction) = seen.transaction {
            list.push(format!(
                "That the settlement is on the chain: the recorder read it later; ask the chain for {transaction}."
            ));
        }
    }
    let mut about = case.findings.iter();
    if about.any(|it| it.claim == Claim::RecordOnChain) {
        list.push(
            "That the answer is on record: its batch, its transaction and their block are recorded words; ask \
             the chain, and the registry for the key that signed."
                .to_owned(),
        );
    }
    let settled = case.events::<SettlementSeen>().into_iter().rev();
    let mut settled = settled.filter(|(_, _, it)| it.state == SettlementState::Settled);
    if let Some((_, _, seen)) = settled.next() {
        match seen.transaction {
            Some(transaction) => list.push(format!(
                "That the settlement is on the chain: it is a recorded read; ask the chain for {transaction}."
            )),
            None => list.push(
                "That the settlement is on the chain: the record names no transaction.".to_owned(),
            ),
        }
    }
    list.push(
        "That there were no other calls: numbers without gaps and open log entries show omissions, \
         one receipt does not."
            .to_owned(),
    );
    list.push(
        "When exactly it happened: times are the recorder's, no third party saw them.".to_owned(),
    );
    list
}
