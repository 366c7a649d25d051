use alloy_primitives::Address;
use seamline_core::NodeId;

use super::*;
use crate::settlement::{Content, SignedInference};

const NOW: u64 = 1_763_596_800;

fn item(index: u8) -> SettlementData {
    SettlementData {
        inference: SignedInference {
            node: NodeId::new(B256::repeat_byte(1)),
            input_hash: B256::repeat_byte(index),
            output_hash: B256::ZERO,
            signature: vec![index; 256].into(),
            timestamp: NOW,
        },
        content: None,
        payment: Some(B256::repeat_byte(index)),
    }
}

fn batch() -> Job {
    Job::batch(vec![item(1), item(2)], NOW).unwrap()
}

fn individual() -> Job {
    let mut item = item(1);
    item.content = Some(Content {
        input: "{}".to_owned(),
        output: "{}".to_owned(),
        eth_address: Address::ZERO,
    });
    Job::individual(item, NOW)
}

const PENDING: Standing = Standing::Pending {
    transaction: B256::repeat_byte(5),
};

const fn mined(succeeded: bool, is_final: bool) -> Standing {
    Standing::Mined {
        transaction: B256::repeat_byte(5),
        block_number: 9,
        block_hash: B256::repeat_byte(6),
        succeeded,
        is_final,
    }
}

fn sent() -> Job {
    let mut job = batch();
    job.on_event(JobEvent::BlobStored("blob".to_owned()), NOW);
    job.on_event(JobEvent::Sender(PENDING), NOW);
    job
}

#[test]
fn a_job_goes_from_blob_to_transaction_to_block() {
    let mut job = batch();
    assert_eq!(job.next(NOW), Some(JobStep::StoreBlob));
    let steps = job.on_event(JobEvent::BlobStored("blob".to_owned()), NOW);
    assert_eq!(steps, [JobStep::Persist, JobStep::Send]);
    let steps = job.on_event(JobEvent::Sender(PENDING), NOW);
    assert_eq!(steps, [JobStep::Persist, JobStep::Watch]);
    // Nothing new is nothing to write.
    assert_eq!(
        job.on_event(JobEvent::Sender(PENDING), NOW),
        [JobStep::Watch]
    );
    let steps = job.on_event(JobEvent::Sender(mined(true, false)), NOW);
    assert_eq!(steps, [JobStep::Persist, JobStep::Watch]);
    let steps = job.on_event(JobEvent::Sender(mined(true, true)), NOW);
    assert_eq!(steps, [JobStep::Persist]);
    assert!(!job.is_open());
    assert_eq!(job.version, 4);
    // Over is over.
    assert!(
        job.on_event(JobEvent::Sender(Standing::Dropped), NOW)
            .is_empty()
    );
}

#[test]
fn every_stage_survives_being_written() {
    let mut job = sent();
    for step in 0..3 {
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{step}");
        job.on_event(JobEvent::Sender(mined(true, step == 1)), NOW);
    }
    for job in [batch(), individual()] {
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}

#[test]
fn a_block_that_goes_brings_the_transaction_back() {
    let mut job = sent();
    job.on_event(JobEvent::Sender(mined(true, false)), NOW);
    let steps = job.on_event(JobEvent::Sender(PENDING), NOW);
    assert_eq!(steps, [JobStep::Persist, JobStep::Watch]);
    assert!(matches!(job.stage, Stage::Sent { .. }));
}

#[test]
fn the_chain_is_asked_before_anything_is_sent_again() {
    for standing in [Standing::Dropped, mined(false, true)] {
        let mut job = sent();
        let key = job.key();
        let steps = job.on_event(JobEvent::Sender(standing), NOW);
        assert_eq!(steps, [JobStep::Look]);
        // Somebody else made the record.
        let mut found = job.clone();
        found.on_event(JobEvent::Looked(Some(mined(true, false))), NOW);
        assert!(matches!(found.stage, Stage::Settled { .. }));
        // Nobody did: another transaction, later.
        let steps = job.on_event(JobEvent::Looked(None), NOW);
        assert_eq!(steps, [JobStep::Persist, JobStep::Rest]);
        assert_ne!(job.key(), key);
        assert_eq!(job.next(job.rest_until_s), Some(JobStep::Send));
    }
    // A failure whose block may go is none yet.
    let mut job = sent();
    let steps = job.on_event(JobEvent::Sender(mined(false, false)), NOW);
    assert_eq!(steps, [JobStep::Watch]);
}

#[test]
fn pauses_grow_and_end() {
    let mut job = batch();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        job.on_event(JobEvent::Delayed, NOW);
        assert_eq!(job.next(NOW), Some(JobStep::Rest));
        pauses.push(job.rest_until_s - NOW);
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    job.on_event(JobEvent::BlobStored("blob".to_owned()), NOW);
    assert_eq!(job.next(NOW), Some(JobStep::Send));
    assert_eq!(job.failures, 0);
}

#[test]
fn only_an_individual_one_gets_too_old() {
    let late = NOW + INDIVIDUAL_MAX_AGE_S + 1;
    let mut job = individual();
    job.on_event(JobEvent::Delayed, late - 1);
    assert!(job.is_open());
    job.on_event(JobEvent::Delayed, late);
    let failure = Failure::TooOld;
    assert_eq!(job.stage, Stage::Failed { failure });
    let mut job = batch();
    job.on_event(JobEvent::Delayed, late);
    assert!(job.is_open());
}

#[test]
fn events_of_another_stage_change_nothing() {
    let cases = [
        (batch(), JobEvent::Sender(PENDING)),
        (batch(), JobEvent::Looked(None)),
        (sent(), JobEvent::BlobStored("other".to_owned())),
    ];
    for (mut job, event) in cases {
        let before = job.clone();
        let steps = job.on_event(event, NOW);
        assert_eq!(job, before);
        assert!(!steps.contains(&JobStep::Persist));
    }
}

#[test]
fn the_transaction_says_what_was_sealed() {
    let mut job = batch();
    assert_eq!(job.calldata(), None);
    job.on_event(JobEvent::BlobStored("blob".to_owned()), NOW);
    let call = ISettlement::batchSettleCall::abi_decode(&job.calldata().unwrap()).unwrap();
    assert_eq!(call.merkleRoot, job.tree().unwrap().root());
    assert_eq!(call.batchSize, U256::from(2));
    assert_eq!(call.walrusBlobId[..], *b"blob");
    let mut job = individual();
    job.on_event(JobEvent::BlobStored("blob".to_owned()), NOW);
    let call = ISettlement::settleIndividualCall::abi_decode(&job.calldata().unwrap()).unwrap();
    assert_eq!(call.timestamp, U256::from(NOW));
    assert_eq!(call.signature, job.items[0].inference.signature);
}

#[test]
fn there_is_no_empty_batch() {
    assert_eq!(Job::batch(Vec::new(), NOW), None);
}
