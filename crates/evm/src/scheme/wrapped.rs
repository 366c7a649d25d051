//! ERC-6492: the signature of a wallet that is not deployed yet.

use alloy_primitives::{Address, Bytes, hex};
use alloy_sol_types::SolValue as _;

/// A signature together with the call that deploys the wallet that made it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Wrapped {
    /// Who deploys the wallet.
    pub(crate) factory: Address,
    /// The input of the deploying call.
    pub(crate) input: Bytes,
    /// What the wallet itself checks.
    pub(crate) signature: Bytes,
}

/// The last 32 bytes of every wrapped signature.
const MAGIC: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

impl Wrapped {
    /// Takes a wrapper apart. `None` where there is none, and where it cannot be read: such bytes are
    /// a signature like any other, which only a contract could accept.
    pub(crate) fn of(signature: &[u8]) -> Option<Self> {
        let body = signature.strip_suffix(&MAGIC)?;
        let (factory, input, signature) =
            <(Address, Bytes, Bytes)>::abi_decode_params_validate(body).ok()?;
        Some(Self {
            factory,
            input,
            signature,
        })
    }

    /// What stands in a settlement: the inner signature of a wrapper, any other as it is.
    pub(crate) fn inner(signature: &[u8]) -> Bytes {
        Self::of(signature).map_or_else(
            || Bytes::copy_from_slice(signature),
            |wrapped| wrapped.signature,
        )
    }
}

/// Wraps `signature` for a wallet that `factory` deploys with `input`.
#[cfg(test)]
pub(crate) fn wrap(factory: Address, input: &[u8], signature: &[u8]) -> Vec<u8> {
    let parts = (
        factory,
        Bytes::copy_from_slice(input),
        Bytes::copy_from_slice(signature),
    );
    [parts.abi_encode_params().as_slice(), &MAGIC].concat()
}
