//! Whatever is lost, late, refused, lied about or crashed: a call signs one nonce, sends only what
//! it has stored, and ends in agreement with the chain.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "the helpers of a test stand outside of its function"
)]

use std::collections::VecDeque;

use proptest::prelude::*;
use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::chain::{Block, ChainFacts, SettlementFacts};
use seamline_evm::payment::{Action, Event, Payment, State, Terms};
use seamline_evm::scheme::{Method, Scheme};
use seamline_evm::x402::{Reason, SettleResponse};

const NONCE: B256 = B256::repeat_byte(1);
const START_S: u64 = 1_000;

/// The chain as it is, whatever anybody is told about it.
struct Chain {
    number: u64,
    time_s: u64,
    settled: Option<SettlementFacts>,
    cancelled: bool,
}

struct World {
    chain: Chain,
    payment: Payment,
    todo: VecDeque<Action>,
    signed: Vec<Terms>,
    journal: Vec<Terms>,
    presented: Vec<B256>,
    crashes: u32,
    sends: u32,
}

impl World {
    fn new() -> Self {
        Self {
            chain: Chain {
                number: 1,
                time_s: START_S,
                settled: None,
                cancelled: false,
            },
            payment: Payment::new(NONCE),
            todo: VecDeque::new(),
            signed: Vec::new(),
            journal: Vec::new(),
            presented: Vec::new(),
            crashes: 0,
            sends: 0,
        }
    }

    /// Gives an event; says whether it was accepted.
    fn give(&mut self, event: Event) -> bool {
        let now = Timestamp::from_secs(self.chain.time_s);
        let taken = self.payment.on_event(event, now);
        let accepted = taken.is_ok();
        self.todo.extend(taken.unwrap_or_default());
        self.check();
        accepted
    }

    fn sign(&mut self, lifetime_s: u64) {
        let count = u8::try_from(self.signed.len()).unwrap_or(u8::MAX);
        let terms = Terms {
            scheme: Scheme::Upto,
            method: Method::Permit2,
            key: NONCE,
            auth_nonce: NONCE,
            digest: B256::with_last_byte(count),
            pay_to: Address::with_last_byte(count),
            amount: Amount::new(100),
            deadline_s: self.chain.time_s + lifetime_s,
        };
        let now = Timestamp::from_secs(self.chain.time_s);
        if let Ok(actions) = self.payment.on_event(Event::Signed(terms), now) {
            self.signed.push(terms);
            self.todo.extend(actions);
        }
    }

    /// Does what the payment asked for next.
    fn act(&mut self, chain_answers: bool) {
        match self.todo.pop_front() {
            Some(Action::Store(digest)) => {
                let terms = self.signed.iter().find(|terms| terms.digest == digest);
                self.journal.extend(terms);
                self.give(Event::AuthorizationStored);
            }
            Some(Action::Send(digest) | Action::ResendSame(digest)) => {
                if self.give(Event::Sent) {
                    let stored = self.journal.iter().any(|terms| terms.digest == digest);
                    assert!(stored, "sent before it was stored");
                    let spent = self.chain.settled.is_some();
                    assert!(!self.payment.is_final() || spent, "sent after the end");
                    self.sends += 1;
                    // Every fifth connection fails before the first byte.
                    if self.sends.is_multiple_of(5) {
                        self.give(Event::NotSent);
                    } else {
                        self.presented.push(digest);
                    }
                }
            }
            Some(Action::AskChain) if chain_answers => {
                let facts = self.facts();
                self.give(Event::ChainSays(facts));
            }
            Some(Action::AskChain) => {
                self.give(Event::ChainSilent);
            }
            Some(Action::Wait(_) | Action::Conclude) | None => {}
        }
    }

    fn facts(&self) -> ChainFacts {
        ChainFacts {
            nonce_used: self.chain.settled.is_some() || self.chain.cancelled,
            cancelled: false,
            settlement: self.chain.settled,
            block: Block {
                number: self.chain.number,
                hash: B256::with_last_byte(9),
                time_s: self.chain.time_s,
            },
        }
    }

    /// A node settles one of the authorizations that it was shown, if Permit2 lets it.
    fn settle(&mut self, which: usize) {
        let Some(digest) = self.presented.get(which % self.presented.len().max(1)) else {
            return;
        };
        let terms = self
            .journal
            .iter()
            .find(|terms| terms.digest == *digest)
            .unwrap();
        let spent = self.chain.settled.is_some() || self.chain.cancelled;
        if !spent && self.chain.time_s <= terms.deadline_s {
            self.chain.settled = Some(SettlementFacts {
                transaction: *digest,
                block_number: self.chain.number,
                block_hash: B256::ZERO,
                amount: Amount::new(50),
                pay_to: terms.pay_to,
            });
        }
    }

    /// The process dies and comes back with what the journal holds.
    fn crash(&mut self) {
        self.todo.clear();
        self.crashes += 1;
        if self.journal.is_empty() {
            self.payment = Payment::new(NONCE);
            self.signed.clear();
        } else {
            let (payment, actions) = Payment::recover(self.journal.clone()).unwrap();
            self.payment = payment;
            self.todo.extend(actions);
        }
    }

    fn step(&mut self, op: u8, data: u64) {
        let place = usize::try_from(data).unwrap_or_default();
        match op % 12 {
            0 => self.sign(7 + data % 60),
            1..=3 => self.act(!data.is_multiple_of(3)),
            4 => self.settle(place),
            5 => {
                self.chain.time_s += data % 40;
                self.chain.number += 1;
            }
            6 => {
                // True or not: the node says what it likes.
                let hash = (data.is_multiple_of(2)).then_some(B256::with_last_byte(1));
                let amount = Amount::new(50);
                let reply = SettleResponse::settled("eip155:1", Address::ZERO, hash, amount);
                self.give(Event::ReplyOk(Box::new(reply)));
            }
            7 if data.is_multiple_of(3) => {
                self.give(Event::ReplyMute);
            }
            7 => {
                self.give(Event::ReplyLost);
            }
            8 => {
                self.give(Event::ReplyRefused(Reason::from("invalid_payload")));
            }
            9 => {
                self.give(Event::Woken);
            }
            10 if data.is_multiple_of(4) => self.crash(),
            11 if data.is_multiple_of(16) => self.chain.cancelled |= self.chain.settled.is_none(),
            _ => {
                self.give(Event::GivenUp);
            }
        }
    }

    fn check(&self) {
        match self.payment.state() {
            State::Settled(facts) => assert_eq!(Some(*facts), self.chain.settled),
            State::NotSettled(_) => {
                assert_eq!(self.chain.settled, None);
                let live = |terms: &Terms| terms.deadline_s >= self.chain.time_s;
                assert!(
                    !self.journal.iter().any(live),
                    "given up while it can settle"
                );
            }
            State::Abandoned => assert!(self.presented.is_empty(), "given up after sending"),
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Submitted { .. }
            | State::Unknown { .. } => {}
        }
        let other = Terms {
            scheme: Scheme::Upto,
            method: Method::Permit2,
            key: NONCE,
            auth_nonce: B256::ZERO,
            digest: B256::ZERO,
            pay_to: Address::ZERO,
            amount: Amount::ZERO,
            deadline_s: u64::MAX,
        };
        let refused = self
            .payment
            .clone()
            .on_event(Event::Signed(other), Timestamp::default());
        assert!(refused.is_err_and(|_| true), "a second nonce was accepted");
    }

    /// Time passes all deadlines and the chain answers everything.
    fn finish(&mut self) {
        for _ in 0..64 {
            while !self.todo.is_empty() {
                self.act(true);
            }
            self.chain.time_s += 120;
            self.chain.number += 1;
            self.give(Event::ReplyLost);
            self.give(Event::Woken);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_nonce_no_double_payment_and_the_chain_is_right(
        steps in prop::collection::vec((any::<u8>(), any::<u64>()), 0..80)
    ) {
        let mut world = World::new();
        for (op, data) in steps {
            world.step(op, data);
        }
        world.finish();
        match (world.chain.settled, world.presented.is_empty()) {
            (Some(settled), _) => prop_assert_eq!(world.payment.state(), &State::Settled(settled)),
            (None, false) if world.chain.cancelled => {
                let unknown = matches!(world.payment.state(), State::Unknown { .. } | State::Submitted { .. });
                prop_assert!(unknown || world.payment.is_final(), "{:?}", world.payment.state());
            }
            (None, false) => {
                let proven = matches!(world.payment.state(), State::NotSettled(_));
                prop_assert!(proven, "{:?}", world.payment.state());
            }
            (None, true) => {
                let harmless = matches!(
                    world.payment.state(),
                    State::New | State::Abandoned | State::NotSettled(_)
                );
                let recovered = world.crashes > 0;
                prop_assert!(harmless || recovered, "{:?}", world.payment.state());
            }
        }
    }
}
