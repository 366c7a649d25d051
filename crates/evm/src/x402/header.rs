use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::Malformed;

/// Longest header value that is decoded, in bytes of base64: a payment with echoed extension
/// schemas takes several kB, and nothing honest comes near 32 KiB.
pub const MAX_HEADER: usize = 32 * 1024;

/// Decodes the value of an x402 header: base64 in the standard or the url-safe alphabet, padding
/// optional, nothing else. The bytes are JSON that the caller parses next.
///
/// # Errors
///
/// [`Malformed::Size`], [`Malformed::Base64`] (a mix of both alphabets too).
pub fn decode_header(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    if value.len() > MAX_HEADER {
        return Err(Malformed::Size);
    }
    let url_safe = value.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE_ANY } else { STANDARD_ANY };
    engine.decode(value).map_err(|_| Malformed::Base64)
}

/// Encodes JSON as the value of an x402 header: base64, standard alphabet, padded.
pub fn encode_header(json: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(json)
}

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ANY: GeneralPurpose = GeneralPurpose::new(&STANDARD, ANY_PADDING);
const URL_SAFE_ANY: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);
