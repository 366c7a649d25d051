//! A node's heartbeat: the signed statement that keeps it active in the registry.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_core::NodeId;
use serde_json::{Map, Value, json};

use crate::bindings::IRegistry;
use crate::settlement::number;

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

    /// Reads the JSON body of `POST /heartbeat`, with any of the names that OpenGradient's facilitator
    /// takes for its members; returns the registry, too.
    ///
    /// # Errors
    ///
    /// The member that is missing or malformed; `body` where it is no JSON object.
    pub fn parse_body(body: &[u8]) -> Result<(Self, Address), &'static str> {
        let members: Map<String, Value> = serde_json::from_slice(body).map_err(|_| "body")?;
        let first = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
        let text = |names: &[&str]| first(names).and_then(Value::as_str);
        let node = text(&["teeId", "tee_id", "tee id", "tee-id"]).and_then(NodeId::parse);
        let timestamp = number(first(&["timestamp", "timeStamp", "time_stamp"]));
        let signature = text(&["signature", "teeSignature", "tee_signature"])
            .and_then(|text| STANDARD.decode(text).ok());
        let registry = text(&["contractAddress", "registry", "contract_address"]);
        let registry = registry.and_then(|text| text.parse().ok());
        let heartbeat = Self {
            node: node.ok_or("teeId")?,
            timestamp: timestamp.ok_or("timestamp")?,
            signature: signature.ok_or("signature")?.into(),
        };
        Ok((heartbeat, registry.ok_or("contractAddress")?))
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
        let read = Heartbeat::parse_body(body.to_string().as_bytes());
        assert_eq!(read, Ok((heartbeat.clone(), registry.parse().unwrap())));
        let call = IRegistry::heartbeatCall::abi_decode(&heartbeat.calldata()).unwrap();
        assert_eq!(call.teeId, *heartbeat.node.as_b256());
        assert_eq!(call.timestamp, U256::from(heartbeat.timestamp));
        assert_eq!(call.signature, heartbeat.signature);
    }

    #[test]
    fn a_body_has_other_names_too_and_no_missing_member() {
        let vectors = seamline_testkit::json_vector("x402/opengradient.json");
        let good = vectors["heartbeat"]["post_body"].clone();
        let read = |body: &Value| Heartbeat::parse_body(body.to_string().as_bytes());
        let expected = read(&good).unwrap();
        for (name, others) in [
            ("teeId", ["tee_id", "tee id", "tee-id"].as_slice()),
            ("timestamp", &["timeStamp", "time_stamp"]),
            ("signature", &["teeSignature", "tee_signature"]),
            ("contractAddress", &["registry", "contract_address"]),
        ] {
            let mut without = good.clone();
            let value = without.as_object_mut().unwrap().remove(name).unwrap();
            assert_eq!(read(&without), Err(name));
            for other in others {
                let mut renamed = without.clone();
                renamed[*other] = value.clone();
                assert_eq!(read(&renamed).unwrap(), expected, "{other}");
            }
            for wrong in [json!(null), json!({}), json!("xyz!"), json!(-1)] {
                let mut altered = good.clone();
                altered[name] = wrong.clone();
                assert_eq!(read(&altered), Err(name), "{wrong}");
            }
        }
        let mut hexadecimal = good;
        hexadecimal["timestamp"] = json!(format!("{:#x}", expected.0.timestamp));
        assert_eq!(read(&hexadecimal).unwrap(), expected);
        assert_eq!(Heartbeat::parse_body(b"[]"), Err("body"));
    }
}
