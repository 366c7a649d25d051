use serde_json::json;

use super::*;
use crate::fixtures::{Script, all_ok, ready};

const DEPTHS: Depths = Depths::new(2, 4);

fn block(number: u64, fork: u8) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": B256::repeat_byte(fork).to_string(),
        "timestamp": "0x1",
    })
}

fn anchor() -> Anchor {
    Anchor {
        number: 7,
        hash: B256::repeat_byte(1),
    }
}

fn look(head: Value, found: Value) -> Result<Standing, Error> {
    let script = Script::new([all_ok([head, found])]);
    ready(standing(&script, &anchor(), DEPTHS))
}

#[test]
fn depth_counts_the_own_block() {
    assert_eq!(DEPTHS.of(7, 7), Some(Finality::Seen));
    assert_eq!(DEPTHS.of(7, 8), Some(Finality::Confirmed));
    assert_eq!(DEPTHS.of(7, 9), Some(Finality::Confirmed));
    assert_eq!(DEPTHS.of(7, 10), Some(Finality::Final));
    assert_eq!(DEPTHS.of(7, u64::MAX), Some(Finality::Final));
    assert_eq!(DEPTHS.of(7, 6), None);
    assert!(Finality::Seen < Finality::Confirmed && Finality::Confirmed < Finality::Final);
}

#[test]
fn nothing_is_acted_on_before_it_is_in_a_block_nor_final_before_it_is_confirmed() {
    assert_eq!(Depths::new(0, 0).confirmations(), 1);
    let depths = Depths::new(5, 2);
    assert_eq!((depths.confirmations(), depths.finality()), (5, 5));
    assert_eq!(Depths::new(1, 1).of(3, 3), Some(Finality::Final));
    assert_eq!(Depths::default().finality(), FINALITY_DEPTH);
}

#[test]
fn a_block_that_is_still_there_says_how_deep_it_is() {
    let seen = look(block(7, 1), block(7, 1)).unwrap();
    assert_eq!(seen, Standing::There(Finality::Seen));
    let last = look(block(10, 9), block(7, 1)).unwrap();
    assert_eq!(last, Standing::There(Finality::Final));
}

#[test]
fn another_block_at_its_number_means_that_it_is_gone() {
    assert_eq!(look(block(10, 9), block(7, 2)).unwrap(), Standing::Gone);
}

#[test]
fn a_shorter_chain_says_nothing() {
    assert_eq!(look(block(6, 9), Value::Null).unwrap(), Standing::Behind);
    assert_eq!(look(block(6, 9), block(7, 1)).unwrap(), Standing::Behind);
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let other = look(block(10, 9), block(8, 1));
    assert!(matches!(other, Err(Error::Answer(_))), "{other:?}");
    let nothing = look(Value::Null, block(7, 1));
    assert!(matches!(nothing, Err(Error::Answer(_))), "{nothing:?}");
}
