//! The machine, step by step.

mod orders;

use super::*;

const PACE: Pace = Pace {
    bump_after: Duration::from_secs(15),
    resend: Duration::from_secs(2),
    displaced: Duration::from_secs(2),
    refused: Duration::from_secs(10),
};
const DEADLINE_S: u64 = 1_000;

fn blank() -> SettleResponse {
    SettleResponse::failed("eip155:1", None, Reason::SettlementPending, None)
}

fn fresh() -> Settlement {
    Settlement::new(
        B256::repeat_byte(1),
        B256::repeat_byte(2),
        "{}".to_owned(),
        DEADLINE_S,
        Address::repeat_byte(3),
        None,
        blank(),
        Lease::default(),
    )
}

fn attempt(number: u8, purpose: Purpose) -> Attempt {
    Attempt {
        purpose,
        raw: "0x02".to_owned(),
        transaction: B256::repeat_byte(number),
        account_nonce: 7,
        fees: None,
    }
}

fn at(secs: u64) -> Now {
    Now {
        elapsed: Duration::from_secs(secs),
        chain_s: 500,
    }
}

fn late(secs: u64) -> Now {
    Now {
        chain_s: DEADLINE_S + 60,
        ..at(secs)
    }
}

fn place() -> Place {
    Place {
        number: 9,
        hash: B256::repeat_byte(9),
    }
}

fn success(number: u8) -> SettleResponse {
    let mut response = blank();
    response.success = true;
    response.error_reason = None;
    response.transaction = B256::repeat_byte(number).to_string();
    response
}

fn failure() -> SettleResponse {
    fresh().failure(Reason::InvalidUptoEvmTransactionFailed)
}

fn sent() -> Settlement {
    let mut settlement = fresh();
    let actions = settlement.on_event(Event::Signed(attempt(1, Purpose::Settle)), at(0), &PACE);
    let send = Action::Send(B256::repeat_byte(1));
    assert_eq!(
        actions,
        [Action::Persist, send],
        "durable before it is sent"
    );
    settlement
}

fn mined(number: u8, response: SettleResponse, confirmed: bool) -> Event {
    Event::Mined {
        transaction: B256::repeat_byte(number),
        block: place(),
        response,
        confirmed,
    }
}

fn end_of(settlement: &Settlement) -> Option<End> {
    match &settlement.stage {
        Stage::Broadcasting | Stage::Pending => None,
        Stage::Done { end, .. } => Some(*end),
    }
}

const UNSPENT: Event = Event::Inspected(Inspection::Unspent {
    expired: Reason::Permit2DeadlineExpired,
});

#[test]
fn a_transaction_that_is_mined_settles_once_it_is_confirmed() {
    let mut settlement = sent();
    let taken = Event::Offered(B256::repeat_byte(1), Reply::Taken);
    assert_eq!(settlement.on_event(taken, at(0), &PACE), []);
    assert!(matches!(settlement.stage, Stage::Pending));
    let early = mined(1, success(1), false);
    assert_eq!(settlement.on_event(early, at(0), &PACE), []);
    assert_eq!(end_of(&settlement), None);
    let actions = settlement.on_event(mined(1, success(1), true), at(0), &PACE);
    assert_eq!(actions, [Action::Persist, Action::Answer]);
    assert_eq!(end_of(&settlement), Some(End::Settled));
}

#[test]
fn a_transaction_of_somebody_else_is_no_receipt_of_ours() {
    let mut settlement = sent();
    let actions = settlement.on_event(mined(99, success(99), true), at(0), &PACE);
    assert_eq!(actions, []);
    assert_eq!(end_of(&settlement), None);
}

#[test]
fn a_reverted_transaction_is_looked_into_before_it_is_the_end() {
    let mut settlement = sent();
    let actions = settlement.on_event(mined(1, failure(), true), at(0), &PACE);
    assert_eq!(actions, [Action::Inspect]);
    let actions = settlement.on_event(UNSPENT, at(0), &PACE);
    assert_eq!(actions, [Action::Persist, Action::Answer]);
    assert_eq!(end_of(&settlement), Some(End::Reverted));
}

#[test]
fn a_stranger_who_settled_exactly_this_counts() {
    let mut settlement = sent();
    settlement.on_event(mined(1, failure(), true), at(0), &PACE);
    let found = Event::Inspected(Inspection::Settled {
        response: success(50),
        block: place(),
        confirmed: true,
    });
    settlement.on_event(found, at(0), &PACE);
    assert_eq!(end_of(&settlement), Some(End::Replaced));
    assert_eq!(settlement.response(), Some(&success(50)));
}

#[test]
fn a_stranger_whose_block_is_not_deep_enough_does_not_count_yet() {
    let mut settlement = sent();
    let found = |confirmed| {
        Event::Inspected(Inspection::Settled {
            response: success(50),
            block: place(),
            confirmed,
        })
    };
    settlement.on_event(mined(1, failure(), true), at(0), &PACE);
    assert_eq!(settlement.on_event(found(false), at(0), &PACE), []);
    assert_eq!(end_of(&settlement), None);
    let again = settlement.on_event(mined(1, failure(), true), at(5), &PACE);
    assert_eq!(again, [Action::Inspect]);
    settlement.on_event(found(true), at(5), &PACE);
    assert_eq!(end_of(&settlement), Some(End::Replaced));
}

#[test]
fn an_inspection_that_nobody_asked_for_says_nothing() {
    let mut settlement = sent();
    assert_eq!(settlement.on_event(UNSPENT, at(0), &PACE), []);
    assert_eq!(end_of(&settlement), None);
}

#[test]
fn what_waits_is_sent_again_and_then_bid_for() {
    let mut settlement = sent();
    let absent = || Event::Absent { passed: false };
    assert_eq!(settlement.on_event(absent(), at(1), &PACE), []);
    let send = Action::Send(B256::repeat_byte(1));
    assert_eq!(
        settlement.on_event(absent(), at(2), &PACE),
        core::slice::from_ref(&send)
    );
    assert_eq!(settlement.on_event(absent(), at(3), &PACE), []);
    let actions = settlement.on_event(absent(), at(15), &PACE);
    assert_eq!(actions, [Action::Bump, send]);
    // Not again before it waited once more, whether there was room under the ceiling or not.
    let actions = settlement.on_event(absent(), at(16), &PACE);
    assert_eq!(actions, []);
}

#[test]
fn every_hash_of_one_nonce_settles() {
    let mut settlement = sent();
    settlement.on_event(Event::Signed(attempt(2, Purpose::Settle)), at(15), &PACE);
    let actions = settlement.on_event(mined(1, success(1), true), at(16), &PACE);
    assert_eq!(actions, [Action::Persist, Action::Answer]);
    assert_eq!(settlement.response(), Some(&success(1)));
}

#[test]
fn a_low_bid_is_raised_and_a_poor_account_waits() {
    let mut settlement = sent();
    let hash = B256::repeat_byte(1);
    let actions = settlement.on_event(Event::Offered(hash, Reply::Underpriced), at(0), &PACE);
    assert_eq!(actions, [Action::Bump]);
    for reply in [Reply::NoFunds, Reply::NonceTaken, Reply::Later] {
        let actions = settlement.on_event(Event::Offered(hash, reply), at(60), &PACE);
        assert_eq!(actions, []);
        assert_eq!(end_of(&settlement), None);
    }
}

#[test]
fn what_is_refused_for_long_gives_its_account_nonce_back() {
    let mut settlement = sent();
    let refused = || Event::Offered(B256::repeat_byte(1), Reply::Refused);
    assert_eq!(settlement.on_event(refused(), at(0), &PACE), []);
    assert_eq!(settlement.on_event(refused(), at(9), &PACE), []);
    let actions = settlement.on_event(refused(), at(10), &PACE);
    assert_eq!(actions, [Action::Cancel]);
    settlement.on_event(Event::Signed(attempt(2, Purpose::Cancel)), at(10), &PACE);
    let actions = settlement.on_event(mined(2, success(2), true), at(11), &PACE);
    assert_eq!(actions, [Action::Inspect]);
    let actions = settlement.on_event(UNSPENT, at(11), &PACE);
    assert_eq!(actions, [Action::Forget(Reason::UnexpectedSettleError)]);
}

#[test]
fn a_displaced_transaction_is_signed_anew_only_while_the_promise_is_unspent() {
    let passed = || Event::Absent { passed: true };
    let mut settlement = sent();
    assert_eq!(settlement.on_event(passed(), at(1), &PACE), []);
    assert_eq!(settlement.on_event(passed(), at(2), &PACE), []);
    let actions = settlement.on_event(passed(), at(3), &PACE);
    assert_eq!(actions, [Action::Inspect]);
    let spent = Event::Inspected(Inspection::Spent {
        reason: Reason::Permit2InvalidNonce,
    });
    assert_eq!(settlement.on_event(spent, at(3), &PACE), []);
    // A receipt that came late would have been the end; the chain is asked again.
    assert_eq!(settlement.on_event(passed(), at(4), &PACE), []);
    assert_eq!(
        settlement.on_event(passed(), at(5), &PACE),
        [Action::Inspect]
    );
    assert_eq!(
        settlement.on_event(UNSPENT, at(5), &PACE),
        [Action::SignAnew]
    );
}

#[test]
fn an_account_nonce_that_is_back_is_not_displaced() {
    let mut settlement = sent();
    settlement.on_event(Event::Absent { passed: true }, at(1), &PACE);
    settlement.on_event(Event::Absent { passed: false }, at(1), &PACE);
    let actions = settlement.on_event(Event::Absent { passed: true }, at(3), &PACE);
    assert_eq!(actions, []);
}

#[test]
fn what_expires_is_cancelled_and_then_over() {
    let mut settlement = sent();
    let absent = || Event::Absent { passed: false };
    assert_eq!(
        settlement.on_event(absent(), late(1), &PACE),
        [Action::Inspect]
    );
    let actions = settlement.on_event(UNSPENT, late(1), &PACE);
    assert_eq!(actions, [Action::Cancel]);
    settlement.on_event(Event::Signed(attempt(2, Purpose::Cancel)), late(1), &PACE);
    let actions = settlement.on_event(mined(2, success(2), true), late(4), &PACE);
    assert_eq!(actions, [Action::Inspect]);
    let actions = settlement.on_event(UNSPENT, late(4), &PACE);
    assert_eq!(actions, [Action::Persist, Action::Answer]);
    assert_eq!(end_of(&settlement), Some(End::Expired));
    let reason = settlement.response().and_then(|it| it.error_reason.clone());
    assert_eq!(reason, Some(Reason::Permit2DeadlineExpired));
}

#[test]
fn a_block_that_leaves_the_chain_opens_the_settlement_again() {
    let mut settlement = sent();
    settlement.on_event(mined(1, success(1), true), at(1), &PACE);
    let actions = settlement.on_event(Event::Vanished, at(2), &PACE);
    assert_eq!(
        actions,
        [Action::Persist, Action::Send(B256::repeat_byte(1))]
    );
    assert_eq!(end_of(&settlement), None);
    settlement.on_event(mined(1, success(1), true), at(3), &PACE);
    assert_eq!(
        settlement.on_event(Event::Final, at(4), &PACE),
        [Action::Persist]
    );
    assert!(!settlement.is_unfinished());
    // From then on nothing opens it.
    assert_eq!(settlement.on_event(Event::Vanished, at(5), &PACE), []);
    assert_eq!(end_of(&settlement), Some(End::Settled));
}

#[test]
fn a_record_survives_its_store() {
    let mut settlement = sent();
    settlement.call = Some(Call {
        to: Address::repeat_byte(5),
        input: vec![1, 2, 3],
        gas_limit: 9,
    });
    settlement.on_event(mined(1, success(1), true), at(1), &PACE);
    let bytes = settlement.encode().unwrap();
    let read = Settlement::decode(settlement.key(), &bytes).unwrap();
    assert!(read.stage == settlement.stage && read.attempts == settlement.attempts);
    let refused = |key, bytes: &[u8]| {
        let read = Settlement::decode(key, bytes);
        assert!(matches!(read, Err(crate::facilitator::StoreError::Corrupt)));
    };
    // A record under another key, of a newer layout, with more in it.
    refused(B256::ZERO, &bytes);
    let text = String::from_utf8(bytes).unwrap();
    let newer = text.replace("\"version\":3", "\"version\":4");
    refused(settlement.key(), newer.as_bytes());
    // One of the layout before it lacks what has a default.
    let older = text.replace("\"version\":3", "\"version\":2");
    let older = older.replace("\"gas\":null,\"memo\":null,\"began_s\":0,", "");
    assert!(!older.contains("memo"));
    let read = Settlement::decode(settlement.key(), older.as_bytes()).unwrap();
    assert!(read.stage == settlement.stage && read.gas().is_none());
    let more = text.replacen('{', "{\"more\":1,", 1);
    refused(settlement.key(), more.as_bytes());
}

#[test]
fn records_of_the_first_layout_are_read() {
    let key = B256::repeat_byte(1);
    let zero = B256::ZERO;
    let open = format!(
        r#"{{"version":1,"fingerprint":"{zero}","request":"{{}}","deadline_s":5,
        "state":{{"state":"broadcasting","raw":"0x02","transaction":"{key}","account_nonce":3}}}}"#
    );
    let mut settlement = Settlement::decode(key, open.as_bytes()).unwrap();
    assert_eq!(settlement.held_nonce(), Some(3));
    settlement.adopt_signer(Address::repeat_byte(8));
    assert_eq!(settlement.signer(), Address::repeat_byte(8));
    let done = format!(
        r#"{{"version":1,"fingerprint":"{zero}","request":"{{}}","deadline_s":5,"state":
        {{"state":"done","response":{{"success":true,"transaction":"{key}","network":"eip155:1"}},
        "block":{{"number":1,"hash":"{key}"}}}}}}"#
    );
    let settlement = Settlement::decode(key, done.as_bytes()).unwrap();
    assert_eq!(end_of(&settlement), Some(End::Settled));
    assert!(!settlement.is_unfinished());
}

#[test]
fn logs_that_are_behind_do_not_turn_a_preempted_settlement_into_a_failed_one() {
    let reverted = || {
        let mut settlement = sent();
        let failed = settlement.failure(Reason::InvalidUptoEvmTransactionFailed);
        let actions = settlement.on_event(mined(1, failed, true), at(1), &PACE);
        assert_eq!(actions, [Action::Inspect]);
        let spent = Inspection::Spent {
            reason: Reason::Permit2InvalidNonce,
        };
        assert_eq!(
            settlement.on_event(Event::Inspected(spent), at(1), &PACE),
            []
        );
        assert_eq!(end_of(&settlement), None);
        settlement
    };
    let again = |settlement: &mut Settlement, secs| {
        let failed = settlement.failure(Reason::InvalidUptoEvmTransactionFailed);
        settlement.on_event(mined(1, failed, true), at(secs), &PACE)
    };
    // The logs come: somebody else's transaction moved exactly this.
    let mut settlement = reverted();
    assert_eq!(again(&mut settlement, 4), [Action::Inspect]);
    let found = Inspection::Settled {
        response: success(9),
        confirmed: true,
        block: Place {
            number: 1,
            hash: B256::repeat_byte(1),
        },
    };
    settlement.on_event(Event::Inspected(found), at(4), &PACE);
    assert_eq!(end_of(&settlement), Some(End::Replaced));
    // They do not: it failed, and the payer spent the nonce otherwise.
    let mut settlement = reverted();
    assert_eq!(again(&mut settlement, 8), [Action::Inspect]);
    let spent = Inspection::Spent {
        reason: Reason::Permit2InvalidNonce,
    };
    settlement.on_event(Event::Inspected(spent), at(8), &PACE);
    assert_eq!(end_of(&settlement), Some(End::Reverted));
}
