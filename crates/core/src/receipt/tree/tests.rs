use alloy_primitives::b256;
use proptest::prelude::*;

use super::*;

/// The definition, literally: RFC 6962 §2.1.
fn by_definition(leaves: &[B256]) -> B256 {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            node(&by_definition(left), &by_definition(right))
        }
    }
}

/// The inputs and roots that certificate-transparency implementations share.
#[test]
fn roots_are_those_of_certificate_transparency() {
    let inputs: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[
            0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
            0x6e, 0x6f,
        ],
    ];
    let roots = [
        b256!("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        b256!("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        b256!("aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        b256!("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        b256!("4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        b256!("76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        b256!("ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        b256!("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];
    let leaves: Vec<B256> = inputs.iter().map(|input| leaf(input)).collect();
    for (size, expected) in (1..).zip(roots) {
        assert_eq!(root(&leaves[..size]), expected, "{size} leaves");
    }
    let empty = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(root(&[]), empty);
}

#[test]
fn salts_differ_by_key_and_index() {
    assert_ne!(salt(&[1; 32], 0), salt(&[1; 32], 1));
    assert_ne!(salt(&[1; 32], 0), salt(&[2; 32], 0));
}

proptest! {
    #[test]
    fn the_loop_is_the_definition(count in 0usize..70) {
        let leaves: Vec<B256> = (0..count).map(|i| leaf(&i.to_be_bytes())).collect();
        prop_assert_eq!(root(&leaves), by_definition(&leaves));
    }
}
