//! Which measurements may register, and what their revocation does.

use alloy_sol_types::{SolError as _, SolEvent as _};
use seamline_evm::bindings::IRegistry;
use seamline_localnet::attester::{DevAttester, DevMeasurement};

use super::{LLM, Registry, Setup, approval, registration};
use crate::contracts::{REGISTRY, has_event};

#[test]
fn measurements_must_be_approved_for_the_type() {
    let setup = Setup::new();
    setup.admin(&IRegistry::addTEETypeCall {
        typeId: 1,
        name: "validator".to_owned(),
    });
    let mut call = setup.registration();
    call.teeType = 1;
    assert_eq!(setup.refused(&call), IRegistry::PCRNotApproved::SELECTOR);

    let attester = DevAttester::new(
        setup.world.authority.clone(),
        "other",
        DevMeasurement::of(b"other code"),
        setup.world.clock(),
    );
    let call = registration(&attester.unwrap(), &setup.identity);
    assert_eq!(setup.refused(&call), IRegistry::PCRNotApproved::SELECTOR);
}

#[test]
fn approval_refuses_what_no_enclave_should_run() {
    let setup = Setup::new();
    let world = &setup.world;
    let good = approval(&DevMeasurement::of(b"new code"), LLM);
    type Alter = fn(&mut IRegistry::approvePCRCall);
    let faults: [(Alter, [u8; 4]); 6] = [
        (|call| call.teeType = 9, IRegistry::InvalidTEEType::SELECTOR),
        (
            |call| call.pcrs.pcr0 = vec![1; 47].into(),
            Registry::PCRInvalid::SELECTOR,
        ),
        (
            |call| call.pcrs.pcr1 = vec![1; 49].into(),
            Registry::PCRInvalid::SELECTOR,
        ),
        (
            |call| call.pcrs.pcr2 = [].into(),
            Registry::PCRInvalid::SELECTOR,
        ),
        (
            |call| call.pcrs.pcr0 = vec![0; 48].into(),
            Registry::PCRInvalid::SELECTOR,
        ),
        (
            |call| call.pcrs.pcr2 = vec![0; 48].into(),
            Registry::PCRInvalid::SELECTOR,
        ),
    ];
    for (index, (alter, error)) in faults.into_iter().enumerate() {
        let mut call = good.clone();
        alter(&mut call);
        let refusal = world.refusal(&world.admin, REGISTRY, &call);
        assert_eq!(refusal[..4], error, "fault {index}");
    }
    let refusal = world.refusal(setup.operator(), REGISTRY, &good);
    assert_eq!(
        refusal[..4],
        Registry::AccessControlUnauthorizedAccount::SELECTOR
    );
    setup.admin(&good);
    let refusal = world.refusal(&world.admin, REGISTRY, &good);
    assert_eq!(refusal[..4], IRegistry::PCRAlreadyExists::SELECTOR);
    let hash = world.read(REGISTRY, &IRegistry::computePCRHashCall { pcrs: good.pcrs });
    assert_eq!(hash, DevMeasurement::of(b"new code").pcr_hash());
    let approved = world.read(REGISTRY, &Registry::getApprovedPCRsCall {});
    assert_eq!(approved.len(), 2);
}

#[test]
fn revocation_disables_and_approval_does_not_enable() {
    let setup = Setup::registered();
    let world = &setup.world;
    let tee_id = setup.id();
    let revoke = IRegistry::revokePCRCall {
        pcrHash: setup.pcr_hash(),
        teeType: LLM,
    };
    let refusal = world.refusal(setup.operator(), REGISTRY, &revoke);
    assert_eq!(
        refusal[..4],
        Registry::AccessControlUnauthorizedAccount::SELECTOR
    );

    assert!(setup.is_active());
    let sent = world.send(&world.admin, REGISTRY, &revoke);
    assert!(has_event(
        &sent,
        REGISTRY,
        IRegistry::PCRRevoked::SIGNATURE_HASH
    ));
    assert!(has_event(
        &sent,
        REGISTRY,
        IRegistry::TEEDisabled::SIGNATURE_HASH
    ));
    assert!(!setup.is_active());
    assert!(!world.read(REGISTRY, &IRegistry::isTEEEnabledCall { teeId: tee_id }));
    assert!(
        world
            .read(REGISTRY, &Registry::getApprovedPCRsCall {})
            .is_empty()
    );

    let enable = IRegistry::enableTEECall { teeId: tee_id };
    for wallet in [&world.admin, setup.operator()] {
        let refusal = world.refusal(wallet, REGISTRY, &enable);
        assert_eq!(refusal[..], IRegistry::PCRNotApproved::SELECTOR);
    }
    let again = world.refusal(&world.admin, REGISTRY, &revoke);
    assert_eq!(again[..], IRegistry::PCRNotApproved::SELECTOR);

    setup.admin(&approval(setup.attester.measurement(), LLM));
    assert!(!setup.is_active());
    world.send(setup.operator(), REGISTRY, &enable);
    assert!(setup.is_active());
}

#[test]
fn an_approval_is_for_one_type() {
    let setup = Setup::new();
    let world = &setup.world;
    setup.admin(&IRegistry::addTEETypeCall {
        typeId: 1,
        name: "validator".to_owned(),
    });
    setup.admin(&approval(setup.attester.measurement(), 1));
    // Withdrawn for the later type, it stays for the earlier one.
    setup.admin(&IRegistry::revokePCRCall {
        pcrHash: setup.pcr_hash(),
        teeType: 1,
    });
    let approved = world.read(REGISTRY, &Registry::getApprovedPCRsCall {});
    assert_eq!(approved.len(), 1);
    assert_eq!(approved[0].teeType, LLM);
    world.accepts(setup.operator(), REGISTRY, &setup.registration());
}
