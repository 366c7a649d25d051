//! Padding of requests: what a relay can tell from a length.

/// The length that a message of `len` bytes is padded to: the next of 1, 1.25, 1.5, 1.75 times a power of
/// two, at least 1,024. A relay learns a request's length to within a quarter.
pub fn bucket(len: usize) -> usize {
    const LEAST: usize = 1024;
    let Some(above) = len.max(LEAST).checked_next_power_of_two() else {
        return len;
    };
    let (below, step) = (above / 2, above / 8);
    (1..=4_usize)
        .filter_map(|steps| below.checked_add(step.checked_mul(steps)?))
        .find(|size| *size >= len.max(LEAST))
        .unwrap_or(above)
}

/// Appends spaces to a JSON text up to its [`bucket`]. They mean nothing in JSON (RFC 8259 §2), and
/// nothing in the canonical form that an enclave signs.
pub fn pad_json(text: &mut Vec<u8>) {
    text.resize(bucket(text.len()), b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_few_buckets() {
        for (len, padded) in [
            (0, 1024),
            (1024, 1024),
            (1025, 1280),
            (1281, 1536),
            (1700, 1792),
            (1793, 2048),
            (2049, 2560),
        ] {
            assert_eq!(bucket(len), padded, "{len}");
        }
        for len in 1024..100_000 {
            let padded = bucket(len);
            assert!(padded >= len && padded * 4 <= len * 5 + 4, "{len} {padded}");
        }
    }
}
