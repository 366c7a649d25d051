//! A purchase that was attempted before, and may have been paid for: what was signed is presented
//! again; nothing is signed as long as the chain could still settle it.

use std::sync::Arc;

use seamline_core::receipt::Outcome;
use seamline_core::{B256, NodeId};
use seamline_evm::payment::{Event, Payment, State};
use seamline_evm::x402::{PaymentPayload, VERSION, v1};
use tokio::time::Instant;

use super::error::{Error, ErrorKind};
use super::outlet::Outlet;
use super::run::Buying;
use super::wire::{Presentation, Target};
use super::{Payer, Purchase, Purchased, Signed};
use crate::books::Running;
use crate::journal::{CallRecord, CallState, PaymentState, VoucherState};
use crate::leg::{Leg, Next, UNPROMISED_WAIT};
use crate::recover;
use crate::step::{Step, Watch};

/// An earlier attempt at the same purchase.
pub(super) struct Earlier {
    record: CallRecord,
    running: Running,
}

impl Earlier {
    /// The attempts that may have been paid, brought no answer, and are not under way.
    pub(super) fn all(payer: &Payer, key: &B256) -> Vec<Self> {
        let journal = &payer.books.journal;
        let attempts = journal.undelivered(key).into_iter().filter_map(|seq| {
            let running = Running::claim(&payer.books, seq)?;
            // Read after it was claimed: it may have ended meanwhile.
            let record = journal.call(seq).ok().flatten()?;
            record.undelivered()?;
            Some(Self { record, running })
        });
        attempts.collect()
    }

    /// Brings an earlier attempt to its end. `None` where it is proven that it cost nothing and never
    /// will, or where the caller wants to buy again what it paid for in vain.
    pub(super) async fn take_up(
        self,
        payer: &Payer,
        purchase: &Purchase,
        target: &Target,
        watch: &mut dyn Watch,
        outlet: Option<&mut Outlet>,
    ) -> Result<Option<Purchased>, Error> {
        let seq = self.record.seq;
        let charged = self.record.charged();
        let paid = self.record.payment.as_ref();
        let settled = paid.is_some_and(|paid| paid.state == PaymentState::Settled);
        if settled && purchase.buy_again {
            return Ok(None);
        }
        // Over a channel the same promise is made again: it does not grow. What the seller charged in
        // vain, its own correction says.
        if let Some(voucher) = &self.record.voucher {
            if voucher.state == VoucherState::Charged && !purchase.buy_again {
                let kind = ErrorKind::PaidInVain;
                return Err(Error::new(kind, Step::Open, charged).of_call(seq, None));
            }
            return Ok(None);
        }
        let failed = |kind| Error::new(kind, Step::Open, charged).of_call(seq, None);
        let mut buying = Buying::again(self, payer, purchase, target, watch).map_err(failed)?;
        buying.outlet = outlet;
        let before = recover::known(&buying.leg.record);
        let outcome = buying.present_again().await;
        let charged = buying.charged();
        let failed = |kind, step| Error::new(kind, step, charged).of_call(seq, None);
        let (step, ended) = match &outcome {
            Ok(Some(_)) => (buying.step, Outcome::Answered),
            Ok(None) => (buying.step, Outcome::Abandoned),
            Err(_) => (buying.step, Outcome::Failed),
        };
        let now_ms = buying.now().as_millis();
        if ended == Outcome::Answered && buying.leg.record.state != CallState::Open {
            buying.leg.record.state = CallState::Answered;
        }
        let record = &mut buying.leg.record;
        let written = recover::write_down(&payer.books, record, before, now_ms, ended);
        match outcome {
            Ok(Some(answer)) => {
                written.map_err(|err| failed(ErrorKind::Journal(err), step))?;
                Ok(Some(buying.purchased(answer)))
            }
            Ok(None) => {
                written.map_err(|err| failed(ErrorKind::Journal(err), step))?;
                Ok(None)
            }
            Err(kind) => Err(failed(kind, step)),
        }
    }
}

impl<'a> Buying<'a> {
    fn again(
        earlier: Earlier,
        payer: &'a Payer,
        purchase: &'a Purchase,
        target: &Target,
        watch: &'a mut dyn Watch,
    ) -> Result<Self, ErrorKind> {
        let Earlier { record, running } = earlier;
        let payment = record.payment.as_ref();
        let resumed = payment.map(|payment| (payment.chain_id(), payment.resume()));
        let (chain_id, payment) = match resumed {
            Some((chain_id, payment)) => (chain_id, payment.map_err(ErrorKind::Payment)?),
            None => (0, Payment::new(B256::ZERO)),
        };
        let rpc = payer.rpc(chain_id).ok_or_else(|| ErrorKind::NoChain {
            network: format!("eip155:{chain_id}"),
        })?;
        let started = Instant::now();
        let node = record.payment.as_ref().map_or(B256::ZERO, |it| it.node);
        Ok(Self {
            payer,
            purchase,
            watch,
            target: target.clone(),
            node: NodeId::new(node),
            step: Step::Settle,
            started,
            id: None,
            output_salt: [0; 16],
            h_bind: B256::ZERO,
            recorder: None,
            leg: Leg {
                books: Arc::clone(&payer.books),
                env: payer.env.clone(),
                rpc,
                budget: payer.budget.clone(),
                record,
                payment,
                replied: started,
            },
            _running: running,
            requests: 0,
            settle_reply: None,
            refused: None,
            sold: None,
            signed_offer: Signed::No,
            charge_recorded: false,
            repeated: true,
            outlet: None,
            passed: None,
        })
    }

    /// Asks the chain, and presents the same bytes again where that can bring the answer.
    async fn present_again(&mut self) -> Result<Option<super::Answer>, ErrorKind> {
        self.begin(Step::Settle);
        let next = self.leg.pay(Event::Woken, UNPROMISED_WAIT).await?;
        let proven = matches!(self.leg.payment.state(), State::NotSettled(_));
        match (next, self.presentation()) {
            (Next::Report, _) if proven => Ok(None),
            (Next::Present, Some(presentation)) => {
                let answer = self.execute(&presentation).await;
                self.end_answer(answer.is_ok() && self.passed.is_some());
                let reached = self.step;
                self.settle().await?;
                if answer.is_err() {
                    self.step = reached;
                }
                answer.map(Some)
            }
            (Next::Report | Next::Present, _) => Err(ErrorKind::Unresolved {
                until_s: self.leg.payment.deadline_s(),
            }),
        }
    }

    /// The authorization as it was sent before.
    fn presentation(&self) -> Option<Presentation> {
        let purchase = self.leg.record.purchase.as_ref()?;
        if let Some(payload) = &purchase.v1_payload {
            let payload = v1::Payload::parse(payload.as_bytes()).ok()?;
            return Presentation::new(v1::VERSION, &payload.to_header());
        }
        let payment = self.leg.record.payment.as_ref()?;
        let payload = PaymentPayload::parse(payment.payload.as_bytes()).ok()?;
        Presentation::new(VERSION, &payload.to_header())
    }
}
