//! The command line, as data: no logic lives here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use seamline_core::{Address, B256};

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
    /// Run a model at a node and print its outputs, paid for and verified
    ///
    /// Inputs are JSON: an object with one member per input of the model, each a number, a string, or lists
    /// of them in lists (`{"x": [[1, 2.5], [3, 4]]}`), or exact as `{"shape": [2], "values": [[25, 1], [1, 0]]}`, where
    /// [25, 1] is 2.5. Outputs are printed in the first form. Inputs that the model does not take are refused
    /// before anything is paid or sent; a run that fails costs nothing.
    Infer(Infer),
    /// List, show, verify and explain receipts
    #[command(subcommand)]
    Receipt(Receipt),
    /// Look at the registry of nodes, and administer it
    #[command(subcommand)]
    Registry(Registry),
    /// Look for answers on record: the batches of a chain, and proofs that they hold an answer
    #[command(subcommand)]
    Settlement(Settlement),
    /// Bring an enclave of yours into the registry
    #[command(subcommand)]
    Node(Node),
    /// Check by hand what enclaves sign
    #[command(subcommand)]
    Request(Request),
    /// Keep ONNX models by their content, for a network of this machine to run
    #[command(subcommand)]
    Model(Model),
    /// Look after the wallet that pays: its key, its allowance, its budget, its books
    #[command(subcommand)]
    Wallet(Wallet),
    /// Run the local network until Ctrl-C
    Up(Up),
    /// Ask any HTTP server, and pay over x402 if it asks for it
    ///
    /// The body goes to standard output, one line about the payment to standard error. What may be paid, and
    /// with which token, is said by --rpc, --chain-id and --asset, by a network file, or by the local network
    /// that runs in this home. An origin is paid at the address that it named first, unless --pay-to says
    /// otherwise. After a payment whose answer was lost, the same command presents the same payment again.
    Fetch(Fetch),
    /// Verify and settle x402 payments for servers, until Ctrl-C
    ///
    /// The settling account is the wallet of the home: it pays the gas, so give it native coin. Give a
    /// facilitator a home of its own, because it does not settle what its own account pays.
    Facilitator(Facilitator),
    /// Put a price in front of an HTTP service, until Ctrl-C
    ///
    /// Whoever asks without paying gets 402 with the price; whoever pays gets the service's answer. Only
    /// answers with a status of 200 to 299 cost anything. The service never sees a payment; it sees who
    /// pays in `Seamline-Payer`.
    Paywall(Paywall),
    /// Carry sealed requests to enclaves and pay for them, until Ctrl-C
    ///
    /// Account holders are named in a file, by the hash of their bearer token, each with a budget. The wallet
    /// of the home pays. The relay sees who asks, when and how much, and never what. Put TLS in front.
    Relay(Relay),
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
    /// Payment channels to keep with the node, as many as calls go to it at once; 0 pays for each call [env: SEAMLINE_CHANNELS] [default: `channels` of the settings, else 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=16))]
    pub(crate) channels: Option<u32>,
    /// Most tokens that the answer may have
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) max_tokens: u32,
    /// Offer a function to the model: its JSON definition, or a file with one or a list of them; may be repeated
    ///
    /// What the answer calls is printed, one JSON object per line, instead of text; nothing is ever run.
    #[arg(long = "tool", value_name = "FILE|JSON")]
    pub(crate) tools: Vec<String>,
    /// What the node is asked to put on record about the call
    ///
    /// `batch` publishes the hashes of request and answer, with which whoever guesses a short prompt can confirm
    /// it; `individual` publishes both in the clear, for good.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Settle::Private)]
    pub(crate) settlement: Settle,
    /// Also write the receipt to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Tell the story of the call on standard error afterwards
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) output: Json,
}

/// What is put on record about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Settle {
    /// Nothing
    Private,
    /// Its hashes, among others', under a root on the chain
    Batch,
    /// Request and answer, in a transaction of its own
    Individual,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("inputs").required(true))]
pub(crate) struct Infer {
    /// Model to run, by its content id (`bafkrei…`)
    #[arg(short, long, value_name = "ID")]
    pub(crate) model: String,
    /// The inputs
    #[arg(short, long, value_name = "JSON", group = "inputs")]
    pub(crate) input: Option<String>,
    /// A file that holds the inputs; `-` reads them from standard input
    #[arg(long, value_name = "FILE", group = "inputs")]
    pub(crate) input_file: Option<PathBuf>,
    /// Most that this call may cost, in whole tokens of the asset, such as 0.05
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_price: Option<String>,
    /// Put inputs and outputs into the receipt, for whoever is to check them
    #[arg(long)]
    pub(crate) attach: bool,
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
    /// Check receipts offline: 0 satisfied, 1 refuted, 2 usage, 3 incomplete or unsupported
    ///
    /// What became known later, in amendments beside a receipt (ID.N.seama), counts as far as its recorder
    /// signed it. Of several receipts it is also checked that their places in a payment channel do not overlap.
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
    /// The receipt file; name more to check them against each other
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Registry {
    /// List the nodes that the registry calls active
    List(Json),
    /// Show all that the registry holds of one node
    Show(RegistryShow),
    /// Say what happens in the registry, as it happens, until Ctrl-C
    ///
    /// One line for each event. An endpoint that does not answer for a while is asked again, from where it
    /// stopped.
    Watch(RegistryWatch),
    /// Let enclaves with a measurement register
    ///
    /// Signed by the wallet; on a local network of this home by the administrator that it drew for itself.
    Approve(RegistryApprove),
    /// Withdraw a measurement: every node that runs it is disabled in the same transaction
    Revoke(RegistryRevoke),
}

#[derive(Debug, Args)]
pub(crate) struct RegistryShow {
    /// The node's id, or at least four digits of its start
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Type of the node: 0 serves language models
    #[arg(long = "type", value_name = "TYPE", default_value_t = 0)]
    pub(crate) tee_type: u8,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct RegistryWatch {
    /// The first block to tell of [default: the next one]
    #[arg(long, value_name = "BLOCK")]
    pub(crate) from: Option<u64>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct RegistryApprove {
    /// PCR0, PCR1 and PCR2, 96 hexadecimal digits each
    #[arg(value_name = "PCR", num_args = 0..=3, conflicts_with = "measurements")]
    pub(crate) pcrs: Vec<String>,
    /// The measurements as `nitro-cli build-enclave` prints them, JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) measurements: Option<PathBuf>,
    /// What to call the image
    #[arg(long = "name", value_name = "TEXT", default_value = "")]
    pub(crate) image: String,
    /// Type of the nodes: 0 serves language models
    #[arg(long = "type", value_name = "TYPE", default_value_t = 0)]
    pub(crate) tee_type: u8,
    /// Most to pay for a unit of gas, in gwei (1e-9 of the native coin)
    #[arg(long, value_name = "GWEI", default_value = "100")]
    pub(crate) max_fee: String,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct RegistryRevoke {
    /// The measurement as the registry has it: the hash of PCR0 to PCR2
    #[arg(value_name = "MEASUREMENT")]
    pub(crate) measurement: B256,
    /// Type of the nodes: 0 serves language models
    #[arg(long = "type", value_name = "TYPE", default_value_t = 0)]
    pub(crate) tee_type: u8,
    /// Most to pay for a unit of gas, in gwei (1e-9 of the native coin)
    #[arg(long, value_name = "GWEI", default_value = "100")]
    pub(crate) max_fee: String,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Fetch an enclave's evidence, verify it as callers do, and register the enclave
    ///
    /// Done again it changes nothing, except that a new Oblivious HTTP key of the enclave is registered. Signed
    /// by the wallet, which needs the registry's operator role; on a local network of this home by the
    /// administrator that it drew for itself.
    Register(NodeRegister),
}

#[derive(Debug, Args)]
pub(crate) struct NodeRegister {
    /// Where callers reach the enclave, such as https://203.0.113.7
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Where callers pay
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) pay_to: Address,
    /// Type of the node: 0 serves language models
    #[arg(long = "type", value_name = "TYPE", default_value_t = 0)]
    pub(crate) tee_type: u8,
    /// Most to pay for a unit of gas, in gwei (1e-9 of the native coin)
    #[arg(long, value_name = "GWEI", default_value = "100")]
    pub(crate) max_fee: String,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Request {
    /// Print the canonical bytes of an OpenAI-style request, and their hash: what an enclave's answer has as
    /// `tee_request_hash`
    ///
    /// A chat has `messages`, a completion `prompt`. Members that the hash does not cover are named on standard
    /// error; what has no canonical form is an error that names the field.
    Hash(RequestHash),
}

#[derive(Debug, Args)]
pub(crate) struct RequestHash {
    /// The request, or `-` for standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// The file has one request per line: answer each with a line of JSON
    #[arg(long)]
    pub(crate) lines: bool,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Settlement {
    /// List the batches that the chain has on record
    List(SettlementList),
    /// Write a file that proves that a batch holds an answer
    ///
    /// The answer is named by a receipt, by its id (the hash of its leaf), or by the hashes that the enclave
    /// signed. The tree comes from the facilitator or from a directory of blobs, and is computed again;
    /// where its root is settled, the chain says.
    Prove(SettlementProve),
    /// Check a proof file: 0 it proves, 1 it does not, 2 usage, 3 it could not be found out
    ///
    /// With --root nothing is asked: the root must come from somewhere that you trust. Otherwise the chain
    /// is asked for the root, and the registry for the key of the enclave's signature.
    Verify(SettlementVerify),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Keep a model and print its id, which is the hash of its bytes
    ///
    /// From a file, or by its id from a server that has it under that name. A model with random operators or
    /// with weights in other files is refused.
    Add(ModelAdd),
    /// List the models that are kept
    List(ModelList),
    /// Say what a model takes and gives
    Show(ModelShow),
}

#[derive(Debug, Args)]
pub(crate) struct ModelAdd {
    /// The .onnx file, or with --from the id
    #[arg(value_name = "FILE|ID")]
    pub(crate) model: PathBuf,
    /// Fetch it from URL/ID: https, or http on this machine
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) store: ModelFolder,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct ModelList {
    #[command(flatten)]
    pub(crate) store: ModelFolder,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct ModelShow {
    /// The id, as `seamline model list` prints it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: ModelFolder,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct ModelFolder {
    /// Folder of models [default: `models` in the home]
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SettlementNetwork {
    /// JSON-RPC endpoint of the chain: https, or http on this machine
    #[arg(long, value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// The settlement contract
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) contract: Option<Address>,
    /// The registry of nodes
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) registry: Option<Address>,
    /// Who keeps the trees: https, or http on this machine
    #[arg(long, value_name = "URL")]
    pub(crate) facilitator: Option<String>,
    /// First block to look at
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) from_block: u64,
}

#[derive(Debug, Args)]
pub(crate) struct SettlementList {
    #[command(flatten)]
    pub(crate) place: SettlementNetwork,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct SettlementProve {
    /// The receipt of the call
    #[arg(value_name = "RECEIPT", required_unless_present_any = ["id", "request_hash"], conflicts_with_all = ["id", "request_hash", "output_hash"])]
    pub(crate) receipt: Option<PathBuf>,
    /// The answer's id: the hash of its leaf
    #[arg(long, value_name = "HASH")]
    pub(crate) id: Option<B256>,
    /// The signed hash of the request
    #[arg(long, value_name = "HASH")]
    pub(crate) request_hash: Option<B256>,
    /// The signed hash of the answer
    #[arg(long, value_name = "HASH", requires = "request_hash")]
    pub(crate) output_hash: Option<B256>,
    /// Read the trees from this directory of blobs instead of asking the facilitator
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) blobs: Option<PathBuf>,
    /// Write the proof here instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: SettlementNetwork,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct SettlementVerify {
    /// The proof file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Check against this root, and ask nobody
    #[arg(long, value_name = "HASH", conflicts_with_all = ["rpc", "contract", "registry", "facilitator"])]
    pub(crate) root: Option<B256>,
    /// Blocks that must hold the root, its own included: fewer may still leave the chain [default: the network file's, else 12]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) depth: Option<u64>,
    #[command(flatten)]
    pub(crate) place: SettlementNetwork,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Make a new key and keep it encrypted in the home
    ///
    /// The password is asked for on the terminal, or read from a file (SEAMLINE_WALLET_PASSWORD_FILE) or a
    /// program (SEAMLINE_WALLET_PASSWORD_COMMAND). Nobody can restore a key without its password.
    Create(Json),
    /// Keep a key of yours encrypted in the home
    ///
    /// The key comes on standard input, never as an argument: 64 hexadecimal digits, or a keystore file
    /// (Web3 Secret Storage, version 3) that the same password opens.
    Import(Json),
    /// Show the paying address, where its key is, its balances and its allowance
    Show(Json),
    /// Let Permit2 move at most AMOUNT of the token, or nothing any more
    ///
    /// Sends one transaction, which costs gas: the most that it can cost is shown before it is sent.
    /// Payments over Permit2 use the allowance up. It is never unlimited.
    Approve(WalletApprove),
    /// Show what may be spent, what is spent and reserved, and when it comes free
    #[command(args_conflicts_with_subcommands = true)]
    Budget(WalletBudget),
    /// List payments, newest first
    History(WalletHistory),
    /// List payment channels: with whom, what is in them, what was charged
    #[command(args_conflicts_with_subcommands = true)]
    Channels(WalletChannels),
}

#[derive(Debug, Args)]
pub(crate) struct WalletChannels {
    #[command(subcommand)]
    pub(crate) action: Option<ChannelAction>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelAction {
    /// Take back what is left in a channel: asks for it, and fetches it when its delay is over
    ///
    /// Needs nobody's consent, and gas for two transactions. From the first on nothing more is paid with the
    /// channel. Run it again after the delay.
    Withdraw(ChannelWithdraw),
}

#[derive(Debug, Args)]
pub(crate) struct ChannelWithdraw {
    /// The channel's id (a prefix will do)
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: String,
    /// Most to pay for a unit of gas, in gwei (1e-9 of the native coin)
    #[arg(long, value_name = "GWEI", default_value = "100")]
    pub(crate) max_fee: String,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct WalletApprove {
    /// Whole tokens, such as 10
    #[arg(
        value_name = "AMOUNT",
        required_unless_present = "revoke",
        conflicts_with = "revoke"
    )]
    pub(crate) amount: Option<String>,
    /// Let Permit2 move nothing any more
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Allow more than thirty times the day's budget, up to this many whole tokens
    #[arg(long, value_name = "AMOUNT", conflicts_with = "revoke")]
    pub(crate) danger_allow_up_to: Option<String>,
    /// Most to pay for a unit of gas, in gwei (1e-9 of the native coin)
    #[arg(long, value_name = "GWEI", default_value = "100")]
    pub(crate) max_fee: String,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct WalletBudget {
    #[command(subcommand)]
    pub(crate) action: Option<BudgetAction>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetAction {
    /// Settle caps for the network's token, in whole tokens; `none` takes a cap away
    Set(BudgetSet),
}

#[derive(Debug, Args)]
#[group(id = "caps", multiple = true, required = true, args = ["per_call", "per_hour", "per_day", "per_node_day", "per_model_day", "per_channel"])]
pub(crate) struct BudgetSet {
    /// Most that one call may cost; --max-price can only lower it
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_call: Option<String>,
    /// Most that any 60 minutes may cost
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_hour: Option<String>,
    /// Most that any 24 hours may cost; 5 whole tokens unless it is settled
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_day: Option<String>,
    /// Most that any 24 hours may cost at one node or server
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_node_day: Option<String>,
    /// Most that any 24 hours may cost for one model
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_model_day: Option<String>,
    /// Most that one payment channel may hold; the cap per day unless it is settled
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_channel: Option<String>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct WalletHistory {
    /// Most payments to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Port of the JSON-RPC server on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) rpc_port: u16,
    /// Lay it out as OpenGradient's SDK expects: Base's chain id, its addresses, keys of its own only
    #[arg(long)]
    pub(crate) opengradient: bool,
    /// One more node that is registered and answers nobody: to see what an application does then
    #[arg(long, requires = "opengradient")]
    pub(crate) dead_node: bool,
    /// Keep sessions of 0.1 OPG, as OpenGradient's gateways do: one authorization pays for many calls
    #[arg(long, requires = "opengradient")]
    pub(crate) sessions: bool,
    /// Run the models of this folder, with a command that was built with `--features onnx` [default: `models` in the home]
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// https, or http at an address of this machine
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Method [default: GET, or POST with a body]
    #[arg(short = 'X', long = "method", value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A header as 'Name: value'; repeat it for more
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// The body: text, `@` and a file, or `-` for standard input
    #[arg(short, long, value_name = "TEXT|@FILE|-")]
    pub(crate) data: Option<String>,
    /// Most that this may cost, in whole tokens such as 0.05
    #[arg(long, visible_alias = "max-price", value_name = "AMOUNT")]
    pub(crate) max_amount: Option<String>,
    /// Payment channels to keep with the server, as many as requests go to it at once; 0 pays for each request [env: SEAMLINE_CHANNELS] [default: `channels` of the settings, else 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=16))]
    pub(crate) channels: Option<u32>,
    /// An address that may be paid; repeat it for more [default: whoever the origin named first]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) pay_to: Vec<Address>,
    /// JSON-RPC endpoint of the chain to pay on: https, or http on this machine
    #[arg(long, value_name = "URL", requires_all = ["chain_id", "asset"], conflicts_with = "network")]
    pub(crate) rpc: Option<String>,
    /// EIP-155 id of the chain
    #[arg(long, value_name = "ID", requires = "rpc")]
    pub(crate) chain_id: Option<u64>,
    /// The token to pay with
    #[arg(long, value_name = "ADDRESS", requires = "rpc")]
    pub(crate) asset: Option<Address>,
    /// Pay anew for what an earlier attempt paid for and did not get
    #[arg(long)]
    pub(crate) buy_again: bool,
    /// Write the body to this file
    #[arg(short, long = "output", value_name = "FILE")]
    pub(crate) output_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Facilitator {
    /// Where to listen; port 0 takes a free one. Beyond this machine it needs --sellers
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4021")]
    pub(crate) listen: SocketAddr,
    /// JSON-RPC endpoint of the chain: https, or http on this machine
    #[arg(long, value_name = "URL")]
    pub(crate) rpc: String,
    /// EIP-155 id of the chain; the endpoint must agree
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: u64,
    /// A token that it settles; repeat it for more. An unknown token could pretend to have moved
    #[arg(long = "asset", value_name = "ADDRESS", required = true)]
    pub(crate) assets: Vec<Address>,
    /// Most to pay for a unit of gas, in gwei (1e-9 of the native coin), such as 0.5
    #[arg(long, value_name = "GWEI")]
    pub(crate) max_fee: String,
    /// Most of it that goes to whoever makes the block, in gwei
    #[arg(long, value_name = "GWEI", default_value = "2")]
    pub(crate) max_tip: String,
    /// Where settlements are remembered: a file, or a postgres:// URL that replicas share [env: SEAMLINE_DATABASE] [default: facilitator.redb in the home]
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) database: Option<String>,
    /// Blocks that must hold a settlement before it counts, its own included
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) confirmations: u64,
    /// Seconds that a server waits for a settlement before it hears `settlement_pending`
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(crate) settle_wait: u64,
    /// Gas that may be spent in an hour, for everybody together
    #[arg(long, value_name = "GAS", default_value_t = 2_000_000_000)]
    pub(crate) gas_per_hour: u64,
    /// Gas that may be spent in an hour for one payer
    #[arg(long, value_name = "GAS", default_value_t = 100_000_000)]
    pub(crate) gas_per_payer_hour: u64,
    /// A program that signs for the settling account: its path, or a JSON array of program and
    /// arguments; asked as the wallet's external signer is, with the purpose `settlement`
    #[arg(long, value_name = "COMMAND")]
    pub(crate) signer_command: Option<OsString>,
    /// A factory that may deploy payers' contract wallets on our gas (ERC-6492); repeat it for more
    #[arg(long = "factory", value_name = "ADDRESS")]
    pub(crate) factories: Vec<Address>,
    /// The sellers that it settles for (TOML): pay_to and token_sha256 of each
    #[arg(long, value_name = "FILE")]
    pub(crate) sellers: Option<PathBuf>,
    /// Take whoever reaches it for the seller: a payer then settles its own payments for less
    #[arg(long, conflicts_with = "sellers")]
    pub(crate) danger_any_seller: bool,
    /// Settle payment channels too
    #[arg(long)]
    pub(crate) channels: bool,
    /// Let sellers leave the signing of their claims, never of refunds, to the settling account
    #[arg(long, requires = "channels")]
    pub(crate) sign_claims: bool,
    /// Put answers on record with this settlement contract; the settling account needs its relay role
    #[arg(long, value_name = "ADDRESS", requires = "registry")]
    pub(crate) settlement: Option<Address>,
    /// The registry whose nodes' answers and heartbeats are taken
    #[arg(long, value_name = "ADDRESS", requires = "settlement")]
    pub(crate) registry: Option<Address>,
    /// Where the trees of batches are stored: a directory, or a URL that takes PUT and gives GET [default: a directory beside the database]
    #[arg(long, value_name = "DIRECTORY|URL", requires = "settlement")]
    pub(crate) blobs: Option<String>,
    /// --blobs is a Walrus publisher, and this its aggregator, both with their path
    #[arg(long, value_name = "URL", requires = "blobs")]
    pub(crate) walrus_aggregator: Option<String>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// The account holders (TOML): token_sha256, per_day, per_minute, at_once of each
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts: PathBuf,
    /// Most that one request may cost, in whole tokens: what is reserved of an account's budget
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_price: String,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4030")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Paywall {
    /// The service: plain http on this machine, or https with --upstream-cert
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: String,
    /// The certificate (DER) that an https upstream must present
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_cert: Option<PathBuf>,
    /// What a request costs, in whole tokens such as 0.001; the ceiling where the scheme is `upto`
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) price: String,
    /// The token that is paid with
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) asset: Address,
    /// Decimals of the token: 6 for USDC, 18 for most others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=36))]
    pub(crate) decimals: u8,
    /// EIP-155 id of the chain that is paid on
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: u64,
    /// Your address, which is paid
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) pay_to: Address,
    /// Who verifies and settles: https, or http on this machine
    #[arg(long, value_name = "URL")]
    pub(crate) facilitator: String,
    /// The file with the token that the facilitator knows you by, where it lists its sellers
    #[arg(long, value_name = "FILE")]
    pub(crate) facilitator_token: Option<PathBuf>,
    /// `exact`: every answer costs the price. `upto`: what the service says in `Settlement-Overrides`; silence is free
    #[arg(long, value_name = "SCHEME", value_enum, default_value = "exact")]
    pub(crate) scheme: GateScheme,
    /// How the token is moved [default: both where the token's domain is named, else permit2]
    #[arg(long, value_name = "METHOD", value_enum)]
    pub(crate) method: Option<GateMethod>,
    /// Name in the token's signing domain (EIP-712), such as USDC; eip3009 needs it
    #[arg(long, value_name = "NAME", requires = "token_version")]
    pub(crate) token_name: Option<String>,
    /// Version in the token's signing domain (EIP-712), such as 2
    #[arg(long, value_name = "VERSION", requires = "token_name")]
    pub(crate) token_version: Option<String>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4020")]
    pub(crate) listen: SocketAddr,
    /// How payers reach this, for offers [default: the address that is listened on]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// What is sold, for people
    #[arg(long, value_name = "TEXT", default_value = "A paid service")]
    pub(crate) description: String,
    /// Media type of the answers, for offers
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub(crate) mime_type: String,
    /// Seconds that the service may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) timeout: u64,
    /// Where it is remembered what is paid and what is owed [default: paywall.redb in the home]
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// A postgres:// URL that replicas share instead, so that each payment is served once [env: SEAMLINE_DATABASE]
    #[arg(long, value_name = "URL", conflicts_with = "store")]
    pub(crate) database: Option<String>,
    /// Take payments of x402 version 1 too
    #[arg(long)]
    pub(crate) v1: bool,
    #[command(flatten)]
    pub(crate) output: Json,
}

/// Schemes of a gate.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GateScheme {
    Exact,
    Upto,
}

impl GateScheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Upto => "upto",
        }
    }
}

/// How a token is moved.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GateMethod {
    Eip3009,
    Permit2,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Json {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
