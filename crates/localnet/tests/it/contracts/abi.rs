//! What the outside world expects of the artifacts: selectors, errors, topics and type hashes, from
//! the published contracts (x402, Permit2, ERC-3009, OpenGradient).

mod channels;

use alloy_primitives::{B256, b256, keccak256};
use alloy_sol_types::sol;
use seamline_evm::bindings::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use serde_json::Value;

use super::{World, artifact_json};

sol! {
    interface Proxy {
        function WITNESS_TYPEHASH() external view returns (bytes32);
        function WITNESS_TYPE_STRING() external view returns (string);
        function PERMIT2() external view returns (address);
    }
}

/// Every entry of `name`'s interface as kind, canonical signature and hash.
fn interface(name: &str) -> Vec<(String, String, B256)> {
    let artifact: Value = serde_json::from_str(&artifact_json(name)).unwrap();
    let entries = artifact["abi"].as_array().unwrap().iter();
    entries
        .filter(|entry| entry["name"].is_string())
        .map(|entry| {
            let signature = format!(
                "{}({})",
                entry["name"].as_str().unwrap(),
                types(&entry["inputs"])
            );
            let hash = keccak256(&signature);
            (entry["type"].as_str().unwrap().to_owned(), signature, hash)
        })
        .collect()
}

fn types(inputs: &Value) -> String {
    let names = inputs.as_array().unwrap().iter().map(|input| {
        let name = input["type"].as_str().unwrap();
        name.strip_prefix("tuple").map_or_else(
            || name.to_owned(),
            |array| format!("({}){array}", types(&input["components"])),
        )
    });
    names.collect::<Vec<_>>().join(",")
}

/// Asserts that each selector (or topic) in `expected` belongs to an entry of that kind and name.
fn expect(artifact: &str, kind: &str, expected: &[(&str, &str)]) {
    let interface = interface(artifact);
    for (digits, name) in expected {
        let found = interface.iter().any(|(entry, signature, hash)| {
            entry == kind
                && signature.split('(').next() == Some(name)
                && hex::encode(hash).starts_with(digits)
        });
        assert!(found, "{artifact} has no {kind} {name} with 0x{digits}");
    }
}

#[test]
fn token_has_the_functions_of_x402() {
    expect(
        "OPGToken",
        "function",
        &[
            ("e3ee160e", "transferWithAuthorization"),
            ("cf092995", "transferWithAuthorization"),
            ("88b7ab63", "receiveWithAuthorization"),
            ("ef55bec6", "receiveWithAuthorization"),
            ("5a049a70", "cancelAuthorization"),
            ("e94a0102", "authorizationState"),
            ("d505accf", "permit"),
            ("7ecebe00", "nonces"),
            ("3644e515", "DOMAIN_SEPARATOR"),
            ("54fd4d50", "version"),
        ],
    );
}

#[test]
fn token_has_the_topics_of_x402() {
    expect(
        "OPGToken",
        "event",
        &[
            (
                "98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5",
                "AuthorizationUsed",
            ),
            (
                "1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81",
                "AuthorizationCanceled",
            ),
            (
                "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
                "Transfer",
            ),
        ],
    );
}

#[test]
fn permit2_has_the_published_interface() {
    expect(
        "Permit2",
        "function",
        &[
            ("4fe02b44", "nonceBitmap"),
            ("30f28b7a", "permitTransferFrom"),
            ("137c29fe", "permitWitnessTransferFrom"),
            ("3ff9dcb1", "invalidateUnorderedNonces"),
            ("3644e515", "DOMAIN_SEPARATOR"),
        ],
    );
    expect(
        "Permit2",
        "error",
        &[
            ("756688fe", "InvalidNonce"),
            ("cd21db4f", "SignatureExpired"),
            ("815e1d64", "InvalidSigner"),
            ("8baa579f", "InvalidSignature"),
            ("4be6321b", "InvalidSignatureLength"),
            ("b0669cbc", "InvalidContractSignature"),
        ],
    );
}

const PROXY_ERRORS: [(&str, &str); 5] = [
    ("2c5211c6", "InvalidAmount"),
    ("ac6b05f5", "InvalidDestination"),
    ("49e27cff", "InvalidOwner"),
    ("a65539fa", "PaymentTooEarly"),
    ("050cda49", "Permit2612AmountMismatch"),
];

const PROXY_EVENTS: [(&str, &str); 2] = [
    (
        "97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6",
        "Settled",
    ),
    (
        "de5b89d10fc800c459329c382fabfcad0be0ed7e5328e01fae04e507b09ef5d8",
        "SettledWithPermit",
    ),
];

#[test]
fn upto_proxy_has_the_published_interface() {
    let name = "X402UptoPermit2Proxy";
    expect(
        name,
        "function",
        &[("ff11e7b4", "settle"), ("016c1748", "settleWithPermit")],
    );
    expect(name, "error", &PROXY_ERRORS);
    expect(
        name,
        "error",
        &[
            ("0f6fae87", "UnauthorizedFacilitator"),
            ("fe64b4c7", "AmountExceedsPermitted"),
        ],
    );
    expect(name, "event", &PROXY_EVENTS);
}

#[test]
fn exact_proxy_has_the_published_interface() {
    let name = "X402ExactPermit2Proxy";
    expect(
        name,
        "function",
        &[("13cd3b53", "settle"), ("fa340378", "settleWithPermit")],
    );
    expect(name, "error", &PROXY_ERRORS);
    expect(name, "event", &PROXY_EVENTS);
}

#[test]
fn registry_has_the_functions_of_the_sdk() {
    let signatures: Vec<String> = interface("TEERegistry")
        .into_iter()
        .map(|(_, signature, _)| signature)
        .collect();
    for expected in [
        "getActiveTEEs(uint8)",
        "getTEE(bytes32)",
        "tees(bytes32)",
        "getEnabledTEEs(uint8)",
        "getTEEsByType(uint8)",
        "getTEEsByOwner(address)",
        "isTEEEnabled(bytes32)",
        "isTEEActive(bytes32)",
        "getTEEPublicKey(bytes32)",
        "computeTEEId(bytes)",
        "setAWSRootCertificate(bytes)",
        "awsRootCertificate()",
        "addTEEType(uint8,string)",
        "isValidTEEType(uint8)",
        "getTEETypes()",
        "teeTypes(uint8)",
        "approvePCR((bytes,bytes,bytes),string,uint8)",
        "revokePCR(bytes32,uint8)",
        "isPCRApproved(uint8,bytes32)",
        "computePCRHash((bytes,bytes,bytes))",
        "getApprovedPCRs()",
        "pcrRecords(uint8,bytes32)",
        "registerTEEWithAttestation(bytes,bytes,bytes,address,string,uint8)",
        "disableTEE(bytes32)",
        "enableTEE(bytes32)",
        "heartbeat(bytes32,uint256,bytes)",
        "setHeartbeatMaxAge(uint256)",
        "heartbeatMaxAge()",
        "setOHTTPConfig(bytes32,uint8,uint16,uint16,uint16,bytes,bytes,bytes)",
        "clearOHTTPConfig(bytes32)",
        "TEE_OPERATOR()",
        "VERIFIER()",
    ] {
        assert!(
            signatures.iter().any(|found| found == expected),
            "{expected}"
        );
    }
}

#[test]
fn settlement_has_the_published_topics() {
    let expected = [
        "BatchSettlement(bytes32,uint256,bytes)",
        "IndividualSettlement(bytes32,address,bytes32,bytes32,uint256,bytes,bytes)",
    ];
    let interface = interface("InferenceSettlement");
    for event in expected {
        assert!(
            interface
                .iter()
                .any(|(kind, signature, _)| kind == "event" && signature == event),
            "{event}"
        );
    }
}

#[test]
fn witness_type_hashes_are_the_published_ones() {
    let world = World::new();
    for (proxy, expected) in [
        (
            UPTO_PROXY,
            b256!("d4171c445a74218b01d4fd8af34ff1106580ea1e36ff837e64484bfaa2253b75"),
        ),
        (
            EXACT_PROXY,
            b256!("d97b3239a7f32295517bd14cb074edfdd188dfe5eb42f802bb26d4fd1eb12c37"),
        ),
    ] {
        assert_eq!(world.read(proxy, &Proxy::WITNESS_TYPEHASHCall {}), expected);
        assert_eq!(world.read(proxy, &Proxy::PERMIT2Call {}), PERMIT2);
        // The string that Permit2 hashes ends with the type that the witness hash starts from.
        let text = world.read(proxy, &Proxy::WITNESS_TYPE_STRINGCall {});
        let witness = text.rfind("Witness(").map(|at| &text[at..]).unwrap();
        assert_eq!(keccak256(witness), expected);
        assert!(text.contains("TokenPermissions(address token,uint256 amount)"));
    }
}
