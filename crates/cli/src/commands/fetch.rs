//! `seamline fetch`: one request to any x402 server, paid for if it asks.

mod report;
mod request;

use std::sync::Arc;

use seamline::pay::{Chain, PayOptions, Payees, Payer, PayerConfig};
use seamline::{Env, Home as ClientHome};
use seamline_core::{Address, chain};
use seamline_evm::Rpc;
use seamline_evm::scheme::Scheme;

use crate::args;
use crate::budget::{Caps, Intent, Token, channels};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::keys::{self, Purpose};
use crate::network_file::NetworkFile;
use crate::output;
use crate::session::{call_failure, recorder, running};

pub(crate) fn run(context: &Context, args: &args::Fetch) -> Result<Exit, Failure> {
    let purchase = request::read(args)?;
    let target = request::Output::open(args.output_file.as_deref())?;
    block_on(async {
        let home = context.home()?.ready()?;
        let _lock = home.lock()?;
        let (token, rpc) = token(context, args, &home).await?;
        let payer = payer(context, args, &home, &token, rpc)?;
        let recovered = payer.recover().await;
        for call in recovered.map_err(|err| call_failure(&err))? {
            output::message(&format!(
                "note: an earlier payment is known now; charged: {}",
                call.charged.as_str()
            ));
        }
        output::progress("~ asking    without a payment first");
        match payer.fetch(&purchase).await {
            Ok(bought) => report::bought(args, &token, &bought, target),
            Err(err) => Err(report::failed(&token, &err)),
        }
    })
}

/// The token that may be paid with, and its chain's endpoint: named on the command line, by the network
/// file, or by the local network that runs in this home.
async fn token(
    context: &Context,
    args: &args::Fetch,
    home: &Home,
) -> Result<(Token, Arc<dyn Rpc>), Failure> {
    if let (Some(url), Some(chain_id), Some(asset)) = (&args.rpc, args.chain_id, args.asset) {
        let rpc: Arc<dyn Rpc> = crate::service::rpc(url)?;
        return Ok((named(rpc.as_ref(), chain_id, asset).await?, rpc));
    }
    let (file, token) = match &context.network {
        Some(path) => (NetworkFile::read(path)?, Token::of(context)?),
        None => match running(home).await {
            Some(file) => (file, Token::of(context)?),
            None => {
                let message = "it is not said on which chain, and with which token, may be paid";
                return Err(Failure::usage("network.missing", message).hint(
                    "name them with --rpc, --chain-id and --asset or with --network, or run `seamline up` in this home",
                ));
            }
        },
    };
    Ok((token, Arc::new(file.rpc()?)))
}

/// Asks the chain how the token counts.
async fn named(rpc: &dyn Rpc, chain_id: u64, asset: Address) -> Result<Token, Failure> {
    let unreachable = |err: seamline_evm::Error| {
        Failure::new(Exit::Unknown, "chain.unreachable", chain(&err))
            .hint("does the endpoint of --rpc answer, and is --asset a token there?")
    };
    let (actual, _) = seamline_evm::chain::head(rpc).await.map_err(unreachable)?;
    if actual != chain_id {
        return Err(Failure::usage(
            "chain.mismatch",
            format!("the endpoint speaks for chain {actual}, not for chain {chain_id}"),
        )
        .hint(format!(
            "name the endpoint of the chain that you mean with --rpc, or --chain-id {actual}"
        )));
    }
    let account = seamline_evm::chain::account(rpc, asset, Address::ZERO);
    let account = account.await.map_err(unreachable)?;
    let short: String = asset.to_string().chars().take(10).collect();
    Ok(Token {
        chain_id,
        network: format!("eip155:{chain_id}"),
        asset,
        symbol: format!("of {short}.."),
        decimals: account.decimals,
        local: false,
    })
}

fn payer(
    context: &Context,
    args: &args::Fetch,
    home: &Home,
    token: &Token,
    rpc: Arc<dyn Rpc>,
) -> Result<Payer, Failure> {
    let caps = Caps::of_home(home, token, Intent::Pay(args.max_amount.as_deref()))?;
    let mut budget = caps.policy(token, None);
    budget.schemes = vec![Scheme::Exact, Scheme::Upto];
    let mut options = PayOptions::default();
    options.channels_per_seller = channels(home, args.channels)?;
    if options.channels_per_seller > 0 {
        budget.schemes.push(Scheme::BatchSettlement);
    }
    if !args.pay_to.is_empty() {
        options.payees = Payees::Listed(args.pay_to.clone());
    }
    let config = PayerConfig {
        signer: keys::open(context, token.chain_id, Purpose::Payment)?.signer,
        recorder: recorder(home)?,
        budget,
        chains: vec![Chain {
            chain_id: token.chain_id,
            rpc,
        }],
        home: ClientHome {
            journal: home.journal(),
            receipts: home.receipts(),
        },
        env: Env::system(),
        options,
    };
    Payer::open(config).map_err(|err| report::failed(token, &err))
}
