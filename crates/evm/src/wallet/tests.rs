use super::*;

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

fn wallet() -> Wallet {
    Wallet::from_hex(KEY).unwrap()
}

#[test]
fn the_address_is_that_of_the_key() {
    let address = wallet().address().to_string();
    assert_eq!(address, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    let again = Wallet::from_bytes(&wallet().to_bytes()).unwrap();
    assert_eq!(again.address(), wallet().address());
}

#[test]
fn only_numbers_below_the_order_are_keys() {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let zero = "0".repeat(64);
    for text in ["", "0x", "12", order, zero.as_str(), &KEY[..64], "zz"] {
        assert_eq!(Wallet::from_hex(text).err(), Some(Error::Key), "{text:?}");
    }
}

#[test]
fn a_signature_recovers_to_its_signer_and_no_other_digest() {
    let digest = keccak256("one");
    let signature = wallet().sign_hash(&digest);
    assert_eq!(signature, wallet().sign_hash(&digest));
    assert_eq!(signature.recover(&digest), Ok(wallet().address()));
    assert_ne!(
        signature.recover(&keccak256("other")),
        Ok(wallet().address())
    );
    assert_eq!(Signature::parse(signature.as_bytes()), Ok(signature));
}

#[test]
fn signatures_have_one_spelling() {
    let good = *wallet().sign_hash(&keccak256("one")).as_bytes();
    let refused = Err(Error::Signature);
    assert_eq!(Signature::parse(&good[..64]), refused);
    assert_eq!(Signature::parse(&[&good[..], &[0]].concat()), refused);
    assert_eq!(Signature::parse(&[]), refused);
    for v in [0, 1, 26, 29, 255] {
        let mut other = good;
        other[64] = v;
        assert_eq!(Signature::parse(&other), refused, "v = {v}");
    }
    // The same signature with `n - s` and the other parity: valid to secp256k1, refused by EIP-2.
    let order: U256 = HALF_ORDER * U256::from(2) + U256::from(1);
    let s = U256::from_be_slice(&good[32..64]);
    let flipped: U256 = order - s;
    let mut high = good;
    high[32..64].copy_from_slice(&flipped.to_be_bytes::<32>());
    high[64] = 55 - good[64];
    assert_eq!(Signature::parse(&high), refused);
}

#[test]
fn numbers_that_no_key_made_recover_to_nothing() {
    let mut bytes = [0; 65];
    bytes[64] = 27;
    let signature = Signature::parse(&bytes).unwrap();
    assert_eq!(signature.recover(&keccak256("one")), Err(Error::Signature));
    bytes[..32].fill(0xff);
    let signature = Signature::parse(&bytes).unwrap();
    assert_eq!(signature.recover(&keccak256("one")), Err(Error::Signature));
}

#[test]
fn debug_shows_no_signature() {
    let signature = wallet().sign_hash(&keccak256("one"));
    assert_eq!(format!("{signature:?}"), "Signature(..)");
}
