//! The contracts of the local network, placed by its genesis at fixed addresses.

use alloy_primitives::{Address, U256, address};
use alloy_sol_types::SolValue as _;
use seamline_core::Timestamp;
use seamline_evm::bindings::{EXACT_PROXY, PERMIT2, UPTO_PROXY};

pub use seamline_evm::bindings::MULTICALL3;
pub use seamline_evm::channel::{BATCH_SETTLEMENT, ERC3009_COLLECTOR, PERMIT2_COLLECTOR};

use crate::chain::{Artifact, ArtifactError, Genesis};
use crate::layout::Layout;

/// The registry of nodes.
pub const REGISTRY: Address = address!("5ea1000000000000000000000000000000000001");
/// The token that calls are paid with: OPG of the local network, worth nothing.
pub const TOKEN: Address = address!("5ea1000000000000000000000000000000000002");
/// The contract that records settled inferences.
pub const SETTLEMENT: Address = address!("5ea1000000000000000000000000000000000003");

/// The hub of models, where OpenGradient's SDK looks for it.
pub const INFERENCE_HUB: Address = address!("8383C9bD7462F12Eb996DD02F78234C0421A6FaE");

/// Decimals of the token.
pub const DECIMALS: u8 = 18;
/// Symbol of the token.
pub const SYMBOL: &str = "OPG";
/// All tokens there are: a billion.
const SUPPLY: u128 = 1_000_000_000 * 10_u128.pow(18);
/// Native coin of each account of the network: a thousand.
const GAS_MONEY: u128 = 1_000 * 10_u128.pow(18);

const REGISTRY_ARTIFACT: &str = include_str!("../../../contracts/artifacts/TEERegistry.json");
const TOKEN_ARTIFACT: &str = include_str!("../../../contracts/artifacts/OPGToken.json");
const SETTLEMENT_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/InferenceSettlement.json");
const PERMIT2_ARTIFACT: &str = include_str!("../../../contracts/artifacts/Permit2.json");
const UPTO_ARTIFACT: &str = include_str!("../../../contracts/artifacts/X402UptoPermit2Proxy.json");
const EXACT_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/X402ExactPermit2Proxy.json");
const CHANNELS_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/X402BatchSettlement.json");
const ERC3009_COLLECTOR_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/ERC3009DepositCollector.json");
const PERMIT2_COLLECTOR_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/Permit2DepositCollector.json");
const MULTICALL3_ARTIFACT: &str = include_str!("../../../contracts/artifacts/Multicall3.json");
const HUB_ARTIFACT: &str = include_str!("../../../contracts/artifacts/InferenceHub.json");

/// Builds the state before the first block: contracts, and coins for `funded`. `operator`
/// administers the contracts and holds all tokens.
///
/// Payment channels and Multicall3 are a later edition, and the hub of models is one after: a chain that was stored before them is
/// opened and gets them with its next block ([`Genesis::edition`]).
///
/// # Errors
///
/// [`ArtifactError`] if a committed artifact does not read.
pub fn genesis(
    time: Timestamp,
    operator: Address,
    funded: &[Address],
) -> Result<Genesis, ArtifactError> {
    laid_out(Layout::SEAMLINE, time, operator, funded)
}

/// As [`genesis`], with the contracts where `layout` has them.
pub(crate) fn laid_out(
    layout: Layout,
    time: Timestamp,
    operator: Address,
    funded: &[Address],
) -> Result<Genesis, ArtifactError> {
    let runtime = |json| Artifact::parse(json).map(|artifact| artifact.deployed_bytecode);
    let construct = |json, arguments: &[u8]| {
        Artifact::parse(json).map(|artifact| artifact.with_arguments(arguments))
    };
    let mut genesis = Genesis::new(time)
        .place(PERMIT2, runtime(PERMIT2_ARTIFACT)?)
        .place(UPTO_PROXY, runtime(UPTO_ARTIFACT)?)
        .place(EXACT_PROXY, runtime(EXACT_ARTIFACT)?)
        .construct(
            layout.registry,
            construct(REGISTRY_ARTIFACT, &operator.abi_encode())?,
        )
        .construct(
            layout.token,
            construct(
                TOKEN_ARTIFACT,
                &(operator, U256::from(SUPPLY)).abi_encode_params(),
            )?,
        )
        .construct(
            layout.settlement,
            construct(
                SETTLEMENT_ARTIFACT,
                &(operator, layout.registry).abi_encode_params(),
            )?,
        )
        .fund(operator, U256::from(GAS_MONEY));
    for account in funded {
        genesis = genesis.fund(*account, U256::from(GAS_MONEY));
    }
    Ok(genesis
        .edition()
        .place(BATCH_SETTLEMENT, runtime(CHANNELS_ARTIFACT)?)
        .place(ERC3009_COLLECTOR, runtime(ERC3009_COLLECTOR_ARTIFACT)?)
        .place(PERMIT2_COLLECTOR, runtime(PERMIT2_COLLECTOR_ARTIFACT)?)
        .place(MULTICALL3, runtime(MULTICALL3_ARTIFACT)?)
        .edition()
        .place(INFERENCE_HUB, runtime(HUB_ARTIFACT)?))
}
