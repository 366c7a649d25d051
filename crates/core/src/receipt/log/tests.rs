use proptest::prelude::*;

use super::*;
use crate::receipt::{ClockRead, SettlementSeen, SettlementState};

fn open(seq: u64) -> Body {
    let call_id = CallId::new([u8::try_from(seq).unwrap(); 16]);
    let open_leaf = B256::repeat_byte(9);
    Body::Open {
        seq,
        call_id,
        open_leaf,
    }
}

fn receipt(seq: u64) -> B256 {
    // Never zero: a close entry without a receipt has that.
    B256::repeat_byte(u8::try_from(seq).unwrap() | 0x80)
}

fn close(seq: u64) -> Body {
    let (receipt_hash, outcome) = (receipt(seq), Outcome::Answered);
    Body::Close {
        seq,
        receipt_hash,
        outcome,
    }
}

fn amend(seq: u64, receipt_hash: B256) -> Body {
    let event = SettlementSeen {
        state: SettlementState::Settled,
        transaction: None,
        block_number: None,
        block_hash: None,
        amount: None,
        waited_ms: 1,
    };
    let event = Box::new(Recorded {
        dt_us: 1,
        event: event.into(),
    });
    Body::Amend {
        seq,
        receipt_hash,
        event,
    }
}

/// Calls 0 and 1 overlap, 2 is never closed.
fn log() -> Vec<Entry> {
    let bodies = [
        open(0),
        open(1),
        close(1),
        close(0),
        amend(1, receipt(1)),
        open(2),
    ];
    let mut chain = Chain::new();
    let mut entries = Vec::new();
    for (wall_ms, body) in (0..).zip(bodies) {
        let entry = chain.next(wall_ms, body);
        chain.append(&entry).unwrap();
        entries.push(entry);
    }
    entries
}

#[test]
fn a_log_says_where_it_stands() {
    let entries = log();
    let chain = Chain::check(&entries).unwrap();
    assert_eq!(chain.next_seq(), 3);
    assert_eq!(chain.next_index(), 6);
    assert_eq!(chain.head(), entries.last().unwrap().hash());
    assert_eq!(chain.last_receipt(), receipt(0));
    let open: Vec<u64> = chain.open_calls().map(|(seq, ..)| seq).collect();
    assert_eq!(open, [2], "an open without a close is itself evidence");
}

#[test]
fn entries_round_trip() {
    for entry in log() {
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
    let mut bytes = log()[0].encode();
    bytes.push(0);
    let part = Part::LogEntry;
    let refused = Entry::decode(&bytes).unwrap_err();
    assert!(matches!(refused, Error::Malformed { part: it, .. } if it == part));
    let len = MAX_ENTRY + 1;
    let large = Entry::decode(&vec![0; len]).unwrap_err();
    let max = MAX_ENTRY;
    assert_eq!(large, Error::TooLarge { part, len, max });
}

#[test]
fn removal_reordering_and_edits_break_the_chain() {
    for index in 0..5 {
        let mut entries = log();
        entries.remove(index);
        assert!(Chain::check(&entries).is_err(), "entry {index} removed");
        let mut entries = log();
        entries.swap(index, index + 1);
        assert!(Chain::check(&entries).is_err(), "entry {index} swapped");
        let mut entries = log();
        entries[index].wall_ms += 1;
        let next = u64::try_from(index).unwrap() + 1;
        let broken = ChainError::Prev { index: next };
        assert_eq!(Chain::check(&entries), Err(broken), "entry {index} edited");
    }
}

/// Chains `bodies` without asking whether they make sense.
fn chained(bodies: impl IntoIterator<Item = Body>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, body) in (0..).zip(bodies) {
        let prev = entries.last().map_or(B256::ZERO, Entry::hash);
        let wall_ms = 0;
        entries.push(Entry {
            index,
            prev,
            wall_ms,
            body,
        });
    }
    entries
}

#[test]
fn entries_that_make_no_sense_are_named() {
    let check = |bodies: Vec<Body>| Chain::check(&chained(bodies)).unwrap_err();
    let gap = ChainError::Seq {
        index: 1,
        expected: 1,
        found: 2,
    };
    assert_eq!(check(vec![open(0), open(2)]), gap);
    let again = ChainError::Seq {
        index: 1,
        expected: 1,
        found: 0,
    };
    assert_eq!(check(vec![open(0), open(0)]), again);
    let (index, seq) = (0, 0);
    assert_eq!(check(vec![close(0)]), ChainError::NotOpen { index, seq });
    let index = 2;
    let twice = vec![open(0), close(0), close(0)];
    assert_eq!(check(twice), ChainError::NotOpen { index, seq });
    let other = vec![open(0), close(0), amend(0, receipt(5))];
    assert_eq!(check(other), ChainError::NotClosed { index, seq });
    let index = 1;
    let early = vec![open(0), amend(0, receipt(0))];
    assert_eq!(check(early), ChainError::NotClosed { index, seq });
}

#[test]
fn a_refused_entry_changes_nothing() {
    let mut chain = Chain::check(&log()).unwrap();
    let before = chain.clone();
    let entry = chain.next(0, close(7));
    assert!(chain.append(&entry).is_err());
    assert_eq!(chain, before);
}

#[test]
fn a_call_may_be_closed_without_a_receipt() {
    let lost = Body::Close {
        seq: 0,
        receipt_hash: B256::ZERO,
        outcome: Outcome::Abandoned,
    };
    let chain = Chain::check(&chained([open(0), lost])).unwrap();
    assert_eq!(chain.last_receipt(), B256::ZERO);
    assert_eq!(chain.open_calls().count(), 0);
}

#[test]
fn only_settlement_facts_amend() {
    let Body::Amend { event, .. } = amend(0, B256::ZERO) else {
        panic!("an amendment");
    };
    assert!(is_amendable(&event.event));
    let (source, skew_ms) = ("block".into(), 1);
    assert!(!is_amendable(&ClockRead { source, skew_ms }.into()));
}

proptest! {
    #[test]
    fn decoding_is_exact(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes);
        }
    }
}
