//! The transactions that turn a fresh chain into a network: types, roots, measurements, nodes, money.
//!
//! Each is done only where the chain does not have it yet, so a network that is started again pays for
//! nothing twice.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolCall;
use seamline_core::{Amount, NodeId};
use seamline_enclave::{Heartbeat, OhttpRegistration};
use seamline_evm::bindings::{IRegistry, IToken, PCRMeasurements, PERMIT2, TEEInfo};
use seamline_evm::registry::admin::IRegistryAdmin;
use seamline_evm::{RpcCall, Wallet, chain::Account, rpc::At};

use crate::Error;
use crate::attester::DevMeasurement;
use crate::authority::DevAuthority;
use crate::chain::Chain;
use crate::layout::Layout;

/// Registry type of nodes that serve language models.
pub(crate) const TEE_TYPE: u8 = 0;

/// The administrator's hands.
pub(crate) struct Operator<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) wallet: &'a Wallet,
    pub(crate) layout: Layout,
}

/// What a node says about itself when it registers.
pub(crate) struct Registration<'a> {
    pub(crate) document: Vec<u8>,
    pub(crate) signing_key: &'a [u8],
    pub(crate) tls_certificate: &'a [u8],
    pub(crate) pay_to: Address,
    pub(crate) endpoint: String,
    pub(crate) ohttp: OhttpRegistration,
}

impl Operator<'_> {
    /// The registry knows the type of our nodes, its operator and the root of their evidence.
    pub(crate) fn prepare_registry(&self, authority: &DevAuthority) -> Result<(), Error> {
        if !self.ask(&IRegistry::isValidTEETypeCall { typeId: TEE_TYPE })? {
            let name = "LLM".to_owned();
            self.registry(
                "add the node type",
                &IRegistry::addTEETypeCall {
                    typeId: TEE_TYPE,
                    name,
                },
            )?;
        }
        let role = keccak256("TEE_OPERATOR");
        let account = self.wallet.address();
        if !self.ask(&IRegistry::hasRoleCall { role, account })? {
            self.registry(
                "grant the operator role",
                &IRegistry::grantRoleCall { role, account },
            )?;
        }
        let root = Bytes::from(authority.root_pem().into_bytes());
        if self.ask(&IRegistry::awsRootCertificateCall {})? != root {
            let call = IRegistry::setAWSRootCertificateCall { certificate: root };
            self.registry("set the root of evidence", &call)?;
        }
        Ok(())
    }

    /// The settlement contract takes records of answers from `account`.
    pub(crate) fn allow_settling(&self, account: Address) -> Result<(), Error> {
        let role = keccak256("SETTLEMENT_RELAY_ROLE");
        // Both contracts keep their roles behind the same functions.
        if !self.ask_at(
            self.layout.settlement,
            &IRegistry::hasRoleCall { role, account },
        )? {
            let call = IRegistry::grantRoleCall { role, account };
            self.send(
                "grant the settlement role",
                self.wallet,
                self.layout.settlement,
                U256::ZERO,
                call.abi_encode(),
            )?;
        }
        Ok(())
    }

    /// The registry accepts this measurement.
    pub(crate) fn approve(&self, measurement: &DevMeasurement) -> Result<(), Error> {
        let hash = measurement.pcr_hash();
        if self.ask(&IRegistry::isPCRApprovedCall {
            teeType: TEE_TYPE,
            pcrHash: hash,
        })? {
            return Ok(());
        }
        let [pcr0, pcr1, pcr2] = measurement.pcrs().map(|pcr| Bytes::from(pcr.to_vec()));
        let call = IRegistry::approvePCRCall {
            pcrs: PCRMeasurements { pcr0, pcr1, pcr2 },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            teeType: TEE_TYPE,
        };
        self.registry("approve a measurement", &call)
    }

    /// What the registry holds of a node, if it knows it.
    pub(crate) fn record(&self, node: NodeId) -> Result<Option<TEEInfo>, Error> {
        let tee_id = *node.as_b256();
        // `getTEE` reverts for a node that it does not know.
        let owner = self.wallet.address();
        let known = self.ask(&IRegistry::getTEEsByOwnerCall { owner })?;
        if !known.contains(&tee_id) {
            return Ok(None);
        }
        self.ask(&IRegistry::getTEECall { teeId: tee_id }).map(Some)
    }

    /// Re-admits a disabled node: the registry registers no id twice.
    pub(crate) fn enable(&self, node: NodeId) -> Result<(), Error> {
        self.registry(
            "enable a node",
            &IRegistry::enableTEECall {
                teeId: *node.as_b256(),
            },
        )
    }

    /// Registers a node; the chain itself checks its evidence.
    pub(crate) fn register(&self, registration: Registration<'_>) -> Result<(), Error> {
        let Registration {
            document,
            signing_key,
            tls_certificate,
            pay_to,
            endpoint,
            ohttp,
        } = registration;
        let call = IRegistryAdmin::registerTEEWithAttestationAndOHTTPConfigCall {
            attestationDocument: document.into(),
            signingPublicKey: Bytes::copy_from_slice(signing_key),
            tlsCertificate: Bytes::copy_from_slice(tls_certificate),
            paymentAddress: pay_to,
            endpoint,
            teeType: TEE_TYPE,
            keyId: ohttp.config.key_id,
            kemId: ohttp.config.kem_id,
            kdfId: ohttp.config.kdf_id,
            aeadId: ohttp.config.aead_id,
            ohttpPublicKey: ohttp.config.public_key.to_vec().into(),
            ohttpKeyConfig: ohttp.key_config.into(),
            ohttpConfigSignature: ohttp.signature.into(),
        };
        self.registry("register a node", &call)
    }

    /// Publishes a node's Oblivious HTTP key, where the registry has another or none.
    pub(crate) fn publish_ohttp(&self, ohttp: OhttpRegistration) -> Result<(), Error> {
        let tee_id = *ohttp.tee_id.as_b256();
        let has = self.ask(&IRegistryAdmin::getTEEWithOHTTPConfigCall { teeId: tee_id })?;
        if has.ohttpConfig.keyConfig[..] == ohttp.key_config[..] {
            return Ok(());
        }
        let call = IRegistryAdmin::setOHTTPConfigCall {
            teeId: tee_id,
            keyId: ohttp.config.key_id,
            kemId: ohttp.config.kem_id,
            kdfId: ohttp.config.kdf_id,
            aeadId: ohttp.config.aead_id,
            publicKey: ohttp.config.public_key.to_vec().into(),
            keyConfig: ohttp.key_config.into(),
            signature: ohttp.signature.into(),
        };
        self.registry("publish an Oblivious HTTP key", &call)
    }

    pub(crate) fn disable(&self, node: NodeId) -> Result<(), Error> {
        self.registry(
            "disable a node",
            &IRegistry::disableTEECall {
                teeId: *node.as_b256(),
            },
        )
    }

    /// Takes back the approval of a measurement: its nodes are disabled with it.
    pub(crate) fn revoke(&self, measurement: B256) -> Result<(), Error> {
        self.registry(
            "revoke a measurement",
            &IRegistry::revokePCRCall {
                pcrHash: measurement,
                teeType: TEE_TYPE,
            },
        )
    }

    /// Sends a node's heartbeat; returns the transaction.
    pub(crate) fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<B256, Error> {
        let call = IRegistry::heartbeatCall {
            teeId: *heartbeat.tee_id.as_b256(),
            timestamp: U256::from(heartbeat.timestamp),
            signature: heartbeat.signature.clone().into(),
        };
        self.deliver_heartbeat(call.abi_encode())
    }

    /// Sends the call of a heartbeat; returns the transaction.
    pub(crate) fn deliver_heartbeat(&self, call: Vec<u8>) -> Result<B256, Error> {
        self.send(
            "send a heartbeat",
            self.wallet,
            self.layout.registry,
            U256::ZERO,
            call,
        )
    }

    /// Gives `account` tokens and gas, up to `tokens` and `gas`.
    pub(crate) fn fund(
        &self,
        account: Address,
        holds: &Account,
        tokens: Amount,
        gas: U256,
    ) -> Result<(), Error> {
        if holds.native < gas {
            self.send("send gas money", self.wallet, account, gas, Vec::new())?;
        }
        if holds.tokens < U256::from(tokens.get()) {
            let value = U256::from(tokens.get()).saturating_sub(holds.tokens);
            let call = IToken::transferCall { to: account, value };
            self.send(
                "send tokens",
                self.wallet,
                self.layout.token,
                U256::ZERO,
                call.abi_encode(),
            )?;
        }
        Ok(())
    }

    /// Lets Permit2 move at most `amount` of the payer's tokens. Never unlimited.
    pub(crate) fn approve_permit2(&self, payer: &Wallet, amount: Amount) -> Result<(), Error> {
        let call = IToken::approveCall {
            spender: PERMIT2,
            value: amount.into(),
        };
        self.send(
            "approve Permit2",
            payer,
            self.layout.token,
            U256::ZERO,
            call.abi_encode(),
        )?;
        Ok(())
    }

    fn registry(&self, what: &'static str, call: &impl SolCall) -> Result<(), Error> {
        let to = self.layout.registry;
        self.send(what, self.wallet, to, U256::ZERO, call.abi_encode())?;
        Ok(())
    }

    fn send(
        &self,
        what: &'static str,
        from: &Wallet,
        to: Address,
        value: U256,
        input: Vec<u8>,
    ) -> Result<B256, Error> {
        let sent = self
            .chain
            .transact(from, Some(to), value, input.into())
            .map_err(|source| Error::Setup { what, source })?;
        Ok(sent.hash)
    }

    /// Reads one value of the registry.
    fn ask<C: SolCall>(&self, call: &C) -> Result<C::Return, Error> {
        self.ask_at(self.layout.registry, call)
    }

    fn ask_at<C: SolCall>(&self, contract: Address, call: &C) -> Result<C::Return, Error> {
        let call = RpcCall::call(contract, &call.abi_encode(), At::Latest);
        let unreadable = || Error::Read(seamline_evm::Error::Answer("a contract's answer"));
        let value = self
            .chain
            .handle(&call.method, &call.params)
            .map_err(|_| unreadable())?;
        let bytes = hex::decode(value.as_str().unwrap_or_default()).map_err(|_| unreadable())?;
        C::abi_decode_returns(&bytes).map_err(|_| unreadable())
    }
}
