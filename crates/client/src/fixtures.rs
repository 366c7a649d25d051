//! Calls, authorizations and a scripted chain for tests.

#[expect(
    clippy::arithmetic_side_effects,
    reason = "the helpers of a test fail the test"
)]
pub(crate) mod ledger;
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the helpers of a test fail the test"
)]
pub(crate) mod server;

use std::collections::VecDeque;
use std::sync::Mutex;

use seamline_core::{Address, Amount, B256, CallId, Timestamp, U256, keccak256};
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::scheme::{self, Authorization, Marks, Scheme, SignedAuthorization};
use seamline_evm::x402::PaymentRequired;
use seamline_evm::{Rpc, RpcCall, TransportError, Wallet};
use serde_json::{Value, json};

use crate::journal::{CallRecord, CallState, Journal, PaymentRecord};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_763_596_800);
pub(crate) const NODE: B256 = B256::repeat_byte(0xa1);
pub(crate) const SELLER: Address = Address::repeat_byte(0x5e);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
const FACILITATOR: Address = Address::repeat_byte(0xfa);

pub(crate) fn policy(per_day: u128) -> SpendPolicy {
    SpendPolicy {
        per_call: Amount::new(1_000),
        per_hour: None,
        per_day: Amount::new(per_day),
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Upto],
        networks: vec!["eip155:1".to_owned()],
        assets: vec![TOKEN],
        facilitators: None,
        max_lifetime_s: 60,
    }
}

pub(crate) fn wallet() -> Wallet {
    Wallet::from_bytes(&[0x51; 32]).unwrap()
}

/// A signed authorization of `amount`, valid for a minute from `now` on.
pub(crate) fn authorization(nonce: u8, amount: u128, now: Timestamp) -> SignedAuthorization {
    let admitted = policy(u128::MAX)
        .admit(&required(amount), SELLER, &Spent::default())
        .unwrap();
    let nonce = B256::repeat_byte(nonce);
    scheme::sign(&admitted, nonce, Marks::default(), &wallet(), now).unwrap()
}

/// What a node asks for.
pub(crate) fn required(amount: u128) -> PaymentRequired {
    let offer = json!({
        "scheme": "upto",
        "network": "eip155:1",
        "asset": TOKEN.to_string(),
        "amount": amount.to_string(),
        "payTo": SELLER.to_string(),
        "maxTimeoutSeconds": 60,
        "extra": {
            "assetTransferMethod": "permit2",
            "facilitatorAddress": FACILITATOR.to_string(),
        },
    });
    let required = json!({
        "x402Version": 2,
        "resource": { "url": "https://node.example/v1/chat/completions" },
        "accepts": [offer],
    });
    PaymentRequired::parse(required.to_string().as_bytes()).unwrap()
}

/// What the books hold of a signed authorization.
pub(crate) fn payment(nonce: u8, amount: u128, now: Timestamp) -> PaymentRecord {
    let authorization = authorization(nonce, amount, now);
    PaymentRecord::new(&authorization, NODE, 3, None)
}

/// Opens a call in the books.
pub(crate) fn open(journal: &Journal, now: Timestamp) -> CallRecord {
    let opened = journal.open_call(now.as_millis(), |seq| {
        let call_id = CallId::new([7; 16]);
        let record = CallRecord {
            seq,
            call_id: call_id.to_string(),
            opened_ms: now.as_millis(),
            model: "model".to_owned(),
            state: CallState::Open,
            step: "open".to_owned(),
            payment: None,
            receipt: None,
            purchase: None,
            voucher: None,
            answer: None,
            named_record: None,
        };
        (call_id, B256::repeat_byte(1), record)
    });
    opened.unwrap()
}

/// A chain that answers from a script; silent when it has come to its end.
#[derive(Default)]
pub(crate) struct Script(Mutex<VecDeque<Value>>);

impl Script {
    /// Lines up the answers to the next batches, each an array.
    pub(crate) fn push(&self, answers: impl IntoIterator<Item = Value>) {
        self.0.lock().unwrap().extend(answers);
    }

    /// A nonce that is unspent at a block of this time.
    pub(crate) fn unspent(&self, time_s: u64) {
        let word = format!("{:#066x}", U256::ZERO);
        self.push([json!([block(time_s)]), json!([word, block(time_s)])]);
    }

    /// A nonce that was spent by settling `amount`.
    pub(crate) fn settled(&self, paid: &SignedAuthorization, amount: u128, time_s: u64) {
        let [.., last] = paid.auth_nonce.0;
        let bit = U256::ONE.wrapping_shl(usize::from(last));
        let promise = Authorization::of(&paid.payload).unwrap();
        let (_, input) = promise.settle_call(Amount::new(amount), None);
        let hash = keccak256("transaction").to_string();
        let proxy = seamline_evm::bindings::UPTO_PROXY.to_string();
        let transaction = json!({ "hash": hash, "to": proxy, "input": input.to_string() });
        let topics = [
            keccak256("Transfer(address,address,uint256)").to_string(),
            paid.payer.into_word().to_string(),
            paid.pay_to.into_word().to_string(),
        ];
        let value = format!("{:#066x}", U256::from(amount));
        let receipt = json!({
            "transactionHash": hash,
            "blockNumber": "0x4",
            "blockHash": B256::repeat_byte(4).to_string(),
            "status": "0x1",
            "logs": [
                { "address": TOKEN.to_string(), "topics": topics, "data": value },
                { "address": proxy, "topics": [keccak256("Settled()").to_string()], "data": "0x" },
            ],
        });
        self.push([
            json!([block(time_s)]),
            json!([format!("{bit:#066x}"), block(time_s)]),
            json!([[{ "transactionHash": hash }]]),
            json!([transaction, receipt]),
        ]);
    }
}

fn block(time_s: u64) -> Value {
    json!({
        "number": "0x7",
        "hash": B256::repeat_byte(7).to_string(),
        "timestamp": format!("{time_s:#x}"),
    })
}

impl Rpc for Script {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        let answer = self.0.lock().unwrap().pop_front();
        Box::pin(async move {
            let answers = answer.ok_or_else(|| TransportError {
                kind: TransportKind::Unreachable,
                detail: "the script is over".to_owned(),
            })?;
            let answers = answers.as_array().unwrap().clone();
            assert_eq!(answers.len(), calls.len(), "{calls:?}");
            Ok(answers.into_iter().map(Ok).collect())
        })
    }
}
