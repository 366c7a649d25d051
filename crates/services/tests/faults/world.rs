//! Who takes part in a run: facilitators and paywalls that die and start again, over one chain.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use seamline_core::{Address, Amount, Timestamp, U256, keccak256};
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::OfferTerms;
use seamline_evm::{Rpc, Wallet};
use seamline_net::{Clock, FacilitatorApi, PaymentContext, Paywall, PaywallConfig, Problem};
use seamline_services::facilitator::{
    Facilitator, FacilitatorConfig, MemoryStore, Store, StoreLocation,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::chain::{BEGAN_S, SimChain};
use crate::contracts::{CHAIN_ID, TOKEN, TOKEN_NAME, TOKEN_VERSION};
use crate::life::{Deed, Life};
use crate::points::{Plan, Way};
use crate::rng::Rng;
use crate::wire::{Counter, DeskDisk, Endpoint, Line, ShopDisk, Slot};

pub(crate) const PRICE: u128 = 5_000;
pub(crate) const SUPPLY: u128 = 1_000_000;
/// Who is paid: the first seller, and the one that is fallen back to.
pub(crate) const PAYEES: [Address; 2] = [Address::repeat_byte(0x22), Address::repeat_byte(0x33)];

/// One run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) chain: Arc<SimChain>,
    pub(crate) payer: Wallet,
    pub(crate) lines: Lines,
    pub(crate) shops: Vec<Shop>,
    pub(crate) served: Mutex<Vec<Served>>,
    began: Instant,
    trace: Mutex<Vec<String>>,
    runs: AtomicU64,
    /// Lives that paywalls began.
    pub(crate) shop_lives: AtomicUsize,
}

/// The wires of a run.
pub(crate) struct Lines {
    pub(crate) http: Arc<Line>,
    pub(crate) payer_rpc: Arc<Line>,
    api: Arc<Line>,
    desk_rpc: Arc<Line>,
}

/// One paywall and its payee.
pub(crate) struct Shop {
    pub(crate) payee: Address,
    pub(crate) running: Mutex<Option<(Router, Life)>>,
}

/// An answer that left a paywall.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) purchase: u64,
    pub(crate) payee: Address,
    pub(crate) body: Vec<u8>,
}

impl World {
    /// Builds everything and starts it.
    pub(crate) fn start(plan: Plan, rng: &mut Rng) -> Arc<Self> {
        let payer = wallet("payer");
        let tokens = [(payer.address(), U256::from(SUPPLY))];
        let chain = Arc::new(SimChain::new(plan.weather.clone(), &tokens));
        let shop_count = if plan.shop_replicas || plan.falls_back {
            2
        } else {
            1
        };
        let shop = |index: usize| Shop {
            payee: PAYEES[if plan.falls_back { index } else { 0 }],
            running: Mutex::new(None),
        };
        let world = Arc::new(Self {
            lines: Lines {
                http: Line::new(plan.http, rng.fork()),
                payer_rpc: Line::new(plan.payer_rpc, rng.fork()),
                api: Line::new(plan.api, rng.fork()),
                desk_rpc: Line::new(plan.desk_rpc, rng.fork()),
            },
            shops: (0..shop_count).map(shop).collect(),
            served: Mutex::default(),
            began: Instant::now(),
            trace: Mutex::default(),
            runs: AtomicU64::new(0),
            shop_lives: AtomicUsize::new(0),
            chain,
            payer,
            plan,
        });
        let desks: Vec<Slot> = (0..world.plan.desks).map(|_| Slot::default()).collect();
        let store = MemoryStore::new();
        for (index, desk) in desks.iter().enumerate() {
            let (world, desk, store) = (Arc::clone(&world), Arc::clone(desk), store.clone());
            tokio::spawn(async move { world.keep_desk(index, &desk, &store).await });
        }
        let shared = seamline_net::MemoryStore::shared();
        for index in 0..world.shops.len() {
            let store = if world.plan.shop_replicas {
                shared.clone()
            } else {
                seamline_net::MemoryStore::new()
            };
            let (world, desks, rng) = (Arc::clone(&world), desks.clone(), rng.fork());
            tokio::spawn(async move { world.keep_shop(index, &desks, &store, rng).await });
        }
        world
    }

    pub(crate) fn say(&self, text: &str) {
        let at = self.began.elapsed().as_millis();
        self.trace
            .lock()
            .unwrap()
            .push(format!("{at:>8} ms  {text}"));
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap().clone()
    }

    /// Every wire is whole from now on, and nobody dies any more.
    pub(crate) fn heal(&self) {
        self.say("everything is repaired");
        for line in [
            &self.lines.http,
            &self.lines.payer_rpc,
            &self.lines.api,
            &self.lines.desk_rpc,
        ] {
            line.repair();
        }
    }

    /// A clock that is `skew_s` seconds off.
    pub(crate) fn clock(&self, skew_s: i64) -> Clock {
        let began = self.began;
        let base_ms = (BEGAN_S * 1_000).saturating_add_signed(skew_s * 1_000);
        Arc::new(move || {
            let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap();
            Timestamp::from_millis(base_ms + elapsed)
        })
    }

    /// Runs one facilitator, life after life.
    async fn keep_desk(&self, index: usize, desk: &Slot, store: &MemoryStore) {
        let mut fuses = self.plan.desk_fuses[index].clone().into_iter();
        loop {
            let life = Life::new(fuses.next());
            let rpc: Arc<dyn Rpc> = Arc::new(Endpoint {
                chain: Arc::clone(&self.chain),
                line: Arc::clone(&self.lines.desk_rpc),
                life: life.clone(),
            });
            let disk: Arc<dyn Store> = Arc::new(DeskDisk {
                store: store.clone(),
                life: life.clone(),
                forgets: self.plan.desk_forgets,
            });
            let started = tokio::select! {
                biased;
                () = life.death() => None,
                started = Facilitator::start_with(self.desk_config(rpc), disk) => Some(started),
            };
            match started {
                Some(Ok(facilitator)) => {
                    self.say(&format!("facilitator {index} runs"));
                    *desk.lock().unwrap() = Some((facilitator, life.clone()));
                    life.death().await;
                    *desk.lock().unwrap() = None;
                }
                Some(Err(error)) => {
                    self.say(&format!("facilitator {index} does not start: {error}"));
                    life.kill();
                }
                None => {}
            }
            self.say(&format!("facilitator {index} is dead"));
            sleep(Duration::from_millis(self.plan.downtime_ms)).await;
        }
    }

    fn desk_config(&self, rpc: Arc<dyn Rpc>) -> FacilitatorConfig {
        let ceiling = FeeCeiling {
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 1_000,
        };
        let config = FacilitatorConfig::new(
            Arc::new(wallet("facilitator")),
            rpc,
            CHAIN_ID,
            vec![TOKEN],
            StoreLocation::Memory,
            self.clock(self.plan.skew_s[2]),
            ceiling,
        );
        FacilitatorConfig {
            poll: Duration::from_millis(200),
            bump_after: Duration::from_secs(6),
            lease: Duration::from_secs(3),
            confirmations: self.plan.confirmations,
            ..config
        }
    }

    /// Runs one paywall, life after life.
    async fn keep_shop(
        self: &Arc<Self>,
        index: usize,
        desks: &[Slot],
        store: &seamline_net::MemoryStore,
        mut rng: Rng,
    ) {
        let mut fuses = self.plan.shop_fuses[index].clone().into_iter();
        loop {
            let life = Life::new(fuses.next());
            self.shop_lives.fetch_add(1, Ordering::SeqCst);
            let api: Arc<dyn FacilitatorApi> = Arc::new(Counter {
                desks: desks.to_vec(),
                line: Arc::clone(&self.lines.api),
                life: life.clone(),
                rng: Mutex::new(rng.fork()),
            });
            let clock = self.clock(self.plan.skew_s[1]);
            let mut config = PaywallConfig::new("https://node.example", clock);
            config.max_on_credit = self.plan.credit;
            config.store = Arc::new(ShopDisk {
                store: if self.plan.shop_forgets {
                    seamline_net::MemoryStore::new()
                } else {
                    store.clone()
                },
                life: life.clone(),
            });
            let terms = self.terms(index);
            let price = move |_: &Parts, _: &Bytes| -> Result<Vec<OfferTerms>, Problem> {
                Ok(vec![terms.clone()])
            };
            let paywall = Paywall::new(config, api, price);
            let (world, alive) = (Arc::clone(self), life.clone());
            let handler = move |Extension(payment): Extension<PaymentContext>, body: Bytes| {
                let (world, alive) = (Arc::clone(&world), alive.clone());
                async move { world.work(index, &alive, payment, &body).await }
            };
            let routes = paywall.protect(post(handler));
            let router = Router::new().route("/v1/chat/completions", routes);
            tokio::select! {
                biased;
                () = life.death() => {}
                recovered = paywall.recover() => {
                    self.say(&format!("paywall {index} runs, debts: {recovered:?}"));
                    let shop = &self.shops[index].running;
                    *shop.lock().unwrap() = Some((router, life.clone()));
                    life.death().await;
                    *shop.lock().unwrap() = None;
                }
            }
            self.say(&format!("paywall {index} is dead"));
            sleep(Duration::from_millis(self.plan.downtime_ms)).await;
        }
    }

    /// What is sold: works a while, meters what is due for the purchase, and numbers its answer.
    async fn work(
        &self,
        index: usize,
        alive: &Life,
        payment: PaymentContext,
        body: &[u8],
    ) -> Response {
        let purchase = core::str::from_utf8(body).unwrap().parse().unwrap();
        let work = Duration::from_millis(self.plan.work_ms);
        alive.act(Deed::Handle, sleep(work)).await;
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        payment.meter.set(self.due(purchase));
        self.say(&format!(
            "paywall {index} works for purchase {purchase}, run {run}"
        ));
        let text = format!("answer {run} to purchase {purchase}");
        if !self.plan.streams {
            return text.into_response();
        }
        let alive = alive.clone();
        let events = unfold(0_u8, move |sent| {
            let (alive, text) = (alive.clone(), text.clone());
            async move {
                let event = format!("data: {text}\n\n");
                match sent {
                    0 => Some((Ok::<_, Infallible>(event), 1)),
                    1 | 2 => {
                        alive.act(Deed::Handle, sleep(work)).await;
                        Some((Ok(event), sent + 1))
                    }
                    _ => None,
                }
            }
        });
        let kind = [(CONTENT_TYPE, "text/event-stream")];
        (kind, Body::from_stream(events)).into_response()
    }

    fn terms(&self, index: usize) -> OfferTerms {
        let (scheme, method) = match self.plan.way {
            Way::Transfer => ("exact", "eip3009"),
            Way::Exact => ("exact", "permit2"),
            Way::Upto => ("upto", "permit2"),
        };
        let extra = json!({
            "name": TOKEN_NAME, "version": TOKEN_VERSION, "assetTransferMethod": method,
        });
        OfferTerms {
            scheme: scheme.to_owned(),
            network: format!("eip155:{CHAIN_ID}"),
            asset: TOKEN.to_string(),
            amount: PRICE.to_string(),
            pay_to: self.shops[index].payee.to_string(),
            max_timeout_seconds: self.plan.lifetime_s,
            extra: extra.as_object().unwrap().clone(),
        }
    }

    /// What is due for a purchase: the price, or what its handler meters.
    pub(crate) fn due(&self, purchase: u64) -> Amount {
        match self.plan.way {
            Way::Transfer | Way::Exact => Amount::new(PRICE),
            Way::Upto => Amount::new(metered(purchase, self.plan.meter)),
        }
    }
}

/// What the handler meters.
fn metered(purchase: u64, meter: u64) -> u128 {
    u128::from((meter + purchase * 911) % 5_001)
}

pub(crate) fn wallet(name: &str) -> Wallet {
    Wallet::from_bytes(&keccak256(name).0).unwrap()
}
