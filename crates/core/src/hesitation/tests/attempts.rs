//! Retries, waits and other nodes.

use super::*;

#[test]
fn retry() {
    boundaries(
        Code::Retry,
        &[(0, NONE), (1, NOTICE), (2, WARN), (3, ERROR), (9, ERROR)],
        |count: usize| vec![(0, retried(0)); count],
    );
}

#[test]
fn backoff() {
    let cases = [
        (0, NONE),
        (50, NONE),
        (51, NOTICE),
        (250, NOTICE),
        (251, WARN),
        (500, WARN),
        (501, ERROR),
    ];
    boundaries(Code::Backoff, &cases, |wait_ms| {
        vec![(0, retried(wait_ms)), (1_000_000, closed())]
    });
}

#[test]
fn fallback() {
    let fell = |to| {
        let (from, to, cause) = (node(1), node(to), "node_down".into());
        Event::from(FellBack { from, to, cause })
    };
    let order = || {
        let nodes = (1..=5u8).map(|byte| candidate(byte, 1_000_000 - u32::from(byte) * 1_000));
        decided(nodes.collect(), 0, B256::ZERO)
    };
    let cases = [(1, NONE), (2, NOTICE), (3, WARN), (4, WARN), (5, ERROR)];
    boundaries(Code::Fallback, &cases, |rank| {
        let fallbacks = (2..=rank).map(|to| (1, fell(to)));
        [(0, order())].into_iter().chain(fallbacks).collect()
    });
}
