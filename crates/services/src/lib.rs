//! The services of the network: the x402 facilitator.
