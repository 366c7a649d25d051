//! After 10: what is said about the answer's record on a chain, and what the chain says of it.

use seamline_core::NodeId;
use seamline_core::receipt::{Asserted, RecordMode, RecordSeen, RecordStage};
use seamline_evm::registry::NodeRecord;
use seamline_evm::settlement::{SettlementType, SignedInference, Witnessed, witness};

use super::attest::Enclave;
use super::execute::Response;
use super::verify::Proof;
use super::{Call, word};
use crate::dialect::{Dialect, Said};
use crate::error::{ClaimFault, ErrorKind};
use crate::records::{at_stage, place};

impl Call<'_> {
    /// Writes down what the node says beside its signature. A transaction that it names is read from the
    /// chain, where it is there already and the contract is known: one call, and only then.
    pub(super) async fn note_claims(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        response: &Response,
    ) -> Result<(), ErrorKind> {
        let node = record.node;
        if response.usage.is_some() && enclave.dialect == Dialect::OpenGradient {
            self.assert(node, "usage", "request");
        }
        let mode = mode_of(self.client.config.options.settlement);
        match (&response.proof, response.published.said()) {
            (Some(proof), Some(said)) => self.note_record(node, mode, proof, said).await,
            (_, None) if mode != RecordMode::Private => {
                self.event(at_stage(RecordStage::Asked, mode, "caller"));
                Ok(())
            }
            (None, Some(_)) | (_, None) => Ok(()),
        }
    }

    async fn note_record(
        &mut self,
        node: NodeId,
        mode: RecordMode,
        proof: &Proof,
        said: Said,
    ) -> Result<(), ErrorKind> {
        self.assert(node, "record", "proof");
        let stage = if said.failed {
            RecordStage::Failed
        } else {
            RecordStage::Named
        };
        let named = RecordSeen {
            transaction: said.transaction,
            blob: said.blob.as_deref().map(word),
            job: said.job.as_deref().map(word),
            ..at_stage(stage, mode, said.via)
        };
        // What was to stay private names nothing, or it was refused by now.
        if mode == RecordMode::Private {
            return Ok(());
        }
        self.event(named.clone());
        let options = &self.client.config.options;
        let (Some(transaction), Some(contract)) = (said.transaction, options.settlement_contract)
        else {
            return Ok(());
        };
        let inference = SignedInference {
            node: proof.node,
            input_hash: proof.request_hash,
            output_hash: proof.output_hash,
            signature: proof.signature.clone().into(),
            timestamp: proof.timestamp_s,
        };
        let network = &self.client.config.network;
        let read = witness(&*network.rpc, contract, transaction, &inference).await;
        let seen = match read {
            // It may come yet: `Client::recover` looks again.
            Err(_) | Ok(Witnessed::Absent) => return Ok(()),
            Ok(said) => place(&named, network.chain_id, contract, said),
        };
        let missing = seen.stage == RecordStage::Missing;
        self.event(seen);
        if let Some(named) = &mut self.leg.record.named_record {
            named.known = true;
        }
        if missing {
            let fault = ClaimFault::Other;
            return Err(ErrorKind::Claim { node, fault });
        }
        Ok(())
    }

    fn assert(&mut self, node: NodeId, fact: &str, against: &str) {
        let (fact, against) = (word(fact), word(against));
        self.event(Asserted {
            node,
            fact,
            against,
        });
    }
}

const fn mode_of(asked: SettlementType) -> RecordMode {
    match asked {
        SettlementType::Private => RecordMode::Private,
        SettlementType::Batch => RecordMode::Batch,
        SettlementType::Individual => RecordMode::Individual,
    }
}
