//! Requests of the payer to the paywalls, without sockets.

use core::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, StatusCode};
use seamline_evm::x402::SettleResponse;
use tower::ServiceExt as _;

use crate::wire::Fate;
use crate::world::{Served, World};

/// What came of a request.
pub(crate) enum Reply {
    /// It did not leave.
    NotSent,
    /// It left, and nothing came back.
    Lost,
    Answer(Box<Answer>),
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The settlement, where it comes at the end of a stream.
    pub(crate) said: Option<SettleResponse>,
}

/// When the payer's connection breaks where it breaks.
const BREAKS: Duration = Duration::from_millis(700);

impl World {
    /// Sends a request over a wire that may lose it, or double it, or lose its answer.
    pub(crate) async fn send(&self, shop: usize, purchase: u64, payment: Option<&str>) -> Reply {
        let line = &self.lines.http;
        line.travel().await;
        // A purchase may reach either replica.
        let shop = if self.plan.shop_replicas {
            (shop + usize::from(line.coin())) % 2
        } else {
            shop
        };
        let deliver = || self.deliver(shop, purchase, payment);
        match line.fate() {
            Fate::Fine | Fate::Partial => deliver().await,
            Fate::LostQuestion if line.coin() => Reply::NotSent,
            Fate::LostQuestion => Reply::Lost,
            Fate::LostAnswer => match deliver().await {
                Reply::NotSent => Reply::NotSent,
                Reply::Lost | Reply::Answer(_) => Reply::Lost,
            },
            Fate::Twice => {
                let (first, second) = tokio::join!(deliver(), deliver());
                drop(first);
                second
            }
            Fate::Hangs => match tokio::time::timeout(BREAKS, deliver()).await {
                Ok(Reply::NotSent) => Reply::NotSent,
                Ok(_) | Err(_) => Reply::Lost,
            },
        }
    }

    async fn deliver(&self, shop: usize, purchase: u64, payment: Option<&str>) -> Reply {
        let payee = self.shops[shop].payee;
        let running = self.shops[shop].running.lock().unwrap().clone();
        let Some((router, life)) = running else {
            return Reply::NotSent;
        };
        let mut request = Request::post("/v1/chat/completions");
        if let Some(payment) = payment {
            request = request.header("payment-signature", payment);
        }
        let request = request.body(Body::from(purchase.to_string())).unwrap();
        let answer = async {
            let response = router.oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let mut body = body.into_data_stream();
            let mut whole = Vec::new();
            while let Some(piece) = body.next().await {
                let piece = piece.ok()?;
                // What the payer has, it has.
                if head.status == StatusCode::OK && whole.is_empty() {
                    // A replayed stream comes in one piece: its first line names the work.
                    let line = piece.split(|byte| *byte == b'\n').next();
                    let body = line.unwrap_or_default().to_vec();
                    let served = Served {
                        purchase,
                        payee,
                        body,
                    };
                    self.served.lock().unwrap().push(served);
                }
                whole.extend_from_slice(&piece);
            }
            Some(Box::new(Answer {
                status: head.status,
                headers: head.headers,
                said: said_in(&whole),
            }))
        };
        tokio::select! {
            biased;
            () = life.death() => Reply::Lost,
            answer = answer => answer.map_or(Reply::Lost, Reply::Answer),
        }
    }
}

/// The settlement that the end of a stream tells.
fn said_in(body: &[u8]) -> Option<SettleResponse> {
    let text = core::str::from_utf8(body).ok()?;
    let mut lines = text.lines();
    let said = lines.find_map(|line| line.strip_prefix(": seamline-settlement "))?;
    SettleResponse::from_header(said.as_bytes()).ok()
}
