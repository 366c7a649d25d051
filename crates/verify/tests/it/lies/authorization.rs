//! The authorization: who signed it, for which call, within which limits.

use core::time::Duration;

use seamline_core::receipt::EvidenceType;
use seamline_core::{Address, Amount, B256};
use seamline_evm::Wallet;
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::scheme::{self, Marks};
use seamline_evm::x402::{Offer, PaymentRequired};
use seamline_testkit::NOW;
use seamline_verify::Claim;

use super::refuted;
use crate::fixture::{World, event_mut, offer_terms, pay_to, spend_policy};

/// Signs the payment again: by `wallet`, with `nonce`, at `now`.
fn resign(world: &mut World, wallet: &Wallet, nonce: B256, now: seamline_core::Timestamp) {
    let offers = [Offer::new(offer_terms())];
    let policy = SpendPolicy {
        max_lifetime_s: 100_000,
        ..spend_policy()
    };
    let required = PaymentRequired::new(None, None, &offers);
    let admitted = policy
        .admit(&required, pay_to(), &Spent::default())
        .unwrap();
    let signed = scheme::sign(&admitted, nonce, Marks::default(), wallet, now).unwrap();
    let payload = signed.payload_json().as_bytes().to_vec();
    let hash = world.replace(EvidenceType::Authorization, payload);
    let event = event_mut!(world, Authorized);
    event.authorization = hash;
    event.digest = signed.digest;
    event.auth_nonce = signed.auth_nonce;
    event.deadline_s = signed.deadline_s;
}

#[test]
fn random_nonce() {
    let mut world = World::new();
    let wallet = Wallet::from_bytes(&[0x22; 32]).unwrap();
    resign(&mut world, &wallet, B256::repeat_byte(9), NOW);
    refuted(&world, Claim::AuthorizationNonce);
}

#[test]
fn nonce_of_another_leg() {
    let mut world = World::new();
    event_mut!(world, Authorized).leg = 1;
    refuted(&world, Claim::AuthorizationNonce);
}

#[test]
fn authorization_of_another_call_under_the_right_nonce() {
    let mut world = World::new();
    let (wallet, own) = (Wallet::from_bytes(&[0x22; 32]).unwrap(), world.h_bind);
    resign(&mut world, &wallet, B256::repeat_byte(9), NOW);
    event_mut!(world, Authorized).auth_nonce = own;
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn authorization_by_another_payer() {
    let mut world = World::new();
    let (wallet, nonce) = (Wallet::from_bytes(&[0x23; 32]).unwrap(), world.h_bind);
    resign(&mut world, &wallet, nonce, NOW);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn payer_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).payer = Address::repeat_byte(1);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn digest_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).digest = B256::repeat_byte(1);
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn signature_edited() {
    let mut world = World::new();
    let mut payload = world.blob_of(EvidenceType::Authorization).to_vec();
    let text = String::from_utf8(payload.clone()).unwrap();
    let at = text.find("\"signature\":\"0x").unwrap() + 20;
    payload[at] = if payload[at] == b'0' { b'1' } else { b'0' };
    let hash = world.replace(EvidenceType::Authorization, payload);
    event_mut!(world, Authorized).authorization = hash;
    refuted(&world, Claim::AuthorizationSigner);
}

#[test]
fn authorized_amount_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).amount = Amount::new(499);
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn deadline_edited() {
    let mut world = World::new();
    event_mut!(world, Authorized).deadline_s -= 100;
    refuted(&world, Claim::AuthorizationTerms);
}

#[test]
fn payment_above_the_cap() {
    let mut terms = offer_terms();
    terms.amount = "1001".to_owned();
    refuted(&World::with_offer(&terms), Claim::AuthorizationCap);
}

#[test]
fn facilitator_that_is_not_trusted() {
    let mut world = World::new();
    world.trust.facilitators = vec![Address::repeat_byte(1)];
    refuted(&world, Claim::AuthorizationCap);
}

#[test]
fn authorization_that_had_expired() {
    let mut world = World::new();
    let (wallet, nonce) = (Wallet::from_bytes(&[0x22; 32]).unwrap(), world.h_bind);
    let before = NOW.saturating_sub(Duration::from_secs(301));
    resign(&mut world, &wallet, nonce, before);
    refuted(&world, Claim::AuthorizationLifetime);
}

#[test]
fn authorization_that_lives_too_long() {
    let mut world = World::new();
    let (wallet, nonce) = (Wallet::from_bytes(&[0x22; 32]).unwrap(), world.h_bind);
    let after = NOW.saturating_add(Duration::from_secs(60));
    resign(&mut world, &wallet, nonce, after);
    refuted(&world, Claim::AuthorizationLifetime);
}
