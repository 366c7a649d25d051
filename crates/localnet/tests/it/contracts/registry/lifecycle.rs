//! Heartbeats, and who may switch an entry off and on.

use std::time::Duration;

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::{SolError as _, SolEvent as _};
use seamline_evm::bindings::{IRegistry, IRegistryWithOHTTP};

use super::{LLM, Registry, Setup};
use crate::contracts::{REGISTRY, has_event};

#[test]
fn owners_manage_their_own_entries() {
    let setup = Setup::registered();
    let world = &setup.world;
    let tee_id = setup.id();
    let disable = IRegistry::disableTEECall { teeId: tee_id };
    let refusal = world.refusal(&world.stranger, REGISTRY, &disable);
    assert_eq!(refusal[..], IRegistry::NotTEEOwner::SELECTOR);
    let unknown = IRegistry::disableTEECall {
        teeId: B256::repeat_byte(9),
    };
    let refusal = world.refusal(&world.admin, REGISTRY, &unknown);
    assert_eq!(refusal[..], IRegistry::TEENotFound::SELECTOR);

    world.send(setup.operator(), REGISTRY, &disable);
    assert!(!setup.is_active());
    let enabled = IRegistry::getEnabledTEEsCall { teeType: LLM };
    assert!(world.read(REGISTRY, &enabled).is_empty());
    let refusal = world.refusal(setup.operator(), REGISTRY, &disable);
    assert_eq!(refusal[..], IRegistry::TEENotEnabled::SELECTOR);
    let refusal = world.refusal(&world.stranger, REGISTRY, &setup.heartbeat(world.now()));
    assert_eq!(refusal[..], IRegistry::TEENotEnabled::SELECTOR);
    world.send(
        &world.admin,
        REGISTRY,
        &IRegistry::enableTEECall { teeId: tee_id },
    );
    assert!(setup.is_active());
}

#[test]
fn an_owner_that_lost_the_role_manages_nothing() {
    let setup = Setup::registered();
    setup.admin(&Registry::revokeRoleCall {
        role: keccak256("TEE_OPERATOR"),
        account: setup.operator().address(),
    });
    let disable = IRegistry::disableTEECall { teeId: setup.id() };
    let refusal = setup.world.refusal(setup.operator(), REGISTRY, &disable);
    assert_eq!(refusal[..], IRegistry::NotTEEOwner::SELECTOR);
}

#[test]
fn an_operator_manages_its_own_entries_only() {
    let setup = Setup::registered();
    setup.admin(&IRegistry::grantRoleCall {
        role: keccak256("TEE_OPERATOR"),
        account: setup.world.stranger.address(),
    });
    let disable = IRegistry::disableTEECall { teeId: setup.id() };
    let refusal = setup
        .world
        .refusal(&setup.world.stranger, REGISTRY, &disable);
    assert_eq!(refusal[..], IRegistry::NotTEEOwner::SELECTOR);
}

#[test]
fn a_silent_enclave_stops_being_active() {
    let setup = Setup::registered();
    setup.world.advance(Duration::from_secs(1800));
    assert!(setup.is_active());
    setup.world.advance(Duration::from_secs(1));
    assert!(!setup.is_active());
    let tee_id = setup.id();
    assert!(
        setup
            .world
            .read(REGISTRY, &IRegistry::isTEEEnabledCall { teeId: tee_id })
    );
}

#[test]
fn a_heartbeat_counts_from_its_signed_time() {
    let setup = Setup::registered();
    let world = &setup.world;
    world.advance(Duration::from_secs(1500));
    let signed_at = world.now() - 300;
    let beat = setup.heartbeat(signed_at);
    let sent = world.send(&world.stranger, REGISTRY, &beat);
    assert!(has_event(
        &sent,
        REGISTRY,
        IRegistry::HeartbeatReceived::SIGNATURE_HASH
    ));
    let tee_id = setup.id();
    let last = || {
        let record = world.read(REGISTRY, &IRegistryWithOHTTP::getTEECall { teeId: tee_id });
        record.lastHeartbeatAt
    };
    assert_eq!(last(), U256::from(signed_at));
    world.advance(Duration::from_secs(1000));
    assert!(setup.is_active());
    // Replayed, it prolongs nothing; an older one takes nothing back.
    world.send(&world.stranger, REGISTRY, &beat);
    world.send(&world.stranger, REGISTRY, &setup.heartbeat(signed_at - 1));
    assert_eq!(last(), U256::from(signed_at));
}

#[test]
fn heartbeats_out_of_time_or_of_others_are_refused() {
    let setup = Setup::registered();
    let world = &setup.world;
    world.advance(Duration::from_secs(3600));
    let refusal = |call: &IRegistry::heartbeatCall| {
        let refusal = world.refusal(&world.stranger, REGISTRY, call);
        <[u8; 4]>::try_from(&refusal[..4]).unwrap()
    };
    let now = world.now();
    world.accepts(&world.stranger, REGISTRY, &setup.heartbeat(now - 1800));
    assert_eq!(
        refusal(&setup.heartbeat(now - 1801)),
        IRegistry::HeartbeatTimestampTooOld::SELECTOR
    );
    assert_eq!(
        refusal(&setup.heartbeat(now + 1)),
        IRegistry::HeartbeatTimestampInFuture::SELECTOR
    );
    let mut call = setup.heartbeat(now);
    call.timestamp -= U256::ONE;
    assert_eq!(
        refusal(&call),
        IRegistry::HeartbeatSignatureInvalid::SELECTOR
    );
    let mut call = setup.heartbeat(now);
    call.signature = [].into();
    assert_eq!(
        refusal(&call),
        IRegistry::HeartbeatSignatureInvalid::SELECTOR
    );
    let mut call = setup.heartbeat(now);
    call.teeId = B256::ZERO;
    assert_eq!(refusal(&call), IRegistry::TEENotFound::SELECTOR);
}
