//! The key that pays, and signatures as Ethereum writes them.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use zeroize::Zeroizing;

use crate::Error;

/// A secp256k1 private key and its address.
///
/// # Security
///
/// Has no `Debug`, `Display`, `Clone` or serialisation; the key is overwritten on drop.
#[expect(missing_debug_implementations, reason = "holds a private key")]
pub struct Wallet {
    key: SecretKey,
    address: Address,
}

/// A recoverable signature of an externally owned account: `r || s || v`, `s` in the lower half
/// of the order (EIP-2), `v` 27 or 28.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 65]);

impl Wallet {
    /// Takes the 32 big-endian bytes of a private key.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for zero and for a number not below the order of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let key = SecretKey::from_byte_array(*bytes).map_err(|_| Error::Key)?;
        let address = address_of(&PublicKey::from_secret_key(&CURVE, &key));
        Ok(Self { key, address })
    }

    /// Parses a private key of 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`].
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let bytes: Zeroizing<[u8; 32]> =
            Zeroizing::new(hex::decode_to_array(text.trim()).map_err(|_| Error::Key)?);
        Self::from_bytes(&bytes)
    }

    /// The account of this key.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest. The same digest always yields the same bytes (RFC 6979).
    pub fn sign_hash(&self, digest: &B256) -> Signature {
        let message = Message::from_digest(digest.0);
        let signed = CURVE.sign_ecdsa_recoverable(message, &self.key);
        let (recovery, compact) = signed.serialize_compact();
        Signature::from_parts(&compact, i32::from(recovery) == 1)
    }

    /// The 32 bytes of the key, for the file that keeps it; overwritten on drop.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.secret_bytes())
    }
}

impl Drop for Wallet {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl Signature {
    /// Parses `r || s || v` strictly: 65 bytes, low `s`, `v` 27 or 28.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`], for EIP-2098 compact signatures too: on chain they are valid, so
    /// accepting both spellings would make one authorization have two.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: [u8; 65] = bytes.try_into().map_err(|_| Error::Signature)?;
        let signature = Self(bytes);
        let [.., v] = bytes;
        let low = signature.s() <= HALF_ORDER;
        if low && matches!(v, 27 | 28) {
            Ok(signature)
        } else {
            Err(Error::Signature)
        }
    }

    /// The 65 bytes `r || s || v`.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// The signature as `0x` and 130 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode_prefixed(self.0)
    }

    /// The account that signed `digest`.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] where no key could have made this signature.
    pub fn recover(&self, digest: &B256) -> Result<Address, Error> {
        let [compact @ .., _] = &self.0;
        let id = RecoveryId::try_from(i32::from(self.odd_y())).map_err(|_| Error::Signature)?;
        let signature =
            RecoverableSignature::from_compact(compact, id).map_err(|_| Error::Signature)?;
        CURVE
            .recover_ecdsa(Message::from_digest(digest.0), &signature)
            .map(|key| address_of(&key))
            .map_err(|_| Error::Signature)
    }

    /// `r` as a number.
    pub(crate) fn r(&self) -> U256 {
        let [r, ..] = self.words();
        r
    }

    /// `s` as a number.
    pub(crate) fn s(&self) -> U256 {
        let [_, s] = self.words();
        s
    }

    /// Whether the point that made `r` has an odd y coordinate.
    pub(crate) fn odd_y(&self) -> bool {
        let [.., v] = self.0;
        v == 28
    }

    fn from_parts(compact: &[u8; 64], odd_y: bool) -> Self {
        let mut bytes = [0; 65];
        for (to, from) in bytes.iter_mut().zip(compact) {
            *to = *from;
        }
        let [.., v] = &mut bytes;
        *v = if odd_y { 28 } else { 27 };
        Self(bytes)
    }

    fn words(&self) -> [U256; 2] {
        let (words, _) = self.0.as_chunks::<32>();
        let word = |index: usize| {
            words
                .get(index)
                .map_or(U256::ZERO, |w| U256::from_be_bytes(*w))
        };
        [word(0), word(1)]
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A signature of an authorization spends money: it never reaches a log through `Debug`.
        f.write_str("Signature(..)")
    }
}

fn address_of(key: &PublicKey) -> Address {
    let [_, point @ ..] = key.serialize_uncompressed();
    Address::from_word(keccak256(point))
}

/// The curve library's context, made once for all signatures and recoveries.
static CURVE: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// Half of the order of secp256k1, rounded down: the largest `s` that EIP-2 accepts.
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

#[cfg(test)]
mod tests;
