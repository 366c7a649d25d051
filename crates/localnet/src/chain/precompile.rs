//! OpenGradient's precompiles, the attestation verifier at [`VERIFIER`] and the models at [`MODELS`], next to Ethereum's own.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, Log};
use alloy_sol_types::{SolCall as _, sol};
use revm::context::{Block as _, Cfg, ContextTr, JournalTr as _};
use revm::handler::precompile_output_to_interpreter_result;
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::precompile::{PrecompileHalt, PrecompileOutput};
use revm::primitives::AddressSet;
use revm::primitives::hardfork::SpecId;
use seamline_attest::TrustRoots;
use seamline_attest::precompile::{
    VERIFY_ATTESTATION_GAS, VERIFY_RSA_PSS_GAS, verify_attestation, verify_rsa_pss,
};
use seamline_core::Timestamp;

use super::models::{Models, Refusal, revert};
use super::{MODELS, VERIFIER};

sol! {
    /// Checks evidence at the block's time.
    function verifyAttestation(
        bytes attestationDocument, bytes signingPublicKey, bytes tlsCertificate, bytes rootCertificate
    ) external view returns (bool valid, bytes32 pcrHash);

    /// Checks an RSA-PSS-SHA256 signature over SHA-256 of `messageHash`.
    function verifyRSAPSS(bytes publicKeyDER, bytes32 messageHash, bytes signature)
        external view returns (bool valid);
}

/// Ethereum's precompiles, the verifier and the models.
pub(super) struct Precompiles {
    ethereum: EthPrecompiles,
    addresses: AddressSet,
    roots: Arc<TrustRoots>,
    models: Option<Arc<Models>>,
}

impl Precompiles {
    pub(super) fn new(spec: SpecId, roots: Arc<TrustRoots>, models: Option<Arc<Models>>) -> Self {
        let ethereum = EthPrecompiles::new(spec);
        let addresses = with_ours(&ethereum);
        Self {
            ethereum,
            addresses,
            roots,
            models,
        }
    }
}

impl<C> PrecompileProvider<C> for Precompiles
where
    C: ContextTr<Cfg: Cfg<Spec = SpecId>>,
{
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        let changed = <EthPrecompiles as PrecompileProvider<C>>::set_spec(&mut self.ethereum, spec);
        if changed {
            self.addresses = with_ours(&self.ethereum);
        }
        changed
    }

    fn run(
        &mut self,
        context: &mut C,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        if inputs.bytecode_address == MODELS {
            let output = self.infer(context, inputs);
            return Ok(Some(precompile_output_to_interpreter_result(
                output,
                inputs.gas_limit,
            )));
        }
        if inputs.bytecode_address != VERIFIER {
            return self.ethereum.run(context, inputs);
        }
        let time = Timestamp::from_secs(context.block().timestamp().saturating_to());
        let input = inputs.input.bytes(context);
        let output = if inputs.transfers_value() {
            PrecompileOutput::revert(0, Bytes::new(), inputs.reservoir)
        } else {
            execute(&input, inputs, &self.roots, time)
        };
        Ok(Some(precompile_output_to_interpreter_result(
            output,
            inputs.gas_limit,
        )))
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.addresses
    }

    fn contains(&self, address: &Address) -> bool {
        self.addresses.contains(address)
    }
}

impl Precompiles {
    /// Runs a model for a contract, and writes down what it answered.
    fn infer<C: ContextTr>(&self, context: &mut C, inputs: &CallInputs) -> PrecompileOutput {
        let refuse = |reason: &str| PrecompileOutput::revert(0, revert(reason), inputs.reservoir);
        let Some(models) = &self.models else {
            return refuse("this chain runs no models: it was started without them");
        };
        // Its log would be the log of whoever delegates to it, and a static call may have none.
        if inputs.is_static || inputs.target_address != MODELS || inputs.transfers_value() {
            return refuse("models are run by a plain call without value");
        }
        let block = context.block().number().saturating_to();
        let input = inputs.input.bytes(context);
        match models.answer(&input, block, inputs.gas_limit) {
            Ok(answer) => {
                context.journal_mut().log(Log {
                    address: MODELS,
                    data: answer.log,
                });
                PrecompileOutput::new(answer.gas, answer.output, inputs.reservoir)
            }
            Err(Refusal::OutOfGas) => {
                PrecompileOutput::halt(PrecompileHalt::OutOfGas, inputs.reservoir)
            }
            Err(Refusal::Reason(reason)) => refuse(&reason),
        }
    }
}

/// Bad content is answered with `false`; only a call that is not one of the two functions reverts. The
/// price is taken before the work.
fn execute(
    input: &[u8],
    inputs: &CallInputs,
    roots: &TrustRoots,
    time: Timestamp,
) -> PrecompileOutput {
    let reservoir = inputs.reservoir;
    let selector = input.first_chunk::<4>().copied().unwrap_or_default();
    let price = match selector {
        verifyAttestationCall::SELECTOR => VERIFY_ATTESTATION_GAS,
        verifyRSAPSSCall::SELECTOR => VERIFY_RSA_PSS_GAS,
        _ => return PrecompileOutput::revert(0, Bytes::new(), reservoir),
    };
    if inputs.gas_limit < price {
        return PrecompileOutput::halt(PrecompileHalt::OutOfGas, reservoir);
    }
    let answer = if selector == verifyAttestationCall::SELECTOR {
        verifyAttestationCall::abi_decode_validate(input).map(|call| {
            let (valid, pcr_hash) = verify_attestation(
                &call.attestationDocument,
                &call.signingPublicKey,
                &call.tlsCertificate,
                &call.rootCertificate,
                roots,
                time,
            );
            verifyAttestationCall::abi_encode_returns(&verifyAttestationReturn {
                valid,
                pcrHash: pcr_hash,
            })
        })
    } else {
        verifyRSAPSSCall::abi_decode_validate(input).map(|call| {
            let valid = verify_rsa_pss(&call.publicKeyDER, &call.messageHash, &call.signature);
            verifyRSAPSSCall::abi_encode_returns(&valid)
        })
    };
    match answer {
        Ok(answer) => PrecompileOutput::new(price, answer.into(), reservoir),
        Err(_) => PrecompileOutput::revert(price, Bytes::new(), reservoir),
    }
}

fn with_ours(ethereum: &EthPrecompiles) -> AddressSet {
    let mut addresses = ethereum.warm_addresses().clone();
    addresses.insert(VERIFIER);
    addresses.insert(MODELS);
    addresses
}
