//! Signs of life through the facilitator, as OpenGradient's gateway sends them.

use core::time::Duration;

use seamline_core::B256;
use seamline_net::HeartbeatRelay;
use tokio::time::{sleep, timeout};

use crate::enclave::Enclave;

/// How heartbeats are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatPlan {
    /// Before the first one; none. A node that was registered a moment ago needs none for an interval.
    pub first: Duration,
    /// Between two of them; 15 minutes.
    pub interval: Duration,
    /// How far back the time that is signed lies, so that this clock may be ahead of the chain's;
    /// 5 minutes.
    pub buffer: Duration,
    /// How often one is tried; 3 times.
    pub tries: u32,
    /// Between two tries; 10 s.
    pub pause: Duration,
    /// How long an answer is waited for; 20 s.
    pub wait: Duration,
}

impl Default for HeartbeatPlan {
    fn default() -> Self {
        Self {
            first: Duration::ZERO,
            interval: Duration::from_secs(900),
            buffer: Duration::from_secs(300),
            tries: 3,
            pause: Duration::from_secs(10),
            wait: Duration::from_secs(20),
        }
    }
}

impl Enclave {
    /// Sends heartbeats through `relay` until `stop` resolves, the first one after
    /// [`HeartbeatPlan::first`].
    /// How they fare is in `GET /heartbeat/status`.
    pub async fn run_heartbeats(
        &self,
        relay: &dyn HeartbeatRelay,
        plan: HeartbeatPlan,
        stop: impl Future<Output = ()> + Send,
    ) {
        let mut stop = core::pin::pin!(stop);
        self.plan_heartbeats(plan);
        let beats = async {
            sleep(plan.first).await;
            loop {
                self.beat(relay, &plan).await;
                sleep(plan.interval).await;
            }
        };
        tokio::select! {
            () = &mut stop => {}
            () = beats => {}
        }
        self.stop_heartbeats();
    }

    /// Sends one heartbeat, as often as the plan says.
    ///
    /// # Retries
    ///
    /// The facilitator may have sent the transaction of a try without an answer: a second one is a
    /// heartbeat more, which costs it gas and nobody anything else.
    pub async fn beat(&self, relay: &dyn HeartbeatRelay, plan: &HeartbeatPlan) {
        for attempt in 1..=plan.tries.max(1) {
            let sent = self.send_heartbeat(relay, plan);
            let sent = timeout(plan.wait, sent).await;
            let outcome = sent.unwrap_or(Err("the facilitator does not answer"));
            self.note_heartbeat(outcome);
            match outcome {
                Ok(_) => return,
                Err(reason) => tracing::warn!(reason, attempt, "a heartbeat was not sent"),
            }
            if attempt < plan.tries {
                sleep(plan.pause).await;
            }
        }
    }

    async fn send_heartbeat(
        &self,
        relay: &dyn HeartbeatRelay,
        plan: &HeartbeatPlan,
    ) -> Result<B256, &'static str> {
        let at = (self.clock)().saturating_sub(plan.buffer);
        let heartbeat = self.heartbeat(at).map_err(|_| "it cannot be signed")?;
        let heartbeat = seamline_evm::heartbeat::Heartbeat {
            node: heartbeat.tee_id,
            timestamp: heartbeat.timestamp,
            signature: heartbeat.signature.into(),
        };
        let sent = relay.heartbeat(&heartbeat, self.config.registry).await;
        let hash = sent.map_err(|err| {
            let error = seamline_core::chain(&err);
            tracing::warn!(error, "the facilitator relayed no heartbeat");
            "the facilitator does not relay it"
        })?;
        let malformed = "the facilitator's answer is malformed";
        hash.parse().map_err(|_| malformed)
    }

    pub(crate) fn heartbeat_endpoint(&self) -> String {
        let base = self.config.facilitator_url.trim_end_matches('/');
        format!("{base}/heartbeat")
    }
}
