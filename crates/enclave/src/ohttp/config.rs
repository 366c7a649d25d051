//! The keys of the gateway, and the enclave's word for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seamline_core::canonical::{OhttpConfig, ohttp_config_hash, ohttp_key_config};
use seamline_core::{B256, NodeId, sha256};
use seamline_ohttp::{Aead, Gateway, GatewayKey, Profile, SecretKey};
use zeroize::Zeroizing;

use crate::enclave::Enclave;
use crate::error::Error;

/// Identifier of the key for OpenGradient's format, as its gateways number it.
const OPENGRADIENT_KEY: u8 = 1;
/// Identifier of the key for RFC 9458.
const RFC9458_KEY: u8 = 2;

/// What the registry's `setOHTTPConfig` takes: the key for OpenGradient's format, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OhttpRegistration {
    /// The node.
    pub tee_id: NodeId,
    /// The key.
    pub config: OhttpConfig,
    /// The 41 bytes of RFC 9458 §3.1.
    pub key_config: Vec<u8>,
    /// Hash that is signed.
    pub hash: B256,
    /// RSA-PSS over the hash, by the attested signing key.
    pub signature: Vec<u8>,
}

impl Enclave {
    /// The key configuration to register, freshly signed.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`].
    pub fn ohttp_registration(&self) -> Result<OhttpRegistration, Error> {
        let config = OhttpConfig {
            key_id: OPENGRADIENT_KEY,
            kem_id: 0x0020,
            kdf_id: 0x0001,
            aead_id: Aead::ChaCha20Poly1305.id(),
            public_key: secret(self, OPENGRADIENT_KEY).public_key(),
        };
        let tee_id = self.node_id();
        let hash = ohttp_config_hash(tee_id, &config);
        Ok(OhttpRegistration {
            tee_id,
            config,
            key_config: ohttp_key_config(&config),
            hash,
            signature: self.identity.sign(&hash)?,
        })
    }
}

impl OhttpRegistration {
    /// The answer of `GET /v1/ohttp/config`.
    pub(super) fn to_json(&self) -> String {
        let Self {
            tee_id,
            config,
            key_config,
            hash,
            signature,
        } = self;
        serde_json::json!({
            "tee_id": tee_id.to_string(),
            "key_id": config.key_id,
            "kem_id": config.kem_id,
            "kdf_id": config.kdf_id,
            "aead_id": config.aead_id,
            "public_key": hex::encode(config.public_key),
            "key_config": BASE64.encode(key_config),
            "signature": BASE64.encode(signature),
            "signature_hash": hash.to_string(),
        })
        .to_string()
    }
}

/// Both keys.
pub(super) fn gateway(enclave: &Enclave) -> Result<Gateway, Error> {
    let key =
        |id, aeads: &[Aead], profile| GatewayKey::new(id, secret(enclave, id), aeads, profile);
    let og = key(
        OPENGRADIENT_KEY,
        &[Aead::ChaCha20Poly1305],
        Profile::OpenGradient,
    );
    let aeads = [Aead::ChaCha20Poly1305, Aead::Aes256Gcm, Aead::Aes128Gcm];
    let rfc = key(RFC9458_KEY, &aeads, Profile::Rfc9458);
    og.and_then(|og| Gateway::new(vec![og, rfc?]))
        .map_err(|_| Error::GenerateKey { key: "HPKE key" })
}

/// Derived from the identity and from what was drawn at this start. A process that starts anew, also one
/// that was given the identity of the one before, has other keys: requests that were captured before
/// do not open any more, so what was executed need not be remembered across a start. The key is registered anew
/// then. The label keeps the keys apart from the identity's and from each other.
fn secret(enclave: &Enclave, key_id: u8) -> SecretKey {
    let parts = [
        b"seamline/v1/ohttp-key".as_slice(),
        &[key_id],
        &*enclave.boot,
        enclave.identity.tls_private_key(),
    ];
    let ikm = Zeroizing::new(sha256(&parts).0);
    SecretKey::derive(&ikm)
}
