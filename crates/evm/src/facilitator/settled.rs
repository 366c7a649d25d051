//! What a transaction receipt proves.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;
use seamline_core::Amount;
use serde_json::Value;

use crate::Error;
use crate::bindings::{EXACT_PROXY, IExactProxy, IToken, IUptoProxy, UPTO_PROXY};
use crate::rpc::{address_of, b256_of, bytes_of, member, u64_of};
use crate::scheme::{Authorization, Scheme};
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
/// `promise` moved: the token's `Transfer`, and with it the token's `AuthorizationUsed` of this nonce
/// or the proxy's `Settled`.
///
/// # Errors
///
/// `…_transaction_failed` where the transaction reverted, `…_transfer_event_mismatch` where it
/// succeeded and the logs do not say that exactly this moved (both with the prefix of the scheme),
/// `unexpected_settle_error` where it is no transaction receipt.
pub fn check_settled(
    tx_receipt: &Value,
    promise: &Authorization,
    amount: Amount,
) -> Result<Settled, Reason> {
    let receipt = Receipt::read(tx_receipt).map_err(|_| Reason::UnexpectedSettleError)?;
    let [failed, mismatch] = match promise.scheme() {
        Scheme::Upto => [
            Reason::InvalidUptoEvmTransactionFailed,
            Reason::InvalidUptoEvmTransferEventMismatch,
        ],
        Scheme::Exact | Scheme::BatchSettlement => [
            Reason::InvalidExactEvmTransactionFailed,
            Reason::InvalidExactEvmTransferEventMismatch,
        ],
    };
    if !receipt.succeeded {
        return Err(failed);
    }
    let expected = Transfer {
        token: promise.asset(),
        from: promise.payer(),
        to: promise.pay_to(),
        value: amount.into(),
    };
    let settled = match promise {
        Authorization::Eip3009(it) => {
            let nonce = it.authorization.nonce;
            receipt.transfer_of(expected.token, expected.from, nonce) == Some(expected)
        }
        Authorization::ExactPermit2(_) => {
            receipt.has(&expected) && receipt.proxy_settled(EXACT_PROXY)
        }
        Authorization::Upto(_) => receipt.has(&expected) && receipt.proxy_settled(UPTO_PROXY),
    };
    if !settled {
        return Err(mismatch);
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

    /// Whether the token says that exactly this moved.
    pub(crate) fn has(&self, transfer: &Transfer) -> bool {
        let mut seen = self.logs.iter().filter_map(Log::transfer);
        seen.any(|seen| seen == *transfer)
    }

    /// The transfer that spent an ERC-3009 nonce: tokens log the nonce, then the transfer, so that it
    /// is the payer's first one between this nonce and the next.
    pub(crate) fn transfer_of(
        &self,
        token: Address,
        payer: Address,
        nonce: B256,
    ) -> Option<Transfer> {
        let mut logs = self.logs.iter().filter(|log| log.address == token);
        logs.find(|log| log.used() == Some([payer.into_word(), nonce]))?;
        logs.take_while(|log| log.used().is_none())
            .filter_map(Log::transfer)
            .find(|transfer| transfer.from == payer)
    }

    /// Whether the proxy says that it settled.
    pub(crate) fn proxy_settled(&self, proxy: Address) -> bool {
        // Both proxies have the same events.
        let settled = [
            IUptoProxy::Settled::SIGNATURE_HASH,
            IExactProxy::SettledWithPermit::SIGNATURE_HASH,
        ];
        let by_proxy = self.logs.iter().filter(|log| log.address == proxy);
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

    /// Payer and nonce of an `AuthorizationUsed`.
    fn used(&self) -> Option<[B256; 2]> {
        match self.topics.as_slice() {
            [event, payer, nonce] if *event == IToken::AuthorizationUsed::SIGNATURE_HASH => {
                Some([*payer, *nonce])
            }
            _ => None,
        }
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
