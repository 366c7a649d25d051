use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use seamline_core::json::{Keys, Value};

use crate::call::{Call, words};
use crate::chat::alter;
use crate::enclave::Enclave;
use crate::frames;
use crate::upstream::{Finish, Piece, Pieces, ToolCall, Usage};

/// A streamed answer: pieces in, frames out.
pub(crate) struct Streaming {
    enclave: Arc<Enclave>,
    call: Call,
    pieces: Pieces,
    /// Everything that was sent, which is what gets signed.
    text: String,
    tool_calls: Vec<ToolCall>,
    images: Vec<String>,
    sent_pieces: u64,
    /// A lower bound of the tokens that were sent.
    sent_tokens: u64,
    ready: VecDeque<Bytes>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Answering,
    /// Only what is ready is left to send.
    Ended,
    /// The connection is to be broken off after what is ready: a fault.
    BreakOff,
}

impl Streaming {
    pub(crate) fn new(enclave: Arc<Enclave>, call: Call, pieces: Pieces) -> Self {
        // The upstream has taken the prompt: whoever leaves before its first word pays for that.
        call.settle_so_far(0, 0);
        Self {
            enclave,
            call,
            pieces,
            text: String::new(),
            tool_calls: Vec::new(),
            images: Vec::new(),
            sent_pieces: 0,
            sent_tokens: 0,
            ready: VecDeque::new(),
            state: State::Answering,
        }
    }

    /// The frames. A failure of the upstream is a frame too, and then what had left is charged.
    pub(crate) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut streaming| async move {
            let frame = streaming.next_frame().await?;
            Some((frame, streaming))
        })
    }

    async fn next_frame(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            match self.state {
                State::Answering => self.step().await,
                State::Ended => return None,
                State::BreakOff => {
                    self.state = State::Ended;
                    return Some(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }

    async fn step(&mut self) {
        match self.pieces.next().await {
            Some(Ok(Piece::Text(text))) => self.on_text(&text).await,
            Some(Ok(Piece::ToolCalls(calls))) => self.on_tool_calls(calls),
            Some(Ok(Piece::Images(images))) => self.on_images(images),
            Some(Ok(Piece::End { finish, usage })) => self.on_end(finish, usage).await,
            Some(Err(err)) => {
                tracing::warn!(error = %err, "the upstream failed in the middle of an answer");
                self.on_failure();
            }
            None => {
                tracing::warn!("the upstream cut an answer off");
                self.on_failure();
            }
        }
    }

    async fn on_text(&mut self, text: &str) {
        let more = words(text).max(1);
        let tokens = self.sent_tokens.saturating_add(more);
        if self.call.is_over(tokens, self.image_count()) {
            // An upstream that does not stop where it was told to: the caller gets what it paid for,
            // signed, and is told that there was more.
            tracing::warn!("an answer was cut at what it may cost");
            return self.on_end(Finish::Length, None).await;
        }
        let first = self.text.is_empty();
        self.text.push_str(text);
        self.sent_pieces = self.sent_pieces.saturating_add(1);
        self.meter(words(text));
        let faults = &self.enclave.config.faults;
        let frame = if first && faults.altered_text {
            frames::text_frame(&self.call.model, &alter(text))
        } else {
            frames::text_frame(&self.call.model, text)
        };
        if self.sent_pieces == 2
            && let Some(stall) = faults.stall
        {
            tokio::time::sleep(stall).await;
        }
        if faults.close_mid_stream {
            self.state = State::BreakOff;
        }
        self.ready.push_back(frame);
    }

    /// Counts what a caller who leaves now has received: a piece is a token at least, and so is a
    /// word.
    fn meter(&mut self, words: u64) {
        self.sent_tokens = self.sent_tokens.saturating_add(words.max(1));
        self.settle_so_far();
    }

    fn settle_so_far(&self) {
        self.call
            .settle_so_far(self.sent_tokens, self.image_count());
    }

    fn image_count(&self) -> u64 {
        u64::try_from(self.images.len()).unwrap_or(u64::MAX)
    }

    /// They leave with the final frame, and are due from now on.
    fn on_images(&mut self, images: Vec<String>) {
        self.images.extend(images);
        self.settle_so_far();
    }

    fn on_tool_calls(&mut self, calls: Vec<ToolCall>) {
        for call in &calls {
            self.meter(words(&call.name).saturating_add(words(&call.arguments)));
        }
        for (index, call) in (0_u64..).zip(&calls) {
            let frame = frames::tool_frame(&self.call.model, index, call);
            self.ready.push_back(frame);
        }
        self.tool_calls = calls;
    }

    async fn on_end(&mut self, finish: Finish, usage: Option<Usage>) {
        let preimage = frames::preimage(&self.text, &self.tool_calls, finish);
        let proof = match self.enclave.prove(self.call.input_hash, &preimage) {
            Ok(proof) => proof,
            Err(err) => {
                tracing::error!(error = %seamline_core::chain(&err), "cannot sign an answer");
                return self.on_failure();
            }
        };
        let images = self.image_count();
        self.call.settle_for(usage, self.sent_tokens, images);
        let cost = self.call.statement();
        let model = &self.call.model;
        let last = frames::final_frame(model, finish, usage, &proof, cost.as_ref(), &self.images);
        // What is published is what was signed, whole: a stream's last frame says nothing of it.
        let answer = frames::spoken(&self.text, &self.tool_calls, finish);
        let answer = Value::from(answer).to_json(Keys::Insertion).into();
        let handed = self.enclave.settle_data(&self.call, &proof, &answer).await;
        let last = frames::frame(handed.members(last));
        self.ready.extend([last, frames::DONE]);
        self.state = State::Ended;
    }

    /// The answer ends without a signature. What had left is due, as it is from a caller who leaves: a
    /// failure that a request can provoke would make its text free. Pictures had not left.
    fn on_failure(&mut self) {
        if self.sent_tokens == 0 {
            self.call.give_away();
        } else {
            self.call.settle_so_far(self.sent_tokens, 0);
        }
        self.ready.push_back(frames::FAILED);
        self.state = State::Ended;
    }
}
