//! The command line, as data: no logic lives here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Paid, verifiable AI inference in one local call, with every hidden step in plain sight.
#[derive(Debug, Parser)]
#[command(
    name = "seamline",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// Folder that holds keys, journal, receipts and the local network [env: SEAMLINE_HOME] [default: in the platform's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Trust file: whose receipts, roots and measurements to accept [default: trust.toml in the home]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Network file: the network to call, as `seamline up` describes it [env: SEAMLINE_NETWORK] [default: a local network]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) network: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask one question: pay for it, check the answer, keep a receipt
    Chat(Chat),
    /// List, show, verify and explain receipts
    #[command(subcommand)]
    Receipt(Receipt),
    /// Look at the registry of nodes
    #[command(subcommand)]
    Registry(Registry),
    /// Look at the wallet that pays
    #[command(subcommand)]
    Wallet(Wallet),
    /// Run the local network until Ctrl-C
    Up(Up),
    /// Check the home, the keys, the journal and the network, and say what to do
    Doctor(Json),
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The question; `-` reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    /// Model to ask, as nodes list it
    #[arg(short, long, value_name = "MODEL", default_value = "seamline/guide")]
    pub(crate) model: String,
    /// Print the answer as it arrives, before the node's signature over it can be checked
    #[arg(long)]
    pub(crate) stream: bool,
    /// Most that this call may cost, in whole tokens of the asset, such as 0.05
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_price: Option<String>,
    /// Most tokens that the answer may have
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) max_tokens: u32,
    /// Also write the receipt to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Tell the story of the call on standard error afterwards
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// List the calls of this home, open ones included
    List(Json),
    /// Show what a receipt records
    Show(ReceiptShow),
    /// Check a receipt offline: 0 satisfied, 1 refuted, 2 usage, 3 incomplete or unsupported
    Verify(ReceiptVerify),
    /// Tell the story of one call on one screen
    Explain(ReceiptShow),
}

#[derive(Debug, Args)]
pub(crate) struct ReceiptShow {
    /// A receipt file, or the id of a call of this home (a prefix will do)
    #[arg(value_name = "FILE|ID")]
    pub(crate) receipt: String,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiptVerify {
    /// The receipt file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Registry {
    /// List the nodes that the registry calls active
    List(Json),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Show the paying address, its balances and its allowance
    Show(Json),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Port of the JSON-RPC server on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) rpc_port: u16,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Json {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
