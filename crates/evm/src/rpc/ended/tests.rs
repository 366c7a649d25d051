use serde_json::json;

use super::*;

fn error(code: i64, message: &str) -> RpcError {
    RpcError {
        code,
        message: message.to_owned(),
        data: None,
    }
}

#[test]
fn a_halt_is_an_end_without_bytes_in_every_wording() {
    for message in [
        // The embedded chain.
        "execution halted: OutOfGas(Basic)",
        "execution halted: InvalidFEOpcode",
        "execution halted: OpcodeNotFound",
        // anvil.
        "EVM error OutOfGas",
        "EVM error MemoryOOG",
        "EVM error InvalidFEOpcode",
        "EVM error StackUnderflow",
        // reth.
        "EVM error: InvalidJump",
        // go-ethereum.
        "out of gas",
        "out of gas: gas required exceeds: 100000",
        "invalid opcode: INVALID",
        "invalid opcode: opcode 0xa7 not defined",
        "invalid jump destination",
        "stack underflow (0 <=> 2)",
        "stack limit reached 1024 (1023)",
        "write protection",
    ] {
        for code in [-32_000, -32_003, -32_015, -32_603] {
            let halt = error(code, message);
            assert_eq!(halt.ended(), Some(Bytes::new()), "{message}");
            assert_eq!(halt.revert(), None, "{message}");
        }
    }
}

#[test]
fn what_says_nothing_about_the_code_is_no_end() {
    for message in [
        "",
        "header not found",
        "internal error",
        "execution aborted (timeout = 5s)",
        "project is out of gas credits",
        "daily quota: out of gas",
        "insufficient funds for gas * price + value",
        "missing trie node",
        "EVM error FatalExternalError",
        "EVM error OutOfGasCredits",
        "EVM error: ",
        "execution halted: ",
        "execution halted",
        "stack trace: connection refused",
    ] {
        assert_eq!(error(-32_000, message).ended(), None, "{message}");
    }
}

#[test]
fn a_revert_keeps_its_bytes() {
    let mut reverted = error(3, "out of gas");
    reverted.data = Some(json!("0x756688fe"));
    let bytes = Bytes::from_static(&[0x75, 0x66, 0x88, 0xfe]);
    assert_eq!(reverted.ended(), Some(bytes.clone()));
    assert_eq!(reverted.revert(), Some(bytes));
    let bare = error(-32_000, "execution reverted: no");
    assert_eq!(bare.ended(), Some(Bytes::new()));
}
