use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use seamline_core::{Address, Amount, B256, Timestamp, U256};
use seamline_evm::x402::SettleResponse;

use super::super::answer::{Answer, End};
use super::super::settle;
use super::{
    Admission, Affords, Claim, Exposure, KEEP, Ledger, Limits, MAX_ANSWERS, MAX_ENTRIES, Outcome,
    Presentation, Reservation, SWEEP,
};
use futures_util::FutureExt as _;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn presentation(key: u64, authorization: u8, request: u8) -> Presentation {
    Presentation {
        key: B256::from(U256::from(key)),
        payer: Address::repeat_byte(0x70),
        authorization: B256::repeat_byte(authorization),
        request: B256::repeat_byte(request),
        deadline: Timestamp::from_secs(1_800_000_300),
    }
}

fn settled() -> SettleResponse {
    settle::nothing("eip155:31610", Address::ZERO)
}

fn answer(length: usize) -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from(vec![b'x'; length]),
        end: End::Buffered,
    }
}

fn name(admission: &Admission) -> &'static str {
    match admission {
        Admission::New(_) => "new",
        Admission::Resume(..) => "resume",
        Admission::Join(_) => "join",
        Admission::Done(Outcome::Answered(..)) => "answered",
        Admission::Done(Outcome::Spent(_)) => "spent",
        Admission::Done(Outcome::Unpaid(_)) => "unpaid",
        Admission::Done(Outcome::Unsettled(..)) => "unsettled",
        Admission::Conflict => "conflict",
        Admission::Full => "full",
    }
}

fn reserve(ledger: &Ledger, presentation: Presentation, now: Timestamp) -> Reservation {
    let admission = ledger.begin(presentation, now);
    let Admission::New(reservation) = admission else {
        panic!("expected a reservation, got {}", name(&admission));
    };
    reservation
}

fn exposure(asset: u8, max: u128) -> Exposure {
    Exposure {
        asset: Address::repeat_byte(asset),
        max: Amount::new(max),
        sure: Amount::ZERO,
    }
}

const GENEROUS: Limits = Limits {
    unsettled: usize::MAX,
    earned: usize::MAX,
    refused: usize::MAX,
};

fn ours(reservation: &Reservation) -> bool {
    reservation.claim(Some((exposure(1, 100), GENEROUS))) == Claim::Ours
}

fn look(ledger: &Ledger, presentation: Presentation, now: Timestamp) -> &'static str {
    name(&ledger.begin(presentation, now))
}

#[test]
fn a_dropped_reservation_frees_the_authorization_and_wakes_who_waits() {
    let ledger = Ledger::default();
    let reservation = reserve(&ledger, presentation(1, 1, 1), NOW);
    let Admission::Join(mut twin) = ledger.begin(presentation(1, 1, 1), NOW) else {
        panic!("the twin waits");
    };
    assert!(ours(&reservation));
    drop(reservation);
    let end = twin.changed().now_or_never();
    assert!(matches!(end, Some(Err(_))), "the teller is gone");
    assert_eq!(look(&ledger, presentation(1, 2, 2), NOW), "new");
}

#[test]
fn only_a_verified_authorization_owns_its_nonce() {
    let ledger = Ledger::default();
    let owner = reserve(&ledger, presentation(1, 1, 1), NOW);
    let forged = reserve(&ledger, presentation(1, 2, 1), NOW);
    assert!(ours(&owner));
    assert_eq!(forged.claim(None), Claim::Conflict);
    drop(forged);
    assert!(ours(&owner), "a loser that leaves takes nothing along");
    assert_eq!(look(&ledger, presentation(1, 2, 1), NOW), "conflict");
    assert_eq!(look(&ledger, presentation(1, 1, 2), NOW), "conflict");
    assert_eq!(look(&ledger, presentation(1, 1, 1), NOW), "join");
    owner.close(Outcome::Spent(settled()), NOW);
    assert_eq!(look(&ledger, presentation(1, 1, 1), NOW), "spent");
    assert_eq!(look(&ledger, presentation(1, 2, 1), NOW), "conflict");
}

#[test]
fn outcomes_expire_and_work_under_way_does_not() {
    let ledger = Ledger::default();
    let close = |key, outcome| reserve(&ledger, presentation(key, 1, 1), NOW).close(outcome, NOW);
    close(1, Outcome::Answered(answer(1), settled()));
    close(2, Outcome::Unpaid(settled()));
    let running = reserve(&ledger, presentation(3, 1, 1), NOW);
    let after = |span| NOW.saturating_add(span).saturating_add(SWEEP);
    // An answer is kept from when it was given, a failure from its authorization's deadline.
    assert_eq!(
        look(&ledger, presentation(1, 1, 1), NOW.saturating_add(KEEP)),
        "answered"
    );
    assert_eq!(look(&ledger, presentation(2, 1, 1), after(KEEP)), "unpaid");
    assert_eq!(look(&ledger, presentation(1, 1, 1), after(KEEP)), "new");
    let late = after(KEEP * 2);
    assert_eq!(look(&ledger, presentation(2, 1, 1), late), "new");
    assert_eq!(look(&ledger, presentation(3, 1, 1), late), "join");
    drop(running);
}

#[test]
fn the_oldest_answers_go_first() {
    let ledger = Ledger::default();
    let count = u64::try_from(MAX_ANSWERS).unwrap();
    for key in 0..=count {
        let outcome = Outcome::Answered(answer(1), settled());
        reserve(&ledger, presentation(key, 1, 1), NOW).close(outcome, NOW);
    }
    assert_eq!(look(&ledger, presentation(0, 1, 1), NOW), "new");
    assert_eq!(look(&ledger, presentation(1, 1, 1), NOW), "answered");
    assert_eq!(look(&ledger, presentation(count, 1, 1), NOW), "answered");
}

#[test]
fn large_answers_are_bounded_together_and_an_open_settlement_outlives_its_answer() {
    let ledger = Ledger::default();
    let large = super::LONGEST_ANSWER;
    let open = reserve(&ledger, presentation(0, 1, 1), NOW);
    open.close(Outcome::Unsettled(Some(answer(large)), Amount::new(5)), NOW);
    for key in 1..=4 {
        let outcome = Outcome::Answered(answer(large), settled());
        reserve(&ledger, presentation(key, 1, 1), NOW).close(outcome, NOW);
    }
    let resumed = ledger.begin(presentation(0, 1, 1), NOW);
    let Admission::Resume(_, None, amount) = resumed else {
        panic!(
            "expected an open settlement without its answer, got {}",
            name(&resumed)
        );
    };
    assert_eq!(amount, Amount::new(5));
    assert_eq!(look(&ledger, presentation(4, 1, 1), NOW), "answered");
}

#[test]
fn there_is_an_end_to_reservations() {
    let ledger = Ledger::default();
    let count = u64::try_from(MAX_ENTRIES).unwrap();
    let held: Vec<_> = (0..count)
        .map(|key| reserve(&ledger, presentation(key, 1, 1), NOW))
        .collect();
    assert_eq!(look(&ledger, presentation(count, 1, 1), NOW), "full");
    assert_eq!(look(&ledger, presentation(0, 1, 1), NOW), "join");
    drop(held);
    assert_eq!(look(&ledger, presentation(count, 1, 1), NOW), "new");
}

/// A payer without money must not close the shop for everybody else.
#[test]
fn refused_settlements_make_room_for_others() {
    let ledger = Ledger::default();
    let count = u64::try_from(MAX_ENTRIES).unwrap();
    for key in 0..count {
        let reservation = reserve(&ledger, presentation(key, 1, 1), NOW);
        assert!(ours(&reservation));
        reservation.close(Outcome::Unpaid(settled()), NOW);
    }
    let other = Presentation {
        payer: Address::repeat_byte(0x71),
        ..presentation(count, 1, 1)
    };
    let other = reserve(&ledger, other, NOW);
    assert!(ours(&other));
    assert!(other.on_credit(1));
    let bad = reserve(&ledger, presentation(count + 1, 1, 1), NOW);
    assert!(
        !bad.on_credit(1),
        "what is left still says who does not pay"
    );
}

#[test]
fn credit_counts_what_is_open_and_verified_only() {
    let ledger = Ledger::default();
    let all: Vec<_> = (0..4)
        .map(|key| reserve(&ledger, presentation(key, 1, 1), NOW))
        .collect();
    let Ok([one, two, three, forged]) = <[Reservation; 4]>::try_from(all) else {
        panic!("four");
    };
    assert!(ours(&one) && ours(&two) && ours(&three));
    assert!(!one.on_credit(2));
    assert!(one.on_credit(3));
    drop(forged);
    two.close(Outcome::Spent(settled()), NOW);
    assert!(one.on_credit(2));
    three.close(Outcome::Unsettled(None, Amount::new(1)), NOW);
    assert!(!one.on_credit(1));
}

/// Steady traffic: three times as many as there is room for, all of them served.
#[test]
fn what_is_settled_makes_room_and_what_is_open_stays() {
    let ledger = Ledger::default();
    let count = u64::try_from(MAX_ENTRIES).unwrap();
    let running = reserve(&ledger, presentation(0, 1, 1), NOW);
    assert!(ours(&running));
    let unknown = reserve(&ledger, presentation(1, 1, 1), NOW);
    assert!(ours(&unknown));
    unknown.close(Outcome::Unsettled(None, Amount::new(5)), NOW);
    for key in 2..3 * count {
        let next = reserve(&ledger, presentation(key, 1, 1), NOW);
        assert!(ours(&next) && next.on_credit(3));
        next.close(Outcome::Spent(settled()), NOW);
    }
    {
        let books = ledger.lock();
        assert!(books.entries.len() <= MAX_ENTRIES && books.owners.len() <= MAX_ENTRIES);
    }
    // Forgotten: whoever presents it again is verified again, and the chain has spent it.
    assert_eq!(look(&ledger, presentation(2, 1, 1), NOW), "new");
    assert_eq!(
        look(&ledger, presentation(3 * count - 1, 1, 1), NOW),
        "spent"
    );
    assert_eq!(look(&ledger, presentation(0, 1, 1), NOW), "join");
    drop(running);
    assert_eq!(look(&ledger, presentation(1, 1, 1), NOW), "resume");
    assert!(ledger.lock().credits.is_empty(), "nothing is open any more");
}

fn is_yes(affords: &Affords) -> bool {
    matches!(affords, Affords::Yes)
}

#[test]
fn what_is_owed_is_bounded_by_number_and_by_what_was_paid() {
    let ledger = Ledger::default();
    let limits = Limits {
        unsettled: 1,
        earned: 3,
        refused: 2,
    };
    let paid = |amount: u128| SettleResponse {
        amount: Some(amount.to_string()),
        ..settled()
    };
    let claim = |key, asset, max| {
        let reservation = reserve(&ledger, presentation(key, 1, 1), NOW);
        let claim = reservation.claim(Some((exposure(asset, max), limits)));
        (reservation, claim)
    };
    let (first, claimed) = claim(1, 1, 100);
    assert_eq!(claimed, Claim::Ours);
    assert_eq!(claim(2, 1, 1).1, Claim::Owing, "one on trust");
    first.close(Outcome::Spent(paid(150)), NOW);
    // At most its ceiling counts as paid, whatever the facilitator says.
    let (open, claimed) = claim(3, 1, 50);
    assert_eq!(claimed, Claim::Ours);
    assert_eq!(claim(4, 1, 51).1, Claim::Owing);
    assert_eq!(claim(5, 2, 1).1, Claim::Owing, "another token");
    let (more, claimed) = claim(6, 1, 50);
    assert_eq!(claimed, Claim::Ours);
    let (zero, claimed) = claim(7, 1, 0);
    assert_eq!(claimed, Claim::Ours);
    assert_eq!(claim(8, 1, 0).1, Claim::Owing, "three at a time");
    drop((more, zero));
    assert!(is_yes(&open.affords(&exposure(1, 50), limits)));
    // One refusal: one at a time, however much was paid. Two: none.
    open.close(Outcome::Unpaid(settled()), NOW);
    let (open, claimed) = claim(9, 1, 100);
    assert_eq!(claimed, Claim::Ours);
    assert_eq!(claim(10, 1, 1).1, Claim::Owing);
    open.close(Outcome::Unpaid(settled()), NOW);
    let (last, claimed) = claim(11, 1, 1);
    assert_eq!(claimed, Claim::Owing);
    assert!(matches!(last.affords(&exposure(1, 1), limits), Affords::No));
    // Another payer is another matter; and it is forgotten with the entries.
    let other = Presentation {
        payer: Address::repeat_byte(0x71),
        ..presentation(12, 1, 1)
    };
    let other = reserve(&ledger, other, NOW);
    assert!(is_yes(&other.affords(&exposure(1, 1), limits)));
    drop((other, last));
    let late = NOW.saturating_add(KEEP * 3);
    drop(reserve(&ledger, presentation(13, 1, 1), late));
    assert!(ledger.lock().credits.is_empty());
}
