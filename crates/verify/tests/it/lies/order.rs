//! Order and causality of events.

use seamline_verify::Claim;

use super::refuted;
use crate::fixture::{World, event_mut};

#[test]
fn two_opens() {
    let mut world = World::new();
    world.events.insert(3, (7_000, world.opened.clone().into()));
    refuted(&world, Claim::EventsOrder);
}

#[test]
fn close_in_the_middle() {
    let mut world = World::new();
    let close = world.events.last().unwrap().1.clone();
    world.events.insert(3, (7_000, close));
    refuted(&world, Claim::EventsOrder);
}

#[test]
fn admission_before_its_offer() {
    let mut world = World::new();
    event_mut!(world, Admitted).offer_event += 1;
    refuted(&world, Claim::EventsCausality);
}

#[test]
fn admission_of_something_else_than_an_offer() {
    let mut world = World::new();
    event_mut!(world, Admitted).offer_event -= 1;
    refuted(&world, Claim::EventsCausality);
}
