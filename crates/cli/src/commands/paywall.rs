//! `seamline paywall`: a price in front of any HTTP service, until Ctrl-C.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seamline_core::{Address, Amount, B256, chain, sha256};
use seamline_evm::x402::OfferTerms;
use seamline_net::limits::RESPONSE_BODY_BYTES;
use seamline_net::{
    ClientOptions, FacilitatorApi, FileStore, FixedOffers, HttpClient, HttpFacilitator, Paywall,
    PaywallConfig, PaywallStore, Shape, TlsTrust, http_client,
};
use seamline_services::gate::{self, Gate, PostgresStore};
use serde_json::{Map, Value, json};

use crate::args::{self, GateMethod, GateScheme};
use crate::commands::block_on;
use crate::context::Context;
use crate::env_vars;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::service::{check_url, listen, web_client};
use crate::session::now;
use crate::stop::Stop;

/// How long settlements under way may take once the command is asked to end. What is cut is in the store.
const DRAIN: Duration = Duration::from_secs(15);
/// How long an offer's authorization may live: what other servers of x402 ask for.
const MAX_TIMEOUT_S: u64 = 300;

pub(crate) fn run(context: &Context, args: &args::Paywall) -> Result<Exit, Failure> {
    block_on(async {
        // 1. Everything that can be refused before anybody is asked.
        let offers = offers(args)?;
        let gate = Gate::new(upstream_client(args)?, &args.upstream).map_err(|err| {
            Failure::usage("url.refused", chain(&err))
                .hint("write the service's URL such as http://127.0.0.1:8080")
        })?;
        check_url("facilitator", &args.facilitator)?;
        let client = web_client(RESPONSE_BODY_BYTES)?;
        let facilitator = HttpFacilitator::new(client, &args.facilitator);
        let facilitator = Arc::new(as_seller(facilitator, args.facilitator_token.as_deref())?);
        supports(facilitator.as_ref(), &offers).await?;
        // 2. The paywall, with what an earlier run is still owed.
        let stop = Stop::listen()?;
        let (listener, address) = listen(args.listen).await?;
        let url = format!("http://{address}");
        let paywall = Paywall::new(
            settings(context, args, &url).await?,
            facilitator,
            FixedOffers(offers),
        );
        let debts = paywall.recover().await.map_err(|err| store_failed(&err))?;
        // 3. Until somebody asks it to end.
        announce(args, &url, debts)?;
        let served = seamline_net::serve(listener, gate::router(gate, &paywall), stop.asked());
        if let Err(err) = served.await {
            output::message(&format!("note: {err}"));
        }
        if !paywall.tasks().drain(DRAIN).await {
            output::message("note: some settlements are still open; the next start takes them up");
        }
        Ok(Exit::Ok)
    })
}

/// What a request costs: one offer for each way to pay, the one that asks least of a payer first.
fn offers(args: &args::Paywall) -> Result<Vec<OfferTerms>, Failure> {
    let amount = Amount::from_decimal(&args.price, args.decimals).ok();
    let amount = amount.filter(|amount| !amount.is_zero()).ok_or_else(|| {
        let (price, decimals) = (&args.price, args.decimals);
        let message =
            format!("`{price}` is not a price of a token with {decimals} decimals above zero");
        Failure::usage("price.malformed", message).hint("write whole tokens such as 0.001")
    })?;
    if args.pay_to == Address::ZERO {
        let message = "what is paid to the zero address is lost";
        return Err(Failure::usage("pay_to.zero", message).hint("name your own address"));
    }
    let mut extra = Map::new();
    let named = [("name", &args.token_name), ("version", &args.token_version)];
    for (member, text) in named {
        if let Some(text) = text {
            extra.insert(member.to_owned(), text.as_str().into());
        }
    }
    let has_domain = args.token_name.is_some() && args.token_version.is_some();
    let methods: &[&str] = match (args.scheme, args.method) {
        (GateScheme::Upto, None | Some(GateMethod::Permit2))
        | (GateScheme::Exact, Some(GateMethod::Permit2)) => &["permit2"],
        (GateScheme::Exact, Some(GateMethod::Eip3009)) if has_domain => &["eip3009"],
        (GateScheme::Exact, None) if has_domain => &["eip3009", "permit2"],
        (GateScheme::Exact, None) => &["permit2"],
        (GateScheme::Exact | GateScheme::Upto, Some(GateMethod::Eip3009)) => {
            let message = "eip3009 is for `exact`, and needs the token's signing domain";
            return Err(Failure::usage("price.method", message).hint(
                "name it with --token-name and --token-version, as the token's contract does",
            ));
        }
    };
    let offer = |method: &&str| {
        let mut extra = extra.clone();
        extra.insert("assetTransferMethod".to_owned(), (*method).into());
        OfferTerms {
            scheme: args.scheme.as_str().to_owned(),
            network: format!("eip155:{}", args.chain_id),
            asset: args.asset.to_string(),
            amount: amount.to_string(),
            pay_to: args.pay_to.to_string(),
            max_timeout_seconds: MAX_TIMEOUT_S,
            extra,
        }
    };
    Ok(methods.iter().map(offer).collect())
}

/// Plain HTTP on this machine, or TLS with a certificate that is named.
fn upstream_client(args: &args::Paywall) -> Result<HttpClient, Failure> {
    let refused = |message: &str| {
        Failure::usage("url.refused", message).hint(
            "forward the service to this machine, or name its certificate with --upstream-cert",
        )
    };
    let tls = match &args.upstream_cert {
        Some(path) => {
            let cert = std::fs::read(path).map_err(|err| {
                let message = format!("cannot read `{}`: {err}", path.display());
                Failure::usage("cert.unreadable", message).hint("name a certificate in DER")
            })?;
            if !args.upstream.starts_with("https://") {
                return Err(refused("a certificate is for an upstream of https"));
            }
            TlsTrust::Pinned(cert)
        }
        None if crate::network_file::is_loopback(&args.upstream) => TlsTrust::Loopback,
        None => return Err(refused("the upstream is not plain http on this machine")),
    };
    let options = ClientOptions {
        tls,
        idle_timeout: Duration::from_secs(args.timeout),
        ..ClientOptions::default()
    };
    http_client(options).map_err(|err| {
        Failure::usage("cert.malformed", chain(&err)).hint("name a certificate in DER")
    })
}

/// Shows the facilitator the token of a file.
fn as_seller(
    facilitator: HttpFacilitator,
    token: Option<&Path>,
) -> Result<HttpFacilitator, Failure> {
    let Some(path) = token else {
        return Ok(facilitator);
    };
    let refused = |what: &str| {
        let message = format!("cannot use the token of `{}`: {what}", path.display());
        Failure::usage("facilitator.token", message)
            .hint("it is one line; the facilitator's operator has its SHA-256")
    };
    let text = std::fs::read_to_string(path).map_err(|err| refused(&err.to_string()))?;
    let text = zeroize::Zeroizing::new(text);
    let seller = facilitator.with_token(text.trim());
    seller.map_err(|err| refused(&chain(&err)))
}

/// Whether the facilitator settles what is offered: found out now, not by the first payer.
async fn supports(facilitator: &HttpFacilitator, offers: &[OfferTerms]) -> Result<(), Failure> {
    let supported = facilitator.supported().await.map_err(|err| {
        Failure::new(Exit::Unknown, "facilitator.unreachable", chain(&err))
            .hint("is it up? `seamline facilitator` runs one")
    })?;
    for OfferTerms {
        scheme, network, ..
    } in offers
    {
        let mut kinds = supported.kinds.iter();
        if !kinds.any(|kind| kind.scheme == *scheme && kind.network == *network) {
            return Err(Failure::usage(
                "facilitator.unsupported",
                format!("the facilitator does not settle `{scheme}` on {network}"),
            )
            .hint("name another facilitator, scheme or chain"));
        }
    }
    Ok(())
}

async fn settings(
    context: &Context,
    args: &args::Paywall,
    url: &str,
) -> Result<PaywallConfig, Failure> {
    let store = store(context, args).await?;
    let public_url = args.public_url.clone().unwrap_or_else(|| url.to_owned());
    Ok(PaywallConfig {
        description: args.description.clone(),
        mime_type: args.mime_type.clone(),
        problems: Shape::Rfc9457,
        v1: args.v1,
        store,
        scope: Some(scope(args)),
        ..PaywallConfig::new(public_url, Arc::new(now))
    })
}

/// What tells this shop from others in a database that they share: with what its debts are settled. One
/// that moves to another facilitator leaves its open debts to a run with the old one.
fn scope(args: &args::Paywall) -> B256 {
    sha256(&[
        b"seamline/v1/shop",
        &args.chain_id.to_be_bytes(),
        args.pay_to.as_slice(),
        args.facilitator.trim_end_matches('/').as_bytes(),
    ])
}

/// A database that replicas share, or a file of this process.
async fn store(context: &Context, args: &args::Paywall) -> Result<Arc<dyn PaywallStore>, Failure> {
    if let Some(url) = database(args)? {
        let store = PostgresStore::open(&url).await.map_err(|err| {
            Failure::new(Exit::Unknown, "database.failed", chain(&err))
                .hint("nothing was sold: see to the database")
        })?;
        return Ok(Arc::new(store));
    }
    let path = match &args.store {
        Some(path) => path.clone(),
        None => context.home()?.ready()?.paywall(),
    };
    let store = FileStore::open(path).await;
    Ok(Arc::new(store.map_err(|err| store_failed(&err))?))
}

/// The URL of `--database`, else of the environment where no file is named.
fn database(args: &args::Paywall) -> Result<Option<String>, Failure> {
    let is_url = |text: &str| text.starts_with("postgres://") || text.starts_with("postgresql://");
    match &args.database {
        Some(url) if is_url(url) => {
            super::facilitator::check_database_url(url)?;
            Ok(Some(url.clone()))
        }
        Some(_) => Err(Failure::usage(
            "database.unusable",
            "the database of a paywall is a postgres:// URL",
        )
        .hint("name a file with --store")),
        None if args.store.is_some() => Ok(None),
        None => {
            let named = env_vars::DATABASE.read();
            Ok(named
                .and_then(|value| value.into_string().ok())
                .filter(|url| is_url(url)))
        }
    }
}

fn store_failed(err: &seamline_net::StoreError) -> Failure {
    Failure::usage("store.unusable", chain(err))
        .hint("name a file that you can write with --store; one paywall holds a file at a time")
}

fn announce(args: &args::Paywall, url: &str, debts: usize) -> Result<(), Failure> {
    if args.output.json {
        output::json(&json!({
            "version": 1,
            "url": url,
            "upstream": args.upstream,
            "network": format!("eip155:{}", args.chain_id),
            "asset": args.asset,
            "pay_to": args.pay_to,
            "scheme": args.scheme.as_str(),
            "debts": Value::from(debts),
        }))?;
    } else {
        output::line(url)?;
    }
    output::message(&format!(
        "sells {} for {} of {} each, paid to {}; Ctrl-C ends it",
        args.upstream, args.price, args.asset, args.pay_to
    ));
    if debts > 0 {
        output::message(&format!(
            "note: {debts} payments of an earlier run are being settled"
        ));
    }
    Ok(())
}
