//! The whole network in one process: chain, attester, facilitator and enclaves.
