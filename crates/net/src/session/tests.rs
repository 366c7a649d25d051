use core::time::Duration;

use proptest::prelude::*;
use seamline_core::{Amount, Timestamp};

use super::{Session, SessionRules, Standing};

const CAP: u128 = 1_000;
const RULES: SessionRules = SessionRules::new(Amount::new(CAP));
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn at(secs: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(secs))
}

fn amount(units: u128) -> Amount {
    Amount::new(units)
}

fn session() -> Session {
    Session::new(amount(CAP), at(300), NOW)
}

fn begin(session: &mut Session, max: u128, secs: u64) -> Option<u64> {
    let place = session.begin(amount(max), at(secs), &RULES);
    Some(place.ok()?.number)
}

#[test]
fn requests_are_numbered_and_summed() {
    let mut session = session();
    for (number, spent) in [(0, 0), (1, 30), (2, 60)] {
        let place = session.begin(amount(100), at(1), &RULES).unwrap();
        assert_eq!((place.number, place.spent_before), (number, amount(spent)));
        assert_eq!(session.charge(number, amount(30), at(1)), amount(30));
    }
    assert_eq!(session.take_due(at(2), &RULES), Standing::Open);
    assert_eq!(session.take_due(at(102), &RULES), Standing::Due(amount(90)));
    assert_eq!(session.take_due(at(102), &RULES), Standing::Ended);
}

#[test]
fn what_is_set_aside_is_not_set_aside_twice() {
    let mut session = session();
    assert_eq!(begin(&mut session, 600, 0), Some(0));
    assert_eq!(begin(&mut session, 401, 0), None);
    assert_eq!(begin(&mut session, 400, 0), Some(1));
    assert_eq!(begin(&mut session, 1, 0), None);
    // What was not used is free again.
    session.charge(0, amount(10), at(1));
    assert_eq!(begin(&mut session, 591, 1), None);
    assert_eq!(begin(&mut session, 590, 1), Some(2));
}

#[test]
fn a_charge_is_cut_to_what_was_set_aside() {
    let mut session = session();
    begin(&mut session, 100, 0);
    assert_eq!(session.charge(0, amount(u128::MAX), NOW), amount(100));
    assert_eq!(session.charge(0, amount(1), NOW), Amount::ZERO, "once");
    assert_eq!(session.spent(), amount(100));
}

#[test]
fn a_request_beyond_the_cap_never_begins() {
    let mut session = session();
    assert_eq!(begin(&mut session, CAP + 1, 0), None);
    assert_eq!(begin(&mut session, u128::MAX, 0), None);
    assert_eq!(begin(&mut session, CAP, 0), Some(0));
    session.charge(0, amount(CAP), NOW);
    assert_eq!(begin(&mut session, 0, 0), None, "nothing is left");
    assert_eq!(session.take_due(NOW, &RULES), Standing::Due(amount(CAP)));
}

#[test]
fn a_session_that_rests_ends() {
    let mut session = session();
    begin(&mut session, 10, 0);
    session.charge(0, amount(1), at(5));
    assert_eq!(begin(&mut session, 10, 105), Some(1));
    session.charge(1, amount(1), at(105));
    assert_eq!(begin(&mut session, 10, 206), None);
    assert_eq!(session.take_due(at(206), &RULES), Standing::Due(amount(2)));
}

#[test]
fn a_session_that_works_does_not_rest() {
    let mut session = session();
    begin(&mut session, 500, 0);
    session.note(0, amount(400));
    assert_eq!(session.take_due(at(150), &RULES), Standing::Open);
    assert_eq!(begin(&mut session, 10, 150), Some(1));
    session.release(1, at(150));
    // The authorization is about to expire: nothing begins, what runs is waited for.
    assert_eq!(begin(&mut session, 10, 240), None);
    assert_eq!(session.take_due(at(241), &RULES), Standing::Open);
    assert_eq!(session.owed(), amount(400));
    assert_eq!(session.charge(0, amount(450), at(250)), amount(450));
    assert_eq!(
        session.take_due(at(250), &RULES),
        Standing::Due(amount(450))
    );
}

#[test]
fn a_closed_session_begins_nothing_and_waits_for_what_runs() {
    let mut session = session();
    begin(&mut session, 10, 0);
    session.close();
    assert_eq!(begin(&mut session, 10, 0), None);
    assert_eq!(session.take_due(NOW, &RULES), Standing::Open);
    session.release(0, NOW);
    assert_eq!(session.take_due(NOW, &RULES), Standing::Due(Amount::ZERO));
    session.close();
    assert_eq!(session.take_due(NOW, &RULES), Standing::Ended);
}

#[test]
fn a_session_that_has_too_little_left_ends_unless_it_works() {
    let mut session = session();
    begin(&mut session, 600, 0);
    assert_eq!(begin(&mut session, 600, 0), None);
    session.exhaust();
    assert_eq!(session.take_due(NOW, &RULES), Standing::Open);
    session.charge(0, amount(500), NOW);
    assert_eq!(begin(&mut session, 600, 0), None);
    session.exhaust();
    assert_eq!(session.take_due(NOW, &RULES), Standing::Due(amount(500)));
}

#[test]
fn the_opening_request_may_begin_late() {
    let mut late = Session::new(amount(CAP), at(30), NOW);
    assert_eq!(begin(&mut late, 10, 0), Some(0));
    assert_eq!(begin(&mut late, 10, 0), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(u128),
    Note(u64, u128),
    Charge(u64, u128),
    Release(u64),
    Wait(u64),
    Close,
}

fn steps() -> impl Strategy<Value = Step> {
    let units = prop_oneof![0_u128..400, Just(u128::MAX)];
    prop_oneof![
        units.clone().prop_map(Step::Begin),
        (0_u64..8, units.clone()).prop_map(|(number, units)| Step::Note(number, units)),
        (0_u64..8, units).prop_map(|(number, units)| Step::Charge(number, units)),
        (0_u64..8).prop_map(Step::Release),
        (0_u64..60).prop_map(Step::Wait),
        Just(Step::Close),
    ]
}

proptest! {
    /// Whatever happens: the sum of the charges is what is settled, once, and at most the cap; what
    /// is owed meanwhile never passes it either.
    #[test]
    fn what_is_settled_is_what_was_charged(steps in proptest::collection::vec(steps(), 0..60)) {
        let mut session = session();
        let (mut charged, mut settled, mut secs) = (0_u128, Vec::new(), 0);
        for step in steps {
            match step {
                Step::Begin(max) => { begin(&mut session, max, secs); }
                Step::Note(number, units) => session.note(number, amount(units)),
                Step::Charge(number, units) => {
                    let charge = session.charge(number, amount(units), at(secs));
                    charged = charged.saturating_add(charge.get());
                }
                Step::Release(number) => session.release(number, at(secs)),
                Step::Wait(more) => secs = secs.saturating_add(more),
                Step::Close => session.close(),
            }
            prop_assert!(session.owed() <= amount(CAP));
            prop_assert!(session.owed() >= session.spent());
            if let Standing::Due(sum) = session.take_due(at(secs), &RULES) {
                settled.push(sum);
            }
            prop_assert_eq!(session.spent(), amount(charged));
        }
        prop_assert!(settled.len() <= 1);
        prop_assert!(settled.iter().all(|sum| *sum == amount(charged)));
    }
}
