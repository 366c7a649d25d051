//! One call, step by step. The functions are in the order of the steps.

mod admit;
mod attest;
mod channel;
mod decide;
mod discover;
mod execute;
mod offer;
mod open;
mod record;
mod seal;
mod settle;
mod verify;

use bytes::Bytes;
use seamline_core::decision::RoutePolicy;
use seamline_core::receipt::{self as event, Event, EvidenceType, Recorder, Word};
use seamline_core::{B256, CallId, Charged, NodeId, Timestamp};
use seamline_evm::channel::CorrectiveState;
use seamline_evm::payment::Event as PaymentEvent;
use seamline_evm::registry::NodeRecord;
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::{PaymentRequired, Reason};
use tokio::time::Instant;

pub(crate) use self::admit::each_token;
use self::attest::Enclave;
use self::execute::Response;
use self::offer::Terms;
pub(crate) use self::offer::offers;
use crate::ask::Ask;
use crate::books::Running;
use crate::chat::ToolCall;
use crate::client::{Client, Reply, micros};
use crate::error::{Error, ErrorKind};
use crate::leg::Leg;
use crate::step::{Step, Watch};

/// Most nodes that one call asks before it gives up.
const MAX_NODES: usize = 3;

/// A call under way.
pub(crate) struct Call<'a> {
    client: &'a Client,
    ask: Ask<'a>,
    watch: &'a mut dyn Watch,
    step: Step,
    /// When the call was opened, by the clock that never jumps.
    started: Instant,
    /// The exact bytes that are sent, and the hash that enclaves sign of them.
    body: Bytes,
    input_hash: B256,
    id: CallId,
    h_bind: B256,
    draw: B256,
    output_salt: [u8; 16],
    route: RoutePolicy,
    /// Taken when the receipt is sealed.
    recorder: Option<Recorder>,
    /// Keeps recovery away from the call while it runs.
    _running: Running,
    /// Requests sent to nodes so far.
    requests: u32,
    /// The one payment of this call, and its place in the books.
    leg: Leg,
    /// Block of the registry snapshot: no settlement of this call is older.
    from_block: u64,
    /// The node's word about the settlement, raw JSON.
    settle_reply: Option<Bytes>,
    /// Why the node refused the payment.
    refused: Option<Reason>,
    /// What the node asks instead.
    fresh: Option<PaymentRequired>,
    /// A voucher that waits for its answer, where the call is paid for over a channel.
    voucher: Option<channel::Voucher>,
    /// Whether the receipt has the node's word about the charge.
    charge_recorded: bool,
}

/// What the call has when every step up to the settlement is done.
struct Answer {
    text: String,
    tool_calls: Vec<ToolCall>,
    node: NodeId,
    endpoint: String,
}

impl<'a> Call<'a> {
    /// Makes one call.
    pub(crate) async fn make(
        client: &'a Client,
        ask: Ask<'a>,
        watch: &'a mut dyn Watch,
    ) -> Result<Reply, Error> {
        // 1. open
        let mut call = Self::open(client, ask, watch)
            .map_err(|kind| Error::new(kind, Step::Open, Charged::No, None))?;
        // 2-11.
        let outcome = call.run().await;
        // 12. seal, whatever the outcome
        call.seal(outcome)
    }

    async fn run(&mut self) -> Result<Answer, ErrorKind> {
        // 2. discover
        let market = self.discover().await?;
        // 3. decide
        let order = self.decide(&market)?;
        // 4-11, at the first node in the decision's order that does not fail before it is paid
        let mut order = order.into_iter().take(MAX_NODES).peekable();
        while let Some(node) = order.next() {
            let Some(record) = market
                .snapshot
                .nodes
                .iter()
                .find(|record| record.node == node)
            else {
                continue;
            };
            let failure = match self.serve(record).await {
                Ok(answer) => {
                    self.client.node(node, crate::node::NodeState::answered);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            self.cool(node, &failure);
            // From the first signature on, only this node can be asked.
            let promised = self.leg.record.voucher.is_some();
            let signed = promised || !self.leg.payment.terms().is_empty();
            match order.peek() {
                Some(next) if !signed && failure.another_node_may_help() => {
                    let cause = word(&failure.code());
                    self.event(event::FellBack {
                        from: node,
                        to: *next,
                        cause,
                    });
                }
                Some(_) | None => return Err(failure),
            }
        }
        Err(ErrorKind::NoNodes)
    }

    /// Steps 4 to 11 at one node.
    async fn serve(&mut self, record: &NodeRecord) -> Result<Answer, ErrorKind> {
        // 4. attest, 5. connect
        let enclave = self.attest(record).await?;
        // 6. offer
        let mut terms = self.offer(record, &enclave).await?;
        // 7. admit, 8. authorize, 9. execute
        let response = self.buy(record, &enclave, &mut terms).await?;
        let response = match self.refused_remembered(record, &terms, &response)? {
            Some(fresh) => {
                terms = fresh;
                self.buy(record, &enclave, &mut terms).await?
            }
            None => response,
        };
        // 10. verify
        let proven = match &response {
            Ok(response) => match self.verify(record, &enclave, response) {
                Ok(()) => self.note_claims(record, &enclave, response).await,
                refused => refused,
            },
            Err(_) => Ok(()),
        };
        // 11. settle: also after a failure, which is when it matters what was charged
        let reached = self.step;
        if self.leg.record.voucher.is_some() {
            self.settle_voucher(record)?;
        } else {
            self.settle(record).await?;
        }
        self.learn_offer(record, terms, response.is_ok() && proven.is_ok());
        if response.is_err() || proven.is_err() {
            self.step = reached;
        }
        let response = response?;
        proven?;
        Ok(Answer {
            text: response.text,
            tool_calls: response.tool_calls,
            node: record.node,
            endpoint: record.endpoint.clone(),
        })
    }

    /// Steps 7 to 9 for one offer. The outer error is one before anything was sent.
    async fn buy(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        terms: &mut Terms,
    ) -> Result<Result<Response, ErrorKind>, ErrorKind> {
        // 7. admit
        let (admitted, means) = self.admit(record, terms).await?;
        if admitted.scheme() == Scheme::BatchSettlement {
            if !self.leg.payment.terms().is_empty() {
                // Beside an authorization that may settle, nothing is promised elsewhere.
                return Err(ErrorKind::OfferChanged { node: record.node });
            }
            // 8. and 9. over a channel
            return self
                .buy_over_channel(record, enclave, terms, admitted)
                .await;
        }
        // 8. authorize
        let authorization = self.authorize(record, terms, &admitted, means).await?;
        // 9. execute
        Ok(self.execute(record, enclave, &authorization).await)
    }

    /// The node's new offer, where it refused one that was only remembered. The call goes on with it
    /// under the same nonce: whatever became of the first authorization, at most one settles.
    fn refused_remembered(
        &mut self,
        record: &NodeRecord,
        terms: &Terms,
        response: &Result<Response, ErrorKind>,
    ) -> Result<Option<Terms>, ErrorKind> {
        // Over a channel the answer to a refusal is given where the voucher is.
        if !terms.remembered || response.is_ok() || self.leg.record.voucher.is_some() {
            return Ok(None);
        }
        let (Some(reason), Some(fresh)) = (self.refused.take(), self.fresh.take()) else {
            return Ok(None);
        };
        self.client
            .node(record.node, |node| node.offers.forget(self.ask.model()));
        self.leg.tell(PaymentEvent::ReplyRefused(reason))?;
        let attempt = self.requests;
        self.event(event::Retried {
            cause: word("offer.remembered"),
            attempt,
            wait_ms: 0,
        });
        Ok(Some(self.record_offer(record, fresh, false)))
    }

    /// Remembers an offer that led to a proven answer, and forgets one that did not.
    fn learn_offer(&self, record: &NodeRecord, terms: Terms, good: bool) {
        let model = self.ask.model();
        let now = self.now();
        if !good {
            self.client.funds.forget();
        }
        let admitted = self.leg.record.payment.as_ref();
        let upto = admitted.filter(|it| it.scheme() == Some(Scheme::Upto));
        let voucher = self.leg.record.voucher.as_ref();
        // A correction is for once.
        let mut offers = terms.required.offers.iter();
        let corrects = offers.any(|offer| !matches!(CorrectiveState::of(offer), Ok(None)));
        self.client.node(record.node, |node| match upto {
            None if good && terms.remembered && voucher.is_some() => {}
            None if good
                && !corrects
                && let Some(voucher) = voucher =>
            {
                node.offers.keep(model, terms.required, voucher.amount, now);
            }
            Some(_) if good && terms.remembered => {}
            Some(payment) if good => {
                node.offers
                    .keep(model, terms.required, payment.amount(), now);
            }
            // The price of an exact offer is that of one request.
            Some(_) | None => node.offers.forget(model),
        });
    }

    /// Begins a step: for whoever watches, and in the journal's record of the call.
    fn begin(&mut self, step: Step, detail: &str) {
        self.step = step;
        step.as_str().clone_into(&mut self.leg.record.step);
        self.watch.step(step, detail);
    }

    fn done(&mut self) {
        self.watch.done(self.step);
    }

    /// Records an event at the present moment and returns its index.
    fn event(&mut self, event: impl Into<Event>) -> u32 {
        let at_us = micros(self.started.elapsed());
        self.recorder
            .as_mut()
            .map_or(0, |recorder| recorder.record(at_us, event))
    }

    /// Attaches a blob of evidence to the receipt.
    fn attach(&mut self, kind: EvidenceType, blob: Vec<u8>) -> B256 {
        self.recorder
            .as_mut()
            .map_or(B256::ZERO, |recorder| recorder.attach(kind, blob))
    }

    fn now(&self) -> Timestamp {
        self.client.config.env.now()
    }

    /// Leaves a failed node alone for a while, unless the failure was ours.
    fn cool(&self, node: NodeId, failure: &ErrorKind) {
        if failure.fault() == seamline_core::Fault::Node {
            let until = self
                .now()
                .saturating_add(self.client.config.options.cooling);
            self.client.node(node, |state| state.failed(until));
        }
    }
}

/// A stable word for a receipt.
fn word(text: &str) -> Word {
    Word::new(text)
}
