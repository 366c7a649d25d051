//! Giving back what is left.

use super::*;

#[test]
fn a_refund_claims_first_and_is_signed_by_the_receivers_side() {
    let mut channel = open();
    begin(&mut channel, &refund(2_000), NOW).unwrap();
    let early = channel.refund_order(1, None, None).unwrap_err();
    assert_eq!(early, Reason::InvalidBatchSettlementEvmChannelBusy);
    channel.confirm(1, state(10_000, 1_000), NOW).unwrap();
    let too_much = channel.refund_order(1, Some(Amount::new(8_001)), None);
    assert_eq!(
        too_much.unwrap_err(),
        Reason::InvalidBatchSettlementEvmRefundNoBalance
    );
    let key = authorizer();
    let order = channel.refund_order(1, None, Some(&key)).unwrap();
    let Payload::Refund {
        amount,
        order: Some(order),
        ..
    } = &order
    else {
        panic!("an order");
    };
    assert_eq!(*amount, Some(Amount::new(8_000)));
    assert_eq!(order.claims[0].total_claimed, Amount::new(2_000));
    let digest = typed::refund_digest(&channel.id(), order.nonce, amount.unwrap(), CHAIN);
    let signature = Signature::parse(order.refund_signature.as_ref().unwrap()).unwrap();
    assert_eq!(signature.recover(&digest), Ok(key.address()));
    // A refund is no request: it cannot be charged.
    let reason = channel.clone().commit(1, Amount::ZERO, NOW).unwrap_err();
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmChannelBusy);
    channel.refunded(1, state(2_000, 2_000), NOW);
    assert!(channel.spent());
}

#[test]
fn a_drained_channel_refunds_nothing() {
    let mut channel = open();
    channel.observe(state(2_000, 1_000), NOW);
    begin(&mut channel, &refund(2_000), NOW).unwrap();
    channel.confirm(1, state(2_000, 1_000), NOW).unwrap();
    assert_eq!(
        channel.refund_order(1, None, None).unwrap_err(),
        Reason::InvalidBatchSettlementEvmRefundNoBalance
    );
}
