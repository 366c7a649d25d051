//! The accounts of the local network.

use seamline_evm::Wallet;

use crate::Error;
use crate::files::Files;

/// Reads a wallet's key, or draws one.
pub(crate) fn wallet(files: &Files, name: &str) -> Result<Wallet, Error> {
    let read = |bytes: &[u8]| Wallet::from_bytes(bytes.try_into().ok()?).ok();
    let fresh = || {
        let mut secret = [0; 32];
        // Fails once in 2^128 draws, where the bytes are no key.
        getrandom::fill(&mut secret).map_err(|_| Error::Entropy)?;
        let wallet = Wallet::from_bytes(&secret).map_err(|_| Error::Entropy)?;
        Ok((wallet, secret.to_vec()))
    };
    files.keep(name, read, fresh)
}
