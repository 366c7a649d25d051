//! Who is told what of a channel's books.

use super::*;

/// Anybody can name a contract's channel: its newest voucher is for its owner only.
#[test]
fn a_strangers_voucher_for_a_contract_payer_is_told_nothing() {
    let wallet = ChannelConfig {
        payer_authorizer: Address::ZERO,
        ..config()
    };
    let mut channel = Channel::new(wallet.clone(), CHAIN);
    channel.observe(state(10_000, 0), NOW);
    begin(&mut channel, &voucher_of(wallet.clone(), 1_000), NOW).unwrap();
    channel.confirm(1, state(10_000, 0), NOW).unwrap();
    channel.commit(1, Amount::new(600), NOW).unwrap();
    let forged = Voucher {
        channel_id: wallet.id(CHAIN),
        max_claimable: Amount::new(5_000),
        signature: vec![0x11; 65],
    };
    let forged = Payload::Voucher {
        config: wallet.clone(),
        voucher: forged,
    };
    assert_eq!(begin(&mut channel, &forged, NOW), Ok(Step::Verify));
    channel.cancel(1);
    // Its owner is, once the payer's code was asked.
    let wrong = voucher_of(wallet, 5_000);
    assert_eq!(begin(&mut channel, &wrong, NOW), Ok(Step::Verify));
    let told = channel.confirm(1, state(10_000, 0), NOW).unwrap_err();
    assert!(matches!(told, Decline::Corrective(_)), "{told:?}");
}
