//! Transactions as the simulated chain reads them, with the sender recovered from the signature.

use std::sync::Arc;

use seamline_core::{Address, B256, U256, keccak256};
use seamline_evm::Signature;
use seamline_evm::tx::{Fees, Transaction as Unsigned};

use crate::contracts::Settles;

#[derive(Clone)]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) account_nonce: u64,
    pub(crate) tip: u128,
    pub(crate) max_fee: u128,
    pub(crate) to: Address,
    pub(crate) input: Vec<u8>,
    pub(crate) settles: Option<Arc<Settles>>,
}

impl Transaction {
    /// Reads `02 || rlp([chain id, account nonce, tip, fee, gas, to, value, input, list, y, r, s])`.
    pub(crate) fn read(
        raw: &[u8],
        mut decode: impl FnMut(Address, &[u8]) -> Option<Arc<Settles>>,
    ) -> Self {
        assert_eq!(raw[0], 2);
        let fields = list(&raw[1..]);
        let to = Address::from_slice(fields[5]);
        let input = fields[7].to_vec();
        let unsigned = Unsigned {
            chain_id: small(fields[0]),
            account_nonce: small(fields[1]),
            fees: Fees {
                max_priority_fee_per_gas: number(fields[2]),
                max_fee_per_gas: number(fields[3]),
            },
            gas_limit: small(fields[4]),
            to: Some(to),
            value: U256::from_be_slice(fields[6]),
            input: input.clone().into(),
        };
        let word = |bytes: &[u8]| U256::from_be_slice(bytes).to_be_bytes::<32>();
        let v = if fields[9] == [1] { 28 } else { 27 };
        let signature = [&word(fields[10]), &word(fields[11]), &[v][..]].concat();
        let signature = Signature::parse(&signature).unwrap();
        Self {
            hash: keccak256(raw),
            from: signature.recover(&unsigned.digest()).unwrap(),
            account_nonce: unsigned.account_nonce,
            tip: unsigned.fees.max_priority_fee_per_gas,
            max_fee: unsigned.fees.max_fee_per_gas,
            settles: decode(to, &input),
            to,
            input,
        }
    }
}

/// The items of an RLP list.
fn list(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut rest, after) = item(bytes);
    assert!(after.is_empty());
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (first, more) = item(rest);
        items.push(first);
        rest = more;
    }
    items
}

/// The payload of the first item, and what follows it.
fn item(bytes: &[u8]) -> (&[u8], &[u8]) {
    let long = |base: u8| {
        let width = usize::from(bytes[0] - base);
        let length = usize::try_from(number(&bytes[1..=width])).unwrap();
        bytes[1 + width..].split_at(length)
    };
    match bytes[0] {
        0..=0x7f => bytes.split_at(1),
        short @ 0x80..=0xb7 => bytes[1..].split_at(usize::from(short - 0x80)),
        0xb8..=0xbf => long(0xb7),
        short @ 0xc0..=0xf7 => bytes[1..].split_at(usize::from(short - 0xc0)),
        0xf8..=0xff => long(0xf7),
    }
}

fn number(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum * 256 + u128::from(*byte))
}

fn small(bytes: &[u8]) -> u64 {
    u64::try_from(number(bytes)).unwrap()
}
