//! Budgets.

use super::*;

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
