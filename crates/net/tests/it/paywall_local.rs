//! A scheme that the paywall judges and settles itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Extension;
use axum::routing::any;
use http::StatusCode;
use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::x402::{Offer, OfferTerms, PaymentPayload, Reason, SettleResponse};
use seamline_net::{
    Held, LocalFuture, LocalPromise, LocalScheme, PaymentContext, Problem, Verdict,
};
use serde_json::{Map, json};

use crate::shop::{
    NETWORK, NOW_S, PAYER, Script, Shop, always, config_at, counter, header, paid, runs, terms,
};

/// A scheme with one purse: a payment says how much it expects the purse to have paid before.
#[derive(Clone, Default)]
pub(crate) struct Tab(Arc<TabState>);

#[derive(Default)]
struct TabState {
    charged: Mutex<u128>,
    noted: Mutex<Vec<Amount>>,
    held: AtomicUsize,
    released: AtomicUsize,
    /// Not zero: another process has the record of what is noted.
    lost: AtomicUsize,
    fail: Mutex<Option<Reason>>,
}

struct Page {
    tab: Tab,
    open: bool,
}

impl LocalScheme for Tab {
    fn scheme(&self) -> &str {
        "tab"
    }

    fn complete<'a>(&'a self, terms: &'a mut OfferTerms) -> LocalFuture<'a, Result<(), Problem>> {
        terms.extra.insert("shop".to_owned(), json!("corner"));
        Box::pin(async { Ok(()) })
    }

    fn promise(
        &self,
        payload: &PaymentPayload,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<LocalPromise, Reason> {
        let expects = payload.payload()["expects"]
            .as_u64()
            .ok_or(Reason::InvalidPayload)?;
        Ok(LocalPromise {
            key: B256::with_last_byte(u8::try_from(expects % 251).unwrap()),
            payer: PAYER.parse().unwrap(),
            max: offer.terms().amount().unwrap(),
            auth_nonce: B256::ZERO,
            expires: now.saturating_add(core::time::Duration::from_secs(300)),
        })
    }

    fn reserve<'a>(
        &'a self,
        payload: &'a PaymentPayload,
        _: &'a Offer,
        _: Timestamp,
    ) -> LocalFuture<'a, Verdict> {
        Box::pin(async move {
            let charged = *self.0.charged.lock().unwrap();
            if payload.payload().get("refund").is_some() {
                let payer: Address = PAYER.parse().unwrap();
                return Verdict::Done(SettleResponse::settled(NETWORK, payer, None, Amount::ZERO));
            }
            if payload.payload()["expects"].as_u64() != u64::try_from(charged).ok() {
                let extra = Map::from_iter([("charged".to_owned(), json!(charged.to_string()))]);
                let reason = Reason::from("tab_out_of_step");
                return Verdict::Declined { reason, extra };
            }
            self.0.held.fetch_add(1, Ordering::SeqCst);
            Verdict::Held(Box::new(Page {
                tab: self.clone(),
                open: true,
            }))
        })
    }
}

impl Held for Page {
    fn note(&mut self, so_far: Amount) -> LocalFuture<'_, bool> {
        self.tab.0.noted.lock().unwrap().push(so_far);
        let ours = self.tab.0.lost.load(Ordering::SeqCst) == 0;
        Box::pin(core::future::ready(ours))
    }

    fn commit(mut self: Box<Self>, actual: Amount) -> LocalFuture<'static, SettleResponse> {
        self.open = false;
        let payer: Address = PAYER.parse().unwrap();
        let settled = match self.tab.0.fail.lock().unwrap().take() {
            Some(reason) => SettleResponse::failed(NETWORK, Some(payer), reason, None),
            None => {
                *self.tab.0.charged.lock().unwrap() += actual.get();
                SettleResponse::settled(NETWORK, payer, None, actual)
            }
        };
        Box::pin(async move { settled })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if self.open {
            self.tab.0.released.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(crate) fn tab_shop(routes: axum::routing::MethodRouter) -> (Tab, Shop) {
    let tab = Tab::default();
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.local = vec![Arc::new(tab.clone())];
    let offers = always(vec![terms("tab", "none"), terms("upto", "permit2")]);
    (
        tab,
        Shop::build(Arc::new(Script::default()), config, offers, routes),
    )
}

fn tab_payment(offer: &serde_json::Value, payload: &serde_json::Value) -> String {
    tab_payment_of(offer, payload, Some(crate::shop::named(1)))
}

pub(crate) fn tab_payment_of(
    offer: &serde_json::Value,
    payload: &serde_json::Value,
    extensions: Option<serde_json::Value>,
) -> String {
    let mut message = json!({"x402Version": 2, "accepted": offer, "payload": payload});
    if let Some(extensions) = extensions {
        message["extensions"] = extensions;
    }
    header(&message)
}

#[tokio::test]
async fn a_scheme_of_our_own_is_charged_without_the_facilitator() {
    let (routes, runs_of) = counter(7);
    let (tab, shop) = tab_shop(routes);
    let offer = shop.offer("hello").await;
    assert_eq!(offer["extra"]["shop"], "corner");
    let payment = tab_payment(&offer, &json!({"expects": 0}));
    for _ in 0..2 {
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (StatusCode::OK, &b"answer 0"[..])
        );
        assert_eq!(answer.settlement().settled_amount(), Some(Amount::new(7)));
    }
    // The same promise for another request is the scheme's to judge; it corrects.
    let answer = shop.send(paid("other", &payment)).await;
    assert_eq!(answer.error(), "tab_out_of_step");
    let stale = tab_payment(&offer, &json!({"expects": 3}));
    let answer = shop.send(paid("other", &stale)).await;
    assert_eq!(answer.error(), "tab_out_of_step");
    let accepts = &answer.required()["accepts"];
    assert_eq!(accepts[0]["extra"]["charged"], "7");
    assert!(
        accepts[1]["extra"].get("charged").is_none(),
        "of this scheme only"
    );
    let corrected = tab_payment(&accepts[0], &json!({"expects": 7}));
    assert_eq!(
        shop.send(paid("other", &corrected)).await.status,
        StatusCode::OK
    );
    assert_eq!((runs(&runs_of), *tab.0.charged.lock().unwrap()), (2, 14));
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 0);
    assert_eq!(shop.settlements(), []);
}

/// Two pieces after a first charge, which is noted before they leave.
async fn noted_stream(Extension(payment): Extension<PaymentContext>) -> axum::response::Response {
    payment.meter.set(Amount::new(3));
    let pieces = ["data: 1\n\n", "data: 2\n\n"].map(Ok::<_, std::io::Error>);
    let body = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
    let mut response = axum::response::Response::new(body);
    let kind = "text/event-stream".parse().unwrap();
    response.headers_mut().insert("content-type", kind);
    response
}

#[tokio::test]
async fn a_stream_whose_record_another_process_has_goes_no_further() {
    for lost in [0, 1] {
        let (tab, shop) = tab_shop(any(noted_stream));
        tab.0.lost.store(lost, Ordering::SeqCst);
        let offer = shop.offer("hello").await;
        let payment = tab_payment(&offer, &json!({"expects": 0}));
        let response = shop.raw(paid("hello", &payment)).await;
        // Of what is lost before its first byte nothing leaves at all.
        let mut broken = response.status() == StatusCode::CONFLICT;
        let mut pieces = response.into_body().into_data_stream();
        let mut text = String::new();
        while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
            match piece {
                Ok(piece) => text.push_str(core::str::from_utf8(&piece).unwrap()),
                Err(_) => broken = true,
            }
        }
        assert_eq!(tab.0.noted.lock().unwrap().first(), Some(&Amount::new(3)));
        assert_eq!((text.contains("data: 1"), broken), (lost == 0, lost == 1));
    }
}

#[tokio::test]
async fn what_a_scheme_of_our_own_holds_is_released_uncharged() {
    let run = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&run);
    let handler = move |Extension(payment): Extension<PaymentContext>| {
        let run = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match run {
                0 => Err(StatusCode::BAD_GATEWAY),
                1 => panic!("a bug"),
                2 => Ok("nothing metered"),
                _ => {
                    payment.meter.set(Amount::new(7));
                    Ok("fine")
                }
            }
        }
    };
    let (tab, shop) = tab_shop(any(handler));
    let payment = tab_payment(&shop.offer("hello").await, &json!({"expects": 0}));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(shop.send(paid("hello", &payment)).await.status.as_u16());
    }
    assert_eq!(statuses, [502, 500, 200, 200]);
    assert_eq!(tab.0.released.load(Ordering::SeqCst), 3);
    assert_eq!(*tab.0.charged.lock().unwrap(), 7);
}

#[tokio::test]
async fn a_charge_that_fails_withholds_the_answer() {
    let (routes, _) = counter(7);
    let (tab, shop) = tab_shop(routes);
    let payment = tab_payment(&shop.offer("hello").await, &json!({"expects": 0}));
    for (reason, status) in [
        (
            Reason::InvalidTransactionState,
            StatusCode::PAYMENT_REQUIRED,
        ),
        (Reason::SettlementPending, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        *tab.0.fail.lock().unwrap() = Some(reason.clone());
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!((answer.status, answer.body.as_ref()), (status, &b"{}"[..]));
        assert_eq!(answer.settlement().error_reason, Some(reason));
    }
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_payment_that_buys_nothing_runs_nothing() {
    let (routes, runs_of) = counter(7);
    let (_, shop) = tab_shop(routes);
    let offer = shop.offer("hello").await;
    let refund = tab_payment(&offer, &json!({"expects": 0, "refund": true}));
    let answer = shop.send(paid("hello", &refund)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"{}"[..])
    );
    assert!(answer.settlement().success);
    let unreadable = tab_payment(&offer, &json!({}));
    assert_eq!(
        shop.send(paid("hello", &unreadable)).await.error(),
        "invalid_payload"
    );
    assert_eq!(runs(&runs_of), 0);
}
