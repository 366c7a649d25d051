//! The AWS Nitro Enclaves attestation document: its form, before anything in it is believed.
//!
//! [`Document::parse`] is strict where the format leaves room, since whatever two parsers read
//! differently is an attack: minimal lengths, every key once, known keys only, nothing after the
//! end. It accepts the payload map in both forms that hardware has written, definite (2022 to
//! 2024) and indefinite (since 2025). It allocates nothing and does not recurse.

mod document;
mod reader;

pub use document::{CaBundle, Document, MAX_CERTIFICATES, MAX_EVIDENCE, Pcrs};

use crate::crypto::sha384;
use crate::dev;

/// The instance part of a module id: what stands before `-enc`.
pub(crate) fn instance_id(module_id: &str) -> Option<&str> {
    let (instance, enclave) = module_id.split_once("-enc")?;
    (!instance.is_empty() && !enclave.is_empty()).then_some(instance)
}

/// The PCR4 of an enclave with this module id: SHA-384 over 48 zero bytes and the instance id.
///
/// `None` for an instance id that neither EC2 (`i-` and hexadecimal digits) nor a development
/// attester gives out: nothing says what PCR4 is then. Whoever can write such an id into a signed
/// document can write PCR4 too, so nothing is lost.
pub(crate) fn pcr4(module_id: &str) -> Option<[u8; 48]> {
    let instance = instance_id(module_id)?;
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !instance.strip_prefix("i-").is_some_and(is_hex) && !instance.starts_with(dev::MODULE_PREFIX)
    {
        return None;
    }
    Some(sha384(&[&[0; 48], instance.as_bytes()].concat()))
}
