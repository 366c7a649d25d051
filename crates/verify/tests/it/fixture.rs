//! A complete call with test keys, from the open event to the close event.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use seamline_core::canonical::{ChatRequest, message_hash, output_hash};
use seamline_core::decision::{self, Candidate, Catalogue, Decision, RoutePolicy};
use seamline_core::receipt::*;
use seamline_core::{Address, Amount, B256, Charged, NodeId, SourceClass, Timestamp};
use seamline_core::{binding, sha256};
use seamline_evm::Wallet;
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::upto::{self, Marks};
use seamline_evm::x402::{Offer, OfferTerms, PaymentRequired, SettleResponse};
use seamline_testkit::NOW;
use seamline_verify::{Level, Network, Trust, Verdict, verify};

use crate::attestation::{Attester, Document};

pub(crate) const SEED: [u8; 32] = [0x11; 32];
pub(crate) const SEQ: u64 = 7;
pub(crate) const NETWORK: &str = "eip155:31610";
pub(crate) const ANSWER: &str = "Set `--max-price`: the cap holds per call.";
pub(crate) const BODY: &[u8] = br#"{"model":"seamline/guide","messages":[{"role":"user","content":"How do I cap what a call may cost?"}]}"#;
const SALT: [u8; 16] = [0x5a; 16];

pub(crate) fn asset() -> Address {
    Address::repeat_byte(0xa5)
}

pub(crate) fn facilitator() -> Address {
    Address::repeat_byte(0xfa)
}

pub(crate) fn pay_to() -> Address {
    Address::repeat_byte(0xbe)
}

/// Keys that take long to make, made once.
pub(crate) struct Keys {
    pub(crate) attester: Attester,
    pub(crate) rsa: RsaKeyPair,
    pub(crate) spki: Vec<u8>,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        Keys {
            attester: Attester::new(NOW),
            spki: spki.as_ref().to_vec(),
            rsa,
        }
    })
}

/// A call as it will be recorded. Tests change it before it is sealed.
pub(crate) struct World {
    pub(crate) seal_key: SealingKey,
    pub(crate) opened: Opened,
    /// Microseconds since the start, and what happened.
    pub(crate) events: Vec<(u64, Event)>,
    pub(crate) blobs: Vec<(EvidenceType, Vec<u8>)>,
    pub(crate) trust: Trust,
    pub(crate) wallet: Wallet,
    pub(crate) node: NodeId,
    pub(crate) h_bind: B256,
}

/// Finds the one event of a kind to change it.
macro_rules! event_mut {
    ($world:expr, $kind:ident) => {{
        let mut events = $world.events.iter_mut();
        events
            .find_map(|(_, event)| match event {
                seamline_core::receipt::Event::$kind(event) => Some(event),
                _ => None,
            })
            .unwrap()
    }};
}
pub(crate) use event_mut;

pub(crate) fn route_policy() -> RoutePolicy {
    RoutePolicy {
        model: "seamline/guide".to_owned(),
        cap: Amount::new(1_000),
        weight_price: 5,
        weight_latency: 3,
        weight_health: 2,
        latency_bound_us: 2_000_000,
        explore_ppm: 10_000,
        max_heartbeat_age_s: 600,
        measurements: vec![document(&[0; 20]).measurement()],
        network: NETWORK.to_owned(),
        asset: asset(),
        avoid: Vec::new(),
    }
}

pub(crate) fn spend_policy() -> SpendPolicy {
    SpendPolicy {
        per_call: Amount::new(1_000),
        per_day: Amount::new(100_000),
        per_node_day: None,
        networks: vec![NETWORK.to_owned()],
        assets: vec![asset()],
        facilitators: None,
        max_lifetime_s: 300,
    }
}

pub(crate) fn document(nonce: &[u8]) -> Document {
    Document {
        timestamp: NOW.saturating_add(std::time::Duration::from_millis(40)),
        nonce: nonce.to_vec(),
        pcrs: [[1; 48], [2; 48], [3; 48]],
        tls_cert_sha256: B256::repeat_byte(0x71),
        app_sha256: sha256(&[&keys().spki]),
    }
}

pub(crate) fn catalogue() -> Catalogue {
    let candidate = |node, cost: u128, latency_us| Candidate {
        node,
        endpoint: "https://127.0.0.1:9443".to_owned(),
        pay_to: pay_to(),
        measurement: document(&[0; 20]).measurement(),
        offers_model: true,
        network: NETWORK.to_owned(),
        asset: asset(),
        cost: Amount::new(cost),
        latency_us,
        health_ppm: 1_000_000,
        heartbeat_age_s: 20,
        observed_age_ms: 1_000,
        cooling_until_ms: 0,
        enabled: true,
    };
    let own = NodeId::of_signing_key(&keys().spki);
    let other = |byte| NodeId::new(B256::repeat_byte(byte));
    let dear = candidate(other(0xd0), 5_000, 300_000);
    let mut resting = candidate(other(0xc0), 700, 300_000);
    resting.cooling_until_ms = NOW.as_millis() + 41_000;
    Catalogue::new(vec![
        candidate(own, 500, 200_000),
        candidate(other(0xb0), 520, 230_000),
        dear,
        resting,
    ])
    .unwrap()
}

pub(crate) fn draw() -> B256 {
    B256::repeat_byte(0xd7)
}

pub(crate) fn decided(catalogue: &Catalogue) -> Decision {
    decision::decide(&route_policy(), catalogue, NOW, &draw())
}

pub(crate) fn offer_terms() -> OfferTerms {
    let extra = serde_json::json!({
        "assetTransferMethod": "permit2",
        "facilitatorAddress": facilitator().to_string(),
    });
    OfferTerms {
        scheme: "upto".to_owned(),
        network: NETWORK.to_owned(),
        asset: asset().to_string(),
        amount: "500".to_owned(),
        pay_to: pay_to().to_string(),
        max_timeout_seconds: 300,
        extra: extra.as_object().unwrap().clone(),
    }
}

pub(crate) fn sign_response(output: &str, timestamp_s: u64) -> SignatureChecked {
    let input_hash = ChatRequest::parse(BODY).unwrap().input_hash();
    let output_hash = output_hash(output);
    let message = message_hash(input_hash, output_hash, timestamp_s);
    let mut signature = vec![0; 256];
    let (rng, rsa) = (SystemRandom::new(), &keys().rsa);
    rsa.sign(&RSA_PSS_SHA256, &rng, message.as_slice(), &mut signature)
        .unwrap();
    SignatureChecked {
        node: NodeId::of_signing_key(&keys().spki),
        input_hash,
        output_hash,
        timestamp_s,
        signature,
        signing_key: sha256(&[&keys().spki]),
        ok: true,
        after_use_bytes: 0,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_offer(&offer_terms())
    }

    /// A call in which the node makes this offer and it is accepted whatever it says.
    pub(crate) fn with_offer(terms: &OfferTerms) -> Self {
        let seal_key = SealingKey::from_seed(&SEED);
        let recorder = *seal_key.public_key().as_bytes();
        let (spend, route) = (spend_policy().encode(), route_policy().encode());
        let opened = Opened {
            seq: SEQ,
            call_id: binding::call_id(&recorder, SEQ),
            req_commitment: binding::request_commitment(&SALT, BODY),
            policy_hash: binding::policy_hash(&spend, &route),
            spend_policy: spend,
            route_policy: route,
            wall_ms: NOW.as_millis(),
            draw_commitment: binding::draw_commitment(&draw()),
            recorder,
        };
        let h_bind = binding::h_bind(&opened.call_id, &opened.req_commitment, &opened.policy_hash);
        let node = NodeId::of_signing_key(&keys().spki);
        let network = Network {
            chain_id: 31_610,
            registry: Address::repeat_byte(0x4e),
        };
        let trust = Trust {
            recorders: vec![seal_key.public_key()],
            roots: seamline_attest::TrustRoots::none()
                .danger_accept_dev(&keys().attester.root)
                .unwrap(),
            measurements: route_policy().measurements,
            network: Some(network),
            facilitators: vec![facilitator()],
            required: Level::L3,
        };
        let mut world = Self {
            seal_key,
            opened,
            events: Vec::new(),
            blobs: Vec::new(),
            trust,
            wallet: Wallet::from_bytes(&[0x22; 32]).unwrap(),
            node,
            h_bind,
        };
        world.route(network);
        world.attest(&document(&binding::evidence_nonce(&h_bind)));
        world.pay(terms);
        world.answer();
        world.settle();
        world
    }

    fn at(&mut self, at_us: u64, event: impl Into<Event>) {
        self.events.push((at_us, event.into()));
    }

    pub(crate) fn blob(&mut self, kind: EvidenceType, bytes: Vec<u8>) -> B256 {
        let hash = sha256(&[&bytes]);
        self.blobs.push((kind, bytes));
        hash
    }

    fn route(&mut self, network: Network) {
        let catalogue = catalogue();
        self.at(
            5_000,
            CatalogueRead {
                chain_id: network.chain_id,
                block_number: 42,
                block_hash: B256::repeat_byte(0xb1),
                registry: network.registry,
                read_age_ms: 1_500,
                root: catalogue.root(),
                candidates: catalogue.encode(),
                block_time_s: NOW.as_secs(),
            },
        );
        self.at(
            6_000,
            Decided {
                draw: draw(),
                now_ms: NOW.as_millis(),
                attempt: 0,
                decision: decided(&catalogue).encode(),
                engine: decision::ENGINE.into(),
            },
        );
    }

    fn attest(&mut self, document: &Document) {
        let bytes = keys().attester.sign(document);
        let evidence = self.blob(EvidenceType::Attestation, bytes);
        self.at(
            50_000,
            EvidenceFetched {
                node: self.node,
                evidence,
                evidence_nonce: document.nonce.clone().try_into().unwrap(),
                fetched_for_this_call: true,
                age_ms: 0,
                max_age_ms: 600_000,
            },
        );
        self.at(
            55_000,
            Attested {
                node: self.node,
                source: SourceClass::Dev,
                kind: seamline_attest::dev::KIND.into(),
                measurement: document.measurement(),
                tls_cert_sha256: document.tls_cert_sha256,
                signing_key_sha256: document.app_sha256,
                leaf_not_after_ms: keys().attester.leaf_not_after.as_millis(),
                doc_timestamp_ms: document.timestamp.as_millis(),
            },
        );
        let cert_sha256 = document.tls_cert_sha256;
        let node = self.node;
        self.at(56_000, TlsBound { node, cert_sha256 });
    }

    fn pay(&mut self, terms: &OfferTerms) {
        let node = self.node;
        let bytes = u64::try_from(BODY.len()).unwrap();
        let sent = |attempt, paid| RequestSent {
            node,
            attempt,
            paid,
            bytes,
        };
        self.at(57_000, sent(0, false));
        let required = PaymentRequired::new(None, None, &[Offer::new(terms.clone())]);
        let offer = self.blob(EvidenceType::Offer, required.raw().to_vec());
        self.at(
            60_000,
            Offered {
                node,
                offer,
                remembered: false,
            },
        );
        // The index counts the open event, which the recorder writes by itself.
        let offer_event = u32::try_from(self.events.len()).unwrap();
        let amount = terms.amount().unwrap();
        self.at(
            61_000,
            Admitted {
                offer_event,
                amount,
                asset: asset(),
                network: terms.network.as_str().into(),
                pay_to: terms.pay_to_address().unwrap(),
                scheme: terms.scheme.as_str().into(),
                max_timeout_s: terms.max_timeout_seconds,
            },
        );
        let policy = SpendPolicy {
            per_call: Amount::MAX,
            per_day: Amount::MAX,
            ..spend_policy()
        };
        let pay_to = terms.pay_to_address().unwrap();
        let admitted = policy.admit(&required, pay_to, &Spent::default()).unwrap();
        let now = NOW.saturating_add(std::time::Duration::from_millis(62));
        let marks = Marks::default();
        let signed = upto::sign(&admitted, self.h_bind, marks, &self.wallet, now).unwrap();
        let authorization = signed.payload_json().as_bytes().to_vec();
        let authorization = self.blob(EvidenceType::Authorization, authorization);
        self.at(
            62_000,
            Authorized {
                auth_nonce: signed.auth_nonce,
                leg: 0,
                payer: signed.payer,
                amount: signed.amount,
                deadline_s: signed.deadline_s,
                digest: signed.digest,
                authorization,
            },
        );
        self.at(63_000, sent(1, true));
    }

    fn answer(&mut self) {
        self.at(100_000, ResponseFirst { status: 200 });
        self.at(
            400_000,
            ResponseEnded {
                bytes: u64::try_from(ANSWER.len()).unwrap(),
                chunks: 12,
                output_commitment: binding::output_commitment(&SALT, ANSWER.as_bytes()),
            },
        );
        self.blob(EvidenceType::SigningKey, keys().spki.clone());
        self.at(410_000, sign_response(ANSWER, NOW.as_secs()));
        let salted = |content: &[u8]| [SALT.as_slice(), content].concat();
        self.blob(EvidenceType::Request, salted(BODY));
        self.blob(EvidenceType::Output, salted(ANSWER.as_bytes()));
    }

    fn settle(&mut self) {
        let transaction = B256::repeat_byte(0x7c);
        let amount = Amount::new(300);
        let reply = SettleResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: None,
            transaction: transaction.to_string(),
            network: NETWORK.to_owned(),
            amount: Some(amount.to_string()),
            extensions: None,
            extra: None,
        };
        let settle_response = reply.to_json().into_bytes();
        let settle_response = self.blob(EvidenceType::SettleResponse, settle_response);
        self.at(
            420_000,
            SettleReplied {
                settle_response,
                success: true,
                transaction: Some(transaction),
                amount: Some(amount),
            },
        );
        self.at(
            500_000,
            SettlementSeen {
                state: SettlementState::Settled,
                transaction: Some(transaction),
                block_number: Some(43),
                block_hash: Some(B256::repeat_byte(0xb2)),
                amount: Some(amount),
                waited_ms: 80,
            },
        );
        self.at(
            510_000,
            Closed {
                outcome: Outcome::Answered,
                error_code: None,
                charged: Charged::Yes,
            },
        );
    }

    /// Replaces the evidence by that of `document` and lets the recorder read it rightly.
    pub(crate) fn reattest(&mut self, document: &Document) {
        let bytes = keys().attester.sign(document);
        let hash = self.replace(EvidenceType::Attestation, bytes);
        let fetched = event_mut!(self, EvidenceFetched);
        fetched.evidence = hash;
        fetched.evidence_nonce = document.nonce.clone().try_into().unwrap();
        let verdict = event_mut!(self, Attested);
        verdict.measurement = document.measurement();
        verdict.tls_cert_sha256 = document.tls_cert_sha256;
        verdict.signing_key_sha256 = document.app_sha256;
        verdict.doc_timestamp_ms = document.timestamp.as_millis();
    }

    /// Replaces the one blob of a type.
    pub(crate) fn replace(&mut self, kind: EvidenceType, bytes: Vec<u8>) -> B256 {
        let hash = sha256(&[&bytes]);
        let mut blobs = self.blobs.iter_mut();
        blobs.find(|(it, _)| *it == kind).unwrap().1 = bytes;
        hash
    }

    /// The one blob of a type.
    pub(crate) fn blob_of(&self, kind: EvidenceType) -> &[u8] {
        let mut blobs = self.blobs.iter();
        &blobs.find(|(it, _)| *it == kind).unwrap().1
    }

    pub(crate) fn seal(&self) -> Bundle {
        self.try_seal().unwrap()
    }

    pub(crate) fn try_seal(&self) -> Result<Bundle, Error> {
        let mut recorder = Recorder::new([0x33; 32], 0, self.opened.clone());
        for (kind, blob) in &self.blobs {
            recorder.attach(*kind, blob.clone());
        }
        for (at_us, event) in &self.events {
            recorder.record(*at_us, event.clone());
        }
        let sealed = recorder.seal(B256::ZERO, &self.seal_key)?;
        Ok(sealed.bundle)
    }

    pub(crate) fn verify(&self) -> Verdict {
        self.check(&self.seal().encode())
    }

    pub(crate) fn check(&self, bytes: &[u8]) -> Verdict {
        verify(bytes, &self.trust, later())
    }
}

/// The reader's clock: a day after the call.
pub(crate) fn later() -> Timestamp {
    NOW.saturating_add(std::time::Duration::from_secs(86_400))
}
