//! Servers that take the money and more.

use std::sync::Mutex;

use seamline_core::Charged;

use super::*;

/// Refused, and nobody knows whether it settles later: nothing else is signed before the chain proves that
/// it cannot.
#[tokio::test]
async fn a_second_402_signs_nothing_until_the_first_is_dead() {
    let desk = desk();
    let server = Server::start(asks_price).await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.refused", Charged::Unknown)
    );
    for buy_again in [false, true] {
        let mut purchase = Purchase::get(&server.url);
        purchase.buy_again = buy_again;
        let error = desk.payer.fetch(&purchase).await.unwrap_err();
        assert_eq!(error.charged(), Charged::Unknown, "{error:?}");
    }
    let mut payments = server.payments();
    payments.dedup();
    assert_eq!(payments.len(), 1);
    let spent = desk.payer.journal().budget(desk.payer.budget(), NOW);
    assert_eq!(spent[0].windows[1].reserved, Amount::new(PRICE));
    // The deadline passes on both clocks: now it is proven, and a new one is signed.
    desk.pass(61);
    desk.buy(&server.url).await.unwrap_err();
    let mut payments = server.payments();
    payments.dedup();
    assert_eq!(payments.len(), 2);
    assert!(desk.ledger.paid().is_empty());
}

#[tokio::test]
async fn a_price_or_payee_that_changes_after_the_signature_is_not_followed() {
    let dear = offer(PRICE * 2, SELLER);
    let thief = offer(PRICE, Address::repeat_byte(0x66));
    for swapped in [dear, thief] {
        let desk = desk();
        let server = Server::start(move |request| {
            let offer = match request.payment() {
                Some(_) => swapped.clone(),
                None => offer(PRICE, SELLER),
            };
            asks(request, &[offer], &json!({}))
        })
        .await;
        let error = desk.buy(&server.url).await.unwrap_err();
        assert_eq!(
            (error.code(), error.charged()),
            ("offer.changed", Charged::Unknown)
        );
        assert_eq!(server.payments().len(), 1);
    }
}

#[tokio::test]
async fn another_payee_than_before_is_an_alert() {
    let desk = desk();
    let pay_to = Arc::new(Mutex::new(SELLER));
    let now_paid = Arc::clone(&pay_to);
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| match settles(&ledger, request) {
        Some(header) => Reply::Http(200, vec![header], Vec::new()),
        None => asks(
            request,
            &[offer(PRICE, *now_paid.lock().unwrap())],
            &json!({}),
        ),
    })
    .await;
    desk.buy(&server.url).await.unwrap();
    *pay_to.lock().unwrap() = Address::repeat_byte(0x66);
    let error = desk
        .buy(&format!("{}/other", server.url))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payee.changed", Charged::No)
    );
    let ErrorKind::PayeeChanged { origin, known } = error.kind() else {
        panic!("{error:?}");
    };
    assert_eq!(
        (origin.as_str(), known.as_slice()),
        (server.url.as_str(), &[SELLER][..])
    );
    assert_eq!(desk.ledger.paid(), [PRICE]);
    // The caller looks into it, and says so.
    desk.payer.journal().unpin(&server.url).unwrap();
    desk.buy(&server.url).await.unwrap();
    assert_eq!(desk.ledger.paid(), [PRICE, PRICE]);
}

#[tokio::test]
async fn a_list_of_payees_trusts_no_first_use() {
    let options = PayOptions {
        payees: Payees::Listed(vec![Address::repeat_byte(9)]),
        ..PayOptions::default()
    };
    let desk = desk_with(budget(1_000), options);
    let shop = shop(&desk.ledger).await;
    let error = desk.buy(&shop.url).await.unwrap_err();
    assert_eq!(error.charged(), Charged::No);
    assert!(shop.payments().is_empty());
}

/// Two first purchases at once, and a server that names another address to each: one of both is paid.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_payees_one_is_first() {
    let desk = desk();
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| match settles(&ledger, request) {
        Some(header) => Reply::Http(200, vec![header], Vec::new()),
        None => {
            let last = request.path.as_bytes().last().copied().unwrap();
            asks(
                request,
                &[offer(PRICE, Address::repeat_byte(last))],
                &json!({}),
            )
        }
    })
    .await;
    let purchases = (1..=8).map(|index| {
        let url = format!("{}/{index}", server.url);
        let desk = &desk;
        async move { desk.buy(&url).await }
    });
    let bought = futures_util::future::join_all(purchases).await;
    assert_eq!(bought.iter().filter(|it| it.is_ok()).count(), 1);
    for error in bought.into_iter().filter_map(Result::err) {
        assert_eq!(
            (error.code(), error.charged()),
            ("payee.changed", Charged::No)
        );
    }
    assert_eq!(desk.ledger.paid(), [PRICE]);
    assert_eq!(desk.payer.journal().pins(&server.url).unwrap().len(), 1);
}

/// A redirect is an error that says where, before and after the payment, and nothing goes there.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(asks_price).await;
    for status in [301, 302, 303, 307, 308] {
        for after_payment in [false, true] {
            let desk = desk();
            let to = elsewhere.url.clone();
            let server = Server::start(move |request| {
                if after_payment && request.payment().is_none() {
                    return asks_price(request);
                }
                Reply::Http(
                    status,
                    vec![("location", format!("{to}/stolen"))],
                    Vec::new(),
                )
            })
            .await;
            let error = desk.buy(&server.url).await.unwrap_err();
            assert_eq!(error.code(), "server.redirect");
            assert!(error.to_string().contains(&elsewhere.url), "{error}");
            let charged = if after_payment {
                Charged::Unknown
            } else {
                Charged::No
            };
            assert_eq!(error.charged(), charged);
        }
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_word_about_a_settlement_is_held_against_the_chain() {
    for (settle, claim, charged) in [
        (false, Claim::Unconfirmed, Charged::Unknown),
        (true, Claim::Contradicted, Charged::Yes),
    ] {
        let desk = desk();
        let ledger = Arc::clone(&desk.ledger);
        let server = Server::start(move |request| {
            let Some(payload) = request.payload() else {
                return asks_price(request);
            };
            if settle {
                ledger.settle(&payload, PRICE);
            }
            let said = json!({
                "success": true, "network": "eip155:1",
                "transaction": format!("0x{}", "ab".repeat(32)),
            });
            let said = encode_header(said.to_string().as_bytes());
            Reply::Http(200, vec![("payment-response", said)], Vec::new())
        })
        .await;
        let bought = desk.buy(&server.url).await.unwrap();
        assert_eq!((bought.claim, bought.charged), (claim, charged));
    }
}

#[tokio::test]
async fn an_offer_for_another_server_or_another_token_is_refused() {
    let desk = desk();
    let mut token = offer(PRICE, SELLER);
    token["asset"] = json!(Address::repeat_byte(1).to_string());
    let mut network = offer(PRICE, SELLER);
    network["network"] = json!("eip155:8453");
    let dear = offer(1_001, SELLER);
    for (bad, code) in [
        (token, "offer.asset"),
        (network, "offer.network"),
        (dear, "offer.per_call"),
    ] {
        let server =
            Server::start(move |request| asks(request, std::slice::from_ref(&bad), &json!({})))
                .await;
        let error = desk.buy(&server.url).await.unwrap_err();
        assert_eq!((error.code(), error.charged()), (code, Charged::No));
        assert!(server.payments().is_empty());
    }
    let server = Server::start(|_| {
        let required = json!({
            "x402Version": 2, "resource": { "url": "https://bank.example/" },
            "accepts": [offer(PRICE, SELLER)],
        });
        let header = encode_header(required.to_string().as_bytes());
        Reply::Http(402, vec![("payment-required", header)], Vec::new())
    })
    .await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(error.charged(), Charged::No);
    assert!(server.payments().is_empty(), "{error:?}");
}

#[tokio::test]
async fn a_402_that_says_two_things_or_nothing_is_not_paid() {
    let desk = desk();
    let required = || {
        let json = json!({ "x402Version": 2, "accepts": [offer(PRICE, SELLER)] });
        (
            "payment-required",
            encode_header(json.to_string().as_bytes()),
        )
    };
    let bad = ("payment-required", "%%%".to_owned());
    for headers in [vec![required(), required()], vec![bad], Vec::new()] {
        let server = Server::start(move |_| Reply::Http(402, headers.clone(), Vec::new())).await;
        let error = desk.buy(&server.url).await.unwrap_err();
        assert!(
            matches!(error.code(), "offer.none" | "offer.malformed"),
            "{error:?}"
        );
        assert!(server.payments().is_empty());
    }
}

#[tokio::test]
async fn a_chain_that_is_down_leaves_it_unknown_and_recovery_learns_it() {
    let desk = desk();
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| {
        if request.payment().is_none() {
            return asks_price(request);
        }
        let _ = settles(&ledger, request);
        ledger.down.store(true, Ordering::SeqCst);
        Reply::Http(404, Vec::new(), Vec::new())
    })
    .await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("server.status", Charged::Unknown)
    );
    desk.payer.recover().await.unwrap_err();
    desk.ledger.down.store(false, Ordering::SeqCst);
    let recovered = desk.payer.recover().await.unwrap();
    assert_eq!((recovered.len(), recovered[0].charged), (1, Charged::Yes));
    assert!(desk.payer.recover().await.unwrap().is_empty());
}

/// Neither errors nor `Debug` show what could be spent or read.
#[tokio::test]
async fn authorizations_stay_out_of_what_is_shown() {
    let desk = desk();
    let server = Server::start(asks_price).await;
    let purchase = Purchase::post_json(format!("{}/?key=SECRETQUERY", server.url), "SECRETBODY")
        .header(
            HeaderName::from_static("authorization"),
            HeaderValue::from_static("SECRETHEADER"),
        );
    let error = desk.payer.fetch(&purchase).await.unwrap_err();
    let payment = server.payments().remove(0);
    let payload = server.requests()[1].payload().unwrap();
    let signature = payload.payload()["signature"].as_str().unwrap().to_owned();
    let mut shown = format!("{error} {error:?} {purchase:?} {:?}", desk.payer);
    shown.push_str(&format!("{:?}", desk.payer.journal().calls().unwrap()));
    shown.push_str(&format!("{:?}", desk.payer.journal().history().unwrap()));
    for secret in [
        payment.as_str(),
        &signature,
        "SECRETQUERY",
        "SECRETBODY",
        "SECRETHEADER",
    ] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
