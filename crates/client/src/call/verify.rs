//! 10. verify: the enclave's signature over the bytes that were sent and received.

use core::time::Duration;

use seamline_core::canonical::{message_hash, output_hash};
use seamline_core::receipt::{self as event, EvidenceType};
use seamline_core::{B256, NodeId, Timestamp, keccak256};
use seamline_evm::registry::NodeRecord;
use seamline_evm::settlement::SettlementType;

use super::Call;
use super::attest::Enclave;
use super::execute::Response;
use crate::dialect::{Dialect, Proven, Usage};
use crate::error::{ClaimFault, ErrorKind, SignatureFault};
use crate::journal::NamedRecord;
use crate::step::Step;

/// How far a signed timestamp may be from ours: enclaves and callers keep time by NTP.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// The proof that an enclave attaches to an answer, as it says it.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) signature: Vec<u8>,
    pub(super) request_hash: B256,
    pub(super) output_hash: B256,
    pub(super) timestamp_s: u64,
    pub(super) node: NodeId,
}

impl Call<'_> {
    /// Recomputes both hashes from the bytes on this side, and checks the signature under the
    /// attested key. What the node says about the hashes is only compared.
    pub(super) fn verify(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        response: &Response,
    ) -> Result<(), ErrorKind> {
        self.begin(Step::Verify, &format!("node {}", record.node.short()));
        let node = record.node;
        let fail = |fault| ErrorKind::Signature { node, fault };
        let proof = response
            .proof
            .as_ref()
            .ok_or_else(|| fail(SignatureFault::Missing))?;
        let input_hash = self.input_hash;
        let output_hash = output_hash(&response.preimage());
        let message = message_hash(input_hash, output_hash, proof.timestamp_s);
        let signed = enclave.key.verify(&message, &proof.signature).is_ok();
        let outcome = self.judge(proof, node, input_hash, output_hash, signed);

        let signing_key = self.attach(EvidenceType::SigningKey, enclave.key.spki_der().to_vec());
        self.event(event::SignatureChecked {
            node,
            input_hash,
            output_hash,
            timestamp_s: proof.timestamp_s,
            signature: proof.signature.clone(),
            signing_key,
            ok: outcome.is_ok(),
            after_use_bytes: response.used_bytes,
        });
        self.clock("signature", Timestamp::from_secs(proof.timestamp_s));
        outcome.map_err(fail)?;
        self.claims(enclave, node, proof, response)?;
        self.done();
        Ok(())
    }

    /// Holds what nobody signed against what is proven: the answer is this call's own, and what is said
    /// about its tokens and its way onto the chain can be true.
    fn claims(
        &mut self,
        enclave: &Enclave,
        node: NodeId,
        proof: &Proof,
        response: &Response,
    ) -> Result<(), ErrorKind> {
        // Every signature has a salt of its own, so the same one is the same answer.
        let (seq, journal) = (self.leg.record.seq, &self.client.books.journal);
        let mark = keccak256(&proof.signature);
        if !journal.claim_answer(seq, mark) {
            let fault = SignatureFault::Replayed;
            return Err(ErrorKind::Signature { node, fault });
        }
        // Written with the settlement, which comes next.
        self.leg.record.answer = Some(mark);
        let fail = |fault| ErrorKind::Claim { node, fault };
        let proven = Proven {
            node: proof.node,
            request_hash: proof.request_hash,
            output_hash: proof.output_hash,
            timestamp_s: proof.timestamp_s,
            signature: &proof.signature,
        };
        let asked = self.client.config.options.settlement;
        response.published.check(&proven, asked).map_err(fail)?;
        let named = response.published.said().and_then(|it| it.transaction);
        if named.is_some_and(|named| !journal.claim_answer(seq, named)) {
            return Err(fail(ClaimFault::Other));
        }
        let individual = asked == SettlementType::Individual;
        self.leg.record.named_record = individual.then(|| NamedRecord::new(named, self.from_block));
        let possible = |usage: &Usage| usage.is_possible(self.body.len(), self.ask.max_tokens());
        if enclave.dialect == Dialect::OpenGradient && !response.usage.as_ref().is_none_or(possible)
        {
            return Err(fail(ClaimFault::Usage));
        }
        Ok(())
    }

    fn judge(
        &self,
        proof: &Proof,
        node: NodeId,
        input_hash: B256,
        output_hash: B256,
        signed: bool,
    ) -> Result<(), SignatureFault> {
        let theirs = Timestamp::from_secs(proof.timestamp_s);
        let now = self.now();
        let skew = now
            .saturating_since(theirs)
            .max(theirs.saturating_since(now));
        if proof.node != node {
            Err(SignatureFault::Node)
        } else if proof.request_hash != input_hash {
            Err(SignatureFault::Request)
        } else if proof.output_hash != output_hash {
            Err(SignatureFault::Output)
        } else if skew > MAX_SKEW {
            Err(SignatureFault::Time)
        } else if !signed {
            Err(SignatureFault::Key)
        } else {
            Ok(())
        }
    }

    /// Records another party's clock against ours.
    pub(super) fn clock(&mut self, source: &str, theirs: Timestamp) {
        let ours = self.now().as_millis();
        let ahead = i64::try_from(theirs.as_millis().saturating_sub(ours)).unwrap_or(i64::MAX);
        let behind = i64::try_from(ours.saturating_sub(theirs.as_millis())).unwrap_or(i64::MAX);
        let skew_ms = ahead.saturating_sub(behind);
        self.event(event::ClockRead {
            source: super::word(source),
            skew_ms,
        });
    }
}
