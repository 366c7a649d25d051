//! What is taken, what is refused, and when a batch closes.

use seamline_core::canonical::{ChatRequest, heartbeat_hash, output_hash};
use seamline_core::infer::{InferRequest, ModelId};
use seamline_core::{Address, B256, NodeId};
use seamline_evm::heartbeat::Heartbeat;
use seamline_evm::settlement::{Content, JobStatus, SettlementData};

use super::world::{NODE_PAYEE, NOW, REGISTRY, SPKI, World, answer, sign};
use crate::data::HeartbeatError;
use crate::data::admit::{NotTaken, Refusal, check_content};
use crate::data::seams::Paid;

pub(super) const PAYER: Address = Address::repeat_byte(0x11);

pub(super) fn individual() -> SettlementData {
    let input = r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
    let output = r#"{"choices":[{"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}]}"#;
    let mut data = answer(1);
    data.inference.input_hash = ChatRequest::parse(input.as_bytes()).unwrap().input_hash();
    data.inference.output_hash = output_hash("Hello!");
    data.inference.signature = sign(SPKI, &data.inference.message_hash()).into();
    data.content = Some(Content {
        input: input.to_owned(),
        output: output.to_owned(),
        eth_address: PAYER,
    });
    data
}

async fn refusal(world: &World, payments: bool, data: &SettlementData) -> Refusal {
    match world.desk(payments).settle(data).await {
        Err(NotTaken::Refused(refusal)) => refusal,
        Err(NotTaken::Failed(error)) => panic!("{error}"),
        Ok(job) => panic!("taken: {job:?}"),
    }
}

#[tokio::test]
async fn what_a_stranger_could_make_up_is_refused() {
    let world = World::new();
    type Alter = fn(&mut SettlementData);
    let alter: [(Alter, Refusal); 7] = [
        (
            |it| it.inference.signature = sign(b"another key", &it.inference.message_hash()).into(),
            Refusal::Signature,
        ),
        (
            |it| it.inference.input_hash = B256::ZERO,
            Refusal::Signature,
        ),
        (
            |it| it.inference.output_hash = B256::ZERO,
            Refusal::Signature,
        ),
        (|it| it.inference.timestamp -= 1, Refusal::Signature),
        (
            |it| it.inference.node = NodeId::of_signing_key(b"another key"),
            Refusal::UnknownNode,
        ),
        (|it| it.inference.timestamp = NOW + 301, Refusal::Time),
        (|it| it.inference.timestamp = NOW - 3481, Refusal::Time),
    ];
    for (index, (alter, expected)) in alter.into_iter().enumerate() {
        let mut data = answer(1);
        alter(&mut data);
        assert_eq!(refusal(&world, false, &data).await, expected, "{index}");
    }
    assert_eq!(refusal(&world, true, &answer(1)).await, Refusal::NoPayment);
    world.state().disabled = true;
    assert_eq!(
        refusal(&world, false, &answer(1)).await,
        Refusal::UnknownNode
    );
}

#[test]
fn what_is_published_is_what_was_signed() {
    let good = individual();
    let check = |strict, alter: fn(&mut Content)| {
        let mut content = good.content.clone().unwrap();
        alter(&mut content);
        check_content(&good.inference, &content, strict)
    };
    for strict in [false, true] {
        let check = |alter| check(strict, alter);
        assert_eq!(check(|_| ()), Ok(()));
        let input = check(|it| it.input = it.input.replace("hi", "ho"));
        assert_eq!(input, Err(Refusal::Input));
        assert_eq!(check(|it| it.input = "{}".to_owned()), Err(Refusal::Input));
        let output = check(|it| it.output = it.output.replace("Hello!", "Bye"));
        assert_eq!(output, Err(Refusal::Output));
        assert_eq!(check(|it| it.output = "{".to_owned()), Err(Refusal::Output));
        // The signed text beside another one.
        let output = check(|it| {
            it.output = r#"{"choices":[{"text":"Hello!","message":{"content":"Bye"}}]}"#.to_owned();
        });
        assert_eq!(output, Err(Refusal::Output));
    }
}

#[test]
fn what_no_hash_covers_is_not_published_for_strangers() {
    let good = individual();
    // The last frame of a stream has no text; the others are anybody's text.
    const FRAME: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const DELTA: &str = r#"{"choices":[{"delta":{"content":"what I like"}}]}"#;
    let mut contents = Vec::new();
    for output in [
        FRAME,
        DELTA,
        "{}",
        r#"{"text":"what I like"}"#,
        r#"{"choices":[]}"#,
    ] {
        let mut content = good.content.clone().unwrap();
        content.output = output.to_owned();
        contents.push((content, Refusal::Output));
    }
    let padding = format!(r#"{{"user":"{}","#, "x".repeat(10_000));
    let mut content = good.content.clone().unwrap();
    content.input = content.input.replacen('{', &padding, 1);
    contents.push((content, Refusal::Input));
    let mut content = good.content.clone().unwrap();
    content.output = content.output.replacen('{', &padding, 1);
    contents.push((content, Refusal::Output));
    for (content, refusal) in contents {
        assert_eq!(check_content(&good.inference, &content, false), Ok(()));
        assert_eq!(check_content(&good.inference, &content, true), Err(refusal));
    }
}

#[test]
fn what_is_published_of_an_inference_is_what_was_signed() {
    let model = ModelId::of_bytes(b"a model");
    let (input, preimage) = (
        format!(r#"{{"model": "{model}", "inputs": {{"x": [1]}}}}"#),
        r#"{"y": {"shape": [1], "values": [[2, 0]]}}"#,
    );
    let mut good = individual();
    good.inference.input_hash = InferRequest::parse(input.as_bytes()).unwrap().input_hash();
    good.inference.output_hash = output_hash(preimage);
    let check = |input: &str, outputs: &str| {
        let mut content = good.content.clone().unwrap();
        content.input = input.to_owned();
        content.output = format!(r#"{{"outputs": {outputs}, "id": "infer-1"}}"#);
        check_content(&good.inference, &content, true)
    };
    assert_eq!(check(&input, preimage), Ok(()));
    let other = input.replace("[1]", "[2]");
    assert_eq!(check(&other, preimage), Err(Refusal::Input));
    for outputs in [r#"{"y": [3]}"#, r#"{"y": [[2]]}"#, "{}", "null", "[]"] {
        assert_eq!(check(&input, outputs), Err(Refusal::Output), "{outputs}");
    }
}

#[tokio::test]
async fn an_answer_waits_for_its_payment_to_settle_to_its_node() {
    let stranger = Address::repeat_byte(0x66);
    let settled = |payer, pay_to| Paid::Settled { payer, pay_to };
    let cases = [
        (settled(PAYER, NODE_PAYEE), JobStatus::Processing, None),
        (
            settled(PAYER, stranger),
            JobStatus::Failed,
            Some(Refusal::OtherPayee),
        ),
        (
            settled(stranger, NODE_PAYEE),
            JobStatus::Failed,
            Some(Refusal::OtherPayer),
        ),
        (Paid::Failed, JobStatus::Failed, Some(Refusal::NotPaid)),
    ];
    for (paid, status, refusal) in cases {
        let world = World::new();
        let desk = world.desk(true);
        let mut data = individual();
        data.payment = Some(B256::repeat_byte(5));
        for open in [Paid::Unknown, Paid::Open] {
            world.state().paid.insert(B256::repeat_byte(5), open);
            assert_eq!(desk.settle(&data).await.unwrap().status, JobStatus::Queued);
            desk.round().await.unwrap();
            assert!(world.state().sent.is_empty());
            world.advance(16);
        }
        world.state().paid.insert(B256::repeat_byte(5), paid);
        desk.round().await.unwrap();
        let job = desk.settle(&data).await.unwrap();
        assert_eq!(job.error, refusal.map(|it| it.to_string()));
        if status == JobStatus::Failed {
            assert_eq!(job.status, status);
            assert!(world.state().sent.is_empty());
        } else {
            assert_eq!(world.state().sent.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_payment_that_never_comes_is_not_waited_for_for_ever() {
    let world = World::new();
    let desk = world.desk(true);
    let mut data = answer(1);
    data.payment = Some(B256::repeat_byte(5));
    desk.settle(&data).await.unwrap();
    world.advance(3600 + 1);
    desk.round().await.unwrap();
    let job = desk.settle(&data).await.unwrap();
    assert_eq!(job.error, Some(Refusal::NotPaid.to_string()));
}

#[tokio::test]
async fn a_batch_closes_by_size_by_silence_and_by_age() {
    let world = World::new();
    let desk = world.desk(false);
    for index in 0..4 {
        assert!(world.roots().is_empty());
        desk.settle(&answer(index)).await.unwrap();
        desk.round().await.unwrap();
    }
    desk.round().await.unwrap();
    assert_eq!(world.roots().len(), 1);
    // Silence.
    desk.settle(&answer(10)).await.unwrap();
    for (seconds, batches) in [(299, 1), (1, 2)] {
        world.advance(seconds);
        desk.round().await.unwrap();
        desk.round().await.unwrap();
        assert_eq!(world.roots().len(), batches, "{seconds}");
    }
    // Age: never silent for long.
    for index in 20..23 {
        desk.settle(&answer(index)).await.unwrap();
        desk.round().await.unwrap();
        assert_eq!(world.roots().len(), 2);
        world.advance(299);
    }
    world.advance(3);
    desk.round().await.unwrap();
    desk.round().await.unwrap();
    assert_eq!(world.roots().len(), 3);
}

#[tokio::test]
async fn an_individual_answer_has_a_transaction_of_its_own_and_only_in_its_hour() {
    let world = World::new();
    let desk = world.desk(false);
    let data = individual();
    let first = desk.settle(&data).await.unwrap();
    assert!(first.job_id.starts_with("settlement-individual-"));
    for _ in 0..3 {
        desk.round().await.unwrap();
    }
    let job = desk.settle(&data).await.unwrap();
    assert_eq!(job.status, JobStatus::Succeeded);
    assert!(job.tx_hash.is_some() && job.walrus_blob_id.is_some());
    assert_eq!(world.state().records.len(), 1);

    let world = World::new();
    let desk = world.desk(false);
    desk.settle(&data).await.unwrap();
    world.state().refuses = true;
    for _ in 0..40 {
        desk.round().await.unwrap();
        world.advance(200);
    }
    let job = desk.settle(&data).await.unwrap();
    assert_eq!(job.status, JobStatus::Failed);
    assert!(world.state().sent.is_empty());
}

fn heartbeat(signed_s: u64) -> Heartbeat {
    let node = NodeId::of_signing_key(SPKI);
    Heartbeat {
        node,
        timestamp: signed_s,
        signature: sign(SPKI, &heartbeat_hash(node, signed_s)).into(),
    }
}

#[tokio::test]
async fn heartbeats_are_checked_delivered_once_and_not_too_often() {
    let world = World::new();
    let desk = world.desk(false);
    let deliver =
        async |beat: &Heartbeat, registry| desk.deliver(beat.post_body(registry).as_bytes()).await;
    let good = heartbeat(NOW - 300);
    let answer = deliver(&good, REGISTRY).await.unwrap();
    assert_eq!(answer["success"], true);
    // The same one again is the same transaction.
    assert_eq!(deliver(&good, REGISTRY).await.unwrap(), answer);
    assert_eq!(world.state().beats, 1);

    let error = deliver(&good, PAYER).await.unwrap_err();
    assert!(matches!(error, HeartbeatError::OtherRegistry), "{error}");
    let error = deliver(&heartbeat(NOW - 301), REGISTRY).await.unwrap_err();
    assert!(matches!(error, HeartbeatError::Older), "{error}");
    let error = deliver(&heartbeat(NOW - 299), REGISTRY).await.unwrap_err();
    assert!(
        matches!(error, HeartbeatError::TooSoon { retry_after_s: 60 }),
        "{error}"
    );
    let error = deliver(&heartbeat(NOW + 1), REGISTRY).await.unwrap_err();
    assert!(matches!(error, HeartbeatError::Time), "{error}");
    let error = deliver(&heartbeat(NOW - 1801), REGISTRY).await.unwrap_err();
    assert!(matches!(error, HeartbeatError::Time), "{error}");
    world.advance(60);
    let mut forged = heartbeat(NOW - 200);
    forged.timestamp += 1;
    let error = deliver(&forged, REGISTRY).await.unwrap_err();
    assert!(matches!(error, HeartbeatError::Signature), "{error}");
    let mut unknown = heartbeat(NOW - 200);
    unknown.node = NodeId::of_signing_key(b"another key");
    let error = deliver(&unknown, REGISTRY).await.unwrap_err();
    assert!(matches!(error, HeartbeatError::UnknownNode), "{error}");
    deliver(&heartbeat(NOW - 200), REGISTRY).await.unwrap();
    assert_eq!(world.state().beats, 2);
}
