//! The purchase is in the log before anything is sent.

use std::sync::Arc;

use seamline_core::decision::RoutePolicy;
use seamline_core::receipt::{self as event, Recorder, Word};
use seamline_core::{Address, B256, NodeId, Timestamp, binding};
use seamline_evm::payment::Payment;
use seamline_evm::policy::SpendPolicy;
use tokio::time::Instant;

use super::error::ErrorKind;
use super::run::Buying;
use super::wire::Target;
use super::{Payees, Payer, Purchase, Signed};
use crate::books::Running;
use crate::journal::{CallRecord, CallState, PurchaseRecord};
use crate::leg::Leg;
use crate::step::{Step, Watch};

/// A purchase signs one leg.
pub(super) const LEG: u32 = 0;

impl<'a> Buying<'a> {
    pub(super) fn open(
        payer: &'a Payer,
        purchase: &'a Purchase,
        target: Target,
        key: B256,
        watch: &'a mut dyn Watch,
    ) -> Result<Self, ErrorKind> {
        watch.step(Step::Open, "");
        let mut budget = payer.budget.clone();
        if let Some(cap) = purchase.max_price {
            budget.per_call = budget.per_call.min(cap);
        }
        if budget.per_call.is_zero() {
            return Err(ErrorKind::ZeroBudget);
        }
        let rpc = payer.chains.first().map(|chain| Arc::clone(&chain.rpc));
        let rpc = rpc.ok_or_else(|| ErrorKind::NoChain {
            network: "eip155".to_owned(),
        })?;
        let env = &payer.env;
        let draw = B256::from(env.random().map_err(ErrorKind::Entropy)?);
        let request_salt = env.random().map_err(ErrorKind::Entropy)?;
        let output_salt = env.random().map_err(ErrorKind::Entropy)?;
        let call_key = env.random().map_err(ErrorKind::Entropy)?;
        let opened = env.now();
        let started = Instant::now();
        let recorder_key = *payer.recorder.key().public_key().as_bytes();
        let (spend_policy, route_policy) = (budget.encode(), no_route(&budget, &target).encode());
        let req_commitment = binding::request_commitment(&request_salt, key.as_slice());
        let policy_hash = binding::policy_hash(&spend_policy, &route_policy);
        let draw_commitment = binding::draw_commitment(&draw);
        let (mut recorder, mut running) = (None, None);
        let journal = &payer.books.journal;
        let record = journal.open_call(opened.as_millis(), |seq| {
            running = Some(Running::new(&payer.books, seq));
            let call_id = binding::call_id(&recorder_key, seq);
            let begun = Recorder::new(
                call_key,
                0,
                event::Opened {
                    seq,
                    call_id,
                    req_commitment,
                    policy_hash,
                    spend_policy,
                    route_policy,
                    wall_ms: opened.as_millis(),
                    draw_commitment,
                    recorder: recorder_key,
                },
            );
            let open_leaf = begun.open_leaf();
            recorder = Some(begun);
            let record = fresh_record(seq, call_id.to_string(), opened, key, &target);
            (call_id, open_leaf, record)
        });
        let record = record.map_err(ErrorKind::Journal)?;
        let id = binding::call_id(&recorder_key, record.seq);
        let h_bind = binding::h_bind(&id, &req_commitment, &policy_hash);
        let running = running.unwrap_or_else(|| Running::new(&payer.books, record.seq));
        let leg = Leg {
            books: Arc::clone(&payer.books),
            env: env.clone(),
            rpc,
            budget,
            record,
            payment: Payment::new(binding::leg_nonce(&h_bind, LEG)),
            replied: started,
        };
        let mut buying = Self {
            payer,
            purchase,
            watch,
            node: NodeId::new(binding::origin_id(&target.origin)),
            target,
            step: Step::Open,
            started,
            id: Some(id),
            output_salt,
            h_bind,
            recorder,
            leg,
            _running: running,
            requests: 0,
            settle_reply: None,
            refused: None,
            sold: None,
            signed_offer: Signed::No,
            charge_recorded: false,
            repeated: false,
            outlet: None,
            passed: None,
        };
        buying.record_purchase();
        buying.done();
        Ok(buying)
    }

    /// Says that this is a purchase, from whom, and why its address may be paid.
    fn record_purchase(&mut self) {
        let origin = Word::new(&self.target.origin);
        if origin != self.target.origin.as_str() {
            // A name that does not fit is not cut: without it the receipt stays open in this point.
            return;
        }
        let known = self.payer.books.journal.pins(&self.target.origin);
        let payee = match &self.payer.options.payees {
            Payees::Listed(_) => "listed",
            Payees::FirstUse if known.is_ok_and(|known| !known.is_empty()) => "known",
            Payees::FirstUse => "first",
        };
        let payee = Word::new(payee);
        self.event(event::Purchased { origin, payee });
    }
}

/// A purchase decides among no nodes: the caller named the server.
fn no_route(budget: &SpendPolicy, target: &Target) -> RoutePolicy {
    RoutePolicy {
        model: target.origin.chars().take(256).collect(),
        cap: budget.per_call,
        weight_price: 0,
        weight_latency: 0,
        weight_health: 0,
        latency_bound_us: 0,
        explore_ppm: 0,
        max_heartbeat_age_s: 0,
        measurements: Vec::new(),
        network: budget.networks.first().cloned().unwrap_or_default(),
        asset: budget.assets.first().copied().unwrap_or(Address::ZERO),
        avoid: Vec::new(),
    }
}

fn fresh_record(
    seq: u64,
    call_id: String,
    opened: Timestamp,
    key: B256,
    target: &Target,
) -> CallRecord {
    CallRecord {
        seq,
        call_id,
        opened_ms: opened.as_millis(),
        model: target.origin.clone(),
        state: CallState::Open,
        step: Step::Open.as_str().to_owned(),
        payment: None,
        receipt: None,
        purchase: Some(PurchaseRecord {
            key,
            origin: target.origin.clone(),
            v1_payload: None,
        }),
        voucher: None,
        answer: None,
        named_record: None,
    }
}
