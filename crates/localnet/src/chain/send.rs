//! Admission of transactions, and a helper that signs, sends and waits.

use alloy_consensus::{SignableTransaction as _, Transaction as _, TxEip1559, TxEip7702};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_eips::eip7702::Authorization;
use alloy_eips::eip7702::constants::EIP7702_DELEGATION_DESIGNATOR;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Log, Signature, TxKind, U256};
use revm::context::result::InvalidTransaction;
use revm::handler::validation::validate_initial_tx_gas;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;
use seamline_evm::Wallet;

use super::call::{At, Call, CallError};
use super::error::{Error, Rejection};
use super::evm::{self, FEE_RECIPIENT, SPEC};
use super::rpc::PRIORITY_FEE;
use super::state::StateView;
use super::transaction::Transaction;
use super::{BLOCK_GAS_LIMIT, BlockRef, Chain, Core, MIN_BASE_FEE};

/// EIP-7702: the designator, then an address.
const EIP7702_DELEGATION_BYTES: usize = 23;

/// Of a transaction that delegates once and calls nobody: 21,000 and 25,000 (EIP-7702).
const DELEGATION_GAS: u64 = 46_000;

/// What became of a transaction that [`Chain::transact`] sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Transaction hash.
    pub hash: B256,
    /// The block that holds it.
    pub block: BlockRef,
    /// The contract that it made.
    pub contract: Option<Address>,
    /// Gas that it used.
    pub gas_used: u64,
    /// Logs that it emitted.
    pub logs: Vec<Log>,
}

/// Why a transaction was not executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The chain failed.
    #[error("chain failed")]
    Chain(#[source] Error),
    /// It would revert, or did.
    #[error("{0}")]
    Reverted(String),
    /// It was not admitted.
    #[error("transaction not admitted")]
    Rejected(#[source] Rejection),
    /// It was admitted but no block holds it: it follows a gap in the account's nonces.
    #[error("transaction {0} waits for an earlier one")]
    Waiting(B256),
}

impl From<Error> for SendError {
    fn from(err: Error) -> Self {
        Self::Chain(err)
    }
}

impl From<Rejection> for SendError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Chain {
    /// Admits a signed transaction and returns its hash. With instant mining the block that holds it is
    /// on disk when this returns, unless its nonce leaves a gap.
    ///
    /// # Errors
    /// [`SendError::Rejected`] and [`SendError::Chain`].
    ///
    /// # Retries
    /// Sending the same bytes again answers [`Rejection::AlreadyKnown`] and changes nothing.
    pub fn send_raw(&self, raw: &[u8]) -> Result<B256, SendError> {
        let transaction = Transaction::decode(raw)?;
        let hash = transaction.hash();
        let mut core = self.core();
        self.admit(&mut core, transaction)?;
        while core.automine && self.has_ready(&core)? {
            self.mine_locked(&mut core)?;
        }
        Ok(hash)
    }

    /// Signs a transaction of `wallet`, sends it and makes a block with it if none is made at once.
    /// Gas is estimated, so that what would revert is refused with its reason and costs nothing; a quarter is added.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn transact(
        &self,
        wallet: &Wallet,
        to: Option<Address>,
        value: U256,
        input: Bytes,
    ) -> Result<Sent, SendError> {
        let raw = self.sign(wallet, to, value, input)?;
        let hash = self.send_raw(&raw)?;
        if self.inner.store.reader()?.place_of(hash)?.is_none() {
            self.mine()?;
        }
        let reader = self.inner.store.reader()?;
        let (number, index) = reader.place_of(hash)?.ok_or(SendError::Waiting(hash))?;
        let block = reader.block(number)?.ok_or(Error::Corrupt("block"))?;
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let record = block
            .transactions
            .get(at)
            .ok_or(Error::Corrupt("block body"))?;
        if !record.success {
            return Err(SendError::Reverted("execution reverted".to_owned()));
        }
        let contract = match to {
            Some(_) => None,
            None => Some(Transaction::decode(&raw).map(|tx| tx.sender.create(tx.account_nonce()))?),
        };
        let (gas_used, logs) = (record.gas_used, record.logs.clone());
        Ok(Sent {
            hash,
            block: block.reference(),
            contract,
            gas_used,
            logs,
        })
    }

    /// Deploys a contract whose constructor needs a transaction, and returns its address. `init_code`
    /// ends with the ABI-encoded arguments.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn deploy(&self, wallet: &Wallet, init_code: Bytes) -> Result<Address, SendError> {
        let sent = self.transact(wallet, None, U256::ZERO, init_code)?;
        sent.contract
            .ok_or(SendError::Chain(Error::Corrupt("contract address")))
    }

    /// Lets the account of `wallet` run the code at `to` from now on, or no code where `to` is zero (EIP-7702). The account sends
    /// it and pays for it.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn delegate(&self, wallet: &Wallet, to: Address) -> Result<B256, SendError> {
        let reader = self.inner.store.reader()?;
        let stored = reader.account(wallet.address())?;
        let stored = stored.map_or(0, |account| account.account_nonce);
        let header = self.next_header(&self.core(), &reader.head()?);
        let base_fee = u128::from(header.base_fee_per_gas.unwrap_or_default());
        let authorization = Authorization {
            chain_id: U256::from(self.inner.chain_id),
            address: to,
            // The transaction itself uses the nonce before.
            nonce: stored.saturating_add(1),
        };
        let signature = sign_hash(wallet, &authorization.signature_hash())?;
        let transaction = TxEip7702 {
            chain_id: self.inner.chain_id,
            nonce: stored,
            gas_limit: DELEGATION_GAS,
            max_fee_per_gas: base_fee.saturating_mul(2).saturating_add(PRIORITY_FEE),
            max_priority_fee_per_gas: PRIORITY_FEE,
            // To nobody: the account's code, if it has any, is not run.
            to: FEE_RECIPIENT,
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signature = sign_hash(wallet, &transaction.signature_hash())?;
        let raw = transaction.into_signed(signature).encoded_2718();
        let hash = self.send_raw(&raw)?;
        if self.inner.store.reader()?.place_of(hash)?.is_none() {
            self.mine()?;
        }
        Ok(hash)
    }

    fn sign(
        &self,
        wallet: &Wallet,
        to: Option<Address>,
        value: U256,
        input: Bytes,
    ) -> Result<Vec<u8>, SendError> {
        let reader = self.inner.store.reader()?;
        let head = reader.head()?;
        let (header, account_nonce) = {
            let core = self.core();
            let stored = reader
                .account(wallet.address())?
                .map_or(0, |account| account.account_nonce);
            (
                self.next_header(&core, &head),
                core.pool.next_nonce(wallet.address(), stored),
            )
        };
        let base_fee = u128::from(header.base_fee_per_gas.unwrap_or_default());
        let at_most = header.gas_limit;
        let at = At {
            view: StateView::latest(reader),
            header,
        };
        let call = Call {
            from: wallet.address(),
            to,
            value,
            input,
            ..Call::default()
        };
        let gas_limit = self.estimate(&call, &at).map_err(|err| match err {
            CallError::Invalid(reason) => SendError::Reverted(reason),
            CallError::Failed(result) => {
                SendError::Reverted(evm::failure(&result).unwrap_or_default())
            }
            CallError::Chain(err) => SendError::Chain(err),
        })?;
        // The block comes later than the estimate: what depends on its time or on what is before it may cost more there.
        let gas_limit = gas_limit.saturating_add(gas_limit / 4).min(at_most);
        let transaction = TxEip1559 {
            chain_id: self.inner.chain_id,
            nonce: account_nonce,
            gas_limit,
            max_fee_per_gas: base_fee.saturating_mul(2).saturating_add(PRIORITY_FEE),
            max_priority_fee_per_gas: PRIORITY_FEE,
            to: to.map_or(TxKind::Create, TxKind::Call),
            value: call.value,
            access_list: call.access_list,
            input: call.input,
        };
        let signature = sign_hash(wallet, &transaction.signature_hash())?;
        Ok(transaction.into_signed(signature).encoded_2718())
    }

    /// Checks what a block would check, and what keeps the pool small.
    pub(super) fn admit(&self, core: &mut Core, transaction: Transaction) -> Result<(), SendError> {
        let reader = self.inner.store.reader()?;
        // 1. Known already, and done.
        if reader.place_of(transaction.hash())?.is_some() {
            return Err(Rejection::AlreadyKnown.into());
        }
        // 2. The transaction by itself.
        self.check_form(&transaction)?;
        // 3. Its sender.
        let sender = transaction.sender;
        let view = StateView::latest(reader);
        let account = view.account(sender)?;
        if account.code_hash != KECCAK256_EMPTY && !is_delegation(&view.code(sender)?) {
            return Err(Rejection::SenderHasCode(sender).into());
        }
        let (have, want) = (transaction.account_nonce(), account.account_nonce);
        if have < want {
            return Err(Rejection::NonceTooLow {
                address: sender,
                have,
                want,
            }
            .into());
        }
        let tx = &transaction.envelope;
        let gas = U256::from(tx.gas_limit()).saturating_mul(U256::from(tx.max_fee_per_gas()));
        if account.balance < gas.saturating_add(tx.value()) {
            return Err(Rejection::Funds(sender).into());
        }
        // 4. Room in the pool.
        Ok(core.pool.add(transaction, account.account_nonce)?)
    }

    fn check_form(&self, transaction: &Transaction) -> Result<(), Rejection> {
        let tx = &transaction.envelope;
        let (have, want) = (tx.chain_id().unwrap_or_default(), self.inner.chain_id);
        if have != want {
            return Err(Rejection::ChainId { have, want });
        }
        self.check_signers(transaction)?;
        if tx.gas_limit() > BLOCK_GAS_LIMIT {
            return Err(Rejection::GasLimit);
        }
        if tx
            .max_priority_fee_per_gas()
            .is_some_and(|tip| tip > tx.max_fee_per_gas())
        {
            return Err(Rejection::TipAboveFee);
        }
        if tx.max_fee_per_gas() < u128::from(MIN_BASE_FEE) {
            return Err(Rejection::Underpriced(tx.max_fee_per_gas()));
        }
        if tx.is_create() && tx.input().len() > MAX_INITCODE_SIZE {
            return Err(Rejection::InitCode(tx.input().len()));
        }
        intrinsic_gas(transaction)
    }
}

/// Whoever signs for a chain that shares a real one's id must be one of its own accounts.
impl Chain {
    fn check_signers(&self, transaction: &Transaction) -> Result<(), Rejection> {
        let Some(own) = &self.inner.only_from else {
            return Ok(());
        };
        let delegations = transaction
            .envelope
            .authorization_list()
            .unwrap_or_default();
        let authorities = delegations
            .iter()
            .filter_map(|delegation| delegation.recover_authority().ok());
        core::iter::once(transaction.sender)
            .chain(authorities)
            .find(|signer| !own.contains(signer))
            .map_or(Ok(()), |stranger| {
                Err(Rejection::Stranger(stranger, self.inner.chain_id))
            })
    }
}

fn sign_hash(wallet: &Wallet, hash: &B256) -> Result<Signature, Rejection> {
    let signature = wallet.sign_hash(hash);
    Signature::from_raw(signature.as_bytes()).map_err(|_| Rejection::Signature)
}

/// Tells whether an account's code only names where its code is (EIP-7702).
fn is_delegation(code: &[u8]) -> bool {
    code.len() == EIP7702_DELEGATION_BYTES && code.starts_with(&EIP7702_DELEGATION_DESIGNATOR)
}

fn intrinsic_gas(transaction: &Transaction) -> Result<(), Rejection> {
    let have = transaction.envelope.gas_limit();
    match validate_initial_tx_gas(transaction.env(), SPEC, false, false, u64::MAX, None) {
        Ok(_) => Ok(()),
        Err(InvalidTransaction::CallGasCostMoreThanGasLimit {
            initial_gas: want, ..
        })
        | Err(InvalidTransaction::GasFloorMoreThanGasLimit {
            gas_floor: want, ..
        }) => Err(Rejection::IntrinsicGas { have, want }),
        Err(_) => Err(Rejection::Malformed),
    }
}
