//! A lying recorder: it has the right key, and seals whatever it wants to have happened. What other
//! parties signed, and what can be computed again, catches it by name.

use core::time::Duration;

use seamline_core::decision::{Decision, Verdict as Considered};
use seamline_core::receipt::*;
use seamline_core::{Address, Amount, B256, Charged, NodeId, SourceClass, binding};
use seamline_evm::Wallet;
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::upto::{self, Marks};
use seamline_evm::x402::{Offer, PaymentRequired};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Level, Network, Outcome, Status};

use crate::attestation::Attester;
use crate::fixture::{
    ANSWER, World, catalogue, decided, document, event_mut, offer_terms, pay_to, sign_response,
    spend_policy,
};

#[track_caller]
fn refuted(world: &World, claim: Claim) {
    let verdict = world.verify();
    let failed = verdict.first_failure().map(|finding| finding.claim);
    assert_eq!(failed, Some(claim), "{:?}", verdict.first_failure());
    assert_eq!(verdict.status, Status::Refuted);
    assert_eq!(verdict.level, Level::X);
}

#[track_caller]
fn incomplete(world: &World, claim: Claim, outcome: Outcome) {
    let verdict = world.verify();
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(verdict.status, Status::Incomplete);
    assert!(verdict.level < Level::L3);
    let found = verdict.about(claim).find(|it| it.outcome == outcome);
    assert!(
        found.is_some(),
        "{:?}",
        verdict.about(claim).collect::<Vec<_>>()
    );
}

// Order and causality

#[test]
fn two_opens() {
    let mut world = World::new();
    world.events.insert(3, (7_000, world.opened.clone().into()));
    refuted(&world, Claim::EventsOrder);
}

#[test]
fn close_in_the_middle() {
    let mut world = World::new();
    let close = world.events.last().unwrap().1.clone();
    world.events.insert(3, (7_000, close));
    refuted(&world, Claim::EventsOrder);
}

#[test]
fn admission_before_its_offer() {
    let mut world = World::new();
    event_mut!(world, Admitted).offer_event += 1;
    refuted(&world, Claim::EventsCausality);
}

#[test]
fn admission_of_something_else_than_an_offer() {
    let mut world = World::new();
    event_mut!(world, Admitted).offer_event -= 1;
    refuted(&world, Claim::EventsCausality);
}

// Policy and binding

#[test]
fn policy_swapped_under_its_hash() {
    let mut world = World::new();
    let mut route = crate::fixture::route_policy();
    route.cap = Amount::new(1_000_000);
    world.opened.route_policy = route.encode();
    refuted(&world, Claim::PolicyHash);
}

#[test]
fn policy_that_is_none() {
    let mut world = World::new();
    world.opened.spend_policy = vec![0xff];
    let opened = &mut world.opened;
    opened.policy_hash = binding::policy_hash(&opened.spend_policy, &opened.route_policy);
    refuted(&world, Claim::PolicyHash);
}

#[test]
fn number_of_another_call() {
    let mut world = World::new();
    world.opened.seq += 1;
    refuted(&world, Claim::RecorderCallId);
}

// Offer

#[test]
fn offer_read_cheaper_than_it_was() {
    let mut world = World::new();
    event_mut!(world, Admitted).amount = Amount::new(400);
    event_mut!(world, Authorized).amount = Amount::new(400);
    refuted(&world, Claim::OfferTerms);
}

#[test]
fn offer_that_is_no_json() {
    let mut world = World::new();
    event_mut!(world, Offered).offer = world.replace(EvidenceType::Offer, b"{}".to_vec());
    refuted(&world, Claim::OfferTerms);
}

#[test]
fn offer_of_another_token() {
    let mut world = World::new();
    event_mut!(world, Admitted).asset = Address::repeat_byte(1);
    refuted(&world, Claim::OfferTerms);
}

#[test]
fn offer_that_pays_somebody_else() {
    let mut terms = offer_terms();
    terms.pay_to = Address::repeat_byte(0x66).to_string();
    refuted(&World::with_offer(&terms), Claim::OfferPayTo);
}

// Authorization

/// Signs the payment again: by `wallet`, with `nonce`, at `now`.
fn resign(world: &mut World, wallet: &Wallet, nonce: B256, now: seamline_core::Timestamp) {
    let offers = [Offer::new(offer_terms())];
    let policy = SpendPolicy {
        max_lifetime_s: 100_000,
        ..spend_policy()
    };
    let required = PaymentRequired::new(None, None, &offers);
    let admitted = policy
        .admit(&required, pay_to(), &Spent::default())
        .unwrap();
    let signed = upto::sign(&admitted, nonce, Marks::default(), wallet, now).unwrap();
    let payload = signed.payload_json().as_bytes().to_vec();
    let hash = world.replace(EvidenceType::Authorization, payload);
    let event = event_mut!(world, Authorized);
    event.authorization = hash;
    event.digest = signed.digest;
    event.auth_nonce = signed.auth_nonce;
    event.deadline_s = signed.deadline_s;
}

#[test]
fn random_nonce() {
    let mut world = World::new();
    let wallet = Wallet::from_bytes(&[0x22; 32]).unwrap();
    resign(&mut world, &wallet, B256::repeat_byte(9), NOW);
    refuted(&world, Claim::AuthorizationNonce);
}

#[test]
fn nonce_of_another_leg() {
    let mut world = World::new();
    event_mut!(world, Authorized).leg = 1;
    refuted(&world, Claim::AuthorizationNonce);
}

#[test]
fn authorization_of_another_call_under_the_right_nonce() {
    let mut world = World::new();
    let (wallet, own) = (Wallet::from_bytes(&[0x22; 32]).unwrap(), world.h_bind);
    resign(&mut world, &wallet, B256::repeat_byte(9), NOW);
    event_mut!(world, Authorized).auth_nonce = own;
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn authorization_by_another_payer() {
    let mut world = World::new();
    let (wallet, nonce) = (Wallet::from_bytes(&[0x23; 32]).unwrap(), world.h_bind);
    resign(&mut world, &wallet, nonce, NOW);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn payer_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).payer = Address::repeat_byte(1);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn digest_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).digest = B256::repeat_byte(1);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn signature_edited() {
    let mut world = World::new();
    let mut payload = world.blob_of(EvidenceType::Authorization).to_vec();
    let text = String::from_utf8(payload.clone()).unwrap();
    let at = text.find("\"signature\":\"0x").unwrap() + 20;
    payload[at] = if payload[at] == b'0' { b'1' } else { b'0' };
    let hash = world.replace(EvidenceType::Authorization, payload);
    event_mut!(world, Authorized).authorization = hash;
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn authorized_amount_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).amount = Amount::new(499);
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn deadline_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).deadline_s -= 100;
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn payment_above_the_cap() {
    let mut terms = offer_terms();
    terms.amount = "1001".to_owned();
    refuted(&World::with_offer(&terms), Claim::AuthorizationCap);
}

#[test]
fn facilitator_that_is_not_trusted() {
    let mut world = World::new();
    world.trust.facilitators = vec![Address::repeat_byte(1)];
    refuted(&world, Claim::AuthorizationCap);
}

#[test]
fn authorization_that_had_expired() {
    let mut world = World::new();
    let (wallet, nonce) = (Wallet::from_bytes(&[0x22; 32]).unwrap(), world.h_bind);
    let before = NOW.saturating_sub(Duration::from_secs(301));
    resign(&mut world, &wallet, nonce, before);
    refuted(&world, Claim::AuthorizationLifetime);
}

#[test]
fn authorization_that_lives_too_long() {
    let mut world = World::new();
    let (wallet, nonce) = (Wallet::from_bytes(&[0x22; 32]).unwrap(), world.h_bind);
    let after = NOW.saturating_add(Duration::from_secs(60));
    resign(&mut world, &wallet, nonce, after);
    refuted(&world, Claim::AuthorizationLifetime);
}

// Settlement

#[test]
fn settle_reply_read_otherwise() {
    let mut world = World::new();
    event_mut!(world, SettleReplied).amount = Some(Amount::new(1));
    refuted(&world, Claim::SettlementReply);
}

#[test]
fn more_settled_than_authorized() {
    let mut world = World::new();
    event_mut!(world, SettlementSeen).amount = Some(Amount::new(501));
    refuted(&world, Claim::SettlementAmount);
}

#[test]
fn settled_without_an_amount() {
    let mut world = World::new();
    event_mut!(world, SettlementSeen).amount = None;
    refuted(&world, Claim::SettlementAmount);
}

/// Inserts a further settlement event before the close event.
fn settle_again(world: &mut World, change: impl FnOnce(&mut SettlementSeen)) {
    let mut seen = event_mut!(world, SettlementSeen).clone();
    change(&mut seen);
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, seen.into()));
}

#[test]
fn settlement_taken_back() {
    let mut world = World::new();
    settle_again(&mut world, |seen| seen.state = SettlementState::NotSettled);
    refuted(&world, Claim::SettlementStates);
}

#[test]
fn settlement_in_two_transactions() {
    let mut world = World::new();
    settle_again(&mut world, |seen| {
        seen.transaction = Some(B256::repeat_byte(1));
    });
    refuted(&world, Claim::SettlementStates);
}

#[test]
fn settled_and_not_charged() {
    let mut world = World::new();
    event_mut!(world, Closed).charged = Charged::No;
    refuted(&world, Claim::SettlementStates);
}

#[test]
fn settlement_unknown_is_not_a_success() {
    let mut world = World::new();
    let seen = event_mut!(world, SettlementSeen);
    seen.state = SettlementState::Unknown;
    event_mut!(world, Closed).charged = Charged::Unknown;
    incomplete(&world, Claim::SettlementFinal, Outcome::Absent);
}

// Evidence

#[test]
fn evidence_under_another_root() {
    let mut world = World::new();
    let other = Attester::new(NOW).sign(&document(&binding::evidence_nonce(&world.h_bind)));
    let hash = world.replace(EvidenceType::Attestation, other);
    event_mut!(world, EvidenceFetched).evidence = hash;
    incomplete(&world, Claim::EvidenceVerified, Outcome::Absent);
}

#[test]
fn evidence_edited() {
    let mut world = World::new();
    let mut document = world.blob_of(EvidenceType::Attestation).to_vec();
    let last = document.len() - 1;
    document[last] ^= 1;
    let hash = world.replace(EvidenceType::Attestation, document);
    event_mut!(world, EvidenceFetched).evidence = hash;
    refuted(&world, Claim::EvidenceVerified);
}

#[test]
fn evidence_from_before_the_call() {
    let mut world = World::new();
    let mut stale = document(&binding::evidence_nonce(&world.h_bind));
    stale.timestamp = NOW.saturating_sub(Duration::from_secs(30));
    world.reattest(&stale);
    assert_eq!(world.verify().first_failure(), None);
    // The leaf begins one minute before: older documents cannot even be its own.
    world.opened.wall_ms += 400_000;
    event_mut!(world, Decided).now_ms += 400_000;
    refuted_among(&world, Claim::EvidenceVerified);
}

/// The claim is among those that fail, not necessarily the first.
#[track_caller]
fn refuted_among(world: &World, claim: Claim) {
    let verdict = world.verify();
    let failed = verdict.about(claim).any(|it| it.outcome == Outcome::Fail);
    assert!(failed, "{:#?}", verdict.findings);
    assert_eq!(verdict.status, Status::Refuted);
}

#[test]
fn evidence_with_the_nonce_of_another_call() {
    let mut world = World::new();
    world.reattest(&document(&[9; 20]));
    refuted(&world, Claim::EvidenceNonce);
}

#[test]
fn evidence_nonce_edited() {
    let mut world = World::new();
    event_mut!(world, EvidenceFetched).evidence_nonce = [9; 20];
    refuted(&world, Claim::EvidenceNonce);
}

#[test]
fn cached_evidence_may_carry_an_older_nonce() {
    let mut world = World::new();
    world.reattest(&document(&[9; 20]));
    let fetched = event_mut!(world, EvidenceFetched);
    fetched.fetched_for_this_call = false;
    fetched.age_ms = 60_000;
    let verdict = world.verify();
    assert_eq!(verdict.status, Status::Satisfied, "{verdict:#?}");
}

#[test]
fn other_code_in_the_enclave() {
    let mut world = World::new();
    let mut other = document(&binding::evidence_nonce(&world.h_bind));
    other.pcrs = [[7; 48], [2; 48], [3; 48]];
    world.reattest(&other);
    refuted(&world, Claim::EvidenceMeasurement);
}

#[test]
fn code_that_only_the_policy_allows() {
    let mut world = World::new();
    world.trust.measurements = Vec::new();
    incomplete(&world, Claim::EvidenceMeasurement, Outcome::Absent);
}

#[test]
fn connection_to_another_certificate() {
    let mut world = World::new();
    event_mut!(world, TlsBound).cert_sha256 = B256::repeat_byte(1);
    refuted(&world, Claim::EvidenceTls);
}

#[test]
fn evidence_for_another_key() {
    let mut world = World::new();
    let mut other = document(&binding::evidence_nonce(&world.h_bind));
    other.app_sha256 = B256::repeat_byte(1);
    world.reattest(&other);
    event_mut!(world, Attested).signing_key_sha256 =
        event_mut!(world, SignatureChecked).signing_key;
    refuted(&world, Claim::EvidenceSigningKey);
}

#[test]
fn evidence_for_another_node() {
    let mut world = World::new();
    let other = NodeId::new(B256::repeat_byte(0xb0));
    event_mut!(world, EvidenceFetched).node = other;
    event_mut!(world, Attested).node = other;
    event_mut!(world, TlsBound).node = other;
    refuted(&world, Claim::EvidenceSigningKey);
}

#[test]
fn development_evidence_called_hardware() {
    let mut world = World::new();
    event_mut!(world, Attested).source = SourceClass::Hardware;
    refuted(&world, Claim::EvidenceReading);
    // The reader is told all the same, although the core carries no marker.
    assert!(world.verify().dev);
}

#[test]
fn end_of_validity_edited() {
    let mut world = World::new();
    event_mut!(world, Attested).leaf_not_after_ms += 1;
    refuted(&world, Claim::EvidenceReading);
}

#[test]
fn answer_without_evidence() {
    let mut world = World::new();
    let attested = |event: &Event| matches!(event, Event::Attested(_));
    world.events.retain(|(_, event)| !attested(event));
    event_mut!(world, Admitted).offer_event -= 1;
    incomplete(&world, Claim::EvidenceVerified, Outcome::Absent);
}

// Response

#[test]
fn answer_edited() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).output_hash = B256::repeat_byte(1);
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn request_edited() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).input_hash = B256::repeat_byte(1);
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn response_signature_edited() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).signature[5] ^= 1;
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn good_signature_called_bad() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).ok = false;
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn bad_signature_recorded_as_bad_in_a_failed_call() {
    let mut world = World::new();
    let checked = event_mut!(world, SignatureChecked);
    checked.signature[5] ^= 1;
    checked.ok = false;
    refuted(&world, Claim::ResponseSignature);
    let closed = event_mut!(world, Closed);
    closed.outcome = seamline_core::receipt::Outcome::Failed;
    closed.error_code = Some("response_signature".into());
    incomplete(&world, Claim::ResponseSignature, Outcome::Absent);
}

#[test]
fn recording_of_an_older_answer() {
    let mut world = World::new();
    *event_mut!(world, SignatureChecked) = sign_response(ANSWER, NOW.as_secs() - 301);
    refuted(&world, Claim::ResponseTime);
}

#[test]
fn refused_recording_is_an_honest_receipt_of_a_lying_node() {
    let mut world = World::new();
    *event_mut!(world, SignatureChecked) = sign_response(ANSWER, NOW.as_secs() - 301);
    event_mut!(world, SignatureChecked).ok = false;
    let closed = event_mut!(world, Closed);
    closed.outcome = seamline_core::receipt::Outcome::Failed;
    closed.error_code = Some("signature_time".into());
    incomplete(&world, Claim::ResponseTime, Outcome::Absent);
}

#[test]
fn unsigned_answer() {
    let mut world = World::new();
    let signed = |event: &Event| matches!(event, Event::SignatureChecked(_));
    world.events.retain(|(_, event)| !signed(event));
    incomplete(&world, Claim::ResponseSignature, Outcome::Absent);
}

#[test]
fn another_request_attached() {
    let mut world = World::new();
    let mut blob = world.blob_of(EvidenceType::Request).to_vec();
    blob.push(b' ');
    world.replace(EvidenceType::Request, blob);
    refuted(&world, Claim::RequestContent);
}

#[test]
fn request_that_was_committed_but_not_signed() {
    let mut world = World::new();
    let body = br#"{"model":"seamline/guide","messages":[{"role":"user","content":"other"}]}"#;
    let blob = [[0x5a; 16].as_slice(), body].concat();
    world.replace(EvidenceType::Request, blob);
    // A request commitment of its own changes the binding and with it the whole payment.
    world.opened.req_commitment = binding::request_commitment(&[0x5a; 16], body);
    refuted_among(&world, Claim::RequestContent);
}

#[test]
fn another_answer_attached() {
    let mut world = World::new();
    let blob = [[0x5a; 16].as_slice(), b"No."].concat();
    world.replace(EvidenceType::Output, blob);
    refuted(&world, Claim::OutputContent);
}

#[test]
fn answer_that_was_committed_but_not_signed() {
    let mut world = World::new();
    let blob = [[0x5a; 16].as_slice(), b"No."].concat();
    world.replace(EvidenceType::Output, blob);
    event_mut!(world, ResponseEnded).output_commitment =
        binding::output_commitment(&[0x5a; 16], b"No.");
    refuted(&world, Claim::OutputContent);
}

// Catalogue and decision

#[test]
fn catalogue_root_edited() {
    let mut world = World::new();
    event_mut!(world, CatalogueRead).root = B256::repeat_byte(1);
    refuted(&world, Claim::CatalogueRoot);
}

#[test]
fn candidate_edited_under_its_root() {
    let mut world = World::new();
    let mut candidates = catalogue().candidates().to_vec();
    candidates[0].health_ppm = 1;
    let edited = seamline_core::decision::Catalogue::new(candidates).unwrap();
    event_mut!(world, CatalogueRead).candidates = edited.encode();
    refuted(&world, Claim::CatalogueRoot);
}

#[test]
fn registry_of_another_network() {
    let mut world = World::new();
    world.trust.network = Some(Network {
        chain_id: 31_610,
        registry: Address::repeat_byte(1),
    });
    refuted(&world, Claim::CatalogueRegistry);
}

#[test]
fn candidate_dropped_with_its_root() {
    let mut world = World::new();
    let own = world.node;
    let rest = catalogue().candidates().to_vec();
    let dropped = rest.into_iter().filter(|it| it.node == own).collect();
    let catalogue = seamline_core::decision::Catalogue::new(dropped).unwrap();
    let read = event_mut!(world, CatalogueRead);
    read.root = catalogue.root();
    read.candidates = catalogue.encode();
    refuted(&world, Claim::DecisionReplay);
}

/// Seals another decision than the one that the function takes.
#[track_caller]
fn decision_lie(change: impl FnOnce(&mut Decision)) {
    let mut world = World::new();
    let mut decision = decided(&catalogue());
    change(&mut decision);
    event_mut!(world, Decided).decision = decision.encode();
    refuted(&world, Claim::DecisionReplay);
}

#[test]
fn decisions_edited() {
    decision_lie(|decision| decision.margin_ppm += 1);
    decision_lie(|decision| decision.propensity.0 -= 1);
    decision_lie(|decision| decision.propensity.1 += 1);
    decision_lie(|decision| decision.runner_up = None);
    decision_lie(|decision| decision.usable += 1);
    decision_lie(|decision| decision.flips.clear());
    decision_lie(|decision| {
        decision.candidates.pop();
    });
    decision_lie(|decision| {
        for considered in &mut decision.candidates {
            if let Considered::Usable { score } = &mut considered.verdict {
                *score += 1;
            }
        }
    });
    decision_lie(|decision| decision.deciding = seamline_core::decision::DecidingKey::Only);
    decision_lie(|decision| decision.rank.reverse());
}

#[test]
fn decision_that_is_none() {
    // Such a call cannot even be sealed: its summary cannot be made.
    let mut world = World::new();
    event_mut!(world, Decided).decision = vec![0xff];
    let (index, what) = (2, "decision");
    assert_eq!(
        world.try_seal().unwrap_err(),
        Error::Unreadable { index, what }
    );
}

#[test]
fn another_node_chosen() {
    let mut world = World::new();
    let mut decision = decided(&catalogue());
    decision.chosen = decision.runner_up;
    event_mut!(world, Decided).decision = decision.encode();
    refuted(&world, Claim::DecisionReplay);
}

#[test]
fn another_draw() {
    let mut world = World::new();
    event_mut!(world, Decided).draw = B256::repeat_byte(1);
    refuted(&world, Claim::DecisionDraw);
}

#[test]
fn decision_at_another_time() {
    let mut world = World::new();
    event_mut!(world, Decided).now_ms += 11_000;
    refuted(&world, Claim::DecisionTime);
}

#[test]
fn unknown_engine() {
    let mut world = World::new();
    event_mut!(world, Decided).engine = "seamline/decide/9".into();
    incomplete(&world, Claim::DecisionReplay, Outcome::Absent);
}

#[test]
fn request_to_a_node_that_was_not_chosen() {
    let mut world = World::new();
    event_mut!(world, RequestSent).node = NodeId::new(B256::repeat_byte(0xb0));
    refuted(&world, Claim::DecisionFollowed);
}

#[test]
fn fallback_to_a_node_that_was_rejected() {
    let mut world = World::new();
    let fell = FellBack {
        from: world.node,
        to: NodeId::new(B256::repeat_byte(0xd0)),
        cause: "node_down".into(),
    };
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, fell.into()));
    refuted(&world, Claim::DecisionFollowed);
}
