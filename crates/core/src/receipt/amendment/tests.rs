use super::*;
use crate::receipt::{Closed, Outcome, SettlementSeen, SettlementState};
use crate::{Amount, Charged};

const RECEIPT: B256 = B256::repeat_byte(7);

fn key() -> SealingKey {
    SealingKey::from_seed(&[3; 32])
}

fn entry(event: impl Into<Event>) -> Entry {
    Entry {
        index: 9,
        prev: B256::repeat_byte(1),
        wall_ms: 1_763_596_800_000,
        body: Body::Amend {
            seq: 4,
            receipt_hash: RECEIPT,
            event: Box::new(Recorded {
                dt_us: 5_000_000,
                event: event.into(),
            }),
        },
    }
}

fn settled() -> SettlementSeen {
    SettlementSeen {
        state: SettlementState::Settled,
        transaction: Some(B256::repeat_byte(2)),
        block_number: Some(12),
        block_hash: Some(B256::repeat_byte(3)),
        amount: Some(Amount::new(300)),
        waited_ms: 5_000,
    }
}

#[test]
fn an_amendment_is_read_as_it_was_written() {
    let sealed = Amendment::seal(entry(settled()), &key()).unwrap();
    let read = Amendment::decode(&sealed.encode()).unwrap();
    assert_eq!(read, sealed);
    assert_eq!(read.get::<SettlementSeen>(), Some((5_000_000, &settled())));
    assert_eq!(read.check(&key().public_key(), 4, &RECEIPT), Ok(()));
}

#[test]
fn every_bit_counts() {
    let sealed = Amendment::seal(entry(settled()), &key()).unwrap().encode();
    for place in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let accepted = Amendment::decode(&changed)
            .and_then(|it| it.check(&key().public_key(), 4, &RECEIPT).map(|()| it));
        assert!(accepted.is_err(), "bit {place}");
    }
}

#[test]
fn what_amends_nothing_is_refused() {
    let closed = Closed {
        outcome: Outcome::Answered,
        error_code: None,
        charged: Charged::Yes,
    };
    let refused = Amendment::seal(entry(closed), &key());
    assert_eq!(refused.unwrap_err(), Error::NotAmendable);
    let close = Entry {
        body: Body::Close {
            seq: 4,
            receipt_hash: RECEIPT,
            outcome: Outcome::Answered,
        },
        ..entry(settled())
    };
    let sign1 = key().sign(Signed::Amendment, close.encode());
    let bytes = Amendment {
        sign1,
        entry: close,
    }
    .encode();
    assert_eq!(Amendment::decode(&bytes), Err(Error::NotAmendable));
}

#[test]
fn another_call_receipt_key_or_purpose_is_refused() {
    let sealed = Amendment::seal(entry(settled()), &key()).unwrap();
    let public = key().public_key();
    let other = Err(Error::OtherReceipt);
    assert_eq!(sealed.check(&public, 5, &RECEIPT), other);
    assert_eq!(sealed.check(&public, 4, &B256::repeat_byte(8)), other);
    let stranger = SealingKey::from_seed(&[4; 32]).public_key();
    let refused = sealed.check(&stranger, 4, &RECEIPT);
    assert_eq!(refused, Err(Error::ProtectedHeader));
    // A signature made for a receipt is none for an amendment.
    let reused = Amendment {
        sign1: key().sign(Signed::Receipt, entry(settled()).encode()),
        entry: entry(settled()),
    };
    let reused = Amendment::decode(&reused.encode()).unwrap();
    let refused = reused.check(&public, 4, &RECEIPT);
    assert_eq!(refused, Err(Error::ProtectedHeader));
}

#[test]
fn more_or_other_bytes_are_refused() {
    let sealed = Amendment::seal(entry(settled()), &key()).unwrap().encode();
    let mut longer = sealed.clone();
    longer.push(0);
    assert!(matches!(
        Amendment::decode(&longer),
        Err(Error::Malformed { .. })
    ));
    assert_eq!(Amendment::decode(&sealed[5..]), Err(Error::BadMagic));
    let huge = vec![0; MAX_AMENDMENT + 1];
    assert!(matches!(
        Amendment::decode(&huge),
        Err(Error::TooLarge { .. })
    ));
}
