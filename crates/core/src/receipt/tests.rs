use alloy_primitives::{Address, B256};
use proptest::prelude::*;

use super::*;
use crate::decision::{self, Catalogue, RoutePolicy};
use crate::{Amount, CallId, Charged, NodeId, SourceClass, Timestamp, binding, cbor, sha256};

const SEED: [u8; 32] = [0x11; 32];

fn opened(spend_policy: Vec<u8>) -> Opened {
    let recorder = *SealingKey::from_seed(&SEED).public_key().as_bytes();
    Opened {
        seq: 3,
        call_id: binding::call_id(&recorder, 3),
        req_commitment: B256::repeat_byte(1),
        policy_hash: binding::policy_hash(&spend_policy, &[]),
        spend_policy,
        route_policy: Vec::new(),
        wall_ms: 1_780_272_000_000,
        draw_commitment: B256::repeat_byte(2),
        recorder,
    }
}

fn closed() -> Closed {
    Closed {
        outcome: Outcome::Failed,
        error_code: Some("node_down".into()),
        charged: Charged::Unknown,
    }
}

fn recorder() -> Recorder {
    Recorder::new([7; 32], 1_000, opened(Vec::new()))
}

fn seal(recorder: Recorder) -> Result<Sealed, Error> {
    recorder.seal(B256::ZERO, &SealingKey::from_seed(&SEED))
}

/// One event of every kind, with every optional field once present and once absent.
fn one_of_each() -> Vec<Event> {
    let (node, hash, at) = (
        NodeId::new(B256::repeat_byte(3)),
        B256::repeat_byte(4),
        Address::ZERO,
    );
    let policy = RoutePolicy {
        model: "m".to_owned(),
        cap: Amount::new(1),
        weight_price: 1,
        weight_latency: 1,
        weight_health: 1,
        latency_bound_us: 1,
        explore_ppm: 0,
        max_heartbeat_age_s: 1,
        measurements: Vec::new(),
        network: String::new(),
        asset: at,
        avoid: Vec::new(),
    };
    let now = Timestamp::from_millis(1);
    let decision = decision::decide(&policy, &Catalogue::default(), now, &hash);
    vec![
        CatalogueRead {
            chain_id: 1,
            block_number: 2,
            block_hash: hash,
            registry: at,
            read_age_ms: 3,
            root: Catalogue::default().root(),
            candidates: Catalogue::default().encode(),
            block_time_s: 4,
        }
        .into(),
        Decided {
            draw: hash,
            now_ms: 1,
            attempt: 0,
            decision: decision.encode(),
            engine: decision::ENGINE.into(),
        }
        .into(),
        EvidenceFetched {
            node,
            evidence: sha256(&[b"evidence"]),
            evidence_nonce: [5; 20],
            fetched_for_this_call: true,
            age_ms: 0,
            max_age_ms: 1,
        }
        .into(),
        Attested {
            node,
            source: SourceClass::Hardware,
            kind: "aws-nitro".into(),
            measurement: hash,
            tls_cert_sha256: hash,
            signing_key_sha256: hash,
            leaf_not_after_ms: u64::MAX,
            doc_timestamp_ms: 0,
        }
        .into(),
        TlsBound {
            node,
            cert_sha256: hash,
        }
        .into(),
        RequestSent {
            node,
            attempt: 0,
            paid: true,
            bytes: 9,
        }
        .into(),
        Offered {
            node,
            offer: sha256(&[b"offer"]),
            remembered: true,
        }
        .into(),
        Admitted {
            offer_event: 7,
            amount: Amount::MAX,
            asset: at,
            network: "eip155:1".into(),
            pay_to: at,
            scheme: "upto".into(),
            max_timeout_s: 1,
        }
        .into(),
        Authorized {
            auth_nonce: hash,
            leg: 0,
            payer: at,
            amount: Amount::ZERO,
            deadline_s: 1,
            digest: hash,
            authorization: sha256(&[b"authorization"]),
        }
        .into(),
        ResponseFirst { status: 200 }.into(),
        Stalled {
            gap_us: 1,
            median_us: 2,
            after_chunks: 3,
        }
        .into(),
        ResponseEnded {
            bytes: 1,
            chunks: 2,
            output_commitment: hash,
        }
        .into(),
        SignatureChecked {
            node,
            input_hash: hash,
            output_hash: hash,
            timestamp_s: 1,
            signature: vec![1; 256],
            signing_key: sha256(&[b"key"]),
            ok: false,
            after_use_bytes: 0,
        }
        .into(),
        Retried {
            cause: "timeout".into(),
            attempt: 1,
            wait_ms: 1,
        }
        .into(),
        FellBack {
            from: node,
            to: node,
            cause: "".into(),
        }
        .into(),
        SettleReplied {
            settle_response: sha256(&[b"reply"]),
            success: false,
            transaction: None,
            amount: Some(Amount::new(1)),
        }
        .into(),
        SettlementSeen {
            state: SettlementState::Unknown,
            transaction: Some(hash),
            block_number: None,
            block_hash: Some(hash),
            amount: None,
            waited_ms: 1,
        }
        .into(),
        ClockRead {
            source: "block".into(),
            skew_ms: i64::MIN,
        }
        .into(),
        VoucherSigned {
            channel: hash,
            payer: at,
            charged_before: Amount::ZERO,
            max_claimable: Amount::MAX,
            amount: Amount::new(2),
            deposit: Some(Amount::new(3)),
            digest: hash,
            authorization: sha256(&[b"authorization"]),
        }
        .into(),
        VoucherCharged {
            channel: hash,
            amount: Amount::new(1),
            charged_after: Amount::new(1),
            deposit_transaction: None,
        }
        .into(),
        SessionNamed {
            channel: hash,
            session_nonce: hash,
            bind: hash,
        }
        .into(),
        Purchased {
            origin: "https://api.example".into(),
            payee: "listed".into(),
        }
        .into(),
        RecordSeen {
            stage: RecordStage::Recorded,
            mode: RecordMode::Batch,
            via: "chain".into(),
            chain_id: Some(31_610),
            contract: Some(Address::repeat_byte(6)),
            root: Some(hash),
            siblings: Some(vec![7; 64]),
            transaction: Some(hash),
            block_number: Some(12),
            block_hash: Some(hash),
            blob: Some("blob-1".into()),
            job: Some("job-1".into()),
        }
        .into(),
        Asserted {
            node,
            fact: "usage".into(),
            against: "request".into(),
        }
        .into(),
    ]
}

fn full() -> Recorder {
    let mut recorder = recorder();
    for blob in ["evidence", "offer", "authorization", "key", "reply"] {
        recorder.attach(EvidenceType::Offer, blob.into());
    }
    for (at, event) in (2_000..).zip(one_of_each()) {
        recorder.record(at, event);
    }
    recorder.record(9_000, closed());
    recorder
}

#[test]
fn every_kind_of_event_round_trips() {
    let mut kinds = std::collections::BTreeSet::new();
    let all = one_of_each();
    let ends: [Event; 2] = [opened(vec![1]).into(), closed().into()];
    for event in all.into_iter().chain(ends) {
        kinds.insert(event.kind());
        let recorded = Recorded { dt_us: 77, event };
        assert_eq!(Recorded::decode(&recorded.encode()), Ok(recorded));
    }
    assert_eq!(kinds.len(), EventKind::ALL.len(), "a kind is not tested");
    for &kind in EventKind::ALL {
        assert_eq!(EventKind::from_number(kind.number()), Some(kind));
    }
    assert_eq!(EventKind::from_number(0), None);
}

#[test]
fn a_sealed_receipt_decodes_and_passes_its_checks() {
    let sealed = seal(full()).unwrap();
    let bundle = Bundle::decode(&sealed.bytes()).unwrap();
    assert_eq!(bundle, sealed.bundle);
    assert_eq!(bundle.receipt_hash(), sealed.receipt_hash);
    let events = EventKind::ALL.len();
    assert_eq!(bundle.slots().len(), events);
    assert_eq!(bundle.check_kinds(), Ok(()));
    assert_eq!(bundle.check_root(), Ok(()));
    assert_eq!(bundle.check_open_leaf(), Ok(()));
    assert_eq!(bundle.check_order(), Ok(()));
    assert_eq!(bundle.check_causality(), Ok(()));
    assert_eq!(bundle.check_evidence(), Ok(()));
    bundle.check_signature().unwrap();
    assert_eq!(bundle.private_events(), [13]);
    let summary = &bundle.core().summary;
    assert_eq!(summary.outcome, Outcome::Failed);
    // The charge is the last word.
    assert_eq!(summary.cost.state, SettlementState::Submitted);
    assert_eq!(summary.cost.quoted, Amount::MAX);
    assert!(!summary.dev);
}

#[test]
fn the_receipt_hash_is_not_over_the_signature() {
    let sealed = seal(full()).unwrap();
    let mut bytes = sealed.bytes();
    let signature = sealed.bundle.sign1.encode();
    let end = signature.len() + 5 + 1 + 1 + 3;
    bytes[end - 1] ^= 1;
    let other = Bundle::decode(&bytes).unwrap();
    assert_eq!(other.check_signature(), Err(Error::BadSignature));
    assert_eq!(other.receipt_hash(), sealed.receipt_hash);
}

#[test]
fn the_open_leaf_is_known_before_anything_happens() {
    let recorder = full();
    let (leaf, h_bind) = (recorder.open_leaf(), recorder.h_bind());
    let core = seal(recorder).unwrap().bundle.core().clone();
    assert_eq!(core.open_leaf, leaf);
    assert_eq!(core.h_bind, h_bind);
}

#[test]
fn times_never_fall() {
    let mut recorder = recorder();
    recorder.record(900, ResponseFirst { status: 1 });
    recorder.record(5_000, ResponseFirst { status: 2 });
    recorder.record(4_000, ResponseFirst { status: 3 });
    let times: Vec<u64> = recorder.events().iter().map(|it| it.dt_us).collect();
    assert_eq!(times, [0, 0, 4_000, 4_000]);
}

#[test]
fn what_cannot_be_sealed_says_why() {
    assert_eq!(seal(recorder()).unwrap_err(), Error::NotClosed);
    let mut late = recorder();
    late.record(0, closed());
    late.record(0, ResponseFirst { status: 1 });
    assert_eq!(seal(late).unwrap_err(), Error::NotClosed);

    let other = SealingKey::from_seed(&[9; 32]);
    assert_eq!(
        full().seal(B256::ZERO, &other).unwrap_err(),
        Error::OtherKey
    );

    let mut unlisted = recorder();
    let (node, offer, remembered) = (NodeId::new(B256::ZERO), B256::ZERO, false);
    unlisted.record(
        0,
        Offered {
            node,
            offer,
            remembered,
        },
    );
    unlisted.record(0, closed());
    let hash = B256::ZERO;
    assert_eq!(
        seal(unlisted).unwrap_err(),
        Error::EvidenceUnlisted { hash }
    );

    let mut much = recorder();
    for index in 0..=MAX_EVIDENCE {
        much.attach(EvidenceType::Offer, index.to_be_bytes().to_vec());
    }
    much.record(0, closed());
    let (part, len, max) = (Part::Evidence, MAX_EVIDENCE + 1, MAX_EVIDENCE);
    assert_eq!(seal(much).unwrap_err(), Error::TooLarge { part, len, max });

    let mut large = recorder();
    large.attach(EvidenceType::Output, vec![0; MAX_BUNDLE]);
    large.record(0, closed());
    let refused = seal(large).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::TooLarge {
                part: Part::Bundle,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn events_beyond_the_bound_are_counted_and_the_close_event_still_fits() {
    let mut recorder = recorder();
    let (gap_us, median_us) = (1, 1);
    for index in 0..MAX_EVENTS + 10 {
        let after_chunks = u64::try_from(index).unwrap();
        let stalled = Stalled {
            gap_us,
            median_us,
            after_chunks,
        };
        recorder.record(after_chunks, stalled);
    }
    recorder.record(9_999_999, closed());
    let bundle = seal(recorder).unwrap().bundle;
    assert_eq!(bundle.leaves().len(), MAX_EVENTS);
    assert_eq!(bundle.core().dropped, 12);
    let decoded = Bundle::decode(&bundle.encode()).unwrap();
    assert_eq!(decoded.check_order(), Ok(()));
}

#[test]
fn one_kind_cannot_fill_a_receipt() {
    let mut recorder = recorder();
    for _ in 0..MAX_OF_KIND + 3 {
        recorder.record(1, ResponseFirst { status: 1 });
    }
    recorder.record(2, closed());
    let mut core = seal(recorder).unwrap().bundle.core().clone();
    assert_eq!(core.dropped, 3);
    assert_eq!(Core::decode(&core.encode()), Ok(core.clone()));
    core.kinds.push(EventKind::ResponseFirst);
    let (part, len, max) = (Part::Event, MAX_OF_KIND + 1, MAX_OF_KIND);
    let refused = Core::decode(&core.encode()).unwrap_err();
    assert_eq!(refused, Error::TooLarge { part, len, max });
}

#[test]
fn redaction_hides_events_and_their_evidence() {
    let bundle = seal(full()).unwrap().bundle;
    let last = bundle.leaves().len() - 1;
    for index in [0, last, last + 1, usize::MAX] {
        assert_eq!(
            bundle.redact(&[index]).unwrap_err(),
            Error::NotHideable { index }
        );
    }
    let redacted = bundle.redact(&bundle.private_events()).unwrap();
    assert_eq!(redacted.private_events(), [0; 0]);
    assert_eq!(
        redacted.slots()[13],
        Slot::Hidden(EventKind::SignatureChecked)
    );
    assert!(redacted.evidence(&sha256(&[b"key"])).is_none());
    assert!(redacted.evidence(&sha256(&[b"offer"])).is_some());
    assert_eq!(redacted.check_root(), Ok(()));
    assert_eq!(redacted.receipt_hash(), bundle.receipt_hash());
    let twice = redacted.redact(&[13, 2]).unwrap();
    assert_eq!(twice.check_root(), Ok(()));
    assert_eq!(Bundle::decode(&twice.encode()), Ok(twice));
}

#[test]
fn hidden_parts_of_the_summary_are_told_from_wrong_ones() {
    let bundle = seal(full()).unwrap().bundle;
    let mut summary = bundle.core().summary.clone();
    let equal = |(_, compared)| compared == Compared::Equal;
    assert!(summary.compare(&bundle.slots()).into_iter().all(equal));
    let without_money = bundle.redact(&[9]).unwrap();
    for (part, compared) in summary.compare(&without_money.slots()) {
        let expected = if part == SummaryPart::Cost {
            Compared::Hidden
        } else {
            Compared::Equal
        };
        assert_eq!(compared, expected, "{part:?}");
    }
    summary.dev = true;
    let compared = summary.compare(&bundle.slots());
    assert!(compared.contains(&(SummaryPart::Dev, Compared::Different)));
}

#[test]
fn words_are_printable_and_short() {
    let word = Word::new("a\u{1b}[31mb\u{202e}\n");
    assert_eq!(word.as_str(), "a?[31mb??");
    assert_eq!(Word::new(&"x".repeat(1_000)).as_str().len(), MAX_WORD);
    let event = Recorded {
        dt_us: 0,
        event: closed().into(),
    };
    let mut bytes = event.encode();
    let at = bytes
        .windows(4)
        .position(|window| window == b"node")
        .unwrap();
    bytes[at] = 0x07;
    let field = "error_code";
    let refused = Recorded::decode(&bytes).unwrap_err();
    assert!(matches!(refused, cbor::Error::OutOfRange { field: it, .. } if it == field));
}

#[test]
fn keys_of_small_order_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(PublicKey::from_bytes(&identity), Err(Error::BadKey));
    assert_eq!(PublicKey::from_bytes(&[0xff; 32]), Err(Error::BadKey));
    let key = SealingKey::from_seed(&SEED).public_key();
    assert_eq!(PublicKey::parse(&key.to_string()), Ok(key));
    assert_eq!(PublicKey::parse("00"), Err(Error::BadKey));
}

#[test]
fn secrets_do_not_print() {
    let printed = format!("{:?} {:?}", SealingKey::from_seed(&SEED), full());
    assert!(!printed.contains("1111"), "{printed}");
    let printed = format!("{:?}", seal(full()).unwrap());
    assert!(!printed.contains("authorization"), "{printed}");
}

#[test]
fn a_plain_receipt_is_small() {
    let sealed = seal(full()).unwrap();
    let core = sealed.bundle.core().encode().len();
    assert!(core < 1_300, "{core} bytes");
}

#[test]
fn the_call_id_separates_installations() {
    let id: CallId = binding::call_id(&[1; 32], 0);
    assert_ne!(id, binding::call_id(&[2; 32], 0));
    assert_ne!(id, binding::call_id(&[1; 32], 1));
}

proptest! {
    #[test]
    fn decoding_never_panics_and_is_exact(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut file = MAGIC.to_vec();
        file.extend(&bytes);
        if let Ok(bundle) = Bundle::decode(&file) {
            prop_assert_eq!(bundle.encode(), file);
        }
        if let Ok(recorded) = Recorded::decode(&bytes) {
            prop_assert_eq!(recorded.encode(), bytes);
        }
    }
}
