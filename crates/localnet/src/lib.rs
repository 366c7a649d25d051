//! The whole network in one process: chain, attester, facilitator and enclaves.
//!
//! [`Localnet::start`] brings up an EVM chain with the contracts of the network, a facilitator and a
//! handful of enclaves, all on loopback, all real but for one thing: the evidence is software's, under a
//! root of this installation, and everything that it touches says so.
//!
//! | module | what |
//! |---|---|
//! | [`chain`] | the embedded chain and its JSON-RPC server |
//! | [`authority`], [`attester`] | the root and the issuer of development evidence |
//! | [`contracts`] | addresses and genesis of the contracts |

pub mod attester;
pub mod authority;
pub mod chain;
pub mod contracts;
mod error;
mod files;
mod guard;
mod keys;
mod layout;
mod network;
mod node;
mod setup;
mod spec;
mod standin;

pub use error::Error;
pub use layout::Layout;
pub use network::{Config, Localnet, NodeInfo};
pub use spec::{NodeSpec, Served, three_nodes, three_stand_ins};
pub use standin::StandIn;
