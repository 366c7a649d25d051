use proptest::prelude::*;

use super::{Decoder, Error, Event};
use crate::limits::{SSE_EVENT_BYTES, SSE_LINE_BYTES};

fn message(data: &[u8]) -> Event {
    Event::Message {
        name: Vec::new(),
        data: data.to_vec(),
    }
}

fn comment(text: &[u8]) -> Event {
    Event::Comment(text.to_vec())
}

/// Decodes `pieces` as one stream: the events, and how it ended.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), Error>) {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return (events, Err(error));
        }
    }
    (events, decoder.finish())
}

#[test]
fn events_of_an_enclave_stream() {
    let stream = b"data: {\"a\": 1}\n\n: seamline-settlement e30=\n\ndata: [DONE]\n\n";
    let events = vec![
        message(b"{\"a\": 1}"),
        comment(b" seamline-settlement e30="),
        message(b"[DONE]"),
    ];
    assert_eq!(decode([&stream[..]]), (events, Ok(())));
}

#[test]
fn every_line_end_of_the_standard() {
    for stream in [
        "data:a\ndata: b\n\n",
        "data:a\rdata: b\r\r",
        "data:a\r\ndata: b\r\n\r\n",
    ] {
        assert_eq!(
            decode([stream.as_bytes()]),
            (vec![message(b"a\nb")], Ok(()))
        );
    }
}

#[test]
fn fields_follow_the_standard() {
    let cases: [(&[u8], Vec<Event>); 7] = [
        (b"\xEF\xBB\xBFdata: x\n\n", vec![message(b"x")]),
        (b"data\n\n", vec![message(b"")]),
        (b"data:  two spaces\n\n", vec![message(b" two spaces")]),
        (b"event: only a name\n\n", vec![]),
        (
            b"id: 1\nretry: 5\nother: x\ndata: y\n\n",
            vec![message(b"y")],
        ),
        (b"\n\n\n", vec![]),
        (b"data: \xFF\xFE\n\n", vec![message(b"\xFF\xFE")]),
    ];
    for (stream, events) in cases {
        assert_eq!(decode([stream]), (events, Ok(())), "{stream:?}");
    }
    let named = Event::Message {
        name: b"x402.receipt".to_vec(),
        data: b"{}".to_vec(),
    };
    assert_eq!(
        decode([&b"event: x402.receipt\ndata: {}\n\n"[..]]).0,
        vec![named]
    );
}

#[test]
fn a_stream_that_ends_inside_an_event_is_truncated() {
    for stream in [
        "data",
        "data: x",
        "data: x\n",
        "data: x\r\n",
        "event: y\n",
        ": half a comment",
    ] {
        assert_eq!(
            decode([stream.as_bytes()]).1,
            Err(Error::Truncated),
            "{stream:?}"
        );
    }
}

#[test]
fn lines_and_events_are_bounded_and_the_refusal_stays() {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let line = vec![b'x'; SSE_LINE_BYTES];
    assert_eq!(decoder.feed(&line, &mut events), Ok(()));
    assert_eq!(decoder.feed(b"x", &mut events), Err(Error::LineTooLong));
    assert_eq!(decoder.feed(b"\n\n", &mut events), Err(Error::LineTooLong));
    assert_eq!(decoder.finish(), Err(Error::LineTooLong));

    let mut line = b"data: ".to_vec();
    line.resize(64 * 1024, b'y');
    line.push(b'\n');
    let mut decoder = Decoder::new();
    let lines = SSE_EVENT_BYTES / (64 * 1024);
    for _ in 0..lines {
        assert_eq!(decoder.feed(&line, &mut events), Ok(()));
    }
    assert_eq!(decoder.feed(&line, &mut events), Err(Error::EventTooLong));
    assert_eq!(events, vec![]);
}

#[test]
fn arguments_of_a_call_in_one_line_are_read() {
    let arguments = "x".repeat(100 * 1024);
    let stream = format!("data: {arguments}\n\n");
    let events = vec![message(arguments.as_bytes())];
    assert_eq!(decode([stream.as_bytes()]), (events, Ok(())));
}

proptest! {
    #[test]
    fn cuts_do_not_change_the_events(
        stream in proptest::collection::vec(
            prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()
            ],
            0..64,
        ),
        words in proptest::collection::vec(
            prop_oneof![
                Just("data: x"), Just("data:"), Just(": c"), Just("\n"), Just("\r\n"), Just("\r"),
                Just("event: e"), Just("\u{feff}"),
            ],
            0..24,
        ),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes = words.concat().into_bytes();
        bytes.extend_from_slice(&stream);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len().saturating_add(1))).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(decode(pieces), decode([bytes.as_slice()]));
        prop_assert_eq!(decode(bytes.chunks(1)), decode([bytes.as_slice()]));
    }
}
