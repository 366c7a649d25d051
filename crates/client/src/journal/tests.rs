mod money;

use std::fs;
use std::time::Duration;

use redb::TableDefinition;
use seamline_core::{Amount, NodeId};
use seamline_evm::policy::Spent;

use super::*;
use crate::fixtures::{NODE, NOW, TOKEN, open, payment, policy};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    (folder, path)
}

fn spent_at(journal: &Journal, now: Timestamp, node: B256) -> Spent {
    journal.spent("eip155:1", TOKEN, &NodeId::new(node), now)
}

fn after(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

/// A journal of four calls: open, authorized, settled and sealed, failed.
fn written(path: &Path) {
    let journal = Journal::open(path).unwrap();
    open(&journal, NOW);
    let mut authorized = open(&journal, NOW);
    authorized.payment = Some(payment(1, 100, NOW));
    journal
        .reserve(&authorized, &policy(1_000), NOW)
        .unwrap()
        .unwrap();
    let mut settled = open(&journal, NOW);
    settled.payment = Some(payment(2, 100, NOW));
    journal
        .reserve(&settled, &policy(1_000), NOW)
        .unwrap()
        .unwrap();
    settle(&mut settled, 40);
    settled.state = CallState::Answered;
    settled.receipt = Some(B256::repeat_byte(9));
    journal
        .close_call(&settled, 1, B256::repeat_byte(9), Outcome::Answered)
        .unwrap();
    let mut failed = open(&journal, NOW);
    failed.state = CallState::Failed;
    journal
        .close_call(&failed, 2, B256::repeat_byte(8), Outcome::Failed)
        .unwrap();
}

fn settle(call: &mut CallRecord, amount: u128) {
    let payment = call.payment.as_mut().unwrap();
    payment.state = PaymentState::Settled;
    payment.settled = Some(Amount::new(amount));
}

fn not_settled(call: &mut CallRecord) {
    call.payment.as_mut().unwrap().state = PaymentState::NotSettled;
}

/// Opens a file that was tampered with. It must be refused and left as it is, or be as good as new.
fn survives(path: &Path, what: &str) -> bool {
    let before = fs::read(path).unwrap();
    match Journal::open(path) {
        Err(
            JournalError::Damaged { .. } | JournalError::Record { .. } | JournalError::Log { .. },
        ) => {
            assert!(
                fs::read(path).unwrap() == before,
                "{what}: the file changed"
            );
            false
        }
        Err(other) => panic!("{what}: {other:?}"),
        Ok(journal) => {
            assert_eq!(journal.calls().unwrap().len(), 4, "{what}");
            assert_eq!(journal.log().unwrap().len(), 6, "{what}");
            assert_eq!(open(&journal, NOW).seq, 4, "{what}");
            true
        }
    }
}

#[test]
fn a_file_that_was_cut_or_overwritten_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    written(&path);
    let good = fs::read(&path).unwrap();
    let cut = |length: usize| good.get(..length).unwrap().to_vec();
    let with = |range: std::ops::Range<usize>, fill: u8| {
        let mut bytes = good.clone();
        bytes.get_mut(range).unwrap().fill(fill);
        bytes
    };
    let noise: Vec<u8> = (0..good.len())
        .map(|i| seamline_core::sha256(&[&i.to_be_bytes()]).0[0])
        .collect();
    let whole = good.len();
    for (what, bytes) in [
        ("one byte", cut(1)),
        ("a hundred bytes", cut(100)),
        ("a header without pages", cut(4096)),
        ("half", cut(whole / 2)),
        ("all but a page", cut(whole - 4096)),
        ("all but a byte", cut(whole - 1)),
        ("noise", noise),
        ("text", b"this is no journal, it is a letter".to_vec()),
        ("zeros", vec![0; whole]),
        ("a header of zeros", with(0..512, 0)),
        ("a header of ones", with(0..512, 0xff)),
        ("a commit slot of zeros", with(64..320, 0)),
        ("pages of zeros", with(4096..whole, 0)),
        ("pages of ones", with(4096..whole, 0xff)),
    ] {
        fs::write(&path, bytes).unwrap();
        assert!(!survives(&path, what), "{what} was accepted");
    }
    fs::write(&path, &good).unwrap();
    assert!(survives(&path, "the file itself"));
}

#[test]
fn flipped_bytes_are_refused_or_harmless() {
    let (_folder, path) = folder();
    written(&path);
    let good = fs::read(&path).unwrap();
    // A sample of the header, and of the bytes that are in use.
    let used = (0..good.len()).filter(|at| *at < 320 || good[*at] != 0);
    let mut refused = 0;
    for at in used
        .enumerate()
        .filter_map(|(i, at)| (at < 320 && i % 16 == 0 || i % 431 == 0).then_some(at))
    {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        refused += u32::from(!survives(&path, &format!("byte {at}")));
    }
    assert!(refused > 10, "only {refused} flips were noticed");
}

#[test]
fn one_process_at_a_time() {
    let (_folder, path) = folder();
    let first = Journal::open(&path).unwrap();
    let second = Journal::open(&path);
    assert!(matches!(second, Err(JournalError::InUse { .. })));
    drop(first);
    Journal::open(&path).unwrap();
}

#[test]
fn a_missing_folder_is_not_a_damaged_journal() {
    let (folder, _) = folder();
    let path = folder.path().join("nowhere").join("journal.redb");
    let refused = Journal::open(&path);
    assert!(
        matches!(refused, Err(JournalError::Storage { .. })),
        "{refused:?}"
    );
}

const LOG_TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const CALL_TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");

type Edit = fn(&redb::WriteTransaction);

/// Changes a journal behind its back.
fn tamper(path: &Path, work: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::create(path).unwrap();
    let txn = db.begin_write().unwrap();
    work(&txn);
    txn.commit().unwrap();
}

#[test]
fn a_log_that_was_edited_is_broken() {
    let edits: [(&str, Edit); 6] = [
        ("an entry is gone", |txn| {
            let mut log = txn.open_table(LOG_TABLE).unwrap();
            log.remove(2).unwrap();
        }),
        ("the last entry is gone", |txn| {
            let mut log = txn.open_table(LOG_TABLE).unwrap();
            log.remove(3).unwrap();
            log.remove(4).unwrap();
            log.remove(5).unwrap();
        }),
        ("two entries changed places", |txn| {
            let mut log = txn.open_table(LOG_TABLE).unwrap();
            let first = log.get(0).unwrap().unwrap().value().to_vec();
            let second = log.get(1).unwrap().unwrap().value().to_vec();
            log.insert(0, second.as_slice()).unwrap();
            log.insert(1, first.as_slice()).unwrap();
        }),
        ("an entry is no entry", |txn| {
            let mut log = txn.open_table(LOG_TABLE).unwrap();
            log.insert(1, b"nonsense".as_slice()).unwrap();
        }),
        ("a byte of an entry changed", |txn| {
            let mut log = txn.open_table(LOG_TABLE).unwrap();
            let mut entry = log.get(1).unwrap().unwrap().value().to_vec();
            let last = entry.len() - 1;
            entry[last] ^= 1;
            log.insert(1, entry.as_slice()).unwrap();
        }),
        ("a call is gone", |txn| {
            let mut calls = txn.open_table(CALL_TABLE).unwrap();
            calls.remove(1).unwrap();
        }),
    ];
    for (what, edit) in edits {
        let (_folder, path) = folder();
        written(&path);
        tamper(&path, edit);
        let before = fs::read(&path).unwrap();
        let refused = Journal::open(&path);
        assert!(
            matches!(refused, Err(JournalError::Log { .. })),
            "{what}: {refused:?}"
        );
        assert!(before == fs::read(&path).unwrap(), "{what}");
    }
}

#[test]
fn a_call_that_does_not_read_is_named() {
    let (_folder, path) = folder();
    written(&path);
    tamper(&path, |txn| {
        let mut calls = txn.open_table(CALL_TABLE).unwrap();
        calls.insert(2, b"{\"seq\":2}".as_slice()).unwrap();
    });
    let refused = Journal::open(&path);
    assert!(
        matches!(refused, Err(JournalError::Record { seq: 2, .. })),
        "{refused:?}"
    );
}

#[test]
fn numbers_have_no_gaps_across_restarts() {
    let (_folder, path) = folder();
    for expected in 0..5 {
        let journal = Journal::open(&path).unwrap();
        assert_eq!(open(&journal, NOW).seq, expected);
    }
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.log().unwrap().len(), 5);
}

#[test]
fn a_call_is_closed_once() {
    let (_folder, path) = folder();
    let journal = Journal::open(&path).unwrap();
    let call = open(&journal, NOW);
    journal
        .close_call(&call, 1, B256::ZERO, Outcome::Abandoned)
        .unwrap();
    let again = journal.close_call(&call, 1, B256::ZERO, Outcome::Abandoned);
    assert!(matches!(again, Err(JournalError::Log { .. })));
    drop(journal);
    Journal::open(&path).unwrap();
}

#[test]
fn a_crash_between_two_writes_keeps_the_first() {
    let (folder, path) = folder();
    let copy = folder.path().join("copy.redb");
    // What a process would find that starts after this one was killed here.
    let found = || {
        fs::copy(&path, &copy).unwrap();
        let journal = Journal::open(&copy).unwrap();
        let spent = spent_at(&journal, NOW, NODE);
        let entries = journal.log().unwrap().len();
        (journal.calls().unwrap(), spent, entries)
    };
    let journal = Journal::open(&path).unwrap();
    assert!(found().0.is_empty());

    let mut call = open(&journal, NOW);
    let (calls, spent, entries) = found();
    assert_eq!((calls[0].state, entries), (CallState::Open, 1));
    assert_eq!(spent, Spent::default());

    call.payment = Some(payment(1, 100, NOW));
    journal.reserve(&call, &policy(100), NOW).unwrap().unwrap();
    let (calls, spent, entries) = found();
    let stored = calls[0].payment.as_ref().unwrap();
    assert_eq!(stored.state, PaymentState::Authorized);
    assert_eq!(stored.payload, call.payment.as_ref().unwrap().payload);
    assert_eq!((spent.reserved, entries), (Amount::new(100), 1));

    settle(&mut call, 30);
    journal.update(&call).unwrap();
    let (_, spent, _) = found();
    assert_eq!(
        (spent.reserved, spent.today),
        (Amount::ZERO, Amount::new(30))
    );

    call.state = CallState::Answered;
    journal
        .close_call(&call, 1, B256::repeat_byte(1), Outcome::Answered)
        .unwrap();
    let (calls, spent, entries) = found();
    assert_eq!((calls[0].state, entries), (CallState::Answered, 2));
    assert_eq!(spent.today, Amount::new(30));
}

/// A record as the first version wrote it: no scheme, no method, no purchase.
#[test]
fn a_record_of_the_first_version_still_reads() {
    let call = open_record_with(payment(1, 100, NOW));
    let mut json: serde_json::Value = serde_json::from_slice(&call.to_bytes()).unwrap();
    let payment = json["payment"].as_object_mut().unwrap();
    for added in ["scheme", "method"] {
        payment.remove(added).unwrap();
    }
    assert!(!payment.contains_key("earlier") && json.get("purchase").is_none());
    let old = CallRecord::from_bytes(json.to_string().as_bytes()).unwrap();
    let read = old.payment.as_ref().unwrap();
    assert_eq!(
        (read.scheme.as_str(), read.method.as_str()),
        ("upto", "permit2")
    );
    assert_eq!(old.committed(), Amount::new(100));
    assert_eq!(old.to_bytes(), call.to_bytes());
}

#[test]
fn a_record_of_another_scheme_does_not_read_as_free() {
    let mut call = open_record_with(payment(1, 100, NOW));
    call.payment.as_mut().unwrap().scheme = "later".to_owned();
    assert_eq!(
        call.committed(),
        Amount::new(100),
        "reserved, whatever it is"
    );
}

/// Two authorizations of one nonce: the larger one is what may settle, until the later one is dead.
#[test]
fn authorizations_of_one_nonce_are_reserved_once() {
    let first = payment(1, 100, NOW);
    let signed = crate::fixtures::authorization(1, 70, after(30));
    assert!(first.shares_nonce_with(&signed));
    let both = PaymentRecord::new(&signed, NODE, 5, Some(first));
    assert_eq!(
        (both.reserved_amount(), both.from_block),
        (Amount::new(100), 3)
    );
    assert_eq!(both.last_deadline_s(), NOW.as_secs() + 90);
    let (rules, _) = both.rebuild().unwrap();
    assert_eq!(rules.terms().len(), 2);
    let call = open_record_with(both.clone());
    assert_eq!(call.committed(), Amount::new(100));
    let back = both.without_last().unwrap();
    assert_eq!(
        (back.amount(), back.deadline_s),
        (Amount::new(100), NOW.as_secs() + 60)
    );
    assert!(back.without_last().is_none());
}

fn open_record_with(payment: PaymentRecord) -> CallRecord {
    let (_folder, path) = folder();
    let journal = Journal::open(&path).unwrap();
    let mut call = open(&journal, NOW);
    call.payment = Some(payment);
    call
}

#[test]
fn nothing_secret_shows() {
    let shown = format!("{:?}", payment(1, 100, NOW));
    assert!(!shown.contains("signature") && !shown.contains("payload"));
}
