//! A node's heartbeat: the signed statement that keeps it active in the registry.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_core::NodeId;
use serde_json::json;

use crate::bindings::IRegistry;

/// A signed heartbeat, ready for a facilitator or for the registry itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The node.
    pub node: NodeId,
    /// The time that was signed, Unix seconds; the registry refuses one that lies ahead of it.
    pub timestamp: u64,
    /// RSA-PSS by the node's response signing key over `core::canonical::heartbeat_hash`.
    pub signature: Bytes,
}

impl Heartbeat {
    /// The input of a transaction to the registry; anybody may send it.
    pub fn calldata(&self) -> Bytes {
        let call = IRegistry::heartbeatCall {
            teeId: *self.node.as_b256(),
            timestamp: U256::from(self.timestamp),
            signature: self.signature.clone(),
        };
        call.abi_encode().into()
    }

    /// The JSON body of `POST /heartbeat` of a facilitator that relays to `registry`.
    pub fn post_body(&self, registry: Address) -> String {
        let Self {
            node,
            timestamp,
            signature,
        } = self;
        let signature = STANDARD.encode(signature);
        let members = [
            ("teeId", node.to_string()),
            ("timestamp", timestamp.to_string()),
            ("signature", signature),
            ("contractAddress", registry.to_string()),
        ];
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{}", json!(value)))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_and_the_call_match_the_vector() {
        let vectors = seamline_testkit::json_vector("x402/opengradient.json");
        let vector = &vectors["heartbeat"];
        let text = |name: &str| vector[name].as_str().unwrap();
        let heartbeat = Heartbeat {
            node: NodeId::parse(text("tee_id")).unwrap(),
            timestamp: vector["timestamp"].as_u64().unwrap(),
            signature: STANDARD.decode(text("signature_b64")).unwrap().into(),
        };
        let registry = vector["post_body"]["contractAddress"].as_str().unwrap();
        let body = heartbeat.post_body(registry.parse().unwrap());
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, vector["post_body"]);
        let call = IRegistry::heartbeatCall::abi_decode(&heartbeat.calldata()).unwrap();
        assert_eq!(call.teeId, *heartbeat.node.as_b256());
        assert_eq!(call.timestamp, U256::from(heartbeat.timestamp));
        assert_eq!(call.signature, heartbeat.signature);
    }
}
