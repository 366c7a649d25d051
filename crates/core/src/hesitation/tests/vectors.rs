//! The vectors of `spec/vectors/hesitation`.

use super::*;

/// Calls with one hesitation or more, for readers in other languages.
fn vector_cases() -> Vec<(&'static str, Vec<(u64, Event)>)> {
    let both = vec![candidate(1, 1_000_000), candidate(2, 1_000_000)];
    let one = vec![candidate(1, 1_000_000)];
    let unknown = seen(SettlementState::Unknown, 900, 1);
    let settled = seen(SettlementState::Settled, 12_000, 1);
    vec![
        ("a tie", vec![(5, decided(both, 0, B256::ZERO))]),
        ("the only node", vec![(5, decided(one, 0, B256::ZERO))]),
        (
            "an offer at the cap",
            vec![(0, opened(1_000)), (9, admitted(1_000, 1))],
        ),
        (
            "an offer above the listed price",
            vec![
                (0, catalogue_read(1_000, 61_000)),
                (1, offered(1)),
                (2, admitted(1_200, 1)),
            ],
        ),
        (
            "a retry after a wait",
            vec![(10, retried(300)), (1_000_000, closed())],
        ),
        (
            "a settlement that was unknown for two seconds",
            vec![(0, unknown), (2_000_000, settled)],
        ),
        (
            "cached evidence that grows old",
            vec![(0, fetched(false, 3_700_000, 4_000_000))],
        ),
        ("nothing to hesitate about", vec![(0, fetched(true, 0, 10))]),
    ]
}

fn vectors() -> serde_json::Value {
    let cases = vector_cases().into_iter().map(|(name, events)| {
        let recorded = events
            .into_iter()
            .map(|(dt_us, event)| Recorded { dt_us, event });
        let recorded: Vec<Recorded> = recorded.collect();
        let slots: Vec<Slot<'_>> = recorded.iter().map(Slot::Shown).collect();
        let hesitations = of(&slots).into_iter().map(|it| {
            let (code, severity) = (it.code.as_str(), it.severity.as_str());
            serde_json::json!([code, severity, it.arg, it.limit, it.event])
        });
        serde_json::json!({
            "name": name,
            "events": recorded.iter().map(|it| ::hex::encode(it.encode())).collect::<Vec<_>>(),
            "hesitations": hesitations.collect::<Vec<_>>(),
        })
    });
    serde_json::json!({
        "note": "events: the encoding of spec/receipt.md, in order; hesitations: code, severity, value, limit, event",
        "cases": cases.collect::<Vec<_>>(),
    })
}

#[test]
fn vectors_are_current() {
    assert_eq!(
        seamline_testkit::json_vector("hesitation/calls.json"),
        vectors()
    );
}

#[test]
#[ignore = "writes spec/vectors/hesitation/calls.json"]
fn write_vectors() {
    let path = seamline_testkit::project_root().join("spec/vectors/hesitation/calls.json");
    let text = serde_json::to_string_pretty(&vectors()).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}
