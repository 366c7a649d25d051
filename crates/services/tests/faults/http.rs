//! Requests of the payer to the paywalls, without sockets.

use core::time::Duration;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;

use crate::wire::Fate;
use crate::world::{Served, World};

/// What came of a request.
pub(crate) enum Reply {
    /// It did not leave.
    NotSent,
    /// It left, and nothing came back.
    Lost,
    Answer(Answer),
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
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
            (head, to_bytes(body, usize::MAX).await.unwrap())
        };
        tokio::select! {
            biased;
            () = life.death() => Reply::Lost,
            (head, body) = answer => {
                if head.status == StatusCode::OK {
                    self.served.lock().unwrap().push(Served { purchase, payee, body: body.to_vec() });
                }
                Reply::Answer(Answer { status: head.status, headers: head.headers })
            }
        }
    }
}
