//! `seamline facilitator`: verifies and settles x402 payments, until Ctrl-C.

mod data;
mod sellers;

use std::sync::Arc;
use std::time::Duration;

use seamline_core::{Address, chain};
use seamline_evm::Signer;
use seamline_evm::tx::FeeCeiling;
use seamline_services::channels::{self, ChannelDeskConfig, WithChannels};
use seamline_services::facilitator::{
    self as service, Facilitator, FacilitatorConfig, GasBudget, Health, StoreError, StoreLocation,
};
use serde_json::json;

use crate::args;
use crate::commands::block_on;
use crate::context::Context;
use crate::env_vars;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::keys::{self, Purpose};
use crate::output;
use crate::service::{listen, rpc, wei};
use crate::session::now;
use crate::stop::Stop;

/// How long settlements under way may take once the command is asked to end. What is cut is in the store.
const DRAIN: Duration = Duration::from_secs(30);

pub(crate) fn run(context: &Context, args: &args::Facilitator) -> Result<Exit, Failure> {
    block_on(async {
        // 1. Everything that can be refused without a key.
        let named = args.database.as_deref();
        let database = named.map(named_database).transpose()?;
        let ceiling = fee_ceiling(args)?;
        let sellers = sellers::sellers(args)?;
        let endpoint = rpc(&args.rpc)?;
        let home = context.home()?.ready()?;
        // 2. The service, with what a crash left open.
        let stop = Stop::listen()?;
        let (listener, address) = listen(args.listen).await?;
        let store = database.unwrap_or_else(|| default_database(&home));
        let account = settling_account(context, &home, args)?;
        let settings = FacilitatorConfig::new(
            Arc::clone(&account),
            endpoint.clone(),
            args.chain_id,
            args.assets.clone(),
            store.clone(),
            Arc::new(now),
            ceiling,
        );
        let facilitator = Facilitator::start(FacilitatorConfig {
            confirmations: args.confirmations,
            settle_wait: Duration::from_secs(args.settle_wait),
            gas: gas(args),
            factories: args.factories.clone(),
            sellers,
            ..settings
        });
        let facilitator = facilitator.await.map_err(|err| refused(&err))?;
        let desk = desk(args, &facilitator, &account);
        let data = data::start(args, endpoint, &store, &facilitator).await?;
        // 3. Until somebody asks it to end.
        let url = format!("http://{address}");
        let health = facilitator.health().await;
        announce(args, &url, facilitator.address(), &health)?;
        let others = service::router(facilitator.clone());
        let router = match desk.clone() {
            Some(desk) => channels::router(desk, others),
            None => others,
        };
        let router = match data.clone() {
            Some(data) => router.merge(seamline_services::data::router(data)),
            None => router,
        };
        let served = seamline_net::serve(listener, router, stop.asked()).await;
        if let Err(err) = served {
            output::message(&format!("note: {err}"));
        }
        if let Some(data) = data {
            // What is under way is in the table.
            data.stop(DRAIN).await;
        }
        if !facilitator.tasks().drain(DRAIN).await {
            let open = facilitator.tasks().len();
            output::message(&format!(
                "note: {open} settlements are still open; the next start takes them up"
            ));
        }
        if let Some(desk) = desk
            && !desk.tasks().drain(DRAIN).await
        {
            let open = desk.tasks().len();
            output::message(&format!(
                "note: {open} settlements of channels are still open; the next start takes them up"
            ));
        }
        Ok(Exit::Ok)
    })
}

/// The account that settles: of a program that the command line names, or as the home says.
fn settling_account(
    context: &Context,
    home: &Home,
    args: &args::Facilitator,
) -> Result<Arc<dyn Signer>, Failure> {
    if let Some(command) = &args.signer_command {
        return keys::external(command, "--signer-command", Purpose::Settlement);
    }
    let _lock = home.lock()?;
    let key = keys::open(context, args.chain_id, Purpose::Settlement)?;
    Ok(key.signer)
}

/// Payment channels, where they are asked for.
fn desk(
    args: &args::Facilitator,
    settling: &Facilitator,
    account: &Arc<dyn Signer>,
) -> Option<WithChannels> {
    let config = ChannelDeskConfig {
        assets: args.assets.clone(),
        settle_wait: Duration::from_secs(args.settle_wait),
        authorizer: args.sign_claims.then(|| Arc::clone(account)),
    };
    let others = Arc::new(settling.clone());
    args.channels
        .then(|| WithChannels::new(others, settling.lane(), config))
}

fn fee_ceiling(args: &args::Facilitator) -> Result<FeeCeiling, Failure> {
    let max_fee_per_gas = wei(&args.max_fee)?;
    Ok(FeeCeiling {
        max_fee_per_gas,
        max_priority_fee_per_gas: wei(&args.max_tip)?.min(max_fee_per_gas),
    })
}

fn gas(args: &args::Facilitator) -> GasBudget {
    let defaults = GasBudget::default();
    let payer_per_hour = args.gas_per_payer_hour;
    GasBudget {
        all_per_hour: args.gas_per_hour,
        payer_per_hour,
        contract_payer_per_hour: defaults.contract_payer_per_hour.min(payer_per_hour),
        ..defaults
    }
}

/// A database that the command line names: a password would be read by everybody on the machine.
fn named_database(named: &str) -> Result<StoreLocation, Failure> {
    let location = database(named);
    let StoreLocation::Postgres(url) = &location else {
        return Ok(location);
    };
    check_database_url(url)?;
    Ok(location)
}

/// Whether a URL on the command line is without a password.
pub(super) fn check_database_url(url: &str) -> Result<(), Failure> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let credentials = authority.rsplit_once('@').map_or("", |(before, _)| before);
    if credentials.contains(':') || url.contains("password") {
        return Err(Failure::usage(
            "database.password",
            "a password on the command line can be read by everybody on this machine",
        )
        .hint("put the URL into the environment variable SEAMLINE_DATABASE"));
    }
    Ok(())
}

fn default_database(home: &Home) -> StoreLocation {
    let from_env = env_vars::DATABASE.read();
    match from_env.map(|value| value.into_string()) {
        Some(Ok(text)) => database(&text),
        Some(Err(path)) => StoreLocation::File(path.into()),
        None => StoreLocation::File(home.facilitator()),
    }
}

fn database(text: &str) -> StoreLocation {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        StoreLocation::Postgres(text.to_owned())
    } else {
        StoreLocation::File(text.into())
    }
}

fn refused(err: &service::Error) -> Failure {
    let text = chain(err);
    match err {
        service::Error::Chain { actual, .. } => {
            Failure::usage("chain.mismatch", text).hint(format!(
                "name the endpoint of the chain that you mean with --rpc, or --chain-id {actual}"
            ))
        }
        service::Error::Rpc(_) => Failure::new(Exit::Unknown, "chain.unreachable", text)
            .hint("does the endpoint of --rpc answer? `seamline up` runs a chain to try things on"),
        service::Error::Store(StoreError::Open { .. } | StoreError::Url(_)) => {
            Failure::usage("database.unusable", text)
                .hint("name a file that you can write, or a postgres:// URL")
        }
        service::Error::Store(_) | service::Error::Randomness | _ => {
            Failure::new(Exit::Unknown, "database.failed", text).hint(
                "nothing was settled: see to the database; one process holds a file at a time",
            )
        }
    }
}

fn announce(
    args: &args::Facilitator,
    url: &str,
    signer: Address,
    health: &Health,
) -> Result<(), Failure> {
    if args.output.json {
        output::json(&json!({
            "version": 1,
            "url": url,
            "network": health.network,
            "signer": signer,
            "signer_balance": health.signer_balance,
            "assets": args.assets,
            "store": health.store,
            "channels": args.channels,
        }))?;
    } else {
        output::line(url)?;
    }
    output::message(&format!(
        "settles on {} from {}, remembers in {}; Ctrl-C ends it",
        health.network, health.signer, health.store
    ));
    if args.sellers.is_none() {
        output::message(
            "note: no sellers are listed: whoever reaches this settles `upto` payments at an amount of its choice; --sellers lists them",
        );
    }
    if health.signer_balance.as_deref() == Some("0") {
        output::message(&format!(
            "note: {} has no native coin: nothing can be settled before it has some",
            health.signer
        ));
    }
    Ok(())
}
