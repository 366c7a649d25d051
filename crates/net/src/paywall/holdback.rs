/// Passes an event stream through and holds its final `data: [DONE]` frame back, so that a
/// settlement can be said before it.
///
/// At most the marker itself is held: everything else leaves with the piece that it came in.
#[derive(Debug)]
pub(super) struct Holdback {
    /// How many bytes of the marker matched since the start of the current line; `None` inside a
    /// line that is something else.
    matched: Option<usize>,
    done: bool,
}

impl Holdback {
    pub(super) const fn new() -> Self {
        Self {
            matched: Some(0),
            done: false,
        }
    }

    /// Takes a piece and returns what may leave. After the marker nothing leaves: it is the last
    /// frame of a stream.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len());
        for byte in piece {
            if self.done {
                break;
            }
            self.step(*byte, &mut out);
        }
        out
    }

    /// Ends the stream: what was held without being the marker, and whether a new line (such as a
    /// comment) may follow it.
    pub(super) fn finish(self) -> Tail {
        let held = MARKER.get(..self.matched.unwrap_or(0));
        Tail {
            held: if self.done {
                Vec::new()
            } else {
                held.unwrap_or_default().to_vec()
            },
            done: self.done,
            at_line_start: self.done || self.matched == Some(0),
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        let matched = self.matched.unwrap_or(MARKER.len());
        if MARKER.get(matched) == Some(&byte) {
            let matched = matched.saturating_add(1);
            self.matched = Some(matched);
            self.done = matched == MARKER.len();
            return;
        }
        if let Some(held) = self.matched.and_then(|matched| MARKER.get(..matched)) {
            out.extend_from_slice(held);
        }
        out.push(byte);
        self.matched = matches!(byte, b'\r' | b'\n').then_some(0);
    }
}

/// How a stream ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Bytes that were held and are not the marker.
    pub(super) held: Vec<u8>,
    /// The marker was seen, and [`DONE_FRAME`] is still to be sent.
    pub(super) done: bool,
    /// What follows starts a line.
    pub(super) at_line_start: bool,
}

/// The last frame of an OpenAI stream, as it is sent after the settlement.
pub(super) const DONE_FRAME: &[u8] = b"data: [DONE]\n\n";

const MARKER: &[u8] = b"data: [DONE]";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Holdback, Tail};

    fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Tail) {
        let mut holdback = Holdback::new();
        let out = pieces
            .into_iter()
            .flat_map(|piece| holdback.push(piece))
            .collect();
        (out, holdback.finish())
    }

    fn tail(held: &str, done: bool, at_line_start: bool) -> Tail {
        Tail {
            held: held.as_bytes().to_vec(),
            done,
            at_line_start,
        }
    }

    #[test]
    fn only_the_final_frame_is_held() {
        let cases: [(&str, &str, Tail); 8] = [
            (
                "data: {}\n\ndata: [DONE]\n\n",
                "data: {}\n\n",
                tail("", true, true),
            ),
            ("data: [DONE]\n\n", "", tail("", true, true)),
            ("data: [DONE]\n\ndata: more\n\n", "", tail("", true, true)),
            ("data: {}\n\n", "data: {}\n\n", tail("", false, true)),
            ("", "", tail("", false, true)),
            ("data: [DO", "", tail("data: [DO", false, false)),
            (
                "data: {\"t\": \"data: [DONE]\"}\n\n",
                "data: {\"t\": \"data: [DONE]\"}\n\n",
                tail("", false, true),
            ),
            ("dat\ndata: {}", "dat\ndata: {}", tail("", false, false)),
        ];
        for (stream, out, tail) in cases {
            assert_eq!(
                run([stream.as_bytes()]),
                (out.as_bytes().to_vec(), tail),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn a_piece_without_the_marker_leaves_at_once() {
        let mut holdback = Holdback::new();
        assert_eq!(
            holdback.push(b"data: {\"a\": 1}\n\n"),
            b"data: {\"a\": 1}\n\n"
        );
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_what_leaves(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("data: "), Just("[DONE]"), Just("\n"), Just("\r"), Just("{}"), Just("d"),
                ],
                0..20,
            ),
        ) {
            let stream = words.concat().into_bytes();
            let whole = run([stream.as_slice()]);
            prop_assert_eq!(run(stream.chunks(1)), run(stream.chunks(5)));
            let (mut out, tail) = run(stream.chunks(1));
            prop_assert_eq!(&(out.clone(), tail.done), &(whole.0, whole.1.done));
            if !tail.done {
                out.extend(tail.held);
                prop_assert_eq!(out, stream);
            }
        }
    }
}
