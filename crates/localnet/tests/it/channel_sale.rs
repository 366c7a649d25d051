//! Sales through payment channels: paywall, facilitator and the contracts on the embedded chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::routing::post;
use axum::{Extension, Router};
use http::StatusCode;
use seamline_attest::TrustRoots;
use seamline_core::{Amount, Timestamp};
use seamline_evm::bindings::IToken;
use seamline_evm::channel::payer::{Channel, DepositRule, Keys, Payment, Refusal, config_of};
use seamline_evm::channel::{ChainState, StateRead};
use seamline_evm::policy::{Admitted, SpendPolicy, Spent};
use seamline_evm::rpc::At;
use seamline_evm::scheme::Scheme;
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::extensions::payment_identifier::{self, PaymentId};
use seamline_evm::x402::{
    FacilitatorRequest, OfferTerms, PaymentRequired, Reason, SettleResponse, Supported,
    VerifyResponse,
};
use seamline_evm::{Rpc as _, RpcCall, Wallet};
use seamline_localnet::chain::{CHAIN_ID, Chain, ChainConfig as EmbeddedConfig, Mining};
use seamline_localnet::contracts::{BATCH_SETTLEMENT, TOKEN, genesis};
use seamline_net::{
    ChannelConfig, ChannelFile, ChannelMemory, ChannelStore, Channels, FacilitatorApi,
    FacilitatorFuture, PaymentContext, Paywall, PaywallConfig,
};
use seamline_services::channels::{ChannelDeskConfig, WithChannels};
use seamline_services::facilitator::{Facilitator, FacilitatorConfig, StoreLocation};
use serde_json::{Map, json};
use tower::ServiceExt as _;

const START_S: u64 = 1_795_000_000;
const PRICE: u128 = 1_000;
const COST: u128 = 600;
const SELLER: Address = Address::repeat_byte(0x5e);
const NETWORK: &str = "eip155:31610";

/// Counts what is asked of a facilitator.
#[derive(Clone)]
struct Counted {
    desk: WithChannels,
    verified: Arc<AtomicUsize>,
    settled: Arc<AtomicUsize>,
}

impl FacilitatorApi for Counted {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        self.desk.verify(request)
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        self.desk.settle(request)
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        self.desk.supported()
    }
}

struct World {
    chain: Chain,
    now: Arc<AtomicU64>,
    facilitator: Counted,
    payer: Wallet,
    books: Channel,
    channels: Channels,
    app: Router,
    calls: usize,
}

impl World {
    async fn new() -> Self {
        Self::with(Arc::new(ChannelMemory::new())).await
    }

    async fn with(store: Arc<dyn ChannelStore>) -> Self {
        let [payer, sender] = [1_u8, 2].map(|byte| Wallet::from_bytes(&[byte; 32]).unwrap());
        let now = Arc::new(AtomicU64::new(START_S));
        let clock = clock(&now);
        let funded = [payer.address(), sender.address()];
        // The payer holds all tokens.
        let genesis = genesis(clock(), payer.address(), &funded).unwrap();
        let chain = Chain::open(EmbeddedConfig {
            path: None,
            chain_id: CHAIN_ID,
            genesis,
            mining: Mining::Instant,
            roots: TrustRoots::none(),
            clock: clock.clone(),
            dev_methods: true,
            only_from: None,
            models: None,
        })
        .unwrap();
        let settling = Facilitator::start(FacilitatorConfig {
            poll: Duration::from_millis(2),
            ..FacilitatorConfig::new(
                Arc::new(sender),
                Arc::new(chain.clone()),
                CHAIN_ID,
                vec![TOKEN],
                StoreLocation::Memory,
                clock.clone(),
                FeeCeiling {
                    max_fee_per_gas: 1_000_000_000_000,
                    max_priority_fee_per_gas: 1_000_000_000,
                },
            )
        });
        let settling = settling.await.unwrap();
        let desk = ChannelDeskConfig {
            assets: vec![TOKEN],
            settle_wait: Duration::from_secs(10),
            authorizer: None,
        };
        let facilitator = Counted {
            desk: WithChannels::new(Arc::new(settling.clone()), settling.lane(), desk),
            verified: Arc::default(),
            settled: Arc::default(),
        };
        let (channels, app) = sell(&chain, &now, &facilitator, store).await;
        let world = Self {
            books: Channel::new(
                seamline_evm::channel::ChannelConfig {
                    payer: payer.address(),
                    payer_authorizer: payer.address(),
                    receiver: SELLER,
                    receiver_authorizer: authorizer().address(),
                    token: TOKEN,
                    withdraw_delay_s: 900,
                    salt: B256::ZERO,
                },
                CHAIN_ID,
            ),
            chain,
            now,
            facilitator,
            payer,
            channels,
            app,
            calls: 0,
        };
        let admitted = world.admitted().await;
        let account = world.payer.address();
        let config = config_of(&admitted, account, account, B256::ZERO).unwrap();
        assert_eq!(&config, world.books.config());
        world
    }

    /// The seller stops and starts with the books of `store`.
    async fn restart(&mut self, store: Arc<dyn ChannelStore>) {
        let (channels, app) = sell(&self.chain, &self.now, &self.facilitator, store).await;
        (self.channels, self.app) = (channels, app);
    }

    async fn request(&self, body: &str, payment: Option<&Payment>) -> Answer {
        let mut request = Request::post("/v1/echo");
        if let Some(payment) = payment {
            request = request.header("payment-signature", payment.header());
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let header = |name: &str| response.headers().get(name).cloned();
        Answer {
            status: response.status(),
            required: header("payment-required")
                .map(|it| PaymentRequired::from_header(it.as_bytes()).unwrap()),
            settled: header("payment-response")
                .map(|it| SettleResponse::from_header(it.as_bytes()).unwrap()),
            body: String::from_utf8(
                to_bytes(response.into_body(), 1 << 20)
                    .await
                    .unwrap()
                    .to_vec(),
            )
            .unwrap(),
        }
    }

    async fn admitted(&self) -> Admitted {
        let required = self.request("price?", None).await.required.unwrap();
        let policy = SpendPolicy {
            per_call: Amount::new(PRICE),
            per_hour: None,
            per_day: Amount::new(10_000_000),
            per_node_day: None,
            per_model_day: None,
            per_channel: Some(Amount::new(1_000_000)),
            schemes: vec![Scheme::BatchSettlement],
            networks: vec![NETWORK.to_owned()],
            assets: vec![TOKEN],
            facilitators: None,
            max_lifetime_s: 300,
        };
        policy.admit(&required, SELLER, &Spent::default()).unwrap()
    }

    async fn sign(&mut self) -> Result<Payment, Refusal> {
        let admitted = self.admitted().await;
        self.calls += 1;
        let salt = B256::from(U256::from(self.calls));
        let keys = Keys {
            payer: &self.payer,
            authorizer: &self.payer,
        };
        let now = Timestamp::from_secs(self.now.load(Ordering::SeqCst));
        let rule = DepositRule::default();
        let mut payment = self.books.pay(&admitted, &keys, &rule, salt, now)?;
        // Without a name a lost answer cannot be had again.
        let name = PaymentId::from_bytes(salt.0.last_chunk().unwrap());
        let named = [(payment_identifier::KEY.to_owned(), name.addition())];
        let named = payment
            .payload
            .with_extensions(&named.into_iter().collect());
        payment.payload = named.unwrap();
        Ok(payment)
    }

    /// A call that is served, and answered.
    async fn call(&mut self) -> Payment {
        let payment = self.sign().await.unwrap();
        let body = format!("call {}", self.calls);
        let answer = self.request(&body, Some(&payment)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
        assert_eq!(answer.body, body);
        let charged = self.books.answered(&answer.settled.unwrap()).unwrap();
        assert_eq!(charged, Amount::new(COST));
        payment
    }

    fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
        self.chain.mine().unwrap();
    }

    async fn tokens(&self, owner: Address) -> u128 {
        let input = IToken::balanceOfCall { owner }.abi_encode();
        let calls = [RpcCall::call(TOKEN, &input, At::Latest)];
        let answers = self.chain.batch(&calls).await.unwrap();
        let answer = answers[0].as_ref().unwrap().as_str().unwrap();
        u128::from_str_radix(&answer[34..], 16).unwrap()
    }

    async fn on_chain(&self) -> ChainState {
        let read = StateRead::new(vec![self.books.id()]);
        let results = self.chain.batch(read.calls()).await.unwrap();
        read.conclude(&results).unwrap()[0].1
    }

    fn asked(&self) -> (usize, usize) {
        let count = |it: &AtomicUsize| it.load(Ordering::SeqCst);
        (
            count(&self.facilitator.verified),
            count(&self.facilitator.settled),
        )
    }
}

struct Answer {
    status: StatusCode,
    required: Option<PaymentRequired>,
    settled: Option<SettleResponse>,
    body: String,
}

impl Answer {
    fn error(&self) -> &str {
        let required = self.required.as_ref();
        required
            .and_then(|it| it.error.as_deref())
            .unwrap_or_default()
    }
}

fn authorizer() -> Wallet {
    Wallet::from_bytes(&[9; 32]).unwrap()
}

fn clock(now: &Arc<AtomicU64>) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    let now = Arc::clone(now);
    Arc::new(move || Timestamp::from_secs(now.load(Ordering::SeqCst)))
}

async fn sell(
    chain: &Chain,
    now: &Arc<AtomicU64>,
    facilitator: &Counted,
    store: Arc<dyn ChannelStore>,
) -> (Channels, Router) {
    let facilitator: Arc<dyn FacilitatorApi> = Arc::new(facilitator.clone());
    let mut config = ChannelConfig::new(
        NETWORK,
        CHAIN_ID,
        SELLER,
        TOKEN,
        Arc::new(authorizer()),
        clock(now),
    );
    config.withdraw_delay_s = 900;
    config.min_deposit_times = 200;
    let rpc = Arc::new(chain.clone());
    let channels = Channels::open(config, Arc::clone(&facilitator), Some(rpc), store)
        .await
        .unwrap();
    let mut config = PaywallConfig::new("https://node.example", clock(now));
    config.local.push(Arc::new(channels.clone()));
    let price = |_: &http::request::Parts, _: &bytes::Bytes| {
        let mut extra = Map::new();
        extra.insert("name".to_owned(), json!("OpenGradient"));
        extra.insert("version".to_owned(), json!("1"));
        Ok(vec![OfferTerms {
            scheme: "batch-settlement".to_owned(),
            network: NETWORK.to_owned(),
            asset: TOKEN.to_string(),
            amount: PRICE.to_string(),
            pay_to: SELLER.to_string(),
            max_timeout_seconds: 300,
            extra,
        }])
    };
    let paywall = Paywall::new(config, facilitator, price);
    let handler = |Extension(paid): Extension<PaymentContext>, body: String| async move {
        if body == "fail" {
            return Err(StatusCode::BAD_REQUEST);
        }
        paid.meter.set(Amount::new(COST));
        Ok(body)
    };
    let app = Router::new().route("/v1/echo", paywall.protect(post(handler)));
    (channels, app)
}

#[tokio::test]
async fn a_hundred_calls_cost_one_deposit_one_claim_and_one_payout() {
    let mut world = World::new().await;
    let before = world.tokens(world.payer.address()).await;
    let first = world.call().await;
    assert_eq!(first.deposit, Some(Amount::new(200_000)));
    for _ in 0..99 {
        assert_eq!(world.call().await.deposit, None);
    }
    // One settlement, the deposit, and not one question for a hundred vouchers.
    assert_eq!(world.asked(), (0, 1));
    assert_eq!(world.tokens(world.payer.address()).await, before - 200_000);
    assert_eq!(world.books.charged(), Amount::new(100 * COST));

    // Nothing is claimed before it is due.
    world.channels.tick().await;
    assert_eq!(world.on_chain().await.total_claimed, Amount::ZERO);
    world.wait(300);
    world.channels.tick().await;
    assert_eq!(world.asked(), (0, 3));
    assert_eq!(
        world.on_chain().await.total_claimed,
        Amount::new(100 * COST)
    );
    assert_eq!(world.tokens(SELLER).await, 100 * COST);

    // The rest goes back, and the contract keeps nothing.
    let admitted = world.admitted().await;
    let keys = Keys {
        payer: &world.payer,
        authorizer: &world.payer,
    };
    let refund = world.books.refund(&admitted, &keys, None).unwrap();
    let answer = world.request("refund", Some(&refund)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
    let settled = answer.settled.unwrap();
    assert_eq!(settled.amount, Some((200_000 - 100 * COST).to_string()));
    world.books.answered(&settled).unwrap();
    assert_eq!(
        world.tokens(world.payer.address()).await,
        before - 100 * COST
    );
    assert_eq!(world.tokens(BATCH_SETTLEMENT).await, 0);
    world.channels.tick().await;
    assert!(world.channels.is_empty());
}

#[tokio::test]
async fn a_payer_that_withdraws_does_not_take_what_it_owes() {
    let mut world = World::new().await;
    let before = world.tokens(world.payer.address()).await;
    for _ in 0..5 {
        world.call().await;
    }
    // Everything, of which 3,000 are owed.
    let ask = world
        .books
        .clone()
        .close_call(Amount::new(200_000))
        .unwrap();
    let contract = Some(BATCH_SETTLEMENT);
    world
        .chain
        .transact(&world.payer, contract, U256::ZERO, ask)
        .unwrap();
    world.wait(61);
    // The watcher sees it, then claims.
    world.channels.tick().await;
    world.channels.tick().await;
    assert_eq!(world.tokens(SELLER).await, 5 * COST);
    // Nothing more is served.
    let payment = world.sign().await.unwrap();
    let answer = world.request("more", Some(&payment)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let reason = "invalid_batch_settlement_evm_cumulative_exceeds_balance";
    assert_eq!(answer.error(), reason);
    world.wait(900);
    let fetch = world.books.finalize_call().unwrap();
    world
        .chain
        .transact(&world.payer, contract, U256::ZERO, fetch)
        .unwrap();
    assert_eq!(world.tokens(world.payer.address()).await, before - 5 * COST);
    assert_eq!(world.tokens(BATCH_SETTLEMENT).await, 0);
}

#[tokio::test]
async fn a_lost_reply_is_charged_once_and_corrected() {
    let mut world = World::new().await;
    world.call().await;
    let lost = world.sign().await.unwrap();
    let answer = world.request("lost", Some(&lost)).await;
    assert_eq!(answer.status, StatusCode::OK);
    // The same request again gets the same answer, and costs nothing more.
    let again = world.request("lost", Some(&lost)).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.body, "lost");
    // The payer saw neither, and asks something else.
    world.books.lost();
    let payment = world.sign().await.unwrap();
    let answer = world.request("else", Some(&payment)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let reason = Reason::InvalidBatchSettlementEvmCumulativeAmountMismatch;
    assert_eq!(answer.error(), reason.as_str());
    let required = answer.required.unwrap();
    let chain = world.on_chain().await;
    let adopted = world
        .books
        .adopt(&reason, &required.offers[0], Some(&chain));
    assert_eq!(adopted.unwrap().now, Amount::new(2 * COST));
    world.call().await;
    let charged = world.channels.channel(&world.books.id()).unwrap().charged();
    assert_eq!(charged, Amount::new(3 * COST));
}

#[tokio::test]
async fn a_request_that_fails_costs_nothing_and_frees_the_channel() {
    let mut world = World::new().await;
    world.call().await;
    let payment = world.sign().await.unwrap();
    let answer = world.request("fail", Some(&payment)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    world.books.lost();
    world.call().await;
    let charged = world.channels.channel(&world.books.id()).unwrap().charged();
    assert_eq!(charged, Amount::new(2 * COST));
}

#[tokio::test]
async fn books_on_disk_outlive_the_seller() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("channels.redb");
    let file = ChannelFile::open(path.clone()).await.unwrap();
    let mut world = World::with(Arc::new(file)).await;
    for _ in 0..3 {
        world.call().await;
    }
    let before = world.channels.channel(&world.books.id()).unwrap();
    // Another process cannot open them meanwhile.
    assert!(matches!(
        ChannelFile::open(path.clone()).await.unwrap_err(),
        seamline_net::StoreError::Database(_)
    ));
    world.restart(Arc::new(ChannelMemory::new())).await;
    let file = loop {
        // The old seller's last task may still hold the file.
        if let Ok(file) = ChannelFile::open(path.clone()).await {
            break file;
        }
        tokio::task::yield_now().await;
    };
    world.restart(Arc::new(file)).await;
    let after = world.channels.channel(&world.books.id()).unwrap();
    assert_eq!(after, before);
    world.call().await;
    assert_eq!(world.asked(), (0, 1), "the mirror was stored too");
    world.wait(300);
    world.channels.tick().await;
    assert_eq!(world.tokens(SELLER).await, 4 * COST);
}

#[tokio::test]
async fn a_seller_without_books_goes_on_from_the_payers_word() {
    let mut world = World::new().await;
    for _ in 0..3 {
        world.call().await;
    }
    world.restart(Arc::new(ChannelMemory::new())).await;
    world.call().await;
    assert_eq!(world.asked(), (1, 1), "the facilitator was asked once");
    let charged = world.channels.channel(&world.books.id()).unwrap().charged();
    assert_eq!(charged, Amount::new(4 * COST));
}

#[tokio::test]
async fn a_facilitator_with_channels_says_so_and_refuses_over_http() {
    let world = World::new().await;
    let others = Router::new().route("/health", axum::routing::get(|| async { "well" }));
    let router = seamline_services::channels::router(world.facilitator.desk.clone(), others);
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let read = |response: axum::response::Response| async move {
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let response = router.clone().oneshot(get("/health")).await.unwrap();
    assert_eq!(read(response).await, "well");
    let response = router.clone().oneshot(get("/supported")).await.unwrap();
    let supported = Supported::parse(read(response).await.as_bytes()).unwrap();
    let mut kinds = supported.kinds.iter();
    let kind = kinds.find(|kind| kind.scheme == "batch-settlement");
    assert_eq!(kind.unwrap().extra, None, "it signs for nobody");
    // One account settles everything.
    assert_eq!(supported.signers["eip155:*"].len(), 1);
    let request = Request::post("/settle").body(Body::from("{}")).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_upto_goes_on_where_a_node_offers_channels_besides() {
    let mut node = crate::support::honest("both");
    node.channels = true;
    let world = crate::support::World::new(vec![node]);
    let (net, client) = world.start().await;
    let reply = client.chat(&crate::support::question()).await.unwrap();
    assert_eq!(reply.charged, seamline_core::Charged::Yes);
    drop(client);
    net.stop().await;
}
