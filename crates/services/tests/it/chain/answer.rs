//! What the scripted chain answers.

use seamline_core::{Address, B256, U256, keccak256};
use seamline_evm::{RpcCall, RpcError};
use serde_json::{Value, json};

use super::transaction::{self, Settles, Transaction};
use super::{Block, Mood, State, bytes, refusal};
use crate::payments::{CHAIN_ID, TOKEN};

impl State {
    pub(super) fn answer(&mut self, call: &RpcCall) -> Result<Value, RpcError> {
        let params = &call.params;
        Ok(match call.method.as_ref() {
            "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
            "eth_getBlockByNumber" => self.block(&params[0]),
            "eth_getBalance" => json!(if self.mood == Mood::Poor {
                "0x0"
            } else {
                "0x1000"
            }),
            "eth_getCode" => {
                let mut contracts = self.contracts.iter();
                let known = contracts.any(|it| hex_of(it.as_slice()) == params[0]);
                json!(if known { "0x6001" } else { "0x" })
            }
            "eth_getTransactionCount" if params[1] == "pending" => {
                let mut next = self.next_account_nonce;
                while self.pool.contains_key(&next) {
                    next += 1;
                }
                json!(format!("{next:#x}"))
            }
            "eth_getTransactionCount" => json!(format!("{:#x}", self.next_account_nonce)),
            "eth_feeHistory" => json!({"baseFeePerGas": ["0x7", "0x7"], "reward": [["0x1"]]}),
            "eth_call" => return self.call(&params[0]),
            "eth_sendRawTransaction" => return self.send(&params[0]),
            "eth_getTransactionReceipt" => self.receipt(&params[0]),
            "eth_getTransactionByHash" => {
                let mined = self.mined().map(|(_, tx, _)| tx);
                let mut known = mined.chain(self.pool.values());
                match known.find(|tx| json!(tx.hash) == params[0]) {
                    Some(tx) => json!({
                        "to": tx.to, "hash": tx.hash, "input": hex::encode_prefixed(&tx.input),
                    }),
                    None => Value::Null,
                }
            }
            "eth_getLogs" if self.mood == Mood::Behind => json!([]),
            "eth_getLogs" => self.logs(&params[0]),
            method => panic!("the facilitator should not call {method}"),
        })
    }

    fn block(&self, number: &Value) -> Value {
        let newest = u64::try_from(self.blocks.len()).unwrap() + 100;
        let number = match number.as_str().unwrap() {
            "latest" => newest,
            text => u64::from_str_radix(&text[2..], 16).unwrap(),
        };
        if number > newest {
            return Value::Null;
        }
        let hash = match number.checked_sub(101) {
            Some(index) => self.blocks[usize::try_from(index).unwrap()].hash,
            None => B256::repeat_byte(0xbb),
        };
        json!({
            "number": format!("{number:#x}"),
            "hash": hash,
            "timestamp": format!("{:#x}", self.time_s),
            "parentHash": B256::ZERO,
        })
    }

    /// Every mined transaction with the number of its block and whether it succeeded.
    pub(super) fn mined(&self) -> impl Iterator<Item = (u64, &Transaction, &bool)> {
        let numbered = self.blocks.iter().zip(101..);
        numbered
            .flat_map(|(block, number)| block.mined.iter().map(move |(tx, ok)| (number, tx, ok)))
    }

    fn is_spent(&self, settles: &Settles) -> bool {
        self.mined().any(|(_, tx, ok)| {
            let other = tx.settles.as_ref();
            *ok && other.is_some_and(|other| other.spends() == settles.spends())
        })
    }

    fn call(&self, transaction: &Value) -> Result<Value, RpcError> {
        let input = bytes(&transaction["data"]);
        let to: Address = transaction["to"].as_str().unwrap().parse().unwrap();
        if let Some(settles) = Settles::read(to, &input) {
            if !self.is_spent(&settles) {
                return Ok(json!("0x"));
            }
            // Permit2's InvalidNonce(), and what FiatToken says.
            let data = match to {
                TOKEN => used(),
                _ => "0x756688fe".to_owned(),
            };
            return Err(RpcError {
                code: 3,
                message: "execution reverted".to_owned(),
                data: Some(json!(data)),
            });
        }
        let word = match input[..4] {
            // isValidSignature: whoever has code accepts.
            [0x16, 0x26, 0xba, 0x7e] if self.contracts.contains(&to) => {
                U256::from(0x1626_ba7e_u64) << 224
            }
            // Permit2's nonceBitmap(owner, word).
            [0x4f, 0xe0, 0x2b, 0x44] => self.bitmap(&input),
            // authorizationState(authorizer, nonce).
            [0xe9, 0x4a, 0x01, 0x02] => {
                let owner = Address::from_word(transaction::word(&input, 0));
                let nonce = transaction::word(&input, 1);
                let spent = self
                    .spent_by(owner)
                    .any(|it| it.token_nonce() == Some(nonce));
                U256::from(spent)
            }
            _ => U256::from(u64::MAX),
        };
        Ok(json!(hex::encode_prefixed(word.to_be_bytes::<32>())))
    }

    fn bitmap(&self, input: &[u8]) -> U256 {
        let owner = Address::from_word(transaction::word(input, 0));
        let wanted = U256::from_be_bytes(transaction::word(input, 1).0);
        let nonces = self.spent_by(owner).filter_map(Settles::permit2_nonce);
        let of_word = nonces.filter(|nonce| *nonce >> 8 == wanted);
        of_word.fold(U256::ZERO, |bits, nonce| {
            bits | (U256::from(1) << (nonce & U256::from(255)))
        })
    }

    fn spent_by(&self, owner: Address) -> impl Iterator<Item = &Settles> {
        let settled = self.mined().filter(|(_, _, ok)| **ok);
        let settled = settled.filter_map(|(_, tx, _)| tx.settles.as_ref());
        settled.filter(move |settles| settles.payer == owner)
    }

    fn send(&mut self, raw: &Value) -> Result<Value, RpcError> {
        let raw = bytes(raw);
        self.offered.push(raw.clone());
        if let Some(error) = self.refuse_next.take() {
            return Err(error);
        }
        if self.mood == Mood::Poor {
            return Err(refusal("insufficient funds for gas * price + value"));
        }
        let tx = Transaction::read(&raw);
        let hash = json!(tx.hash);
        if self.mined().any(|(_, mined, _)| mined.hash == tx.hash) {
            return Err(refusal("already known"));
        }
        if tx.account_nonce < self.next_account_nonce {
            return Err(refusal("nonce too low"));
        }
        if let Some(waiting) = self.pool.get(&tx.account_nonce) {
            if waiting.hash == tx.hash {
                return Err(refusal("already known"));
            }
            // An eighth more, in both fees, as geth wants it (it wants a tenth).
            let enough = tx.max_fee * 10 >= waiting.max_fee * 11 && tx.tip * 10 >= waiting.tip * 11;
            if !enough {
                return Err(refusal("replacement transaction underpriced"));
            }
        }
        self.pool.insert(tx.account_nonce, tx);
        match self.mood {
            Mood::Instant | Mood::Behind => self.mine(true),
            Mood::ErrsOnSend => {
                self.mine(true);
                return Err(refusal("internal error"));
            }
            Mood::Reverts => self.mine(false),
            Mood::Slow
            | Mood::LosesReplies
            | Mood::HangsOnSend
            | Mood::Holds
            | Mood::Down
            | Mood::Poor => {}
        }
        Ok(hash)
    }

    /// Mines from the pool in the order of the account, without gaps, what pays enough.
    pub(super) fn mine(&mut self, success: bool) {
        let mut mined: Vec<(Transaction, bool)> = Vec::new();
        while let Some(tx) = self.pool.get(&self.next_account_nonce) {
            if tx.max_fee < self.min_fee {
                break;
            }
            let tx = self.pool.remove(&self.next_account_nonce).unwrap();
            self.next_account_nonce += 1;
            // Permit2 and the token spend a nonce once.
            let spent = tx.settles.as_ref().is_some_and(|it| {
                let spends = it.spends();
                let here = mined.iter().filter(|(_, ok)| *ok);
                let mut here = here.filter_map(|(tx, _)| tx.settles.as_ref());
                self.is_spent(it) || here.any(|other| other.spends() == spends)
            });
            let does_nothing = tx.settles.is_none() && tx.input.is_empty();
            let succeeds = (success || does_nothing) && !spent;
            mined.push((tx, succeeds));
        }
        if !mined.is_empty() {
            self.close(mined);
        }
    }

    pub(super) fn close(&mut self, mined: Vec<(Transaction, bool)>) {
        let number = u64::try_from(self.blocks.len()).unwrap();
        let seed = [number.to_be_bytes(), self.fork.to_be_bytes()].concat();
        let hash = keccak256(seed);
        self.blocks.push(Block { hash, mined });
    }

    fn receipt(&self, hash: &Value) -> Value {
        if self.mood == Mood::Behind {
            return Value::Null;
        }
        let Some((number, tx, success)) = self.mined().find(|(_, tx, _)| json!(tx.hash) == *hash)
        else {
            return Value::Null;
        };
        let logs = if *success { tx.logs() } else { Vec::new() };
        let index = usize::try_from(number - 101).unwrap();
        json!({
            "transactionHash": tx.hash,
            "blockNumber": format!("{number:#x}"),
            "blockHash": self.blocks[index].hash,
            "status": if *success { "0x1" } else { "0x0" },
            "gasUsed": "0x16b48",
            "logs": logs,
        })
    }

    /// Logs of an address whose first topics are the wanted ones.
    fn logs(&self, filter: &Value) -> Value {
        let wanted = filter["topics"].as_array().unwrap();
        let all = self.mined().filter(|(_, _, ok)| **ok);
        let all = all.flat_map(|(_, tx, _)| tx.logs());
        all.filter(|log| {
            let topics = log["topics"].as_array().unwrap();
            let mut pairs = wanted.iter().zip(topics);
            hex_of(
                log["address"]
                    .as_str()
                    .unwrap()
                    .parse::<Address>()
                    .unwrap()
                    .as_slice(),
            ) == filter["address"]
                && pairs.all(|(wanted, topic)| wanted == topic)
        })
        .collect()
    }
}

/// `Error("FiatTokenV2: authorization is used or canceled")`.
fn used() -> String {
    let text = b"FiatTokenV2: authorization is used or canceled";
    let mut data = hex::decode("08c379a0").unwrap();
    data.extend(U256::from(32).to_be_bytes::<32>());
    data.extend(U256::from(text.len()).to_be_bytes::<32>());
    data.extend(text);
    data.resize(4 + 64 + 64, 0);
    hex::encode_prefixed(data)
}

fn hex_of(bytes: &[u8]) -> Value {
    json!(hex::encode_prefixed(bytes))
}
