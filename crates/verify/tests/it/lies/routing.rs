//! The catalogue and the decision.

use seamline_core::decision::{Decision, Verdict as Considered};
use seamline_core::receipt::{Error, FellBack};
use seamline_core::{Address, B256, NodeId};
use seamline_verify::{Claim, Network, Outcome};

use super::{incomplete, refuted};
use crate::fixture::{World, catalogue, decided, event_mut};

#[test]
fn catalogue_root_edited() {
    let mut world = World::new();
    event_mut!(world, CatalogueRead).root = B256::repeat_byte(1);
    refuted(&world, Claim::CatalogueRoot);
}

#[test]
fn candidate_edited_under_its_root() {
    let mut world = World::new();
    let mut candidates = catalogue().candidates().to_vec();
    candidates[0].health_ppm = 1;
    let edited = seamline_core::decision::Catalogue::new(candidates).unwrap();
    event_mut!(world, CatalogueRead).candidates = edited.encode();
    refuted(&world, Claim::CatalogueRoot);
}

#[test]
fn registry_of_another_network() {
    let mut world = World::new();
    world.trust.network = Some(Network {
        chain_id: 31_610,
        registry: Address::repeat_byte(1),
    });
    refuted(&world, Claim::CatalogueRegistry);
}

#[test]
fn candidate_dropped_with_its_root() {
    let mut world = World::new();
    let own = world.node;
    let rest = catalogue().candidates().to_vec();
    let dropped = rest.into_iter().filter(|it| it.node == own).collect();
    let catalogue = seamline_core::decision::Catalogue::new(dropped).unwrap();
    let read = event_mut!(world, CatalogueRead);
    read.root = catalogue.root();
    read.candidates = catalogue.encode();
    refuted(&world, Claim::DecisionReplay);
}

/// Seals another decision than the one that the function takes.
#[track_caller]
fn decision_lie(change: impl FnOnce(&mut Decision)) {
    let mut world = World::new();
    let mut decision = decided(&catalogue());
    change(&mut decision);
    event_mut!(world, Decided).decision = decision.encode();
    refuted(&world, Claim::DecisionReplay);
}

#[test]
fn decisions_edited() {
    decision_lie(|decision| decision.margin_ppm += 1);
    decision_lie(|decision| decision.propensity.0 -= 1);
    decision_lie(|decision| decision.propensity.1 += 1);
    decision_lie(|decision| decision.runner_up = None);
    decision_lie(|decision| decision.usable += 1);
    decision_lie(|decision| decision.flips.clear());
    decision_lie(|decision| {
        decision.candidates.pop();
    });
    decision_lie(|decision| {
        for considered in &mut decision.candidates {
            if let Considered::Usable { score } = &mut considered.verdict {
                *score += 1;
            }
        }
    });
    decision_lie(|decision| decision.deciding = seamline_core::decision::DecidingKey::Only);
    decision_lie(|decision| decision.rank.reverse());
}

#[test]
fn decision_that_is_none() {
    // Such a call cannot even be sealed: its summary cannot be made.
    let mut world = World::new();
    event_mut!(world, Decided).decision = vec![0xff];
    let (index, what) = (2, "decision");
    assert_eq!(
        world.try_seal().unwrap_err(),
        Error::Unreadable { index, what }
    );
}

#[test]
fn another_node_chosen() {
    let mut world = World::new();
    let mut decision = decided(&catalogue());
    decision.chosen = decision.runner_up;
    event_mut!(world, Decided).decision = decision.encode();
    refuted(&world, Claim::DecisionReplay);
}

#[test]
fn another_draw() {
    let mut world = World::new();
    event_mut!(world, Decided).draw = B256::repeat_byte(1);
    refuted(&world, Claim::DecisionDraw);
}

#[test]
fn decision_at_another_time() {
    let mut world = World::new();
    event_mut!(world, Decided).now_ms += 11_000;
    refuted(&world, Claim::DecisionTime);
}

#[test]
fn unknown_engine() {
    let mut world = World::new();
    event_mut!(world, Decided).engine = "seamline/decide/9".into();
    incomplete(&world, Claim::DecisionReplay, Outcome::Absent);
}

#[test]
fn request_to_a_node_that_was_not_chosen() {
    let mut world = World::new();
    event_mut!(world, RequestSent).node = NodeId::new(B256::repeat_byte(0xb0));
    refuted(&world, Claim::DecisionFollowed);
}

#[test]
fn fallback_to_a_node_that_was_rejected() {
    let mut world = World::new();
    let fell = FellBack {
        from: world.node,
        to: NodeId::new(B256::repeat_byte(0xd0)),
        cause: "node_down".into(),
    };
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, fell.into()));
    refuted(&world, Claim::DecisionFollowed);
}
