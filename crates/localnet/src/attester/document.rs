use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaKeyPair;
use seamline_attest::dev;
use seamline_core::Timestamp;

use super::DevMeasurement;
use super::chain::Chain;
use crate::authority::Error;

/// What one document says.
pub(super) struct Payload<'a> {
    pub(super) module_id: &'a str,
    pub(super) timestamp: Timestamp,
    pub(super) measurement: &'a DevMeasurement,
    pub(super) chain: &'a Chain,
    pub(super) public_key: &'a [u8],
    pub(super) user_data: &'a [u8],
    pub(super) nonce: &'a [u8],
}

impl Payload<'_> {
    /// Encodes the map as the Nitro Security Module does: indefinite length, its order of keys,
    /// absent values as null. The mark of software evidence comes last.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = vec![MAP_INDEFINITE];
        text(&mut out, "module_id");
        text(&mut out, self.module_id);
        text(&mut out, "digest");
        text(&mut out, "SHA384");
        text(&mut out, "timestamp");
        head(&mut out, UINT, self.timestamp.as_millis());
        text(&mut out, "pcrs");
        self.pcrs(&mut out);
        text(&mut out, "certificate");
        bytes(&mut out, self.chain.leaf());
        text(&mut out, "cabundle");
        head(&mut out, ARRAY, count(self.chain.bundle().len()));
        for certificate in self.chain.bundle() {
            bytes(&mut out, certificate);
        }
        optional(&mut out, "public_key", self.public_key, PUBLIC_KEY_LIMIT)?;
        optional(&mut out, "user_data", self.user_data, USER_DATA_LIMIT)?;
        optional(&mut out, "nonce", self.nonce, NONCE_LIMIT)?;
        text(&mut out, dev::EVIDENCE_TYPE_KEY);
        text(&mut out, dev::EVIDENCE_TYPE);
        out.push(BREAK);
        Ok(out)
    }

    /// Sixteen registers: the measurement, PCR4 for the instance as in AWS's documents, the rest
    /// zero as an enclave without a signed image and without a role has them.
    fn pcrs(&self, out: &mut Vec<u8>) {
        let [pcr0, pcr1, pcr2] = *self.measurement.pcrs();
        // Every module id has the `-enc` that PCR4 is computed up to.
        let pcr4 = dev::pcr4(self.module_id).unwrap_or([0; 48]);
        let mut registers = [[0; 48]; 16];
        for (slot, value) in registers.iter_mut().zip([pcr0, pcr1, pcr2, [0; 48], pcr4]) {
            *slot = value;
        }
        head(out, MAP, count(registers.len()));
        for (index, value) in (0..).zip(&registers) {
            head(out, UINT, index);
            bytes(out, value);
        }
    }
}

/// Wraps a payload into the untagged `COSE_Sign1` that the Nitro Security Module returns.
pub(super) fn sign(payload: &[u8], leaf_key: &EcdsaKeyPair) -> Result<Vec<u8>, Error> {
    let mut message = Vec::new();
    head(&mut message, ARRAY, 4);
    text(&mut message, "Signature1");
    bytes(&mut message, PROTECTED);
    bytes(&mut message, &[]);
    bytes(&mut message, payload);
    let signature = leaf_key
        .sign(&SystemRandom::new(), &message)
        .map_err(|_| Error::Sign)?;

    let mut document = Vec::new();
    head(&mut document, ARRAY, 4);
    bytes(&mut document, PROTECTED);
    head(&mut document, MAP, 0);
    bytes(&mut document, payload);
    bytes(&mut document, signature.as_ref());
    Ok(document)
}

/// `{1: -35}`: ES384.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

// Limits of the Nitro Security Module's request.
const PUBLIC_KEY_LIMIT: usize = 1024;
const USER_DATA_LIMIT: usize = 512;
const NONCE_LIMIT: usize = 512;

// Initial bytes of CBOR (RFC 8949 §3).
const UINT: u8 = 0x00;
const BYTES: u8 = 0x40;
const TEXT: u8 = 0x60;
const ARRAY: u8 = 0x80;
const MAP: u8 = 0xa0;
const MAP_INDEFINITE: u8 = 0xbf;
const NULL: u8 = 0xf6;
const BREAK: u8 = 0xff;

/// Writes a major type with its shortest argument.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    if let Ok(value) = u8::try_from(argument) {
        if value < 24 {
            out.push(major | value);
        } else {
            out.extend([major | 24, value]);
        }
    } else if let Ok(value) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend(value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(argument) {
        out.push(major | 26);
        out.extend(value.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend(argument.to_be_bytes());
    }
}

fn text(out: &mut Vec<u8>, value: &str) {
    head(out, TEXT, count(value.len()));
    out.extend_from_slice(value.as_bytes());
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, BYTES, count(value.len()));
    out.extend_from_slice(value);
}

fn optional(
    out: &mut Vec<u8>,
    field: &'static str,
    value: &[u8],
    limit: usize,
) -> Result<(), Error> {
    if value.len() > limit {
        return Err(Error::FieldTooLong { field, limit });
    }
    text(out, field);
    if value.is_empty() {
        out.push(NULL);
    } else {
        bytes(out, value);
    }
    Ok(())
}

/// Lengths fit 64 bits on every target that Rust has.
fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
