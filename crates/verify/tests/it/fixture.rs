//! A complete call with test keys, from the open event to the close event: here its parts, in
//! [`World`] the call.

mod channel;
mod world;

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use seamline_core::canonical::{ChatRequest, message_hash, output_hash};
use seamline_core::decision::{self, Candidate, Catalogue, Decision, RoutePolicy};
use seamline_core::receipt::SignatureChecked;
use seamline_core::{Address, Amount, B256, NodeId, sha256};
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::OfferTerms;
use seamline_testkit::NOW;

use crate::attestation::{Attester, Document};
pub(crate) use channel::{channel_offer, channel_policy};
pub(crate) use world::{World, event_mut, later};

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
        per_hour: None,
        per_day: Amount::new(100_000),
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Upto],
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
