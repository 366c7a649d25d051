//! Calls paid through a payment channel.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_enclave::{AttesterKind, Enclave, GuideUpstream};
use seamline_evm::Wallet;
use seamline_evm::channel::payer::{Channel, DepositRule, Keys, config_of};
use seamline_evm::channel::{ChainState, Payload};
use seamline_evm::policy::{Admitted, SpendPolicy, Spent};
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::{
    FacilitatorRequest, PaymentRequired, Reason, SettleResponse, Supported, SupportedKind,
    VerifyResponse,
};
use seamline_net::{
    ChannelConfig, ChannelMemory, Channels, DataError, DataFuture, DataMode, DataSettlement,
    DataTicket, FacilitatorApi, FacilitatorFuture, InferenceData, Paywall,
};
use serde_json::json;
use tower::ServiceExt as _;

use crate::shop::{Echo, NETWORK, NOW_S, PAY_TO, QUESTION, chat, config, identity, streamed};

/// Makes every deposit, and refuses to be asked about vouchers.
struct Deposits;

impl FacilitatorApi for Deposits {
    fn verify<'a>(&'a self, _: &'a FacilitatorRequest) -> FacilitatorFuture<'a, VerifyResponse> {
        let refused = VerifyResponse::invalid(Reason::UnexpectedVerifyError, None);
        Box::pin(async move { Ok(refused) })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        let payload = Payload::parse(request.payment_payload.payload()).unwrap();
        let Payload::Deposit {
            deposit, voucher, ..
        } = payload
        else {
            panic!("only deposits are settled here");
        };
        let state = ChainState {
            balance: deposit.amount,
            ..ChainState::default()
        };
        let response = SettleResponse {
            success: true,
            error_reason: None,
            amount: Some(deposit.amount.to_string()),
            extra: Some(json!({ "channelState": state.write(&voucher.channel_id) })),
            ..SettleResponse::failed(
                NETWORK,
                None,
                Reason::SettlementPending,
                Some(B256::repeat_byte(7)),
            )
        };
        Box::pin(async { Ok(response) })
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        let kind = SupportedKind {
            x402_version: 2,
            scheme: "upto".to_owned(),
            network: NETWORK.to_owned(),
            extra: Some(json!({"facilitatorAddress": Address::repeat_byte(0xfa).to_string()})),
        };
        let supported = Supported {
            kinds: vec![kind],
            ..Supported::default()
        };
        Box::pin(async { Ok(supported) })
    }
}

struct World {
    router: Router,
    paywall: Paywall,
    channels: Channels,
    payer: Wallet,
}

impl World {
    async fn open() -> Self {
        Self::open_with(None).await
    }

    async fn open_with(data: Option<Arc<dyn DataSettlement>>) -> Self {
        let clock = Arc::new(|| Timestamp::from_secs(NOW_S));
        let mut config = config();
        config.channels = true;
        config.data = data;
        let (asset, attester) = (config.asset, Arc::new(Echo(AttesterKind::Software)));
        let upstream = Arc::new(GuideUpstream::new(None));
        let enclave = Enclave::new(config, identity(), attester, upstream, clock.clone()).unwrap();
        let api: Arc<dyn FacilitatorApi> = Arc::new(Deposits);
        let authorizer = Arc::new(Wallet::from_bytes(&[9; 32]).unwrap());
        let books = ChannelConfig::new(NETWORK, 31_610, PAY_TO, asset, authorizer, clock);
        let store = Arc::new(ChannelMemory::new());
        let channels = Channels::open(books, Arc::clone(&api), None, store)
            .await
            .unwrap();
        let paywall = enclave.paywall_with(api, |config| {
            config.local.push(Arc::new(channels.clone()));
        });
        Self {
            router: enclave.router(&paywall),
            paywall,
            channels,
            payer: Wallet::from_bytes(&[1; 32]).unwrap(),
        }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, http::HeaderMap, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status, head.headers, body)
    }

    async fn required(&self, body: &str) -> PaymentRequired {
        let (status, headers, _) = self.send(chat(body)).await;
        assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
        PaymentRequired::from_header(headers["payment-required"].as_bytes()).unwrap()
    }

    async fn admitted(&self, body: &str) -> Admitted {
        let policy = SpendPolicy {
            per_call: Amount::new(1_000_000_000),
            per_hour: None,
            per_day: Amount::new(1_000_000_000_000),
            per_node_day: None,
            per_model_day: None,
            per_channel: None,
            schemes: vec![Scheme::BatchSettlement],
            networks: vec![NETWORK.to_owned()],
            assets: vec![Address::repeat_byte(0x11)],
            facilitators: None,
            max_lifetime_s: 300,
        };
        let required = self.required(body).await;
        policy.admit(&required, PAY_TO, &Spent::default()).unwrap()
    }

    fn keys(&self) -> Keys<'_> {
        Keys {
            payer: &self.payer,
            authorizer: &self.payer,
        }
    }
}

#[tokio::test]
async fn a_channel_is_offered_beside_upto_at_the_same_price() {
    let world = World::open().await;
    let required = world.required(QUESTION).await;
    let [metered, channel] = required.offers.as_slice() else {
        panic!("two offers");
    };
    let (metered, channel) = (metered.terms(), channel.terms());
    assert_eq!(metered.scheme, "upto");
    assert_eq!(channel.scheme, "batch-settlement");
    assert_eq!(metered.amount, channel.amount);
    assert_eq!(channel.extra["withdrawDelay"], 3_600);
    assert_eq!(channel.extra["name"], "OpenGradient");
    assert!(!channel.extra.contains_key("assetTransferMethod"));
    let authorizer = Wallet::from_bytes(&[9; 32]).unwrap().address();
    assert_eq!(channel.extra["receiverAuthorizer"], authorizer.to_string());
}

/// Takes whatever it is given.
struct Desk;

impl DataSettlement for Desk {
    fn settle_data<'a>(
        &'a self,
        _: DataMode,
        _: &'a InferenceData,
    ) -> DataFuture<'a, Result<Option<DataTicket>, DataError>> {
        Box::pin(async { Ok(None) })
    }
}

#[tokio::test]
async fn a_call_that_is_to_be_on_record_is_not_offered_a_channel() {
    let (with, without) = (
        World::open_with(Some(Arc::new(Desk))).await,
        World::open().await,
    );
    for (world, wish, schemes) in [
        (&with, Some("batch"), vec!["upto"]),
        (&with, Some("individual"), vec!["upto"]),
        // As OpenGradient's gateways read it: batch.
        (&with, Some("whatever"), vec!["upto"]),
        (&with, Some("private"), vec!["upto", "batch-settlement"]),
        (&with, None, vec!["upto", "batch-settlement"]),
        // Nothing is on record here, which its answers say.
        (&without, Some("batch"), vec!["upto", "batch-settlement"]),
    ] {
        let mut request = chat(QUESTION);
        if let Some(wish) = wish {
            let wish = wish.parse().unwrap();
            request.headers_mut().insert("x-settlement-type", wish);
        }
        let (status, headers, _) = world.send(request).await;
        assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
        let required = PaymentRequired::from_header(headers["payment-required"].as_bytes());
        let offers = required.unwrap().offers;
        let offered: Vec<_> = offers.iter().map(|it| it.terms().scheme.clone()).collect();
        assert_eq!(offered, schemes, "{wish:?}");
    }
    // A voucher for the offer that others get buys nothing, and costs nothing.
    let admitted = with.admitted(QUESTION).await;
    let account = with.payer.address();
    let config = config_of(&admitted, account, account, B256::ZERO).unwrap();
    let mut books = Channel::new(config, 31_610);
    let now = Timestamp::from_secs(NOW_S);
    let rule = DepositRule::default();
    let payment = books.pay(&admitted, &with.keys(), &rule, B256::ZERO, now);
    let mut request = chat(QUESTION);
    let header = payment.unwrap().header().parse().unwrap();
    request.headers_mut().insert("payment-signature", header);
    let wish = "batch".parse().unwrap();
    request.headers_mut().insert("x-settlement-type", wish);
    let (status, headers, _) = with.send(request).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    assert!(headers.contains_key("payment-required"));
    assert!(
        with.channels.channel(&books.id()).is_none(),
        "nothing is deposited"
    );
}

#[tokio::test]
async fn a_streamed_call_and_a_whole_one_are_charged_what_they_metered() {
    let world = World::open().await;
    let admitted = world.admitted(QUESTION).await;
    let account = world.payer.address();
    let config = config_of(&admitted, account, account, B256::ZERO).unwrap();
    let mut books = Channel::new(config, 31_610);
    let rule = DepositRule::default();
    let now = Timestamp::from_secs(NOW_S);
    let pay = |books: &mut Channel, admitted: &Admitted| {
        books
            .pay(admitted, &world.keys(), &rule, B256::ZERO, now)
            .unwrap()
    };
    // 1. The deposit, and an answer in one piece.
    let payment = pay(&mut books, &admitted);
    assert!(payment.deposit.is_some());
    let mut request = chat(QUESTION);
    let header = payment.header().parse().unwrap();
    request.headers_mut().insert("payment-signature", header);
    let (status, headers, _) = world.send(request).await;
    assert_eq!(status, StatusCode::OK);
    let settled = SettleResponse::from_header(headers["payment-response"].as_bytes()).unwrap();
    let first = books.answered(&settled).unwrap();
    assert!(!first.is_zero() && first <= admitted.amount());
    // 2. A stream, by a voucher alone.
    let body = streamed(QUESTION);
    let admitted = world.admitted(&body).await;
    let payment = pay(&mut books, &admitted);
    assert_eq!(payment.deposit, None);
    let mut request = chat(&body);
    let header = payment.header().parse().unwrap();
    request.headers_mut().insert("payment-signature", header);
    let (status, _, text) = world.send(request).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("data: "));
    let drained = world
        .paywall
        .tasks()
        .drain(std::time::Duration::from_secs(10));
    assert!(drained.await, "settlements do not end");
    let sold = world.channels.channel(&books.id()).unwrap();
    assert!(sold.charged() > first && sold.charged() <= payment.max_claimable);
    assert!(!sold.busy());
}
