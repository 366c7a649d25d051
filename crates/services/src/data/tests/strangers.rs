//! Strangers who ask for ids that nobody registered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_sol_types::{SolCall as _, SolValue as _};
use http::StatusCode;
use seamline_core::{Address, B256, NodeId, U256, sha256};
use seamline_evm::bindings::{IRegistry, TEEInfo};
use seamline_evm::rpc::BatchFuture;
use seamline_evm::{Rpc, RpcCall};
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{REGISTRY, SPKI};
use crate::data::Error;
use crate::data::http::failed;
use crate::data::nodes::{NoWord, Nodes};

/// A registry of one node, which never answers about any other.
#[derive(Default)]
struct Slow {
    calls: AtomicUsize,
}

impl Rpc for Slow {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        self.calls.fetch_add(calls.len(), Ordering::SeqCst);
        let call = calls[0].params[0].clone();
        let input = call["data"].as_str().unwrap();
        let input = hex::decode(input.strip_prefix("0x").unwrap()).unwrap();
        let ours = NodeId::of_signing_key(SPKI);
        let answer = if let Ok(list) = IRegistry::getTEEsByTypeCall::abi_decode(&input) {
            let ids = if list.teeType == 0 {
                vec![*ours.as_b256()]
            } else {
                Vec::new()
            };
            IRegistry::getTEEsByTypeCall::abi_encode_returns(&ids)
        } else {
            let asked = IRegistry::getTEECall::abi_decode(&input).unwrap();
            if asked.teeId != *ours.as_b256() {
                return Box::pin(core::future::pending());
            }
            let info = TEEInfo {
                owner: Address::ZERO,
                paymentAddress: Address::repeat_byte(1),
                endpoint: String::new(),
                publicKey: SPKI.to_vec().into(),
                tlsCertificate: Vec::new().into(),
                pcrHash: B256::ZERO,
                teeType: 0,
                enabled: true,
                registeredAt: U256::ZERO,
                lastHeartbeatAt: U256::ZERO,
            };
            info.abi_encode()
        };
        let answer = json!(format!("0x{}", hex::encode(answer)));
        Box::pin(async move { Ok(vec![Ok(answer)]) })
    }
}

#[tokio::test(start_paused = true)]
async fn ids_that_are_made_up_keep_no_node_away() {
    const MANY: usize = 10_000;
    let (nodes, rpc) = (Arc::new(Nodes::default()), Arc::new(Slow::default()));
    let mut asking = JoinSet::new();
    for index in 0..MANY {
        let (nodes, rpc) = (Arc::clone(&nodes), Arc::clone(&rpc));
        let id = NodeId::new(sha256(&[&index.to_be_bytes()]));
        asking.spawn(async move { nodes.find(rpc.as_ref(), REGISTRY, id).await });
    }
    // All but those that hold or wait for a place are sent away at once, the latter after a moment.
    for _ in 2..MANY {
        let said = asking.join_next().await.unwrap().unwrap();
        assert!(matches!(said, Err(NoWord::Busy)), "{said:?}");
    }
    assert_eq!(asking.len(), 2);
    // Two lists, two strangers.
    assert_eq!(rpc.calls.load(Ordering::SeqCst), 4);
    let ours = NodeId::of_signing_key(SPKI);
    let found = nodes.find(rpc.as_ref(), REGISTRY, ours).await.unwrap();
    assert_eq!(found.unwrap().public_key[..], *SPKI);
    assert_eq!(asking.len(), 2);
    assert_eq!(rpc.calls.load(Ordering::SeqCst), 5);
}

#[test]
fn who_is_sent_away_is_told_when_to_come_again() {
    let said = failed(&Error::Busy);
    assert_eq!(said.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(said.headers()["retry-after"], "5");
    let said = failed(&Error::Blob(crate::data::blob::BlobError::Malformed));
    assert_eq!(said.headers().get("retry-after"), None);
}
