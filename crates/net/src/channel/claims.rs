//! The background task: claims, payouts and the watch for withdrawals.

use core::future::Future;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::channel::seller::{Action, Channel, Event, envelope, seller_offer};
use seamline_evm::channel::{Claim, Payload, StateRead, claim_batch_digest};
use seamline_evm::signer::sign_checked;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};

use super::{Channels, Inner};

/// Channels in one read of the chain: three calls each.
const WATCHED_AT_ONCE: usize = 64;

impl Channels {
    /// Claims, pays out and watches until `stop` resolves. Run it once.
    ///
    /// # Cancellation
    ///
    /// A claim under way is made or not; the next start claims what is still due.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(self.0.config.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let working = async {
            loop {
                ticks.tick().await;
                self.tick().await;
            }
        };
        tokio::select! {
            () = working => {}
            () = stop => {}
        }
    }

    /// Does once what [`Channels::run`] does at each tick, to its end.
    pub async fn tick(&self) {
        let inner = &self.0;
        inner.write_truth().await;
        let mut actions = {
            let mut books = inner.lock();
            let all: Vec<Channel> = books.channels.values().cloned().collect();
            books.collector.on_event(Event::Tick(&all), inner.now())
        };
        while let Some(action) = actions.pop() {
            let event = match action {
                Action::Watch(channels) => {
                    inner.watch(&channels).await;
                    continue;
                }
                Action::Claim(claims) => inner.claim(&claims).await,
                Action::Settle { receiver, token } => inner.pay(receiver, token).await,
            };
            let next = inner.lock().collector.on_event(event, inner.now());
            actions.extend(next);
        }
    }
}

impl Inner {
    /// Writes the books of channels whose stored books differ, and forgets spent ones.
    async fn write_truth(&self) {
        let dirty: Vec<B256> = self.lock().dirty.drain().collect();
        for id in dirty {
            self.write(id).await;
        }
        let spent = {
            let mut books = self.lock();
            let spent = books.channels.values().filter(|channel| channel.spent());
            let spent: Vec<B256> = spent.map(Channel::id).collect();
            let forgetting = spent.iter().map(|id| {
                books.channels.remove(id);
                // In line before whatever the channel's next request writes.
                self.store.forget(*id)
            });
            forgetting.collect::<Vec<_>>()
        };
        for forgotten in spent {
            // Kept books of a spent channel do no harm.
            drop(forgotten.await);
        }
    }

    /// Writes the books of a channel, unless a request holds it: its own write comes later and must
    /// not be overtaken.
    pub(super) async fn write(&self, id: B256) {
        let copy;
        let saving = {
            let mut books = self.lock();
            let Some(channel) = books.channels.get(&id) else {
                return;
            };
            if channel.busy() {
                books.dirty.insert(id);
                return;
            }
            copy = channel.clone();
            self.store.save(&copy)
        };
        if let Err(error) = saving.await {
            let error = seamline_core::chain(&error);
            tracing::error!(error, "books of a channel could not be stored");
            self.lock().dirty.insert(id);
        }
    }

    async fn watch(&self, channels: &[B256]) {
        let Some(rpc) = &self.rpc else {
            return;
        };
        for some in channels.chunks(WATCHED_AT_ONCE) {
            let read = StateRead::new(some.to_vec());
            let states = match rpc.batch(read.calls()).await {
                Ok(results) => read.conclude(&results),
                Err(error) => Err(error.into()),
            };
            match states {
                Ok(states) => {
                    let now = self.now();
                    let mut books = self.lock();
                    for (id, state) in states {
                        if let Some(channel) = books.channels.get_mut(&id) {
                            channel.observe(state, now);
                        }
                    }
                }
                Err(error) => {
                    let error = seamline_core::chain(&error);
                    tracing::warn!(error, "channels could not be watched");
                }
            }
        }
    }

    async fn claim(&self, claims: &[Claim]) -> Event<'static> {
        let authorizer = Arc::clone(&self.config.authorizer);
        let digest = claim_batch_digest(claims, self.config.chain_id);
        // A signer of another process or device may take its time.
        let signed = tokio::task::spawn_blocking(move || sign_checked(&*authorizer, &digest)).await;
        let Ok(Ok(signature)) = signed else {
            tracing::error!("a claim could not be signed");
            return Event::ClaimFailed;
        };
        let payload = Payload::Claim {
            claims: claims.to_vec(),
            authorizer_signature: Some(signature.as_bytes().to_vec()),
        };
        match self.send(&payload).await {
            Ok(_) => {
                self.claimed(claims).await;
                Event::Claimed
            }
            Err(reason) => {
                tracing::warn!(%reason, channels = claims.len(), "a claim failed");
                Event::ClaimFailed
            }
        }
    }

    async fn claimed(&self, claims: &[Claim]) {
        let now = self.now();
        for claim in claims {
            let id = claim.config.id(self.config.chain_id);
            if let Some(channel) = self.lock().channels.get_mut(&id) {
                channel.claimed(claim.total_claimed, now);
            }
            // Where it fails, the chain has it: claiming again does nothing.
            self.write(id).await;
        }
    }

    async fn pay(&self, receiver: Address, token: Address) -> Event<'static> {
        match self.send(&Payload::Settle { receiver, token }).await {
            Ok(_) => Event::Settled,
            Err(reason) if reason.as_str() == NOTHING => Event::Settled,
            Err(reason) => {
                tracing::warn!(%reason, "a payout failed");
                Event::SettleFailed
            }
        }
    }

    async fn send(&self, payload: &Payload) -> Result<SettleResponse, Reason> {
        let config = &self.config;
        let offer = seller_offer(&config.network, config.receiver, config.token);
        let payment = envelope(payload, &offer);
        let request = FacilitatorRequest {
            payment_payload: payment.map_err(|_| Reason::InvalidPayload)?,
            payment_requirements: offer,
        };
        let settled = self.facilitator.settle(&request).await;
        let settled = settled.map_err(|_| Reason::UnexpectedSettleError)?;
        if settled.success {
            Ok(settled)
        } else {
            let reason = settled.error_reason;
            Err(reason.unwrap_or(Reason::UnexpectedSettleError))
        }
    }
}

/// Nothing is owed: as good as paid.
const NOTHING: &str = "invalid_batch_settlement_evm_nothing_to_settle";
