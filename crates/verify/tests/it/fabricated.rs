//! A recorder that makes up more than it lies about: answers of nobody, signatures of its own keys,
//! settlements that no chain has; and readers who hide what does not suit them.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use seamline_core::canonical::message_hash;
use seamline_core::receipt::{
    ClockRead, EventKind, EvidenceType, MAX_OF_KIND, SettlementSeen, SettlementState,
    SignatureChecked,
};
use seamline_core::{Amount, B256, Charged, NodeId};
use seamline_evm::policy::Spent;
use seamline_evm::upto::{self, Marks};
use seamline_evm::x402::{Offer, PaymentRequired};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Outcome, Status, Verdict};

use crate::fixture::{ANSWER, World, event_mut, offer_terms, sign_response, spend_policy};

#[track_caller]
fn refuted(verdict: &Verdict, claim: Claim) {
    let failed = verdict.first_failure().map(|finding| finding.claim);
    assert_eq!(failed, Some(claim), "{:?}", verdict.first_failure());
    assert_eq!(verdict.status, Status::Refuted);
}

#[track_caller]
fn open(verdict: &Verdict, claim: Claim, outcome: Outcome) {
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Incomplete);
    let mut found = verdict.about(claim);
    assert!(found.any(|it| it.outcome == outcome), "{verdict:#?}");
}

fn place(world: &World, kind: EventKind) -> usize {
    let mut events = world.events.iter();
    events.position(|(_, event)| event.kind() == kind).unwrap()
}

/// Keeps only events of these kinds.
fn keep(world: &mut World, kinds: &[EventKind]) {
    world
        .events
        .retain(|(_, event)| kinds.contains(&event.kind()));
}

/// The index of an event in the receipt, where the open event comes first.
fn index(world: &World, kind: EventKind) -> usize {
    place(world, kind) + 1
}

fn hiding(world: &World, hide: &[usize]) -> Verdict {
    world.check(&world.seal().redact(hide).unwrap().encode())
}

/// A signature over the answer by a key that the recorder has just made.
fn own_signature(world: &mut World, node: Option<NodeId>) -> SignatureChecked {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let spki = spki.as_ref().to_vec();
    let honest = sign_response(ANSWER, NOW.as_secs());
    let message = message_hash(honest.input_hash, honest.output_hash, honest.timestamp_s);
    let mut signature = vec![0; 256];
    let rng = SystemRandom::new();
    rsa.sign(&RSA_PSS_SHA256, &rng, message.as_slice(), &mut signature)
        .unwrap();
    SignatureChecked {
        node: node.unwrap_or_else(|| NodeId::of_signing_key(&spki)),
        signature,
        signing_key: world.blob(EvidenceType::SigningKey, spki),
        ..honest
    }
}

// Answers

#[test]
fn answer_signed_by_a_key_of_the_recorder() {
    let mut world = World::new();
    let forged = own_signature(&mut world, None);
    *event_mut!(world, SignatureChecked) = forged;
    refuted(&world.verify(), Claim::ResponseSignature);
}

#[test]
fn answer_signed_by_another_key_in_the_name_of_the_node() {
    let mut world = World::new();
    let node = world.node;
    let forged = own_signature(&mut world, Some(node));
    *event_mut!(world, SignatureChecked) = forged;
    refuted(&world.verify(), Claim::EvidenceSigningKey);
}

#[test]
fn answer_that_nobody_was_asked_for() {
    let mut world = World::new();
    let forged = own_signature(&mut world, None);
    *event_mut!(world, SignatureChecked) = forged;
    event_mut!(world, Closed).charged = Charged::No;
    keep(
        &mut world,
        &[EventKind::SignatureChecked, EventKind::Closed],
    );
    refuted(&world.verify(), Claim::ResponseSignature);
    keep(&mut world, &[EventKind::Closed]);
    world.blobs.clear();
    refuted(&world.verify(), Claim::DecisionFollowed);
}

#[test]
fn signature_under_a_key_that_no_evidence_binds() {
    let mut world = World::new();
    let at = place(&world, EventKind::Attested);
    world.events.remove(at);
    event_mut!(world, Admitted).offer_event -= 1;
    let verdict = world.verify();
    open(&verdict, Claim::ResponseSignature, Outcome::Absent);
    open(&verdict, Claim::EvidenceVerified, Outcome::Absent);
}

#[test]
fn signature_of_an_earlier_answer() {
    let mut world = World::new();
    let mut sent = event_mut!(world, RequestSent).clone();
    (sent.attempt, sent.paid) = (2, true);
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, sent.into()));
    open(&world.verify(), Claim::ResponseSignature, Outcome::Absent);
}

#[test]
fn refused_signature_before_a_good_one() {
    let mut world = World::new();
    let mut bad = event_mut!(world, SignatureChecked).clone();
    bad.signature[5] ^= 1;
    bad.ok = false;
    let at = place(&world, EventKind::SignatureChecked);
    world.events.insert(at, (405_000, bad.into()));
    open(&world.verify(), Claim::ResponseSignature, Outcome::Absent);
    let good = place(&world, EventKind::SignatureChecked);
    world.events.swap(good, good + 1);
    world.events[good].0 = 405_000;
    world.events[good + 1].0 = 410_000;
    refuted(&world.verify(), Claim::ResponseSignature);
}

#[test]
fn content_under_a_hidden_signature_is_committed_and_no_more() {
    let world = World::new();
    let at = index(&world, EventKind::SignatureChecked);
    let verdict = hiding(&world, &[at]);
    open(&verdict, Claim::RequestContent, Outcome::Redacted);
    open(&verdict, Claim::OutputContent, Outcome::Redacted);
}

// Evidence

#[test]
fn evidence_that_comes_after_the_prompt() {
    let mut world = World::new();
    let at = place(&world, EventKind::Attested);
    let (_, verdict) = world.events.remove(at);
    let sent = place(&world, EventKind::SignatureChecked);
    world.events.insert(sent, (405_000, verdict));
    event_mut!(world, Admitted).offer_event -= 1;
    open(&world.verify(), Claim::EvidenceVerified, Outcome::Absent);
}

/// A second connection to the node, to another certificate.
fn connect_elsewhere(world: &mut World) {
    let mut bound = event_mut!(world, TlsBound).clone();
    bound.cert_sha256 = B256::repeat_byte(1);
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, bound.into()));
}

#[test]
fn hiding_the_wrong_connection_proves_nothing() {
    let mut world = World::new();
    connect_elsewhere(&mut world);
    refuted(&world.verify(), Claim::EvidenceTls);
    let hidden = world.events.len() - 1;
    let verdict = hiding(&world, &[hidden]);
    open(&verdict, Claim::EvidenceTls, Outcome::Redacted);
}

#[test]
fn hiding_the_later_evidence_makes_nobody_a_liar() {
    let mut world = World::new();
    // An earlier document of the same node, which no verdict is about.
    let mut earlier = event_mut!(world, EvidenceFetched).clone();
    earlier.evidence = world.blob(EvidenceType::Attestation, b"another".to_vec());
    let at = place(&world, EventKind::EvidenceFetched);
    world.events.insert(at, (49_000, earlier.into()));
    event_mut!(world, Admitted).offer_event += 1;
    assert_eq!(world.verify().status, Status::Satisfied);
    let verdict = hiding(&world, &[at + 2]);
    open(&verdict, Claim::EvidenceVerified, Outcome::Redacted);
}

// Routing

#[test]
fn hiding_the_later_catalogue_makes_nobody_a_liar() {
    let mut world = World::new();
    let mut earlier = event_mut!(world, CatalogueRead).clone();
    let none = seamline_core::decision::Catalogue::new(Vec::new()).unwrap();
    (earlier.root, earlier.candidates) = (none.root(), none.encode());
    world.events.insert(0, (4_000, earlier.into()));
    event_mut!(world, Admitted).offer_event += 1;
    assert_eq!(world.verify().status, Status::Satisfied);
    let verdict = hiding(&world, &[2]);
    open(&verdict, Claim::DecisionReplay, Outcome::Redacted);
    open(&verdict, Claim::OfferPayTo, Outcome::Redacted);
}

#[test]
fn hiding_the_later_admission_makes_nobody_a_liar() {
    let mut world = World::new();
    let mut earlier = event_mut!(world, Admitted).clone();
    earlier.max_timeout_s = 1;
    let at = place(&world, EventKind::Admitted);
    world.events.insert(at, (60_500, earlier.into()));
    refuted(&world.verify(), Claim::OfferTerms);
    // Without its own fault, the earlier admission is only another one than the one that was paid.
    let verdict = hiding(&world, &[at + 2]);
    refuted(&verdict, Claim::OfferTerms);
    assert!(
        verdict
            .about(Claim::AuthorizationTerms)
            .all(|it| it.outcome == Outcome::Redacted)
    );
}

// Money

#[test]
fn hiding_a_reply_that_was_read_wrongly() {
    let mut world = World::new();
    event_mut!(world, SettleReplied).amount = Some(Amount::new(1));
    refuted(&world.verify(), Claim::SettlementReply);
    let at = index(&world, EventKind::SettleReplied);
    open(
        &hiding(&world, &[at]),
        Claim::SettlementReply,
        Outcome::Redacted,
    );
}

/// Removes everything about money.
fn without_payment(world: &mut World) {
    let money = [
        EventKind::Offered,
        EventKind::Admitted,
        EventKind::Authorized,
        EventKind::SettleReplied,
        EventKind::SettlementSeen,
    ];
    world
        .events
        .retain(|(_, event)| !money.contains(&event.kind()));
}

#[test]
fn charged_for_nothing() {
    let mut world = World::new();
    without_payment(&mut world);
    refuted(&world.verify(), Claim::SettlementStates);
    // No charge, but a request that is said to have been paid.
    event_mut!(world, Closed).charged = Charged::No;
    refuted(&world.verify(), Claim::SettlementStates);
    let paid = place(&world, EventKind::ResponseFirst) - 1;
    world.events.remove(paid);
    assert_eq!(world.verify().status, Status::Satisfied);
    event_mut!(world, Closed).charged = Charged::Unknown;
    open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
}

#[test]
fn settled_nowhere() {
    let changes: [fn(&mut SettlementSeen); 3] = [
        |seen| seen.transaction = None,
        |seen| seen.block_number = None,
        |seen| seen.block_hash = None,
    ];
    for change in changes {
        let mut world = World::new();
        change(event_mut!(world, SettlementSeen));
        open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
    }
}

#[test]
fn not_settled_before_the_deadline() {
    let mut world = World::new();
    let seen = event_mut!(world, SettlementSeen);
    (seen.state, seen.amount) = (SettlementState::NotSettled, None);
    event_mut!(world, Closed).charged = Charged::No;
    open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
    // After it, the nonce is dead.
    let after = 400_000_000;
    let last = world.events.len() - 1;
    world.events[last - 1].0 = after;
    world.events[last].0 = after;
    assert_eq!(world.verify().status, Status::Satisfied);
    // But not for a reader whose clock has not come that far.
    let file = world.seal().encode();
    let verdict = seamline_verify::verify(&file, &world.trust, NOW);
    refuted(&verdict, Claim::ReceiptTime);
}

#[test]
fn more_settled_on_one_leg_than_was_authorized_on_it() {
    let mut world = World::new();
    // A further leg of the largest amount, after the first one was settled: what it allows is not
    // what the first one allowed.
    let mut first = event_mut!(world, Authorized).clone();
    let at = place(&world, EventKind::Authorized);
    (first.leg, first.amount) = (1, Amount::new(100));
    world.events.insert(at + 1, (62_500, first.into()));
    let verdict = world.verify();
    let amount = verdict.about(Claim::SettlementAmount).next().unwrap();
    assert_eq!(amount.outcome, Outcome::Fail, "{}", amount.detail);
}

/// Signs another authorization of the same amount, for a leg of its own.
fn authorize_again(world: &mut World, leg: u32, at_us: u64) {
    let mut authorized = event_mut!(world, Authorized).clone();
    let admitted = event_mut!(world, Admitted);
    let pay_to = admitted.pay_to;
    let required = PaymentRequired::new(None, None, &[Offer::new(offer_terms())]);
    let admitted = spend_policy().admit(&required, pay_to, &Spent::default());
    let nonce = seamline_core::binding::leg_nonce(&world.h_bind, leg);
    let now = NOW.saturating_add(core::time::Duration::from_micros(at_us));
    let marks = Marks::default();
    let signed = upto::sign(&admitted.unwrap(), nonce, marks, &world.wallet, now).unwrap();
    let payload = signed.payload_json().as_bytes().to_vec();
    authorized.authorization = world.blob(EvidenceType::Authorization, payload);
    authorized.leg = leg;
    authorized.auth_nonce = signed.auth_nonce;
    authorized.digest = signed.digest;
    authorized.deadline_s = signed.deadline_s;
    let last = world.events.len() - 1;
    world.events.insert(last, (at_us, authorized.into()));
}

#[test]
fn legs_share_the_cap_of_the_call() {
    let mut world = World::new();
    // Two legs of 500 are within a cap of 1,000, and nobody knows about the second; a third is not.
    authorize_again(&mut world, 1, 505_000);
    open(&world.verify(), Claim::SettlementFinal, Outcome::Absent);
    authorize_again(&mut world, 2, 506_000);
    refuted(&world.verify(), Claim::AuthorizationCap);
}

#[test]
fn settled_and_then_forgotten() {
    let mut world = World::new();
    authorize_again(&mut world, 0, 505_000);
    refuted(&world.verify(), Claim::SettlementStates);
    // A further leg that was not settled does not undo the first.
    let mut world = World::new();
    let mut seen = event_mut!(world, SettlementSeen).clone();
    (seen.state, seen.amount) = (SettlementState::NotSettled, None);
    authorize_again(&mut world, 1, 505_000);
    let last = world.events.len() - 1;
    world.events.insert(last, (506_000, seen.into()));
    assert_eq!(world.verify().first_failure(), None);
    event_mut!(world, Closed).charged = Charged::No;
    refuted(&world.verify(), Claim::SettlementStates);
}

// Room

#[test]
fn events_that_were_not_recorded_corroborate_nothing() {
    let mut world = World::new();
    let clock = ClockRead {
        source: "block".into(),
        skew_ms: 0,
    };
    for _ in 0..=MAX_OF_KIND {
        let last = world.events.len() - 1;
        world.events.insert(last, (505_000, clock.clone().into()));
    }
    assert_eq!(world.seal().core().dropped, 1);
    open(&world.verify(), Claim::EventsDropped, Outcome::Absent);
}

/// Whatever a reader hides, a receipt that is refuted never becomes one that satisfies, and an
/// honest one never becomes one that is refuted.
#[test]
fn hiding_turns_nothing_into_its_opposite() {
    let lies: [fn(&mut World); 5] = [
        |_| {},
        connect_elsewhere,
        |world| event_mut!(world, SettleReplied).success = false,
        |world| event_mut!(world, RequestSent).node = NodeId::new(B256::repeat_byte(0xb0)),
        |world| event_mut!(world, Attested).leaf_not_after_ms += 1,
    ];
    for (which, lie) in lies.into_iter().enumerate() {
        let mut world = World::new();
        lie(&mut world);
        let honest = which == 0;
        let bundle = world.seal();
        let last = bundle.leaves().len() - 1;
        let status = |verdict: &Verdict| verdict.status;
        let whole = if honest {
            Status::Satisfied
        } else {
            Status::Refuted
        };
        assert_eq!(status(&world.verify()), whole, "{which}");
        for first in 1..last {
            for second in first..last {
                let verdict = world.check(&bundle.redact(&[first, second]).unwrap().encode());
                let hidden = [first, second];
                if honest {
                    assert_eq!(verdict.first_failure(), None, "{hidden:?}");
                } else {
                    assert_ne!(status(&verdict), Status::Satisfied, "{which}: {hidden:?}");
                }
            }
        }
    }
}
