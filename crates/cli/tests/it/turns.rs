use std::fs;
use std::thread;

use crate::harness::Home;

#[test]
fn two_calls_in_one_home_take_turns() {
    let home = Home::new();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| home.run(&["chat", "What is a receipt?"])))
            .collect();
        for call in calls {
            let ran = call.join().unwrap();
            // Either it had its turn, or it says that it did not get one; nothing in between.
            if ran.code != 0 {
                ran.fails(3, "home.in_use");
            }
        }
    });
    let listed = home.json(&["receipt", "list", "--json"]);
    let calls = listed["calls"].as_array().unwrap();
    assert!(!calls.is_empty());
    for call in calls {
        assert_eq!(call["state"], "answered");
        assert_eq!(call["payment"]["state"], "settled");
    }
}

#[test]
fn a_busy_home_is_said_to_be_busy() {
    let home = Home::with_a_receipt();
    // What a call holds while it runs.
    let lock = fs::File::create(home.path().join("lock")).unwrap();
    lock.lock().unwrap();
    thread::scope(|scope| {
        for args in [&["receipt", "list"][..], &["chat", "hi"], &["up"]] {
            let home = &home;
            scope.spawn(move || {
                home.run(args)
                    .fails(3, "home.in_use")
                    .says("wait until its call has ended");
            });
        }
    });
    // Reading one receipt needs no turn.
    let receipt = home.receipt();
    let path = receipt.to_str().unwrap();
    assert_eq!(home.run(&["receipt", "verify", path]).code, 0);
    assert_eq!(home.run(&["receipt", "explain", path]).code, 0);
    drop(lock);
    assert_eq!(home.run(&["receipt", "list"]).code, 0);
}
