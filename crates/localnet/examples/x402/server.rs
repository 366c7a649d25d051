//! A resource server behind the paywall, with the routes and prices of the matrix.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use seamline_core::Amount;
use seamline_evm::Wallet;
use seamline_evm::channel::seller::ClaimRules;
use seamline_evm::x402::OfferTerms;

use seamline_net::{
    ChannelConfig, ChannelMemory, Channels, ClientOptions, FacilitatorApi, HttpFacilitator,
    PaymentContext, Paywall, PaywallConfig, Problem, http_client,
};
use serde_json::{Map, Value, json};

use crate::{Failure, Input, clock, listen, origin, serve, text};

pub(crate) async fn run(config: &Value, input: Input) -> Result<(), Failure> {
    let listener = listen().await?;
    let http = http_client(ClientOptions::default())?;
    let facilitator: Arc<dyn FacilitatorApi> =
        Arc::new(HttpFacilitator::new(http, text(config, "/facilitatorUrl")?));
    let channels = channels(config, &facilitator).await?;
    let terms = Terms::of(config)?;
    let pricer = move |head: &Parts, _: &Bytes| Ok::<_, Problem>(vec![terms.at(head.uri.path())]);
    let settings = PaywallConfig {
        v1: true,
        local: vec![Arc::new(channels.clone())],
        ..PaywallConfig::new(origin(&listener)?, clock())
    };
    let paywall = Paywall::new(settings, facilitator, pricer);

    let charged = Amount::parse(&text(config, "/prices/charged")?)?;
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let handler = move |Extension(paid): Extension<PaymentContext>| async move {
        paid.meter.set(charged.min(paid.max));
        let number = served.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Json(json!({ "answer": 42, "served": number }))
    };
    let paid = || paywall.protect(get(handler.clone()));
    let router = Router::new()
        .route("/exact", paid())
        .route("/permit2", paid())
        .route("/sponsored", paid())
        .route("/upto", paid())
        .route("/batch", paid())
        .route("/collect", post(async move || collect(&channels).await))
        .route(
            "/served",
            get(async move || Json(json!({ "served": count.load(Ordering::Relaxed) }))),
        );
    serve(listener, router, input).await
}

async fn channels(
    config: &Value,
    facilitator: &Arc<dyn FacilitatorApi>,
) -> Result<Channels, Failure> {
    let authorizer = Wallet::from_hex(&text(config, "/authorizerKey")?)?;
    let chain_id = config.pointer("/chainId").and_then(Value::as_u64);
    let settings = ChannelConfig {
        min_deposit_times: 5,
        // Whatever is due is claimed when somebody asks for it.
        claims: ClaimRules {
            at_amount: Amount::new(1),
            ..ClaimRules::default()
        },
        ..ChannelConfig::new(
            text(config, "/network")?,
            chain_id.ok_or("no chain id")?,
            text(config, "/payTo")?.parse()?,
            text(config, "/token/address")?.parse()?,
            Arc::new(authorizer),
            clock(),
        )
    };
    let store = Arc::new(ChannelMemory::new());
    Ok(Channels::open(settings, Arc::clone(facilitator), None, store).await?)
}

/// Collects what the channels owe.
async fn collect(channels: &Channels) -> Json<Value> {
    channels.tick().await;
    Json(json!({ "channels": channels.len() }))
}

/// What the routes ask.
struct Terms {
    exact: String,
    ceiling: String,
    common: OfferTerms,
}

impl Terms {
    fn of(config: &Value) -> Result<Self, Failure> {
        let mut extra = Map::new();
        for member in ["name", "version"] {
            let value = text(config, &format!("/token/{member}"))?;
            extra.insert(member.to_owned(), value.into());
        }
        Ok(Self {
            exact: text(config, "/prices/exact")?,
            ceiling: text(config, "/prices/ceiling")?,
            common: OfferTerms {
                scheme: "exact".to_owned(),
                network: text(config, "/network")?,
                asset: text(config, "/token/address")?,
                amount: String::new(),
                pay_to: text(config, "/payTo")?,
                max_timeout_seconds: 300,
                extra,
            },
        })
    }

    fn at(&self, path: &str) -> OfferTerms {
        let mut terms = self.common.clone();
        terms.amount.clone_from(&self.exact);
        if path == "/batch" {
            "batch-settlement".clone_into(&mut terms.scheme);
        }
        if matches!(path, "/permit2" | "/sponsored" | "/upto") {
            let member = "assetTransferMethod".to_owned();
            terms.extra.insert(member, "permit2".into());
        }
        if path == "/upto" {
            "upto".clone_into(&mut terms.scheme);
            terms.amount.clone_from(&self.ceiling);
        }
        terms
    }
}
