//! One budget over everything that happens at once.

use std::sync::atomic::AtomicUsize;

use seamline_core::Charged;

use super::*;
use crate::journal::Scope;

/// Sixty-four purchases at once, a budget for ten: exactly ten are authorized, and after a restart none
/// more, whether they settled or nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_once_share_the_budget_of_ten() {
    for settled in [true, false] {
        let options = PayOptions {
            settle_wait: Duration::from_millis(50),
            ..PayOptions::default()
        };
        let Desk {
            payer,
            ledger,
            folder,
            clock,
        } = desk_with(budget(10 * PRICE), options.clone());
        let books = Arc::clone(&ledger);
        let server = Server::start(move |request| {
            if request.payment().is_none() {
                return asks_price(request);
            }
            let settlement = if settled {
                settles(&books, request)
            } else {
                None
            };
            Reply::Http(200, settlement.into_iter().collect(), Vec::new())
        })
        .await;
        let bought = AtomicUsize::new(0);
        let purchases = (0..64).map(|index| {
            let (payer, bought) = (&payer, &bought);
            let purchase = Purchase::get(format!("{}/{index}", server.url));
            async move {
                match payer.fetch(&purchase).await {
                    Ok(_) => {
                        bought.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) => {
                        assert_eq!(
                            (error.code(), error.charged()),
                            ("offer.per_day", Charged::No)
                        );
                    }
                }
            }
        });
        futures_util::future::join_all(purchases).await;
        assert_eq!(bought.load(Ordering::SeqCst), 10);
        let mut payments = server.payments();
        payments.sort();
        payments.dedup();
        assert_eq!(payments.len(), 10, "ten authorizations");
        assert_eq!(ledger.paid().len(), if settled { 10 } else { 0 });

        drop(payer);
        let payer = open(folder.path(), &ledger, budget(10 * PRICE), options);
        let more = Purchase::get(format!("{}/more", server.url));
        let error = payer.fetch(&more).await.unwrap_err();
        assert_eq!(error.code(), "offer.per_day");
        let status = payer.journal().budget(payer.budget(), NOW);
        let day = status[0]
            .windows
            .iter()
            .find(|it| it.scope == Scope::Day)
            .unwrap();
        assert_eq!(day.left, Amount::ZERO);
        let (expected_settled, expected_reserved) = if settled { (1_000, 0) } else { (0, 1_000) };
        assert_eq!(day.settled, Amount::new(expected_settled));
        assert_eq!(day.reserved, Amount::new(expected_reserved));
        // Proven unspent, the reservations are free again.
        clock.fetch_add(61, Ordering::SeqCst);
        payer.recover().await.unwrap();
        assert_eq!(payer.fetch(&more).await.is_ok(), !settled);
    }
}

#[tokio::test]
async fn an_hour_a_node_and_a_model_have_budgets_of_their_own() {
    let hour = SpendPolicy {
        per_hour: Some(Amount::new(PRICE)),
        ..budget(10_000)
    };
    let node = SpendPolicy {
        per_node_day: Some(Amount::new(PRICE)),
        ..budget(10_000)
    };
    let model = SpendPolicy {
        per_model_day: Some(Amount::new(PRICE)),
        ..budget(10_000)
    };
    for (policy, code, free_after) in [
        (hour, "offer.per_hour", 3_600 + 60),
        (node, "offer.per_node_day", 86_400 + 60),
        (model, "offer.per_model_day", 86_400 + 60),
    ] {
        let desk = desk_with(policy, PayOptions::default());
        let shop = shop(&desk.ledger).await;
        desk.buy(&shop.url).await.unwrap();
        let error = desk.buy(&shop.url).await.unwrap_err();
        assert_eq!((error.code(), error.charged()), (code, Charged::No));
        let status = desk.payer.journal().budget(desk.payer.budget(), NOW);
        let full = status[0]
            .windows
            .iter()
            .find(|it| it.left.is_zero())
            .unwrap();
        let frees_ms = full.frees_ms.unwrap();
        assert_eq!(frees_ms / 1_000, NOW.as_secs() + free_after - 1, "{code}");
        desk.pass(free_after - 1);
        assert_eq!(desk.buy(&shop.url).await.unwrap_err().code(), code);
        desk.pass(1);
        desk.buy(&shop.url).await.unwrap();
    }
}

#[tokio::test]
async fn each_token_has_the_caps_for_itself() {
    let other = Address::repeat_byte(0x71);
    let mut policy = budget(PRICE);
    policy.assets.push(other);
    let desk = desk_with(policy, PayOptions::default());
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| match settles(&ledger, request) {
        Some(header) => Reply::Http(200, vec![header], Vec::new()),
        None => {
            let mut second = offer(PRICE, SELLER);
            second["asset"] = json!(other.to_string());
            asks(request, &[second, offer(PRICE, SELLER)], &json!({}))
        }
    })
    .await;
    for _ in 0..2 {
        desk.buy(&server.url).await.unwrap();
    }
    assert_eq!(
        desk.buy(&server.url).await.unwrap_err().code(),
        "offer.per_day"
    );
    let history = desk.payer.journal().history().unwrap();
    let assets: Vec<_> = history.iter().map(|paid| paid.asset).collect();
    assert_eq!(assets, [other, TOKEN], "the policy's order, newest first");
}

#[test]
fn a_budget_without_an_endpoint_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(Arc::new(AtomicU64::new(NOW.as_secs())));
    let mut policy = budget(100);
    policy.networks.push("eip155:8453".to_owned());
    let rpc: Arc<dyn Rpc> = ledger;
    let error = Payer::open(PayerConfig {
        signer: Arc::new(wallet()),
        recorder: recorder(),
        budget: policy,
        chains: vec![Chain { chain_id: 1, rpc }],
        home: Home {
            journal: folder.path().join("journal.redb"),
            receipts: folder.path().to_owned(),
        },
        env: Env::system(),
        options: PayOptions::default(),
    });
    assert_eq!(error.unwrap_err().code(), "chain.unknown");
}

#[test]
fn a_folder_for_receipts_that_cannot_be_written_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("receipts"), b"a file").unwrap();
    let ledger = Ledger::new(Arc::new(AtomicU64::new(NOW.as_secs())));
    let rpc: Arc<dyn Rpc> = ledger;
    let config = |receipts: &str| PayerConfig {
        signer: Arc::new(wallet()),
        recorder: recorder(),
        budget: budget(100),
        chains: vec![Chain {
            chain_id: 1,
            rpc: Arc::clone(&rpc),
        }],
        home: Home {
            journal: folder.path().join("journal.redb"),
            receipts: folder.path().join(receipts),
        },
        env: Env::system(),
        options: PayOptions::default(),
    };
    let error = Payer::open(config("receipts")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Write { .. }), "{error:?}");
    // A folder that is not there yet is made, instead of being missed after the payment.
    drop(Payer::open(config("new/receipts")).unwrap());
    assert!(folder.path().join("new/receipts").is_dir());
}
