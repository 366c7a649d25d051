//! A seller over payment channels, with its books.

use std::collections::HashMap;
use std::sync::Mutex;

use seamline_core::B256;
use seamline_evm::channel::{ChainState, CorrectiveState, Payload};

use super::*;

/// What a purchase is charged, of the price that is asked.
pub(super) const CHARGE: u128 = 60;
const CUMULATIVE: &str = "invalid_batch_settlement_evm_cumulative_amount_mismatch";

/// A seller's books of one channel.
#[derive(Default)]
pub(super) struct Books {
    balance: u128,
    charged: u128,
    newest: Option<(Amount, Vec<u8>)>,
}

/// A seller over channels.
#[derive(Default)]
pub(super) struct Seller {
    pub(super) channels: Mutex<HashMap<B256, Books>>,
    /// What it does with the answers to vouchers, in turn: lose them, before or after the charge.
    pub(super) faults: Mutex<Vec<Fault>>,
}

#[derive(Clone, Copy)]
pub(super) enum Fault {
    None,
    LoseBefore,
    LoseAfter,
    /// Charged, and the answer is not kept.
    Gone,
}

pub(super) fn channel_offer() -> Value {
    let mut offer = offer(PRICE, SELLER);
    offer["scheme"] = json!("batch-settlement");
    offer["extra"]["receiverAuthorizer"] = json!(Address::repeat_byte(0xaa).to_string());
    offer["extra"]["withdrawDelay"] = json!(900);
    offer
}

impl Seller {
    pub(super) fn sells(&self, request: &Request) -> Reply {
        let Some(payment) = request.payload() else {
            return asks(request, &[channel_offer()], &json!({}));
        };
        let (config, voucher, deposit) = match Payload::parse(payment.payload()).unwrap() {
            Payload::Deposit {
                config,
                voucher,
                deposit,
            } => (config, voucher, deposit.amount.get()),
            Payload::Voucher { config, voucher } => (config, voucher, 0),
            other @ (Payload::Refund { .. } | Payload::Claim { .. } | Payload::Settle { .. }) => {
                panic!("{other:?}")
            }
        };
        let id = config.id(1);
        let mut channels = self.channels.lock().unwrap();
        let books = channels.entry(id).or_default();
        if books.balance == 0 {
            books.balance = deposit;
        }
        let ceiling = voucher.max_claimable.get();
        if ceiling != books.charged + PRICE {
            return corrects(request, id, books);
        }
        assert!(ceiling <= books.balance, "more than there is");
        let fault = self.faults.lock().unwrap().pop().unwrap_or(Fault::None);
        if matches!(fault, Fault::LoseBefore) {
            return Reply::Drop;
        }
        books.charged += CHARGE;
        books.newest = Some((voucher.max_claimable, voucher.signature.to_vec()));
        if matches!(fault, Fault::LoseAfter) {
            return Reply::Drop;
        }
        let reply = json!({
            "success": true, "transaction": "", "network": "eip155:1",
            "extra": { "chargedAmount": CHARGE.to_string(), "channelState": {
                "chargedCumulativeAmount": books.charged.to_string(),
            } },
        });
        let reply = encode_header(reply.to_string().as_bytes());
        if matches!(fault, Fault::Gone) {
            return Reply::Http(409, vec![("payment-response", reply)], b"{}".to_vec());
        }
        Reply::Http(200, vec![("payment-response", reply)], b"goods".to_vec())
    }

    pub(super) fn charged(&self) -> u128 {
        let channels = self.channels.lock().unwrap();
        channels.values().map(|books| books.charged).sum()
    }
}

/// The corrective 402.
fn corrects(request: &Request, channel_id: B256, books: &Books) -> Reply {
    let state = CorrectiveState {
        channel_id,
        chain: ChainState {
            balance: Amount::new(books.balance),
            ..ChainState::default()
        },
        charged: Some(Amount::new(books.charged)),
        voucher: books.newest.clone(),
    };
    let mut offer = channel_offer();
    offer["extra"]
        .as_object_mut()
        .unwrap()
        .extend(state.write());
    let host = request.header("host").unwrap();
    let required = json!({
        "x402Version": 2, "error": CUMULATIVE,
        "resource": { "url": format!("http://{host}{}", request.path) },
        "accepts": [offer],
    });
    let header = encode_header(required.to_string().as_bytes());
    Reply::Http(402, vec![("payment-required", header)], Vec::new())
}
