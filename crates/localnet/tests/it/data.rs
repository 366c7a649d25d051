//! What an enclave signs is found on the chain, and proven.

use std::time::Duration;

use seamline::records::IncludeError;
use seamline_core::B256;
use seamline_core::receipt::{Bundle, RecordSeen, RecordStage, SignatureChecked, events_of};
use seamline_evm::settlement::{InclusionProof, SettlementType, SignedInference, batches};
use seamline_localnet::contracts::SETTLEMENT;
use seamline_verify::{Claim, Outcome};

use crate::support::{World, honest, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_answer_is_in_a_batch_whose_root_is_on_chain() {
    let mut world = World::new(vec![honest("one")]);
    world.options.settlement = SettlementType::Batch;
    let (net, client) = world.start().await;
    let reply = client.chat(&question()).await.unwrap();
    let bundle = Bundle::decode(&reply.receipt).unwrap();
    let slots = bundle.slots();
    let (_, _, signed) = events_of::<SignatureChecked>(&slots).next_back().unwrap();
    let id = SignedInference {
        node: signed.node,
        input_hash: signed.input_hash,
        output_hash: signed.output_hash,
        signature: signed.signature.clone().into(),
        timestamp: signed.timestamp_s,
    }
    .id();
    let http = seamline_net::http_client(seamline_net::ClientOptions::default()).unwrap();
    let url = format!("{}/settlement/proof/{id}", net.facilitator_url());
    // Its payment settles, its batch closes, its root is mined: as long as all of that takes, and a
    // bound that only an answer that never comes reaches.
    let mut said = String::new();
    let mut looks = 0;
    let proof = loop {
        looks += 1;
        assert!(looks < 600, "the facilitator says {said}");
        let response = http.get(&url).await.unwrap();
        let status = response.status();
        let body = response.into_body().bytes().await.unwrap();
        said = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            let proof = InclusionProof::parse(&body).unwrap();
            if proof.settled.is_some() {
                break proof;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(proof.inference.id(), id);
    assert_eq!(proof.check(Some(proof.root)), Ok(()));
    let newest = net.chain().head().unwrap().number;
    let found = batches(net.chain(), SETTLEMENT, Some(proof.root), 0, newest).await;
    assert_eq!(found.unwrap(), [proof.settled.clone().unwrap()]);
    // The receipt takes it up: the proof is checked offline, the block is the recorder's word.
    assert_eq!(stages(&reply.receipt), [RecordStage::Asked]);
    drop(client);
    let config = world.config(&net, world.trust(&net), net.rpc_url());
    let now = seamline::Env::system().now();
    let include = |receipt: &[u8], proof: &InclusionProof| {
        seamline::records::include(&config.home, &config.recorder, receipt, proof, now)
    };
    let other = InclusionProof {
        inference: SignedInference {
            timestamp: proof.inference.timestamp + 1,
            ..proof.inference.clone()
        },
        ..proof.clone()
    };
    let refused = include(&reply.receipt, &other);
    assert!(matches!(refused, Err(IncludeError::OtherAnswer)));
    let mut broken = proof.clone();
    broken.root = B256::repeat_byte(1);
    broken.settled = None;
    let refused = include(&reply.receipt, &broken);
    assert!(matches!(refused, Err(IncludeError::Proof(_))));
    let hidden = bundle.redact(&bundle.private_events()).unwrap().encode();
    let refused = include(&hidden, &proof);
    assert!(matches!(refused, Err(IncludeError::Unsigned)));
    let refused = include(b"SEAM1", &proof);
    assert!(matches!(refused, Err(IncludeError::Receipt(_))));
    let unsettled = InclusionProof {
        settled: None,
        ..proof.clone()
    };
    assert!(include(&reply.receipt, &unsettled).unwrap().is_some());
    assert!(include(&reply.receipt, &proof).unwrap().is_some());
    assert_eq!(include(&reply.receipt, &proof).unwrap(), None, "once");
    assert_eq!(include(&reply.receipt, &unsettled).unwrap(), None);
    let amendments = seamline::amendments::beside(&reply.receipt_path).unwrap();
    let trust = world.trust(&net);
    let verdict = seamline_verify::verify_amended(&reply.receipt, &amendments, &trust, now);
    assert_eq!(verdict.first_failure(), None);
    let of = |claim| verdict.about(claim).last().unwrap().outcome;
    assert_eq!(of(Claim::RecordInclusion), Outcome::Pass);
    assert_eq!(of(Claim::RecordOnChain), Outcome::UncheckedOffline);
    // Another home has other books.
    let stranger = World::new(Vec::new());
    let theirs = stranger.config(&net, stranger.trust(&net), net.rpc_url());
    let refused =
        seamline::records::include(&theirs.home, &theirs.recorder, &reply.receipt, &proof, now);
    assert!(matches!(refused, Err(IncludeError::Stranger)));
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_node_names_is_read_before_it_counts() {
    let mut world = World::new(vec![honest("one")]);
    world.options.settlement = SettlementType::Individual;
    world.options.settlement_contract = Some(SETTLEMENT);
    let (net, client) = world.start().await;
    let reply = client.chat(&question()).await.unwrap();
    assert_eq!(reply.verdict.first_failure(), None);
    // Its payment settles, then it is recorded; until then the receipt has the node's word.
    let mut looks = 0;
    let amendments = loop {
        looks += 1;
        assert!(looks < 600, "it is never on record");
        client.recover().await.unwrap();
        let found = seamline::amendments::beside(&reply.receipt_path).unwrap();
        if !found.is_empty() || stages(&reply.receipt).contains(&RecordStage::Recorded) {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let now = seamline::Env::system().now();
    let trust = world.trust(&net);
    let verdict = seamline_verify::verify_amended(&reply.receipt, &amendments, &trust, now);
    assert_eq!(verdict.first_failure(), None);
    let found = verdict.about(Claim::RecordOnChain).last().unwrap();
    assert_eq!(found.outcome, Outcome::UncheckedOffline);
    net.stop().await;
}

fn stages(receipt: &[u8]) -> Vec<RecordStage> {
    let bundle = Bundle::decode(receipt).unwrap();
    let slots = bundle.slots();
    let events = events_of::<RecordSeen>(&slots);
    events.map(|(_, _, seen)| seen.stage).collect()
}
