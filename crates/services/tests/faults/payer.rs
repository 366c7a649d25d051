//! The payer, as the client drives it: the rules of `evm::payment`, and hands that obey them.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use seamline_core::{Amount, B256, keccak256};
use seamline_evm::chain::{self, Depths, Finality, Standing};
use seamline_evm::payment::{Event, Payment, State, Terms};
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::{Marks, Scheme};
use seamline_evm::x402::PaymentRequired;
use tokio::time::{Instant, sleep};

use crate::books::{Books, Entry};
use crate::contracts::{CHAIN_ID, TOKEN};
use crate::http::Reply;
use crate::leg::{Leg, Next, UNPROMISED_WAIT};
use crate::life::Life;
use crate::points::Crash;
use crate::wire::Endpoint;
use crate::world::{PRICE, World};

/// The payer of a run.
pub(crate) struct Payer {
    pub(crate) world: Arc<World>,
    pub(crate) books: Books,
    pub(crate) rpc: Endpoint,
    crash: Mutex<Option<Crash>>,
}

/// Why a purchase goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The process died.
    Crashed,
    /// Nothing was signed.
    Unsigned,
}

/// The payer's process is taken down by its fate.
pub(crate) type Step<T> = Result<T, Stop>;

impl Payer {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            rpc: Endpoint {
                chain: Arc::clone(&world.chain),
                line: Arc::clone(&world.lines.payer_rpc),
                life: Life::new(None),
            },
            books: Books::default(),
            crash: Mutex::new(world.plan.crash),
            world: Arc::clone(world),
        }
    }

    /// Makes one purchase, and after a death goes on as a restarted client does.
    pub(crate) async fn purchase(&self, purchase: u64) {
        let nonce = self.nonce(purchase, 0);
        match self.buy(purchase, nonce).await {
            Ok(()) => {}
            Err(Stop::Unsigned) => self.say(purchase, "nothing was signed"),
            Err(Stop::Crashed) => {
                self.say(purchase, "the payer died");
                sleep(Duration::from_millis(self.world.plan.downtime_ms)).await;
                if self.world.plan.resumes {
                    drop(self.resume(purchase, nonce).await);
                }
            }
        }
        if self.world.plan.signs_anew {
            let lost = self.books.entry(&nonce).is_some_and(|it| it.is_open());
            if lost {
                drop(self.buy(purchase, self.nonce(purchase, 1)).await);
            }
        }
    }

    fn nonce(&self, purchase: u64, attempt: u64) -> B256 {
        keccak256([purchase.to_be_bytes(), attempt.to_be_bytes()].concat())
    }

    pub(crate) fn say(&self, purchase: u64, text: &str) {
        self.world.say(&format!("purchase {purchase}: {text}"));
    }

    /// Whether the process dies here.
    pub(crate) fn dies(&self, place: Crash) -> Step<()> {
        let mut crash = self.crash.lock().unwrap();
        if *crash == Some(place) {
            *crash = None;
            return Err(Stop::Crashed);
        }
        Ok(())
    }

    async fn buy(&self, purchase: u64, nonce: B256) -> Step<()> {
        let required = self.ask(0, purchase).await?;
        let from_block = self.newest_block().await?;
        let mut leg = Leg {
            payer: self,
            purchase,
            payment: Payment::new(nonce),
            signed: None,
            from_block,
            replied: Instant::now(),
        };
        leg.authorize(0, &required, Marks::default()).await?;
        let reply = leg.execute(0).await?;
        let is_lost = matches!(
            leg.payment.state(),
            State::Sent | State::Unknown { refused: None }
        );
        let reply = if reply.is_none() && self.world.plan.falls_back && is_lost {
            leg.fall_back().await?
        } else {
            reply
        };
        leg.settle(reply).await
    }

    /// What the restarted client does for somebody who asks again.
    async fn resume(&self, purchase: u64, nonce: B256) -> Step<()> {
        let Some(entry) = self.books.entry(&nonce).filter(Entry::is_open) else {
            return Ok(());
        };
        let signed = entry.signed();
        let (payment, actions) = Payment::resume(signed.iter().map(Terms::from).collect()).unwrap();
        let shop = if signed.len() > 1 { 1 } else { 0 };
        let mut leg = Leg {
            payer: self,
            purchase,
            payment,
            signed: signed.last().cloned(),
            from_block: entry.from_block,
            replied: Instant::now(),
        };
        let next = leg.perform(actions, UNPROMISED_WAIT).await?;
        let reply = match next {
            Next::Present => leg.execute(shop).await?,
            Next::Report => None,
        };
        leg.settle(reply).await
    }

    /// Asks the chain about every payment that is open, and about every outcome that a fork may still
    /// take back. Nothing is presented from here.
    pub(crate) async fn recover(&self) {
        for (nonce, entry) in self.books.all() {
            if !self.is_due(&nonce, &entry).await {
                continue;
            }
            let terms = entry.signed().iter().map(Terms::from).collect();
            let (payment, _) = Payment::recover(terms).unwrap();
            let mut leg = Leg {
                payer: self,
                purchase: entry.purchase,
                payment,
                signed: entry.signed().last().cloned(),
                from_block: entry.from_block,
                replied: Instant::now(),
            };
            if let Event::ChainSays(facts) = leg.ask_chain().await {
                drop(leg.tell(Event::ChainSays(facts)).unwrap());
                leg.write(&nonce);
            }
        }
    }

    /// Whether the outcome is not known, or not any more.
    async fn is_due(&self, nonce: &B256, entry: &Entry) -> bool {
        let Some(anchor) = &entry.anchor else {
            return entry.is_open();
        };
        let finality = self.world.plan.weather.fork_depth + 1;
        let found = chain::standing(&self.rpc, anchor, Depths::new(1, finality)).await;
        let mut books = self.books.0.lock().unwrap();
        let known = books.get_mut(nonce).unwrap();
        match found {
            Ok(Standing::There(Finality::Final)) => known.anchor = None,
            Ok(Standing::Gone) => {
                (known.anchor, known.was_undone) = (None, true);
                known.state = State::Unknown { refused: None };
            }
            Ok(Standing::There(_) | Standing::Behind) | Err(_) => {}
        }
        known.is_open()
    }

    /// The price of a purchase at a shop.
    pub(crate) async fn ask(&self, shop: usize, purchase: u64) -> Step<PaymentRequired> {
        for _ in 0..4 {
            if let Reply::Answer(answer) = self.world.send(shop, purchase, None).await
                && let Some(header) = answer.headers.get("payment-required")
            {
                return Ok(PaymentRequired::from_header(header.as_bytes()).unwrap());
            }
            sleep(Duration::from_secs(1)).await;
        }
        Err(Stop::Unsigned)
    }

    async fn newest_block(&self) -> Step<u64> {
        for _ in 0..4 {
            if let Ok(block) = chain::newest_block(&self.rpc).await {
                return Ok(block.number);
            }
            sleep(Duration::from_millis(500)).await;
        }
        Err(Stop::Unsigned)
    }

    pub(crate) fn policy(&self) -> SpendPolicy {
        let all = PRICE * u128::from(self.world.plan.purchases);
        let spare = if self.world.plan.signs_anew { 2 } else { 1 };
        SpendPolicy {
            per_call: Amount::new(PRICE),
            per_hour: None,
            per_day: Amount::new(all * spare),
            per_node_day: None,
            per_model_day: None,
            per_channel: None,
            schemes: vec![Scheme::Exact, Scheme::Upto],
            networks: vec![format!("eip155:{CHAIN_ID}")],
            assets: vec![TOKEN],
            facilitators: None,
            max_lifetime_s: 300,
        }
    }
}
