//! Whole calls on an honest network.

use std::time::Duration;

use alloy_sol_types::SolCall as _;
use seamline::{Chat, Step};
use seamline_core::receipt::{Bundle, Event, ResponseEnded};
use seamline_core::{Charged, Fault, U256};
use seamline_evm::bindings::IToken;
use seamline_localnet::contracts::TOKEN;
use seamline_localnet::three_nodes;
use seamline_verify::{Level, Status};

use crate::support::{MODEL, Seen, World, books, honest, opg_thousandths, question, tokens};

fn events(receipt: &[u8]) -> Vec<Event> {
    let bundle = Bundle::decode(receipt).unwrap();
    bundle
        .slots()
        .iter()
        .filter_map(|slot| slot.event().cloned())
        .collect()
}

fn codes(receipt: &[u8]) -> Vec<String> {
    let bundle = Bundle::decode(receipt).unwrap();
    bundle
        .core()
        .summary
        .hesitations
        .iter()
        .map(|one| one.code.as_str().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_walks_all_twelve_steps_and_is_proven_offline() {
    let world = World::new(three_nodes());
    let (net, client) = world.start().await;
    let payer = world.wallet().address();
    let (total, before) = books(&net, payer).await;

    let mut seen = Seen::default();
    let reply = client.chat_watched(&question(), &mut seen).await.unwrap();

    assert_eq!(seen.steps, Step::ALL);
    assert!(reply.text.contains("--max-price"), "{}", reply.text);
    assert_eq!(reply.charged, Charged::Yes);
    assert_eq!(reply.verdict.status, Status::Satisfied);
    assert_eq!(reply.verdict.level, Level::L3);
    assert!(reply.verdict.dev, "software evidence must be marked");

    let settled = reply.settled.unwrap();
    assert!(!settled.is_zero() && settled <= reply.authorized);
    let (total_after, after) = books(&net, payer).await;
    assert_eq!(total, total_after, "tokens were made or lost");
    assert_eq!(
        before - after,
        U256::from(settled.get()),
        "the payer paid something else"
    );
    let paid = net
        .nodes()
        .into_iter()
        .find(|node| node.node == reply.node)
        .unwrap();
    assert_eq!(tokens(&net, paid.pay_to).await, U256::from(settled.get()));

    // The file on disk is the receipt, and it stands without the network.
    let file = std::fs::read(&reply.receipt_path).unwrap();
    assert_eq!(file, reply.receipt);
    let trust = world.trust(&net);
    net.stop().await;
    let verdict = seamline_verify::verify(&file, &trust, seamline::Env::system().now());
    assert_eq!(verdict.status, Status::Satisfied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_is_marked_as_used_before_proven() {
    let world = World::new(vec![honest("amber")]);
    let (net, client) = world.start().await;
    let mut seen = Seen::default();
    let reply = client
        .chat_watched(&question().stream(true), &mut seen)
        .await
        .unwrap();
    assert_eq!(seen.text, reply.text);
    assert_eq!(seen.unproven, reply.text.len());
    let pieces = events(&reply.receipt)
        .iter()
        .find_map(|event| event.get::<ResponseEnded>().map(|ended| ended.chunks));
    assert!(pieces.unwrap() > 1, "a stream has more than one piece");
    assert_eq!(reply.charged, Charged::Yes);
    assert_eq!(reply.verdict.level, Level::L3);
    assert!(
        codes(&reply.receipt).contains(&"SIGLATE".to_owned()),
        "{:?}",
        codes(&reply.receipt)
    );
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_or_not_the_same_question_has_the_same_answer() {
    let world = World::new(vec![honest("amber")]);
    let (net, client) = world.start().await;
    let whole = client.chat(&question()).await.unwrap();
    let streamed = client.chat(&question().stream(true)).await.unwrap();
    assert_eq!(whole.text, streamed.text);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_verified_once_and_remembered_with_its_age() {
    let world = World::new(vec![honest("amber")]);
    let (net, client) = world.start().await;
    let first = client.chat(&question()).await.unwrap();
    let second = client.chat(&question()).await.unwrap();
    assert!(!codes(&first.receipt).contains(&"ATTCACHED".to_owned()));
    assert!(codes(&second.receipt).contains(&"ATTCACHED".to_owned()));
    assert_eq!(
        second.verdict.status,
        Status::Satisfied,
        "{:?}",
        second.verdict
    );
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_replaced_before_anything_is_signed() {
    let mut down = honest("cheap");
    down.price_output = opg_thousandths(10);
    down.faults.fail_before_payment = true;
    let world = World::new(vec![down, honest("amber")]);
    let (net, client) = world.start().await;
    let reply = client.chat(&question()).await.unwrap();
    let nodes = net.nodes();
    assert_eq!(reply.node, nodes[1].node);
    let fell_back = events(&reply.receipt)
        .iter()
        .any(|event| matches!(event, Event::FellBack(event) if event.from == nodes[0].node));
    assert!(fell_back);
    assert!(codes(&reply.receipt).contains(&"FALLBACK".to_owned()));
    assert_eq!(reply.verdict.status, Status::Satisfied);
    assert_eq!(tokens(&net, nodes[0].pay_to).await, U256::ZERO);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_share_one_daily_budget() {
    let mut world = World::new(vec![honest("amber")]);
    // Each call asks for about 0.0044; the day allows three.
    world.per_day = opg_thousandths(14);
    let (net, client) = world.start().await;
    let questions: Vec<_> = (0..8).map(|_| question()).collect();
    let calls = questions.iter().map(|question| client.chat(question));
    let outcomes = futures_util::future::join_all(calls).await;
    let mut previous: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(reply) => reply.receipt_path.clone(),
            Err(error) => error.receipt().unwrap().to_path_buf(),
        })
        .map(|path| {
            Bundle::decode(&std::fs::read(path).unwrap())
                .unwrap()
                .core()
                .prev
        })
        .collect();
    previous.sort();
    previous.dedup();
    assert_eq!(previous.len(), 8, "two receipts follow the same one");
    let answered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((3..8).contains(&answered), "{answered} calls were answered");
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(refused.code(), "offer.per_day");
        assert_eq!(refused.fault(), Fault::Caller);
        assert_eq!(refused.charged(), Charged::No);
    }
    let payer = world.wallet().address();
    let spent = opg_thousandths(100_000).get() - u128::try_from(tokens(&net, payer).await).unwrap();
    assert!(spent <= world.per_day.get(), "spent {spent}");
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_in_a_stream_is_recorded() {
    let mut slow = honest("amber");
    slow.faults.stall = Some(Duration::from_millis(600));
    let world = World::new(vec![slow]);
    let (net, client) = world.start().await;
    let reply = client.chat(&question().stream(true)).await.unwrap();
    assert!(
        codes(&reply.receipt).contains(&"STALL".to_owned()),
        "{:?}",
        codes(&reply.receipt)
    );
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_say_what_to_do_and_cost_nothing() {
    let world = World::new(vec![honest("amber")]);
    let (net, client) = world.start().await;
    let empty = client
        .chat(&Chat::model(MODEL).user("  "))
        .await
        .unwrap_err();
    assert_eq!(
        (empty.code().as_str(), empty.receipt()),
        ("request.empty", None)
    );
    let unknown = client
        .chat(&Chat::model("gpt-9").user("hi"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), "model.unknown");
    assert_eq!(unknown.fault(), Fault::Caller);
    let cheap = question().max_price(seamline_core::Amount::new(1));
    let over = client.chat(&cheap).await.unwrap_err();
    assert_eq!(over.code(), "route.none");
    assert_eq!(over.charged(), Charged::No);
    assert!(over.receipt().is_some(), "an opened call leaves a receipt");
    let zero = client
        .chat(&question().max_price(seamline_core::Amount::ZERO))
        .await
        .unwrap_err();
    assert_eq!(zero.code(), "budget.zero");
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_cannot_be_charged_signs_nothing() {
    let rich = World::new(vec![honest("amber")]);
    let (net, _client) = rich.start().await;
    let mut poor = World::new(Vec::new());
    poor.payer = [0x77; 32];
    let client = poor.client(&net);
    let error = client.chat(&question()).await.unwrap_err();
    assert_eq!(error.code(), "payment.funds");
    assert_eq!(
        (error.fault(), error.charged()),
        (Fault::Payment, Charged::No)
    );
    assert_eq!(error.step(), Step::Admit);

    let signed = client
        .journal()
        .calls()
        .unwrap()
        .iter()
        .any(|call| call.payment.is_some());
    assert!(!signed, "something was signed");

    // Tokens, but no word to Permit2: the facilitator submits the one that is signed along.
    net.fund(net.developer()).await.unwrap();
    let value = U256::from(opg_thousandths(1_000).get());
    let transfer = IToken::transferCall {
        to: poor.wallet().address(),
        value,
    };
    let input = transfer.abi_encode().into();
    net.chain()
        .transact(net.developer(), Some(TOKEN), U256::ZERO, input)
        .unwrap();
    let reply = client.chat(&question()).await.unwrap();
    assert!(reply.settled.is_some_and(|settled| !settled.is_zero()));
    net.stop().await;
}
