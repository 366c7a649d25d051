//! The policy and the binding of the call.

use seamline_core::{Amount, binding};
use seamline_verify::Claim;

use super::refuted;
use crate::fixture::World;

#[test]
fn policy_swapped_under_its_hash() {
    let mut world = World::new();
    let mut route = crate::fixture::route_policy();
    route.cap = Amount::new(1_000_000);
    world.opened.route_policy = route.encode();
    refuted(&world, Claim::PolicyHash);
}

#[test]
fn policy_that_is_none() {
    let mut world = World::new();
    world.opened.spend_policy = vec![0xff];
    let opened = &mut world.opened;
    opened.policy_hash = binding::policy_hash(&opened.spend_policy, &opened.route_policy);
    refuted(&world, Claim::PolicyHash);
}

#[test]
fn number_of_another_call() {
    let mut world = World::new();
    world.opened.seq += 1;
    refuted(&world, Claim::RecorderCallId);
}
