//! Random interleavings of calls, losses, crashes, corrections, lies, claims and withdrawals, against
//! a model of the chain.

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

/// The contract.
#[derive(Default)]
struct Chain {
    balance: u128,
    claimed: u128,
    settled: u128,
    withdrawal: Option<(u128, u64)>,
    refunds: u64,
    spent: BTreeSet<B256>,
    deposited: u128,
    given_back: u128,
}

impl Chain {
    fn state(&self) -> ChainState {
        ChainState {
            balance: Amount::new(self.balance),
            total_claimed: Amount::new(self.claimed),
            withdraw_requested_at_s: self.withdrawal.map_or(0, |(_, at)| at),
            withdraw_amount: Amount::new(self.withdrawal.map_or(0, |(amount, _)| amount)),
            refund_nonce: U256::from(self.refunds),
        }
    }

    /// As a facilitator: a deposit that landed before is told again.
    fn deposit(&mut self, deposit: &super::Deposit, now: Timestamp) -> Option<ChainState> {
        let nonce = deposit.auth_nonce(&config().id(CHAIN));
        if !self.spent.contains(&nonce) {
            if deposit.dead_at_s() <= U256::from(now.as_secs()) {
                return None;
            }
            self.spent.insert(nonce);
            self.balance += deposit.amount.get();
            self.deposited += deposit.amount.get();
        }
        Some(self.state())
    }

    fn claim(&mut self, claim: &Claim) {
        let total = claim.total_claimed.get();
        assert!(total <= claim.max_claimable.get(), "above the ceiling");
        assert!(total <= self.balance, "above the balance");
        self.claimed = self.claimed.max(total);
    }

    fn fetch(&mut self, now: Timestamp) {
        let Some((amount, at)) = self.withdrawal else {
            return;
        };
        if now.as_secs() < at + 900 {
            return;
        }
        let amount = amount.min(self.balance - self.claimed);
        self.balance -= amount;
        self.given_back += amount;
        self.withdrawal = None;
    }

    fn refund(&mut self, amount: u128) {
        let amount = amount.min(self.balance - self.claimed);
        self.refunds += 1;
        self.balance -= amount;
        self.given_back += amount;
        if let Some((asked, at)) = self.withdrawal {
            self.withdrawal = (asked > amount).then(|| (asked - amount, at));
        }
    }
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

    /// The seller's side of a call; `None` where its answer does not arrive.
    fn serve(
        &mut self,
        payload: &Payload,
        price: u128,
        actual: u128,
        fault: Fault,
    ) -> Option<Result<SettleResponse, Decline>> {
        let terms = Terms::of(&read(&offer_at(price))).unwrap();
        let request = Request {
            payload,
            terms: &terms,
        };
        let fresh = || seller::Channel::new(config(), CHAIN);
        let mut books = self.seller.take().unwrap_or_else(fresh);
        let id = self.next;
        let begun = books.begin(&request, &Rules::default(), id, self.now);
        let asked = match begun {
            Ok(Step::Serve) => Ok(()),
            Ok(Step::Verify) => books.confirm(id, self.chain.state(), self.now),
            Ok(Step::Deposit) => {
                let Payload::Deposit { deposit, .. } = payload else {
                    panic!("no deposit");
                };
                let landed = self.chain.deposit(deposit, self.now);
                if fault == Fault::DepositReplyLost {
                    books.cancel(id);
                    self.seller = Some(books);
                    return None;
                }
                match landed {
                    Some(state) => books.confirm(id, state, self.now),
                    None => {
                        books.cancel(id);
                        Err(Decline::Refused(
                            Reason::InvalidBatchSettlementEvmDepositTransactionFailed,
                        ))
                    }
                }
            }
            Err(decline) => Err(decline),
        };
        if let Err(decline) = asked {
            assert!(!books.busy());
            self.seller = Some(books);
            return Some(Err(decline));
        }
        if fault == Fault::HandlerFails {
            books.cancel(id);
            self.seller = Some(books);
            return None;
        }
        self.served += actual;
        if fault == Fault::CrashBeforeCommit {
            self.crashes += actual;
            self.seller_restarts();
            return None;
        }
        let charged = books.commit(id, Amount::new(actual), self.now).unwrap();
        assert_eq!(charged.amount.get(), actual);
        self.committed += actual;
        // What is charged can be claimed at this moment, whatever the payer did meanwhile.
        assert!(
            books.charged().get() <= self.chain.balance,
            "served uncovered work"
        );
        self.seller_store = Some(books.encode());
        let mut response = books.response("eip155:8453", charged.amount, None);
        self.seller = Some(books);
        match fault {
            Fault::CrashAfterCommit => {
                self.seller_restarts();
                None
            }
            Fault::ReplyLost => None,
            Fault::Lie(more) => {
                let extra = response.extra.as_mut().unwrap();
                extra["chargedAmount"] = json!((actual + more).to_string());
                Some(Ok(response))
            }
            Fault::None
            | Fault::RequestLost
            | Fault::NeverSent
            | Fault::DepositReplyLost
            | Fault::HandlerFails
            | Fault::CrashBeforeCommit => Some(Ok(response)),
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
            assert!(self.payer.answered(&failed).is_err());
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

    fn refund(&mut self) {
        let wallet = payer();
        let asked = self.payer.refund(&admitted_at(1), &keys(&wallet), None);
        let Ok(payment) = asked else {
            return;
        };
        let payload = Payload::parse(payment.payload.payload()).unwrap();
        let terms = Terms::of(&read(&offer_at(1))).unwrap();
        let request = Request {
            payload: &payload,
            terms: &terms,
        };
        let Some(mut books) = self.seller.take() else {
            return self.payer.lost();
        };
        self.next += 1;
        let id = self.next;
        let begun = books.begin(&request, &Rules::default(), id, self.now);
        let asked = begun.and_then(|_| books.confirm(id, self.chain.state(), self.now));
        if let Err(decline) = asked {
            self.seller = Some(books);
            return self.declined(&decline, 1);
        }
        let key = authorizer();
        let ordered = books.refund_order(id, None, Some(&key));
        let mut response =
            SettleResponse::failed("eip155:8453", None, Reason::SettlementPending, None);
        if let Ok(Payload::Refund { amount, order, .. }) = ordered {
            for claim in &order.unwrap().claims {
                self.chain.claim(claim);
            }
            let amount = amount.unwrap();
            self.chain.refund(amount.get());
            books.refunded(id, self.chain.state(), self.now);
            assert!(self.chain.balance >= books.charged().get());
            self.seller_store = Some(books.encode());
            response.success = true;
            response.amount = Some(amount.to_string());
        }
        books.cancel(id);
        self.seller = Some(books);
        let _told = self.payer.answered(&response);
    }

    /// Time passes; the seller's watcher looks once.
    fn wait(&mut self, seconds: u64) {
        self.now = Timestamp::from_secs(self.now.as_secs() + seconds);
        let Some(mut books) = self.seller.take() else {
            return;
        };
        let mut events = vec![None];
        while let Some(event) = events.pop() {
            let channels = std::slice::from_ref(&books);
            let event = event.unwrap_or(Event::Tick(channels));
            for action in self.collector.on_event(event, self.now) {
                match action {
                    Action::Watch(_) => books.observe(self.chain.state(), self.now),
                    Action::Claim(claims) => {
                        for claim in &claims {
                            self.chain.claim(claim);
                            books.claimed(claim.total_claimed, self.now);
                        }
                        events.push(Some(Event::Claimed));
                    }
                    Action::Settle { .. } => {
                        self.chain.settled = self.chain.claimed;
                        events.push(Some(Event::Settled));
                    }
                }
            }
        }
        self.seller_store = self.seller_store.as_ref().map(|_| books.encode());
        self.seller = Some(books);
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
