use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, sol};
use seamline_localnet::chain::{Chain, VERIFIER};
use serde_json::{Value, json};

use super::{ask, get, open, wallet};

const RESPONSE: &str = include_str!("../../../../../spec/vectors/rsa-pss/response.json");

sol! {
    function verifyAttestation(bytes document, bytes signingKey, bytes tlsCertificate, bytes root)
        external view returns (bool valid, bytes32 pcrHash);
    function verifyRSAPSS(bytes key, bytes32 messageHash, bytes signature) external view returns (bool);
}

fn vector() -> verifyRSAPSSCall {
    let vector: Value = serde_json::from_str(RESPONSE).expect("a vector");
    let bytes =
        |name: &str| Bytes::from(hex::decode(vector[name].as_str().expect("text")).expect("hex"));
    verifyRSAPSSCall {
        key: bytes("public_key_der"),
        messageHash: B256::from_slice(&bytes("message_hash")),
        signature: bytes("signature"),
    }
}

fn call(
    chain: &Chain,
    input: Vec<u8>,
    gas: u64,
) -> Result<Value, seamline_localnet::chain::RpcError> {
    let call = json!({ "to": VERIFIER, "data": Bytes::from(input), "gas": format!("{gas:#x}") });
    ask(chain, "eth_call", json!([call, "latest"]))
}

fn valid(chain: &Chain, call: &verifyRSAPSSCall) -> bool {
    let input = Bytes::from(call.abi_encode());
    let out = get(
        chain,
        "eth_call",
        json!([{ "to": VERIFIER, "data": input }, "latest"]),
    );
    out == json!(B256::from(U256::from(1)))
}

#[test]
fn a_response_signature_is_verified_on_chain() {
    let chain = open();
    assert!(valid(&chain, &vector()));
    let mut other = vector();
    other.messageHash.0[0] ^= 1;
    assert!(!valid(&chain, &other), "another message");
    let mut other = vector();
    other.signature = other.signature.iter().rev().copied().collect();
    assert!(!valid(&chain, &other), "another signature");
    let mut other = vector();
    other.key = Bytes::from_static(b"not a key");
    assert!(!valid(&chain, &other), "no key");
    let mut other = vector();
    other.signature = vec![0; 1_025].into();
    assert!(!valid(&chain, &other), "too long");
    let mut other = vector();
    other.signature = Bytes::new();
    assert!(!valid(&chain, &other), "no signature");
}

#[test]
fn bad_evidence_is_answered_with_false_and_zero() {
    let chain = open();
    let nothing = [[0_u8; 32], [0; 32]].concat();
    for document in [
        Bytes::new(),
        Bytes::from_static(b"not evidence"),
        vec![0x84; 16 * 1024 + 1].into(),
    ] {
        let input = verifyAttestationCall {
            document,
            signingKey: Bytes::new(),
            tlsCertificate: Bytes::new(),
            root: Bytes::new(),
        };
        let out = call(&chain, input.abi_encode(), 5_000_000).expect("an answer");
        assert_eq!(out, json!(Bytes::from(nothing.clone())));
    }
}

#[test]
fn the_price_is_that_of_the_published_verifier() {
    let chain = open();
    let input = vector().abi_encode();
    // 21,000 and the calldata come before; a call from a contract pays the price alone.
    let gas = get(
        &chain,
        "eth_estimateGas",
        json!([{ "to": VERIFIER, "data": Bytes::from(input.clone()) }]),
    );
    let plain = get(
        &chain,
        "eth_estimateGas",
        json!([{ "to": super::STRANGER, "data": Bytes::from(input.clone()) }]),
    );
    let (gas, plain) = (super::number(&gas), super::number(&plain));
    assert!(gas > plain, "{gas} over {plain}");
    let sent = chain
        .transact(&wallet(1), Some(VERIFIER), U256::ZERO, input.clone().into())
        .expect("sent");
    let floor: u64 = input
        .iter()
        .map(|byte| if *byte == 0 { 4 } else { 16 })
        .sum();
    assert_eq!(sent.gas_used, 21_000 + floor + 20_000);
    let evidence = verifyAttestationCall {
        document: Bytes::new(),
        signingKey: Bytes::new(),
        tlsCertificate: Bytes::new(),
        root: Bytes::new(),
    };
    let err = call(&chain, evidence.abi_encode(), 500_000).expect_err("out of gas");
    assert_eq!(err.code, -32_000);
}

#[test]
fn what_is_not_a_call_reverts() {
    let chain = open();
    let good = vector().abi_encode();
    for input in [
        vec![],
        vec![0; 3],
        vec![1, 2, 3, 4],
        good[..4].to_vec(),
        good[..good.len() - 64].to_vec(),
    ] {
        let err = call(&chain, input, 5_000_000).expect_err("reverts");
        assert_eq!(err.code, 3);
    }
    let paid = json!([{
        "from": wallet(1).address(), "to": VERIFIER, "data": Bytes::from(good), "value": "0x1",
    }]);
    assert_eq!(
        ask(&chain, "eth_call", paid)
            .expect_err("takes no value")
            .code,
        3
    );
}
