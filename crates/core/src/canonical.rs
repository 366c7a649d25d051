//! Canonical request bytes and message hashes (`spec/canonical-request.md`).
