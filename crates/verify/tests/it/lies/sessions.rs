//! Vouchers whose session, call or place is another one.

use seamline_core::receipt::{Bundle, Event, EvidenceType, Opened, SessionNamed, VoucherSigned};
use seamline_core::{Amount, B256, binding};
use seamline_verify::{Claim, Outcome, verify_sessions};
use serde_json::{Value, json};

use super::{incomplete, refuted, refuted_among};
use crate::fixture::{World, channel_offer, channel_policy, event_mut};

fn world() -> World {
    World::with_policy(&channel_offer("eip3009"), &channel_policy())
}

/// Changes the message, which no signature covers in this place.
fn message(world: &mut World, change: impl FnOnce(&mut Value)) {
    let kind = EvidenceType::Authorization;
    let mut payload: Value = serde_json::from_slice(world.blob_of(kind)).unwrap();
    change(&mut payload);
    let hash = world.replace(kind, payload.to_string().into_bytes());
    event_mut!(world, VoucherSigned).authorization = hash;
}

#[test]
fn session_is_recomputed() {
    let verdict = world().verify();
    let found: Vec<_> = verdict.about(Claim::VoucherSession).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].outcome, Outcome::Pass);
}

#[test]
fn session_of_another_nonce() {
    let mut world = world();
    event_mut!(world, SessionNamed).session_nonce = B256::repeat_byte(1);
    refuted(&world, Claim::VoucherSession);
}

#[test]
fn session_of_another_channel() {
    let mut world = world();
    event_mut!(world, SessionNamed).channel = B256::repeat_byte(1);
    refuted(&world, Claim::VoucherSession);
}

#[test]
fn bind_of_another_call_in_event_and_message() {
    let mut world = world();
    let voucher = event_mut!(world, VoucherSigned).clone();
    let other = B256::repeat_byte(7);
    let bind = binding::voucher_bind(
        &other,
        &voucher.channel,
        voucher.charged_before,
        voucher.max_claimable,
    );
    event_mut!(world, SessionNamed).bind = bind;
    message(&mut world, |payload| {
        payload["extensions"]["seamline-session"]["info"]["bind"] = json!(bind);
    });
    refuted(&world, Claim::VoucherSession);
}

#[test]
fn bind_of_another_place_in_event_and_message() {
    let mut world = world();
    let voucher = event_mut!(world, VoucherSigned).clone();
    let (from, to) = (Amount::new(100), Amount::new(600));
    let bind = binding::voucher_bind(&world.h_bind, &voucher.channel, from, to);
    event_mut!(world, SessionNamed).bind = bind;
    message(&mut world, |payload| {
        payload["extensions"]["seamline-session"]["info"]["bind"] = json!(bind);
    });
    refuted(&world, Claim::VoucherSession);
}

#[test]
fn message_without_a_bind_or_with_another() {
    let mut bare = world();
    message(&mut bare, |payload| {
        payload.as_object_mut().unwrap().remove("extensions");
    });
    refuted(&bare, Claim::VoucherSession);
    let mut other = world();
    message(&mut other, |payload| {
        payload["extensions"]["seamline-session"]["info"]["bind"] = json!(B256::repeat_byte(1));
    });
    refuted(&other, Claim::VoucherSession);
}

#[test]
fn salt_that_commits_to_another_recorder() {
    let mut world = world();
    message(&mut world, |payload| {
        payload["payload"]["channelConfig"]["salt"] = json!(B256::repeat_byte(3));
    });
    refuted_among(&world, Claim::VoucherSession);
    // The channel's id is another one then.
    refuted_among(&world, Claim::VoucherChannel);
}

#[test]
fn voucher_without_a_session_stays_open() {
    let mut world = world();
    let named = |event: &Event| event.get::<SessionNamed>().is_some();
    world.events.retain(|(_, event)| !named(event));
    incomplete(&world, Claim::VoucherSession, Outcome::Absent);
}

#[test]
fn session_that_comes_before_its_voucher() {
    let mut world = world();
    let place = |world: &World, wanted: fn(&Event) -> bool| {
        let mut events = world.events.iter();
        events.position(|(_, event)| wanted(event)).unwrap()
    };
    let voucher = place(&world, |event| event.get::<VoucherSigned>().is_some());
    let session = place(&world, |event| event.get::<SessionNamed>().is_some());
    let (early, late) = (world.events[voucher].0, world.events[session].0);
    world.events.swap(voucher, session);
    world.events[voucher].0 = early;
    world.events[session].0 = late;
    refuted(&world, Claim::VoucherSession);
}

/// The receipt of another call of the same recorder, that claims the same place in the channel.
fn sibling(world: &World, seq: u64) -> Bundle {
    let mut other = World {
        opened: Opened {
            seq,
            call_id: binding::call_id(&world.opened.recorder, seq),
            ..world.opened.clone()
        },
        ..self::world()
    };
    other.events.clone_from(&world.events);
    other.blobs.clone_from(&world.blobs);
    other.try_seal().unwrap()
}

#[test]
fn two_calls_of_one_place_are_found() {
    let world = world();
    let (one, two) = (world.seal(), sibling(&world, 8));
    assert_ne!(one.receipt_hash(), two.receipt_hash());
    let found = verify_sessions(&[one.clone(), two]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].claim, Claim::SessionPlaces);
    assert_eq!(found[0].outcome, Outcome::Fail);
    // The same receipt twice says nothing.
    assert!(verify_sessions(&[one.clone(), one]).is_empty());
}
