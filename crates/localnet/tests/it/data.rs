//! What an enclave signs is found on the chain, and proven.

use std::time::Duration;

use seamline_core::receipt::{Bundle, SignatureChecked, events_of};
use seamline_evm::settlement::{InclusionProof, SettlementType, SignedInference, batches};
use seamline_localnet::contracts::SETTLEMENT;

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
    assert_eq!(found.unwrap(), [proof.settled.unwrap()]);
    net.stop().await;
}
