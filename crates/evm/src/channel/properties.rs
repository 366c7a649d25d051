//! Random interleavings of calls, losses, crashes, corrections, lies, claims and withdrawals, against
//! a model of the chain.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a model that overflows fails its test"
)]

use std::collections::BTreeSet;

use alloy_primitives::{B256, U256, keccak256};
use proptest::prelude::*;
use seamline_core::{Amount, Timestamp};
use serde_json::{Value, json};

use super::fixtures::{CHAIN, admitted_at, authorizer, config, keys, offer_at, payer, read, rule};
use super::payer::{self as pays, Refusal};
use super::seller::{self, Action, ClaimRules, Collector, Decline, Event, Request, Rules, Step};
use super::{ChainState, Claim, Payload, Terms};
use crate::fixtures::NOW;
use crate::x402::{Reason, SettleResponse};

mod chain;
mod seller_side;

use chain::Chain;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    RequestLost,
    NeverSent,
    DepositReplyLost,
    HandlerFails,
    CrashBeforeCommit,
    CrashAfterCommit,
    ReplyLost,
    /// The seller says that it charged this much more.
    Lie(u128),
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Call {
        price: u128,
        percent: u128,
        fault: Fault,
    },
    PayerRestarts,
    PayerForgets,
    PayerReads,
    SellerRestarts,
    /// The seller's correction claims this percentage of what was ever signed.
    FalseCorrection(u128),
    Refund,
    Withdraw(u128),
    FetchWithdrawal,
    Wait(u64),
}

struct World {
    now: Timestamp,
    chain: Chain,
    payer: pays::Channel,
    payer_store: Vec<u8>,
    seller: Option<seller::Channel>,
    seller_store: Option<Vec<u8>>,
    collector: Collector,
    /// What the seller's commits add up to.
    committed: u128,
    /// What was computed for the payer.
    served: u128,
    /// What the spend policy reserved, for all requests together.
    reserved: u128,
    /// The deposits that the payer authorized, whatever became of them.
    authorized: BTreeSet<B256>,
    authorized_sum: u128,
    crashes: u128,
    forgot: bool,
    lied: bool,
    next: u64,
}

impl World {
    fn new() -> Self {
        let payer = pays::Channel::new(config(), CHAIN);
        Self {
            now: NOW,
            chain: Chain::default(),
            payer_store: payer.encode(),
            payer,
            seller: None,
            seller_store: None,
            collector: Collector::new(ClaimRules::default()),
            committed: 0,
            served: 0,
            reserved: 0,
            authorized: BTreeSet::new(),
            authorized_sum: 0,
            crashes: 0,
            forgot: false,
            lied: false,
            next: 0,
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Call {
                price,
                percent,
                fault,
            } => self.call(price, price * percent / 100, fault),
            Op::PayerRestarts => {
                self.payer = pays::Channel::decode(&self.payer_store).unwrap();
            }
            Op::PayerForgets => {
                self.forgot = true;
                self.payer = pays::Channel::recovered(config(), CHAIN, &self.chain.state());
            }
            Op::PayerReads => self.payer_reads(),
            Op::SellerRestarts => self.seller_restarts(),
            Op::FalseCorrection(percent) => self.false_correction(percent),
            Op::Refund => self.refund(),
            Op::Withdraw(amount) => {
                let left = self.chain.balance - self.chain.claimed;
                if self.chain.withdrawal.is_none() && (1..=left).contains(&amount) {
                    self.chain.withdrawal = Some((amount, self.now.as_secs()));
                }
            }
            Op::FetchWithdrawal => self.chain.fetch(self.now),
            Op::Wait(seconds) => self.wait(seconds),
        }
        self.payer_store = self.payer.encode();
        self.check();
    }

    fn call(&mut self, price: u128, actual: u128, fault: Fault) {
        let wallet = payer();
        self.next += 1;
        let salt = keccak256(self.next.to_be_bytes());
        let admitted = admitted_at(price);
        let before = self.payer.signed();
        let paid = self
            .payer
            .pay(&admitted, &keys(&wallet), &rule(), salt, self.now);
        let payment = match paid {
            Ok(payment) => payment,
            Err(Refusal::DepositUnknown) => return self.payer_reads(),
            Err(Refusal::DepositCap { .. }) => return,
            Err(refusal) => panic!("{refusal:?}"),
        };
        self.reserved += price;
        if let (Some(nonce), Some(amount)) = (self.payer.open_nonce(), payment.deposit)
            && self.authorized.insert(nonce)
        {
            self.authorized_sum += amount.get();
        }
        // One promise at a time, for one more request.
        let base = payment.max_claimable.get() - price;
        assert_eq!(base, self.payer.charged().get());
        assert!(self.payer.signed() >= before);
        let payload = Payload::parse(payment.payload.payload()).unwrap();
        match fault {
            Fault::NeverSent => return self.payer.unsent(),
            Fault::RequestLost => return self.payer.lost(),
            Fault::None
            | Fault::DepositReplyLost
            | Fault::HandlerFails
            | Fault::CrashBeforeCommit
            | Fault::CrashAfterCommit
            | Fault::ReplyLost
            | Fault::Lie(_) => {}
        }
        let answer = self.serve(&payload, price, actual, fault);
        match answer {
            None => self.payer.lost(),
            Some(Ok(response)) => self.answered(&response),
            Some(Err(decline)) => self.declined(&decline, price),
        }
    }

    fn answered(&mut self, response: &SettleResponse) {
        match self.payer.answered(response) {
            Ok(_) | Err(Refusal::Overcharged { .. }) => {}
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    fn declined(&mut self, decline: &Decline, price: u128) {
        let Decline::Corrective(books) = decline else {
            let failed = SettleResponse::failed("eip155:8453", None, decline.reason(), None);
            self.payer.answered(&failed).unwrap_err();
            return;
        };
        let mut corrected: Value = offer_at(price);
        for (name, value) in books.write() {
            corrected["extra"][name] = value;
        }
        let chain = self.chain.state();
        let adopted = self
            .payer
            .adopt(&decline.reason(), &read(&corrected), Some(&chain));
        // An honest seller is always believed.
        let adopted = adopted.unwrap();
        assert_eq!(Some(adopted.now), books.charged);
    }

    fn false_correction(&mut self, percent: u128) {
        let Some(mut books) = self.seller.clone() else {
            return;
        };
        if books.busy() || self.payer.busy() {
            return;
        }
        let Decline::Corrective(mut said) = books.corrective() else {
            return;
        };
        let signed = self.payer.signed().get();
        said.charged = Some(Amount::new(signed * percent / 100));
        let mut corrected: Value = offer_at(1);
        for (name, value) in said.write() {
            corrected["extra"][name] = value;
        }
        let reason = Reason::InvalidBatchSettlementEvmCumulativeAmountMismatch;
        let before = self.payer.charged();
        let adopted = self.payer.adopt(&reason, &read(&corrected), None);
        if let Ok(adopted) = adopted {
            assert!(adopted.now <= self.payer.signed());
            self.lied = true;
        } else {
            assert_eq!(self.payer.charged(), before);
        }
        books.cancel(0);
    }

    fn payer_reads(&mut self) {
        let spent = self
            .payer
            .open_nonce()
            .map(|it| self.chain.spent.contains(&it));
        let state = self.chain.state();
        let seen = self.payer.observe(&state, spent, self.now);
        // An honest seller claims nothing that it did not charge, and a lost answer is no lie.
        assert!(self.forgot || seen.overclaimed.is_zero());
    }

    fn seller_restarts(&mut self) {
        let stored = self.seller_store.as_ref();
        self.seller = stored.map(|it| seller::Channel::decode(it).unwrap());
        self.collector = Collector::new(ClaimRules::default());
    }

    fn check(&self) {
        let chain = &self.chain;
        let signed = self.payer.signed().get();
        // claimed <= signed <= deposited; of what is deposited, some may be on its way, or may have
        // expired on it.
        if !self.forgot {
            assert!(chain.claimed <= signed.max(self.payer.charged().get()));
            assert!(chain.claimed <= chain.deposited);
            assert!(signed <= self.authorized_sum);
            // Nor more than the policy reserved.
            assert!(signed <= self.reserved);
            let charged = self.payer.charged().get();
            assert!(self.lied || charged <= self.committed.max(chain.claimed));
        }
        // Money is neither made nor lost.
        assert_eq!(chain.balance + chain.given_back, chain.deposited);
        assert!(chain.settled <= chain.claimed && chain.claimed <= chain.balance);
        // charged == the sum of commits, and what was served beyond is what crashes forgave.
        if let Some(books) = &self.seller {
            if !self.forgot {
                assert_eq!(books.charged().get(), self.committed);
            }
            // Whatever the payer fetched, what was charged is claimed or can be.
            assert!(
                books.charged().get() <= chain.balance,
                "lost to a withdrawal"
            );
        }
        assert_eq!(self.served, self.committed + self.crashes);
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::RequestLost),
        1 => Just(Fault::NeverSent),
        1 => Just(Fault::DepositReplyLost),
        1 => Just(Fault::HandlerFails),
        1 => Just(Fault::CrashBeforeCommit),
        1 => Just(Fault::CrashAfterCommit),
        2 => Just(Fault::ReplyLost),
        1 => (1u128..2_000).prop_map(Fault::Lie),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let call = (1u128..3_000, 0u128..=100, fault());
    prop_oneof![
        12 => call.prop_map(|(price, percent, fault)| Op::Call { price, percent, fault }),
        2 => Just(Op::PayerRestarts),
        2 => Just(Op::PayerReads),
        2 => Just(Op::SellerRestarts),
        1 => (0u128..=150).prop_map(Op::FalseCorrection),
        1 => Just(Op::Refund),
        1 => (1u128..20_000).prop_map(Op::Withdraw),
        1 => Just(Op::FetchWithdrawal),
        6 => (1u64..=60).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_books_agree(ops in proptest::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
    }

    #[test]
    fn a_payer_without_books_goes_on(
        before in proptest::collection::vec(op(), 1..20),
        after in proptest::collection::vec(op(), 1..20),
    ) {
        let mut world = World::new();
        for op in before {
            world.run(op);
        }
        world.run(Op::PayerForgets);
        for op in after {
            world.run(op);
        }
    }

    #[test]
    fn a_withdrawal_never_takes_what_was_charged(
        prices in proptest::collection::vec(1u128..2_000, 1..12),
        asked in 1u128..20_000,
        every in 1u64..=60,
    ) {
        let mut world = World::new();
        for (place, price) in prices.iter().enumerate() {
            world.run(Op::Call { price: *price, percent: 100, fault: Fault::None });
            if place == prices.len() / 2 {
                world.run(Op::Withdraw(asked));
            }
            world.run(Op::Wait(every));
        }
        for _ in 0..(1_000 / every) {
            world.run(Op::Wait(every));
            world.run(Op::FetchWithdrawal);
        }
        let charged = world.seller.as_ref().unwrap().charged().get();
        prop_assert_eq!(world.chain.claimed, charged);
        prop_assert_eq!(world.chain.settled, charged);
    }
}
