//! What became known later, and amendments that may not be believed.

use seamline_core::receipt::log::{Body, Entry};
use seamline_core::receipt::{Amendment, Recorded, SealingKey, SettlementSeen, SettlementState};
use seamline_core::{Amount, B256};
use seamline_verify::{Claim, Level, Outcome, Status, Verdict, verify_amended};

use crate::fixture::{World, channel_offer, channel_policy, later};

fn channel() -> World {
    World::with_policy(&channel_offer("eip3009"), &channel_policy())
}

fn claimed(amount: u128) -> SettlementSeen {
    SettlementSeen {
        state: SettlementState::Settled,
        transaction: Some(B256::repeat_byte(0xc1)),
        block_number: Some(77),
        block_hash: Some(B256::repeat_byte(0xb1)),
        amount: Some(Amount::new(amount)),
        waited_ms: 300_000,
    }
}

fn not_settled() -> SettlementSeen {
    SettlementSeen {
        state: SettlementState::NotSettled,
        transaction: None,
        block_number: None,
        block_hash: None,
        amount: None,
        waited_ms: 300_000,
    }
}

/// An entry of the recorder's log about the world's receipt.
fn entry(world: &World, index: u64, seen: SettlementSeen) -> Entry {
    Entry {
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
    }
}

pub(crate) fn file(world: &World, index: u64, seen: SettlementSeen) -> Vec<u8> {
    let entry = entry(world, index, seen);
    Amendment::seal(entry, &world.seal_key).unwrap().encode()
}

fn with(world: &World, amendments: &[Vec<u8>]) -> Verdict {
    verify_amended(&world.seal().encode(), amendments, &world.trust, later())
}

#[track_caller]
fn refuted(world: &World, seen: SettlementSeen) {
    let verdict = with(world, &[file(world, 9, seen)]);
    let failed = verdict.first_failure().map(|it| it.claim);
    assert_eq!(failed, Some(Claim::SettlementStates));
}

#[test]
fn claim_makes_a_voucher_receipt_complete() {
    let world = channel();
    let verdict = with(&world, &[file(&world, 9, claimed(300))]);
    assert_eq!(verdict.first_failure(), None);
    assert_eq!(
        (verdict.status, verdict.level),
        (Status::Satisfied, Level::L3)
    );
    let on_chain = verdict.about(Claim::SettlementOnChain).next().unwrap();
    assert_eq!(on_chain.outcome, Outcome::UncheckedOffline);
    let transaction = B256::repeat_byte(0xc1).to_string();
    assert!(
        verdict
            .not_proven
            .iter()
            .any(|it| it.contains(&transaction))
    );
}

#[test]
fn node_that_claimed_more_than_it_charged_is_named() {
    let world = channel();
    let verdict = with(&world, &[file(&world, 9, claimed(500))]);
    assert_eq!(verdict.status, Status::Satisfied);
    let last = verdict.about(Claim::SettlementFinal).next().unwrap();
    assert_eq!(
        last.detail,
        "known later: the node charged 300 and claimed 500"
    );
}

#[test]
fn claim_outside_of_the_promise_is_refuted() {
    let world = channel();
    refuted(&world, claimed(501));
    refuted(&world, claimed(299));
    let nothing = SettlementSeen {
        amount: None,
        ..claimed(300)
    };
    refuted(&world, nothing);
}

#[test]
fn charge_that_is_taken_back_is_refuted() {
    refuted(&channel(), not_settled());
}

#[test]
fn claim_without_a_transaction_in_a_block_stays_open() {
    let world = channel();
    for seen in [
        SettlementSeen {
            transaction: None,
            ..claimed(300)
        },
        SettlementSeen {
            block_hash: None,
            ..claimed(300)
        },
        SettlementSeen {
            block_number: None,
            ..claimed(300)
        },
    ] {
        let verdict = with(&world, &[file(&world, 9, seen)]);
        assert_eq!(verdict.first_failure(), None);
        assert_eq!(verdict.status, Status::Incomplete);
    }
}

#[test]
fn settled_receipt_is_not_settled_otherwise_later() {
    let world = World::new();
    for seen in [not_settled(), claimed(1)] {
        refuted(&world, seen);
    }
}

#[test]
fn two_amendments_must_follow_each_other() {
    let world = channel();
    let one = file(&world, 9, claimed(300));
    let other = SettlementSeen {
        transaction: Some(B256::repeat_byte(2)),
        ..claimed(300)
    };
    let other = file(&world, 10, other);
    let verdict = with(&world, &[one.clone(), other]);
    assert_eq!(verdict.status, Status::Refuted);
    // The same one twice is one.
    let verdict = with(&world, &[one.clone(), one]);
    assert_eq!(verdict.status, Status::Satisfied);
}

#[test]
fn amendments_of_others_are_set_aside() {
    let world = channel();
    let entry = || entry(&world, 9, claimed(300));
    let stranger = SealingKey::from_seed(&[9; 32]);
    let mut other_receipt = entry();
    let mut other_call = entry();
    if let Body::Amend { receipt_hash, .. } = &mut other_receipt.body {
        *receipt_hash = B256::repeat_byte(3);
    }
    if let Body::Amend { seq, .. } = &mut other_call.body {
        *seq += 1;
    }
    let mut broken = Amendment::seal(entry(), &world.seal_key).unwrap().encode();
    *broken.last_mut().unwrap() ^= 1;
    let files = [
        Amendment::seal(entry(), &stranger).unwrap().encode(),
        Amendment::seal(other_receipt, &world.seal_key)
            .unwrap()
            .encode(),
        Amendment::seal(other_call, &world.seal_key)
            .unwrap()
            .encode(),
        broken,
        b"SEAA1".to_vec(),
        Vec::new(),
    ];
    for file in files {
        let verdict = with(&world, &[file]);
        assert_eq!(verdict.first_failure(), None);
        assert_eq!(verdict.status, Status::Incomplete);
        let found = verdict.about(Claim::ReceiptAmended).next().unwrap();
        assert_eq!(found.outcome, Outcome::Absent);
    }
}
