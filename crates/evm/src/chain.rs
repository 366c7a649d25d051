//! Facts of the chain about accounts, nonces and settlements, each read at a named block.

mod finality;
mod search;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::Amount;
use serde_json::Value;

use crate::bindings::{IPermit2, IToken, PERMIT2};
use crate::rpc::{At, b256_of, bytes_of, member, send, u64_of, u256_of};
use crate::scheme::Method;
use crate::{Error, Rpc, RpcCall};

pub use finality::{Anchor, Depths, FINALITY_DEPTH, Finality, Standing, standing};
pub use search::{SettlementFacts, SettlementQuery, find_settlement};

/// A block that facts were read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Time, Unix seconds.
    pub time_s: u64,
}

/// What the chain says about one authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFacts {
    /// Whether the nonce is spent: by a settlement, or because the payer cancelled it.
    pub nonce_used: bool,
    /// Whether the token shows that the payer cancelled the nonce, so that nothing can spend it any
    /// more. Permit2 leaves no such proof: there this is always false.
    pub cancelled: bool,
    /// The settlement that spent it, where one was found.
    pub settlement: Option<SettlementFacts>,
    /// The block at which this was read.
    pub block: Block,
}

/// An account and its standing with one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Native coin, wei.
    pub native: U256,
    /// Tokens, base units.
    pub tokens: U256,
    /// Tokens that Permit2 may move, base units.
    pub permit2_allowance: U256,
    /// Decimals of the token.
    pub decimals: u8,
    /// The account nonce of the next transaction.
    pub account_nonce: u64,
}

impl Account {
    /// The tokens as an [`Amount`], at most its largest.
    pub fn balance(&self) -> Amount {
        Amount::try_from(self.tokens).unwrap_or(Amount::MAX)
    }
}

/// Reads the newest block.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`], [`Error::Answer`].
pub async fn newest_block(rpc: &dyn Rpc) -> Result<Block, Error> {
    let [block] = exactly(send(rpc, &[RpcCall::block(At::Latest)]).await?)?;
    read_block(&block)
}

/// Reads the hash of the block of a number; `None` where the chain has none.
///
/// # Errors
///
/// As [`newest_block`].
pub async fn block_at(rpc: &dyn Rpc, number: u64) -> Result<Option<B256>, Error> {
    let [block] = exactly(send(rpc, &[RpcCall::block(At::Number(number))]).await?)?;
    if block.is_null() {
        return Ok(None);
    }
    Ok(Some(read_block(&block)?.hash))
}

/// Reads the chain id and the newest block in one batch.
///
/// # Errors
///
/// As [`newest_block`].
pub async fn head(rpc: &dyn Rpc) -> Result<(u64, Block), Error> {
    let calls = [RpcCall::chain_id(), RpcCall::block(At::Latest)];
    let [chain_id, block] = exactly(send(rpc, &calls).await?)?;
    Ok((u64_of(&chain_id)?, read_block(&block)?))
}

/// Asks what became of an authorization: whether its nonce is spent and by which settlement, as
/// of the newest block.
///
/// # Errors
///
/// As [`newest_block`]; [`Error::BlockChanged`] where the chain reorganised meanwhile: ask again.
pub async fn facts(rpc: &dyn Rpc, query: &SettlementQuery) -> Result<ChainFacts, Error> {
    let block = newest_block(rpc).await?;
    let nonce_used = nonce_used(rpc, query, &block).await?;
    let settlement = if nonce_used {
        find_settlement(rpc, query, &block).await?
    } else {
        None
    };
    let open = nonce_used && settlement.is_none();
    Ok(ChainFacts {
        nonce_used,
        cancelled: open && search::cancelled(rpc, query, &block).await?,
        settlement,
        block,
    })
}

/// Reads at `block` whether the nonce of `query` is spent: in Permit2's bitmap, or in the token's
/// `authorizationState`.
///
/// # Errors
///
/// As [`facts`].
pub async fn nonce_used(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    block: &Block,
) -> Result<bool, Error> {
    let [word, bit] = nonce_position(query.auth_nonce.into());
    let (contract, input, mask) = match query.method {
        Method::Permit2 => {
            let owner = query.payer;
            let bitmap = IPermit2::nonceBitmapCall { owner, word };
            (PERMIT2, bitmap.abi_encode(), bit)
        }
        Method::Eip3009 => {
            let state = IToken::authorizationStateCall {
                authorizer: query.payer,
                nonce: query.auth_nonce,
            };
            (query.asset, state.abi_encode(), U256::MAX)
        }
    };
    let at = At::Number(block.number);
    let call = RpcCall::call(contract, &input, at);
    let [bits, again] = exactly(send(rpc, &[call, RpcCall::block(at)]).await?)?;
    same_block(&again, block)?;
    Ok(word_of(&bits)? & mask != U256::ZERO)
}

/// Reads an account and its standing with `token` at the newest block.
///
/// # Errors
///
/// As [`newest_block`].
pub async fn account(rpc: &dyn Rpc, token: Address, owner: Address) -> Result<Account, Error> {
    let at = At::Latest;
    let ask = |input: Vec<u8>| RpcCall::call(token, &input, at);
    let allowance = IToken::allowanceCall {
        owner,
        spender: PERMIT2,
    };
    let calls = [
        RpcCall::balance(owner, at),
        ask(IToken::balanceOfCall { owner }.abi_encode()),
        ask(allowance.abi_encode()),
        ask(IToken::decimalsCall {}.abi_encode()),
        RpcCall::account_nonce(owner, At::Pending),
    ];
    let [native, tokens, allowance, decimals, account_nonce] = exactly(send(rpc, &calls).await?)?;
    Ok(Account {
        native: u256_of(&native)?,
        tokens: word_of(&tokens)?,
        permit2_allowance: word_of(&allowance)?,
        decimals: u8::try_from(word_of(&decimals)?).map_err(|_| Error::Answer("decimals"))?,
        account_nonce: u64_of(&account_nonce)?,
    })
}

/// Where Permit2 keeps a nonce: the word of its bitmap and the bit in it.
pub(crate) fn nonce_position(nonce: U256) -> [U256; 2] {
    let [.., last] = nonce.to_be_bytes::<32>();
    let bit = U256::ONE.wrapping_shl(usize::from(last));
    [nonce.wrapping_shr(8), bit]
}

/// Reads a block and refuses one that is not there.
pub(crate) fn read_block(value: &Value) -> Result<Block, Error> {
    Ok(Block {
        number: u64_of(member(value, "number")?)?,
        hash: b256_of(member(value, "hash")?)?,
        time_s: u64_of(member(value, "timestamp")?)?,
    })
}

/// Checks that the block at the pinned number is still the pinned one.
pub(crate) fn same_block(again: &Value, block: &Block) -> Result<(), Error> {
    if read_block(again)? == *block {
        Ok(())
    } else {
        Err(Error::BlockChanged {
            number: block.number,
        })
    }
}

/// Takes the results of a batch of `N` calls of which none may fail.
pub(crate) fn exactly<const N: usize>(
    results: Vec<Result<Value, crate::RpcError>>,
) -> Result<[Value; N], Error> {
    let received = results.len();
    let values: Vec<Value> = results
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(Error::Call)?;
    values
        .try_into()
        .map_err(|_| Error::BatchLength { sent: N, received })
}

/// Reads one ABI word.
pub(crate) fn word_of(value: &Value) -> Result<U256, Error> {
    let bytes = bytes_of(value)?;
    let word: [u8; 32] = bytes
        .as_ref()
        .try_into()
        .map_err(|_| Error::Answer("one word: is there a contract at this address?"))?;
    Ok(U256::from_be_bytes(word))
}

#[cfg(test)]
mod tests;
