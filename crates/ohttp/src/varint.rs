//! Variable-length integers of QUIC (RFC 9000 §16).

/// Reads an integer and says how many bytes it took; `None` where more bytes are needed.
pub(crate) fn read(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = 1_usize << (first >> 6);
    let encoded = bytes.get(..len)?;
    let value = encoded.iter().fold(0_u64, |value, byte| {
        value.wrapping_shl(8) | u64::from(*byte)
    });
    let mask = match len {
        1 => 0x3f,
        2 => 0x3fff,
        4 => 0x3fff_ffff,
        _ => 0x3fff_ffff_ffff_ffff,
    };
    Some((value & mask, len))
}

/// Writes an integer in its shortest form. Values of 2^62 and more do not exist in memory.
pub(crate) fn write(value: usize, out: &mut Vec<u8>) {
    let value = u64::try_from(value).unwrap_or(u64::MAX);
    let bytes = value.to_be_bytes();
    let (skip, prefix) = match value {
        0..0x40 => (7, 0),
        0x40..0x4000 => (6, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (0, 0xc0),
    };
    let mut rest = bytes.iter().skip(skip);
    if let Some(first) = rest.next() {
        out.push(first | prefix);
    }
    out.extend(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_reads_back() {
        for value in [0, 37, 63, 64, 15_293, 16_383, 16_384, 494_878_333, 1 << 30] {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            assert_eq!(
                read(&bytes),
                Some((u64::try_from(value).unwrap(), bytes.len())),
                "{value}"
            );
            assert_eq!(read(&bytes[..bytes.len() - 1]), None);
        }
        // RFC 9000, appendix A.1
        let long = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(read(&long), Some((151_288_809_941_952_652, 8)));
        assert_eq!(read(&[0x40, 0x25]), Some((37, 2)));
    }
}
