//! Answers that are passed on as they come, and what a cut costs.

use std::sync::Mutex;

use seamline_core::Charged;
use seamline_evm::x402::PaymentPayload;
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::fixtures::server::Feed;

/// A server of one stream, which settles when a test says so.
struct Stage {
    desk: Desk,
    server: Server,
    feed: Arc<Feed>,
    writer: UnboundedSender<Vec<u8>>,
    presented: Arc<Mutex<Option<PaymentPayload>>>,
}

impl Stage {
    async fn set() -> Self {
        let desk = desk();
        let (feed, writer) = Feed::new();
        let presented = Arc::new(Mutex::new(None));
        let (served, seen) = (Arc::clone(&feed), Arc::clone(&presented));
        let server = Server::start(move |request| match request.payload() {
            Some(payload) => {
                *seen.lock().unwrap() = Some(payload);
                let kind = ("content-type", "text/event-stream".to_owned());
                Reply::Feed(vec![kind], Arc::clone(&served))
            }
            None => asks_price(request),
        })
        .await;
        Self {
            desk,
            server,
            feed,
            writer,
            presented,
        }
    }

    fn settle(&self) {
        let payload = self.presented.lock().unwrap().take().unwrap();
        self.desk.ledger.settle(&payload, PRICE).unwrap();
    }
}

#[tokio::test]
async fn a_whole_stream_is_paid_and_in_the_receipt() {
    let stage = Stage::set().await;
    let (outlet, mut inlet) = outlet(4);
    let purchase = Purchase::get(&stage.server.url);
    let Stage {
        desk,
        writer,
        presented,
        server: _server,
        feed: _feed,
    } = stage;
    let (bought, text) = tokio::join!(desk.payer.fetch_into(&purchase, outlet), async {
        let _ = inlet.head().await.unwrap();
        // Each piece is written after the one before it was read.
        let mut text = Vec::new();
        for piece in ["g", "oo", "d"] {
            writer.send(piece.as_bytes().to_vec()).unwrap();
            text.extend(inlet.piece().await.unwrap());
            assert!(!inlet.is_whole());
        }
        let payload = presented.lock().unwrap().take().unwrap();
        desk.ledger.settle(&payload, PRICE).unwrap();
        writer.send(b"s".to_vec()).unwrap();
        drop(writer);
        while let Some(piece) = inlet.piece().await {
            text.extend(piece);
        }
        text
    });
    let bought = bought.unwrap();
    assert_eq!(text, b"goods");
    assert!(inlet.is_whole());
    assert_eq!((bought.passed, bought.answer.body.len()), (Some(5), 0));
    assert_eq!(bought.settled, Some(Amount::new(PRICE)));
    assert_eq!(bought.charged, Charged::Yes);
    // Nothing is reserved any more: what was settled is committed.
    let call = desk.payer.journal().calls().unwrap().remove(0);
    assert_eq!(call.committed(), Amount::new(PRICE));
    assert!(bought.receipt.is_some());
}

#[tokio::test]
async fn who_leaves_closes_the_connection_and_pays_what_was_settled() {
    for settles in [true, false] {
        let stage = Stage::set().await;
        let (outlet, mut inlet) = outlet(1);
        let purchase = Purchase::get(&stage.server.url);
        let payer = &stage.desk.payer;
        let (stopped, ()) = tokio::join!(payer.fetch_into(&purchase, outlet), async {
            let _ = inlet.head().await.unwrap();
            stage.writer.send(b"one".to_vec()).unwrap();
            let _ = inlet.piece().await.unwrap();
            if settles {
                stage.settle();
            }
            drop(inlet);
            // The server sees it, while it has nothing to say.
            stage.feed.left.notified().await;
        });
        let stopped = stopped.unwrap_err();
        assert_eq!(stopped.code(), "purchase.stopped");
        assert_eq!(stopped.authorized(), Some(Amount::new(PRICE)));
        let (charged, settled) = match settles {
            true => (Charged::Yes, Some(Amount::new(PRICE))),
            // It may settle until its deadline: the amount stays reserved.
            false => (Charged::Unknown, None),
        };
        assert_eq!((stopped.charged(), stopped.settled()), (charged, settled));
        let call = payer.journal().calls().unwrap().remove(0);
        assert_eq!(call.committed(), Amount::new(PRICE));
        assert!(stopped.receipt().unwrap().exists());
    }
}

#[tokio::test]
async fn who_leaves_before_the_head_is_heard_too() {
    let stage = Stage::set().await;
    let (outlet, inlet) = outlet(1);
    drop(inlet);
    let purchase = Purchase::get(&stage.server.url);
    let stopped = stage.desk.payer.fetch_into(&purchase, outlet).await;
    let stopped = stopped.unwrap_err();
    assert_eq!(stopped.code(), "purchase.stopped");
    // Nothing was signed for a reader who is not there.
    assert_eq!(
        (stopped.charged(), stopped.authorized()),
        (Charged::No, None)
    );
    assert!(stage.server.payments().is_empty());
}

#[tokio::test]
async fn a_cut_stream_is_not_begun_anew() {
    let stage = Stage::set().await;
    let (outlet, mut inlet) = outlet(1);
    let purchase = Purchase::get(&stage.server.url);
    let payer = &stage.desk.payer;
    let (cut, ()) = tokio::join!(payer.fetch_into(&purchase, outlet), async {
        stage.writer.send(b"one".to_vec()).unwrap();
        assert_eq!(inlet.piece().await.unwrap(), "one");
        stage.writer.send(Vec::new()).unwrap();
        assert_eq!(inlet.piece().await, None);
        assert!(!inlet.is_whole());
    });
    let cut = cut.unwrap_err();
    assert_eq!(
        (cut.code(), cut.charged()),
        ("server.interrupted", Charged::Unknown)
    );
    assert_eq!(stage.server.payments().len(), 1, "presented once");
}

#[tokio::test]
async fn an_answer_of_failure_is_no_stream() {
    let desk = desk();
    let server = Server::start(|_| Reply::Http(404, Vec::new(), b"no".to_vec())).await;
    let (outlet, mut inlet) = outlet(1);
    let purchase = Purchase::get(&server.url);
    let (bought, head) = tokio::join!(desk.payer.fetch_into(&purchase, outlet), inlet.head());
    let bought = bought.unwrap();
    assert!(head.is_none());
    assert_eq!((bought.answer.status, bought.passed), (404, None));
    assert_eq!(bought.answer.body, "no");
}
