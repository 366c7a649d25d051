//! Deterministic CBOR: a strict bounded reader and a writer (RFC 8949 §4.2.1).
