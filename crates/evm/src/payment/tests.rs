use alloy_primitives::{Address, B256};

use core::time::Duration;

use super::*;
use crate::chain::{Block, ChainFacts, SettlementFacts};
use crate::scheme::{Method, Scheme};

const NONCE: B256 = B256::repeat_byte(1);
const NOW: Timestamp = Timestamp::from_secs(1_000);

fn terms(digest: u8) -> Terms {
    Terms {
        scheme: Scheme::Upto,
        method: Method::Permit2,
        key: B256::repeat_byte(2),
        auth_nonce: NONCE,
        digest: B256::repeat_byte(digest),
        pay_to: Address::repeat_byte(digest),
        amount: Amount::new(u128::from(digest)),
        deadline_s: 1_060,
    }
}

fn digest(of: u8) -> B256 {
    B256::repeat_byte(of)
}

fn facts(nonce_used: bool, settled: bool, time_s: u64) -> ChainFacts {
    let settlement = SettlementFacts {
        transaction: B256::repeat_byte(7),
        block_number: 4,
        block_hash: B256::repeat_byte(8),
        amount: Amount::new(3),
        pay_to: Address::repeat_byte(5),
    };
    ChainFacts {
        nonce_used,
        cancelled: false,
        settlement: settled.then_some(settlement),
        block: Block {
            number: 5,
            hash: B256::repeat_byte(9),
            time_s,
        },
    }
}

fn unspent(time_s: u64) -> Event {
    Event::ChainSays(facts(false, false, time_s))
}

fn reply(transaction: Option<B256>) -> Event {
    let payer = Address::ZERO;
    let settled = SettleResponse::settled("eip155:1", payer, transaction, Amount::new(3));
    Event::ReplyOk(Box::new(settled))
}

/// Gives an event when the block of the chain's word is the newest; others at [`NOW`].
#[track_caller]
fn step(payment: &mut Payment, event: Event) -> Vec<Action> {
    let now = match &event {
        Event::ChainSays(facts) => Timestamp::from_secs(facts.block.time_s),
        Event::Signed(_)
        | Event::AuthorizationStored
        | Event::Sent
        | Event::NotSent
        | Event::GivenUp
        | Event::ReplyOk(_)
        | Event::ReplyMute
        | Event::ReplyLost
        | Event::ReplyRefused(_)
        | Event::ChainSilent
        | Event::Woken => NOW,
    };
    payment.on_event(event, now).unwrap()
}

fn sent() -> Payment {
    let mut payment = Payment::new(NONCE);
    assert_eq!(
        step(&mut payment, Event::Signed(terms(5))),
        [Action::Store(digest(5))]
    );
    assert_eq!(payment.charged(), Charged::No);
    assert_eq!(
        step(&mut payment, Event::AuthorizationStored),
        [Action::Send(digest(5))]
    );
    assert_eq!(step(&mut payment, Event::Sent), []);
    assert_eq!(payment.charged(), Charged::Unknown);
    assert_eq!(payment.reserved(), Amount::new(5));
    payment
}

#[test]
fn a_reply_is_settled_only_once_the_chain_shows_it() {
    let mut payment = sent();
    let transaction = Some(B256::repeat_byte(7));
    assert_eq!(step(&mut payment, reply(transaction)), [Action::AskChain]);
    assert_eq!(*payment.state(), State::Submitted { transaction });
    assert_eq!(payment.charged(), Charged::Unknown);
    let again = step(&mut payment, unspent(1_001));
    assert_eq!(again, [Action::Wait(Duration::from_millis(100))]);
    assert_eq!(step(&mut payment, Event::Woken), [Action::AskChain]);
    let shown = Event::ChainSays(facts(true, true, 1_002));
    assert_eq!(step(&mut payment, shown), [Action::Conclude]);
    assert!(matches!(payment.state(), State::Settled(_)) && payment.is_final());
    assert_eq!(payment.charged(), Charged::Yes);
    assert_eq!(payment.reserved(), Amount::ZERO);
}

#[test]
fn a_lost_reply_asks_the_chain_and_presents_the_same_bytes() {
    let mut payment = sent();
    for _ in 0..MAX_RESENDS {
        assert_eq!(step(&mut payment, Event::ReplyLost), [Action::AskChain]);
        assert_eq!(
            step(&mut payment, unspent(1_001)),
            [Action::ResendSame(digest(5))]
        );
        assert_eq!(step(&mut payment, Event::Sent), []);
    }
    assert_eq!(step(&mut payment, Event::ReplyLost), [Action::AskChain]);
    let waits = step(&mut payment, unspent(1_001));
    assert_eq!(waits, [Action::Wait(Duration::from_millis(100))]);
    assert_eq!(payment.terms().len(), 1);
}

#[test]
fn a_lost_reply_of_a_settled_payment_is_settled() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyLost);
    let shown = Event::ChainSays(facts(true, true, 1_001));
    assert_eq!(
        step(&mut payment, shown),
        [Action::ResendSame(digest(5))],
        "the answer was paid for"
    );
    assert_eq!(payment.charged(), Charged::Yes);
    // Asked for twice at most, and never unless it was asked for.
    assert_eq!(step(&mut payment, Event::Sent), []);
    assert_eq!(payment.on_event(Event::Sent, NOW), Err(Misuse::Concluded));
    let again = step(&mut payment, Event::ReplyLost);
    assert_eq!(again, [Action::ResendSame(digest(5))]);
    assert_eq!(step(&mut payment, Event::Sent), []);
    assert_eq!(step(&mut payment, Event::ReplyLost), []);
    assert_eq!(payment.on_event(Event::Sent, NOW), Err(Misuse::Concluded));
    assert_eq!(payment.charged(), Charged::Yes);
}

#[test]
fn an_answer_without_a_word_is_not_asked_for_again() {
    let mut payment = sent();
    assert_eq!(step(&mut payment, Event::ReplyMute), [Action::AskChain]);
    let waits = step(&mut payment, unspent(1_001));
    assert_eq!(waits, [Action::Wait(Duration::from_millis(100))]);
    assert_eq!(payment.charged(), Charged::Unknown);
    let mut payment = sent();
    step(&mut payment, Event::ReplyMute);
    let shown = Event::ChainSays(facts(true, true, 1_001));
    assert_eq!(step(&mut payment, shown), [Action::Conclude]);
    assert_eq!(step(&mut payment, Event::ReplyLost), []);
}

#[test]
fn what_did_not_leave_costs_nothing_and_is_tried_again() {
    let mut payment = sent();
    for _ in 0..MAX_RESENDS {
        let again = step(&mut payment, Event::NotSent);
        assert_eq!(again, [Action::Send(digest(5))]);
        assert_eq!(payment.charged(), Charged::No);
        assert_eq!(step(&mut payment, Event::Sent), []);
        assert_eq!(payment.charged(), Charged::Unknown);
    }
    assert_eq!(step(&mut payment, Event::NotSent), [Action::Conclude]);
    assert_eq!(*payment.state(), State::Abandoned);
    assert_eq!(payment.reserved(), Amount::ZERO);
}

#[test]
fn what_did_not_leave_does_not_unsay_what_left_before() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyLost);
    step(&mut payment, unspent(1_001));
    step(&mut payment, Event::Sent);
    assert_eq!(step(&mut payment, Event::NotSent), [Action::AskChain]);
    assert_eq!(payment.charged(), Charged::Unknown);
    // Nor does a presentation that nothing was heard of.
    let mut payment = sent();
    step(&mut payment, Event::Sent);
    assert_eq!(step(&mut payment, Event::NotSent), [Action::AskChain]);
    assert_eq!(payment.charged(), Charged::Unknown);
    for event in [Event::NotSent, Event::ReplyMute] {
        let mut payment = Payment::new(NONCE);
        let refused = payment.on_event(event, NOW);
        assert_eq!(refused, Err(Misuse::OutOfOrder));
    }
}

#[test]
fn a_settlement_that_was_never_signed_is_not_believed() {
    let more = SettlementFacts {
        amount: Amount::new(6),
        ..facts(true, true, 1_001).settlement.unwrap()
    };
    let elsewhere = SettlementFacts {
        pay_to: Address::repeat_byte(6),
        ..facts(true, true, 1_001).settlement.unwrap()
    };
    for lie in [more, elsewhere] {
        let mut payment = sent();
        step(&mut payment, reply(Some(NONCE)));
        let said = ChainFacts {
            settlement: Some(lie),
            ..facts(true, true, 1_001)
        };
        let actions = step(&mut payment, Event::ChainSays(said));
        assert!(matches!(actions.as_slice(), [Action::Wait(_)]));
        assert_eq!(payment.charged(), Charged::Unknown);
        assert_eq!(payment.reserved(), Amount::new(5));
    }
}

#[test]
fn a_chain_that_runs_ahead_frees_no_money() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyMute);
    let early = Timestamp::from_secs(1_060);
    payment.on_event(unspent(5_000), early).unwrap();
    assert_eq!(payment.charged(), Charged::Unknown);
    let late = Timestamp::from_secs(1_061);
    payment.on_event(unspent(5_000), late).unwrap();
    assert_eq!(payment.charged(), Charged::No);
}

#[test]
fn nothing_is_presented_again_after_the_deadline_or_a_refusal() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyLost);
    let late = payment.on_event(unspent(1_001), Timestamp::from_secs(1_060));
    assert!(matches!(late.as_deref(), Ok([Action::Wait(_)])));

    let mut payment = sent();
    let refused = Event::ReplyRefused(Reason::Permit2InsufficientBalance);
    assert_eq!(step(&mut payment, refused), [Action::AskChain]);
    let actions = step(&mut payment, unspent(1_000));
    // The call reports at once; the reservation is looked at again when the deadline has passed.
    let rest = Duration::from_secs(61);
    assert_eq!(actions, [Action::Conclude, Action::Wait(rest)]);
    assert_eq!(payment.charged(), Charged::Unknown);
    assert_eq!(payment.reserved(), Amount::new(5));
}

#[test]
fn a_refusal_in_a_settle_response_is_a_refusal() {
    let mut payment = sent();
    let response = SettleResponse::failed("eip155:1", None, Reason::SettlementPending, None);
    assert_eq!(
        step(&mut payment, Event::ReplyOk(Box::new(response))),
        [Action::AskChain]
    );
    let refused = Some(Reason::SettlementPending);
    assert_eq!(*payment.state(), State::Unknown { refused });
}

#[test]
fn not_settled_needs_a_block_after_the_deadline() {
    let mut payment = sent();
    step(
        &mut payment,
        Event::ReplyRefused(Reason::Permit2InvalidNonce),
    );
    for time_s in [1_001, 1_059, 1_060] {
        step(&mut payment, unspent(time_s));
        assert_eq!(payment.charged(), Charged::Unknown, "{time_s}");
    }
    // A spent nonce is no proof either, whatever the time.
    step(&mut payment, Event::ChainSays(facts(true, false, 2_000)));
    assert_eq!(payment.charged(), Charged::Unknown);
    assert_eq!(step(&mut payment, unspent(1_061)), [Action::Conclude]);
    assert!(matches!(payment.state(), State::NotSettled(block) if block.time_s == 1_061));
    assert_eq!(payment.charged(), Charged::No);
    assert_eq!(payment.reserved(), Amount::ZERO);
}

#[test]
fn nothing_due_is_reported_at_once_and_proven_later() {
    let mut payment = sent();
    let actions = step(&mut payment, reply(None));
    assert_eq!(
        actions,
        [Action::Conclude, Action::Wait(Duration::from_secs(61))]
    );
    assert_eq!(payment.charged(), Charged::Unknown);
    step(&mut payment, Event::Woken);
    assert_eq!(step(&mut payment, unspent(1_061)), [Action::Conclude]);
    assert_eq!(payment.charged(), Charged::No);
}

#[test]
fn a_chain_that_stays_silent_leaves_it_unknown() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyLost);
    for ask in 1..MAX_ASKS {
        let actions = step(&mut payment, Event::ChainSilent);
        assert!(matches!(actions.as_slice(), [Action::Wait(_)]), "{ask}");
    }
    let actions = step(&mut payment, Event::ChainSilent);
    assert!(matches!(
        actions.as_slice(),
        [Action::Conclude, Action::Wait(_)]
    ));
    assert!(!payment.is_final());
    let actions = step(&mut payment, Event::ChainSilent);
    assert!(matches!(actions.as_slice(), [Action::Wait(_)]));
}

#[test]
fn a_second_nonce_is_refused_in_every_state() {
    let other = Terms {
        auth_nonce: B256::repeat_byte(2),
        ..terms(6)
    };
    let mut payment = Payment::new(NONCE);
    let refused = payment.on_event(Event::Signed(other), NOW);
    assert_eq!(refused, Err(Misuse::OtherNonce));
    let mut payment = sent();
    for event in [
        Event::ReplyLost,
        Event::ReplyRefused(Reason::InsufficientFunds),
        reply(Some(NONCE)),
    ] {
        let refused = payment.on_event(Event::Signed(other), NOW);
        assert_eq!(refused, Err(Misuse::OtherNonce));
        step(&mut payment, event);
    }
    step(&mut payment, unspent(2_000));
    assert!(payment.is_final());
    let refused = payment.on_event(Event::Signed(terms(6)), NOW);
    assert_eq!(refused, Err(Misuse::Concluded));
    assert_eq!(payment.terms().len(), 1);
}

#[test]
fn a_fallback_signs_the_same_nonce_for_another_node() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyLost);
    let fallback = Terms {
        deadline_s: 1_090,
        ..terms(6)
    };
    assert_eq!(
        step(&mut payment, Event::Signed(fallback)),
        [Action::Store(digest(6))]
    );
    // The first one is still out.
    assert_eq!(payment.charged(), Charged::Unknown);
    assert_eq!(payment.reserved(), Amount::new(6));
    assert_eq!(
        step(&mut payment, Event::AuthorizationStored),
        [Action::Send(digest(6))]
    );
    step(&mut payment, Event::Sent);
    step(&mut payment, Event::ReplyLost);
    assert_eq!(
        step(&mut payment, unspent(1_061)),
        [Action::ResendSame(digest(6))]
    );
    step(&mut payment, Event::ReplyLost);
    // Not before the later of the two deadlines.
    assert!(!payment.is_final());
    step(&mut payment, unspent(1_091));
    assert!(matches!(payment.state(), State::NotSettled(_)));
}

#[test]
fn no_fallback_races_a_claimed_settlement() {
    let mut payment = sent();
    step(&mut payment, reply(Some(NONCE)));
    let refused = payment.on_event(Event::Signed(terms(6)), NOW);
    assert_eq!(refused, Err(Misuse::OutOfOrder));
}

#[test]
fn a_call_may_end_before_anything_was_sent() {
    let mut payment = Payment::new(NONCE);
    step(&mut payment, Event::Signed(terms(5)));
    assert_eq!(step(&mut payment, Event::GivenUp), [Action::Conclude]);
    assert_eq!(*payment.state(), State::Abandoned);
    assert_eq!(payment.charged(), Charged::No);
    let mut payment = sent();
    let refused = payment.on_event(Event::GivenUp, NOW);
    assert_eq!(refused, Err(Misuse::OutOfOrder));
    // A fallback that is given up leaves the first authorization out.
    step(&mut payment, Event::ReplyLost);
    step(&mut payment, Event::Signed(terms(6)));
    assert_eq!(step(&mut payment, Event::GivenUp), [Action::AskChain]);
    assert_eq!(payment.charged(), Charged::Unknown);
}

#[test]
fn events_have_an_order() {
    for event in [
        Event::AuthorizationStored,
        Event::Sent,
        Event::ReplyLost,
        Event::ReplyRefused(Reason::InvalidPayload),
        reply(None),
    ] {
        let mut payment = Payment::new(NONCE);
        let refused = payment.on_event(event.clone(), NOW);
        assert_eq!(refused, Err(Misuse::OutOfOrder), "{event:?}");
        assert_eq!(*payment.state(), State::New);
    }
    // Sent before stored is the one that loses money.
    let mut payment = Payment::new(NONCE);
    step(&mut payment, Event::Signed(terms(5)));
    assert_eq!(payment.on_event(Event::Sent, NOW), Err(Misuse::OutOfOrder));
}

#[test]
fn a_repeated_purchase_presents_what_was_stored() {
    let (mut payment, actions) = Payment::resume(vec![terms(5)]).unwrap();
    assert_eq!(actions, [Action::AskChain]);
    assert_eq!(
        step(&mut payment, unspent(1_001)),
        [Action::ResendSame(digest(5))]
    );
    // Not for another one, and never after the deadline.
    let refused = payment.on_event(
        Event::Signed(Terms {
            auth_nonce: B256::ZERO,
            ..terms(6)
        }),
        NOW,
    );
    assert_eq!(refused, Err(Misuse::OtherNonce));
    let (mut late, _) = Payment::resume(vec![terms(5)]).unwrap();
    step(&mut late, unspent(1_061));
    assert!(matches!(late.state(), State::NotSettled(_)));
}

#[test]
fn what_is_signed_after_a_refusal_is_presented_again() {
    let mut payment = sent();
    step(&mut payment, Event::ReplyRefused(Reason::InvalidPayload));
    step(&mut payment, Event::Signed(terms(6)));
    step(&mut payment, Event::AuthorizationStored);
    step(&mut payment, Event::Sent);
    step(&mut payment, Event::ReplyLost);
    assert_eq!(
        step(&mut payment, unspent(1_001)),
        [Action::ResendSame(digest(6))]
    );
}

#[test]
fn a_restart_takes_up_what_was_stored() {
    let (mut payment, actions) = Payment::recover(vec![terms(5)]).unwrap();
    assert_eq!(actions, [Action::AskChain]);
    assert_eq!(payment.charged(), Charged::Unknown);
    let actions = step(&mut payment, unspent(1_001));
    assert!(
        matches!(actions.as_slice(), [Action::Wait(_)]),
        "nobody waits for the answer"
    );
    step(&mut payment, unspent(1_061));
    assert!(matches!(payment.state(), State::NotSettled(_)));

    assert_eq!(Payment::recover(Vec::new()).err(), Some(Misuse::OutOfOrder));
    let other = Terms {
        auth_nonce: B256::ZERO,
        ..terms(6)
    };
    let mixed = Payment::recover(vec![terms(5), other]);
    assert_eq!(mixed.err(), Some(Misuse::OtherNonce));
}

#[test]
fn the_same_number_elsewhere_is_another_nonce() {
    // Another method, chain or token would spend the same number a second time.
    let other = Terms {
        key: B256::repeat_byte(3),
        ..terms(6)
    };
    let mut payment = sent();
    step(&mut payment, Event::ReplyLost);
    let refused = payment.on_event(Event::Signed(other), NOW);
    assert_eq!(refused, Err(Misuse::OtherNonce));
    assert_eq!(payment.terms().len(), 1);
    let mixed = Payment::recover(vec![terms(5), other]);
    assert_eq!(mixed.map(|_| ()), Err(Misuse::OtherNonce));
}

#[test]
fn what_is_exact_is_settled_exactly() {
    let exact = Terms {
        scheme: Scheme::Exact,
        method: Method::Eip3009,
        ..terms(5)
    };
    let (mut payment, _) = Payment::recover(vec![exact]).unwrap();
    // The chain's word is of 3, the authorization of 5.
    step(&mut payment, Event::ChainSays(facts(true, true, 1_001)));
    assert_eq!(payment.charged(), Charged::Unknown);
    let mut whole = facts(true, true, 1_001);
    if let Some(settlement) = &mut whole.settlement {
        settlement.amount = Amount::new(5);
    }
    step(&mut payment, Event::ChainSays(whole));
    assert_eq!(payment.charged(), Charged::Yes);
}

#[test]
fn a_cancelled_nonce_settles_nothing_once_the_deadline_is_past() {
    let cancelled = |time_s| {
        Event::ChainSays(ChainFacts {
            cancelled: true,
            ..facts(true, false, time_s)
        })
    };
    let mut payment = sent();
    step(&mut payment, Event::ReplyMute);
    // Before it a reorganisation could still bring the authorization back to life.
    step(&mut payment, cancelled(1_060));
    assert_eq!(payment.charged(), Charged::Unknown);
    step(&mut payment, cancelled(1_061));
    assert!(matches!(payment.state(), State::NotSettled(_)));
    assert_eq!(payment.reserved(), Amount::ZERO);
    // Without the token's word a spent nonce stays unknown.
    let mut payment = sent();
    step(&mut payment, Event::ReplyMute);
    step(&mut payment, Event::ChainSays(facts(true, false, 2_000)));
    assert_eq!(payment.charged(), Charged::Unknown);
}
