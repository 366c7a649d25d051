//! Gaps in a stream, and clocks that differ.

use super::*;

#[test]
fn stall() {
    let stalled = |gap_us, median_us| {
        let after_chunks = 1;
        let stalled = Stalled {
            gap_us,
            median_us,
            after_chunks,
        };
        Event::from(stalled)
    };
    let cases = [
        ((500, 100), NONE),
        ((501, 100), NOTICE),
        ((2_000_000, 0), NONE),
        ((2_000_001, 0), WARN),
        ((2_000_001, 1_000_000), WARN),
        ((10_000_000, 0), WARN),
        ((10_000_001, 0), ERROR),
    ];
    boundaries(Code::Stall, &cases, |(gap, median)| {
        vec![(0, stalled(gap, median))]
    });
    let two = [(0, stalled(3_000_000, 0)), (1, stalled(4_000_000, 0))];
    let (_, worst, _) = found(&two, Code::Stall).unwrap();
    assert_eq!(worst, 4_000_000);
}

#[test]
fn clock() {
    let read = |skew_ms| {
        let source = "node-date".into();
        Event::from(ClockRead { source, skew_ms })
    };
    let cases = [
        (2_000, NONE),
        (-2_000, NONE),
        (2_001, NOTICE),
        (-2_001, NOTICE),
        (30_000, NOTICE),
        (30_001, WARN),
        (-300_000, WARN),
        (300_001, ERROR),
        (i64::MIN, ERROR),
    ];
    boundaries(Code::Clock, &cases, |skew| vec![(0, read(skew))]);
}
