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

#[test]
fn what_is_reserved_settled_or_free_again() {
    let (_folder, path) = folder();
    let journal = Journal::open(&path).unwrap();
    let spent = |journal: &Journal| spent_at(journal, NOW, NODE);
    let reserve = |nonce, amount, per_day| {
        let mut call = open(&journal, NOW);
        call.payment = Some(payment(nonce, amount, NOW));
        let reserved = journal.reserve(&call, &policy(per_day), NOW).unwrap();
        (call, reserved)
    };
    let (mut first, reserved) = reserve(1, 60, 100);
    assert_eq!(reserved, Ok(()));
    assert_eq!(spent(&journal).reserved, Amount::new(60));
    // One more than what is left, then exactly that.
    assert_eq!(reserve(2, 41, 100).1, Err(Over::PerDay));
    assert_eq!(reserve(3, 40, 100).1, Ok(()));
    assert_eq!(reserve(4, 1, 100).1, Err(Over::PerDay));
    settle(&mut first, 25);
    journal.update(&first).unwrap();
    let now = spent(&journal);
    assert_eq!(
        (now.today, now.reserved, now.node_today),
        (Amount::new(25), Amount::new(40), Amount::new(65))
    );
    let (mut more, reserved) = reserve(5, 35, 100);
    assert_eq!(reserved, Ok(()));
    not_settled(&mut more);
    journal.update(&more).unwrap();
    assert_eq!(reserve(6, 35, 100).1, Ok(()));
    // The cap per call holds here too, whatever was admitted before.
    assert_eq!(reserve(7, 1_000, 100_000).1, Ok(()));
    let mut over = policy(100_000);
    over.per_call = Amount::new(9);
    let mut call = open(&journal, NOW);
    call.payment = Some(payment(8, 10, NOW));
    let reserved = journal.reserve(&call, &over, NOW).unwrap();
    assert_eq!(reserved, Err(Over::PerCall));
    // And the node's day.
    let mut node = policy(100_000);
    node.per_node_day = Some(Amount::new(1_100));
    let reserved = journal.reserve(&call, &node, NOW).unwrap();
    assert_eq!(reserved, Err(Over::PerNodeDay));
    call.payment.as_mut().unwrap().node = B256::repeat_byte(2);
    assert_eq!(journal.reserve(&call, &node, NOW).unwrap(), Ok(()));
    // The same sums after a restart.
    let before = spent(&journal);
    drop(journal);
    assert_eq!(spent(&Journal::open(&path).unwrap()), before);
}

#[test]
fn the_day_is_the_last_24_hours_but_what_is_live_counts_longer() {
    let (_folder, path) = folder();
    let journal = Journal::open(&path).unwrap();
    let mut settled = open(&journal, NOW);
    settled.payment = Some(payment(1, 50, NOW));
    settle(&mut settled, 50);
    journal.update(&settled).unwrap();
    let mut live = open(&journal, NOW);
    live.payment = Some(payment(2, 7, NOW));
    journal.update(&live).unwrap();
    let day = 24 * 60 * 60;
    // A settlement can have happened as late as at the deadline, a minute after the opening.
    for (seconds, today) in [(0, 50), (day, 50), (day + 60, 50), (day + 61, 0)] {
        let spent = spent_at(&journal, after(seconds), B256::ZERO);
        assert_eq!(spent.today, Amount::new(today), "{seconds}");
        assert_eq!(spent.reserved, Amount::new(7), "{seconds}");
        assert_eq!(spent.node_today, Amount::ZERO);
    }
}

#[test]
fn a_clock_that_was_wrong_for_a_while_hides_no_spending() {
    let (_folder, path) = folder();
    let journal = Journal::open(&path).unwrap();
    let mut first = open(&journal, NOW);
    first.payment = Some(payment(1, 90, NOW));
    settle(&mut first, 90);
    journal.update(&first).unwrap();
    // A later call that was opened in 1970, says its record.
    open(&journal, Timestamp::from_secs(0));
    let mut call = open(&journal, after(1));
    call.payment = Some(payment(2, 20, after(1)));
    let reserved = journal.reserve(&call, &policy(100), after(1)).unwrap();
    assert_eq!(reserved, Err(Over::PerDay));
}

#[test]
fn parallel_reservations_share_the_last_of_the_budget() {
    let (_folder, path) = folder();
    let journal = Journal::open(&path).unwrap();
    let taken = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|nonce| {
                let journal = &journal;
                scope.spawn(move || {
                    let mut call = open(journal, NOW);
                    call.payment = Some(payment(nonce, 30, NOW));
                    journal.reserve(&call, &policy(100), NOW).unwrap().is_ok()
                })
            })
            .collect();
        let taken = threads.into_iter().map(|thread| thread.join().unwrap());
        taken.filter(|taken| *taken).count()
    });
    assert_eq!(taken, 3);
    let spent = spent_at(&journal, NOW, NODE);
    assert_eq!(spent.reserved, Amount::new(90));
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
