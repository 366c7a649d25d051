//! A resource server behind the paywall, with the routes and prices of the matrix.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Extension, Json, Router};
use seamline_core::Amount;
use seamline_evm::x402::OfferTerms;
use seamline_net::{
    ClientOptions, HttpFacilitator, PaymentContext, Paywall, PaywallConfig, Problem, http_client,
};
use serde_json::{Map, Value, json};

use crate::{Failure, Input, clock, listen, origin, serve, text};

pub(crate) async fn run(config: &Value, input: Input) -> Result<(), Failure> {
    let listener = listen().await?;
    let http = http_client(ClientOptions::default())?;
    let facilitator = HttpFacilitator::new(http, text(config, "/facilitatorUrl")?);
    let terms = Terms::of(config)?;
    let pricer = move |head: &Parts, _: &Bytes| Ok::<_, Problem>(vec![terms.at(head.uri.path())]);
    let settings = PaywallConfig {
        v1: true,
        ..PaywallConfig::new(origin(&listener)?, clock())
    };
    let paywall = Paywall::new(settings, Arc::new(facilitator), pricer);

    let charged = Amount::parse(&text(config, "/prices/charged")?)?;
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let handler = move |Extension(paid): Extension<PaymentContext>| async move {
        // What `exact` settles does not depend on it.
        paid.meter.set(charged);
        let number = served.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Json(json!({ "answer": 42, "served": number }))
    };
    let paid = || paywall.protect(get(handler.clone()));
    let router = Router::new()
        .route("/exact", paid())
        .route("/permit2", paid())
        .route("/upto", paid())
        .route(
            "/served",
            get(async move || Json(json!({ "served": count.load(Ordering::Relaxed) }))),
        );
    serve(listener, router, input).await
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
        if path != "/exact" {
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
