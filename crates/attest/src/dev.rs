//! The marks of software evidence: what a development attester must write and what no hardware
//! evidence may carry (`spec/evidence.md`).
//!
//! A development network has no hardware, so a program signs documents in the format of AWS Nitro
//! under a root that was made for one installation. Each of the marks below keeps such a document
//! from passing for more than it is: other verifiers refuse the critical extension, people read
//! the name, and [`verify`](crate::verify) requires all of them under a root of
//! [`TrustRoots::danger_accept_dev`](crate::TrustRoots::danger_accept_dev) and none of them under
//! a hardware root.

/// The object identifier of the critical extension that the root and the leaf carry, as arcs.
///
/// It lies under `1.2.840.113556.1.8000.2554`, the arc that Microsoft's published procedure gives
/// to anybody who derives the remaining arcs from a fresh random UUID
/// (`c3ca9f96-f657-456a-a96b-53d4cd870165`): no registration is needed and no two projects meet.
/// The arc `2.25` would take the whole UUID as one number of 128 bits, which common X.509
/// libraries cannot write.
pub const EXTENSION_OID: [u64; 14] = [
    1, 2, 840, 113_556, 1, 8000, 2554, 50122, 40854, 63063, 17770, 43371, 5_493_965, 8_847_717,
];

/// [`EXTENSION_OID`] in the dotted form.
pub const EXTENSION_OID_TEXT: &str =
    "1.2.840.113556.1.8000.2554.50122.40854.63063.17770.43371.5493965.8847717";

/// The extension's value: the DER encoding of [`EVIDENCE_TYPE`] as a UTF8String.
pub const EXTENSION_VALUE: &[u8] = b"\x0c\x0fsoftware-dev/v1";

/// The common name, the only one, in the subject of the root and of the leaf. Other attributes of
/// the subject are free; the leaf needs one, since its name must differ from the root's.
pub const COMMON_NAME: &str = "DEV ONLY - NOT HARDWARE";

/// The prefix of `module_id`; the whole is `dev-<instance>-enc<enclave>`.
pub const MODULE_PREFIX: &str = "dev-";

/// The payload key, a text string, that only software evidence has.
pub const EVIDENCE_TYPE_KEY: &str = "evidence_type";

/// The value of [`EVIDENCE_TYPE_KEY`].
pub const EVIDENCE_TYPE: &str = "software-dev/v1";

/// What [`Claims::kind`](crate::Claims::kind) says about software evidence.
pub const KIND: &str = "software-dev";

/// Computes the PCR4 that a document with this `module_id` must carry if it carries PCR4 at all:
/// SHA-384 over 48 zero bytes and the part of the id before `-enc`. `None` for an id of another
/// form.
pub fn pcr4(module_id: &str) -> Option<[u8; 48]> {
    crate::nitro::pcr4(module_id)
}
