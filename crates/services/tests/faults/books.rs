//! The payer's journal: what survives its death.

use std::collections::BTreeMap;
use std::sync::Mutex;

use seamline_core::{Amount, B256};
use seamline_evm::chain::Anchor;
use seamline_evm::payment::State;
use seamline_evm::policy::Spent;
use seamline_evm::scheme::SignedAuthorization;
use seamline_evm::x402::PaymentPayload;

use crate::world::PRICE;

/// What the journal holds about one authorization nonce.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) purchase: u64,
    /// The payloads, in the order of signing: what survives a death.
    pub(crate) payloads: Vec<String>,
    pub(crate) from_block: u64,
    pub(crate) state: State,
    /// Whether the payment was unknown once.
    pub(crate) was_unknown: bool,
    /// The block that the outcome was read in, until it is final.
    pub(crate) anchor: Option<Anchor>,
    /// Whether a fork took an outcome back.
    pub(crate) was_undone: bool,
}

/// The payer's journal.
#[derive(Default)]
pub(crate) struct Books(pub(crate) Mutex<BTreeMap<B256, Entry>>);

impl Books {
    pub(crate) fn all(&self) -> BTreeMap<B256, Entry> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn entry(&self, nonce: &B256) -> Option<Entry> {
        self.0.lock().unwrap().get(nonce).cloned()
    }

    /// What was spent, as the policy is told.
    pub(crate) fn spent(&self) -> Spent {
        let books = self.0.lock().unwrap();
        let sum = |of: &dyn Fn(&Entry) -> Amount| {
            let sum = books.values().map(|entry| of(entry).get()).sum();
            Amount::new(sum)
        };
        let settled = sum(&Entry::settled);
        Spent {
            hour: settled,
            today: settled,
            reserved: sum(&|entry| {
                if entry.is_open() {
                    Amount::new(PRICE)
                } else {
                    Amount::ZERO
                }
            }),
            ..Spent::default()
        }
    }
}

impl Entry {
    pub(crate) fn settled(&self) -> Amount {
        match &self.state {
            State::Settled(facts) => facts.amount,
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Submitted { .. }
            | State::Unknown { .. }
            | State::NotSettled(_)
            | State::Abandoned => Amount::ZERO,
        }
    }

    /// Whether the outcome is not known.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(
            self.state,
            State::Settled(_) | State::NotSettled(_) | State::Abandoned
        )
    }

    /// Whether nobody needs to look any more.
    pub(crate) const fn is_final(&self) -> bool {
        !self.is_open() && self.anchor.is_none()
    }

    pub(crate) fn signed(&self) -> Vec<SignedAuthorization> {
        let payloads = self.payloads.iter();
        let read = |json: &String| {
            let payload = PaymentPayload::parse(json.as_bytes()).unwrap();
            SignedAuthorization::from_payload(payload).unwrap()
        };
        payloads.map(read).collect()
    }
}
