//! State before the first transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bytes, Keccak256, TxKind, U256, keccak256};
use revm::context::TxEnv;
use revm::context::result::ExecutionResult;
use revm::database::InMemoryDB;
use revm::database_interface::DatabaseCommit as _;
use revm::state::{AccountInfo, Bytecode};
use seamline_attest::TrustRoots;
use seamline_core::Timestamp;

use super::error::Error;
use super::evm::{self, Rules};
use super::record::AccountRecord;
use super::state::Diff;
use super::store::{Identity, Sealed, Store};
use super::{BLOCK_GAS_LIMIT, MIN_BASE_FEE, edition};

/// Accounts, code and storage that a chain starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Genesis {
    /// Timestamp of block 0. Not part of what identifies a genesis: a stored chain keeps its own.
    pub time: Timestamp,
    /// Accounts by address.
    pub accounts: BTreeMap<Address, GenesisAccount>,
    /// The newest edition, from 0.
    edition: u32,
}

/// One account of a [`Genesis`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Balance in wei.
    pub balance: U256,
    /// First nonce of the account.
    pub account_nonce: u64,
    /// Runtime code, placed as it is.
    pub code: Bytes,
    /// Init code with its arguments, executed in place: storage that it writes is the account's, and
    /// what it returns is the runtime code, in place of `code`. Its logs are dropped. Constructors run
    /// in the order of their addresses, sent by the zero address with [`BLOCK_GAS_LIMIT`] gas.
    pub init_code: Bytes,
    /// Storage slots.
    pub storage: BTreeMap<U256, U256>,
    /// The first edition of the genesis that has the account.
    pub edition: u32,
}

impl Genesis {
    /// Starts with no accounts.
    pub const fn new(time: Timestamp) -> Self {
        Self {
            time,
            accounts: BTreeMap::new(),
            edition: 0,
        }
    }

    /// Begins an edition: accounts from here on are additions, which a chain that was stored without them gets in a block of
    /// its own when it is opened. Their code is placed, not constructed. An account of an earlier edition must not change.
    #[must_use]
    pub const fn edition(mut self) -> Self {
        self.edition = self.edition.saturating_add(1);
        self
    }

    /// Gives `address` a balance in wei.
    #[must_use]
    pub fn fund(mut self, address: Address, balance: U256) -> Self {
        self.account(address).balance = balance;
        self
    }

    /// Places runtime code at `address`.
    #[must_use]
    pub fn place(mut self, address: Address, code: Bytes) -> Self {
        self.account(address).code = code;
        self
    }

    /// Runs init code, arguments appended, to make the contract at `address`. This is how a contract
    /// with immutables, such as a cached EIP-712 domain, gets to an address of choice.
    #[must_use]
    pub fn construct(mut self, address: Address, init_code: Bytes) -> Self {
        self.account(address).init_code = init_code;
        self
    }

    /// Sets one storage slot of `address`.
    #[must_use]
    pub fn store(mut self, address: Address, slot: U256, value: U256) -> Self {
        self.account(address).storage.insert(slot, value);
        self
    }

    /// Identifies the accounts: equal for equal accounts, whatever the time.
    pub fn digest(&self) -> B256 {
        self.digest_of(self.edition)
    }

    /// Identifies the accounts that the genesis had in an edition.
    fn digest_of(&self, edition: u32) -> B256 {
        let mut hasher = Keccak256::new();
        let accounts = self.accounts.iter();
        for (address, account) in accounts.filter(|(_, account)| account.edition <= edition) {
            hasher.update(address);
            hasher.update(account.balance.to_be_bytes::<32>());
            hasher.update(account.account_nonce.to_be_bytes());
            hasher.update(keccak256(&account.code));
            hasher.update(keccak256(&account.init_code));
            hasher.update(U256::from(account.storage.len()).to_be_bytes::<32>());
            for (slot, value) in &account.storage {
                hasher.update(slot.to_be_bytes::<32>());
                hasher.update(value.to_be_bytes::<32>());
            }
        }
        hasher.finalize()
    }

    /// Finds the earlier edition that a stored digest is of.
    pub(super) fn edition_of(&self, digest: B256) -> Option<u32> {
        (0..self.edition).find(|edition| self.digest_of(*edition) == digest)
    }

    fn account(&mut self, address: Address) -> &mut GenesisAccount {
        let edition = self.edition;
        self.accounts
            .entry(address)
            .or_insert_with(|| GenesisAccount {
                edition,
                ..GenesisAccount::default()
            })
    }
}

/// A compiled contract: `contracts/artifacts/*.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Init code without arguments.
    pub bytecode: Bytes,
    /// Runtime code; immutables in it are zero.
    pub deployed_bytecode: Bytes,
}

/// Why an artifact cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Not a JSON object.
    #[error("artifact is not a JSON object")]
    Json,
    /// A member is missing or not hexadecimal; unlinked libraries show as this.
    #[error("artifact member `{0}` is missing or not hexadecimal")]
    Member(&'static str),
}

impl Artifact {
    /// Parses `{"bytecode": "0x…", "deployedBytecode": "0x…"}`; other members are ignored.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub fn parse(json: &str) -> Result<Self, ArtifactError> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|_| ArtifactError::Json)?;
        let code = |name: &'static str| {
            let text = value.get(name).and_then(serde_json::Value::as_str);
            let bytes = text.and_then(|text| hex::decode(text).ok());
            bytes.map(Bytes::from).ok_or(ArtifactError::Member(name))
        };
        Ok(Self {
            bytecode: code("bytecode")?,
            deployed_bytecode: code("deployedBytecode")?,
        })
    }

    /// Returns the init code followed by ABI-encoded constructor arguments.
    pub fn with_arguments(&self, arguments: &[u8]) -> Bytes {
        [self.bytecode.as_ref(), arguments].concat().into()
    }
}

/// Makes sure that the store holds the chain that `genesis` starts, writing block 0 of a new one.
pub(super) fn establish(
    store: &Store,
    chain_id: u64,
    genesis: &Genesis,
    roots: &Arc<TrustRoots>,
) -> Result<(), Error> {
    let expected = Identity {
        chain_id,
        genesis: genesis.digest(),
    };
    match store.identity()? {
        Some(found) if found.chain_id != expected.chain_id => Err(Error::OtherChain {
            found: found.chain_id,
            expected: expected.chain_id,
        }),
        Some(found) if found.genesis == expected.genesis => Ok(()),
        Some(found) => match genesis.edition_of(found.genesis) {
            Some(edition) => edition::upgrade(store, expected, genesis, edition),
            None => Err(Error::OtherGenesis {
                found: found.genesis,
                expected: expected.genesis,
            }),
        },
        None => {
            let mut header = first_header(genesis.time);
            let diff = allocate(chain_id, genesis, roots, &header)?;
            header.state_root = diff.root(B256::ZERO);
            let hash = header.hash_slow();
            store.create(
                expected,
                &Sealed {
                    header: &header,
                    hash,
                    transactions: &[],
                    transaction_hashes: &[],
                    diff: &diff,
                },
            )
        }
    }
}

fn first_header(time: Timestamp) -> Header {
    Header {
        timestamp: time.as_secs(),
        mix_hash: evm::prevrandao(B256::ZERO),
        ..empty_header()
    }
}

/// Returns a header of the Prague upgrade with nothing in it.
pub(super) fn empty_header() -> Header {
    Header {
        beneficiary: evm::FEE_RECIPIENT,
        gas_limit: BLOCK_GAS_LIMIT,
        base_fee_per_gas: Some(MIN_BASE_FEE),
        extra_data: Bytes::from_static(b"seamline"),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// Lays out the accounts, then runs the constructors over them.
fn allocate(
    chain_id: u64,
    genesis: &Genesis,
    roots: &Arc<TrustRoots>,
    header: &Header,
) -> Result<Diff, Error> {
    let mut state = InMemoryDB::default();
    let mut diff = Diff::default();
    for (address, account) in &genesis.accounts {
        let runs = if account.init_code.is_empty() {
            &account.code
        } else {
            &account.init_code
        };
        place(&mut state, *address, account, runs)?;
        if account.init_code.is_empty() {
            record(&mut diff, *address, account, &account.code);
        }
    }
    let mut block = evm::block_env(header);
    block.basefee = 0;
    let rules = Rules {
        chain_id,
        roots: Arc::clone(roots),
        models: None,
        block,
        call: true,
    };
    for (address, account) in genesis
        .accounts
        .iter()
        .filter(|(_, account)| !account.init_code.is_empty())
    {
        let code = construct(&rules, &mut state, &mut diff, *address)?;
        place(&mut state, *address, account, &code)?;
        record(&mut diff, *address, account, &code);
    }
    // The sender of the constructors is not part of the state.
    if !genesis.accounts.contains_key(&Address::ZERO) {
        diff.accounts.remove(&Address::ZERO);
    }
    diff.accounts.retain(|_, record| record.is_some());
    Ok(diff)
}

/// Executes the init code that stands at `address` and returns the runtime code.
fn construct(
    rules: &Rules,
    state: &mut InMemoryDB,
    diff: &mut Diff,
    address: Address,
) -> Result<Bytes, Error> {
    let failed = |reason: String| Error::Genesis { address, reason };
    let tx = TxEnv {
        kind: TxKind::Call(address),
        gas_limit: BLOCK_GAS_LIMIT,
        chain_id: Some(rules.chain_id),
        ..TxEnv::default()
    };
    let done = evm::execute(rules, &mut *state, tx).map_err(|err| failed(err.to_string()))?;
    if let Some(reason) = evm::failure(&done.result) {
        return Err(failed(reason));
    }
    diff.absorb(&done.state);
    state.commit(done.state);
    match done.result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => {
            Err(failed("no code".to_owned()))
        }
    }
}

fn place(
    state: &mut InMemoryDB,
    address: Address,
    account: &GenesisAccount,
    code: &Bytes,
) -> Result<(), Error> {
    let code = Bytecode::new_raw_checked(code.clone()).map_err(|err| Error::Genesis {
        address,
        reason: err.to_string(),
    })?;
    let nonce = first_nonce(account);
    state.insert_account_info(
        address,
        AccountInfo::new(account.balance, nonce, code.hash_slow(), code),
    );
    for (slot, value) in &account.storage {
        let Ok(()) = state.insert_account_storage(address, *slot, *value);
    }
    Ok(())
}

fn record(diff: &mut Diff, address: Address, account: &GenesisAccount, code: &Bytes) {
    let code_hash = keccak256(code);
    // A constructor may have spent from the balance or made contracts.
    let after = diff.accounts.get(&address).copied().flatten();
    let record = AccountRecord {
        account_nonce: after.map_or_else(|| first_nonce(account), |after| after.account_nonce),
        balance: after.map_or(account.balance, |after| after.balance),
        code_hash,
    };
    diff.accounts.insert(address, Some(record));
    for (slot, value) in &account.storage {
        diff.slots.entry((address, *slot)).or_insert(*value);
    }
    if !code.is_empty() {
        diff.codes.insert(code_hash, code.clone());
    }
}

/// Contracts start at nonce 1 (EIP-161), which also keeps them from counting as empty.
fn first_nonce(account: &GenesisAccount) -> u64 {
    let contract = !account.code.is_empty() || !account.init_code.is_empty();
    if contract {
        account.account_nonce.max(1)
    } else {
        account.account_nonce
    }
}
