//! The catalogue and the choice of a node.

use std::time::Duration;

use super::*;

#[test]
fn tie() {
    let cases = [
        (900_000, NONE),
        (950_000, NONE),
        (950_001, NOTICE),
        (990_000, NOTICE),
        (990_001, WARN),
        (999_999, WARN),
        (1_000_000, ERROR),
    ];
    boundaries(Code::Tie, &cases, |other| {
        let both = vec![candidate(1, 1_000_000), candidate(2, other)];
        vec![(0, decided(both, 0, B256::ZERO))]
    });
}

#[test]
fn thin() {
    boundaries(
        Code::Thin,
        &[(4, NONE), (3, NOTICE), (2, NOTICE), (1, WARN), (0, ERROR)],
        |usable| {
            let nodes = (0..5).map(|index| {
                let mut node = candidate(index, 1_000_000);
                node.enabled = index < usable;
                node
            });
            vec![(0, decided(nodes.collect(), 0, B256::ZERO))]
        },
    );
}

#[test]
fn cooled() {
    boundaries(
        Code::Cooled,
        &[(0, NONE), (1, NOTICE), (2, NOTICE), (3, WARN), (4, ERROR)],
        |cooling| {
            let nodes = (0..4).map(|index| {
                let mut node = candidate(index, 1_000_000);
                let until = NOW.saturating_add(Duration::from_secs(9)).as_millis();
                node.cooling_until_ms = if index < cooling { until } else { 0 };
                node
            });
            vec![(0, decided(nodes.collect(), 0, B256::ZERO))]
        },
    );
}

#[test]
fn explored() {
    let both = || vec![candidate(1, 1_000_000), candidate(2, 1)];
    let with_draw = |byte| decided(both(), 200_000, B256::repeat_byte(byte));
    let severities: Vec<_> = (0..=u8::MAX)
        .map(|byte| found(&[(0, with_draw(byte))], Code::Explored).map(|it| it.0))
        .collect();
    // The draw explores one call in five, and half of those choose the worse node.
    let explored = severities.iter().filter(|it| **it == NOTICE).count();
    assert!((5..60).contains(&explored), "{explored}");
    assert_eq!(
        found(&[(0, decided(both(), 0, B256::ZERO))], Code::Explored),
        None
    );
}

#[test]
fn registry_stale() {
    let cases = [
        (60_000, NONE),
        (60_001, NOTICE),
        (600_000, NOTICE),
        (600_001, WARN),
        (3_600_000, WARN),
        (3_600_001, ERROR),
        (u64::MAX, ERROR),
    ];
    boundaries(Code::RegStale, &cases, |age| {
        vec![(0, catalogue_read(1, age))]
    });
}
