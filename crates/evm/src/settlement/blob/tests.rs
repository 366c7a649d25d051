use serde_json::{Value as Json, json};

use super::*;

fn good() -> Json {
    let vectors = seamline_testkit::json_vector("merkle/standard-v1.json");
    let trees = vectors["trees"].as_array().unwrap();
    let with_dump = trees.iter().rev().find(|it| it["dump_json"].is_string());
    let dump = with_dump.unwrap()["dump_json"].as_str().unwrap();
    serde_json::from_str(dump).unwrap()
}

fn read(blob: &Json) -> Result<Tree, BlobError> {
    Tree::parse(blob.to_string().as_bytes())
}

#[test]
fn a_published_dump_is_read_and_proves_its_leaves() {
    let dump = good();
    let tree = read(&dump).unwrap();
    assert_eq!(json!(tree.root().to_string()), dump["tree"][0]);
    for (index, leaf) in tree.leaves().iter().enumerate() {
        let proof = tree.proof(index).unwrap();
        assert!(crate::merkle::verify(&leaf.hash(), &proof, &tree.root()));
    }
}

#[test]
fn what_a_blob_says_is_computed_again() {
    type Alter = fn(&mut Json);
    let alter: [(Alter, BlobError); 10] = [
        (|it| it["format"] = json!("standard-v2"), BlobError::Format),
        (|it| it["tree"] = json!("0x"), BlobError::Format),
        (
            |it| it["leafEncoding"][4] = json!("uint64"),
            BlobError::Encoding,
        ),
        (
            |it| it["values"][1]["value"][0] = json!("0x00"),
            BlobError::Leaf(1),
        ),
        (
            |it| it["values"][1]["value"][4] = json!("-1"),
            BlobError::Leaf(1),
        ),
        (
            |it| it["values"][0]["value"][4] = json!("1"),
            BlobError::Hashes,
        ),
        (
            |it| it["tree"][0] = it["tree"][1].clone(),
            BlobError::Hashes,
        ),
        (
            |it| drop(it["tree"].as_array_mut().unwrap().pop()),
            BlobError::Hashes,
        ),
        (
            |it| it["values"][0]["treeIndex"] = json!(0),
            BlobError::Place(0),
        ),
        (|it| it["values"] = json!([]), BlobError::Size),
    ];
    for (index, (alter, expected)) in alter.into_iter().enumerate() {
        let mut blob = good();
        alter(&mut blob);
        assert_eq!(read(&blob).unwrap_err(), expected, "{index}");
    }
    assert_eq!(Tree::parse(b"not json").unwrap_err(), BlobError::Format);
}

#[test]
fn an_inner_node_is_no_leaf() {
    // Sixty-four bytes of two siblings hash to their parent, but no leaf has sixty-four bytes: it is
    // hashed twice, from at least two hundred and twenty-four.
    let tree = read(&good()).unwrap();
    let [one, two] = [tree.leaves()[0].hash(), tree.leaves()[1].hash()];
    let pair = [one.min(two).0, one.max(two).0].concat();
    let parent = alloy_primitives::keccak256(&pair);
    assert_ne!(alloy_primitives::keccak256(parent), parent);
    for leaf in tree.leaves() {
        assert_ne!(leaf.hash(), parent);
    }
}

#[test]
fn an_individual_blob_keeps_the_texts_as_they_came() {
    let inference = SignedInference {
        node: seamline_core::NodeId::new(B256::repeat_byte(1)),
        input_hash: B256::ZERO,
        output_hash: B256::ZERO,
        signature: vec![0xd3].into(),
        timestamp: 5,
    };
    let content = Content {
        input: r#"{"b": 1.50, "a": 1e400}"#.to_owned(),
        output: "[]".to_owned(),
        eth_address: alloy_primitives::Address::ZERO,
    };
    let expected = format!(
        r#"{{"input":{{"b": 1.50, "a": 1e400}},"output":[],"teeSignature":"0w==","teeId":"0x{}","timestamp":"5","ethAddress":"0x{}"}}"#,
        "01".repeat(32),
        "00".repeat(20)
    );
    assert_eq!(individual_blob(&inference, &content), expected);
}
