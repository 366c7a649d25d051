use core::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroize as _;

/// Thirty-two bytes from a secure generator, for one operation: an ephemeral key or a response nonce.
///
/// # Security
///
/// Not `Clone`, and taken by value: bytes that serve twice give two messages one key and one nonce,
/// which reveals both. Whoever makes two of these from the same bytes does that.
pub struct Entropy {
    bytes: [u8; 32],
    used: usize,
}

impl Entropy {
    /// Takes fresh random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes, used: 0 }
    }

    /// The first `len` bytes; at most 32.
    pub(crate) fn take(&self, len: usize) -> Option<&[u8]> {
        self.bytes.get(..len)
    }

    /// Whether exactly all bytes were drawn, once.
    pub(crate) fn is_spent(&self) -> bool {
        self.used == self.bytes.len()
    }
}

impl Drop for Entropy {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy")
    }
}

// HPKE draws 32 bytes for an X25519 ephemeral key, in one piece. A caller checks `is_spent` afterwards:
// a draw beyond the end gives zeros, and the count says so.
impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.fill(0);
        let end = self.used.saturating_add(dst.len());
        if let Some(bytes) = self.bytes.get(self.used..end) {
            dst.copy_from_slice(bytes);
        }
        self.used = end;
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}
