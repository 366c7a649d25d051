//! Payment channels: a deposit, then a signature per purchase.

use seamline_core::Charged;

use super::seller::{CHARGE, Fault, Seller, channel_offer};
use super::*;
use crate::journal::VoucherState;

fn options() -> PayOptions {
    PayOptions {
        channels_per_seller: 1,
        ..PayOptions::default()
    }
}

fn channel_budget(per_day: u128) -> SpendPolicy {
    SpendPolicy {
        schemes: vec![Scheme::BatchSettlement],
        per_channel: Some(Amount::new(1_000)),
        ..policy(per_day)
    }
}

async fn market() -> (Desk, Arc<Seller>, Server) {
    let desk = desk_with(channel_budget(100_000), options());
    let seller = Arc::new(Seller::default());
    let sells = Arc::clone(&seller);
    let server = Server::start(move |request| sells.sells(request)).await;
    (desk, seller, server)
}

/// The types of the payments that arrived.
fn kinds(server: &Server) -> Vec<String> {
    let payloads = server.requests().into_iter().filter_map(|it| it.payload());
    payloads
        .map(|payload| payload.payload()["type"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn one_deposit_pays_many_purchases_also_after_a_restart() {
    let (desk, seller, server) = market().await;
    for index in 0..3_u128 {
        let bought = desk.buy(&format!("{}/{index}", server.url)).await.unwrap();
        assert_eq!(bought.answer.body, "goods");
        assert_eq!(
            (bought.charged, bought.settled),
            (Charged::Yes, Some(Amount::new(CHARGE)))
        );
        assert_eq!(bought.authorized, Some(Amount::new(PRICE)));
        assert_eq!(seller.charged(), CHARGE * (index + 1));
    }
    assert_eq!(kinds(&server), ["deposit", "voucher", "voucher"]);
    assert!(
        desk.ledger.paid().is_empty(),
        "nothing was settled for each"
    );
    let Desk {
        payer,
        ledger,
        folder,
        ..
    } = desk;
    drop(payer);
    let payer = open(folder.path(), &ledger, channel_budget(100_000), options());
    payer.fetch(&Purchase::get(&server.url)).await.unwrap();
    assert_eq!(kinds(&server).last().unwrap(), "voucher");
    assert_eq!(seller.charged(), 4 * CHARGE);
    let history = payer.journal().history().unwrap();
    let settled: u128 = history.iter().map(|paid| paid.settled.unwrap().get()).sum();
    assert_eq!((settled, history.len()), (4 * CHARGE, 4));
    let day = &payer.journal().budget(payer.budget(), NOW)[0].windows[1];
    assert_eq!(
        (day.settled.get(), day.reserved),
        (4 * CHARGE, Amount::ZERO)
    );
}

/// Lost before the seller charged it: the repeated purchase makes the same promise, which does not grow.
#[tokio::test]
async fn an_uncharged_promise_that_was_lost_is_made_again() {
    let (desk, seller, server) = market().await;
    desk.buy(&server.url).await.unwrap();
    *seller.faults.lock().unwrap() = vec![Fault::LoseBefore; 3];
    let error = desk.buy(&format!("{}/lost", server.url)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("server.interrupted", Charged::Unknown)
    );
    let reserved = |desk: &Desk| {
        let budget = desk.payer.journal().budget(desk.payer.budget(), NOW);
        budget[0].windows[1].reserved.get()
    };
    assert_eq!(reserved(&desk), PRICE);
    let bought = desk.buy(&format!("{}/lost", server.url)).await.unwrap();
    assert_eq!(bought.charged, Charged::Yes);
    assert_eq!(seller.charged(), 2 * CHARGE);
    // The seller took the newer voucher: the lost one is worth nothing.
    assert_eq!(reserved(&desk), 0);
    let requests = server.requests().into_iter();
    let mut vouchers: Vec<_> = requests
        .filter_map(|request| request.payload())
        .map(|message| message.payload().to_string())
        .collect();
    vouchers.dedup();
    assert_eq!(vouchers.len(), 2, "the same voucher, byte for byte");
}

/// Lost after the seller charged it: its correction says so, and the purchase is not paid again unasked.
#[tokio::test]
async fn a_charged_promise_that_was_lost_is_not_paid_again() {
    let (desk, seller, server) = market().await;
    desk.buy(&server.url).await.unwrap();
    *seller.faults.lock().unwrap() = vec![Fault::LoseAfter];
    let purchase = Purchase::get(format!("{}/lost", server.url));
    // The second presentation meets the seller's correction already.
    for _ in 0..3 {
        let error = desk.payer.fetch(&purchase).await.unwrap_err();
        assert_eq!(
            (error.code(), error.charged()),
            ("payment.in_vain", Charged::Yes)
        );
        assert_eq!(seller.charged(), 2 * CHARGE);
    }
    // Another purchase goes on.
    desk.buy(&format!("{}/other", server.url)).await.unwrap();
    assert_eq!(seller.charged(), 3 * CHARGE);
    // And so does this one, if the caller says so.
    let again = Purchase::get(format!("{}/lost", server.url)).buy_again();
    desk.payer.fetch(&again).await.unwrap();
    assert_eq!(seller.charged(), 4 * CHARGE);
    let history = desk.payer.journal().history().unwrap();
    let settled: u128 = history
        .iter()
        .filter_map(|paid| paid.settled)
        .map(Amount::get)
        .sum();
    assert_eq!(
        settled,
        4 * CHARGE,
        "the books are the seller's, to the unit"
    );
}

/// Charged, and the seller says so: the books know it at once, and nothing is presented again.
#[tokio::test]
async fn a_charge_whose_answer_is_gone_is_in_the_books() {
    let (desk, seller, server) = market().await;
    desk.buy(&server.url).await.unwrap();
    *seller.faults.lock().unwrap() = vec![Fault::Gone];
    let purchase = Purchase::get(format!("{}/gone", server.url));
    let error = desk.payer.fetch(&purchase).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("server.status", Charged::Yes)
    );
    assert_eq!(server.payments().len(), 2);
    let error = desk.payer.fetch(&purchase).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.in_vain", Charged::Yes)
    );
    let day = &desk.payer.journal().budget(desk.payer.budget(), NOW)[0].windows[1];
    assert_eq!(
        (day.settled.get(), day.reserved),
        (2 * CHARGE, Amount::ZERO)
    );
    assert_eq!(seller.charged(), 2 * CHARGE);
}

/// The same, with the correction only at the repeated purchase: all three presentations were lost.
#[tokio::test]
async fn a_correction_at_the_repeated_purchase_stops_it() {
    let (desk, seller, server) = market().await;
    desk.buy(&server.url).await.unwrap();
    let gone = Arc::new(AtomicU64::new(0));
    let (lost, sells) = (Arc::clone(&gone), Arc::clone(&seller));
    // Another server in front: it loses every answer of the first three payments.
    let front = Server::start(move |request| {
        if request.payment().is_some() && lost.fetch_add(1, Ordering::SeqCst) < 3 {
            let _ = sells.sells(request);
            return Reply::Drop;
        }
        sells.sells(request)
    })
    .await;
    let purchase = Purchase::get(format!("{}/lost", front.url));
    let error = desk.payer.fetch(&purchase).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("server.interrupted", Charged::Unknown)
    );
    assert_eq!(seller.charged(), 2 * CHARGE);
    let error = desk.payer.fetch(&purchase).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.in_vain", Charged::Yes)
    );
    assert_eq!(seller.charged(), 2 * CHARGE);
    let error = desk.payer.fetch(&purchase).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.in_vain", Charged::Yes)
    );
}

/// A deposit that never landed is presented again while it can, and replaced only when the chain has proven
/// that it never will.
#[tokio::test]
async fn a_deposit_is_replaced_only_when_it_is_dead() {
    let (desk, seller, server) = market().await;
    let deposits = || {
        let payloads = server.requests().into_iter().filter_map(|it| it.payload());
        let mut signed: Vec<_> = payloads
            .filter(|payload| payload.payload()["type"] == "deposit")
            .map(|payload| payload.payload()["deposit"].to_string())
            .collect();
        signed.dedup();
        signed.len()
    };
    *seller.faults.lock().unwrap() = vec![Fault::LoseBefore; 3];
    desk.buy(&server.url).await.unwrap_err();
    *seller.faults.lock().unwrap() = vec![Fault::LoseBefore; 3];
    desk.buy(&server.url).await.unwrap_err();
    assert_eq!(deposits(), 1, "the same deposit, presented again");
    desk.pass(61);
    seller.channels.lock().unwrap().clear();
    desk.buy(&server.url).await.unwrap();
    assert_eq!(deposits(), 2);
    assert_eq!(seller.charged(), CHARGE);
    // While the chain is down nothing replaces one.
    let (desk, seller, server) = market().await;
    *seller.faults.lock().unwrap() = vec![Fault::LoseBefore; 3];
    desk.buy(&server.url).await.unwrap_err();
    desk.pass(61);
    desk.ledger.down.store(true, Ordering::SeqCst);
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(error.code(), "chain.unreachable");
    assert_eq!(server.payments().len(), 3);
}

/// A caller that no longer waits leaves the channel free and its promise reserved.
#[tokio::test]
async fn a_purchase_that_was_given_up_does_not_block_its_channel() {
    let desk = desk_with(channel_budget(100_000), options());
    let seller = Arc::new(Seller::default());
    let (sells, sent) = (Arc::clone(&seller), Arc::new(AtomicU64::new(0)));
    let seen = Arc::clone(&sent);
    let server = Server::start(move |request| {
        if request.payment().is_some() && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::Trickle;
        }
        sells.sells(request)
    })
    .await;
    let left = async {
        while sent.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    let url = format!("{}/given-up", server.url);
    tokio::select! {
        biased;
        () = left => {}
        bought = desk.buy(&url) => panic!("{bought:?}"),
    }
    let other = desk.buy(&format!("{}/other", server.url)).await.unwrap();
    assert_eq!(other.charged, Charged::Yes);
    assert_eq!(seller.charged(), CHARGE);
}

#[tokio::test]
async fn vouchers_stay_within_the_budget_and_the_channel() {
    let desk = desk_with(channel_budget(PRICE + CHARGE), options());
    let seller = Arc::new(Seller::default());
    let sells = Arc::clone(&seller);
    let server = Server::start(move |request| sells.sells(request)).await;
    desk.buy(&format!("{}/1", server.url)).await.unwrap();
    desk.buy(&format!("{}/2", server.url)).await.unwrap();
    let error = desk.buy(&format!("{}/3", server.url)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("offer.per_day", Charged::No)
    );
    // A seller that asks for a deposit beyond the cap per channel gets none.
    let mut policy = channel_budget(100_000);
    policy.per_channel = Some(Amount::new(PRICE - 1));
    let desk = desk_with(policy, options());
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.channel", Charged::No)
    );
    assert!(desk.payer.journal().history().unwrap().is_empty());
    // Without a pool an offer of channels is none.
    let desk = desk_with(channel_budget(100_000), PayOptions::default());
    assert_eq!(
        desk.buy(&server.url).await.unwrap_err().code(),
        "offer.scheme"
    );
}

#[tokio::test]
async fn a_seller_that_charges_more_than_was_promised_is_not_believed() {
    let desk = desk_with(channel_budget(100_000), options());
    let server = Server::start(|request| {
        if request.payment().is_none() {
            return asks(request, &[channel_offer()], &json!({}));
        }
        let reply = json!({
            "success": true, "transaction": "", "network": "eip155:1",
            "extra": { "chargedAmount": (PRICE + 1).to_string() },
        });
        let reply = encode_header(reply.to_string().as_bytes());
        Reply::Http(200, vec![("payment-response", reply)], Vec::new())
    })
    .await;
    let bought = desk.buy(&server.url).await.unwrap();
    assert_eq!((bought.charged, bought.settled), (Charged::Unknown, None));
    let calls = desk.payer.journal().calls().unwrap();
    let voucher = calls[0].voucher.as_ref().unwrap();
    assert_eq!(voucher.state, VoucherState::Open);
}
