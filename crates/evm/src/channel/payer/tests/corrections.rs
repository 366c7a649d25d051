//! What a payer believes of a corrective 402.

use super::*;

fn corrected(charged: u128, ceiling: u128, signer: &crate::Wallet) -> Offer {
    let voucher = Voucher::sign(config().id(CHAIN), Amount::new(ceiling), CHAIN, signer).unwrap();
    correction(
        Some(charged),
        Some((Amount::new(ceiling), voucher.signature)),
    )
}

fn correction(charged: Option<u128>, voucher: Option<(Amount, Vec<u8>)>) -> Offer {
    let state = CorrectiveState {
        channel_id: config().id(CHAIN),
        chain: state(5_000, 0),
        charged: charged.map(Amount::new),
        voucher,
    };
    let mut corrected: Value = offer();
    for (name, value) in state.write() {
        corrected["extra"][name] = value;
    }
    read(&corrected)
}

const MISMATCH: Reason = Reason::InvalidBatchSettlementEvmCumulativeAmountMismatch;

#[test]
fn a_correction_about_a_lost_request_is_adopted() {
    let mut channel = open();
    pay(&mut channel).unwrap();
    channel.lost();
    pay(&mut channel).unwrap();
    let said = corrected(1_500, 1_600, &payer());
    let adopted = channel.adopt(&MISMATCH, &said, None).unwrap();
    assert_eq!(adopted.before, Amount::new(600));
    assert_eq!(adopted.now, Amount::new(1_500));
    assert_eq!(pay(&mut channel).unwrap().max_claimable, Amount::new(2_500));
}

#[test]
fn each_rule_of_a_correction_has_its_refusal() {
    let own = payer();
    let lost = || {
        let mut channel = open();
        pay(&mut channel).unwrap();
        channel
    };
    // 1. No correction, no state, another channel's.
    let busy = Reason::InvalidBatchSettlementEvmChannelBusy;
    let good = corrected(1_500, 1_600, &own);
    assert_eq!(
        lost().adopt(&busy, &good, None).unwrap_err(),
        Refusal::Refused(busy)
    );
    let plain = read(&offer());
    assert_eq!(
        lost().adopt(&MISMATCH, &plain, None).unwrap_err(),
        Refusal::Malformed
    );
    let mut other = offer();
    let state = CorrectiveState {
        channel_id: B256::ZERO,
        chain: state(5_000, 0),
        charged: Some(Amount::ZERO),
        voucher: None,
    };
    for (name, value) in state.write() {
        other["extra"][name] = value;
    }
    let refused = lost().adopt(&MISMATCH, &read(&other), None).unwrap_err();
    assert_eq!(refused, Refusal::OtherChannel);
    // 2. Another key's voucher, or none at all.
    let foreign = corrected(1_500, 1_600, &authorizer());
    assert_eq!(
        lost().adopt(&MISMATCH, &foreign, None).unwrap_err(),
        Refusal::NotOwnVoucher
    );
    let bare = correction(Some(700), None);
    assert_eq!(
        lost().adopt(&MISMATCH, &bare, None).unwrap_err(),
        Refusal::Overcharged {
            said: Amount::new(700),
            bound: Amount::ZERO,
        }
    );
    // 3. More than the voucher, or less than the chain.
    let above = corrected(1_601, 1_600, &own);
    assert_eq!(
        lost().adopt(&MISMATCH, &above, None).unwrap_err(),
        Refusal::Overcharged {
            said: Amount::new(1_601),
            bound: Amount::new(1_600),
        }
    );
    let chain = crate::channel::fixtures::state(5_000, 700);
    let below = corrected(600, 600, &own);
    assert_eq!(
        lost().adopt(&MISMATCH, &below, Some(&chain)).unwrap_err(),
        Refusal::Malformed
    );
    // 4. What was answered is settled: 600, although the voucher allows 1,000.
    let mut channel = open();
    let more = corrected(1_000, 1_000, &own);
    assert_eq!(
        channel.adopt(&MISMATCH, &more, None).unwrap_err(),
        Refusal::Overcharged {
            said: Amount::new(1_000),
            bound: Amount::new(600),
        }
    );
    assert_eq!(channel.charged(), Amount::new(600));
}

#[test]
fn a_correction_downwards_can_be_taken_back() {
    let mut channel = open();
    let less = corrected(100, 600, &payer());
    channel.adopt(&MISMATCH, &less, None).unwrap();
    assert_eq!(channel.charged(), Amount::new(100));
    let back = corrected(600, 1_000, &payer());
    channel.adopt(&MISMATCH, &back, None).unwrap();
    let more = corrected(601, 1_000, &payer());
    let refused = channel.adopt(&MISMATCH, &more, None).unwrap_err();
    assert!(matches!(refused, Refusal::Overcharged { .. }));
}

#[test]
fn books_begun_again_believe_their_own_signature() {
    let mut channel = Channel::recovered(config(), CHAIN, &state(5_000, 300));
    let said = corrected(1_000, 1_600, &payer());
    channel.adopt(&MISMATCH, &said, None).unwrap();
    assert_eq!(channel.charged(), Amount::new(1_000));
    assert_eq!(channel.signed(), Amount::new(1_600));
    // Once the seller takes a voucher they are complete.
    pay(&mut channel).unwrap();
    channel.answered(&answer("0", Some("1000"))).unwrap();
    let more = corrected(1_200, 1_600, &payer());
    let refused = channel.adopt(&MISMATCH, &more, None).unwrap_err();
    assert!(matches!(refused, Refusal::Overcharged { .. }));
}
