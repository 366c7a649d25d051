//! The services of the network: the x402 facilitator, payment channels and data settlement
//! beside it, and the gate that
//! puts a price in front of any HTTP service.
//!
//! A service is a state that is started from a configuration, and a router over it that is
//! tested without a socket; `seamline_net::serve` puts it on one.

pub mod channels;
pub mod data;
pub mod facilitator;
pub mod gate;
pub mod relay;
