use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Panic, PanicKind, Revert, SolError as _};
use serde_json::json;

use super::evm::revert_text;
use super::record::AccountRecord;
use super::state::Diff;

fn diff() -> Diff {
    let mut diff = Diff::default();
    diff.accounts
        .insert(Address::repeat_byte(1), Some(AccountRecord::EMPTY));
    diff.slots
        .insert((Address::repeat_byte(1), U256::from(2)), U256::from(3));
    diff
}

#[test]
fn the_state_root_commits_to_every_change_and_to_the_past() {
    let root = diff().root(B256::ZERO);
    assert_eq!(root, diff().root(B256::ZERO));
    assert_ne!(root, diff().root(B256::repeat_byte(1)), "another past");

    let mut gone = diff();
    gone.accounts.insert(Address::repeat_byte(1), None);
    let mut funded = diff();
    let record = AccountRecord {
        balance: U256::from(1),
        ..AccountRecord::EMPTY
    };
    funded
        .accounts
        .insert(Address::repeat_byte(1), Some(record));
    let mut written = diff();
    written
        .slots
        .insert((Address::repeat_byte(1), U256::from(2)), U256::from(4));
    let mut elsewhere = diff();
    elsewhere
        .slots
        .insert((Address::repeat_byte(1), U256::from(3)), U256::from(3));
    for other in [Diff::default(), gone, funded, written, elsewhere] {
        assert_ne!(other.root(B256::ZERO), root);
    }
}

#[test]
fn revert_data_is_put_into_words_where_it_has_any() {
    let text = Revert::from("too late").abi_encode();
    assert_eq!(revert_text(&text.into()), "execution reverted: too late");
    let panic = Panic::from(PanicKind::UnderOverflow).abi_encode();
    assert!(revert_text(&panic.into()).starts_with("execution reverted: panic"));
    for other in [
        Bytes::new(),
        Bytes::from_static(b"\x08\xc3\x79\xa0"),
        vec![7; 36].into(),
    ] {
        assert_eq!(revert_text(&other), "execution reverted");
    }
}

#[test]
fn quantities_are_read_as_the_execution_api_writes_them() {
    use super::rpc::quantity;
    assert_eq!(quantity(&json!("0x0")), Some(U256::ZERO));
    assert_eq!(quantity(&json!("0xFf")), Some(U256::from(255)));
    assert_eq!(
        quantity(&json!(format!("0x{}", "f".repeat(64)))),
        Some(U256::MAX)
    );
    for bad in [
        "", "0x", "0", "1", "0x00", "0x01", "0xg", "0x-1", "0x+1", "0x_1", " 0x1", "0x1 ",
    ] {
        assert_eq!(quantity(&json!(bad)), None, "{bad}");
    }
    assert_eq!(quantity(&json!(format!("0x1{}", "0".repeat(64)))), None);
    assert_eq!(quantity(&json!(1)), None);
}
