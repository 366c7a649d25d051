use std::path::Path;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);
const TOKEN: [u8; 32] = [1; 32];

fn account() -> Account {
    Account {
        token_sha256: TOKEN,
        per_day: Amount::new(100),
        per_minute: 3,
        at_once: 2,
    }
}

fn books() -> Books {
    Books::new(&[account()], None).unwrap()
}

fn on_disk(path: &Path) -> Books {
    let file = BookFile::open(path).unwrap();
    Books::new(&[account()], Some(file)).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    NOW.saturating_add(core::time::Duration::from_secs(seconds))
}

fn begin(books: &mut Books, most: u128, now: Timestamp) -> Result<Open, Denied> {
    books.begin(TOKEN, Amount::new(most), now)
}

fn spent(books: &mut Books, now: Timestamp) -> (u128, u128) {
    let (spent, reserved) = books.spent(&TOKEN, now).unwrap();
    (spent.get(), reserved.get())
}

#[test]
fn a_budget_covers_what_is_under_way_and_rolls() {
    let mut books = books();
    let first = begin(&mut books, 40, NOW).unwrap();
    assert_eq!(begin(&mut books, 61, NOW).unwrap_err(), Denied::Budget);
    books.end(first, Amount::new(30), NOW);
    assert_eq!(spent(&mut books, NOW), (30, 0));
    assert_eq!(begin(&mut books, 71, NOW).unwrap_err(), Denied::Budget);
    let second = begin(&mut books, 70, NOW).unwrap();
    books.end(second, Amount::new(70), NOW);
    let almost = later(24 * 3600);
    assert_eq!(begin(&mut books, 1, almost).unwrap_err(), Denied::Budget);
    begin(&mut books, 100, later(24 * 3600 + 60)).unwrap();
}

#[test]
fn places_and_rates_are_bounded() {
    let mut books = books();
    let mut first = begin(&mut books, 1, NOW).unwrap();
    let second = begin(&mut books, 1, NOW).unwrap();
    assert_eq!(begin(&mut books, 1, NOW).unwrap_err(), Denied::AtOnce);
    // Its answer is over, its settlement is not: the place is free, once, and the money is not.
    books.answered(&mut first);
    books.answered(&mut first);
    assert_eq!(spent(&mut books, NOW), (0, 2));
    let third = begin(&mut books, 1, NOW).unwrap();
    assert_eq!(begin(&mut books, 1, later(59)).unwrap_err(), Denied::Rate);
    for open in [first, second, third] {
        books.end(open, Amount::new(1), NOW);
    }
    assert_eq!(begin(&mut books, 1, later(59)).unwrap_err(), Denied::Rate);
    begin(&mut books, 1, later(60)).unwrap();
}

#[test]
fn absurd_amounts_are_no_way_around_a_budget() {
    let mut books = books();
    let refused = books.begin(TOKEN, Amount::MAX, NOW).unwrap_err();
    assert_eq!(refused, Denied::Budget);
    let unknown = books.begin([2; 32], Amount::ZERO, NOW).unwrap_err();
    assert_eq!(unknown, Denied::Unknown);
    // Sums stop at the greatest amount and do not begin anew.
    let open = begin(&mut books, 1, NOW).unwrap();
    books.end(open, Amount::MAX, NOW);
    assert_eq!(begin(&mut books, 0, NOW).unwrap_err(), Denied::Budget);
    let twice = Books::new(&[account(), account()], None);
    assert!(matches!(twice.err(), Some(BooksError::Twice)));
}

#[test]
fn what_may_still_be_settled_is_held_and_then_free() {
    let mut books = books();
    let error = begin(&mut books, 60, NOW).unwrap();
    books.hold(error, later(900));
    // It takes no place, and its amount is not there for another.
    assert_eq!(spent(&mut books, later(899)), (0, 60));
    assert_eq!(
        begin(&mut books, 41, later(899)).unwrap_err(),
        Denied::Budget
    );
    begin(&mut books, 100, later(900)).unwrap();
}

#[test]
fn what_is_free_counts_for_the_rate_alone() {
    let mut books = books();
    for _ in 0..3 {
        assert_eq!(books.count(&TOKEN, NOW), Ok(()));
    }
    assert_eq!(books.count(&TOKEN, NOW), Err(Denied::Rate));
    assert_eq!(begin(&mut books, 1, NOW).unwrap_err(), Denied::Rate);
    assert_eq!(books.count(&[2; 32], NOW), Err(Denied::Unknown));
    assert_eq!(spent(&mut books, NOW), (0, 0));
    assert_eq!(books.count(&TOKEN, later(60)), Ok(()));
}

#[test]
fn a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.redb");
    let mut books = on_disk(&path);
    let ended = begin(&mut books, 40, NOW).unwrap();
    books.end(ended, Amount::new(30), NOW);
    let free = begin(&mut books, 40, NOW).unwrap();
    books.end(free, Amount::ZERO, NOW);
    drop(books);
    let mut books = on_disk(&path);
    assert_eq!(spent(&mut books, NOW), (30, 0));
    assert_eq!(begin(&mut books, 71, NOW).unwrap_err(), Denied::Budget);
    // A process that dies with a request under way: what it could cost counts as spent.
    let _under_way = begin(&mut books, 20, NOW).unwrap();
    drop(books);
    let mut books = on_disk(&path);
    assert_eq!(spent(&mut books, NOW), (50, 0));
    assert_eq!(begin(&mut books, 51, NOW).unwrap_err(), Denied::Budget);
    drop(books);
    // Once.
    let mut books = on_disk(&path);
    assert_eq!(spent(&mut books, NOW), (50, 0));
    assert_eq!(spent(&mut books, later(24 * 3600 + 60)), (0, 0));
}

#[test]
fn a_file_is_one_process_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.redb");
    let books = on_disk(&path);
    let second = BookFile::open(&path);
    assert!(matches!(second.err(), Some(BooksError::Database(_))));
    drop(books);
    BookFile::open(&path).unwrap();
    let nowhere = BookFile::open(&folder.path().join("no/such/folder"));
    assert!(matches!(nowhere.err(), Some(BooksError::Open(_))));
}

#[test]
fn a_file_that_is_none_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.redb");
    std::fs::write(&path, "not a database").unwrap();
    assert!(matches!(
        BookFile::open(&path).err(),
        Some(BooksError::Database(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a database");
}
