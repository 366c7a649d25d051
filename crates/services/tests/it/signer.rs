//! Signers outside of this process: they fail, hang and lie, and no settlement is lost or doubled.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex};

use http::StatusCode;
use seamline_core::{Address, B256};
use seamline_evm::signer::SignError;
use seamline_evm::{Signature, Signer, Wallet};

use crate::chain::Mood;
use crate::payments::{Desk, request, signer};

/// What the next signature is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Well,
    /// One more time, and then never again.
    Once,
    Fails,
    Refuses,
    /// A signature of another key.
    Lies,
    /// Until the test ends.
    Hangs,
}

/// The settling account, behind a door.
struct Behind {
    wallet: Wallet,
    other: Wallet,
    way: Mutex<Way>,
    changed: Condvar,
    asked: AtomicUsize,
}

impl Behind {
    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self {
            wallet: signer(),
            other: Wallet::from_bytes(&[9; 32]).unwrap(),
            way: Mutex::new(way),
            changed: Condvar::new(),
            asked: AtomicUsize::new(0),
        })
    }

    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        self.changed.notify_all();
    }
}

impl Signer for Behind {
    fn address(&self) -> Address {
        self.wallet.address()
    }

    fn sign_hash(&self, digest: &B256) -> Result<Signature, SignError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let way = *self.way.lock().unwrap();
        match way {
            Way::Well => Ok(self.wallet.sign_hash(digest)),
            Way::Once => {
                self.set(Way::Fails);
                Ok(self.wallet.sign_hash(digest))
            }
            Way::Fails => Err(SignError::Unavailable {
                detail: "no".to_owned(),
            }),
            Way::Refuses => Err(SignError::Refused),
            Way::Lies => Ok(self.other.sign_hash(digest)),
            Way::Hangs => {
                let mut held = self.way.lock().unwrap();
                while *held == Way::Hangs {
                    held = self.changed.wait(held).unwrap();
                }
                Err(SignError::Refused)
            }
        }
    }
}

async fn desk(way: Way) -> (Desk, Arc<Behind>) {
    let behind = Behind::new(way);
    let held = Arc::clone(&behind);
    let desk = Desk::tuned(|config| {
        config.signer = held;
        if way == Way::Hangs {
            config.sign_wait = Duration::from_millis(50);
        }
    });
    (desk.await, behind)
}

#[tokio::test]
async fn a_signer_in_another_program_settles_like_a_key_in_this_one() {
    let (desk, behind) = desk(Way::Well).await;
    let (first, second) = (request(1, 42), request(2, 42));
    let (first, second) = tokio::join!(desk.settle(&first), desk.settle(&second));
    assert!(first.success && second.success, "{first:?} {second:?}");
    assert_eq!(desk.chain.mined_nonces(), [0, 1]);
    // The same request again asks nobody.
    let asked = behind.asked.load(Ordering::SeqCst);
    assert!(desk.settle(&request(1, 42)).await.success);
    assert_eq!(behind.asked.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn a_signer_that_fails_refuses_lies_or_hangs_is_no_verdict_and_loses_nothing() {
    for way in [Way::Fails, Way::Refuses, Way::Lies, Way::Hangs] {
        let (desk, behind) = desk(way).await;
        let asked = desk.send("POST", "/settle", request(1, 42).to_json());
        let (status, body) = asked.await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{way:?} {body}");
        assert_eq!(body["code"], "signer_unavailable", "{way:?}");
        assert_eq!(body["fault"], "facilitator", "{way:?}");
        assert_eq!(desk.chain.distinct(), 0, "{way:?}");
        // Verification needs no signer.
        let valid = desk.verify(request(1, crate::payments::MAX).to_json());
        assert_eq!(valid.await, None, "{way:?}");
        // The same request, once the signer is back, under the first account nonce.
        behind.set(Way::Well);
        assert!(desk.settle(&request(1, 42)).await.success, "{way:?}");
        assert_eq!(desk.chain.mined_nonces(), [0], "{way:?}");
    }
}

#[tokio::test]
async fn a_bid_that_cannot_be_signed_leaves_the_first_one() {
    let behind = Behind::new(Way::Once);
    let held = Arc::clone(&behind);
    let desk = Desk::tuned(|config| {
        config.signer = held;
        config.bump_after = Duration::from_millis(20);
    });
    let desk = desk.await;
    desk.chain.set(Mood::Slow);
    let pending = desk.settle(&request(1, 42)).await;
    assert!(!pending.success);
    // It is asked for a higher bid, in vain.
    while behind.asked.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    desk.chain.mine();
    desk.chain.set(Mood::Instant);
    assert!(desk.settle(&request(1, 42)).await.success);
    assert_eq!(desk.chain.payments(), [1]);
}
