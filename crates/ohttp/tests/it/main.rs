//! Formats against vectors and against independent implementations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod independent;
mod vectors;

use seamline_ohttp::{Aead, Gateway, GatewayKey, Profile, SecretKey};

/// A gateway with one key of each profile, all made from the same secret.
fn gateway(secret: &[u8; 32], aeads: &[Aead]) -> Gateway {
    let profiles = [
        (1, Profile::OpenGradient),
        (2, Profile::Rfc9458),
        (3, Profile::Chunked),
    ];
    let keys = profiles.map(|(id, profile)| {
        let secret = SecretKey::from_bytes(secret).unwrap();
        GatewayKey::new(id, secret, aeads, profile).unwrap()
    });
    Gateway::new(keys.into()).unwrap()
}
