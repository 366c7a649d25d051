//! One purchase, step by step.

use bytes::Bytes;
use seamline_core::receipt::{self as event, Event, EvidenceType, Recorder};
use seamline_core::{B256, CallId, Charged, NodeId, Timestamp, binding};
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::Reason;
use tokio::time::Instant;

use super::error::{Error, ErrorKind};
use super::exchange::Passed;
use super::offer::Sold;
use super::outlet::Outlet;
use super::resume::Earlier;
use super::wire::Target;
use super::{Answer, Payer, Purchase, Purchased, Signed};
use crate::books::Running;
use crate::client::micros;
use crate::leg::Leg;
use crate::step::{Step, Watch};

/// A purchase under way.
pub(super) struct Buying<'a> {
    pub(super) payer: &'a Payer,
    pub(super) purchase: &'a Purchase,
    pub(super) watch: &'a mut dyn Watch,
    pub(super) target: Target,
    /// What stands in a node's place in the receipt and in the budgets.
    pub(super) node: NodeId,
    pub(super) step: Step,
    pub(super) started: Instant,
    /// `None` for a purchase of an earlier attempt, whose receipt is closed or lost.
    pub(super) id: Option<CallId>,
    pub(super) output_salt: [u8; 16],
    /// Binds the purchase; zero where nothing can be signed for it.
    pub(super) h_bind: B256,
    /// Taken when the receipt is sealed.
    pub(super) recorder: Option<Recorder>,
    pub(super) leg: Leg,
    /// Keeps recovery away from the purchase while it runs.
    pub(super) _running: Running,
    /// Requests sent so far.
    pub(super) requests: u32,
    /// The server's word about the settlement, raw JSON.
    pub(super) settle_reply: Option<Bytes>,
    /// Why the server refused the payment.
    pub(super) refused: Option<Reason>,
    /// What was admitted.
    pub(super) sold: Option<Sold>,
    pub(super) signed_offer: Signed,
    /// Whether the receipt has the seller's word about what it charged over a channel.
    pub(super) charge_recorded: bool,
    /// Whether this presents what an earlier attempt signed.
    pub(super) repeated: bool,
    /// Where the answer goes as it comes; `None` where it is read whole.
    pub(super) outlet: Option<&'a mut Outlet>,
    /// What was passed on of it, from its head on.
    pub(super) passed: Option<Passed>,
}

impl<'a> Buying<'a> {
    /// Makes one purchase.
    pub(super) async fn make(
        payer: &'a Payer,
        purchase: &'a Purchase,
        watch: &'a mut dyn Watch,
        mut outlet: Option<&'a mut Outlet>,
    ) -> Result<Purchased, Error> {
        let early = |kind| Error::new(kind, Step::Open, Charged::No);
        let target = Target::of(&purchase.url).map_err(early)?;
        let key = binding::purchase_key(purchase.method.as_str(), &target.url, &purchase.body);
        // An attempt that may have been paid for is asked about before anything new is signed.
        for earlier in Earlier::all(payer, &key) {
            if let Some(done) = earlier
                .take_up(payer, purchase, &target, watch, outlet.as_deref_mut())
                .await?
            {
                return Ok(done);
            }
        }
        let mut buying = Self::open(payer, purchase, target, key, watch).map_err(early)?;
        buying.outlet = outlet;
        let outcome = buying.run().await;
        buying.seal(outcome)
    }

    async fn run(&mut self) -> Result<Answer, ErrorKind> {
        // offer
        let asked = match self.offer().await? {
            Ok(asked) => asked,
            Err(free) => return Ok(free),
        };
        // admit
        let (admitted, means) = self.admit(&asked).await?;
        if admitted.scheme() == Scheme::BatchSettlement {
            self.pin(admitted.pay_to())?;
            return self.buy_over_channel(&admitted).await;
        }
        if self.has_left() {
            return Err(ErrorKind::Stopped);
        }
        // authorize
        let presentation = self.authorize(&asked, &admitted, means).await?;
        // execute
        let answer = self.execute(&presentation).await;
        self.end_answer(answer.is_ok() && self.passed.is_some());
        // settle: also after a failure, which is when it matters what was charged
        let reached = self.step;
        self.settle().await?;
        if answer.is_err() {
            self.step = reached;
        }
        answer
    }

    /// Begins a step: for whoever watches, and in the journal's record.
    pub(super) fn begin(&mut self, step: Step) {
        self.step = step;
        step.as_str().clone_into(&mut self.leg.record.step);
        self.watch.step(step, &self.target.origin);
    }

    pub(super) fn done(&mut self) {
        self.watch.done(self.step);
    }

    /// Records an event at the present moment and returns its index.
    pub(super) fn event(&mut self, event: impl Into<Event>) -> u32 {
        let at_us = micros(self.started.elapsed());
        self.recorder
            .as_mut()
            .map_or(0, |recorder| recorder.record(at_us, event))
    }

    /// Attaches a blob of evidence to the receipt.
    pub(super) fn attach(&mut self, kind: EvidenceType, blob: Vec<u8>) -> B256 {
        self.recorder
            .as_mut()
            .map_or(B256::ZERO, |recorder| recorder.attach(kind, blob))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.leg.now()
    }

    /// Records that a request is about to be sent.
    pub(super) fn record_request(&mut self, paid: bool) {
        let bytes = u64::try_from(self.purchase.body.len()).unwrap_or(u64::MAX);
        let attempt = self.requests;
        self.requests = self.requests.saturating_add(1);
        self.event(event::RequestSent {
            node: self.node,
            attempt,
            paid,
            bytes,
        });
    }
}
