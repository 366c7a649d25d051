//! The `seamline` command.
//!
//! Rules of this interface: standard output is data, standard error is everything else; progress is
//! shown only to a terminal; no colour carries meaning; every command that prints data takes
//! `--json`; exit codes are listed in `docs/reference/cli.md`. Only this crate reads the
//! environment.

mod args;
mod budget;
mod chain_desk;
mod commands;
mod context;
mod env_vars;
mod failure;
mod home;
mod keys;
mod logging;
mod models;
mod network_file;
mod output;
#[cfg(test)]
mod reference;
mod service;
mod session;
mod settings;
mod stop;
mod transaction;
mod utc;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{
    BudgetAction, ChannelAction, Cli, Command, Model, Node, Receipt, Registry, Request, Settlement,
    Wallet,
};
use crate::context::Context;
use crate::failure::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return usage(&err),
    };
    let json = wants_json(&cli.command);
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::failure(&failure, json);
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    if let Some(directives) = env_vars::LOG.read() {
        logging::start(&directives)?;
    }
    let context = Context::new(
        cli.home.or_else(|| env_vars::HOME.read().map(Into::into)),
        cli.trust,
        cli.network
            .or_else(|| env_vars::NETWORK.read().map(Into::into)),
    );
    match cli.command {
        Command::Chat(args) => commands::chat::run(&context, &args),
        Command::Infer(args) => commands::infer::run(&context, &args),
        Command::Receipt(Receipt::List(args)) => commands::receipt_list::run(&context, args),
        Command::Receipt(Receipt::Show(args)) => commands::receipt_show::run(&context, &args),
        Command::Receipt(Receipt::Verify(args)) => commands::receipt_verify::run(&context, &args),
        Command::Receipt(Receipt::Explain(args)) => commands::receipt_explain::run(&context, &args),
        Command::Registry(Registry::List(args)) => commands::registry_list::run(&context, args),
        Command::Settlement(Settlement::List(args)) => {
            commands::settlement_list::run(&context, &args)
        }
        Command::Settlement(Settlement::Prove(args)) => {
            commands::settlement_prove::run(&context, &args)
        }
        Command::Settlement(Settlement::Verify(args)) => {
            commands::settlement_verify::run(&context, &args)
        }
        Command::Registry(Registry::Show(args)) => commands::registry_show::run(&context, &args),
        Command::Registry(Registry::Watch(args)) => commands::registry_watch::run(&context, &args),
        Command::Registry(Registry::Approve(args)) => {
            commands::registry_approve::run(&context, &args)
        }
        Command::Registry(Registry::Revoke(args)) => {
            commands::registry_revoke::run(&context, &args)
        }
        Command::Node(Node::Register(args)) => commands::node_register::run(&context, &args),
        Command::Request(Request::Hash(args)) => commands::request_hash::run(&args),
        Command::Model(Model::Add(args)) => commands::model_add::run(&context, &args),
        Command::Model(Model::List(args)) => commands::model_list::run(&context, &args),
        Command::Model(Model::Show(args)) => commands::model_show::run(&context, &args),
        Command::Wallet(Wallet::Create(args)) => commands::wallet_create::run(&context, args),
        Command::Wallet(Wallet::Import(args)) => commands::wallet_import::run(&context, args),
        Command::Wallet(Wallet::Show(args)) => commands::wallet_show::run(&context, args),
        Command::Wallet(Wallet::Approve(args)) => commands::wallet_approve::run(&context, &args),
        Command::Wallet(Wallet::Budget(args)) => commands::wallet_budget::run(&context, &args),
        Command::Wallet(Wallet::History(args)) => commands::wallet_history::run(&context, &args),
        Command::Wallet(Wallet::Channels(args)) => commands::wallet_channels::run(&context, &args),
        Command::Up(args) => commands::up::run(&context, &args),
        Command::Fetch(args) => commands::fetch::run(&context, &args),
        Command::Facilitator(args) => commands::facilitator::run(&context, &args),
        Command::Paywall(args) => commands::paywall::run(&context, &args),
        Command::Relay(args) => commands::relay::run(&context, &args),
        Command::Doctor(args) => commands::doctor::run(&context, args),
    }
}

/// Prints help to standard output and mistakes to standard error, as clap words them.
fn usage(err: &clap::Error) -> ExitCode {
    let exit = if err.use_stderr() {
        Exit::Usage
    } else {
        Exit::Ok
    };
    // Nothing is left to do where even the message cannot be printed.
    let _ = err.print();
    exit.into()
}

const fn wants_json(command: &Command) -> bool {
    match command {
        Command::Chat(args) => args.output.json,
        Command::Infer(args) => args.output.json,
        Command::Receipt(Receipt::List(args))
        | Command::Registry(Registry::List(args))
        | Command::Wallet(Wallet::Create(args) | Wallet::Import(args) | Wallet::Show(args))
        | Command::Doctor(args) => args.json,
        Command::Receipt(Receipt::Show(args) | Receipt::Explain(args)) => args.output.json,
        Command::Receipt(Receipt::Verify(args)) => args.output.json,
        Command::Registry(Registry::Show(args)) => args.output.json,
        Command::Registry(Registry::Watch(args)) => args.output.json,
        Command::Registry(Registry::Approve(args)) => args.output.json,
        Command::Registry(Registry::Revoke(args)) => args.output.json,
        Command::Node(Node::Register(args)) => args.output.json,
        Command::Request(Request::Hash(args)) => args.output.json,
        Command::Model(Model::Add(args)) => args.output.json,
        Command::Model(Model::List(args)) => args.output.json,
        Command::Model(Model::Show(args)) => args.output.json,
        Command::Wallet(Wallet::Approve(args)) => args.output.json,
        Command::Wallet(Wallet::Budget(args)) => match &args.action {
            Some(BudgetAction::Set(set)) => set.output.json,
            None => args.output.json,
        },
        Command::Wallet(Wallet::History(args)) => args.output.json,
        Command::Wallet(Wallet::Channels(args)) => match &args.action {
            Some(ChannelAction::Withdraw(withdraw)) => withdraw.output.json,
            None => args.output.json,
        },
        Command::Settlement(Settlement::List(args)) => args.output.json,
        Command::Settlement(Settlement::Prove(args)) => args.output.json,
        Command::Settlement(Settlement::Verify(args)) => args.output.json,
        Command::Up(args) => args.output.json,
        Command::Fetch(args) => args.output.json,
        Command::Facilitator(args) => args.output.json,
        Command::Paywall(args) => args.output.json,
        Command::Relay(args) => args.output.json,
    }
}
