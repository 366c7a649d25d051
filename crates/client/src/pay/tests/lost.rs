//! Answers that are lost after the money moved.

use std::sync::atomic::AtomicUsize;

use seamline_core::{Charged, Retry};

use super::*;

/// A server that settles and then does something else than answer, until it is told to be good.
async fn cheat(
    desk: &Desk,
    does: impl Fn() -> Reply + Send + Sync + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let ledger = Arc::clone(&desk.ledger);
    let good = Arc::new(AtomicUsize::new(0));
    let is_good = Arc::clone(&good);
    let server = Server::start(move |request| {
        if request.payment().is_none() {
            return asks_price(request);
        }
        let settled = settles(&ledger, request);
        if is_good.load(Ordering::SeqCst) == 0 {
            return does();
        }
        Reply::Http(200, settled.into_iter().collect(), b"goods".to_vec())
    })
    .await;
    (server, good)
}

/// However the answer is lost after the settlement, the same bytes are presented, and one payment is all
/// that there is; the repeated purchase brings the goods.
#[tokio::test]
async fn a_settlement_without_an_answer_is_never_paid_twice() {
    type Does = Box<dyn Fn() -> Reply + Send + Sync>;
    let cases: [(&str, Does); 4] = [
        ("server.interrupted", Box::new(|| Reply::Drop)),
        (
            "server.status",
            Box::new(|| Reply::Http(500, Vec::new(), b"boom".to_vec())),
        ),
        (
            "server.status",
            Box::new(|| Reply::Http(502, Vec::new(), Vec::new())),
        ),
        (
            "server.status",
            Box::new(|| Reply::Http(503, vec![("retry-after", "0".to_owned())], Vec::new())),
        ),
    ];
    for (code, does) in cases {
        let desk = desk();
        let (server, good) = cheat(&desk, does).await;
        let error = desk.buy(&server.url).await.unwrap_err();
        assert_eq!((error.code(), error.charged()), (code, Charged::Yes));
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(desk.ledger.paid(), [PRICE]);
        assert_eq!(server.payments().len(), 3, "once, and twice again");
        // Again, and again in vain.
        let again = desk.buy(&server.url).await.unwrap_err();
        assert_eq!(again.charged(), Charged::Yes);
        assert_eq!(again.seq(), error.seq());
        // A restart changes nothing.
        let Desk {
            payer,
            ledger,
            folder,
            ..
        } = desk;
        drop(payer);
        let payer = open(
            folder.path(),
            &ledger,
            budget(100_000),
            PayOptions::default(),
        );
        good.store(1, Ordering::SeqCst);
        let bought = payer.fetch(&Purchase::get(&server.url)).await.unwrap();
        assert!(bought.repeated);
        assert_eq!(
            (bought.charged, bought.answer.body.as_ref()),
            (Charged::Yes, &b"goods"[..])
        );
        assert_eq!(ledger.paid(), [PRICE]);
        let mut payments = server.payments();
        payments.dedup();
        assert_eq!(payments.len(), 1, "one authorization, byte for byte");
        // Delivered: the same request is a new purchase now.
        payer.fetch(&Purchase::get(&server.url)).await.unwrap();
        assert_eq!(ledger.paid(), [PRICE, PRICE]);
    }
}

/// A server that says that the settlement went through and the answer is gone will not find it again.
#[tokio::test]
async fn an_answer_that_is_gone_is_not_asked_for_again() {
    let desk = desk();
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| match settles(&ledger, request) {
        Some(header) => Reply::Http(409, vec![header], b"{}".to_vec()),
        None => asks_price(request),
    })
    .await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("server.status", Charged::Yes)
    );
    assert_eq!(server.payments().len(), 1);
    assert_eq!(desk.ledger.paid(), [PRICE]);
}

#[tokio::test]
async fn who_paid_in_vain_may_say_that_he_buys_again() {
    let desk = desk();
    let (server, good) = cheat(&desk, || Reply::Drop).await;
    desk.buy(&server.url).await.unwrap_err();
    good.store(1, Ordering::SeqCst);
    let again = Purchase::get(&server.url).buy_again();
    let bought = desk.payer.fetch(&again).await.unwrap();
    assert!(!bought.repeated);
    assert_eq!(desk.ledger.paid(), [PRICE, PRICE]);
}

/// The process dies while it waits for the answer, before or after the settlement: the next one presents
/// what is in the journal.
#[tokio::test]
async fn a_purchase_of_a_dead_process_is_taken_up() {
    for settled in [false, true] {
        let Desk {
            payer,
            ledger,
            folder,
            ..
        } = desk();
        let (died, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (books, dead, lives) = (Arc::clone(&ledger), Arc::clone(&died), Arc::clone(&alive));
        let server = Server::start(move |request| {
            if request.payment().is_none() {
                return asks_price(request);
            }
            if lives.load(Ordering::SeqCst) == 0 {
                if settled {
                    settles(&books, request).unwrap();
                }
                dead.store(1, Ordering::SeqCst);
                return Reply::Trickle;
            }
            Reply::Http(
                200,
                settles(&books, request).into_iter().collect(),
                b"goods".to_vec(),
            )
        })
        .await;
        let purchase = Purchase::get(&server.url);
        let dies = async {
            while died.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = dies => {}
            bought = payer.fetch(&purchase) => panic!("{bought:?}"),
        }
        drop(payer);
        alive.store(1, Ordering::SeqCst);
        let payer = open(
            folder.path(),
            &ledger,
            budget(100_000),
            PayOptions::default(),
        );
        assert_eq!(
            payer.journal().calls().unwrap()[0].charged(),
            Charged::Unknown
        );
        let bought = payer.fetch(&purchase).await.unwrap();
        assert!(bought.repeated);
        assert_eq!(
            (bought.charged, bought.answer.body.as_ref()),
            (Charged::Yes, &b"goods"[..])
        );
        assert_eq!(ledger.paid(), [PRICE]);
        let mut payments = server.payments();
        payments.dedup();
        assert_eq!(payments.len(), 1);
        // Closed in the log, without a receipt: its salts died with the process.
        assert_eq!(payer.journal().log().unwrap().len(), 2);
        drop(payer);
        crate::Journal::open(&folder.path().join("journal.redb")).unwrap();
    }
}

#[tokio::test]
async fn a_server_that_trickles_is_cut_off_and_paid_once() {
    let options = PayOptions {
        total_timeout: Duration::from_millis(300),
        ..PayOptions::default()
    };
    let desk = desk_with(budget(1_000), options);
    let (server, good) = cheat(&desk, || Reply::Trickle).await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("server.interrupted", Charged::Yes)
    );
    good.store(1, Ordering::SeqCst);
    assert!(desk.buy(&server.url).await.unwrap().repeated);
    assert_eq!(desk.ledger.paid(), [PRICE]);
}
