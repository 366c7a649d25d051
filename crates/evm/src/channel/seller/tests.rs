use alloy_primitives::{Address, B256};
use seamline_core::{Amount, Timestamp};

use super::{Action, Channel, ClaimRules, Collector, Decline, Event, Request, Rules, Step};
use crate::Signature;
use crate::channel::fixtures::{
    CHAIN, PRICE, admitted, authorizer, config, keys, payer, rule, state, terms,
};
use crate::channel::payer;
use crate::channel::{ChainState, ChannelConfig, Payload, Terms, Voucher, typed};
use crate::fixtures::NOW;
use crate::x402::Reason;

mod collector;
mod refunds;
mod strangers;

const RULES: Rules = Rules {
    mirror_ttl_s: 60,
    enforce_min_deposit: true,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs().saturating_add(seconds))
}

fn voucher(total: u128) -> Payload {
    voucher_of(config(), total)
}

fn voucher_of(config: ChannelConfig, total: u128) -> Payload {
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(total), CHAIN, &payer()).unwrap();
    Payload::Voucher { config, voucher }
}

fn refund(total: u128) -> Payload {
    let payload = voucher(total);
    let (config, voucher) = payload.channel().unwrap();
    Payload::Refund {
        config: config.clone(),
        voucher: voucher.clone(),
        amount: None,
        order: None,
    }
}

fn deposit(amount: u128) -> Payload {
    let mut channel = payer::Channel::new(config(), CHAIN);
    let wallet = payer();
    let payment = channel
        .pay(
            &admitted(),
            &keys(&wallet),
            &rule(),
            B256::repeat_byte(3),
            NOW,
        )
        .unwrap();
    let mut payload = Payload::parse(payment.payload.payload()).unwrap();
    if let Payload::Deposit { deposit, .. } = &mut payload {
        deposit.amount = Amount::new(amount);
    }
    payload
}

fn begin(channel: &mut Channel, payload: &Payload, now: Timestamp) -> Result<Step, Decline> {
    let terms = terms();
    let request = Request {
        payload,
        terms: &terms,
    };
    channel.begin(&request, &RULES, 1, now)
}

/// A channel of 10,000 in which 2,000 were charged and 1,000 claimed, last seen now.
fn open() -> Channel {
    let mut channel = Channel::new(config(), CHAIN);
    begin(&mut channel, &voucher(PRICE * 2), NOW).unwrap();
    channel.confirm(1, state(10_000, 1_000), NOW).unwrap();
    channel.commit(1, Amount::new(PRICE), NOW).unwrap();
    channel
}

fn refused(result: Result<Step, Decline>) -> Reason {
    result.unwrap_err().reason()
}

#[test]
fn a_fresh_mirror_needs_no_chain() {
    let mut channel = open();
    assert_eq!(
        begin(&mut channel, &voucher(3_000), at(60)),
        Ok(Step::Serve)
    );
    let charged = channel.commit(1, Amount::new(400), at(61)).unwrap();
    assert_eq!(charged.cumulative, Amount::new(2_400));
    assert_eq!(channel.unclaimed(), Amount::new(1_400));
    assert_eq!(channel.unclaimed_since(), Some(NOW));
    let claim = channel.claim().unwrap();
    assert_eq!(claim.total_claimed, Amount::new(2_400));
    assert_eq!(claim.max_claimable, Amount::new(3_000));
}

#[test]
fn an_old_mirror_a_clock_set_back_and_a_contract_payer_are_asked_for() {
    let mut channel = open();
    assert_eq!(
        begin(&mut channel, &voucher(3_000), at(61)),
        Ok(Step::Verify)
    );
    let mut channel = open();
    let earlier = Timestamp::from_secs(NOW.as_secs() - 1);
    assert_eq!(
        begin(&mut channel, &voucher(3_000), earlier),
        Ok(Step::Verify)
    );

    let wallet = ChannelConfig {
        payer_authorizer: Address::ZERO,
        ..config()
    };
    let mut channel = Channel::new(wallet.clone(), CHAIN);
    channel.observe(state(10_000, 0), NOW);
    let payload = voucher_of(wallet, 1_000);
    assert_eq!(begin(&mut channel, &payload, NOW), Ok(Step::Verify));
}

#[test]
fn what_is_asked_for_is_not_charged_before_the_answer() {
    let mut channel = open();
    begin(&mut channel, &voucher(3_000), at(61)).unwrap();
    let early = channel.commit(1, Amount::new(1), at(61)).unwrap_err();
    assert_eq!(early, Reason::InvalidBatchSettlementEvmChannelBusy);
}

#[test]
fn only_a_payers_payload_begins() {
    let mut channel = open();
    let settle = Payload::Settle {
        receiver: Address::ZERO,
        token: Address::ZERO,
    };
    let reason = refused(begin(&mut channel, &settle, NOW));
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmPayloadType);
}

#[test]
fn another_channels_voucher_is_refused() {
    let mut channel = open();
    let other = ChannelConfig {
        salt: B256::repeat_byte(1),
        ..config()
    };
    let reason = refused(begin(&mut channel, &voucher_of(other, 3_000), NOW));
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmChannelIdMismatch);
    let other = ChannelConfig {
        receiver: Address::repeat_byte(1),
        ..config()
    };
    let reason = refused(begin(&mut channel, &voucher_of(other, 3_000), NOW));
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmReceiverMismatch);
}

#[test]
fn a_small_deposit_is_refused_only_where_the_seller_insists() {
    let mut channel = Channel::new(config(), CHAIN);
    let reason = refused(begin(&mut channel, &deposit(4_999), NOW));
    assert_eq!(
        reason,
        Reason::InvalidBatchSettlementEvmDepositBelowMinDeposit
    );
    let terms = terms();
    let payload = deposit(4_999);
    let request = Request {
        payload: &payload,
        terms: &terms,
    };
    let step = channel.begin(&request, &Rules::default(), 1, NOW);
    assert_eq!(step, Ok(Step::Deposit));
}

#[test]
fn one_signature_of_another_key_tells_nothing() {
    let mut channel = open();
    let mut payload = voucher(9_999);
    if let Payload::Voucher { voucher, .. } = &mut payload {
        voucher.signature = authorizer().sign_hash(&B256::ZERO).as_bytes().to_vec();
    }
    let decline = begin(&mut channel, &payload, NOW).unwrap_err();
    let reason = Reason::InvalidBatchSettlementEvmVoucherSignature;
    assert_eq!(decline, Decline::Refused(reason));
}

#[test]
fn any_other_total_gets_the_books() {
    for total in [0, 2_000, 2_999, 3_001, 4_000] {
        let mut channel = open();
        let decline = begin(&mut channel, &voucher(total), NOW).unwrap_err();
        let Decline::Corrective(books) = decline else {
            panic!("{total}");
        };
        assert_eq!(books.charged, Some(Amount::new(2_000)));
        assert_eq!(books.voucher.as_ref().unwrap().0, Amount::new(2_000));
        let (ceiling, signature) = books.voucher.unwrap();
        let digest = typed::voucher_digest(&channel.id(), ceiling, CHAIN);
        let signer = Signature::parse(&signature).unwrap().recover(&digest);
        assert_eq!(signer, Ok(payer().address()));
        assert!(!channel.busy());
    }
}

#[test]
fn a_held_channel_is_busy() {
    let mut channel = open();
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    let reason = refused(begin(&mut channel, &voucher(3_000), NOW));
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmChannelBusy);
    channel.cancel(2);
    assert!(channel.busy());
    channel.cancel(1);
    assert_eq!(begin(&mut channel, &voucher(3_000), NOW), Ok(Step::Serve));
}

#[test]
fn a_promise_beyond_the_balance_is_refused() {
    let mut channel = open();
    channel.observe(state(2_999, 1_000), NOW);
    let reason = refused(begin(&mut channel, &voucher(3_000), NOW));
    assert_eq!(
        reason,
        Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance
    );
}

#[test]
fn nothing_is_served_while_the_payer_withdraws() {
    let mut channel = open();
    let withdrawing = ChainState {
        withdraw_requested_at_s: NOW.as_secs(),
        ..state(10_000, 1_000)
    };
    channel.observe(withdrawing, NOW);
    let reason = refused(begin(&mut channel, &voucher(3_000), NOW));
    assert_eq!(
        reason,
        Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance
    );
    // A refund is what ends it well.
    assert_eq!(begin(&mut channel, &refund(2_000), NOW), Ok(Step::Verify));
}

#[test]
fn a_charge_above_the_promise_is_refused_and_releases() {
    let mut channel = open();
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    let reason = channel.commit(1, Amount::new(1_001), NOW).unwrap_err();
    assert_eq!(
        reason,
        Reason::InvalidBatchSettlementEvmChargeExceedsSignedCumulative
    );
    assert_eq!(channel.charged(), Amount::new(2_000));
    assert!(!channel.busy());
}

#[test]
fn only_the_holder_charges() {
    let mut channel = open();
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    let reason = channel.commit(2, Amount::new(1), NOW).unwrap_err();
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmChannelBusy);
    channel.commit(1, Amount::new(1), NOW).unwrap();
    let reason = channel.commit(1, Amount::new(1), NOW).unwrap_err();
    assert_eq!(reason, Reason::InvalidBatchSettlementEvmChannelBusy);
}

#[test]
fn new_books_believe_no_base_below_the_chain() {
    let mut channel = Channel::new(config(), CHAIN);
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    let decline = channel.confirm(1, state(10_000, 2_500), NOW).unwrap_err();
    let Decline::Corrective(books) = decline else {
        panic!("a correction");
    };
    assert_eq!(books.charged, Some(Amount::new(2_500)));
    assert_eq!(books.voucher, None);
    // The next voucher answers it.
    assert_eq!(begin(&mut channel, &voucher(3_500), NOW), Ok(Step::Serve));
}

#[test]
fn new_books_take_the_payers_word_that_it_owes_more() {
    let mut channel = Channel::new(config(), CHAIN);
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    channel.confirm(1, state(10_000, 500), NOW).unwrap();
    channel.commit(1, Amount::new(PRICE), NOW).unwrap();
    assert_eq!(channel.charged(), Amount::new(3_000));
    assert_eq!(channel.unclaimed(), Amount::new(2_500));
}

#[test]
fn what_the_chain_covers_too_little_is_refused_after_asking() {
    for (chain, reason) in [
        (
            state(999, 0),
            Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance,
        ),
        (
            ChainState {
                withdraw_requested_at_s: 1,
                ..state(9_999, 0)
            },
            Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance,
        ),
    ] {
        let mut channel = Channel::new(config(), CHAIN);
        begin(&mut channel, &voucher(1_000), NOW).unwrap();
        let decline = channel.confirm(1, chain, NOW).unwrap_err();
        assert_eq!(decline, Decline::Refused(reason));
        assert!(!channel.busy());
    }
}

#[test]
fn a_lagging_endpoint_does_not_unclaim() {
    let mut channel = open();
    channel.claimed(Amount::new(2_000), NOW);
    channel.observe(state(10_000, 1_000), NOW);
    assert_eq!(channel.unclaimed(), Amount::ZERO);
    assert_eq!(channel.claim(), None);
}

#[test]
fn the_answer_is_the_official_servers() {
    let mut channel = open();
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    let charged = channel.commit(1, Amount::new(400), NOW).unwrap();
    let response = channel.response("eip155:8453", charged.amount, None);
    let json: serde_json::Value = serde_json::from_str(&response.to_json()).unwrap();
    assert_eq!(json["success"], true);
    assert_eq!(json["transaction"], "");
    assert_eq!(json["amount"], "");
    assert_eq!(json["extra"]["chargedAmount"], "400");
    let state = &json["extra"]["channelState"];
    assert_eq!(state["chargedCumulativeAmount"], "2400");
    assert_eq!(state["balance"], "10000");
    assert_eq!(state["totalClaimed"], "1000");
    assert_eq!(state["refundNonce"], "0");
    assert_eq!(state["withdrawRequestedAt"], 0);
}

#[test]
fn books_survive_their_bytes_without_what_was_held() {
    let mut channel = open();
    let stored = Channel::decode(&channel.encode()).unwrap();
    assert_eq!(stored, channel);
    begin(&mut channel, &voucher(3_000), NOW).unwrap();
    let noted = channel.with_charge(1, Amount::new(10), NOW).unwrap();
    assert_eq!(noted.charged(), Amount::new(2_010));
    assert_eq!(channel.charged(), Amount::new(2_000));
    let stored = Channel::decode(&channel.encode()).unwrap();
    assert!(!stored.busy());
}

#[test]
fn books_that_charge_more_than_was_promised_are_no_books() {
    let text = String::from_utf8(open().encode()).unwrap();
    let forged = text.replace(
        r#""chargedCumulativeAmount":"2000""#,
        r#""chargedCumulativeAmount":"2001""#,
    );
    assert_ne!(text, forged);
    assert_eq!(
        Channel::decode(forged.as_bytes()).unwrap_err(),
        crate::Malformed::Field("chargedCumulativeAmount")
    );
    let newer = text.replace(r#""v":1"#, r#""v":2"#);
    assert_eq!(
        Channel::decode(newer.as_bytes()).unwrap_err(),
        crate::Malformed::Version
    );
}
