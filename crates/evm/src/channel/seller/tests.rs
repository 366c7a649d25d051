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

const RULES: Rules = Rules {
    mirror_ttl_s: 60,
    enforce_min_deposit: true,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + seconds)
}

fn voucher(total: u128) -> Payload {
    voucher_of(config(), total)
}

fn voucher_of(config: ChannelConfig, total: u128) -> Payload {
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(total), CHAIN, &payer()).unwrap();
    Payload::Voucher { config, voucher }
}

fn refund(total: u128) -> Payload {
    let Payload::Voucher { config, voucher } = voucher(total) else {
        unreachable!()
    };
    Payload::Refund {
        config,
        voucher,
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

const CLAIM_RULES: ClaimRules = ClaimRules {
    at_amount: Amount::new(5_000),
    max_age_s: 10_000,
    watch_s: 60,
    max_rows: 30,
    retry_s: 15,
};

fn owing(salt: u8, amount: u128) -> Channel {
    let config = ChannelConfig {
        salt: B256::repeat_byte(salt),
        ..config()
    };
    let mut channel = Channel::new(config.clone(), CHAIN);
    channel.observe(state(100_000, 0), NOW);
    let mut terms: Terms = terms();
    terms.amount = Amount::new(amount);
    let payload = voucher_of(config, amount);
    let request = Request {
        payload: &payload,
        terms: &terms,
    };
    channel.begin(&request, &RULES, 1, NOW).unwrap();
    channel.commit(1, Amount::new(amount), NOW).unwrap();
    channel
}

fn claimed_ids(actions: &[Action]) -> Vec<B256> {
    let claims = actions.iter().find_map(|action| match action {
        Action::Claim(claims) => Some(claims),
        Action::Settle { .. } | Action::Watch(_) => None,
    });
    let claims = claims.map(Vec::as_slice).unwrap_or_default();
    claims.iter().map(|it| it.config.id(CHAIN)).collect()
}

#[test]
fn a_channel_is_claimed_at_the_amount_at_the_age_and_on_a_withdrawal() {
    let small = owing(1, 4_999);
    let mut collector = Collector::new(CLAIM_RULES);
    let tick = |collector: &mut Collector, channel: &Channel, seconds| {
        let channels = std::slice::from_ref(channel);
        claimed_ids(&collector.on_event(Event::Tick(channels), at(seconds)))
    };
    assert!(tick(&mut collector, &small, 0).is_empty());
    // A third of the withdrawal delay, although the rule allows ten thousand seconds.
    assert!(tick(&mut collector, &small, 299).is_empty());
    assert_eq!(tick(&mut collector, &small, 300), [small.id()]);

    let mut collector = Collector::new(CLAIM_RULES);
    let large = owing(1, 5_000);
    assert_eq!(tick(&mut collector, &large, 0), [large.id()]);

    let mut collector = Collector::new(CLAIM_RULES);
    let mut leaving = owing(1, 1);
    let chain = ChainState {
        withdraw_requested_at_s: NOW.as_secs(),
        ..state(100_000, 0)
    };
    leaving.observe(chain, NOW);
    assert_eq!(tick(&mut collector, &leaving, 0), [leaving.id()]);
}

#[test]
fn paying_out_waits_for_the_claim() {
    let channel = owing(1, 5_000);
    let channels = [channel];
    let mut collector = Collector::new(CLAIM_RULES);
    let actions = collector.on_event(Event::Tick(&channels), NOW);
    assert_eq!(actions.len(), 1);
    assert!(collector.on_event(Event::Tick(&channels), NOW).is_empty());
    let config = channels[0].config();
    let settle = Action::Settle {
        receiver: config.receiver,
        token: config.token,
    };
    assert_eq!(collector.on_event(Event::Claimed, NOW), [settle.clone()]);
    assert!(collector.on_event(Event::SettleFailed, NOW).is_empty());
    assert!(collector.on_event(Event::Tick(&[]), at(14)).is_empty());
    assert_eq!(collector.on_event(Event::Tick(&[]), at(15)), [settle]);
    assert!(collector.on_event(Event::Settled, at(16)).is_empty());
    assert!(collector.on_event(Event::Tick(&[]), at(99)).is_empty());
}

#[test]
fn one_bad_channel_does_not_keep_the_others_from_being_claimed() {
    let channels = [owing(1, 5_000), owing(2, 5_000), owing(3, 5_000)];
    let mut collector = Collector::new(CLAIM_RULES);
    let first = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
    assert_eq!(first.len(), 3);
    collector.on_event(Event::ClaimFailed, NOW);
    let mut alone = Vec::new();
    for _ in 0..3 {
        let ids = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
        assert_eq!(ids.len(), 1);
        alone.extend(ids);
        // This one fails again and waits; the next gets its turn.
        collector.on_event(Event::ClaimFailed, NOW);
    }
    alone.sort();
    alone.dedup();
    assert_eq!(alone.len(), 3);
    assert!(
        collector
            .on_event(Event::Tick(&channels), at(14))
            .is_empty()
    );
    let again = claimed_ids(&collector.on_event(Event::Tick(&channels), at(15)));
    assert_eq!(again.len(), 1);
}

#[test]
fn a_claim_has_one_authorizer_and_never_more_than_the_balance() {
    let mut other = config();
    other.receiver_authorizer = payer().address();
    let mut foreign = Channel::new(other.clone(), CHAIN);
    let mut terms = terms();
    terms.receiver_authorizer = payer().address();
    terms.amount = Amount::new(6_000);
    let payload = voucher_of(other, 6_000);
    let request = Request {
        payload: &payload,
        terms: &terms,
    };
    foreign.observe(state(6_000, 0), NOW);
    foreign.begin(&request, &RULES, 1, NOW).unwrap();
    foreign.commit(1, Amount::new(6_000), NOW).unwrap();
    foreign.observe(state(5_500, 0), NOW);
    assert_eq!(foreign.claim().unwrap().total_claimed, Amount::new(5_500));

    let channels = [owing(1, 5_000), foreign];
    let mut collector = Collector::new(CLAIM_RULES);
    let first = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
    assert_eq!(first.len(), 1);
}

#[test]
fn a_claim_has_no_more_rows_than_it_may() {
    let channels = [owing(1, 5_000), owing(2, 5_000), owing(3, 5_000)];
    let mut collector = Collector::new(ClaimRules {
        max_rows: 2,
        ..CLAIM_RULES
    });
    let first = claimed_ids(&collector.on_event(Event::Tick(&channels), NOW));
    assert_eq!(first.len(), 2);
}

#[test]
fn what_is_owed_is_watched() {
    let mut quiet = owing(1, 1);
    quiet.claimed(Amount::new(1), NOW);
    let owed = owing(2, 1);
    let mut collector = Collector::new(CLAIM_RULES);
    let channels = [quiet, owed];
    assert!(
        collector
            .on_event(Event::Tick(&channels), at(59))
            .is_empty()
    );
    let actions = collector.on_event(Event::Tick(&channels), at(60));
    assert_eq!(actions, [Action::Watch(vec![channels[1].id()])]);
}
