//! What can go wrong with the chain itself, and why a transaction is turned away.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};

/// A failure of the chain: its database, its genesis or its execution engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database file could not be opened or created; another process may hold it.
    #[error("open the chain database `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A read or write of the database failed.
    #[error("{doing} the chain database")]
    Store {
        /// The operation: `read` or `write`.
        doing: &'static str,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// The database lacks or garbles something that the chain wrote.
    #[error("chain database is damaged: {0}")]
    Corrupt(&'static str),
    /// The database was written by an incompatible version.
    #[error("chain database has format {found}, this version reads {expected}")]
    Format {
        /// What the file says.
        found: u64,
        /// What this version writes.
        expected: u64,
    },
    /// The database holds a chain with another id.
    #[error("database holds chain {found}, configured is {expected}")]
    OtherChain {
        /// Stored chain id.
        found: u64,
        /// Configured chain id.
        expected: u64,
    },
    /// The database holds a chain made from other genesis accounts.
    #[error(
        "database was made from genesis {found}, configured is {expected}: open it with the version and the keys that made it, or move it away to start a new chain"
    )]
    OtherGenesis {
        /// Stored digest.
        found: B256,
        /// Configured digest.
        expected: B256,
    },
    /// A constructor of the genesis did not succeed.
    #[error("genesis constructor of {address} failed: {reason}")]
    Genesis {
        /// Where the contract was to live.
        address: Address,
        /// Revert reason or halt.
        reason: String,
    },
    /// The execution engine refused a block environment that the chain itself made.
    #[error("execution engine failed: {0}")]
    Engine(String),
    /// The chain can only be rewound over [`HISTORY_BLOCKS`](super::HISTORY_BLOCKS) blocks, and not past its first.
    #[error("block {0} is too old to return to")]
    TooOld(u64),
}

/// Lets revm carry our errors through execution.
impl revm::database_interface::DBErrorMarker for Error {}

/// Why a transaction is not admitted. The texts are those of go-ethereum, which clients match on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Larger than 128 KiB, the limit of go-ethereum.
    #[error("oversized data: transaction size {0}")]
    TooLarge(usize),
    /// Not the canonical encoding of a transaction (EIP-2718).
    #[error("rlp: transaction is malformed")]
    Malformed,
    /// A transaction type other than 0, 1, 2 and 4.
    #[error("transaction type not supported")]
    UnsupportedType,
    /// A transaction of type 4 that delegates nothing (EIP-7702).
    #[error("set code tx must have at least one authorization tuple")]
    NoDelegation,
    /// No chain id in the signature.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// In the transaction.
        have: u64,
        /// Of this chain.
        want: u64,
    },
    /// The signature recovers to no key, or its `s` is in the upper half (EIP-2).
    #[error("invalid sender")]
    Signature,
    /// The account already used this nonce.
    #[error("nonce too low: address {address}, tx: {have} state: {want}")]
    NonceTooLow {
        /// Sender.
        address: Address,
        /// In the transaction.
        have: u64,
        /// Next nonce of the account.
        want: u64,
    },
    /// Further ahead than the pool keeps.
    #[error("nonce too high: address {address}, tx: {have} state: {want}")]
    NonceTooHigh {
        /// Sender.
        address: Address,
        /// In the transaction.
        have: u64,
        /// Next nonce of the account.
        want: u64,
    },
    /// Signed by an account that is not this network's, on a chain that shares the id of a real one.
    #[error(
        "{0} is not an account of this local network: chain {1} is a real network's id, and what is signed for it could be sent there; use the keys that this network printed"
    )]
    Stranger(Address, u64),
    /// More than [`BLOCK_GAS_LIMIT`](super::BLOCK_GAS_LIMIT).
    #[error("exceeds block gas limit")]
    GasLimit,
    /// Less than the transaction costs before its first instruction (EIP-7623 included).
    #[error("intrinsic gas too low: gas {have}, minimum needed {want}")]
    IntrinsicGas {
        /// Gas limit of the transaction.
        have: u64,
        /// Least that it needs.
        want: u64,
    },
    /// `maxPriorityFeePerGas` above `maxFeePerGas`.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// Offers less than [`MIN_BASE_FEE`](super::MIN_BASE_FEE): it could never be executed.
    #[error("transaction underpriced: max fee per gas {0} is below the lowest base fee")]
    Underpriced(u128),
    /// The balance does not cover gas and value.
    #[error("insufficient funds for gas * price + value: address {0}")]
    Funds(Address),
    /// The sender has code (EIP-3607) that is not a delegation (EIP-7702).
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    /// Init code above the limit of EIP-3860.
    #[error("max initcode size exceeded: code size {0}")]
    InitCode(usize),
    /// The pool holds this very transaction, or a block does.
    #[error("already known")]
    AlreadyKnown,
    /// Same nonce as a pooled one, without 10 % more in both fees.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// No room: a replacement still works.
    #[error("txpool is full")]
    PoolFull,
}
