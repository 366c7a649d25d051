//! Honest servers.

use seamline_core::Charged;
use seamline_evm::x402::v1;
use seamline_verify::{Claim as Checked, Level, Outcome, Status, Trust};

use super::*;

#[tokio::test]
async fn a_purchase_is_paid_once_and_has_a_receipt() {
    let desk = desk();
    let shop = shop(&desk.ledger).await;
    let bought = desk
        .buy(&format!("{}/report?id=7", shop.url))
        .await
        .unwrap();
    assert_eq!((bought.answer.status, bought.charged), (200, Charged::Yes));
    assert_eq!(bought.answer.body, "goods");
    assert_eq!(bought.settled, Some(Amount::new(PRICE)));
    assert_eq!((bought.claim, bought.repeated), (Claim::Confirmed, false));
    assert_eq!(desk.ledger.paid(), [PRICE]);
    assert_eq!(shop.requests().len(), 2);
    let mut trust = Trust::nobody();
    trust.recorders.push(recorder().public_key());
    let receipt = bought.receipt.unwrap();
    let verdict =
        seamline_verify::verify(&receipt, &trust, NOW.saturating_add(Duration::from_secs(1)));
    let failed: Vec<_> = verdict
        .findings
        .iter()
        .filter(|it| it.outcome == Outcome::Fail)
        .collect();
    // Intact, signed, paid as it says; but only the recorder saw who answered.
    assert_eq!(
        (verdict.status, verdict.level),
        (Status::Satisfied, Level::L2),
        "{failed:?}"
    );
    for (claim, outcome) in [
        (Checked::AuthorizationSigner, Outcome::Pass),
        (Checked::AuthorizationNonce, Outcome::Pass),
        (Checked::OfferTerms, Outcome::Pass),
        (Checked::SettlementFinal, Outcome::Pass),
        (Checked::OfferPayTo, Outcome::Pass),
        (Checked::DecisionFollowed, Outcome::Pass),
    ] {
        let mut findings = verdict.findings.iter();
        let found = findings.find(|finding| finding.claim == claim).unwrap();
        assert_eq!(found.outcome, outcome, "{found:?}");
    }
    assert_eq!(
        std::fs::read(bought.receipt_path.unwrap()).unwrap(),
        receipt
    );
    // The same again is another purchase.
    desk.buy(&format!("{}/report?id=7", shop.url))
        .await
        .unwrap();
    assert_eq!(desk.ledger.paid(), [PRICE, PRICE]);
    let history = desk.payer.journal().history().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].origin.as_deref(), Some(shop.url.as_str()));
    assert_eq!(
        (history[0].node, history[0].settled),
        (None, Some(Amount::new(PRICE)))
    );
}

#[tokio::test]
async fn what_is_free_costs_nothing() {
    let desk = desk();
    for status in [200, 204, 304, 404, 500] {
        let server =
            Server::start(move |_| Reply::Http(status, Vec::new(), b"free".to_vec())).await;
        let answer = desk.buy(&server.url).await.unwrap();
        assert_eq!(
            (answer.answer.status, answer.charged),
            (status, Charged::No)
        );
        assert_eq!((answer.authorized, answer.payment_state), (None, "none"));
        assert!(server.payments().is_empty());
    }
    assert!(desk.payer.journal().history().unwrap().is_empty());
}

#[tokio::test]
async fn permit2_and_upto_are_paid_too() {
    let desk = desk();
    let facilitator = Address::repeat_byte(0xfa).to_string();
    let permit2 = json!({ "assetTransferMethod": "permit2" });
    let upto = json!({ "assetTransferMethod": "permit2", "facilitatorAddress": facilitator });
    for (scheme, extra) in [("exact", permit2), ("upto", upto)] {
        let mut offer = offer(PRICE, SELLER);
        offer["scheme"] = json!(scheme);
        offer["extra"] = extra;
        let ledger = Arc::clone(&desk.ledger);
        let server = Server::start(move |request| match settles(&ledger, request) {
            Some(header) => Reply::Http(200, vec![header], Vec::new()),
            None => asks(request, std::slice::from_ref(&offer), &json!({})),
        })
        .await;
        let bought = desk.buy(&server.url).await.unwrap();
        assert_eq!(bought.charged, Charged::Yes, "{scheme}");
    }
    assert_eq!(desk.ledger.paid(), [PRICE, PRICE]);
}

#[tokio::test]
async fn an_approval_goes_along_where_it_is_missing_and_sponsored() {
    let desk = desk();
    desk.ledger.allowance.store(0, Ordering::SeqCst);
    let mut permit2 = offer(PRICE, SELLER);
    permit2["extra"]["assetTransferMethod"] = json!("permit2");
    let declared = json!({ "eip2612GasSponsoring": {
        "info": { "description": "d", "version": "1" }, "schema": {},
    }});
    let ledger = Arc::clone(&desk.ledger);
    let asked = permit2.clone();
    let server = Server::start(move |request| match settles(&ledger, request) {
        Some(header) => Reply::Http(200, vec![header], Vec::new()),
        None => asks(request, std::slice::from_ref(&asked), &declared),
    })
    .await;
    desk.buy(&server.url).await.unwrap();
    let payload = server.requests()[1].payload().unwrap();
    let extensions = payload.extensions().unwrap();
    let info = &extensions["eip2612GasSponsoring"]["info"];
    // Bounded to what is paid, for the payment's own life.
    assert_eq!(info["amount"], json!(PRICE.to_string()));
    assert_eq!(info["nonce"], json!("3"));
    assert_eq!(info["deadline"], json!((NOW.as_secs() + 60).to_string()));
    // Without the sponsor nothing is signed.
    let server =
        Server::start(move |request| asks(request, std::slice::from_ref(&permit2), &json!({})))
            .await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.allowance", Charged::No)
    );
    assert!(server.payments().is_empty());
}

/// Somebody else used the allowance up: the server of the official packages says so with 412.
#[tokio::test]
async fn an_allowance_that_is_gone_is_asked_for_again() {
    let desk = desk();
    let mut permit2 = offer(PRICE, SELLER);
    permit2["extra"]["assetTransferMethod"] = json!("permit2");
    let declared = json!({ "eip2612GasSponsoring": {
        "info": { "description": "d", "version": "1" }, "schema": {},
    }});
    let server = Server::start(move |request| {
        let reply = asks(request, std::slice::from_ref(&permit2), &declared);
        match (request.payment(), reply) {
            (Some(_), Reply::Http(_, mut headers, body)) => {
                let refused = json!({
                    "x402Version": 2,
                    "error": "permit2_allowance_required",
                    "resource": { "url": "http://127.0.0.1/" },
                    "accepts": [permit2],
                });
                headers[0].1 = encode_header(refused.to_string().as_bytes());
                Reply::Http(412, headers, body)
            }
            (_, reply) => reply,
        }
    })
    .await;
    let error = desk.buy(&server.url).await.unwrap_err();
    assert_eq!(
        (error.code(), error.charged()),
        ("payment.refused", Charged::Unknown)
    );
    desk.ledger.allowance.store(0, Ordering::SeqCst);
    let other = format!("{}?other", server.url);
    desk.buy(&other).await.unwrap_err();
    let last = server.requests().pop().unwrap().payload().unwrap();
    assert!(last.extensions().unwrap()["eip2612GasSponsoring"]["info"]["signature"].is_string());
}

#[tokio::test]
async fn a_payment_has_a_name_that_its_repetition_keeps() {
    let desk = desk();
    let declared = json!({ "payment-identifier": { "info": { "required": true }, "schema": {} } });
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| match settles(&ledger, request) {
        Some(_) => Reply::Drop,
        None if request.payment().is_some() => Reply::Http(200, Vec::new(), Vec::new()),
        None => asks(request, &[offer(PRICE, SELLER)], &declared),
    })
    .await;
    desk.buy(&server.url).await.unwrap();
    let requests = server.requests();
    let names: Vec<_> = requests
        .iter()
        .filter_map(Request::payload)
        .map(|payload| {
            let id = &payload.extensions().unwrap()["payment-identifier"]["info"]["id"];
            id.as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], names[1]);
    assert!(
        names[0].starts_with("pay_") && names[0].len() == 36,
        "{names:?}"
    );
}

#[tokio::test]
async fn a_server_of_version_1_is_paid() {
    let desk = desk();
    let ledger = Arc::clone(&desk.ledger);
    let server = Server::start(move |request| {
        let host = request.header("host").unwrap();
        let body = json!({
            "x402Version": 1,
            "error": "X-PAYMENT header is required",
            "accepts": [{
                "scheme": "exact", "network": "ethereum", "maxAmountRequired": "100",
                "asset": TOKEN.to_string(), "payTo": SELLER.to_string(),
                "resource": format!("http://{host}{}", request.path),
                "description": "", "mimeType": "", "outputSchema": null,
                "maxTimeoutSeconds": 60, "extra": { "name": "Token", "version": "1" },
            }],
        });
        let body = body.to_string().into_bytes();
        let Some(header) = request.header(v1::X_PAYMENT) else {
            return Reply::Http(402, Vec::new(), body);
        };
        let payment = v1::Payload::from_header(header.as_bytes()).unwrap();
        assert_eq!((payment.scheme(), payment.network()), ("exact", "ethereum"));
        let required = v1::PaymentRequired::parse(&body).unwrap();
        let payload = payment.to_v2(&required.to_v2().offers[0], None).unwrap();
        let transaction = ledger.settle(&payload, PRICE).unwrap();
        let reply = json!({
            "success": true, "transaction": transaction.to_string(), "network": "ethereum",
        });
        let reply = encode_header(reply.to_string().as_bytes());
        Reply::Http(
            200,
            vec![("x-payment-response", reply)],
            b"old goods".to_vec(),
        )
    })
    .await;
    let bought = desk.buy(&server.url).await.unwrap();
    assert_eq!(
        (bought.charged, bought.claim),
        (Charged::Yes, Claim::Confirmed)
    );
    assert_eq!(bought.answer.body, "old goods");
    let requests = server.requests();
    assert!(requests[1].header("payment-signature").is_none());
}

#[tokio::test]
async fn the_callers_headers_and_body_arrive_and_payment_headers_are_ours() {
    let desk = desk();
    let shop = shop(&desk.ledger).await;
    let purchase = Purchase::post_json(&shop.url, r#"{"q":1}"#)
        .header(
            HeaderName::from_static("authorization"),
            HeaderValue::from_static("Bearer t"),
        )
        .header(
            HeaderName::from_static("payment-signature"),
            HeaderValue::from_static("forged"),
        );
    desk.payer.fetch(&purchase).await.unwrap();
    let requests = shop.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(
            (request.method.as_str(), request.body.as_slice()),
            ("POST", &br#"{"q":1}"#[..])
        );
        assert_eq!(request.header("authorization"), Some("Bearer t"));
    }
    assert_eq!(requests[0].payment(), None);
    assert_ne!(requests[1].payment(), Some("forged"));
}
