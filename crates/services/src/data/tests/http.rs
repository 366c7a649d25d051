//! The endpoints, as strangers, enclaves and callers see them.

use axum::body::{Body, to_bytes};
use http::Request;
use seamline_core::B256;
use seamline_evm::settlement::{InclusionProof, SettlementData, Tree};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::world::{CONTRACT, NODE_PAYEE, NOW, World, answer};
use crate::data::{DataDesk, Paid, router};

const PAYMENT: B256 = B256::repeat_byte(5);

/// Status, `retry-after`, and body.
pub(super) type Said = (u16, Option<String>, Vec<u8>);

pub(super) async fn ask(desk: &DataDesk, request: Request<Body>) -> Said {
    let response = router(desk.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let wait = response.headers().get("retry-after").cloned();
    let wait = wait.map(|it| it.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, wait, body.to_vec())
}

async fn get(desk: &DataDesk, path: &str) -> Said {
    let request = Request::get(path).body(Body::empty()).unwrap();
    ask(desk, request).await
}

/// Hands data over; `None` leaves a header out.
async fn hand(desk: &DataDesk, mode: Option<&str>, header: Option<&str>, body: &str) -> Said {
    let mut request = Request::post("/settle_data");
    for (name, value) in [("x-settlement-type", mode), ("x-settlement-data", header)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    ask(desk, request.body(Body::from(body.to_owned())).unwrap()).await
}

pub(super) fn json_of(said: &Said) -> Value {
    serde_json::from_slice(&said.2).unwrap()
}

/// What a person reads of a refusal.
pub(super) fn error(said: &Said) -> String {
    json_of(said)["error"].as_str().unwrap().to_owned()
}

/// Four answers: a whole batch.
async fn batch(desk: &DataDesk) {
    for index in 0..4 {
        desk.settle(&answer(index)).await.unwrap();
    }
    desk.round().await.unwrap();
    desk.round().await.unwrap();
}

fn id(index: u8) -> B256 {
    answer(index).inference.id()
}

#[tokio::test]
async fn data_comes_as_a_header_or_as_a_body_and_is_one_answer() {
    let world = World::new();
    let desk = world.desk(false);
    let data = answer(1);
    let first = hand(&desk, Some(" Batch "), Some(&data.to_header()), "{}").await;
    assert_eq!(first.0, 202);
    let job = &json_of(&first)["settlementJob"];
    let name = format!("settlement-batch-{}", hex::encode(id(1)));
    assert_eq!(job["jobId"], json!(name), "{job}");
    let body = hand(&desk, Some("batch"), None, &data.to_json()).await;
    assert_eq!(json_of(&body), json_of(&first));
    // Where both are there the header counts.
    let both = hand(&desk, Some("batch"), Some(&data.to_header()), "no json").await;
    assert_eq!(json_of(&both), json_of(&first));
    let seen = get(&desk, &format!("/settle/{name}")).await;
    assert_eq!((seen.0, &json_of(&seen)), (200, job));
}

#[tokio::test]
async fn a_private_answer_is_not_looked_at() {
    let world = World::new();
    let desk = world.desk(false);
    for mode in ["private", "PRIVATE", "pivate"] {
        let said = hand(&desk, Some(mode), None, "anything").await;
        assert_eq!(said.0, 202, "{mode}");
        assert_eq!(json_of(&said)["settlementJob"], Value::Null);
    }
    assert_eq!(get(&desk, "/settlement/batches").await.0, 200);
    desk.round().await.unwrap();
    assert!(world.state().sent.is_empty());
}

#[tokio::test]
async fn what_is_no_data_is_refused_for_good_and_says_what_is_wrong() {
    let world = World::new();
    let desk = world.desk(false);
    let good = answer(1);
    let with = |member: &str, value: Value| {
        let mut data: Value = serde_json::from_str(&good.to_json()).unwrap();
        data[member] = value;
        data.to_string()
    };
    let twice = good.to_json().replacen('{', "{\"tee_id\":\"0x00\",", 1);
    let mode = "batch";
    let cases = [
        (None, None, good.to_json(), "settlement"),
        (Some("everything"), None, good.to_json(), "everything"),
        (Some(mode), Some("!!"), good.to_json(), "base64"),
        (Some(mode), Some("e30="), String::new(), "tee_id"),
        (Some(mode), None, String::new(), "json"),
        (Some(mode), None, "[]".to_owned(), "json"),
        (Some(mode), None, format!("{} {{}}", good.to_json()), "json"),
        (Some(mode), None, twice, "json"),
        (Some(mode), None, with("tee_id", json!("0x12")), "tee_id"),
        (Some(mode), None, with("input_hash", json!(7)), "input_hash"),
        (
            Some(mode),
            None,
            with("output_hash", Value::Null),
            "output_hash",
        ),
        (
            Some(mode),
            None,
            with("tee_signature", json!("0x")),
            "tee_signature",
        ),
        (
            Some(mode),
            None,
            with("tee_timestamp", json!(-1)),
            "tee_timestamp",
        ),
        (
            Some(mode),
            None,
            with("tee_timestamp", json!(NOW + 301)),
            "hour",
        ),
        (
            Some(mode),
            None,
            with("input_hash", json!("00".repeat(32))),
            "signature",
        ),
        (Some("individual"), None, good.to_json(), "input"),
    ];
    for (mode, header, body, word) in cases {
        let said = hand(&desk, mode, header, &body).await;
        assert_eq!(said.0, 400, "{mode:?} {header:?} {body}");
        let text = error(&said);
        assert!(text.contains(word), "{text} says nothing of {word}");
    }
    let long = "x".repeat(SettlementData::MAX_BYTES + 1);
    assert_eq!(hand(&desk, Some(mode), None, &long).await.0, 413);
    let request = Request::get("/settle_data").body(Body::empty()).unwrap();
    assert_eq!(ask(&desk, request).await.0, 405);
    desk.round().await.unwrap();
    assert!(world.state().sent.is_empty());
}

#[tokio::test]
async fn what_cannot_be_checked_now_is_not_taken_and_may_come_again() {
    let world = World::new();
    let desk = world.desk(false);
    let data = answer(1).to_json();
    world.state().silent = true;
    let said = hand(&desk, Some("batch"), None, &data).await;
    assert_eq!(said.0, 503);
    assert!(error(&said).contains("nothing was taken"));
    // What the endpoint says of itself stays inside.
    assert!(!error(&said).contains("nobody listens"));
    world.state().silent = false;
    // The table fails.
    world.state().dead = true;
    assert_eq!(hand(&desk, Some("batch"), None, &data).await.0, 503);
    let job = format!("/settle/settlement-batch-{}", hex::encode(id(1)));
    for path in [
        job.as_str(),
        "/settlement/batches",
        &format!("/settlement/batches/{}", id(1)),
        &format!("/settlement/proof/{}", id(1)),
    ] {
        assert_eq!(get(&desk, path).await.0, 503, "{path}");
    }
    world.state().dead = false;
    assert_eq!(get(&desk, &job).await.0, 404);
    assert_eq!(hand(&desk, Some("batch"), None, &data).await.0, 202);
}

#[tokio::test]
async fn a_job_that_nobody_knows_is_not_found() {
    let world = World::new();
    let desk = world.desk(false);
    let digits = hex::encode(id(1));
    for name in [
        format!("settlement-batch-{digits}"),
        format!("settlement-individual-{digits}"),
        format!("payment-{digits}"),
        "settlement-batch-12".to_owned(),
        format!("settlement-batch-{digits}00"),
        digits.clone(),
    ] {
        let said = get(&desk, &format!("/settle/{name}")).await;
        assert_eq!(said.0, 404, "{name}");
        assert_eq!(error(&said), format!("Settlement job not found: {name}"));
    }
    let long = "a".repeat(4000);
    let said = get(&desk, &format!("/settle/{long}")).await;
    assert!(error(&said).len() < 200, "a stranger's text is cut");
}

#[tokio::test]
async fn batches_are_listed_oldest_first_by_time_and_never_more_than_a_page() {
    let world = World::new();
    let desk = world.desk(false);
    assert_eq!(
        json_of(&get(&desk, "/settlement/batches").await),
        json!({"batches": []})
    );
    batch(&desk).await;
    world.advance(1000);
    desk.settle(&answer(9)).await.unwrap();
    world.advance(301);
    desk.round().await.unwrap();
    let list = |query: &'static str| {
        let desk = desk.clone();
        async move {
            let said = get(&desk, &format!("/settlement/batches{query}")).await;
            let sizes = json_of(&said)["batches"].as_array().unwrap().clone();
            let size = |batch: &Value| batch["size"].as_u64().unwrap();
            sizes.iter().map(size).collect::<Vec<_>>()
        }
    };
    assert_eq!(list("").await, [4, 1]);
    assert_eq!(list("?limit=1").await, [4]);
    assert_eq!(list("?limit=0").await, [0; 0]);
    assert_eq!(list("?limit=18446744073709551615").await, [4, 1]);
    assert_eq!(list("?from=1763597000").await, [1]);
    assert_eq!(list("?from=18446744073709551615").await, [0; 0]);
    for query in ["?limit=-1", "?from=x", "?limit=", "?from=1&from=2"] {
        let said = get(&desk, &format!("/settlement/batches{query}")).await;
        assert_eq!(said.0, 400, "{query}");
    }
    let said = json_of(&get(&desk, "/settlement/batches?limit=1").await);
    let first = &said["batches"][0];
    assert_eq!(first["root"], json!(world.roots()[0].to_string()));
    assert_eq!(first["closedAt"], json!(NOW));
    assert!(first["settled"]["transaction"].is_string());
}

#[tokio::test]
async fn a_tree_is_read_from_where_it_is_stored() {
    let world = World::new();
    let desk = world.desk(false);
    batch(&desk).await;
    let root = world.roots()[0];
    let path = format!("/settlement/batches/{root}");
    let (status, _, body) = get(&desk, &path).await;
    assert_eq!(status, 200);
    assert_eq!(Tree::parse(&body).unwrap().root(), root);

    assert_eq!(get(&desk, "/settlement/batches/0x12").await.0, 400);
    let unknown = format!("/settlement/batches/{}", B256::ZERO);
    assert_eq!(get(&desk, &unknown).await.0, 404);
    // The store lost it: that is said, not made up from the table.
    world.state().blobs.clear();
    let said = get(&desk, &path).await;
    assert_eq!(
        (said.0, error(&said)),
        (404, "the blob of the batch is gone".to_owned())
    );
}

#[tokio::test]
async fn a_proof_is_given_of_what_a_batch_holds_and_of_nothing_else() {
    let world = World::new();
    let desk = world.desk(false);
    let proof = |id: B256| format!("/settlement/proof/{id}");
    for (path, status) in [
        ("/settlement/proof/12".to_owned(), 400),
        (proof(id(1)), 404),
    ] {
        assert_eq!(get(&desk, &path).await.0, status, "{path}");
    }
    // It waits for others.
    desk.settle(&answer(0)).await.unwrap();
    let said = get(&desk, &proof(id(0))).await;
    assert_eq!(said.0, 409);
    assert!(error(&said).contains("batch to close"));
    // The batch is closed, and its tree is nowhere yet.
    for index in 1..4 {
        desk.settle(&answer(index)).await.unwrap();
    }
    world.state().lies = true;
    desk.round().await.unwrap();
    let said = get(&desk, &proof(id(0))).await;
    assert_eq!(said.0, 409);
    assert!(error(&said).contains("not stored"));
    world.state().lies = false;
    world.advance(400);
    desk.round().await.unwrap();
    desk.round().await.unwrap();
    let (status, _, file) = get(&desk, &proof(id(0))).await;
    assert_eq!(status, 200);
    let file = InclusionProof::parse(&file).unwrap();
    assert_eq!(file.inference.id(), id(0));
    assert_eq!((file.contract, file.chain_id), (CONTRACT, 31_337));
    assert_eq!(file.check(Some(world.roots()[0])), Ok(()));
    // Another tree in the place of this one proves nothing.
    world.state().lies = true;
    let said = get(&desk, &proof(id(0))).await;
    assert_eq!(said.0, 404);
    assert!(error(&said).contains("not the batch's tree"));
}

#[tokio::test]
async fn what_is_not_in_a_batch_says_why() {
    let world = World::new();
    let desk = world.desk(true);
    let mut data = answer(1);
    data.payment = Some(PAYMENT);
    let said = hand(&desk, Some("batch"), None, &answer(1).to_json()).await;
    assert_eq!(
        (said.0, error(&said).contains("names no payment")),
        (400, true)
    );
    assert_eq!(
        hand(&desk, Some("batch"), None, &data.to_json()).await.0,
        202
    );
    let path = format!("/settlement/proof/{}", id(1));
    let said = get(&desk, &path).await;
    assert_eq!(
        (said.0, error(&said).contains("payment to settle")),
        (409, true)
    );
    world.state().paid.insert(PAYMENT, Paid::Failed);
    desk.round().await.unwrap();
    let said = get(&desk, &path).await;
    assert_eq!((said.0, error(&said).contains("not settled")), (404, true));
    let job = get(
        &desk,
        &format!("/settle/settlement-batch-{}", hex::encode(id(1))),
    )
    .await;
    assert_eq!(json_of(&job)["status"], json!("failed"));
    // It settled to the node: another answer of the same payment is taken.
    let settled = Paid::Settled {
        payer: NODE_PAYEE,
        pay_to: NODE_PAYEE,
    };
    world.state().paid.insert(PAYMENT, settled);
    let mut other = answer(2);
    other.payment = Some(PAYMENT);
    assert_eq!(
        hand(&desk, Some("batch"), None, &other.to_json()).await.0,
        202
    );
    desk.round().await.unwrap();
    let said = get(&desk, &format!("/settlement/proof/{}", id(2))).await;
    assert_eq!(
        (said.0, error(&said).contains("batch to close")),
        (409, true)
    );
}
