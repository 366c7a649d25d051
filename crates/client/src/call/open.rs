//! 1. open: the open entry is on disk before anything is asked of anyone.

use std::sync::Arc;

use bytes::Bytes;
use seamline_core::receipt::{self as event, EvidenceType, Recorder};
use seamline_core::{B256, CallId, Timestamp, binding};
use seamline_evm::payment::Payment;
use tokio::time::Instant;

use super::Call;
use crate::ask::Ask;
use crate::books::Running;
use crate::client::Client;
use crate::error::ErrorKind;
use crate::journal::{CallRecord, CallState};
use crate::leg::Leg;
use crate::step::{Step, Watch};

/// A call signs one leg; a second would need a policy that says so.
pub(super) const LEG: u32 = 0;

impl<'a> Call<'a> {
    pub(super) fn open(
        client: &'a Client,
        ask: Ask<'a>,
        watch: &'a mut dyn Watch,
    ) -> Result<Self, ErrorKind> {
        watch.step(Step::Open, "");
        if ask.is_empty() {
            return Err(ErrorKind::EmptyPrompt);
        }
        let budget = client.budget(ask);
        if budget.per_call.is_zero() || budget.per_day.is_zero() {
            return Err(ErrorKind::ZeroBudget);
        }
        let (body, input_hash) = ask.to_wire()?;
        let body = Bytes::from(body);
        let env = &client.config.env;
        let draw = B256::from(env.random().map_err(ErrorKind::Entropy)?);
        let request_salt = env.random().map_err(ErrorKind::Entropy)?;
        let output_salt = env.random().map_err(ErrorKind::Entropy)?;
        let call_key = env.random().map_err(ErrorKind::Entropy)?;
        let route = client.route_policy(ask, budget.per_call);

        let opened = env.now();
        let started = Instant::now();
        let recorder_key = *client.config.recorder.public_key().as_bytes();
        let (spend_policy, route_policy) = (budget.encode(), route.encode());
        let req_commitment = binding::request_commitment(&request_salt, &body);
        let policy_hash = binding::policy_hash(&spend_policy, &route_policy);
        let draw_commitment = binding::draw_commitment(&draw);
        let (mut recorder, mut running) = (None, None);
        let record = client
            .books
            .journal
            .open_call(opened.as_millis(), |seq| {
                running = Some(Running::new(&client.books, seq));
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
                (call_id, open_leaf, fresh_record(seq, call_id, opened, ask))
            })
            .map_err(ErrorKind::Journal)?;
        let id = binding::call_id(&recorder_key, record.seq);
        let h_bind = binding::h_bind(&id, &req_commitment, &policy_hash);
        let running = running.unwrap_or_else(|| Running::new(&client.books, record.seq));
        let mut call = Self {
            client,
            ask,
            watch,
            step: Step::Open,
            started,
            body,
            input_hash,
            id,
            h_bind,
            draw,
            output_salt,
            route,
            recorder,
            _running: running,
            requests: 0,
            leg: Leg {
                books: Arc::clone(&client.books),
                env: env.clone(),
                rpc: Arc::clone(&client.config.network.rpc),
                budget,
                record,
                payment: Payment::new(binding::leg_nonce(&h_bind, LEG)),
                replied: started,
            },
            from_block: 0,
            settle_reply: None,
            refused: None,
            fresh: None,
            voucher: None,
            charge_recorded: false,
        };
        if ask.contents() {
            let request = [request_salt.as_slice(), &call.body].concat();
            call.attach(EvidenceType::Request, request);
        }
        call.done();
        Ok(call)
    }
}

fn fresh_record(seq: u64, call_id: CallId, opened: Timestamp, ask: Ask<'_>) -> CallRecord {
    CallRecord {
        seq,
        call_id: call_id.to_string(),
        opened_ms: opened.as_millis(),
        model: ask.model().clone(),
        state: CallState::Open,
        step: Step::Open.as_str().to_owned(),
        payment: None,
        receipt: None,
        purchase: None,
        voucher: None,
        answer: None,
        named_record: None,
    }
}
