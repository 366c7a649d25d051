//! The values that bind a call, its payment and its evidence together (`spec/binding.md`).
//!
//! One number stands in three places: [`h_bind`] commits to the call, to the request and to the
//! policy; it is the `auth_nonce` of every authorization that the call signs; and evidence that is
//! fetched for the call answers an [`evidence_nonce`] made from it. Every hash begins with a tag of
//! its own, so no value made for one purpose can be presented for another.

use alloy_primitives::B256;

use crate::{Amount, CallId, sha256};

/// Computes the id of the call number `seq` of the installation whose receipts verify under
/// `recorder` (an Ed25519 public key): the first 16 bytes of
/// `SHA-256("seamline/v1/call" || recorder || seq as 8 bytes big-endian)`.
pub fn call_id(recorder: &[u8; 32], seq: u64) -> CallId {
    let hash = sha256(&[b"seamline/v1/call", recorder, &seq.to_be_bytes()]);
    CallId::new(first(&hash))
}

/// Commits to the body of a request without revealing it:
/// `SHA-256("seamline/v1/request" || salt || body)`.
///
/// Without the salt of 16 random bytes a short prompt could be found by trying.
pub fn request_commitment(salt: &[u8; 16], body: &[u8]) -> B256 {
    sha256(&[b"seamline/v1/request", salt, body])
}

/// Commits to the text of an answer: `SHA-256("seamline/v1/output" || salt || text)`.
pub fn output_commitment(salt: &[u8; 16], text: &[u8]) -> B256 {
    sha256(&[b"seamline/v1/output", salt, text])
}

/// [`output_commitment`] of an answer that is read in pieces.
#[derive(Clone)]
pub struct OutputCommitment(sha2::Sha256);

impl OutputCommitment {
    /// Begins with the salt.
    pub fn new(salt: &[u8; 16]) -> Self {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        hasher.update(b"seamline/v1/output");
        hasher.update(salt);
        Self(hasher)
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        sha2::Digest::update(&mut self.0, piece);
    }

    /// The commitment to all pieces.
    pub fn finish(self) -> B256 {
        B256::from_slice(&sha2::Digest::finalize(self.0))
    }
}

impl core::fmt::Debug for OutputCommitment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OutputCommitment")
    }
}

/// Hashes the two policies that a call runs under, in their encoded forms:
/// `SHA-256("seamline/v1/policy" || SHA-256(spend) || SHA-256(route))`.
pub fn policy_hash(spend: &[u8], route: &[u8]) -> B256 {
    let (spend, route) = (sha256(&[spend]), sha256(&[route]));
    sha256(&[b"seamline/v1/policy", spend.as_slice(), route.as_slice()])
}

/// Commits to the draw of a call before the candidates are read:
/// `SHA-256("seamline/v1/draw" || draw)`.
pub fn draw_commitment(draw: &B256) -> B256 {
    sha256(&[b"seamline/v1/draw", draw.as_slice()])
}

/// Binds a call: `SHA-256("seamline/v1/bind" || call_id || request commitment || policy hash)`.
///
/// This is the `auth_nonce` of every authorization of the call's leg 0, for whichever node. A nonce
/// is spendable once per payer on chain, so the call is paid at most once.
pub fn h_bind(call_id: &CallId, request_commitment: &B256, policy_hash: &B256) -> B256 {
    sha256(&[
        b"seamline/v1/bind",
        call_id.as_bytes(),
        request_commitment.as_slice(),
        policy_hash.as_slice(),
    ])
}

/// The `auth_nonce` of a call's payment leg: [`h_bind`] itself for leg 0, and
/// `SHA-256("seamline/v1/leg" || h_bind || leg as 4 bytes big-endian)` for each further leg, which
/// only an explicit policy permits.
pub fn leg_nonce(h_bind: &B256, leg: u32) -> B256 {
    if leg == 0 {
        return *h_bind;
    }
    sha256(&[b"seamline/v1/leg", h_bind.as_slice(), &leg.to_be_bytes()])
}

/// Names a purchase by its request: the same method, URL and body are the same purchase.
/// `SHA-256("seamline/v1/purchase" || length of method || method || length of url || url ||
/// SHA-256(body))`, lengths as 4 bytes big-endian.
///
/// Stands in for the body in the [`request_commitment`] of a purchase.
pub fn purchase_key(method: &str, url: &str, body: &[u8]) -> B256 {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    sha256(&[
        b"seamline/v1/purchase",
        &length(method),
        method.as_bytes(),
        &length(url),
        url.as_bytes(),
        sha256(&[body]).as_slice(),
    ])
}

/// Stands in for a node where a plain server is paid: `SHA-256("seamline/v1/origin" || origin)`, the
/// origin as scheme, host in lower case and port, the usual port left out.
pub fn origin_id(origin: &str) -> B256 {
    sha256(&[b"seamline/v1/origin", origin.as_bytes()])
}

/// Names a session of an installation, which keeps `seed`:
/// `SHA-256("seamline/v1/session-nonce" || seed || place as 4 bytes big-endian)`.
pub fn session_nonce(seed: &B256, place: u32) -> B256 {
    sha256(&[
        b"seamline/v1/session-nonce",
        seed.as_slice(),
        &place.to_be_bytes(),
    ])
}

/// Commits a session to the installation that it belongs to:
/// `SHA-256("seamline/v1/session" || recorder || session nonce)`.
///
/// This is the salt of a payment channel, and with it a part of the channel's id and of every voucher.
pub fn session_commitment(recorder: &[u8; 32], nonce: &B256) -> B256 {
    sha256(&[b"seamline/v1/session", recorder, nonce.as_slice()])
}

/// Binds a voucher to its call and to its place in the session: `SHA-256("seamline/v1/voucher" || h_bind ||
/// channel || charged before || most that may be claimed)`, amounts as 16 bytes big-endian.
pub fn voucher_bind(h_bind: &B256, channel: &B256, before: Amount, max_claimable: Amount) -> B256 {
    sha256(&[
        b"seamline/v1/voucher",
        h_bind.as_slice(),
        channel.as_slice(),
        &before.get().to_be_bytes(),
        &max_claimable.get().to_be_bytes(),
    ])
}

/// The nonce that evidence fetched for a call must answer: the first 20 bytes of
/// `SHA-256("seamline/v1/evidence-nonce" || h_bind)`. Twenty bytes because the enclave's HTTP API
/// takes 40 hexadecimal digits.
pub fn evidence_nonce(h_bind: &B256) -> [u8; 20] {
    first(&sha256(&[b"seamline/v1/evidence-nonce", h_bind.as_slice()]))
}

/// The first `N` bytes of a hash; `N` is at most 32.
pub(crate) fn first<const N: usize>(hash: &B256) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests;
