//! What the draw decides (`spec/decision.md` §5, §6).

use alloy_primitives::B256;

use crate::{NodeId, sha256};

/// Orders nodes of equal score.
pub(super) fn tie_hash(draw: &B256, node: &NodeId) -> B256 {
    sha256(&[
        b"seamline/v1/tie",
        draw.as_slice(),
        node.as_b256().as_slice(),
    ])
}

/// Returns a number below `denominator`, each with the same probability over all draws.
///
/// Takes 64-bit words from `SHA-256("seamline/v1/sample" || draw || counter)` and rejects those
/// from the largest multiple of the denominator on. For denominators below 2^45 one in 2^19 words
/// is rejected at most, so that the loop ends with the first hash but in theory.
pub(super) fn uniform(draw: &B256, denominator: u64) -> u64 {
    let Some(excess) = u64::MAX.checked_rem(denominator) else {
        return 0;
    };
    // Words above `last` are those of the incomplete multiple: 2^64 mod denominator of them.
    let last = match excess.checked_add(1) {
        Some(remainder) if remainder < denominator => u64::MAX.saturating_sub(remainder),
        Some(_) | None => u64::MAX,
    };
    for counter in 0..=u32::MAX {
        let block = sha256(&[
            b"seamline/v1/sample",
            draw.as_slice(),
            &counter.to_be_bytes(),
        ]);
        for word in block.as_chunks::<8>().0 {
            let word = u64::from_be_bytes(*word);
            if word <= last {
                return word.checked_rem(denominator).unwrap_or(0);
            }
        }
    }
    0
}
