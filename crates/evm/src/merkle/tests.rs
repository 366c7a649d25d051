use alloy_primitives::hex;
use serde_json::Value;

use super::*;

fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn hashes(value: &Value) -> Vec<B256> {
    value.as_array().unwrap().iter().map(hash).collect()
}

fn leaves() -> Vec<Leaf> {
    let vectors = seamline_testkit::json_vector("merkle/standard-v1.json");
    let items = vectors["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| Leaf {
            tee_id: hash(&item["teeId"]),
            input_hash: hash(&item["inputHash"]),
            output_hash: hash(&item["outputHash"]),
            signature: hex::decode(item["signature"].as_str().unwrap())
                .unwrap()
                .into(),
            timestamp: item["timestamp"].as_str().unwrap().parse().unwrap(),
        })
        .collect()
}

#[test]
fn trees_match_the_vectors() {
    let vectors = seamline_testkit::json_vector("merkle/standard-v1.json");
    assert_eq!(vectors["leaf_types"], serde_json::json!(LEAF_TYPES));
    let trees = vectors["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 4);
    for vector in trees {
        let n = usize::try_from(vector["n"].as_u64().unwrap()).unwrap();
        let leaves = leaves()[..n].to_vec();
        let leaf_hashes: Vec<B256> = leaves.iter().map(Leaf::hash).collect();
        assert_eq!(leaf_hashes, hashes(&vector["leaf_hashes_in_input_order"]));
        let tree = StandardMerkleTree::new(leaves).unwrap();
        assert_eq!(tree.root(), hash(&vector["root"]), "{n}");
        assert_eq!(tree.nodes(), hashes(&vector["tree"]), "{n}");
        let positions = vector["values_treeIndex"].as_array().unwrap();
        let positions: Vec<u64> = positions.iter().map(|it| it.as_u64().unwrap()).collect();
        let ours: Vec<u64> = tree
            .positions
            .iter()
            .map(|it| u64::try_from(*it).unwrap())
            .collect();
        assert_eq!(ours, positions);
        for (index, proof) in vector["proofs"].as_array().unwrap().iter().enumerate() {
            let ours = tree.proof(index).unwrap();
            assert_eq!(ours, hashes(proof), "{n}, {index}");
            assert!(verify(&leaf_hashes[index], &ours, &tree.root()));
        }
        let dump = tree.dump();
        assert_eq!(
            u64::try_from(dump.len()).unwrap(),
            vector["dump_json_len"].as_u64().unwrap()
        );
        if let Some(text) = vector["dump_json"].as_str() {
            assert_eq!(dump, text);
        }
    }
}

#[test]
fn a_proof_holds_for_its_leaf_and_root_only() {
    let leaves = leaves();
    let tree = StandardMerkleTree::new(leaves.clone()).unwrap();
    let proof = tree.proof(1).unwrap();
    let (one, two) = (leaves[1].hash(), leaves[2].hash());
    assert!(verify(&one, &proof, &tree.root()));
    assert!(!verify(&two, &proof, &tree.root()));
    assert!(!verify(&one, &proof[1..], &tree.root()));
    assert!(!verify(&one, &proof, &B256::ZERO));
    for place in 0..proof.len() {
        let mut altered = proof.clone();
        altered[place].0[0] ^= 1;
        assert!(!verify(&one, &altered, &tree.root()), "{place}");
    }
}

#[test]
fn every_value_is_hashed() {
    let base = leaves()[0].clone();
    let other = B256::repeat_byte(9);
    let changed = [
        Leaf {
            tee_id: other,
            ..base.clone()
        },
        Leaf {
            input_hash: other,
            ..base.clone()
        },
        Leaf {
            output_hash: other,
            ..base.clone()
        },
        Leaf {
            signature: Bytes::new(),
            ..base.clone()
        },
        Leaf {
            timestamp: U256::ZERO,
            ..base.clone()
        },
    ];
    for leaf in changed {
        assert_ne!(leaf.hash(), base.hash(), "{leaf:?}");
    }
}

#[test]
fn there_is_no_empty_tree_and_no_proof_beyond_the_leaves() {
    assert_eq!(StandardMerkleTree::new(Vec::new()), None);
    let tree = StandardMerkleTree::new(leaves()).unwrap();
    assert_eq!(tree.proof(5), None);
}

/// The leaf that `interop/merkle/generate.mjs` makes.
fn seeded(set: usize, index: usize) -> Leaf {
    let which = if set.is_multiple_of(7) && index % 5 == 4 {
        0
    } else {
        index
    };
    let hash = |field: String| {
        seamline_core::sha256(&[format!("seamline/merkle/{set}/{which}/{field}").as_bytes()])
    };
    let signature: Vec<u8> = (0..8)
        .flat_map(|part| hash(format!("signature{part}")).0)
        .collect();
    Leaf {
        tee_id: hash("tee".to_owned()),
        input_hash: hash("input".to_owned()),
        output_hash: hash("output".to_owned()),
        signature: signature.into(),
        timestamp: U256::from(
            1_763_596_800_usize
                .saturating_add(set)
                .saturating_add(which),
        ),
    }
}

#[test]
fn two_thousand_trees_are_those_of_the_published_library() {
    let vectors = seamline_testkit::json_vector("merkle/random.json");
    let sets = vectors["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 2000);
    // Unoptimised hashing is slow: a fifth of them there, all of them in a release build.
    let step = if cfg!(debug_assertions) { 5 } else { 1 };
    for (set, vector) in sets.iter().enumerate().step_by(step) {
        let size = usize::try_from(vector[0].as_u64().unwrap()).unwrap();
        let leaves: Vec<Leaf> = (0..size).map(|index| seeded(set, index)).collect();
        let hashes: Vec<B256> = leaves.iter().map(Leaf::hash).collect();
        let tree = StandardMerkleTree::new(leaves).unwrap();
        assert_eq!(tree.root(), hash(&vector[1]), "{set}");
        let dump = seamline_core::sha256(&[tree.dump().as_bytes()]);
        assert_eq!(hex::encode(dump), vector[2].as_str().unwrap(), "{set}");
        let last = size - 1;
        for index in [0, last / 2, last] {
            let proof = tree.proof(index).unwrap();
            assert!(verify(&hashes[index], &proof, &tree.root()), "{set}");
        }
    }
}
