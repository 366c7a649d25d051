//! What the seller does.

use super::*;

impl World {
    /// The seller's side of a call; `None` where its answer does not arrive.
    pub(super) fn serve(
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

    pub(super) fn refund(&mut self) {
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
    pub(super) fn wait(&mut self, seconds: u64) {
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
}
