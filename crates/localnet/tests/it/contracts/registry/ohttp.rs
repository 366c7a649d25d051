//! The OHTTP key of an entry.

use alloy_primitives::B256;
use alloy_sol_types::{SolError as _, SolEvent as _, sol};
use seamline_evm::bindings::{IRegistry, IRegistryWithOHTTP};

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
