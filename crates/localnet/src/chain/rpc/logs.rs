//! `eth_getLogs`.

use alloy_primitives::{Address, B256, BloomInput, Log};
use serde_json::Value;

use super::super::Chain;
use super::params::{self, BlockId, Fields, Params};
use super::{RpcError, internal, invalid_params, limit, wire};

/// Blocks that one query spans at most; public endpoints allow 500 to 10,000.
const MAX_LOG_BLOCKS: u64 = 10_000;

/// Logs that one query returns at most.
const MAX_LOGS: usize = 10_000;

/// Alternatives that a filter names at most, per position.
const MAX_ALTERNATIVES: usize = 1_000;

/// Which logs to return. An empty list allows everything.
struct Filter {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

impl Chain {
    pub(super) fn logs(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let fields = Fields(params.object(0)?);
        let filter = Filter::read(&fields)?;
        let reader = self.inner.store.reader().map_err(internal)?;
        let newest = reader.head().map_err(internal)?.header.number;
        let (from, to) = match fields.read("blockHash", params::hash)? {
            Some(_) if fields.has("fromBlock") || fields.has("toBlock") => {
                return Err(invalid_params(
                    "cannot specify both blockHash and fromBlock/toBlock",
                ));
            }
            Some(hash) => {
                let number = reader.number_of(hash).map_err(internal)?;
                let number = number.ok_or_else(|| super::server("unknown block"))?;
                (number, number)
            }
            None => (
                bound(&fields, "fromBlock", newest)?,
                bound(&fields, "toBlock", newest)?,
            ),
        };
        if from > to {
            return Err(invalid_params("invalid block range params"));
        }
        let to = to.min(newest);
        if to.saturating_sub(from) >= MAX_LOG_BLOCKS {
            return Err(limit(format!(
                "query exceeds max block range {MAX_LOG_BLOCKS}"
            )));
        }
        let mut found = Vec::new();
        for number in from..=to {
            let Some(head) = reader.header(number).map_err(internal)? else {
                break;
            };
            if !filter.may_match(&head.header.logs_bloom) {
                continue;
            }
            let Some(block) = reader.block(number).map_err(internal)? else {
                break;
            };
            for placed in wire::placed(&block).map_err(internal)? {
                for (index, log) in (placed.first_log..).zip(&placed.record.logs) {
                    if filter.matches(log) {
                        found.push(placed.log(index, log));
                    }
                }
            }
            if found.len() > MAX_LOGS {
                return Err(limit(format!(
                    "query returned more than {MAX_LOGS} results"
                )));
            }
        }
        Ok(Value::Array(found))
    }
}

impl Filter {
    fn read(fields: &Fields<'_>) -> Result<Self, RpcError> {
        let addresses = fields.read("address", |value| one_or_more(value, params::address))?;
        let topics = fields.read("topics", |value| {
            let positions = value.as_array().filter(|positions| positions.len() <= 4)?;
            let position = |value: &Value| {
                if value.is_null() {
                    Some(Vec::new())
                } else {
                    one_or_more(value, params::hash)
                }
            };
            positions.iter().map(position).collect::<Option<Vec<_>>>()
        })?;
        Ok(Self {
            addresses: addresses.unwrap_or_default(),
            topics: topics.unwrap_or_default(),
        })
    }

    fn may_match(&self, bloom: &alloy_primitives::Bloom) -> bool {
        let has = |bytes: &[u8]| bloom.contains_input(BloomInput::Raw(bytes));
        let address = self.addresses.is_empty()
            || self.addresses.iter().any(|address| has(address.as_slice()));
        let topic =
            |any: &Vec<B256>| any.is_empty() || any.iter().any(|topic| has(topic.as_slice()));
        address && self.topics.iter().all(topic)
    }

    fn matches(&self, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let topics = log.data.topics();
        // A longer filter asks for topics that the log does not have.
        let topic = |(index, any): (usize, &Vec<B256>)| {
            topics
                .get(index)
                .is_some_and(|topic| any.is_empty() || any.contains(topic))
        };
        address && self.topics.iter().enumerate().all(topic)
    }
}

fn bound(fields: &Fields<'_>, name: &str, newest: u64) -> Result<u64, RpcError> {
    Ok(match fields.read(name, params::block_id)? {
        None | Some(BlockId::Latest | BlockId::Pending) => newest,
        Some(BlockId::Earliest) => 0,
        Some(BlockId::Number(number)) => number,
        Some(BlockId::Hash(_)) => {
            return Err(invalid_params(format!("invalid value for `{name}`")));
        }
    })
}

fn one_or_more<T>(value: &Value, parse: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(values) if values.len() <= MAX_ALTERNATIVES => {
            values.iter().map(parse).collect()
        }
        Value::Array(_) => None,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            parse(value).map(|one| vec![one])
        }
    }
}
