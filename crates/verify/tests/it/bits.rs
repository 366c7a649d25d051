//! Every single bit of a receipt file matters.

use std::sync::atomic::{AtomicUsize, Ordering};

use seamline_verify::Status;

use crate::fixture::World;

/// Flips each bit of `file` in turn and returns how many receipts were refuted.
fn flip_all(world: &World, file: &[u8]) -> usize {
    let refuted = AtomicUsize::new(0);
    let chunk = file.len().div_ceil(4);
    std::thread::scope(|scope| {
        for start in (0..file.len()).step_by(chunk) {
            let (refuted, end) = (&refuted, file.len().min(start + chunk));
            scope.spawn(move || {
                let mut bytes = file.to_vec();
                for index in start..end {
                    for bit in 0..8 {
                        bytes[index] ^= 1 << bit;
                        let verdict = world.check(&bytes);
                        assert_ne!(verdict.status, Status::Satisfied, "byte {index} bit {bit}");
                        if verdict.status == Status::Refuted {
                            let failure = verdict.first_failure();
                            assert!(failure.is_some(), "byte {index} bit {bit}");
                            refuted.fetch_add(1, Ordering::Relaxed);
                        }
                        bytes[index] ^= 1 << bit;
                    }
                }
            });
        }
    });
    refuted.into_inner()
}

#[test]
fn no_single_bit_can_change() {
    let world = World::new();
    let file = world.seal().encode();
    let bits = file.len() * 8;
    // The version is the one field whose other values are not known to be wrong: its 5 low bits
    // still are small numbers.
    assert!(flip_all(&world, &file) >= bits - 8, "{bits} bits");
}

#[test]
fn no_single_bit_of_a_redacted_receipt_can_change() {
    let mut world = World::new();
    world.trust.required = seamline_verify::Level::L2;
    let bundle = world.seal();
    let last = bundle.leaves().len() - 1;
    let all: Vec<usize> = (1..last).collect();
    let bundle = bundle.redact(&all).unwrap();
    let hashes: Vec<_> = bundle.evidence_hashes().copied().collect();
    let file = bundle.without_evidence(&hashes).encode();
    assert_eq!(world.check(&file).status, Status::Satisfied);
    assert!(flip_all(&world, &file) >= file.len() * 8 - 8);
}
