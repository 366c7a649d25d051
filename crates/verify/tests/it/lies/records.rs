//! The answer's record on a chain: within the receipt, later, and as nobody may be believed about it.

use seamline_core::receipt::log::{Body, Entry};
use seamline_core::receipt::{
    Amendment, Closed, Event, EventKind, RecordMode, RecordSeen, RecordStage, Recorded,
    SignatureChecked,
};
use seamline_core::{Address, B256, SourceClass, U256};
use seamline_evm::merkle::{Leaf, StandardMerkleTree};
use seamline_verify::{Claim, Outcome, Status, Verdict, verify_amended};

use crate::fixture::{World, later};

/// The leaf of the world's answer.
fn leaf(world: &World) -> Leaf {
    let mut events = world.events.iter();
    let signed = events
        .find_map(|(_, event)| event.get::<SignatureChecked>())
        .unwrap();
    Leaf {
        tee_id: *signed.node.as_b256(),
        input_hash: signed.input_hash,
        output_hash: signed.output_hash,
        signature: signed.signature.clone().into(),
        timestamp: U256::from(signed.timestamp_s),
    }
}

/// A batch of the world's answer and others: root and siblings.
pub(crate) fn batch(world: &World, others: u8) -> (B256, Vec<u8>) {
    let mine = leaf(world);
    let mut leaves = vec![mine.clone()];
    for byte in 0..others {
        leaves.push(Leaf {
            output_hash: B256::repeat_byte(byte),
            ..mine.clone()
        });
    }
    let tree = StandardMerkleTree::new(leaves).unwrap();
    let proof = tree.proof(0).unwrap();
    (tree.root(), proof.iter().flat_map(|it| it.0).collect())
}

pub(crate) const fn asked(mode: RecordMode) -> RecordSeen {
    RecordSeen {
        stage: RecordStage::Asked,
        mode,
        via: seamline_core::receipt::Word::EMPTY,
        chain_id: None,
        contract: None,
        root: None,
        siblings: None,
        transaction: None,
        block_number: None,
        block_hash: None,
        blob: None,
        job: None,
    }
}

pub(crate) fn included(world: &World) -> RecordSeen {
    let (root, siblings) = batch(world, 4);
    RecordSeen {
        stage: RecordStage::Included,
        via: "proof".into(),
        chain_id: Some(31_610),
        contract: Some(Address::repeat_byte(0x5e)),
        root: Some(root),
        siblings: Some(siblings),
        ..asked(RecordMode::Batch)
    }
}

pub(crate) fn recorded(world: &World) -> RecordSeen {
    RecordSeen {
        stage: RecordStage::Recorded,
        via: "chain".into(),
        transaction: Some(B256::repeat_byte(0xd1)),
        block_number: Some(99),
        block_hash: Some(B256::repeat_byte(0xd2)),
        blob: Some("blob-1".into()),
        ..included(world)
    }
}

fn individual(world: &World) -> RecordSeen {
    RecordSeen {
        mode: RecordMode::Individual,
        root: None,
        siblings: None,
        ..recorded(world)
    }
}

fn named(mode: RecordMode) -> RecordSeen {
    RecordSeen {
        stage: RecordStage::Named,
        via: "header".into(),
        transaction: Some(B256::repeat_byte(0xd1)),
        job: Some("settlement-individual-1".into()),
        ..asked(mode)
    }
}

fn missing(mode: RecordMode) -> RecordSeen {
    RecordSeen {
        stage: RecordStage::Missing,
        via: "chain".into(),
        chain_id: Some(31_610),
        contract: Some(Address::repeat_byte(0x5e)),
        transaction: Some(B256::repeat_byte(0xd1)),
        ..asked(mode)
    }
}

fn failed(mode: RecordMode) -> RecordSeen {
    RecordSeen {
        stage: RecordStage::Failed,
        via: "frame".into(),
        ..asked(mode)
    }
}

pub(crate) fn amendment(world: &World, index: u64, seen: RecordSeen) -> Vec<u8> {
    let entry = Entry {
        index,
        prev: B256::repeat_byte(1),
        wall_ms: world.opened.wall_ms + 300_000,
        body: Body::Amend {
            seq: world.opened.seq,
            receipt_hash: world.seal().receipt_hash(),
            event: Box::new(Recorded {
                dt_us: 300_000_000,
                event: seen.into(),
            }),
        },
    };
    Amendment::seal(entry, &world.seal_key).unwrap().encode()
}

fn with(world: &World, seen: &[RecordSeen]) -> Verdict {
    let files: Vec<_> = (9..)
        .zip(seen)
        .map(|(index, seen)| amendment(world, index, seen.clone()))
        .collect();
    verify_amended(&world.seal().encode(), &files, &world.trust, later())
}

/// Puts events of the record into the call, before its end.
fn within(world: &mut World, seen: &[RecordSeen]) {
    let last = world.events.len() - 1;
    assert!(matches!(world.events[last].1, Event::Closed(Closed { .. })));
    let at = world.events[last].0;
    for seen in seen.iter().rev() {
        world.events.insert(last, (at, seen.clone().into()));
    }
}

fn outcome(verdict: &Verdict, claim: Claim) -> Option<(SourceClass, Outcome)> {
    let found = verdict.about(claim).last()?;
    Some((found.source, found.outcome))
}

#[track_caller]
fn refuted(verdict: &Verdict, claim: Claim) {
    assert_eq!(verdict.status, Status::Refuted);
    assert_eq!(verdict.first_failure().map(|it| it.claim), Some(claim));
}

#[test]
fn inclusion_is_recomputed_from_the_receipts_own_hashes() {
    let world = World::new();
    for seen in [included(&world), recorded(&world)] {
        let stage = seen.stage;
        let verdict = with(&world, &[seen]);
        assert_eq!(verdict.status, Status::Satisfied);
        assert_eq!(
            outcome(&verdict, Claim::RecordInclusion),
            Some((SourceClass::Recomputed, Outcome::Pass)),
        );
        let on_chain = outcome(&verdict, Claim::RecordOnChain).unwrap().1;
        let expected = if stage == RecordStage::Recorded {
            Outcome::UncheckedOffline
        } else {
            Outcome::Absent
        };
        assert_eq!(on_chain, expected);
        let mut list = verdict.not_proven.iter();
        assert!(list.any(|it| it.contains("on record")));
    }
}

#[test]
fn batch_of_one_has_an_empty_proof() {
    let world = World::new();
    let (root, siblings) = batch(&world, 0);
    assert!(siblings.is_empty());
    let seen = RecordSeen {
        root: Some(root),
        siblings: Some(siblings),
        ..recorded(&world)
    };
    let verdict = with(&world, &[seen]);
    assert_eq!(verdict.status, Status::Satisfied);
    let found = outcome(&verdict, Claim::RecordInclusion).unwrap();
    assert_eq!(found.1, Outcome::Pass);
}

#[test]
fn what_a_node_says_is_asserted_and_nothing_more() {
    let world = World::new();
    let verdict = with(&world, &[named(RecordMode::Individual)]);
    assert_eq!(verdict.status, Status::Satisfied);
    assert_eq!(
        outcome(&verdict, Claim::RecordOnChain),
        Some((SourceClass::Asserted, Outcome::Absent)),
    );
    assert_eq!(outcome(&verdict, Claim::RecordInclusion), None);
}

#[test]
fn siblings_of_another_answer_are_refuted() {
    let world = World::new();
    let honest = recorded(&world);
    let siblings = honest.siblings.clone().unwrap();
    let mut other = siblings.clone();
    other[0] ^= 1;
    let mut swapped = siblings.clone();
    swapped.rotate_left(32);
    let lies = [
        RecordSeen {
            root: Some(B256::repeat_byte(1)),
            ..honest.clone()
        },
        RecordSeen {
            siblings: Some(other),
            ..honest.clone()
        },
        RecordSeen {
            siblings: Some(swapped),
            ..honest.clone()
        },
        // No whole number of siblings, and more than any tree has.
        RecordSeen {
            siblings: Some(siblings[1..].to_vec()),
            ..honest.clone()
        },
        RecordSeen {
            siblings: Some(vec![0; 65 * 32]),
            ..honest.clone()
        },
        // The root itself is no leaf.
        RecordSeen {
            siblings: Some(Vec::new()),
            ..honest
        },
    ];
    for lie in lies {
        refuted(&with(&world, &[lie]), Claim::RecordInclusion);
    }
}

#[test]
fn batch_of_another_calls_answer_is_refuted() {
    let mut other = World::new();
    let signed = crate::fixture::sign_response("Another answer.", other.opened.wall_ms / 1_000);
    let mut events = other.events.iter_mut();
    let mine = events
        .find(|(_, event)| event.kind() == EventKind::SignatureChecked)
        .unwrap();
    mine.1 = signed.into();
    let theirs = recorded(&other);
    refuted(&with(&World::new(), &[theirs]), Claim::RecordInclusion);
}

#[test]
fn stage_that_says_too_little_or_too_much_is_refuted() {
    let world = World::new();
    let batch = recorded(&world);
    let lone = individual(&world);
    let lies = [
        RecordSeen {
            chain_id: None,
            ..batch.clone()
        },
        RecordSeen {
            contract: None,
            ..batch.clone()
        },
        RecordSeen {
            transaction: None,
            ..batch.clone()
        },
        RecordSeen {
            block_number: None,
            ..batch.clone()
        },
        RecordSeen {
            block_hash: None,
            ..batch.clone()
        },
        RecordSeen {
            root: None,
            siblings: None,
            ..batch.clone()
        },
        RecordSeen {
            root: None,
            ..batch.clone()
        },
        RecordSeen {
            siblings: None,
            ..batch.clone()
        },
        RecordSeen {
            root: batch.root,
            siblings: batch.siblings.clone(),
            ..lone.clone()
        },
        RecordSeen {
            transaction: None,
            ..lone
        },
        RecordSeen {
            mode: RecordMode::Private,
            ..batch.clone()
        },
        RecordSeen {
            mode: RecordMode::Individual,
            ..included(&world)
        },
        RecordSeen {
            transaction: batch.transaction,
            ..included(&world)
        },
        RecordSeen {
            root: batch.root,
            siblings: batch.siblings.clone(),
            ..named(RecordMode::Batch)
        },
        RecordSeen {
            block_number: Some(1),
            ..named(RecordMode::Individual)
        },
        RecordSeen {
            chain_id: Some(1),
            ..failed(RecordMode::Individual)
        },
        RecordSeen {
            transaction: batch.transaction,
            ..asked(RecordMode::Batch)
        },
        RecordSeen {
            blob: Some("b".into()),
            ..asked(RecordMode::Batch)
        },
        RecordSeen {
            block_number: Some(1),
            ..missing(RecordMode::Batch)
        },
        RecordSeen {
            chain_id: None,
            ..missing(RecordMode::Batch)
        },
        named(RecordMode::Private),
    ];
    for lie in lies {
        let verdict = with(&world, std::slice::from_ref(&lie));
        let mut failures = verdict.findings.iter();
        let found =
            failures.any(|it| (it.claim, it.outcome) == (Claim::RecordStates, Outcome::Fail));
        assert!(found, "{lie:?}");
        assert_eq!(verdict.status, Status::Refuted);
    }
}

#[test]
fn words_must_follow_each_other() {
    let world = World::new();
    let (batch, lone) = (recorded(&world), individual(&world));
    let another = RecordSeen {
        transaction: Some(B256::repeat_byte(0xee)),
        ..lone.clone()
    };
    let (root, siblings) = self::batch(&world, 2);
    let other_batch = RecordSeen {
        root: Some(root),
        siblings: Some(siblings),
        ..batch.clone()
    };
    let other_chain = RecordSeen {
        chain_id: Some(1),
        ..batch.clone()
    };
    use RecordMode::{Batch, Individual};
    for legal in [
        vec![asked(Batch), included(&world), batch.clone()],
        vec![asked(Batch), batch.clone(), batch.clone()],
        vec![asked(Individual), named(Individual), lone.clone()],
        vec![named(Individual), missing(Individual), lone.clone()],
        vec![failed(Individual), named(Individual)],
        // A fork takes it away, and it comes back in another transaction.
        vec![lone.clone(), missing(Individual), another.clone()],
    ] {
        assert_eq!(with(&world, &legal).first_failure(), None, "{legal:?}");
    }
    for lie in [
        vec![named(Individual), asked(Individual)],
        vec![batch.clone(), included(&world)],
        vec![lone.clone(), named(Individual)],
        vec![lone.clone(), failed(Individual)],
        vec![included(&world), failed(Batch)],
        vec![asked(Batch), lone.clone()],
        vec![lone, another],
        vec![batch.clone(), other_batch],
        vec![batch, other_chain],
    ] {
        refuted(&with(&world, &lie), Claim::RecordStates);
    }
}

#[test]
fn words_within_the_call_are_held_against_later_ones() {
    let mut world = World::new();
    within(&mut world, &[asked(RecordMode::Batch)]);
    let found = outcome(&world.verify(), Claim::RecordOnChain);
    assert_eq!(found, Some((SourceClass::NotChecked, Outcome::Absent)));
    let verdict = with(&world, &[recorded(&world)]);
    assert_eq!(verdict.status, Status::Satisfied);
    refuted(&with(&world, &[individual(&world)]), Claim::RecordStates);
}

#[test]
fn hiding_leaves_it_open_and_proves_nothing() {
    let mut world = World::new();
    within(&mut world, &[asked(RecordMode::Batch)]);
    let seen = recorded(&world);
    let file = amendment(&world, 9, seen);
    let bundle = world.seal();
    // The signature's event has the hashes of the leaf.
    let shared = bundle.redact(&bundle.private_events()).unwrap();
    let verdict = verify_amended(
        &shared.encode(),
        std::slice::from_ref(&file),
        &world.trust,
        later(),
    );
    assert_eq!(verdict.first_failure(), None);
    let found = outcome(&verdict, Claim::RecordInclusion).unwrap();
    assert_eq!(found.1, Outcome::Redacted);
    let slots = bundle.slots();
    let place = slots
        .iter()
        .position(|it| it.kind() == EventKind::RecordSeen);
    let hidden = bundle.redact(&[place.unwrap()]).unwrap();
    let verdict = verify_amended(&hidden.encode(), &[file], &world.trust, later());
    assert_eq!(verdict.first_failure(), None);
    let first = verdict.about(Claim::RecordStates).next().unwrap();
    assert_eq!(first.outcome, Outcome::Redacted);
}

#[test]
fn record_without_a_signed_answer_is_refuted() {
    let mut world = World::new();
    let seen = recorded(&world);
    world
        .events
        .retain(|(_, event)| event.kind() != EventKind::SignatureChecked);
    refuted(&with(&world, &[seen]), Claim::RecordInclusion);
}
