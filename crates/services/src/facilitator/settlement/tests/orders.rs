//! The machine over every order of events.

use proptest::prelude::*;

use super::*;

/// One of every kind of event.
fn any_event() -> impl Strategy<Value = Event> {
    let hash = (1_u8..6).prop_map(B256::repeat_byte);
    let reply = prop::sample::select(vec![
        Reply::Taken,
        Reply::NoFunds,
        Reply::Underpriced,
        Reply::NonceTaken,
        Reply::Later,
        Reply::Refused,
    ]);
    prop_oneof![
        (hash, reply).prop_map(|(hash, reply)| Event::Offered(hash, reply)),
        (1_u8..6, any::<bool>(), any::<bool>()).prop_map(|(number, ok, confirmed)| {
            let response = if ok { success(number) } else { failure() };
            mined(number, response, confirmed)
        }),
        any::<bool>().prop_map(|passed| Event::Absent { passed }),
        Just(UNSPENT),
        Just(Event::Inspected(Inspection::Spent {
            reason: Reason::Permit2InvalidNonce
        })),
        (1_u8..9, any::<bool>()).prop_map(|(number, confirmed)| Event::Inspected(
            Inspection::Settled {
                response: success(number),
                block: place(),
                confirmed,
            }
        )),
        Just(Event::Refused(Reason::Permit2InsufficientBalance)),
        Just(Event::Vanished),
        Just(Event::Final),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: nothing is sent that is not written, nothing is signed
    /// after the end, nothing is signed anew without an unspent promise and a lost account nonce,
    /// and a success is a transaction that was seen.
    #[test]
    fn promises_hold_in_every_order(
        events in prop::collection::vec((any_event(), 0_u64..20, any::<bool>()), 1..60)
    ) {
        let mut settlement = sent();
        let mut next = 2_u8;
        let mut secs = 0_u64;
        let mut passed = false;
        let mut written = vec![B256::repeat_byte(1)];
        for (event, wait, is_late) in events {
            secs = secs.saturating_add(wait);
            let now = if is_late { late(secs) } else { at(secs) };
            let was = end_of(&settlement);
            let unspent = matches!(&event, Event::Inspected(Inspection::Unspent { .. }));
            let vanished = matches!(&event, Event::Vanished);
            let seen = match &event {
                Event::Mined { response, .. } | Event::Inspected(Inspection::Settled { response, .. }) =>
                    Some(response.clone()),
                Event::Signed(_)
                | Event::Offered(..)
                | Event::Absent { .. }
                | Event::Inspected(_)
                | Event::Refused(_)
                | Event::Vanished
                | Event::Final => None,
            };
            if let Event::Absent { passed: now } = &event {
                passed = *now;
            }
            let mut todo = settlement.on_event(event, now, &PACE);
            while !todo.is_empty() {
                let action = todo.remove(0);
                match action {
                    Action::Persist => {
                        written = settlement.attempts.iter().map(|it| it.transaction).collect();
                    }
                    Action::Send(hash) => {
                        prop_assert!(written.contains(&hash), "sent before it was written");
                        prop_assert!(end_of(&settlement).is_none());
                    }
                    Action::Bump | Action::Cancel | Action::SignAnew => {
                        prop_assert!(was.is_none(), "signed after the end");
                        if action == Action::SignAnew {
                            prop_assert!(unspent && passed);
                        }
                        if next < 200 {
                            let purpose = if action == Action::Cancel {
                                Purpose::Cancel
                            } else {
                                Purpose::Settle
                            };
                            let more = settlement.on_event(
                                Event::Signed(attempt(next, purpose)), now, &PACE);
                            next = next.saturating_add(1);
                            todo.splice(0..0, more);
                        }
                    }
                    Action::Inspect => prop_assert!(was.is_none()),
                    Action::Answer => {
                        let response = settlement.response().unwrap();
                        if response.success {
                            prop_assert_eq!(seen.as_ref(), Some(response));
                        }
                    }
                    Action::Forget(_) => {
                        prop_assert!(was.is_none());
                        return Ok(());
                    }
                }
            }
            if was.is_some() && end_of(&settlement).is_none() {
                prop_assert!(vanished, "an end is only opened by a reorganisation");
            }
            let bytes = settlement.encode().unwrap();
            let read = Settlement::decode(settlement.key(), &bytes).unwrap();
            prop_assert!(read.stage == settlement.stage);
        }
    }
}
