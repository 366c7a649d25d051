//! Which payment puts an answer on record, and how many it does.

use seamline_core::{Address, B256};
use seamline_evm::settlement::{JobStatus, SettlementData};

use super::taken::{PAYER, individual};
use super::world::{NODE_PAYEE, NOW, SPKI, World, answer, sign};
use crate::data::admit::Refusal;
use crate::data::book::INDIVIDUAL;
use crate::data::{DataDesk, Paid};

/// Payments that never settle, and one that does.
#[tokio::test]
async fn payments_that_never_settle_hold_up_nobody_elses() {
    let world = World::new();
    let desk = world.desk(true);
    for number in 0..600_u16 {
        let mut data = numbered(number);
        data.payment = Some(seamline_core::sha256(&[&number.to_be_bytes()]));
        desk.settle(&data).await.unwrap();
    }
    for _ in 0..3 {
        desk.round().await.unwrap();
        world.advance(1);
    }
    let mut paid = answer(1);
    paid.payment = Some(B256::repeat_byte(5));
    world.state().paid.insert(B256::repeat_byte(5), settled());
    desk.settle(&paid).await.unwrap();
    for _ in 0..8 {
        desk.round().await.unwrap();
    }
    assert!(
        proven(&world, &desk, &paid).await,
        "it waits behind strangers"
    );
}

/// An answer of which there may be many.
fn numbered(number: u16) -> SettlementData {
    let mut data = answer(1);
    data.inference.input_hash = seamline_core::sha256(&[b"many", &number.to_be_bytes()]);
    data.inference.signature = sign(SPKI, &data.inference.message_hash()).into();
    data
}

const fn settled() -> Paid {
    Paid::Settled {
        payer: PAYER,
        pay_to: NODE_PAYEE,
    }
}

/// Whether a batch holds the answer, once it had to close.
async fn proven(world: &World, desk: &DataDesk, data: &SettlementData) -> bool {
    world.advance(301);
    for _ in 0..4 {
        desk.round().await.unwrap();
    }
    desk.settle(data).await.unwrap().status == JobStatus::Succeeded
}

#[tokio::test]
async fn who_hands_an_answer_over_first_does_not_decide_what_paid_for_it() {
    let world = World::new();
    let desk = world.desk(true);
    let with = |byte| {
        let mut data = answer(1);
        data.payment = Some(B256::repeat_byte(byte));
        data
    };
    // A stranger is first, with payments that never come or went to somebody else.
    for byte in [1, 2, 3, 4] {
        desk.settle(&with(byte)).await.unwrap();
    }
    let stranger = Paid::Settled {
        payer: PAYER,
        pay_to: Address::repeat_byte(0x66),
    };
    world.state().paid.insert(B256::repeat_byte(2), stranger);
    desk.round().await.unwrap();
    world.state().paid.insert(B256::repeat_byte(5), settled());
    let job = desk.settle(&with(5)).await.unwrap();
    assert_eq!(job.status, JobStatus::Queued);
    assert!(proven(&world, &desk, &with(5)).await);
    // What is settled is not begun anew.
    assert!(proven(&world, &desk, &with(6)).await);
    assert_eq!(world.roots().len(), 1);
}

#[tokio::test]
async fn an_answer_that_was_refused_may_name_another_payment() {
    let world = World::new();
    let desk = world.desk(true);
    let mut data = answer(1);
    data.payment = Some(B256::repeat_byte(1));
    world
        .state()
        .paid
        .insert(B256::repeat_byte(1), Paid::Failed);
    desk.settle(&data).await.unwrap();
    desk.round().await.unwrap();
    let job = desk.settle(&data).await.unwrap();
    assert_eq!(job.error, Some(Refusal::NotPaid.to_string()));
    data.payment = Some(B256::repeat_byte(2));
    world.state().paid.insert(B256::repeat_byte(2), settled());
    desk.settle(&data).await.unwrap();
    assert!(proven(&world, &desk, &data).await);
}

#[tokio::test]
async fn words_about_one_answer_are_bounded() {
    let world = World::new();
    let desk = world.desk(true);
    for byte in 1..20 {
        let mut data = answer(1);
        data.payment = Some(B256::repeat_byte(byte));
        desk.settle(&data).await.unwrap();
    }
    // The first one and four more are looked at.
    world.state().paid.insert(B256::repeat_byte(6), settled());
    let mut data = answer(1);
    data.payment = Some(B256::repeat_byte(6));
    assert!(!proven(&world, &desk, &data).await);
}

#[tokio::test]
async fn one_payment_puts_a_bounded_number_of_answers_on_record() {
    let world = World::new();
    let desk = world.desk(true);
    world.state().paid.insert(B256::repeat_byte(5), settled());
    let mut last = None;
    for number in 0..=INDIVIDUAL {
        let mut data = individual();
        data.inference.timestamp -= u64::from(number);
        data.inference.signature = sign(SPKI, &data.inference.message_hash()).into();
        data.payment = Some(B256::repeat_byte(5));
        desk.settle(&data).await.unwrap();
        last = Some(data);
    }
    desk.round().await.unwrap();
    let mut refused = 0;
    for number in 0..=INDIVIDUAL {
        let mut data = last.clone().unwrap();
        data.inference.timestamp = NOW - 1 - u64::from(number);
        data.inference.signature = sign(SPKI, &data.inference.message_hash()).into();
        let job = desk.settle(&data).await.unwrap();
        if job.error == Some(Refusal::TooMany.to_string()) {
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    // They are not all on their way at once: the lane is the payments' too.
    assert_eq!(world.state().sent.len(), 16);
    // A leaf of the same payment costs next to nothing, and is counted by itself.
    let mut leaf = answer(9);
    leaf.payment = Some(B256::repeat_byte(5));
    desk.settle(&leaf).await.unwrap();
    for _ in 0..6 {
        desk.round().await.unwrap();
    }
    assert_eq!(
        world.state().sent.len(),
        usize::try_from(INDIVIDUAL).unwrap()
    );
    assert!(proven(&world, &desk, &leaf).await);
}
