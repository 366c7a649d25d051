use super::*;

const CHANNEL: B256 = B256::repeat_byte(1);

fn place(from: u128, to: u128, receipt: u8) -> Place {
    Place {
        from: Amount::new(from),
        to: Amount::new(to),
        receipt: B256::repeat_byte(receipt),
    }
}

fn outcome(places: &[Place]) -> Option<Outcome> {
    judge(&CHANNEL, places.to_vec()).map(|finding| finding.outcome)
}

#[test]
fn neighbours_in_any_order_do_not_overlap() {
    let places = [place(600, 900, 3), place(0, 300, 1), place(300, 600, 2)];
    assert_eq!(outcome(&places), Some(Outcome::Pass));
}

#[test]
fn an_overlap_is_found_wherever_it_is() {
    for places in [
        [place(0, 300, 1), place(299, 600, 2), place(600, 900, 3)],
        [place(0, 300, 1), place(300, 600, 2), place(599, 900, 3)],
        [place(0, 900, 1), place(300, 600, 2), place(900, 901, 3)],
        [place(0, 300, 1), place(0, 300, 2), place(300, 600, 3)],
    ] {
        assert_eq!(outcome(&places), Some(Outcome::Fail), "{places:?}");
    }
}

#[test]
fn a_gap_is_said_and_no_failure() {
    let places = [place(0, 300, 1), place(301, 600, 2)];
    assert_eq!(outcome(&places), Some(Outcome::Absent));
}

#[test]
fn one_receipt_and_one_given_twice_say_nothing() {
    assert_eq!(outcome(&[place(0, 300, 1)]), None);
    assert_eq!(outcome(&[place(0, 300, 1), place(0, 300, 1)]), None);
}

#[test]
fn what_cost_nothing_overlaps_with_nothing() {
    let places = [place(0, 300, 1), place(100, 100, 2), place(300, 400, 3)];
    assert_eq!(outcome(&places), Some(Outcome::Pass));
}
