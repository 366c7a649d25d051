//! The contracts of `contracts/`, executed on the embedded chain.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "helpers of tests: a panic is how they fail"
)]

mod abi;
mod channels;
mod multicall;
mod permit2;
mod proxies;
mod registry;
mod rules;
mod settlement;
mod token;
mod wallets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address};
use alloy_sol_types::{SolCall, SolValue as _, sol};
use seamline_attest::TrustRoots;
use seamline_core::Timestamp;
use seamline_evm::bindings::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use seamline_evm::rpc::At;
use seamline_evm::typed::TokenDomain;
use seamline_evm::{Rpc as _, RpcCall, RpcError, Wallet};
use seamline_localnet::authority::{DevAuthority, NoHardware};
use seamline_localnet::chain::{Artifact, CHAIN_ID, Chain, ChainConfig, Genesis, Mining, Sent};
use seamline_localnet::contracts::{
    BATCH_SETTLEMENT, ERC3009_COLLECTOR, MULTICALL3, PERMIT2_COLLECTOR,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

sol! {
    /// The writes of the token that `seamline_evm::bindings` does not need.
    interface Token {
        error ERC20InvalidReceiver(address receiver);
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC2612ExpiredSignature(uint256 deadline);
        error ERC2612InvalidSigner(address signer, address owner);
        error ERC3009InvalidSignature();
        error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore);
        error ERC3009UsedAuthorization(address authorizer, bytes32 nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function version() external view returns (string);
        function totalSupply() external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function permit(
            address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s
        ) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
    }

    /// The two forms of ERC-3009's transfer share a name, so each has an interface.
    interface WithBytes {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            bytes signature
        ) external;
        function receiveWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            bytes signature
        ) external;
    }

    interface WithParts {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
    }
}

pub(crate) const TOKEN: Address = address!("00000000000000000000000000000000000010a1");
pub(crate) const REGISTRY: Address = address!("00000000000000000000000000000000000010a2");
pub(crate) const SETTLEMENT: Address = address!("00000000000000000000000000000000000010a3");
/// Answers every call with ERC-1271's magic value.
pub(crate) const CONSENTING: Address = address!("00000000000000000000000000000000000010b1");
/// Answers every call with zero.
pub(crate) const REFUSING: Address = address!("00000000000000000000000000000000000010b2");
/// Nobody holds its key.
pub(crate) const PAYEE: Address = address!("00000000000000000000000000000000000010c1");

pub(crate) const SUPPLY: u128 = 1_000_000;

const START_MS: u64 = 1_795_000_000_000;

/// A chain with every contract in place.
pub(crate) struct World {
    chain: Chain,
    runtime: Runtime,
    now: Arc<AtomicU64>,
    pub(crate) authority: Arc<DevAuthority>,
    /// Admin of registry and settlement, the relay's and the operator's role go to others.
    pub(crate) admin: Wallet,
    /// Holds the whole supply of the token.
    pub(crate) payer: Wallet,
    pub(crate) facilitator: Wallet,
    pub(crate) stranger: Wallet,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|genesis| genesis)
    }

    /// A world with more in its genesis.
    pub(crate) fn with(extend: impl FnOnce(Genesis) -> Genesis) -> Self {
        Self::on(CHAIN_ID, extend)
    }

    /// A world with another chain id, for vectors of other chains.
    pub(crate) fn on(chain_id: u64, extend: impl FnOnce(Genesis) -> Genesis) -> Self {
        let [admin, payer, facilitator, stranger] =
            [1_u8, 2, 3, 4].map(|byte| Wallet::from_bytes(&[byte; 32]).unwrap());
        let start = Timestamp::from_millis(START_MS);
        let mut genesis = Genesis::new(start);
        for wallet in [&admin, &payer, &facilitator, &stranger] {
            genesis = genesis.fund(wallet.address(), U256::from(10).pow(U256::from(20)));
        }
        let supply = (payer.address(), U256::from(SUPPLY)).abi_encode();
        let genesis = genesis
            .place(PERMIT2, artifact("Permit2").deployed_bytecode)
            .place(
                UPTO_PROXY,
                artifact("X402UptoPermit2Proxy").deployed_bytecode,
            )
            .place(
                EXACT_PROXY,
                artifact("X402ExactPermit2Proxy").deployed_bytecode,
            )
            .place(
                BATCH_SETTLEMENT,
                artifact("X402BatchSettlement").deployed_bytecode,
            )
            .place(
                ERC3009_COLLECTOR,
                artifact("ERC3009DepositCollector").deployed_bytecode,
            )
            .place(
                PERMIT2_COLLECTOR,
                artifact("Permit2DepositCollector").deployed_bytecode,
            )
            .place(MULTICALL3, artifact("Multicall3").deployed_bytecode)
            .place(CONSENTING, answering(0x1626_ba7e))
            .place(REFUSING, answering(0))
            .construct(TOKEN, artifact("OPGToken").with_arguments(&supply))
            .construct(
                REGISTRY,
                artifact("TEERegistry").with_arguments(&admin.address().abi_encode()),
            )
            .construct(
                SETTLEMENT,
                artifact("InferenceSettlement")
                    .with_arguments(&(admin.address(), REGISTRY).abi_encode()),
            );
        let no_hardware = NoHardware::probe(|_| false).unwrap();
        let authority = DevAuthority::generate(&no_hardware, start).unwrap();
        let now = Arc::new(AtomicU64::new(START_MS));
        let clock = Arc::clone(&now);
        let chain = Chain::open(ChainConfig {
            path: None,
            chain_id,
            genesis: extend(genesis),
            mining: Mining::Instant,
            roots: TrustRoots::none()
                .danger_accept_dev(authority.root_der())
                .unwrap(),
            clock: Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst))),
            dev_methods: true,
            only_from: None,
            models: None,
        })
        .unwrap();
        Self {
            chain,
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
            now,
            authority: Arc::new(authority),
            admin,
            payer,
            facilitator,
            stranger,
        }
    }

    /// The time, in seconds.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst) / 1000
    }

    /// A clock that shares this world's time.
    pub(crate) fn clock(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let now = Arc::clone(&self.now);
        Arc::new(move || Timestamp::from_millis(now.load(Ordering::SeqCst)))
    }

    /// Lets time pass, and makes a block so that calls see it.
    pub(crate) fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap();
        self.now.fetch_add(millis, Ordering::SeqCst);
        self.rpc(RpcCall::new("evm_mine", json!([]))).unwrap();
    }

    /// The result of a view.
    pub(crate) fn read<C: SolCall>(&self, to: Address, call: &C) -> C::Return {
        let answer = self.try_call(Address::ZERO, to, &call.abi_encode());
        C::abi_decode_returns_validate(&answer.expect("the view reverted")).unwrap()
    }

    /// Sends a transaction that must succeed.
    pub(crate) fn send<C: SolCall>(&self, from: &Wallet, to: Address, call: &C) -> Sent {
        let sent = self
            .chain
            .transact(from, Some(to), U256::ZERO, call.abi_encode().into());
        sent.unwrap_or_else(|err| panic!("{}: {err}", C::SIGNATURE))
    }

    /// Sends a transaction with this gas limit; returns whether it succeeded, and the gas that it used.
    pub(crate) fn spend<C: SolCall>(
        &self,
        from: &Wallet,
        to: Address,
        call: &C,
        gas: u64,
    ) -> (bool, u64) {
        let count = json!([from.address().to_string(), "latest"]);
        let count = self
            .rpc(RpcCall::new("eth_getTransactionCount", count))
            .unwrap();
        let transaction = TxEip1559 {
            chain_id: self.chain.chain_id(),
            nonce: quantity(&count),
            gas_limit: gas,
            max_fee_per_gas: 10_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(to),
            input: call.abi_encode().into(),
            ..TxEip1559::default()
        };
        let signature = from.sign_hash(&transaction.signature_hash());
        let signature = Signature::from_raw(signature.as_bytes()).unwrap();
        let hash = self
            .chain
            .send_raw(&transaction.into_signed(signature).encoded_2718())
            .unwrap();
        let receipt = self.rpc(RpcCall::new("eth_getTransactionReceipt", json!([hash])));
        let receipt = receipt.unwrap();
        (receipt["status"] == "0x1", quantity(&receipt["gasUsed"]))
    }

    /// Tokens of an account, base units.
    pub(crate) fn balance(&self, owner: Address) -> U256 {
        self.read(
            TOKEN,
            &seamline_evm::bindings::IToken::balanceOfCall { owner },
        )
    }

    /// What a call that must fail reverts with.
    pub(crate) fn refusal<C: SolCall>(&self, from: &Wallet, to: Address, call: &C) -> Bytes {
        self.try_call(from.address(), to, &call.abi_encode())
            .expect_err("the call succeeded")
    }

    /// Tries a call that must succeed, and leaves no trace.
    pub(crate) fn accepts<C: SolCall>(&self, from: &Wallet, to: Address, call: &C) {
        let answer = self.try_call(from.address(), to, &call.abi_encode());
        assert!(answer.is_ok(), "{}: {answer:?}", C::SIGNATURE);
    }

    /// One slot of a contract's storage.
    pub(crate) fn storage(&self, address: Address, slot: u64) -> B256 {
        let value = self.rpc(RpcCall::new(
            "eth_getStorageAt",
            json!([address.to_string(), format!("{slot:#x}"), "latest"]),
        ));
        value.unwrap().as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn domain(&self) -> TokenDomain {
        TokenDomain {
            name: "OpenGradient".to_owned(),
            version: "1".to_owned(),
            chain_id: CHAIN_ID,
            token: TOKEN,
        }
    }

    fn try_call(&self, from: Address, to: Address, input: &[u8]) -> Result<Bytes, Bytes> {
        let call = RpcCall::call_from(from, to, input, 20_000_000, At::Latest);
        match self.rpc(call) {
            Ok(value) => Ok(hex::decode(value.as_str().unwrap()).unwrap().into()),
            Err(err) => Err(err
                .revert()
                .unwrap_or_else(|| panic!("not a revert: {err}"))),
        }
    }

    fn rpc(&self, call: RpcCall) -> Result<Value, RpcError> {
        let calls = [call];
        let answers = self.runtime.block_on(self.chain.batch(&calls)).unwrap();
        answers.into_iter().next().unwrap()
    }
}

fn quantity(value: &Value) -> u64 {
    let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
    u64::from_str_radix(digits, 16).unwrap()
}

pub(crate) fn artifact(name: &str) -> Artifact {
    Artifact::parse(&artifact_json(name)).unwrap()
}

pub(crate) fn artifact_json(name: &str) -> String {
    let path = format!(
        "{}/../../contracts/artifacts/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

pub(crate) fn vector(name: &str) -> Value {
    let path = format!(
        "{}/../../spec/vectors/settlement/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The topics of `event` in `sent`'s logs of `address`.
pub(crate) fn has_event(sent: &Sent, address: Address, topic: B256) -> bool {
    sent.logs
        .iter()
        .any(|log| log.address == address && log.topics().first() == Some(&topic))
}

/// Runtime code that answers every call with four bytes and 28 zeros.
fn answering(word: u32) -> Bytes {
    // PUSH4 word, PUSH1 224, SHL, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN
    let word = word.to_be_bytes();
    let tail = [
        0x60, 0xe0, 0x1b, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3,
    ];
    [[0x63].as_slice(), &word, &tail].concat().into()
}
