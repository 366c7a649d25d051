//! The registry with real evidence of software.

mod lifecycle;
mod measurements;
mod ohttp;

use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolError as _, SolEvent as _, sol};
use seamline_core::Timestamp;
use seamline_enclave::{Attester as _, EnclaveIdentity};
use seamline_evm::Wallet;
use seamline_evm::bindings::{IRegistry, IRegistryWithOHTTP, PCRMeasurements};
use seamline_localnet::attester::{DevAttester, DevMeasurement};
use seamline_localnet::authority::{DevAuthority, NoHardware};

use super::{PAYEE, REGISTRY, World, has_event};

sol! {
    struct PCRKey { bytes32 pcrHash; uint8 teeType; }
    struct TEETypeInfo { string name; uint256 addedAt; }

    interface Registry {
        error AccessControlUnauthorizedAccount(address account, bytes32 role);
        error PCRInvalid();
        error InvalidPaymentAddress();
        function revokeRole(bytes32 role, address account) external;
        function getTEETypes() external view returns (uint8[], TEETypeInfo[]);
        function getApprovedPCRs() external view returns (PCRKey[]);
    }
}

const LLM: u8 = 0;
const ENDPOINT: &str = "https://127.0.0.1:8443";

/// A registry with a type, a root, an operator (the facilitator's wallet) and one approved
/// measurement, and an enclave that could register.
pub(super) struct Setup {
    pub(super) world: World,
    pub(super) identity: EnclaveIdentity,
    attester: DevAttester,
}

impl Setup {
    pub(super) fn new() -> Self {
        let world = World::new();
        let identity = EnclaveIdentity::generate(Timestamp::from_secs(world.now())).unwrap();
        let attester = DevAttester::new(
            world.authority.clone(),
            "quick",
            DevMeasurement::of(b"quick, guide"),
            world.clock(),
        )
        .unwrap();
        let setup = Self {
            world,
            identity,
            attester,
        };
        let root = setup.world.authority.root_pem();
        setup.admin(&IRegistry::addTEETypeCall {
            typeId: LLM,
            name: "LLM".to_owned(),
        });
        setup.admin(&IRegistry::setAWSRootCertificateCall {
            certificate: root.into_bytes().into(),
        });
        setup.admin(&approval(setup.attester.measurement(), LLM));
        setup.admin(&IRegistry::grantRoleCall {
            role: keccak256("TEE_OPERATOR"),
            account: setup.operator().address(),
        });
        setup
    }

    /// A setup whose enclave is registered.
    pub(super) fn registered() -> Self {
        let setup = Self::new();
        setup
            .world
            .send(setup.operator(), REGISTRY, &setup.registration());
        setup
    }

    pub(super) fn id(&self) -> B256 {
        *self.identity.node_id().as_b256()
    }

    fn operator(&self) -> &Wallet {
        &self.world.facilitator
    }

    fn admin<C: alloy_sol_types::SolCall>(&self, call: &C) {
        self.world.send(&self.world.admin, REGISTRY, call);
    }

    fn pcr_hash(&self) -> B256 {
        self.attester.measurement().pcr_hash()
    }

    fn registration(&self) -> IRegistry::registerTEEWithAttestationCall {
        registration(&self.attester, &self.identity)
    }

    fn heartbeat(&self, timestamp: u64) -> IRegistry::heartbeatCall {
        let message = [self.id().0, U256::from(timestamp).to_be_bytes()].concat();
        IRegistry::heartbeatCall {
            teeId: self.id(),
            timestamp: U256::from(timestamp),
            signature: self.identity.sign(&keccak256(message)).unwrap().into(),
        }
    }

    fn refused(&self, call: &IRegistry::registerTEEWithAttestationCall) -> [u8; 4] {
        let refusal = self.world.refusal(self.operator(), REGISTRY, call);
        refusal[..4].try_into().unwrap()
    }

    fn is_active(&self) -> bool {
        let tee_id = self.id();
        let active = self.world.read(
            REGISTRY,
            &IRegistryWithOHTTP::getActiveTEEsCall { teeType: LLM },
        );
        let listed = !active.is_empty();
        let says = self
            .world
            .read(REGISTRY, &IRegistry::isTEEActiveCall { teeId: tee_id });
        assert_eq!(listed, says);
        says
    }
}

fn registration(
    attester: &DevAttester,
    identity: &EnclaveIdentity,
) -> IRegistry::registerTEEWithAttestationCall {
    let document = attester.document(&[0; 20], &identity.user_data(), &[]);
    IRegistry::registerTEEWithAttestationCall {
        attestationDocument: document.unwrap().into(),
        signingPublicKey: identity.signing_key_spki().to_vec().into(),
        tlsCertificate: identity.tls_certificate().to_vec().into(),
        paymentAddress: PAYEE,
        endpoint: ENDPOINT.to_owned(),
        teeType: LLM,
    }
}

fn approval(measurement: &DevMeasurement, tee_type: u8) -> IRegistry::approvePCRCall {
    let [pcr0, pcr1, pcr2] = measurement.pcrs().map(|pcr| pcr.to_vec().into());
    IRegistry::approvePCRCall {
        pcrs: PCRMeasurements { pcr0, pcr1, pcr2 },
        version: "0.1.0".to_owned(),
        teeType: tee_type,
    }
}

#[test]
fn evidence_admits_an_enclave() {
    let setup = Setup::new();
    let world = &setup.world;
    let sent = world.send(setup.operator(), REGISTRY, &setup.registration());
    assert!(has_event(
        &sent,
        REGISTRY,
        IRegistry::TEERegistered::SIGNATURE_HASH
    ));

    let tee_id = setup.id();
    let record = world.read(REGISTRY, &IRegistryWithOHTTP::getTEECall { teeId: tee_id });
    assert_eq!(record.owner, setup.operator().address());
    assert_eq!(record.paymentAddress, PAYEE);
    assert_eq!(record.endpoint, ENDPOINT);
    assert_eq!(record.publicKey[..], *setup.identity.signing_key_spki());
    assert_eq!(record.tlsCertificate[..], *setup.identity.tls_certificate());
    assert_eq!(record.pcrHash, setup.pcr_hash());
    assert!(record.enabled);
    assert_eq!(record.registeredAt, record.lastHeartbeatAt);
    assert_eq!(record.registeredAt, U256::from(world.now()));
    assert!(record.ohttpConfig.publicKey.is_empty());

    let active = world.read(
        REGISTRY,
        &IRegistryWithOHTTP::getActiveTEEsCall { teeType: LLM },
    );
    assert_eq!(active.len(), 1);
    assert_eq!(active[0].publicKey, record.publicKey);
    let ids = vec![tee_id];
    let owner = setup.operator().address();
    assert_eq!(
        world.read(REGISTRY, &IRegistry::getEnabledTEEsCall { teeType: LLM }),
        ids
    );
    assert_eq!(
        world.read(REGISTRY, &IRegistry::getTEEsByTypeCall { teeType: LLM }),
        ids
    );
    assert_eq!(
        world.read(REGISTRY, &IRegistry::getTEEsByOwnerCall { owner }),
        ids
    );
    assert_eq!(
        setup.refused(&setup.registration()),
        IRegistry::TEEAlreadyExists::SELECTOR
    );
}

#[test]
fn only_operators_register() {
    let setup = Setup::new();
    let refusal = setup
        .world
        .refusal(&setup.world.stranger, REGISTRY, &setup.registration());
    assert_eq!(
        refusal[..4],
        Registry::AccessControlUnauthorizedAccount::SELECTOR
    );
}

#[test]
fn each_argument_is_held_against_the_evidence() {
    let setup = Setup::new();
    let other = EnclaveIdentity::generate(Timestamp::from_secs(setup.world.now())).unwrap();
    type Alter = fn(&mut IRegistry::registerTEEWithAttestationCall, &EnclaveIdentity);
    let faults: [(Alter, [u8; 4]); 8] = [
        (
            |call, _| call.teeType = 9,
            IRegistry::InvalidTEEType::SELECTOR,
        ),
        (
            |call, _| call.paymentAddress = Address::ZERO,
            Registry::InvalidPaymentAddress::SELECTOR,
        ),
        (
            |call, _| call.signingPublicKey = [].into(),
            IRegistry::KeyBindingFailed::SELECTOR,
        ),
        (
            |call, _| call.tlsCertificate = [].into(),
            IRegistry::KeyBindingFailed::SELECTOR,
        ),
        (
            |call, other| call.signingPublicKey = other.signing_key_spki().to_vec().into(),
            IRegistry::AttestationInvalid::SELECTOR,
        ),
        (
            |call, other| call.tlsCertificate = other.tls_certificate().to_vec().into(),
            IRegistry::AttestationInvalid::SELECTOR,
        ),
        (
            |call, _| call.attestationDocument = [].into(),
            IRegistry::AttestationInvalid::SELECTOR,
        ),
        (
            |call, _| {
                let mut document = call.attestationDocument.to_vec();
                *document.last_mut().unwrap() ^= 1;
                call.attestationDocument = document.into();
            },
            IRegistry::AttestationInvalid::SELECTOR,
        ),
    ];
    for (index, (alter, error)) in faults.into_iter().enumerate() {
        let mut call = setup.registration();
        alter(&mut call, &other);
        assert_eq!(setup.refused(&call), error, "fault {index}");
    }
}

#[test]
fn evidence_of_another_installation_is_refused() {
    let setup = Setup::new();
    let no_hardware = NoHardware::probe(|_| false).unwrap();
    let now = Timestamp::from_secs(setup.world.now());
    let attester = DevAttester::new(
        DevAuthority::generate(&no_hardware, now).unwrap().into(),
        "quick",
        setup.attester.measurement().clone(),
        setup.world.clock(),
    );
    let call = registration(&attester.unwrap(), &setup.identity);
    assert_eq!(
        setup.refused(&call),
        IRegistry::AttestationInvalid::SELECTOR
    );
}

#[test]
fn the_configured_root_decides() {
    let setup = Setup::new();
    // Without a root the verifier's own applies: AWS's.
    setup.admin(&IRegistry::setAWSRootCertificateCall {
        certificate: [].into(),
    });
    assert_eq!(
        setup.refused(&setup.registration()),
        IRegistry::AttestationInvalid::SELECTOR
    );
}

#[test]
fn stale_evidence_is_refused() {
    let setup = Setup::new();
    let call = setup.registration();
    setup.world.advance(Duration::from_secs(299));
    setup.world.accepts(setup.operator(), REGISTRY, &call);
    setup.world.advance(Duration::from_secs(3));
    assert_eq!(
        setup.refused(&call),
        IRegistry::AttestationInvalid::SELECTOR
    );
}

#[test]
fn administration_is_for_the_admin() {
    let setup = Setup::new();
    let world = &setup.world;
    let calls = [
        IRegistry::setAWSRootCertificateCall {
            certificate: [].into(),
        }
        .abi_encode(),
        IRegistry::addTEETypeCall {
            typeId: 3,
            name: String::new(),
        }
        .abi_encode(),
        IRegistry::setHeartbeatMaxAgeCall { maxAge: U256::ZERO }.abi_encode(),
    ];
    for call in &calls {
        let refusal = world.try_call(setup.operator().address(), REGISTRY, call);
        assert_eq!(
            refusal.unwrap_err()[..4],
            Registry::AccessControlUnauthorizedAccount::SELECTOR
        );
    }
    let taken = IRegistry::addTEETypeCall {
        typeId: LLM,
        name: "again".to_owned(),
    };
    let refusal = world.refusal(&world.admin, REGISTRY, &taken);
    assert_eq!(refusal[..], IRegistry::TEETypeExists::SELECTOR);
    let types = world.read(REGISTRY, &Registry::getTEETypesCall {});
    assert_eq!(types._0, [LLM]);
    assert_eq!(types._1[0].name, "LLM");
}
