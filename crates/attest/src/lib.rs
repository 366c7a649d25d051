//! Parses and verifies attestation evidence.
