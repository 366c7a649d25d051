use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall as _;
use seamline_core::NodeId;

use crate::bindings::{IRegistry, IRegistryWithOHTTP};
use crate::chain::exactly;
use crate::rpc::{At, bytes_of, send};
use crate::{Error, Rpc, RpcCall};

/// What the registry says about a node that settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKey {
    /// Response signing key: SubjectPublicKeyInfo, DER.
    pub public_key: Bytes,
    /// Where payments to the node go.
    pub pay_to: Address,
}

/// Longest signing key: twice RSA-4096.
const MAX_KEY: usize = 1100;

/// Reads the key of one node at the newest block; `None` where the registry does not have the node, has
/// it disabled, or has a key that is not the one of this id.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`], [`Error::Answer`].
pub async fn node_key(
    rpc: &dyn Rpc,
    registry: Address,
    node: NodeId,
) -> Result<Option<NodeKey>, Error> {
    let get = IRegistry::getTEECall {
        teeId: *node.as_b256(),
    };
    let call = RpcCall::call(registry, &get.abi_encode(), At::Latest);
    let results = send(rpc, &[call]).await?;
    let answer = match results.as_slice() {
        // `TEENotFound`, or whatever else the contract refuses with.
        [Err(error)] if error.revert().is_some() => return Ok(None),
        _ => exactly::<1>(results)?,
    };
    let [answer] = answer;
    let answer = bytes_of(&answer)?;
    let (public_key, pay_to, enabled) =
        if let Ok(info) = IRegistryWithOHTTP::getTEECall::abi_decode_returns(&answer) {
            (info.publicKey, info.paymentAddress, info.enabled)
        } else {
            let info = IRegistry::getTEECall::abi_decode_returns(&answer)
                .map_err(|_| Error::Answer("a node"))?;
            (info.publicKey, info.paymentAddress, info.enabled)
        };
    let genuine = public_key.len() <= MAX_KEY && NodeId::of_signing_key(&public_key) == node;
    Ok((enabled && genuine).then_some(NodeKey { public_key, pay_to }))
}
