//! Codes as such: their encoding, and how lists of them compare.

use proptest::prelude::*;

use super::*;

#[test]
fn hidden_events_make_their_codes_incomparable_and_no_others() {
    let recorded = |event| Recorded { dt_us: 0, event };
    let events = [recorded(retried(0)), recorded(catalogue_read(1, 60_001))];
    let shown: Vec<Slot<'_>> = events.iter().map(Slot::Shown).collect();
    let signed = of(&shown);
    assert_eq!(compare(&signed, &shown).different, []);
    let hidden = [Slot::Hidden(EventKind::Retried), Slot::Shown(&events[1])];
    let comparison = compare(&signed, &hidden);
    assert_eq!(comparison.different, []);
    assert_eq!(comparison.hidden, [Code::Retry, Code::Backoff]);
    // What can still be computed is still compared.
    let without: Vec<_> = signed
        .iter()
        .filter(|it| it.code != Code::RegStale)
        .copied()
        .collect();
    assert_eq!(compare(&without, &hidden).different, [Code::RegStale]);
}

#[test]
fn numbers_and_words_are_unique_and_round_trip() {
    let mut words = std::collections::BTreeSet::new();
    for &code in Code::ALL {
        assert_eq!(Code::from_number(code.number()), Some(code));
        assert!(words.insert(code.as_str()));
    }
    assert!(Code::ALL.is_sorted_by_key(|code| code.number()));
    assert_eq!(Code::from_number(0), None);
}

proptest! {
    #[test]
    fn hesitations_round_trip(arg in any::<i64>(), limit in any::<i64>(), event in any::<u32>()) {
        for &code in Code::ALL {
            for severity in [Severity::Notice, Severity::Warn, Severity::Error] {
                let hesitation = Hesitation { event, code, severity, arg, limit };
                let mut writer = Writer::new();
                hesitation.write(&mut writer);
                let bytes = writer.finish();
                let read = Hesitation::read(&mut Reader::new(&bytes).unwrap());
                prop_assert_eq!(read, Ok(hesitation));
            }
        }
    }
}
