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
use seamline_evm::settlement::SettlementType;
use seamline_evm::{Rpc, Signer};
use seamline_localnet::{Config as LocalnetConfig, Localnet};
use seamline_verify::{Trust, TrustFile};

use crate::budget::{Caps, Intent, Token};
use crate::context::{Context, extend_trust, to_trust};
use crate::failure::{Exit, Failure};
use crate::home::{Home, HomeLock};
use crate::keys::{self, Key, Purpose, Source};
use crate::models;
use crate::network_file::NetworkFile;

/// A client and the network behind it.
pub(crate) struct Session {
    pub(crate) network: NetworkFile,
    pub(crate) client: Client,
    /// The paying address.
    pub(crate) payer: Address,
    /// Where its key comes from.
    pub(crate) source: Source,
    /// Who signs; in a session that only looks it may be locked.
    pub(crate) signer: Arc<dyn Signer>,
    localnet: Option<Localnet>,
    /// Released last.
    _lock: HomeLock,
}

impl Session {
    /// Opens the home, the key, the network (found, or started) and the books, to pay. `cap` is the most
    /// that a call may cost, as the command line says it; `channels` what it says about payment channels.
    pub(crate) async fn open(
        context: &Context,
        cap: Option<&str>,
        channels: Option<u32>,
    ) -> Result<Self, Failure> {
        Self::open_to_record(context, cap, channels, SettlementType::Private).await
    }

    /// As [`Session::open`], for calls that are put on record in this mode.
    pub(crate) async fn open_to_record(
        context: &Context,
        cap: Option<&str>,
        channels: Option<u32>,
        settlement: SettlementType,
    ) -> Result<Self, Failure> {
        let mut options = Options::default();
        options.settlement = settlement;
        options.channels_per_node = crate::budget::channels(&context.home()?, channels)?;
        Self::with_key(context, Intent::Pay(cap), options, |chain_id| {
            keys::open(context, chain_id, Purpose::Payment)
        })
        .await
    }

    /// As [`Session::open`], to send transactions of the wallet itself.
    pub(crate) async fn to_approve(context: &Context) -> Result<Self, Failure> {
        Self::with_key(context, Intent::Look, Options::default(), |chain_id| {
            keys::open(context, chain_id, Purpose::Approval)
        })
        .await
    }

    /// As [`Session::open`], to look and pay nothing: no password is asked for.
    pub(crate) async fn look(context: &Context) -> Result<Self, Failure> {
        Self::with_key(context, Intent::Look, Options::default(), |chain_id| {
            keys::look(context, chain_id)
        })
        .await
    }

    async fn with_key(
        context: &Context,
        intent: Intent<'_>,
        mut options: Options,
        key: impl FnOnce(u64) -> Result<Key, Failure>,
    ) -> Result<Self, Failure> {
        let home = context.home()?.ready()?;
        let lock = home.lock()?;
        let token = Token::of(context)?;
        // Before anything is started: what is refused is refused at once.
        let caps = Caps::of_home(&home, &token, intent)?;
        let key = key(token.chain_id)?;
        let recorder = recorder(&home)?;
        let (network, localnet) = match &context.network {
            Some(path) => (NetworkFile::read(path)?, None),
            None => match running(&home).await {
                Some(network) => (network, None),
                None => {
                    let localnet = start_localnet(&home, 0, None).await?;
                    (NetworkFile::of(&localnet), Some(localnet))
                }
            },
        };
        if let Some(localnet) = &localnet {
            fund(localnet, &key).await?;
        }
        let trust = if context.network.is_some() {
            context.trust()?
        } else {
            local_trust(context, &recorder, &network, localnet.as_ref())?
        };
        let signer = Arc::clone(&key.signer);
        let mut budget = caps.policy(&token, Some(network.facilitator));
        options.settlement_contract = network.settlement;
        if options.channels_per_node > 0 {
            budget.schemes.push(Scheme::BatchSettlement);
        }
        let client = open_client(
            &home, &network, trust, key.signer, recorder, budget, options,
        )?;
        Ok(Self {
            network,
            client,
            payer: signer.address(),
            source: key.source,
            signer,
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

/// Gives the account of `key` play money. Permit2 is let move some of it where the key is at hand;
/// otherwise that is its owner's to say.
pub(crate) async fn fund(localnet: &Localnet, key: &Key) -> Result<(), Failure> {
    let funded = match &key.wallet {
        Some(wallet) => localnet.fund(wallet).await,
        None => localnet.give(key.signer.address()).await,
    };
    funded.map_err(|err| localnet_failure(&err))
}

/// The key of this home that signs receipts.
pub(crate) fn recorder(home: &Home) -> Result<SealingKey, Failure> {
    Ok(SealingKey::from_seed(&home.secret("recorder.key", fresh)?))
}

pub(crate) fn fresh() -> Result<[u8; 32], Failure> {
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
pub(crate) async fn start_localnet(
    home: &Home,
    rpc_port: u16,
    models: Option<&Path>,
) -> Result<Localnet, Failure> {
    let models = models::open(home, models)?;
    let mut config = LocalnetConfig::in_memory(Arc::new(now));
    config.home = Some(home.localnet());
    config.rpc_port = rpc_port;
    config.models = models.as_ref().map(|models| Arc::clone(&models.runner));
    let localnet = start(config).await?;
    if let Some(models) = models {
        models.keep_up();
    }
    Ok(localnet)
}

/// Starts a local network.
pub(crate) async fn start(config: LocalnetConfig) -> Result<Localnet, Failure> {
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

fn open_client(
    home: &Home,
    network: &NetworkFile,
    trust: Trust,
    signer: Arc<dyn Signer>,
    recorder: SealingKey,
    budget: SpendPolicy,
    options: Options,
) -> Result<Client, Failure> {
    let rpc: Arc<dyn Rpc> = Arc::new(network.rpc()?);
    let config = Config {
        signer,
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
        options,
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
        ErrorKind::UnknownModel { known, .. } if known.is_empty() => {
            "no node offers any of this kind: `seamline registry list` shows the nodes"
        }
        ErrorKind::UnknownModel { known, .. } => {
            return Some(format!("nodes offer: {}", known.join(", ")));
        }
        ErrorKind::Inputs(_) => "nothing was sent; `seamline model show` says what the model takes",
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
