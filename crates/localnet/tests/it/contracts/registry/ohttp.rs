//! The OHTTP key of an entry.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolError as _, SolEvent as _, sol};
use seamline_evm::bindings::{IRegistry, IRegistryWithOHTTP};
use seamline_evm::registry::admin::IRegistryAdmin;

use super::Setup;
use crate::contracts::{REGISTRY, World, has_event, vector};

sol! {
    interface Registry {
        error OHTTPConfigInvalid();
        error OHTTPConfigNotFound();
        error OHTTPConfigSignatureInvalid();
        event OHTTPConfigUpdated(
            bytes32 indexed teeId, uint8 keyId, uint16 kemId, uint16 kdfId, uint16 aeadId,
            bytes32 publicKeyHash, bytes32 keyConfigHash
        );
        function setOHTTPConfig(
            bytes32 teeId, uint8 keyId, uint16 kemId, uint16 kdfId, uint16 aeadId, bytes publicKey,
            bytes keyConfig, bytes signature
        ) external;
        function clearOHTTPConfig(bytes32 teeId) external;
        function hasOHTTPConfig(bytes32 teeId) external view returns (bool);
        function computeOHTTPConfigHash(
            bytes32 teeId, uint8 keyId, uint16 kemId, uint16 kdfId, uint16 aeadId, bytes publicKey,
            bytes keyConfig
        ) external pure returns (bytes32);
    }
}

#[test]
fn an_ohttp_key_needs_the_enclave_s_signature() {
    let setup = Setup::registered();
    let world = &setup.world;
    let tee_id = setup.id();
    let (public_key, key_config) = (vec![2; 32], vec![3; 41]);
    let hash = world.read(
        REGISTRY,
        &Registry::computeOHTTPConfigHashCall {
            teeId: tee_id,
            keyId: 1,
            kemId: 32,
            kdfId: 1,
            aeadId: 3,
            publicKey: public_key.clone().into(),
            keyConfig: key_config.clone().into(),
        },
    );
    let good = Registry::setOHTTPConfigCall {
        teeId: tee_id,
        keyId: 1,
        kemId: 32,
        kdfId: 1,
        aeadId: 3,
        publicKey: public_key.into(),
        keyConfig: key_config.into(),
        signature: setup.identity.sign(&hash).unwrap().into(),
    };
    type Alter = fn(&mut Registry::setOHTTPConfigCall);
    let faults: [(Alter, [u8; 4]); 4] = [
        (
            |call| call.keyId = 2,
            Registry::OHTTPConfigSignatureInvalid::SELECTOR,
        ),
        (
            |call| call.signature = [].into(),
            Registry::OHTTPConfigSignatureInvalid::SELECTOR,
        ),
        (
            |call| call.publicKey = vec![2; 31].into(),
            Registry::OHTTPConfigInvalid::SELECTOR,
        ),
        (
            |call| call.keyConfig = [].into(),
            Registry::OHTTPConfigInvalid::SELECTOR,
        ),
    ];
    for (index, (alter, error)) in faults.into_iter().enumerate() {
        let mut call = good.clone();
        alter(&mut call);
        let refusal = world.refusal(setup.operator(), REGISTRY, &call);
        assert_eq!(refusal[..], error, "fault {index}");
    }
    let refusal = world.refusal(&world.stranger, REGISTRY, &good);
    assert_eq!(refusal[..], IRegistry::NotTEEOwner::SELECTOR);

    let sent = world.send(setup.operator(), REGISTRY, &good);
    assert!(has_event(
        &sent,
        REGISTRY,
        Registry::OHTTPConfigUpdated::SIGNATURE_HASH
    ));
    let record = world.read(REGISTRY, &IRegistryWithOHTTP::getTEECall { teeId: tee_id });
    assert_eq!(record.ohttpConfig.publicKey, good.publicKey);
    assert_eq!(record.ohttpConfig.keyConfig, good.keyConfig);
    assert_eq!(record.ohttpConfig.kemId, 32);

    let clear = Registry::clearOHTTPConfigCall { teeId: tee_id };
    world.send(setup.operator(), REGISTRY, &clear);
    assert!(!world.read(REGISTRY, &Registry::hasOHTTPConfigCall { teeId: tee_id }));
    let refusal = world.refusal(setup.operator(), REGISTRY, &clear);
    assert_eq!(refusal[..], Registry::OHTTPConfigNotFound::SELECTOR);
}

#[test]
fn ohttp_hashes_are_the_published_ones() {
    let world = World::new();
    let vectors = vector("ohttp-config.json");
    for (case, config) in [
        ("golden_gateway_test", "key_config"),
        ("example", "key_config_hex"),
    ] {
        let case = &vectors[case];
        let bytes = |name: &str| hex::decode(case[name].as_str().unwrap()).unwrap();
        let hash = world.read(
            REGISTRY,
            &Registry::computeOHTTPConfigHashCall {
                teeId: B256::from_slice(&bytes("tee_id")),
                keyId: 1,
                kemId: 32,
                kdfId: 1,
                aeadId: 3,
                publicKey: bytes("public_key").into(),
                keyConfig: bytes(config).into(),
            },
        );
        assert_eq!(hash[..], bytes("hash"));
    }
}

/// A configuration that the enclave of `setup` signed.
struct Signed {
    public_key: Vec<u8>,
    key_config: Vec<u8>,
    signature: Vec<u8>,
}

fn signed(setup: &Setup, seed: u8) -> Signed {
    let (public_key, key_config) = (vec![seed; 32], vec![seed; 41]);
    let hash = setup.world.read(
        REGISTRY,
        &IRegistryAdmin::computeOHTTPConfigHashCall {
            teeId: setup.id(),
            keyId: 1,
            kemId: 32,
            kdfId: 1,
            aeadId: 3,
            publicKey: public_key.clone().into(),
            keyConfig: key_config.clone().into(),
        },
    );
    Signed {
        public_key,
        key_config,
        signature: setup.identity.sign(&hash).unwrap(),
    }
}

fn together(
    setup: &Setup,
    config: Signed,
) -> IRegistryAdmin::registerTEEWithAttestationAndOHTTPConfigCall {
    let alone = setup.registration();
    IRegistryAdmin::registerTEEWithAttestationAndOHTTPConfigCall {
        attestationDocument: alone.attestationDocument,
        signingPublicKey: alone.signingPublicKey,
        tlsCertificate: alone.tlsCertificate,
        paymentAddress: alone.paymentAddress,
        endpoint: alone.endpoint,
        teeType: alone.teeType,
        keyId: 1,
        kemId: 32,
        kdfId: 1,
        aeadId: 3,
        ohttpPublicKey: config.public_key.into(),
        ohttpKeyConfig: config.key_config.into(),
        ohttpConfigSignature: config.signature.into(),
    }
}

#[test]
fn node_and_key_register_together_or_not_at_all() {
    let setup = Setup::new();
    let world = &setup.world;
    let good = together(&setup, signed(&setup, 2));
    type Alter = fn(&mut IRegistryAdmin::registerTEEWithAttestationAndOHTTPConfigCall);
    let faults: [(Alter, [u8; 4]); 5] = [
        (
            |call| call.ohttpConfigSignature = [].into(),
            IRegistryAdmin::OHTTPConfigSignatureInvalid::SELECTOR,
        ),
        (
            |call| call.aeadId = 1,
            IRegistryAdmin::OHTTPConfigSignatureInvalid::SELECTOR,
        ),
        (
            |call| call.ohttpPublicKey = vec![2; 33].into(),
            IRegistryAdmin::OHTTPConfigInvalid::SELECTOR,
        ),
        (
            |call| call.ohttpKeyConfig = [].into(),
            IRegistryAdmin::OHTTPConfigInvalid::SELECTOR,
        ),
        (
            |call| call.tlsCertificate = [1].into(),
            IRegistry::AttestationInvalid::SELECTOR,
        ),
    ];
    for (index, (alter, error)) in faults.into_iter().enumerate() {
        let mut call = good.clone();
        alter(&mut call);
        let refusal = world.refusal(setup.operator(), REGISTRY, &call);
        assert_eq!(refusal[..4], error, "fault {index}");
    }
    let refusal = world.refusal(&world.stranger, REGISTRY, &good);
    assert_eq!(
        refusal[..4],
        IRegistryAdmin::AccessControlUnauthorizedAccount::SELECTOR
    );

    let sent = world.send(setup.operator(), REGISTRY, &good);
    for topic in [
        IRegistry::TEERegistered::SIGNATURE_HASH,
        IRegistryAdmin::OHTTPConfigUpdated::SIGNATURE_HASH,
    ] {
        assert!(has_event(&sent, REGISTRY, topic));
    }
    let tee_id = setup.id();
    let record = world.read(REGISTRY, &IRegistryWithOHTTP::getTEECall { teeId: tee_id });
    assert_eq!(record.ohttpConfig.keyConfig[..], [2; 41]);
}

#[test]
fn records_say_when_a_key_came_and_when_it_changed() {
    let setup = Setup::registered();
    let world = &setup.world;
    let tee_id = setup.id();
    let read = || {
        let one = world.read(
            REGISTRY,
            &IRegistryAdmin::getTEEWithOHTTPConfigCall { teeId: tee_id },
        );
        let all = world.read(
            REGISTRY,
            &IRegistryAdmin::getActiveTEERecordsWithOHTTPConfigCall { teeType: 0 },
        );
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].teeId, tee_id);
        assert_eq!(all[0].tee, one.tee);
        assert_eq!(all[0].ohttpConfig, one.ohttpConfig);
        assert_eq!(one.tee.publicKey[..], *setup.identity.signing_key_spki());
        one.ohttpConfig
    };
    let get = IRegistryAdmin::getOHTTPConfigCall { teeId: tee_id };
    let refusal = world.refusal(setup.operator(), REGISTRY, &get);
    assert_eq!(refusal[..], IRegistryAdmin::OHTTPConfigNotFound::SELECTOR);
    assert!(read().publicKey.is_empty());

    let set = |seed| {
        let Signed {
            public_key,
            key_config,
            signature,
        } = signed(&setup, seed);
        let call = IRegistryAdmin::setOHTTPConfigCall {
            teeId: tee_id,
            keyId: 1,
            kemId: 32,
            kdfId: 1,
            aeadId: 3,
            publicKey: public_key.into(),
            keyConfig: key_config.into(),
            signature: signature.into(),
        };
        world.send(setup.operator(), REGISTRY, &call);
    };
    set(2);
    let first = read();
    assert_eq!(first.registeredAt, first.updatedAt);
    world.advance(Duration::from_secs(60));
    set(3);
    let second = read();
    assert_eq!(second.publicKey[..], [3; 32]);
    assert_eq!(second.registeredAt, first.registeredAt);
    assert!(second.updatedAt > first.updatedAt);
    assert_eq!(world.read(REGISTRY, &get), second);

    let clear = IRegistryAdmin::clearOHTTPConfigCall { teeId: tee_id };
    world.send(&world.admin, REGISTRY, &clear);
    assert_eq!(read().updatedAt, U256::ZERO);
}

#[test]
fn an_unknown_node_has_no_record_and_no_key() {
    let setup = Setup::registered();
    let world = &setup.world;
    let get = IRegistryAdmin::getTEEWithOHTTPConfigCall { teeId: B256::ZERO };
    let refusal = world.refusal(setup.operator(), REGISTRY, &get);
    assert_eq!(refusal[..], IRegistry::TEENotFound::SELECTOR);
    let clear = IRegistryAdmin::clearOHTTPConfigCall { teeId: B256::ZERO };
    let refusal = world.refusal(&world.admin, REGISTRY, &clear);
    assert_eq!(refusal[..], IRegistry::TEENotFound::SELECTOR);
    let clear = IRegistryAdmin::clearOHTTPConfigCall { teeId: setup.id() };
    let refusal = world.refusal(&world.stranger, REGISTRY, &clear);
    assert_eq!(refusal[..], IRegistry::NotTEEOwner::SELECTOR);
}
