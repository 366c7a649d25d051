use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolError as _, SolEvent as _, sol};
use seamline_evm::bindings::{IRegistry, ISettlement};
use serde_json::Value;

use super::registry::Setup;
use super::{PAYEE, REGISTRY, SETTLEMENT, World, has_event, vector};

sol! {
    interface Settlement {
        error AccessControlUnauthorizedAccount(address account, bytes32 role);
        error EmptyBatch();
        error SignatureInvalid();
        error AlreadySettled(bytes32 settlementHash);
        function grantRole(bytes32 role, address account) external;
        function setRegistry(address registry) external;
        function settlementUsed(bytes32 settlementHash) external view returns (bool);
        function computeSettlementHash(
            bytes32 teeId, bytes32 inputHash, bytes32 outputHash, uint256 timestamp
        ) external pure returns (bytes32);
        function computeLeaf(
            bytes32 teeId, bytes32 inputHash, bytes32 outputHash, bytes signature, uint256 timestamp
        ) external pure returns (bytes32);
        error InvalidRegistryAddress();
    }
}

const INPUT: B256 = B256::repeat_byte(0x11);
const OUTPUT: B256 = B256::repeat_byte(0x22);

/// A registered enclave, and the facilitator's wallet as the relay.
fn setup() -> Setup {
    let setup = Setup::registered();
    let world = &setup.world;
    let grant = Settlement::grantRoleCall {
        role: keccak256("SETTLEMENT_RELAY_ROLE"),
        account: world.facilitator.address(),
    };
    world.send(&world.admin, SETTLEMENT, &grant);
    setup
}

fn individual(setup: &Setup, timestamp: u64) -> ISettlement::settleIndividualCall {
    let time = U256::from(timestamp).to_be_bytes::<32>();
    let message = keccak256([INPUT.0, OUTPUT.0, time].concat());
    ISettlement::settleIndividualCall {
        teeId: setup.id(),
        inputHash: INPUT,
        outputHash: OUTPUT,
        timestamp: U256::from(timestamp),
        ethAddress: PAYEE,
        walrusBlobId: b"blob".to_vec().into(),
        signature: setup.identity.sign(&message).unwrap().into(),
    }
}

fn refused(setup: &Setup, call: &ISettlement::settleIndividualCall) -> [u8; 4] {
    let world = &setup.world;
    let refusal = world.refusal(&world.facilitator, SETTLEMENT, call);
    refusal[..4].try_into().unwrap()
}

#[test]
fn a_batch_is_recorded_by_the_relay() {
    let setup = setup();
    let world = &setup.world;
    let batch = |root, size| ISettlement::batchSettleCall {
        merkleRoot: root,
        batchSize: U256::from(size),
        walrusBlobId: b"blob".to_vec().into(),
    };
    let sent = world.send(&world.facilitator, SETTLEMENT, &batch(INPUT, 2));
    let log = sent.logs.first().unwrap();
    let event = ISettlement::BatchSettlement::decode_log(log).unwrap();
    assert_eq!(log.address, SETTLEMENT);
    assert_eq!(event.merkleRoot, INPUT);
    assert_eq!(event.batchSize, U256::from(2));
    assert_eq!(event.walrusBlobId[..], *b"blob");

    for empty in [batch(INPUT, 0), batch(B256::ZERO, 2)] {
        let refusal = world.refusal(&world.facilitator, SETTLEMENT, &empty);
        assert_eq!(refusal[..], Settlement::EmptyBatch::SELECTOR);
    }
    let refusal = world.refusal(&world.stranger, SETTLEMENT, &batch(INPUT, 2));
    assert_eq!(
        refusal[..4],
        Settlement::AccessControlUnauthorizedAccount::SELECTOR
    );
}

#[test]
fn a_signed_inference_is_recorded_once() {
    let setup = setup();
    let world = &setup.world;
    let call = individual(&setup, world.now());
    let refusal = world.refusal(&world.stranger, SETTLEMENT, &call);
    assert_eq!(
        refusal[..4],
        Settlement::AccessControlUnauthorizedAccount::SELECTOR
    );

    let sent = world.send(&world.facilitator, SETTLEMENT, &call);
    let topic = ISettlement::IndividualSettlement::SIGNATURE_HASH;
    assert!(has_event(&sent, SETTLEMENT, topic));
    let event = ISettlement::IndividualSettlement::decode_log(sent.logs.first().unwrap()).unwrap();
    assert_eq!(event.teeId, setup.id());
    assert_eq!(event.ethAddress, PAYEE);
    assert_eq!(event.signature, call.signature);

    let recorded = world.read(
        SETTLEMENT,
        &Settlement::computeSettlementHashCall {
            teeId: call.teeId,
            inputHash: INPUT,
            outputHash: OUTPUT,
            timestamp: call.timestamp,
        },
    );
    assert!(world.read(
        SETTLEMENT,
        &Settlement::settlementUsedCall {
            settlementHash: recorded
        }
    ));
    // A second signature over the same inference is the same settlement (PSS is randomised).
    let again = individual(&setup, call.timestamp.to::<u64>());
    assert_ne!(again.signature, call.signature);
    assert_eq!(
        refused(&setup, &again),
        Settlement::AlreadySettled::SELECTOR
    );
}

#[test]
fn every_signed_field_is_signed() {
    let setup = setup();
    let good = individual(&setup, setup.world.now());
    let alter: [fn(&mut ISettlement::settleIndividualCall); 5] = [
        |call| call.teeId = B256::ZERO,
        |call| call.inputHash = B256::ZERO,
        |call| call.outputHash = B256::ZERO,
        |call| call.timestamp -= U256::ONE,
        |call| call.signature = Bytes::new(),
    ];
    for (index, alter) in alter.into_iter().enumerate() {
        let mut call = good.clone();
        alter(&mut call);
        assert_eq!(
            refused(&setup, &call),
            Settlement::SignatureInvalid::SELECTOR,
            "field {index}"
        );
    }
}

#[test]
fn the_hour_has_two_ends() {
    let setup = setup();
    let world = &setup.world;
    world.advance(Duration::from_secs(7200));
    let now = world.now();
    for timestamp in [now - 3600, now + 300] {
        world.accepts(
            &world.facilitator,
            SETTLEMENT,
            &individual(&setup, timestamp),
        );
    }
    for timestamp in [now - 3601, now + 301] {
        assert_eq!(
            refused(&setup, &individual(&setup, timestamp)),
            Settlement::SignatureInvalid::SELECTOR
        );
    }
    // Times near the end of the type do not wrap around.
    let mut call = individual(&setup, now);
    call.timestamp = U256::MAX;
    assert_eq!(
        refused(&setup, &call),
        Settlement::SignatureInvalid::SELECTOR
    );
}

#[test]
fn a_disabled_enclave_settles_nothing() {
    let setup = setup();
    let world = &setup.world;
    let call = individual(&setup, world.now());
    let disable = IRegistry::disableTEECall { teeId: setup.id() };
    world.send(&world.admin, REGISTRY, &disable);
    assert_eq!(
        refused(&setup, &call),
        Settlement::SignatureInvalid::SELECTOR
    );
}

#[test]
fn the_registry_must_be_a_contract() {
    let world = World::new();
    let call = Settlement::setRegistryCall { registry: PAYEE };
    let refusal = world.refusal(&world.admin, SETTLEMENT, &call);
    assert_eq!(refusal[..], Settlement::InvalidRegistryAddress::SELECTOR);
    let call = Settlement::setRegistryCall { registry: REGISTRY };
    let refusal = world.refusal(&world.stranger, SETTLEMENT, &call);
    assert_eq!(
        refusal[..4],
        Settlement::AccessControlUnauthorizedAccount::SELECTOR
    );
}

#[test]
fn leaves_and_proofs_are_those_of_the_published_trees() {
    let world = World::new();
    let vectors = vector("batch-tree.json");
    let merkle = &vectors["merkle"];
    let items = merkle["items"].as_array().unwrap();
    for tree in merkle["trees"].as_array().unwrap() {
        let root = hash(&tree["root"]);
        let leaves = tree["leaf_hashes_in_input_order"].as_array().unwrap();
        let proofs = tree["proofs"].as_array().unwrap();
        for ((item, leaf), proof) in items.iter().zip(leaves).zip(proofs) {
            assert_eq!(world.read(SETTLEMENT, &computed(item)), hash(leaf));
            let proof: Vec<B256> = proof.as_array().unwrap().iter().map(hash).collect();
            let verify = |proof: &[B256], leaf| {
                let call = ISettlement::verifyProofCall {
                    proof: proof.to_vec(),
                    root,
                    leaf,
                };
                world.read(SETTLEMENT, &call)
            };
            assert!(verify(&proof, hash(leaf)));
            assert!(!verify(&proof, B256::ZERO));
            let longer = [proof.as_slice(), &[B256::ZERO]].concat();
            assert!(!verify(&longer, hash(leaf)));
        }
    }
}

fn computed(item: &Value) -> Settlement::computeLeafCall {
    Settlement::computeLeafCall {
        teeId: hash(&item["teeId"]),
        inputHash: hash(&item["inputHash"]),
        outputHash: hash(&item["outputHash"]),
        signature: hex::decode(item["signature"].as_str().unwrap())
            .unwrap()
            .into(),
        timestamp: item["timestamp"].as_str().unwrap().parse().unwrap(),
    }
}

fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}
