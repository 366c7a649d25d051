//! The offer and how it was read.

use seamline_core::receipt::EvidenceType;
use seamline_core::{Address, Amount};
use seamline_verify::Claim;

use super::refuted;
use crate::fixture::{World, event_mut, offer_terms};

#[test]
fn offer_read_cheaper_than_it_was() {
    let mut world = World::new();
    event_mut!(world, Admitted).amount = Amount::new(400);
    event_mut!(world, Authorized).amount = Amount::new(400);
    refuted(&world, Claim::OfferTerms);
}

#[test]
fn offer_that_is_no_json() {
    let mut world = World::new();
    event_mut!(world, Offered).offer = world.replace(EvidenceType::Offer, b"{}".to_vec());
    refuted(&world, Claim::OfferTerms);
}

#[test]
fn offer_of_another_token() {
    let mut world = World::new();
    event_mut!(world, Admitted).asset = Address::repeat_byte(1);
    refuted(&world, Claim::OfferTerms);
}

#[test]
fn offer_that_pays_somebody_else() {
    let mut terms = offer_terms();
    terms.pay_to = Address::repeat_byte(0x66).to_string();
    refuted(&World::with_offer(&terms), Claim::OfferPayTo);
}
