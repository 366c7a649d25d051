use core::fmt;

use alloy_primitives::B256;

use crate::sha256;

/// The letters of base32 in lower case (RFC 4648 §6, multibase prefix `b`).
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What stands before the hash: CIDv1, codec "raw", multihash SHA2-256 of 32 bytes.
const HEAD: [u8; 4] = [0x01, 0x55, 0x12, 0x20];

/// Letters behind the prefix: 36 bytes, five bits each, rounded up.
const LETTERS: usize = 58;

/// Names a model by its bytes: a CIDv1 of codec raw over SHA2-256, written `bafkrei…` (59 letters).
///
/// Anyone who has the file recomputes it; it is what `ipfs add --cid-version 1 --raw-leaves` prints for
/// a file of a single block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(B256);

/// Why a text names no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelIdError {
    /// A CID of version 0 (`Qm…`): the hash of a tree of blocks, which cannot be recomputed from the
    /// bytes of the file alone.
    #[error("a `Qm…` id is the hash of a tree of blocks, not of the model's bytes")]
    Version0,
    /// A CID whose codec is not raw (such as `bafybei…`): again a tree.
    #[error("the id is the hash of a tree of blocks, not of the model's bytes")]
    NotRaw,
    /// A CID whose hash is not SHA2-256 with 32 bytes.
    #[error("the id's hash is not SHA2-256")]
    NotSha256,
    /// Not 59 letters of base32 in lower case behind a `b`, or bits are set behind the end.
    #[error("the id is not `bafkrei` and 52 letters of base32 in lower case")]
    Malformed,
}

impl ModelIdError {
    /// Returns the stable code of this error, as the vectors name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Version0 => "model_id_version_0",
            Self::NotRaw => "model_id_not_raw",
            Self::NotSha256 => "model_id_not_sha256",
            Self::Malformed => "model_id_malformed",
        }
    }
}

impl ModelId {
    /// Computes the id of a model from all of its bytes.
    pub fn of_bytes(model: &[u8]) -> Self {
        Self(sha256(&[model]))
    }

    /// Wraps the SHA-256 of a model's bytes, for stores that hash while they read.
    pub const fn of_sha256(digest: B256) -> Self {
        Self(digest)
    }

    /// Returns the SHA-256 of the model's bytes.
    pub const fn as_b256(&self) -> &B256 {
        &self.0
    }

    /// Parses the one spelling of an id.
    ///
    /// # Errors
    ///
    /// [`ModelIdError`], which tells other kinds of CIDs from what is none.
    pub fn parse(text: &str) -> Result<Self, ModelIdError> {
        if text.starts_with("Qm") && text.len() == 46 {
            return Err(ModelIdError::Version0);
        }
        let letters = text.strip_prefix('b').ok_or(ModelIdError::Malformed)?;
        let bytes = decode(letters)?;
        match bytes.as_slice() {
            [0x01, 0x55, 0x12, 0x20, digest @ ..] => {
                let digest = B256::try_from(digest).map_err(|_| ModelIdError::Malformed)?;
                Ok(Self(digest))
            }
            [0x01, 0x55, ..] => Err(ModelIdError::NotSha256),
            [0x01, ..] => Err(ModelIdError::NotRaw),
            _ => Err(ModelIdError::Malformed),
        }
    }
}

/// Decodes base32 without padding; the bits behind the last byte are zero.
fn decode(letters: &str) -> Result<Vec<u8>, ModelIdError> {
    // No CID in use is longer; the bound keeps the work small.
    if letters.len() > 4 * LETTERS {
        return Err(ModelIdError::Malformed);
    }
    let mut bytes = Vec::with_capacity(36);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in letters.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == letter);
        let digit = digit.and_then(|digit| u32::try_from(digit).ok());
        bits = (bits << 5) | digit.ok_or(ModelIdError::Malformed)?;
        count = count.saturating_add(5);
        if count >= 8 {
            count = count.saturating_sub(8);
            let byte = bits.checked_shr(count).unwrap_or(0) & 0xff;
            bytes.push(u8::try_from(byte).map_err(|_| ModelIdError::Malformed)?);
            bits &= 1_u32.checked_shl(count).unwrap_or(1).saturating_sub(1);
        }
    }
    if bits != 0 || count >= 5 {
        return Err(ModelIdError::Malformed);
    }
    Ok(bytes)
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(LETTERS.saturating_add(1));
        text.push('b');
        let (mut bits, mut count) = (0_u32, 0_u32);
        let mut push = |bits: u32| {
            let index = usize::try_from(bits & 31).unwrap_or(0);
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
        };
        for byte in HEAD.into_iter().chain(self.0.0) {
            bits = ((bits & 0xff) << 8) | u32::from(byte);
            count = count.saturating_add(8);
            while count >= 5 {
                count = count.saturating_sub(5);
                push(bits.checked_shr(count).unwrap_or(0));
            }
        }
        // 288 bits are 57 letters and three bits.
        push(bits << 5_u32.saturating_sub(count));
        f.write_str(&text)
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelId({self})")
    }
}
