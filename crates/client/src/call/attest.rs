//! 4. attest and 5. connect: evidence to a pinned root, and the keys that it binds.
//!
//! The connection is pinned to the certificate that the registry names before a byte is sent on it.
//! Evidence then proves, or refutes, that this certificate belongs to the measured enclave: the
//! registry's word is compared, never trusted alone. No prompt has been sent by then.

use bytes::Bytes;
use seamline_attest::{Measurements, NonceRule, Policy, ResponseKey, Verified};
use seamline_core::receipt::{self as event, EvidenceType};
use seamline_core::{Timestamp, binding, sha256};
use seamline_evm::registry::NodeRecord;
use seamline_net::HttpClient;

use super::{Call, word};
use crate::client::millis;
use crate::dialect::Dialect;
use crate::error::ErrorKind;
use crate::node::Remembered;
use crate::step::Step;

/// An enclave whose evidence was verified, and the connection that is bound to it.
pub(super) struct Enclave {
    pub(super) http: HttpClient,
    pub(super) key: Verified<ResponseKey>,
    /// Of the measurement that evidence proved.
    pub(super) dialect: Dialect,
}

/// A document as it came, before it is checked.
struct Document {
    bytes: Bytes,
    evidence_nonce: [u8; 20],
    fetched: Timestamp,
    for_this_call: bool,
}

/// Longest document in its text form: 32 KiB of bytes in base64, and a line end.
const MAX_DOCUMENT_TEXT: usize = 44 * 1024;

impl Call<'_> {
    pub(super) async fn attest(&mut self, record: &NodeRecord) -> Result<Enclave, ErrorKind> {
        self.begin(Step::Attest, &format!("node {}", record.node.short()));
        let timeout = self.client.config.options.node_timeout;
        let http = self
            .client
            .node(record.node, |node| node.http(record, timeout))?;
        let evidence = match self.remembered(record) {
            Some(evidence) => {
                let document = Document {
                    bytes: evidence.document.clone(),
                    evidence_nonce: evidence.evidence_nonce,
                    fetched: evidence.fetched,
                    for_this_call: false,
                };
                self.record_document(record, &document);
                evidence
            }
            None => self.fetch_evidence(record, &http).await?,
        };
        self.record_verdict(record, &evidence);
        self.done();

        self.begin(Step::Connect, &format!("node {}", record.node.short()));
        self.event(event::TlsBound {
            node: record.node,
            cert_sha256: sha256(&[&evidence.tls_certificate]),
        });
        self.done();
        Ok(Enclave {
            http,
            key: evidence.key,
            dialect: Dialect::of(record, &self.client.config.options.gateways),
        })
    }

    /// Verified evidence of this very instance, while it is young enough and its certificates hold.
    fn remembered(&self, record: &NodeRecord) -> Option<Remembered> {
        let now = self.now();
        let ttl = self.client.config.options.evidence_ttl;
        let evidence = self
            .client
            .node(record.node, |node| node.evidence.clone())?;
        let young = now.saturating_since(evidence.fetched) < ttl;
        let holds = now < evidence.claims.leaf_not_after && now < evidence.claims.chain_not_after;
        let same = evidence.tls_certificate == record.tls_certificate.0
            && evidence.key.node_id() == record.node
            && evidence.claims.pcr_hash == record.pcr_hash;
        (young && holds && same).then_some(evidence)
    }

    async fn fetch_evidence(
        &mut self,
        record: &NodeRecord,
        http: &HttpClient,
    ) -> Result<Remembered, ErrorKind> {
        let evidence_nonce = binding::evidence_nonce(&self.h_bind);
        let url = format!(
            "{}/enclave/attestation?nonce={}",
            record.endpoint,
            hex::encode(evidence_nonce)
        );
        let bytes = fetch_document(http, &url, record).await?;
        let document = Document {
            bytes,
            evidence_nonce,
            fetched: self.now(),
            for_this_call: true,
        };
        // In the receipt before it is checked: a document that is refused proves the node's lie.
        self.record_document(record, &document);
        let evidence = self.check(record, document)?;
        self.clock("evidence", evidence.claims.timestamp);
        self.client
            .node(record.node, |node| node.evidence = Some(evidence.clone()));
        Ok(evidence)
    }

    /// Verifies a document up to a pinned root, and holds what it binds against the registry.
    fn check(&self, record: &NodeRecord, document: Document) -> Result<Remembered, ErrorKind> {
        let node = record.node;
        let refused = |source| ErrorKind::Evidence { node, source };
        let trust = &self.client.config.trust;
        let policy = Policy::live(
            NonceRule::Expect(document.evidence_nonce.to_vec()),
            Measurements::Allow(trust.measurements.clone()),
        );
        let claims =
            seamline_attest::verify(&document.bytes, &trust.roots, &policy, document.fetched)
                .map_err(refused)?;
        claims.bind_tls(&record.tls_certificate).map_err(refused)?;
        let key = claims
            .bind_signing_key(&record.public_key)
            .map_err(refused)?;
        if key.node_id() != node {
            return Err(ErrorKind::RegistryDisagrees {
                node,
                what: "signing key",
            });
        }
        if claims.pcr_hash != record.pcr_hash {
            return Err(ErrorKind::RegistryDisagrees {
                node,
                what: "measurement",
            });
        }
        Ok(Remembered {
            document: document.bytes,
            evidence_nonce: document.evidence_nonce,
            fetched: document.fetched,
            claims,
            key,
            tls_certificate: record.tls_certificate.0.clone(),
        })
    }

    /// Puts a document into the receipt, with the keys that the registry says it binds.
    fn record_document(&mut self, record: &NodeRecord, document: &Document) {
        let certificate = record.tls_certificate.to_vec();
        let evidence = self.attach(EvidenceType::Attestation, document.bytes.to_vec());
        self.attach(EvidenceType::TlsCertificate, certificate);
        self.attach(EvidenceType::SigningKey, record.public_key.to_vec());
        self.event(event::EvidenceFetched {
            node: record.node,
            evidence,
            evidence_nonce: document.evidence_nonce,
            fetched_for_this_call: document.for_this_call,
            age_ms: millis(self.now().saturating_since(document.fetched)),
            max_age_ms: millis(self.client.config.options.evidence_ttl),
        });
    }

    /// Records what the check found. Evidence that was refused has no verdict.
    fn record_verdict(&mut self, record: &NodeRecord, evidence: &Remembered) {
        let claims = &evidence.claims;
        self.event(event::Attested {
            node: record.node,
            source: claims.source,
            kind: word(claims.kind),
            measurement: claims.pcr_hash,
            tls_cert_sha256: sha256(&[&evidence.tls_certificate]),
            signing_key_sha256: sha256(&[evidence.key.spki_der()]),
            leaf_not_after_ms: claims.leaf_not_after.as_millis(),
            doc_timestamp_ms: claims.timestamp.as_millis(),
        });
    }
}

/// Fetches the base64 text of a document and decodes it.
async fn fetch_document(
    http: &HttpClient,
    url: &str,
    record: &NodeRecord,
) -> Result<Bytes, ErrorKind> {
    use base64::Engine as _;
    let node = record.node;
    let unreachable = |source| ErrorKind::Unreachable { node, source };
    let response = http.get(url).await.map_err(unreachable)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(ErrorKind::Status { node, status });
    }
    let text = response.into_body().bytes().await.map_err(unreachable)?;
    let malformed = || ErrorKind::Answer {
        node,
        what: "evidence is not base64",
    };
    if text.len() > MAX_DOCUMENT_TEXT {
        return Err(malformed());
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim_ascii());
    decoded.map(Bytes::from).map_err(|_| malformed())
}
