//! More payments than are remembered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use seamline_core::Timestamp;
use seamline_evm::x402::Reason;

use crate::shop::{NOW_S, Script, Shop, config_at, counter, paid, pay, price, runs};

#[tokio::test]
async fn more_are_served_than_remembered_and_none_twice() {
    const MANY: u64 = 1_000;
    let (routes, runs_of) = counter(7);
    let shop = Shop::open(Script::default(), routes);
    let offer = shop.offer("hello").await;
    for nonce in 1..=MANY {
        let answer = shop.send(paid("hello", &pay(&offer, nonce))).await;
        assert_eq!(answer.status, StatusCode::OK, "{nonce}");
    }
    let served = runs(&runs_of);
    assert_eq!(served, usize::try_from(MANY).unwrap());
    // The newest answers are kept; the oldest is gone, which the store still knows.
    let newest = pay(&offer, MANY);
    let answer = shop.send(paid("hello", &newest)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let oldest = pay(&offer, 1);
    let answer = shop.send(paid("hello", &oldest)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.settlement().success);
    assert_eq!(runs(&runs_of), served);

    // Where nobody here remembers it, the chain has spent it.
    let spent = Some(Ok(Reason::Permit2InvalidNonce));
    *shop.script.verify.lock().unwrap() = spent;
    let (routes, runs_of) = counter(7);
    let config = config_at(Timestamp::from_secs(NOW_S));
    let forgetful = Shop::build(Arc::clone(&shop.script), config, price, routes);
    let verified = shop.script.verified.load(Ordering::SeqCst);
    let answer = forgetful.send(paid("hello", &oldest)).await;
    assert_eq!(answer.error(), Reason::Permit2InvalidNonce.as_str());
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), verified + 1);
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(shop.settlements().len(), served);
}
