//! A client on a network: the named one, the one that `seamline up` runs in this home, or a local one
//! that lives as long as the command.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use seamline::{Client, Config, Env, Home as ClientHome, Network, Options};
use seamline_core::receipt::SealingKey;
use seamline_core::{Address, Amount, Timestamp};
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_evm::{Rpc, Wallet};
use seamline_localnet::{Config as LocalnetConfig, Localnet};
use seamline_verify::{Trust, TrustFile};

use crate::context::{Context, extend_trust, to_trust};
use crate::failure::{Exit, Failure};
use crate::home::{Home, HomeLock};
use crate::network_file::NetworkFile;

/// Most that one call may cost on a local network unless the command line says otherwise: 0.02 OPG of play
/// money. Another network has no default.
const LOCAL_PER_CALL: Amount = Amount::new(2 * 10_u128.pow(16));
/// Most that a day may cost: 5 OPG.
const PER_DAY: Amount = Amount::new(5 * 10_u128.pow(18));
/// Longest life of an authorization, seconds: what OpenGradient's gateways ask for.
const MAX_LIFETIME_S: u64 = 300;

/// A client and the network behind it.
pub(crate) struct Session {
    pub(crate) network: NetworkFile,
    pub(crate) client: Client,
    /// The paying address.
    pub(crate) payer: Address,
    localnet: Option<Localnet>,
    /// Released last.
    _lock: HomeLock,
}

impl Session {
    /// Opens the home, finds or starts the network, and opens the books.
    pub(crate) async fn open(context: &Context, cap: Option<&str>) -> Result<Self, Failure> {
        let home = context.home()?.ready()?;
        let lock = home.lock()?;
        let payer = wallet(&home)?;
        let recorder = recorder(&home)?;
        let (network, localnet) = match &context.network {
            Some(path) => (NetworkFile::read(path)?, None),
            None => match running(&home).await {
                Some(network) => (network, None),
                None => {
                    let localnet = start_localnet(&home, 0).await?;
                    (NetworkFile::of(&localnet), Some(localnet))
                }
            },
        };
        if let Some(localnet) = &localnet {
            localnet
                .fund(&payer)
                .await
                .map_err(|err| localnet_failure(&err))?;
        }
        let trust = if context.network.is_some() {
            context.trust()?
        } else {
            local_trust(context, &recorder, &network, localnet.as_ref())?
        };
        let per_call = per_call(context, &network, cap)?;
        let (client, payer) = {
            let address = payer.address();
            (
                open_client(&home, &network, trust, payer, recorder, per_call)?,
                address,
            )
        };
        Ok(Self {
            network,
            client,
            payer,
            localnet,
            _lock: lock,
        })
    }

    /// Writes an amount of the network's token.
    pub(crate) fn amount(&self, amount: Amount) -> String {
        format!(
            "{} {}",
            amount.to_decimal(self.network.token_decimals),
            self.network.token_symbol
        )
    }

    /// Whether the network's evidence is software's.
    pub(crate) fn is_dev(&self) -> bool {
        self.network.evidence == "dev"
    }

    /// Stops the local network, if this session started it, and waits for its settlements.
    pub(crate) async fn close(self) {
        if let Some(localnet) = self.localnet {
            localnet.stop().await;
        }
    }
}

/// The system's clock; the services of a local network take it as a value.
pub(crate) fn now() -> Timestamp {
    Env::system().now()
}

/// The paying key of this home.
pub(crate) fn wallet(home: &Home) -> Result<Wallet, Failure> {
    let secret = home.secret("wallet.key", fresh)?;
    Wallet::from_bytes(&secret).map_err(|_| {
        Failure::new(
            Exit::Usage,
            "key.damaged",
            "`wallet.key` does not hold a usable key",
        )
    })
}

/// The key of this home that signs receipts.
pub(crate) fn recorder(home: &Home) -> Result<SealingKey, Failure> {
    Ok(SealingKey::from_seed(&home.secret("recorder.key", fresh)?))
}

fn fresh() -> Result<[u8; 32], Failure> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| {
        Failure::new(
            Exit::Bug,
            "entropy",
            "the operating system gave no random bytes",
        )
    })?;
    Ok(secret)
}

/// Starts the local network that is kept in `home`.
pub(crate) async fn start_localnet(home: &Home, rpc_port: u16) -> Result<Localnet, Failure> {
    let mut config = LocalnetConfig::in_memory(Arc::new(now));
    config.home = Some(home.localnet());
    config.rpc_port = rpc_port;
    Localnet::start(config)
        .await
        .map_err(|err| localnet_failure(&err))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "advice is for the errors that have some; the enum is another crate's and may grow"
)]
pub(crate) fn localnet_failure(err: &seamline_localnet::Error) -> Failure {
    let failure = Failure::new(
        Exit::Unknown,
        "localnet",
        format!(
            "the local network does not start: {}",
            seamline_core::chain(err)
        ),
    );
    failure.hint(match err {
        seamline_localnet::Error::Listen { .. } => "name a free port with --rpc-port",
        seamline_localnet::Error::Damaged { .. } => {
            "restore the file from a copy, or move the folder `localnet` away to start a new network"
        }
        seamline_localnet::Error::Clock { .. } => "set the clock of this machine",
        _ => "if another `seamline` runs in this home, wait for it or name another --home",
    })
}

/// The network that `seamline up` runs in this home, if its chain answers.
pub(crate) async fn running(home: &Home) -> Option<NetworkFile> {
    let network = NetworkFile::parse(&fs::read(home.running()).ok()?)?;
    let rpc = network.rpc().ok()?;
    let (chain_id, _) = seamline_evm::chain::head(&rpc).await.ok()?;
    (chain_id == network.chain_id).then_some(network)
}

/// The home's trust file, extended by what a local network of this home needs.
pub(crate) fn local_trust(
    context: &Context,
    recorder: &SealingKey,
    network: &NetworkFile,
    localnet: Option<&Localnet>,
) -> Result<Trust, Failure> {
    let path = context.trust_path()?;
    let additions = TrustFile {
        version: 1,
        recorders: vec![recorder.public_key().to_string()],
        measurements: network
            .nodes
            .iter()
            .map(|node| node.measurement.to_string())
            .collect(),
        tokens: vec![network.named_token()],
        chain_id: Some(network.chain_id),
        registry: Some(network.registry.to_string()),
        facilitators: vec![network.facilitator.to_string()],
        danger_accept_dev_roots: localnet
            .map(|localnet| hex::encode(localnet.dev_root()))
            .into_iter()
            .collect(),
        ..TrustFile::default()
    };
    let file = extend_trust(&path, &additions)?;
    to_trust(&file, &path)
}

fn per_call(
    context: &Context,
    network: &NetworkFile,
    cap: Option<&str>,
) -> Result<Amount, Failure> {
    let Some(cap) = cap else {
        if context.network.is_none() {
            return Ok(LOCAL_PER_CALL);
        }
        return Err(
            Failure::usage("budget.missing", "there is no budget for this network")
                .hint("say what the call may cost at most with --max-price"),
        );
    };
    let amount = Amount::from_decimal(cap, network.token_decimals).map_err(|err| {
        Failure::usage(
            "budget.malformed",
            format!("`{cap}` is not an amount: {err}"),
        )
        .hint(format!("write whole {} such as 0.05", network.token_symbol))
    })?;
    if amount.is_zero() {
        return Err(Failure::usage("budget.zero", "the budget allows nothing")
            .hint("allow more than zero with --max-price"));
    }
    Ok(amount)
}

fn open_client(
    home: &Home,
    network: &NetworkFile,
    trust: Trust,
    signer: Wallet,
    recorder: SealingKey,
    per_call: Amount,
) -> Result<Client, Failure> {
    let rpc: Arc<dyn Rpc> = Arc::new(network.rpc()?);
    let budget = SpendPolicy {
        per_call,
        per_hour: None,
        per_day: PER_DAY,
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Upto],
        networks: vec![network.network.clone()],
        assets: vec![network.token],
        facilitators: Some(vec![network.facilitator]),
        max_lifetime_s: MAX_LIFETIME_S,
    };
    let config = Config {
        signer: Arc::new(signer),
        recorder,
        trust,
        budget,
        network: Network {
            rpc,
            chain_id: network.chain_id,
            registry: network.registry,
            asset: network.token,
            decimals: network.token_decimals,
            symbol: network.token_symbol.clone(),
        },
        home: ClientHome {
            journal: home.journal(),
            receipts: home.receipts(),
        },
        env: Env::system(),
        options: Options::default(),
    };
    Client::open(config).map_err(|err| call_failure(&err))
}

/// Turns the SDK's error into what the command says.
pub(crate) fn call_failure(err: &seamline::Error) -> Failure {
    use crate::failure::CallFailure;
    use seamline::{ErrorKind, JournalError};
    use seamline_core::{Charged, Fault};
    let exit = match (err.charged(), err.fault()) {
        (Charged::Unknown, _) => Exit::PaymentUnknown,
        (Charged::No | Charged::Yes, Fault::Caller) => Exit::Usage,
        (Charged::No | Charged::Yes, Fault::Chain) => Exit::Unknown,
        (Charged::No | Charged::Yes, Fault::Node | Fault::Relay | Fault::Payment | Fault::Us) => {
            Exit::No
        }
    };
    let mut failure = Failure::new(exit, &err.code(), seamline_core::chain(err));
    failure.call = Some(Box::new(CallFailure {
        fault: err.fault().as_str(),
        retry: err.retry().as_str(),
        charged: err.charged().as_str(),
        receipt: err.receipt().map(|path: &Path| path.display().to_string()),
    }));
    failure.hint = hint(err.kind(), err.charged());
    if matches!(err.kind(), ErrorKind::Journal(_)) {
        failure.exit = Exit::Usage;
    }
    if matches!(err.kind(), ErrorKind::Journal(JournalError::InUse { .. })) {
        failure.exit = Exit::Unknown;
    }
    failure
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "advice is for the errors that have some; the enum is another crate's and may grow"
)]
fn hint(kind: &seamline::ErrorKind, charged: seamline_core::Charged) -> Option<String> {
    use seamline::{ErrorKind, JournalError};
    if charged == seamline_core::Charged::Unknown {
        let first = match kind {
            ErrorKind::PaymentRefused { .. } => {
                "see to balance and allowance with `seamline wallet show`; "
            }
            _ => "",
        };
        return Some(format!(
            "{first}do not ask again before it is known what was charged: `seamline receipt list` says"
        ));
    }
    let text = match kind {
        ErrorKind::EmptyPrompt => "write a question, or `-` to read it from standard input",
        ErrorKind::UnknownModel { known, .. } => {
            return Some(format!("nodes offer: {}", known.join(", ")));
        }
        ErrorKind::ZeroBudget => "allow more than zero with --max-price",
        ErrorKind::Journal(JournalError::InUse { .. }) => {
            "wait for the other `seamline` in this home, or name another --home"
        }
        ErrorKind::Journal(_) => {
            "the file was left as it is: move it away to start new books; receipts and chain keep what happened"
        }
        ErrorKind::Chain(_) => "is the network up? `seamline up` runs one",
        ErrorKind::NoUsableNode { .. } => {
            "raise --max-price if nodes are over the cap; `seamline registry list` shows them all"
        }
        ErrorKind::Refused { .. } => "raise --max-price, or wait for the day's budget",
        ErrorKind::Funds { .. } => "give the wallet tokens: `seamline wallet show` has its address",
        ErrorKind::Allowance { .. } => {
            "let Permit2 move a bounded amount: `seamline wallet show` has the allowance"
        }
        ErrorKind::Evidence { .. } => {
            "the node does not prove what it claims: nothing was sent to it"
        }
        ErrorKind::Signature { .. } => {
            "the answer is not proven and was not used; the receipt holds the evidence"
        }
        _ => "`seamline receipt explain` with the receipt shows how far the call came",
    };
    Some(text.to_owned())
}
