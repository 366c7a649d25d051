use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};

use super::*;

struct Says {
    address: Address,
    answer: Result<Signature, SignError>,
}

impl Signer for Says {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_hash(&self, _: &B256) -> Result<Signature, SignError> {
        self.answer.clone()
    }
}

fn wallet(name: &str) -> Wallet {
    Wallet::from_bytes(&keccak256(name).0).unwrap()
}

#[test]
fn a_wallet_signs_as_itself_behind_any_pointer() {
    let digest = keccak256("digest");
    let wallet = wallet("payer");
    let bytes = wallet.sign_hash(&digest);
    let shared: Arc<dyn Signer> = Arc::new(wallet);
    assert_eq!(sign_checked(&shared, &digest), Ok(bytes));
}

#[test]
fn a_signature_of_another_key_or_digest_is_refused() {
    let (own, other) = (wallet("payer"), wallet("thief"));
    let digest = keccak256("digest");
    let says = |answer| Says {
        address: own.address(),
        answer,
    };
    let refused = Err(Error::Sign(SignError::OtherKey));
    let by_other = says(Ok(other.sign_hash(&digest)));
    assert_eq!(sign_checked(&by_other, &digest), refused);
    let of_other = says(Ok(own.sign_hash(&keccak256("another"))));
    assert_eq!(sign_checked(&of_other, &digest), refused);
    let no = says(Err(SignError::Refused));
    assert_eq!(
        sign_checked(&no, &digest),
        Err(Error::Sign(SignError::Refused))
    );
}
