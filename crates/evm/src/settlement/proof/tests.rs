use serde_json::json;

use super::*;

fn proof() -> InclusionProof {
    let vectors = seamline_testkit::json_vector("merkle/standard-v1.json");
    let trees = vectors["trees"].as_array().unwrap();
    let with_dump = trees.iter().rev().find(|it| it["dump_json"].is_string());
    let dump = with_dump.unwrap()["dump_json"].as_str().unwrap();
    let tree = Tree::parse(dump.as_bytes()).unwrap();
    let settled = FoundRoot {
        root: tree.root(),
        size: U256::from(tree.leaves().len()),
        blob: Bytes::from_static(b"sha256-00"),
        transaction: B256::repeat_byte(1),
        block_number: 7,
        block_hash: B256::repeat_byte(2),
    };
    InclusionProof::of(&tree, 1, 10_740, Address::repeat_byte(3), Some(settled)).unwrap()
}

#[test]
fn a_proof_file_comes_back_as_it_was_and_proves() {
    let proof = proof();
    let read = InclusionProof::parse(proof.to_json().as_bytes()).unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.check(None), Ok(()));
    assert_eq!(read.check(Some(proof.root)), Ok(()));
    let unsettled = InclusionProof {
        settled: None,
        ..proof
    };
    let read = InclusionProof::parse(unsettled.to_json().as_bytes()).unwrap();
    assert_eq!(read, unsettled);
}

#[test]
fn every_part_of_it_counts() {
    let other = B256::repeat_byte(9);
    let alter: [fn(&mut InclusionProof); 9] = [
        |it| it.inference.node = NodeId::new(B256::repeat_byte(9)),
        |it| it.inference.input_hash = B256::repeat_byte(9),
        |it| it.inference.output_hash = B256::repeat_byte(9),
        |it| it.inference.signature = Bytes::from(vec![9; 256]),
        |it| it.inference.timestamp += 1,
        |it| it.root = B256::repeat_byte(9),
        |it| it.proof[0] = B256::repeat_byte(9),
        |it| it.proof.push(B256::repeat_byte(9)),
        |it| it.proof = vec![B256::ZERO; InclusionProof::MAX_SIBLINGS + 1],
    ];
    for (index, alter) in alter.into_iter().enumerate() {
        let mut altered = proof();
        alter(&mut altered);
        assert_eq!(altered.check(None), Err(ProofError::Path), "{index}");
    }
    assert_eq!(proof().check(Some(other)), Err(ProofError::Root));
}

#[test]
fn a_file_with_a_missing_or_wrong_member_is_none() {
    let good: Value = serde_json::from_str(&proof().to_json()).unwrap();
    let read = |value: &Value| InclusionProof::parse(value.to_string().as_bytes());
    read(&good).unwrap();
    for name in ["chain_id", "contract", "root", "inference", "proof"] {
        for wrong in [json!(null), json!("x"), json!(-1)] {
            let mut altered = good.clone();
            altered[name] = wrong;
            assert_eq!(read(&altered), Err(ProofError::Member(name)));
        }
    }
    for name in [
        "tee_id",
        "input_hash",
        "output_hash",
        "tee_signature",
        "tee_timestamp",
    ] {
        let mut altered = good.clone();
        altered["inference"][name] = json!("*");
        assert_eq!(read(&altered), Err(ProofError::Member(name)));
    }
    let mut altered = good;
    altered["settled"]["block_hash"] = json!("0x");
    assert_eq!(read(&altered), Err(ProofError::Member("settled")));
    altered["format"] = json!("other");
    assert_eq!(read(&altered), Err(ProofError::Format));
    assert_eq!(InclusionProof::parse(b"{}"), Err(ProofError::Format));
}
