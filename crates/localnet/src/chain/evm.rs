//! One execution: a transaction or a call, over some state, in some block.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Panic, Revert, SolError as _};
use revm::context::result::{EVMError, ExecutionResult, ResultAndState};
use revm::context::{BlockEnv, CfgEnv, Context, Evm, TxEnv};
use revm::database_interface::Database;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, ExecuteEvm as _};
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;
use seamline_attest::TrustRoots;

use super::BLOCK_GAS_LIMIT;
use super::error::Error;
use super::models::Models;
use super::precompile::Precompiles;

/// The rules of execution: Ethereum's Prague upgrade.
pub(super) const SPEC: SpecId = SpecId::PRAGUE;

/// Receives the tips; nobody has its key.
pub(super) const FEE_RECIPIENT: Address = Address::ZERO;

/// The rules of one execution, as opposed to its state and its transaction.
pub(super) struct Rules {
    pub(super) chain_id: u64,
    pub(super) roots: Arc<TrustRoots>,
    pub(super) models: Option<Arc<Models>>,
    pub(super) block: BlockEnv,
    /// A call, not a transaction: any sender, code or not, at any nonce.
    pub(super) call: bool,
}

/// Executes `tx` over `state` and returns its outcome with the changes, which are not applied.
pub(super) fn execute<D>(
    rules: &Rules,
    state: D,
    tx: TxEnv,
) -> Result<ResultAndState, EVMError<D::Error>>
where
    D: Database,
{
    let mut cfg = CfgEnv::new_with_spec(SPEC).with_chain_id(rules.chain_id);
    cfg.disable_nonce_check = rules.call;
    cfg.disable_eip3607 = rules.call;
    let mut context: Context<BlockEnv, TxEnv, CfgEnv, D> = Context::new(state, SPEC);
    context.cfg = cfg;
    context.block = rules.block.clone();
    context.journaled_state.set_spec_id(SPEC);
    let mut evm: Evm<_, (), _, _, EthFrame> = Evm::new(
        context,
        EthInstructions::<EthInterpreter, _>::new_mainnet_with_spec(SPEC),
        Precompiles::new(SPEC, Arc::clone(&rules.roots), rules.models.clone()),
    );
    evm.transact(tx)
}

/// Returns the environment of the block with this header.
pub(super) fn block_env(header: &Header) -> BlockEnv {
    let mut env = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: BLOCK_GAS_LIMIT,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        ..BlockEnv::default()
    };
    env.set_blob_excess_gas_and_price(
        0,
        revm::primitives::eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE,
    );
    env
}

/// Returns the value of `PREVRANDAO`, known as soon as the parent is: nothing may rely on it.
pub(super) fn prevrandao(parent: B256) -> B256 {
    seamline_core::keccak256(
        [
            b"seamline/localnet/prevrandao".as_slice(),
            parent.as_slice(),
        ]
        .concat(),
    )
}

/// Turns an engine's failure into ours; transactions are checked before, so refusals end here too.
pub(super) fn engine(err: EVMError<Error>) -> Error {
    match err {
        EVMError::Database(err) => err,
        EVMError::Transaction(err) => Error::Engine(err.to_string()),
        EVMError::Header(err) => Error::Engine(err.to_string()),
        EVMError::Custom(err) => Error::Engine(err),
        EVMError::CustomAny(err) => Error::Engine(err.to_string()),
    }
}

/// Says why an execution did not succeed, as go-ethereum does.
pub(super) fn failure(result: &ExecutionResult) -> Option<String> {
    match result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(revert_text(output)),
        ExecutionResult::Halt { reason, .. } => Some(format!("execution halted: {reason:?}")),
    }
}

/// Renders the reason inside revert data: `Error(string)` and `Panic(uint256)` as text.
pub(super) fn revert_text(output: &Bytes) -> String {
    if let Ok(revert) = Revert::abi_decode(output) {
        return format!("execution reverted: {}", revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(output) {
        return format!("execution reverted: {panic}");
    }
    "execution reverted".to_owned()
}
