//! The chain of a network, for commands that read the registry or change it: no client, no books.

use std::sync::Arc;
use std::time::Duration;

use seamline_core::{Address, B256, U256, chain as causes};
use seamline_evm::tx::{self, FeeCeiling, Fees, Transaction};
use seamline_evm::{Rpc, RpcCall, Signer, Wallet, chain};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::keys::{self, Purpose};
use crate::network_file::NetworkFile;
use crate::service::wei;
use crate::session::running;

/// Most gas of a change to the registry: a registration stores about 3 KiB, 3 million, and revoking takes some
/// ten thousand for each node.
const MAX_GAS: u64 = 25_000_000;
/// Longest wait for a transaction: some blocks of a slow chain.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the chain is asked for it.
const TURN: Duration = Duration::from_millis(100);

/// A network and its chain's endpoint.
pub(crate) struct Desk {
    pub(crate) network: NetworkFile,
    pub(crate) rpc: Arc<dyn Rpc>,
}

/// A change that is in a block.
pub(crate) struct Included {
    pub(crate) transaction: B256,
    pub(crate) block: u64,
}

impl Desk {
    /// The named network, or the one that runs in this home.
    ///
    /// # Errors
    ///
    /// `network.none` where there is neither, `chain.*` where the endpoint is not of this chain.
    pub(crate) async fn open(context: &Context) -> Result<Self, Failure> {
        let network = match &context.network {
            Some(path) => NetworkFile::read(path)?,
            None => running(&context.home()?.ready()?).await.ok_or_else(|| {
                Failure::usage(
                    "network.none",
                    "no network runs in this home, and none is named",
                )
                .hint(
                    "run `seamline up` in another terminal, or name a network file with --network",
                )
            })?,
        };
        let rpc: Arc<dyn Rpc> = Arc::new(network.rpc()?);
        let (chain_id, _) = chain::head(&*rpc).await.map_err(|err| unreachable(&err))?;
        if chain_id != network.chain_id {
            let expected = network.chain_id;
            return Err(Failure::usage(
                "chain.mismatch",
                format!("the endpoint speaks for chain {chain_id}, not {expected}"),
            )
            .hint("name the right network file"));
        }
        Ok(Self { network, rpc })
    }

    /// Who signs changes: the administrator that a local network of this home drew for itself, otherwise the
    /// wallet.
    pub(crate) fn administrator(&self, context: &Context) -> Result<Arc<dyn Signer>, Failure> {
        if self.network.evidence == "dev"
            && let Some(wallet) = local_administrator(&context.home()?, &self.network)
        {
            return Ok(Arc::new(wallet));
        }
        keys::open(context, self.network.chain_id, Purpose::Administration).map(|key| key.signer)
    }

    /// Sends a call to the registry and waits until a block has it.
    ///
    /// # Errors
    ///
    /// `registry.refused` with what the contract says, before anything is sent; `registry.*`, `chain.*`.
    pub(crate) async fn change(
        &self,
        signer: &Arc<dyn Signer>,
        input: Vec<u8>,
        max_fee: &str,
    ) -> Result<Included, Failure> {
        let (from, to) = (signer.address(), self.network.registry);
        let max_fee_per_gas = wei(max_fee)?;
        let ceiling = FeeCeiling {
            max_fee_per_gas,
            max_priority_fee_per_gas: max_fee_per_gas,
        };
        // 1. What it costs; a call that the contract refuses costs nothing.
        let (gas_limit, fees) = self.cost(from, to, &input, &ceiling).await?;
        let account = chain::account(&*self.rpc, self.network.token, from).await;
        let account = account.map_err(|err| unreachable(&err))?;
        if account.native < U256::from(gas_limit).saturating_mul(U256::from(fees.max_fee_per_gas)) {
            let message = format!("{from} holds too little of the native coin for {gas_limit} gas");
            return Err(Failure::new(Exit::No, "transaction.gas", message)
                .hint("send it some of the native coin"));
        }
        // 2. Signed where it may block, sent once.
        let transaction = Transaction {
            chain_id: self.network.chain_id,
            account_nonce: account.account_nonce,
            fees,
            gas_limit,
            to: Some(to),
            value: U256::ZERO,
            input: input.into(),
        };
        let signer = Arc::clone(signer);
        let signed = tokio::task::spawn_blocking(move || tx::sign(&*signer, &transaction)).await;
        let unsigned = |why: String| {
            Failure::new(Exit::No, "transaction.sign", why)
                .hint("nothing was sent: see to the signer, then run the command again")
        };
        let signed = signed
            .map_err(|_| unsigned("the signer stopped".to_owned()))?
            .map_err(|err| unsigned(causes(&err)))?;
        // 3. Whether it arrived is seen in the chain, where the answer is lost.
        let sent = self
            .rpc
            .batch(&[RpcCall::send_raw_transaction(&signed.raw)])
            .await;
        if let Ok(answers) = sent
            && let Some(Err(err)) = answers.into_iter().next()
            && !err.message.contains("already known")
        {
            let message = format!(
                "the chain's endpoint refused the transaction: {}",
                err.message
            );
            return Err(Failure::new(Exit::No, "transaction.refused", message)
                .hint("if another transaction of this account is waiting, let it end first"));
        }
        self.included(signed.hash).await
    }

    async fn cost(
        &self,
        from: Address,
        to: Address,
        input: &[u8],
        ceiling: &FeeCeiling,
    ) -> Result<(u64, Fees), Failure> {
        let call = json!({ "from": from, "to": to, "data": hex::encode_prefixed(input) });
        let calls = [
            RpcCall::new("eth_estimateGas", json!([call])),
            RpcCall::fee_history(),
        ];
        let answers = self.rpc.batch(&calls).await;
        let mut answers = answers.map_err(|err| unreachable(&err.into()))?.into_iter();
        let (Some(gas), Some(history)) = (answers.next(), answers.next()) else {
            return Err(unreadable());
        };
        let gas = gas.map_err(|err| match err.revert() {
            Some(data) => refused(from, &data),
            None => unreachable(&seamline_evm::Error::Call(err)),
        })?;
        let gas = number(Some(&gas)).ok_or_else(unreadable)?;
        let history = history.map_err(|err| unreachable(&seamline_evm::Error::Call(err)))?;
        // A quarter more: the state may change between the estimate and the block.
        let limit = gas.saturating_add(gas.div_ceil(4));
        if limit > MAX_GAS {
            let message = format!("the registry wants {gas} gas, more than any change needs");
            return Err(Failure::new(Exit::No, "transaction.gas", message)
                .hint("look at the contract at this address before you use it"));
        }
        let fees = Fees::from_history(&history, ceiling).map_err(|err| {
            Failure::new(Exit::No, "transaction.fees", causes(&err))
                .hint("wait until gas is cheaper, or allow more with --max-fee")
        })?;
        Ok((limit, fees))
    }

    async fn included(&self, hash: B256) -> Result<Included, Failure> {
        let started = Instant::now();
        loop {
            let answers = self.rpc.batch(&[RpcCall::transaction_receipt(hash)]).await;
            // An endpoint that does not answer now may answer soon: the transaction is out.
            if let Ok(answers) = answers
                && let Some(Ok(receipt)) = answers.into_iter().next()
                && !receipt.is_null()
            {
                if number(receipt.get("status")) != Some(1) {
                    let message = format!("the transaction {hash} was reverted");
                    return Err(Failure::new(Exit::No, "transaction.reverted", message)
                        .hint("something changed in between: look with `seamline registry list`"));
                }
                return Ok(Included {
                    transaction: hash,
                    block: number(receipt.get("blockNumber")).unwrap_or_default(),
                });
            }
            if started.elapsed() >= PATIENCE {
                let message = format!("the transaction {hash} is in no block yet");
                return Err(Failure::new(Exit::Unknown, "transaction.pending", message)
                    .hint("look for it before you repeat the command"));
            }
            tokio::time::sleep(TURN).await;
        }
    }
}

/// The key of the administrator of a local network, where this home keeps that network.
fn local_administrator(home: &Home, network: &NetworkFile) -> Option<Wallet> {
    let folder = if network.is_rehearsal() {
        home.opengradient()
    } else {
        home.localnet()
    };
    let secret = zeroize::Zeroizing::new(std::fs::read(folder.join("operator.key")).ok()?);
    Wallet::from_bytes(secret.as_slice().try_into().ok()?).ok()
}

/// Which of its rules the registry refuses by.
#[derive(Clone, Copy)]
enum Rule {
    Role,
    Measurement,
    Evidence,
    Entry,
    Other,
}

/// Says in words why the contract refuses.
fn refused(from: Address, data: &[u8]) -> Failure {
    use alloy_sol_types::SolError as _;
    use seamline_evm::bindings::IRegistry;
    use seamline_evm::registry::admin::IRegistryAdmin;
    let selector = data.get(..4).unwrap_or_default();
    let reasons: [([u8; 4], Rule, &str); 9] = [
        (
            IRegistryAdmin::AccessControlUnauthorizedAccount::SELECTOR,
            Rule::Role,
            "this account has not the role for it",
        ),
        (
            IRegistry::NotTEEOwner::SELECTOR,
            Rule::Role,
            "this account neither owns the node nor administers the registry",
        ),
        (
            IRegistry::PCRNotApproved::SELECTOR,
            Rule::Measurement,
            "this measurement is not approved",
        ),
        (
            IRegistry::PCRAlreadyExists::SELECTOR,
            Rule::Measurement,
            "this measurement is approved already",
        ),
        (
            IRegistryAdmin::PCRInvalid::SELECTOR,
            Rule::Measurement,
            "a measurement is not 48 bytes, or all zero as in debug mode",
        ),
        (
            IRegistry::AttestationInvalid::SELECTOR,
            Rule::Evidence,
            "the chain's own check refuses the evidence",
        ),
        (
            IRegistryAdmin::OHTTPConfigSignatureInvalid::SELECTOR,
            Rule::Evidence,
            "the Oblivious HTTP key is not signed by the enclave",
        ),
        (
            IRegistry::TEEAlreadyExists::SELECTOR,
            Rule::Entry,
            "the registry has this node already",
        ),
        (
            IRegistry::InvalidTEEType::SELECTOR,
            Rule::Entry,
            "the registry has no such type of nodes",
        ),
    ];
    let known = reasons.iter().find(|(known, ..)| known == selector);
    let (rule, why) = known.map_or_else(
        || (Rule::Other, format!("error 0x{}", hex::encode(selector))),
        |(_, rule, why)| (*rule, (*why).to_owned()),
    );
    let message = format!("the registry refuses {from}: {why}");
    let failure = match rule {
        Rule::Role => Failure::new(Exit::No, "registry.role", message),
        Rule::Measurement => Failure::new(Exit::No, "registry.measurement", message),
        Rule::Evidence => Failure::new(Exit::No, "registry.evidence", message),
        Rule::Entry => Failure::new(Exit::No, "registry.entry", message),
        Rule::Other => Failure::new(Exit::No, "registry.refused", message),
    };
    failure.hint("nothing was sent")
}

/// Reads a quantity.
fn number(value: Option<&Value>) -> Option<u64> {
    u64::from_str_radix(value?.as_str()?.strip_prefix("0x")?, 16).ok()
}

pub(crate) fn unreachable(err: &seamline_evm::Error) -> Failure {
    Failure::new(Exit::Unknown, "chain.unreachable", causes(err))
        .hint("is the network up? `seamline up` runs one")
}

fn unreadable() -> Failure {
    unreachable(&seamline_evm::Error::Answer("an answer of the chain"))
}
