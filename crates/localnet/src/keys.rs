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

/// Reads the token with which sellers of this network show themselves to its facilitator, or draws one.
pub(crate) fn seller_token(files: &Files) -> Result<String, Error> {
    let read = |bytes: &[u8]| {
        let text = core::str::from_utf8(bytes).ok()?;
        (text.len() == 64).then(|| text.to_owned())
    };
    let fresh = || {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|_| Error::Entropy)?;
        let token = hex::encode(secret);
        let bytes = token.clone().into_bytes();
        Ok((token, bytes))
    };
    files.keep("seller.token", read, fresh)
}
