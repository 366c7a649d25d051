use alloy_primitives::B256;
use seamline_core::{Amount, Timestamp};
use serde_json::{Value, json};

use super::{Channel, Pool, Refusal};
use crate::channel::fixtures::{
    CHAIN, PRICE, admitted, authorizer, config, keys, offer, payer, read, rule, state,
};
use crate::channel::{ChainState, CorrectiveState, Payload, Voucher};
use crate::fixtures::NOW;
use crate::x402::{Offer, Reason, SettleResponse};

mod corrections;

const SALT: B256 = B256::repeat_byte(5);

fn pay(channel: &mut Channel) -> Result<super::Payment, Refusal> {
    let wallet = payer();
    channel.pay(&admitted(), &keys(&wallet), &rule(), SALT, NOW)
}

fn answer(charged: &str, total: Option<&str>) -> SettleResponse {
    let mut extra = json!({ "chargedAmount": charged });
    if let Some(total) = total {
        extra["channelState"] = json!({ "chargedCumulativeAmount": total });
    }
    SettleResponse {
        success: true,
        error_reason: None,
        extra: Some(extra),
        ..SettleResponse::failed("eip155:8453", None, Reason::SettlementPending, None)
    }
}

/// A channel with a deposit of 5,000 of which 600 were charged.
fn open() -> Channel {
    let mut channel = Channel::new(config(), CHAIN);
    pay(&mut channel).unwrap();
    channel.answered(&answer("600", Some("600"))).unwrap();
    channel
}

#[test]
fn the_first_payment_deposits_and_the_next_do_not() {
    let mut channel = Channel::new(config(), CHAIN);
    let first = pay(&mut channel).unwrap();
    assert_eq!(first.deposit, Some(Amount::new(5_000)));
    assert_eq!(first.max_claimable, Amount::new(PRICE));
    channel.answered(&answer("600", Some("600"))).unwrap();
    let second = pay(&mut channel).unwrap();
    assert_eq!(second.deposit, None);
    assert_eq!(second.max_claimable, Amount::new(1_600));
    let payload = Payload::parse(second.payload.payload()).unwrap();
    assert!(matches!(payload, Payload::Voucher { .. }));
    assert_eq!(second.payload.accepted().raw(), read(&offer()).raw());
}

#[test]
fn a_deposit_is_five_prices_what_the_seller_wishes_or_what_is_needed() {
    let wallet = payer();
    let amount = |price: u128, wish: Value| {
        let mut asked = offer();
        asked["amount"] = json!(price.to_string());
        asked["extra"]["minDeposit"] = wish;
        let admitted = crate::channel::fixtures::admitted_of(&asked);
        let mut channel = Channel::new(config(), CHAIN);
        let payment = channel.pay(&admitted, &keys(&wallet), &rule(), SALT, NOW);
        payment.map(|payment| payment.deposit.unwrap().get())
    };
    assert_eq!(amount(1_000, Value::Null), Ok(5_000));
    assert_eq!(amount(1_000, json!("7000")), Ok(7_000));
    // A wish below the price is none.
    assert_eq!(amount(1_000, json!("999")), Ok(5_000));
    // The policy lets a channel hold 20,000.
    assert_eq!(amount(9_000, Value::Null), Ok(20_000));
}

#[test]
fn a_channel_never_holds_more_than_the_policy_lets_it() {
    let wallet = payer();
    // What is held, the policy's cap, and what comes of a request for 1,000.
    let cases = [
        (0, 1_000, Ok(Some(1_000))),
        (0, 4_999, Ok(Some(4_999))),
        (0, 20_000, Ok(Some(5_000))),
        (300, 1_000, Ok(Some(700))),
        (999, 1_000, Ok(Some(1))),
        (1_000, 1_000, Ok(None)),
    ];
    for (held, cap, expected) in cases {
        let mut asked = offer();
        asked["extra"]["minDeposit"] = Value::Null;
        let mut policy = crate::channel::fixtures::policy();
        policy.per_channel = Some(Amount::new(cap));
        let required = crate::fixtures::required(std::slice::from_ref(&asked));
        let spent = crate::policy::Spent::default();
        let admitted = policy
            .admit(&required, crate::fixtures::SELLER, &spent)
            .unwrap();
        let mut channel = Channel::new(config(), CHAIN);
        channel.charged = Amount::new(50_000);
        channel.maybe_charged = channel.charged;
        channel.signed = channel.charged;
        channel.balance = Amount::new(50_000 + held);
        let payment = channel.pay(&admitted, &keys(&wallet), &rule(), SALT, NOW);
        let deposit = payment.map(|payment| payment.deposit.map(Amount::get));
        assert_eq!(deposit, expected, "{held} {cap}");
    }
}

#[test]
fn a_promise_that_the_cap_cannot_cover_is_refused() {
    let wallet = payer();
    let mut policy = crate::channel::fixtures::policy();
    policy.per_channel = Some(Amount::new(5_000));
    let required = crate::fixtures::required(std::slice::from_ref(&offer()));
    let spent = crate::policy::Spent::default();
    let admitted = policy
        .admit(&required, crate::fixtures::SELLER, &spent)
        .unwrap();
    // The seller claimed more than it had charged, so that the channel holds less than nothing.
    let mut channel = Channel::new(config(), CHAIN);
    channel.charged = Amount::new(4_500);
    channel.maybe_charged = channel.charged;
    channel.signed = channel.charged;
    channel.balance = Amount::new(100);
    let before = channel.clone();
    let refused = channel.pay(&admitted, &keys(&wallet), &rule(), SALT, NOW);
    assert_eq!(
        refused.unwrap_err(),
        Refusal::DepositCap {
            needed: Amount::new(5_400),
            left: Amount::new(5_000),
        }
    );
    assert_eq!(channel, before);
}

#[test]
fn one_payment_at_a_time() {
    let mut channel = open();
    pay(&mut channel).unwrap();
    assert_eq!(pay(&mut channel).unwrap_err(), Refusal::Busy);
    channel.lost();
    // The same total again: nothing more is promised than before.
    let again = pay(&mut channel).unwrap();
    assert_eq!(again.max_claimable, Amount::new(1_600));
    assert_eq!(channel.signed(), Amount::new(1_600));
}

#[test]
fn another_offer_or_key_is_not_this_channels() {
    let mut channel = open();
    let other = authorizer();
    let mut asked = offer();
    asked["extra"]["withdrawDelay"] = json!(901);
    let admitted_other = crate::channel::fixtures::admitted_of(&asked);
    let wallet = payer();
    for (admitted, key) in [(&admitted_other, &wallet), (&admitted(), &other)] {
        let refused = channel.pay(admitted, &keys(key), &rule(), SALT, NOW);
        assert_eq!(refused.unwrap_err(), Refusal::OtherChannel);
    }
}

#[test]
fn a_closed_channel_signs_no_more() {
    let mut channel = open();
    assert!(channel.close_call(Amount::new(1)).is_some());
    assert_eq!(pay(&mut channel).unwrap_err(), Refusal::Closing);
}

#[test]
fn a_lost_deposit_is_presented_again_never_replaced() {
    let mut channel = Channel::new(config(), CHAIN);
    let first = pay(&mut channel).unwrap();
    channel.lost();
    let wallet = payer();
    let other_salt = B256::repeat_byte(6);
    let later = Timestamp::from_secs(NOW.as_secs() + 100);
    let again = channel
        .pay(&admitted(), &keys(&wallet), &rule(), other_salt, later)
        .unwrap();
    assert_eq!(
        first.payload.payload()["deposit"],
        again.payload.payload()["deposit"]
    );
    channel.lost();
    // About to expire: only the chain can say what became of it.
    let end = Timestamp::from_secs(NOW.as_secs() + 294);
    let refused = channel.pay(&admitted(), &keys(&wallet), &rule(), other_salt, end);
    assert_eq!(refused.unwrap_err(), Refusal::DepositUnknown);
    let landed = channel.observe(&state(5_000, 0), Some(true), end);
    assert!(!landed.deposit_open);
    let voucher = channel
        .pay(&admitted(), &keys(&wallet), &rule(), other_salt, end)
        .unwrap();
    assert_eq!(voucher.deposit, None);
}

#[test]
fn a_deposit_that_the_chain_does_not_have_is_open_until_it_expires() {
    let mut channel = Channel::new(config(), CHAIN);
    pay(&mut channel).unwrap();
    channel.lost();
    let end = Timestamp::from_secs(NOW.as_secs() + 300);
    assert!(channel.open_nonce().is_some());
    let seen = channel.observe(&state(0, 0), Some(false), NOW);
    assert!(seen.deposit_open);
    let seen = channel.observe(&state(0, 0), None, end);
    assert!(seen.deposit_open, "nobody looked at the nonce");
    let seen = channel.observe(&state(0, 0), Some(false), end);
    assert!(!seen.deposit_open);
}

#[test]
fn an_open_deposit_is_not_counted_twice() {
    let mut channel = Channel::new(config(), CHAIN);
    pay(&mut channel).unwrap();
    channel.lost();
    // It landed, but nobody looked at its nonce.
    channel.observe(&state(5_000, 0), None, NOW);
    pay(&mut channel).unwrap();
    channel.answered(&answer("1000", None)).unwrap();
    assert_eq!(channel.free(), Amount::new(4_000));
}

#[test]
fn what_was_never_sent_needs_no_answer() {
    let mut channel = Channel::new(config(), CHAIN);
    pay(&mut channel).unwrap();
    channel.unsent();
    assert!(channel.open_deposit_of().is_none());
    pay(&mut channel).unwrap();
    channel.lost();
    pay(&mut channel).unwrap();
    channel.unsent();
    assert!(channel.open_deposit_of().is_some(), "it was sent before");
}

#[test]
fn an_answer_that_charges_too_much_is_not_believed() {
    for (charged, total) in [("1001", None), ("1000", Some("2000")), ("0", Some("1"))] {
        let mut channel = open();
        pay(&mut channel).unwrap();
        let refused = channel.answered(&answer(charged, total)).unwrap_err();
        assert!(matches!(refused, Refusal::Overcharged { .. }), "{charged}");
        assert_eq!(channel.charged(), Amount::new(600));
        assert!(!channel.busy());
    }
    for extra in [
        json!({}),
        json!({ "chargedAmount": "-1" }),
        json!({ "chargedAmount": 1.5 }),
    ] {
        let mut channel = open();
        pay(&mut channel).unwrap();
        let mut response = answer("0", None);
        response.extra = Some(extra);
        assert_eq!(channel.answered(&response).unwrap_err(), Refusal::Malformed);
    }
}

#[test]
fn a_refused_payment_stays_owed_until_it_is_settled() {
    let mut channel = open();
    pay(&mut channel).unwrap();
    let busy = Reason::InvalidBatchSettlementEvmChannelBusy;
    let response = SettleResponse::failed("eip155:8453", None, busy.clone(), None);
    assert_eq!(
        channel.answered(&response).unwrap_err(),
        Refusal::Refused(busy)
    );
    assert_eq!(channel.free(), Amount::new(5_000 - 1_600));
}

#[test]
fn a_seller_that_claims_more_than_it_said_shows() {
    let mut channel = open();
    let seen = channel.observe(&state(5_000, 600), None, NOW);
    assert_eq!(seen.overclaimed, Amount::ZERO);
    let seen = channel.observe(&state(5_000, 1_000), None, NOW);
    assert_eq!(seen.overclaimed, Amount::new(400));
    assert_eq!(channel.charged(), Amount::new(1_000));
}

#[test]
fn a_refund_promises_exactly_what_was_charged() {
    let mut channel = open();
    let wallet = payer();
    let refund = channel.refund(&admitted(), &keys(&wallet), None).unwrap();
    assert_eq!(refund.max_claimable, Amount::new(600));
    let mut response = answer("0", None);
    response.amount = Some("4400".to_owned());
    assert_eq!(channel.answered(&response), Ok(Amount::ZERO));
    assert_eq!(channel.free(), Amount::ZERO);
    // What was signed before is signed for ever.
    assert_eq!(channel.signed(), Amount::new(1_000));
}

#[test]
fn books_survive_their_bytes_and_forget_no_promise() {
    let mut channel = open();
    assert_eq!(Channel::decode(&channel.encode()).unwrap(), channel);
    pay(&mut channel).unwrap();
    let stored = Channel::decode(&channel.encode()).unwrap();
    assert!(!stored.busy());
    assert_eq!(stored.signed(), Amount::new(1_600));
    assert_eq!(stored.free(), Amount::new(5_000 - 1_600));
    let text = String::from_utf8(open().encode()).unwrap();
    let forged = text.replace(r#""signed":"1000""#, r#""signed":"599""#);
    assert_ne!(text, forged);
    let refused = Channel::decode(forged.as_bytes()).unwrap_err();
    assert_eq!(refused, crate::Malformed::Field("signed"));
}

#[test]
fn a_pool_gives_parallel_requests_channels_of_their_own() {
    let wallet = payer();
    let mut pool = Pool::new([6; 32], B256::repeat_byte(8), 3);
    let pay = |pool: &mut Pool, salt: u8| {
        let salt = B256::repeat_byte(salt);
        pool.pay(&admitted(), &keys(&wallet), &rule(), salt, NOW)
    };
    let (first, _) = pay(&mut pool, 1).unwrap();
    let (second, _) = pay(&mut pool, 2).unwrap();
    let (third, _) = pay(&mut pool, 3).unwrap();
    assert!(first != second && second != third && third != first);
    assert_eq!(pay(&mut pool, 4).unwrap_err(), Refusal::Busy);
    let answered = pool.get_mut(&second).unwrap();
    answered.answered(&answer("1000", None)).unwrap();
    // The one that is filled and idle.
    let (again, payment) = pay(&mut pool, 5).unwrap();
    assert_eq!(again, second);
    assert_eq!(payment.deposit, None);
}

/// Many sellers, or one with many addresses, cannot lock up more than a day may cost.
#[test]
fn all_channels_together_hold_no_more_than_a_day_may_cost() {
    let wallet = payer();
    let mut policy = crate::channel::fixtures::policy();
    policy.per_day = Amount::new(12_000);
    let required = crate::fixtures::required(std::slice::from_ref(&offer()));
    let spent = crate::policy::Spent::default();
    let admitted = policy
        .admit(&required, crate::fixtures::SELLER, &spent)
        .unwrap();
    let mut pool = Pool::new([6; 32], B256::repeat_byte(8), 5);
    let mut deposits = Vec::new();
    for salt in 1..=3 {
        let salt = B256::repeat_byte(salt);
        let (id, payment) = pool
            .pay(&admitted, &keys(&wallet), &rule(), salt, NOW)
            .unwrap();
        deposits.push(payment.deposit.unwrap().get());
        // Whether it lands is not known: it counts.
        pool.get_mut(&id).unwrap().lost();
        pool.get_mut(&id).unwrap().closing = true;
    }
    assert_eq!(deposits, [5_000, 5_000, 2_000]);
    let refused = pool.pay(&admitted, &keys(&wallet), &rule(), SALT, NOW);
    let cap = Refusal::DepositCap {
        needed: Amount::new(PRICE),
        left: Amount::ZERO,
    };
    assert_eq!(refused.unwrap_err(), cap);
    // Nor in a channel of the caller's choice.
    let empty = pool.channels().last().unwrap().id();
    let refused = pool.pay_in(&empty, &admitted, &keys(&wallet), &rule(), SALT, NOW);
    assert_eq!(refused.unwrap_err(), cap);
}

#[test]
fn two_installations_do_not_share_channels() {
    let wallet = payer();
    let mut ids = Vec::new();
    for seed in [1, 2] {
        let mut pool = Pool::new([6; 32], B256::repeat_byte(seed), 1);
        let (id, _) = pool
            .pay(&admitted(), &keys(&wallet), &rule(), SALT, NOW)
            .unwrap();
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn the_chain_is_asked_about_withdrawals_with_these_calls() {
    let mut channel = open();
    let ask = channel.close_call(Amount::new(7)).unwrap();
    assert_eq!(hex::encode(&ask[..4]), "cf5cf3dc");
    let fetch = channel.finalize_call().unwrap();
    assert_eq!(hex::encode(&fetch[..4]), "e88377b1");
    assert_eq!(ChainState::default().unclaimed(), Amount::ZERO);
}
