//! Server-sent events: an incremental, bounded decoder (WHATWG HTML §9.2.5 and §9.2.6).
//!
//! Comments are events too: SSE parsers ignore them, so signed checkpoints and settlements travel
//! in them past clients that do not know about them.

#[cfg(test)]
mod tests;

use crate::limits::{SSE_EVENT_BYTES, SSE_LINE_BYTES};

/// One event of a stream.
///
/// Bytes are kept as received, UTF-8 or not: what an enclave signed is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A dispatched message: its `event` field (empty where absent) and its `data` lines joined by
    /// line feeds. Fields `id` and `retry` are ignored: these streams do not reconnect.
    Message {
        /// Value of the last `event` field.
        name: Vec<u8>,
        /// Values of all `data` fields.
        data: Vec<u8>,
    },
    /// A comment line, without its colon; surfaced when its line ends, before the event that it
    /// stands in.
    Comment(Vec<u8>),
}

/// Why a stream is refused. The decoder stays refused: later bytes report the same error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data of one event is longer than the decoder's limit.
    #[error("an event of the stream is too long")]
    EventTooLong,
    /// A line is longer than the decoder's limit.
    #[error("a line of the event stream is too long")]
    LineTooLong,
    /// The stream ended inside an event.
    #[error("the event stream ended inside an event")]
    Truncated,
}

/// Decodes a stream of server-sent events from pieces of any size.
///
/// The events do not depend on where the pieces are cut. At most one line and one event are held.
#[derive(Clone, Debug)]
pub struct Decoder {
    max_line: usize,
    max_event: usize,
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was CR: a LF that follows belongs to the same line end.
    after_cr: bool,
    /// The first line has ended, so a byte order mark is text from here on.
    started: bool,
    failed: Option<Error>,
}

impl Decoder {
    /// Starts at the beginning of a stream, with lines of at most [`SSE_LINE_BYTES`] and events of at
    /// most [`SSE_EVENT_BYTES`].
    pub const fn new() -> Self {
        Self::with_limits(SSE_LINE_BYTES, SSE_EVENT_BYTES)
    }

    /// Starts at the beginning of a stream whose lines, and whose events, have at most `max_bytes`: for
    /// one that carries pictures, each of which is one line.
    pub const fn within(max_bytes: usize) -> Self {
        Self::with_limits(max_bytes, max_bytes)
    }

    const fn with_limits(max_line: usize, max_event: usize) -> Self {
        Self {
            max_line,
            max_event,
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            started: false,
            failed: None,
        }
    }

    /// Decodes the next bytes and appends the events that they complete to `events`.
    ///
    /// # Errors
    ///
    /// [`Error::LineTooLong`] or [`Error::EventTooLong`]; the events before the fault are appended.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let outcome = self.feed_lines(bytes, events);
        self.failed = outcome.err();
        outcome
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where bytes of an event arrived whose blank line did not; the standard
    /// discards such an event, a payer must know of it.
    pub fn finish(self) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let complete = self.line.is_empty() && !self.has_data && self.name.is_empty();
        complete.then_some(()).ok_or(Error::Truncated)
    }

    fn feed_lines(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (text, rest) = bytes.split_at(end);
            self.extend_line(text)?;
            self.end_line(events)?;
            bytes = match rest.split_first() {
                Some((b'\r', [])) => {
                    self.after_cr = true;
                    &[]
                }
                Some((b'\r', rest)) => rest.strip_prefix(b"\n").unwrap_or(rest),
                Some((_, rest)) => rest,
                None => &[],
            };
        }
        self.extend_line(bytes)
    }

    fn extend_line(&mut self, text: &[u8]) -> Result<(), Error> {
        if self.line.len().saturating_add(text.len()) > self.max_line {
            return Err(Error::LineTooLong);
        }
        self.line.extend_from_slice(text);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let line = core::mem::take(&mut self.line);
        let first = !core::mem::replace(&mut self.started, true);
        let text = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(text) if first => text,
            Some(_) | None => &line,
        };
        match text {
            [] => self.dispatch(events),
            [b':', comment @ ..] => events.push(Event::Comment(comment.to_vec())),
            field => self.field(field)?,
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Error> {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                let joined = self.data.len().saturating_add(value.len());
                if joined >= self.max_event {
                    return Err(Error::EventTooLong);
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.name = value.to_vec(),
            // `id`, `retry` and unknown fields: the standard ignores the latter, we have no use
            // for the former.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = core::mem::take(&mut self.name);
        let data = core::mem::take(&mut self.data);
        if core::mem::take(&mut self.has_data) {
            events.push(Event::Message { name, data });
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
