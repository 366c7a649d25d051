//! One request and its answer, read whole or passed on as it comes.

use bytes::Bytes;
use http::{HeaderMap, Request, response};
use seamline_core::B256;
use seamline_core::binding::OutputCommitment;
use seamline_core::receipt as event;
use seamline_net::client::{Body, Error as NetError, UrlRefusal};

use super::Answer;
use super::error::ErrorKind;
use super::outlet::Head;
use super::run::Buying;
use super::wire::{self, Presentation};

/// Why a request brought no answer.
#[derive(Debug)]
pub(super) enum SendFault {
    Net(NetError),
    /// The reader of the answer left.
    Left,
}

/// What was passed on of a streamed answer.
pub(super) struct Passed {
    pub(super) bytes: u64,
    pub(super) chunks: u64,
    commitment: OutputCommitment,
}

impl Passed {
    pub(super) fn commitment(&self) -> B256 {
        self.commitment.clone().finish()
    }
}

impl From<NetError> for SendFault {
    fn from(source: NetError) -> Self {
        Self::Net(source)
    }
}

impl SendFault {
    /// As the failure of a request that carried no payment.
    pub(super) fn unpaid(self) -> ErrorKind {
        match self {
            Self::Net(source) => ErrorKind::Unreachable(source),
            Self::Left => ErrorKind::Stopped,
        }
    }
}

impl Buying<'_> {
    /// Sends the request, with a payment or without. The answer is read whole, except one of success
    /// that somebody reads as it comes: that one is passed on, and has no body here.
    pub(super) async fn send(
        &mut self,
        payment: Option<&Presentation>,
    ) -> Result<Answer, SendFault> {
        let mut request = Request::new(self.purchase.body.clone());
        *request.method_mut() = self.purchase.method.clone();
        let url = self.target.url.parse();
        *request.uri_mut() = url.map_err(|_| NetError::Url(UrlRefusal::Malformed))?;
        let mut headers: HeaderMap = wire::own_headers(&self.purchase.headers);
        if let Some(payment) = payment {
            payment.insert(&mut headers);
        }
        *request.headers_mut() = headers;
        let sent = self.payer.http.send(request);
        let response = match self.outlet.as_deref() {
            None => sent.await?,
            Some(outlet) => tokio::select! {
                biased;
                response = sent => response?,
                () = outlet.left() => return Err(SendFault::Left),
            },
        };
        let (head, body) = response.into_parts();
        if head.status.is_success() && self.outlet.is_some() {
            return self.pass_on(head, body).await;
        }
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.bytes().await?,
        })
    }

    async fn pass_on(
        &mut self,
        head: response::Parts,
        mut body: Body,
    ) -> Result<Answer, SendFault> {
        let status = head.status.as_u16();
        self.event(event::ResponseFirst {
            status: u32::from(status),
        });
        // Said before the body, and worth as much where that breaks.
        self.settle_reply = wire::settle_reply(&head.headers).or_else(|| self.settle_reply.take());
        let patience = self.payer.options.server_timeout;
        let passed = self.passed.insert(Passed {
            bytes: 0,
            chunks: 0,
            commitment: OutputCommitment::new(&self.output_salt),
        });
        let Some(outlet) = self.outlet.as_deref_mut() else {
            return Err(SendFault::Left);
        };
        outlet.open(Head {
            status,
            headers: head.headers.clone(),
        });
        loop {
            let piece = tokio::select! {
                biased;
                piece = body.chunk() => piece?,
                () = outlet.left() => return Err(SendFault::Left),
            };
            let Some(piece) = piece else {
                break;
            };
            let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            passed.bytes = passed.bytes.saturating_add(bytes);
            passed.chunks = passed.chunks.saturating_add(1);
            passed.commitment.update(&piece);
            if !outlet.pass(piece, patience).await {
                return Err(SendFault::Left);
            }
        }
        Ok(Answer {
            status,
            headers: head.headers,
            body: Bytes::new(),
        })
    }

    /// Whether whoever would read the answer has left.
    pub(super) fn has_left(&self) -> bool {
        self.outlet.as_ref().is_some_and(|outlet| outlet.has_left())
    }

    /// Ends the answer for its reader.
    pub(super) fn end_answer(&mut self, whole: bool) {
        if let Some(outlet) = self.outlet.as_deref_mut() {
            outlet.end(whole);
        }
    }
}
