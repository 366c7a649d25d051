//! Offers, and what became of the payment.

use super::*;

#[test]
fn cap_near() {
    let cases = [
        (8_000, NONE),
        (8_001, NOTICE),
        (9_500, NOTICE),
        (9_501, WARN),
        (10_000, WARN),
        (10_001, ERROR),
        (u128::MAX, ERROR),
    ];
    boundaries(Code::CapNear, &cases, |amount| {
        vec![(0, opened(10_000)), (1, admitted(amount, 1))]
    });
}

#[test]
fn quote_drift() {
    let cases = [
        (900, NONE),
        (1_020, NONE),
        (1_021, NOTICE),
        (1_100, NOTICE),
        (1_101, WARN),
        (1_500, WARN),
        (1_501, ERROR),
    ];
    boundaries(Code::QuoteDrift, &cases, |amount| {
        vec![
            (0, catalogue_read(1_000, 0)),
            (1, offered(1)),
            (2, admitted(amount, 1)),
        ]
    });
}

#[test]
fn requote() {
    boundaries(
        Code::Requote,
        &[(1, NONE), (2, NOTICE), (3, WARN), (4, ERROR)],
        |offers: u8| (0..offers).map(|offer| (0, offered(offer))).collect(),
    );
    assert_eq!(
        found(&[(0, offered(1)), (1, offered(1))], Code::Requote),
        None
    );
}

#[test]
fn settle_wait() {
    use SettlementState::{Authorized, NotSettled, Settled, Submitted, Unknown};
    let cases = [
        ((Settled, 2_000), NONE),
        ((Settled, 2_001), NOTICE),
        ((NotSettled, 10_000), NOTICE),
        ((Settled, 10_001), WARN),
        ((Submitted, 0), ERROR),
        ((Unknown, 0), ERROR),
        ((Authorized, 0), NONE),
    ];
    boundaries(Code::SettleWait, &cases, |(state, waited_ms)| {
        vec![(0, seen(state, waited_ms, 1))]
    });
    // Only the last word counts.
    let resolved = [(0, seen(Unknown, 9, 1)), (1, seen(Settled, 9, 1))];
    assert_eq!(found(&resolved, Code::SettleWait), None);
}

#[test]
fn settle_unknown() {
    use SettlementState::{NotSettled, Settled, Unknown};
    let cases = [(0, NOTICE), (30_000, NOTICE), (30_001, WARN)];
    boundaries(Code::SettleUnknown, &cases, |millis: u64| {
        vec![
            (0, seen(Unknown, 0, 1)),
            (millis * 1_000, seen(Settled, 0, 1)),
        ]
    });
    let never = [(0, seen(Unknown, 0, 1)), (5_000, closed())];
    let limit = 30_000;
    assert_eq!(
        found(&never, Code::SettleUnknown),
        Some((Severity::Warn, 5, limit))
    );
    let known = [(0, seen(Settled, 0, 1))];
    assert_eq!(found(&known, Code::SettleUnknown), None);
    for other in [seen(NotSettled, 0, 1), seen(Settled, 0, 2)] {
        let contradiction = [(0, seen(Settled, 0, 1)), (1, other)];
        assert_eq!(
            found(&contradiction, Code::SettleUnknown).unwrap().0,
            Severity::Error
        );
    }
}

#[test]
fn pay_late() {
    let ended = || {
        let ended = ResponseEnded {
            bytes: 1,
            chunks: 1,
            output_commitment: B256::ZERO,
        };
        Event::from(ended)
    };
    let settled = || seen(SettlementState::Settled, 0, 1);
    let late = [(1_000, ended()), (4_000, settled())];
    assert_eq!(found(&late, Code::PayLate), Some((Severity::Notice, 3, -1)));
    let early = [(1_000, settled()), (4_000, ended())];
    assert_eq!(found(&early, Code::PayLate), None);
    let unknown = [
        (1_000, ended()),
        (4_000, seen(SettlementState::Unknown, 0, 1)),
    ];
    assert_eq!(found(&unknown, Code::PayLate), None);
}
