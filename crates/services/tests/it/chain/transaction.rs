//! Transactions as the scripted chain reads them.

use seamline_core::{Address, B256, U256, keccak256};
use seamline_evm::bindings::{EXACT_PROXY, UPTO_PROXY};
use serde_json::{Value, json};

use crate::payments::TOKEN;

#[derive(Clone)]
pub(super) struct Transaction {
    pub(super) hash: B256,
    pub(super) account_nonce: u64,
    pub(super) tip: u128,
    pub(super) max_fee: u128,
    pub(super) to: Address,
    pub(super) input: Vec<u8>,
    pub(super) settles: Option<Settles>,
}

/// What a transaction moves.
#[derive(Clone)]
pub(super) struct Settles {
    contract: Address,
    pub(super) payer: Address,
    to: Address,
    value: B256,
    nonce: B256,
}

impl Transaction {
    /// Reads an EIP-1559 transaction: `02 || rlp([chain id, account nonce, tip, fee, gas, to, value,
    /// input, ...])`.
    pub(super) fn read(raw: &[u8]) -> Self {
        assert_eq!(raw[0], 2);
        let fields = list(&raw[1..]);
        let to = Address::from_slice(fields[5]);
        let input = fields[7].to_vec();
        Self {
            hash: keccak256(raw),
            account_nonce: number(fields[1]).try_into().unwrap(),
            tip: number(fields[2]),
            max_fee: number(fields[3]),
            settles: Settles::read(to, &input),
            to,
            input,
        }
    }

    /// Logs of success.
    pub(super) fn logs(&self) -> Vec<Value> {
        let Some(settles) = &self.settles else {
            return Vec::new();
        };
        let moved = self.log(
            TOKEN,
            &[
                keccak256("Transfer(address,address,uint256)"),
                settles.payer.into_word(),
                settles.to.into_word(),
            ],
            &settles.value.to_string(),
        );
        let used = match settles.contract {
            TOKEN => self.log(
                TOKEN,
                &[
                    keccak256("AuthorizationUsed(address,bytes32)"),
                    settles.payer.into_word(),
                    settles.nonce,
                ],
                "0x",
            ),
            proxy => self.log(proxy, &[keccak256("Settled()")], "0x"),
        };
        if settles.contract == TOKEN {
            vec![used, moved]
        } else {
            vec![moved, used]
        }
    }

    fn log(&self, address: Address, topics: &[B256], data: &str) -> Value {
        json!({
            "address": address.to_string(),
            "topics": topics,
            "data": data,
            "transactionHash": self.hash,
            "logIndex": 0,
        })
    }
}

impl Settles {
    /// Reads a call of a settling function.
    pub(super) fn read(to: Address, input: &[u8]) -> Option<Self> {
        let account = |index| Address::from_word(word(input, index));
        let selector = input.get(..4)?;
        Some(match (to, selector) {
            // settle(((token, amount), nonce, deadline), amount, owner, (to, ..), signature).
            (UPTO_PROXY, [0xff, 0x11, 0xe7, 0xb4]) => Self {
                contract: to,
                payer: account(5),
                to: account(6),
                value: word(input, 4),
                nonce: word(input, 2),
            },
            // settle(((token, amount), nonce, deadline), owner, (to, ..), signature).
            (EXACT_PROXY, [0x13, 0xcd, 0x3b, 0x53]) => Self {
                contract: to,
                payer: account(4),
                to: account(5),
                value: word(input, 1),
                nonce: word(input, 2),
            },
            // transferWithAuthorization(from, to, value, after, before, nonce, ..), both of them.
            (TOKEN, [0xe3, 0xee, 0x16, 0x0e] | [0xcf, 0x09, 0x29, 0x95]) => Self {
                contract: to,
                payer: account(0),
                to: account(1),
                value: word(input, 2),
                nonce: word(input, 5),
            },
            _ => return None,
        })
    }

    /// What the chain spends once.
    pub(super) fn spends(&self) -> (bool, Address, B256) {
        (self.contract == TOKEN, self.payer, self.nonce)
    }

    pub(super) fn permit2_nonce(&self) -> Option<U256> {
        (self.contract != TOKEN).then(|| U256::from_be_bytes(self.nonce.0))
    }

    pub(super) fn token_nonce(&self) -> Option<B256> {
        (self.contract == TOKEN).then_some(self.nonce)
    }
}

pub(super) fn word(input: &[u8], index: usize) -> B256 {
    let start = 4 + 32 * index;
    B256::from_slice(&input[start..start + 32])
}

/// The items of an RLP list of strings.
fn list(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut rest, _) = item(bytes);
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (next, after) = item(rest);
        items.push(next);
        rest = after;
    }
    items
}

/// The content of the first RLP item, and what follows it.
fn item(bytes: &[u8]) -> (&[u8], &[u8]) {
    let long = |offset: u8| {
        let size = usize::from(bytes[0] - offset);
        let length = bytes[1..=size]
            .iter()
            .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
        bytes[1 + size..].split_at(length)
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
