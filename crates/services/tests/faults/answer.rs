//! What the simulated chain answers.

use alloy_sol_types::SolCall as _;
use seamline_core::{Address, B256, U256};
use seamline_evm::bindings::{EXACT_PROXY, IPermit2, IToken, PERMIT2, UPTO_PROXY};
use seamline_evm::{RpcCall, RpcError};
use serde_json::{Value, json};

use crate::chain::{Block, GENESIS, State};
use crate::contracts::{CHAIN_ID, TOKEN, TOKEN_NAME, TOKEN_VERSION};
use crate::transaction::Transaction;

impl State {
    pub(crate) fn answer(&mut self, call: &RpcCall) -> Result<Value, RpcError> {
        let params = &call.params;
        Ok(match call.method.as_ref() {
            "eth_chainId" => quantity(CHAIN_ID),
            "eth_getBlockByNumber" => self.at(&params[0]).map_or(Value::Null, header),
            "eth_getBalance" => json!("0xde0b6b3a7640000"),
            "eth_getCode" => {
                let contracts = [TOKEN, PERMIT2, EXACT_PROXY, UPTO_PROXY];
                let is_one = contracts.contains(&address(&params[0]));
                json!(if is_one { "0x6001" } else { "0x" })
            }
            "eth_getTransactionCount" => {
                let account = address(&params[0]);
                let nonces = &self.head().ledger.account_nonces;
                let mut next = nonces.get(&account).copied().unwrap_or(0);
                while params[1] == "pending" && self.pool.contains_key(&(account, next)) {
                    next += 1;
                }
                quantity(next)
            }
            "eth_feeHistory" => json!({"baseFeePerGas": ["0x7", "0x7"], "reward": [["0x1"]]}),
            "eth_call" => return self.call(&params[0], &params[1]),
            "eth_sendRawTransaction" => json!(self.send(&bytes(&params[0]))?),
            "eth_getTransactionReceipt" => self.receipt(&params[0]),
            "eth_getTransactionByHash" => {
                let mined = self.blocks.iter().flat_map(|block| &block.mined);
                let mut known = mined.map(|(tx, _)| tx).chain(self.pool.values());
                match known.find(|tx| is(tx, &params[0])) {
                    Some(tx) => json!({
                        "to": tx.to, "hash": tx.hash, "input": hex::encode_prefixed(&tx.input),
                    }),
                    None => Value::Null,
                }
            }
            "eth_getLogs" => self.logs(&params[0]),
            method => panic!("nobody should call {method}"),
        })
    }

    fn at(&self, tag: &Value) -> Option<&Block> {
        match tag.as_str().unwrap() {
            "latest" | "pending" => self.blocks.last(),
            number => {
                let number = u64::from_str_radix(&number[2..], 16).unwrap();
                let index = number.checked_sub(GENESIS)?;
                self.blocks.get(usize::try_from(index).unwrap())
            }
        }
    }

    fn call(&mut self, transaction: &Value, tag: &Value) -> Result<Value, RpcError> {
        let input = bytes(&transaction["data"]);
        let to = address(&transaction["to"]);
        let settles = self.decode(to, &input);
        let Some(block) = self.at(tag) else {
            return Err(crate::chain::refusal("header not found"));
        };
        if let Some(settles) = settles {
            let from = &transaction["from"];
            let sender = if from.is_null() {
                Address::ZERO
            } else {
                address(from)
            };
            let mut ledger = (*block.ledger).clone();
            return match ledger.settle(&settles, sender, block.time_s) {
                Ok(()) => Ok(json!("0x")),
                Err(data) => Err(RpcError {
                    code: 3,
                    message: "execution reverted".to_owned(),
                    data: Some(json!(hex::encode_prefixed(data))),
                }),
            };
        }
        let ledger = &block.ledger;
        let word = if let Ok(it) = IPermit2::nonceBitmapCall::abi_decode(&input) {
            ledger.bitmap(it.owner, it.word)
        } else if let Ok(it) = IToken::authorizationStateCall::abi_decode(&input) {
            U256::from(ledger.is_used(it.authorizer, it.nonce))
        } else if let Ok(it) = IToken::balanceOfCall::abi_decode(&input) {
            ledger.tokens_of(it.owner)
        } else if IToken::allowanceCall::abi_decode(&input).is_ok() {
            U256::MAX
        } else if IToken::nameCall::abi_decode(&input).is_ok() {
            return Ok(text(TOKEN_NAME));
        } else if IToken::versionCall::abi_decode(&input).is_ok() {
            return Ok(text(TOKEN_VERSION));
        } else {
            // An account without code.
            return Ok(json!("0x"));
        };
        Ok(json!(hex::encode_prefixed(word.to_be_bytes::<32>())))
    }

    fn receipt(&self, hash: &Value) -> Value {
        for block in &self.blocks {
            if let Some((tx, ok)) = block.mined.iter().find(|(tx, _)| is(tx, hash)) {
                return json!({
                    "transactionHash": tx.hash,
                    "blockNumber": quantity(block.number),
                    "blockHash": block.hash,
                    "status": if *ok { "0x1" } else { "0x0" },
                    "gasUsed": "0x16b48",
                    "logs": if *ok { logs_of(tx) } else { Vec::new() },
                });
            }
        }
        Value::Null
    }

    fn logs(&self, filter: &Value) -> Value {
        let bound = |name: &str| {
            let text = filter[name].as_str().unwrap();
            u64::from_str_radix(&text[2..], 16).unwrap()
        };
        let span = bound("fromBlock")..=bound("toBlock");
        let wanted = filter["topics"].as_array().unwrap();
        let blocks = self.blocks.iter().filter(|it| span.contains(&it.number));
        let mined = blocks.flat_map(|block| &block.mined);
        let logs = mined.filter(|(_, ok)| *ok).flat_map(|(tx, _)| logs_of(tx));
        logs.filter(|log| {
            let topics = log["topics"].as_array().unwrap();
            address(&log["address"]) == address(&filter["address"])
                && wanted.len() <= topics.len()
                && wanted
                    .iter()
                    .zip(topics)
                    .all(|(wanted, topic)| wanted == topic)
        })
        .collect()
    }
}

fn logs_of(tx: &Transaction) -> Vec<Value> {
    tx.settles
        .as_ref()
        .map_or_else(Vec::new, |settles| settles.logs(tx.hash))
}

fn is(tx: &Transaction, hash: &Value) -> bool {
    let wanted: B256 = hash.as_str().unwrap().parse().unwrap();
    tx.hash == wanted
}

fn header(block: &Block) -> Value {
    json!({
        "number": quantity(block.number),
        "hash": block.hash,
        "parentHash": block.parent,
        "timestamp": quantity(block.time_s),
    })
}

/// A string as a contract returns it.
fn text(text: &str) -> Value {
    let mut data = U256::from(32).to_be_bytes::<32>().to_vec();
    data.extend(U256::from(text.len()).to_be_bytes::<32>());
    data.extend(text.as_bytes());
    data.resize(96, 0);
    json!(hex::encode_prefixed(data))
}

fn quantity(value: u64) -> Value {
    json!(format!("{value:#x}"))
}

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}
