//! The OpenAI-compatible service that runs inside the enclave.
