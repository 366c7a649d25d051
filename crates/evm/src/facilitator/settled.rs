use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;
use seamline_core::Amount;
use serde_json::Value;

use crate::Error;
use crate::bindings::{IToken, IUptoProxy, UPTO_PROXY};
use crate::rpc::{address_of, b256_of, bytes_of, member, u64_of};
use crate::upto::Permit;
use crate::x402::Reason;

/// A settlement that a transaction receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Hash of the transaction.
    pub transaction: B256,
    /// Number of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// What moved, base units.
    pub amount: Amount,
}

/// Checks that a transaction receipt (`eth_getTransactionReceipt`, not null) shows that `amount` of
/// `permit` moved.
///
/// # Errors
///
/// `invalid_upto_evm_transaction_failed` where the transaction reverted,
/// `invalid_upto_evm_transfer_event_mismatch` where it succeeded and the token or the proxy did
/// not say that exactly this moved, `unexpected_settle_error` where it is no transaction receipt.
pub fn check_settled(
    tx_receipt: &Value,
    permit: &Permit,
    amount: Amount,
) -> Result<Settled, Reason> {
    let receipt = Receipt::read(tx_receipt).map_err(|_| Reason::UnexpectedSettleError)?;
    if !receipt.succeeded {
        return Err(Reason::InvalidUptoEvmTransactionFailed);
    }
    let terms = &permit.authorization;
    let transfer = Transfer {
        token: terms.token,
        from: permit.from,
        to: terms.to,
        value: amount.into(),
    };
    let moved = receipt.transfers().any(|seen| seen == transfer);
    if !moved || !receipt.proxy_settled() {
        return Err(Reason::InvalidUptoEvmTransferEventMismatch);
    }
    Ok(Settled {
        transaction: receipt.transaction,
        block_number: receipt.block_number,
        block_hash: receipt.block_hash,
        amount,
    })
}

/// The part of a transaction receipt that says what moved.
pub(crate) struct Receipt {
    pub(crate) transaction: B256,
    pub(crate) block_number: u64,
    pub(crate) block_hash: B256,
    pub(crate) succeeded: bool,
    logs: Vec<Log>,
}

/// A `Transfer` of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) token: Address,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
}

struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Vec<u8>,
}

impl Receipt {
    pub(crate) fn read(value: &Value) -> Result<Self, Error> {
        let logs = member(value, "logs")?.as_array();
        Ok(Self {
            transaction: b256_of(member(value, "transactionHash")?)?,
            block_number: u64_of(member(value, "blockNumber")?)?,
            block_hash: b256_of(member(value, "blockHash")?)?,
            succeeded: u64_of(member(value, "status")?)? == 1,
            logs: logs
                .ok_or(Error::Answer("logs"))?
                .iter()
                .map(Log::read)
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn transfers(&self) -> impl Iterator<Item = Transfer> + '_ {
        self.logs.iter().filter_map(Log::transfer)
    }

    pub(crate) fn proxy_settled(&self) -> bool {
        let settled = [
            IUptoProxy::Settled::SIGNATURE_HASH,
            IUptoProxy::SettledWithPermit::SIGNATURE_HASH,
        ];
        let by_proxy = self.logs.iter().filter(|log| log.address == UPTO_PROXY);
        by_proxy
            .filter_map(|log| log.topics.first())
            .any(|topic| settled.contains(topic))
    }
}

impl Log {
    fn read(value: &Value) -> Result<Self, Error> {
        let topics = member(value, "topics")?.as_array();
        Ok(Self {
            address: address_of(member(value, "address")?)?,
            topics: topics
                .ok_or(Error::Answer("topics"))?
                .iter()
                .map(b256_of)
                .collect::<Result<_, _>>()?,
            data: bytes_of(member(value, "data")?)?.to_vec(),
        })
    }

    fn transfer(&self) -> Option<Transfer> {
        let topics = self.topics.iter().copied();
        let event = IToken::Transfer::decode_raw_log_validate(topics, &self.data).ok()?;
        Some(Transfer {
            token: self.address,
            from: event.from,
            to: event.to,
            value: event.value,
        })
    }
}
