use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use seamline_core::B256;
use seamline_evm::settlement::{
    DATA_HEADER, FoundRoot, InclusionProof, Job, JobKind, SettlementData, SettlementJob,
    SettlementType, Stage, TYPE_HEADER, Tree,
};
use seamline_net::{Problem, Shape};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admit::NotTaken;
use super::book::{self, State as ItemState};
use super::{DataDesk, Error, HeartbeatError, status};

/// The endpoints of a data desk, to be merged with those of a facilitator. There is no authentication:
/// what a stranger could send is refused by its signature.
///
/// Statuses: 400 for what is refused for good, 404 for what there is none of, 409 for what is not in a
/// batch yet, 413 above 4 MiB, 429 for heartbeats that come too fast, 503 where the chain, the table or
/// the blobs do not answer, or strangers keep the desk busy (with `Retry-After`): nothing was taken then.
pub fn router(desk: DataDesk) -> Router {
    Router::new()
        .route("/settle_data", post(settle_data))
        .route("/settle/{job}", get(job))
        .route("/heartbeat", post(heartbeat))
        .route("/settlement/batches", get(batches))
        .route("/settlement/batches/{root}", get(batch))
        .route("/settlement/proof/{id}", get(proof))
        .layer(DefaultBodyLimit::max(SettlementData::MAX_BYTES))
        .with_state(desk)
}

async fn settle_data(
    State(desk): State<DataDesk>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let mode = text(&headers, TYPE_HEADER).unwrap_or_default();
    let mode = SettlementType::of_enclave(mode).map_err(|error| bad(&error.to_string()))?;
    if mode == SettlementType::Private {
        let notes = "Private settlement ignored by facilitator.";
        let answer = json!({ "settlementJob": null, "notes": notes });
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    // What does not fit into a header may come as the body.
    let data = match text(&headers, DATA_HEADER) {
        Some(value) => SettlementData::from_header(mode, value),
        // Megabytes, perhaps: kept from the async threads.
        None => {
            let read = move || SettlementData::from_json(mode, &body);
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|_| failed(&Error::Busy))?
        }
    };
    let data = data.map_err(|error| bad(&error.to_string()))?;
    match desk.settle(&data).await {
        Ok(job) => {
            let answer = json!({ "settlementJob": job });
            Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
        }
        Err(NotTaken::Refused(refusal)) => Err(bad(&refusal.to_string())),
        Err(NotTaken::Failed(error)) => Err(failed(&error)),
    }
}

async fn job(
    State(desk): State<DataDesk>,
    Path(name): Path<String>,
) -> Result<Json<SettlementJob>, Response> {
    let absent = || missing(format!("Settlement job not found: {}", shown(&name)));
    let id = name
        .strip_prefix("settlement-batch-")
        .or_else(|| name.strip_prefix("settlement-individual-"))
        .and_then(word)
        .ok_or_else(absent)?;
    let core = &desk.0.core;
    let item = core.item(id).await.map_err(|error| failed(&error))?;
    let item = item.ok_or_else(absent)?;
    let view = status::of_item(core, id, &item).await;
    view.map(Json).map_err(|error| failed(&error))
}

async fn heartbeat(State(desk): State<DataDesk>, body: Bytes) -> Result<Json<Value>, Response> {
    desk.deliver(&body)
        .await
        .map(Json)
        .map_err(|error| match error {
            HeartbeatError::Failed(error) => failed(&error),
            HeartbeatError::TooSoon { retry_after_s } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let mut response = problem(status, "too_soon", error.to_string());
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, retry_after_s.into());
                response
            }
            HeartbeatError::Member(_)
            | HeartbeatError::Older
            | HeartbeatError::OtherRegistry
            | HeartbeatError::Signature
            | HeartbeatError::Time
            | HeartbeatError::UnknownNode => bad(&error.to_string()),
        })
}

#[derive(Deserialize)]
struct Page {
    /// Unix seconds.
    #[serde(default)]
    from: u64,
    #[serde(default = "longest")]
    limit: usize,
}

/// Batches in one answer.
const fn longest() -> usize {
    100
}

async fn batches(
    State(desk): State<DataDesk>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Response> {
    let core = &desk.0.core;
    let limit = page.limit.min(longest());
    let jobs = core
        .book(move |book| book::jobs(book, page.from, limit))
        .await
        .map_err(|error| failed(&error))?;
    let batches = jobs.iter().filter(|job| job.kind == JobKind::Batch);
    let batches: Vec<Value> = batches.map(described).collect();
    Ok(Json(json!({ "batches": batches })))
}

fn described(job: &Job) -> Value {
    json!({
        "root": job.id.to_string(),
        "size": job.items.len(),
        "closedAt": job.created_s,
        "blob": job.blob(),
        "settled": settled(job).as_ref().map(FoundRoot::to_value),
        "isFinal": !job.is_open(),
    })
}

/// The tree from where it is stored, not from the table: what everybody else can read.
async fn batch(
    State(desk): State<DataDesk>,
    Path(root): Path<String>,
) -> Result<Response, Response> {
    let id = word(&root).ok_or_else(|| bad("a root is 64 hexadecimal digits"))?;
    let job = find_job(&desk, id).await?;
    let blob = stored(&desk, &job).await?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, blob).into_response())
}

async fn proof(State(desk): State<DataDesk>, Path(id): Path<String>) -> Result<Response, Response> {
    let id = word(&id).ok_or_else(|| bad("an answer's id is 64 hexadecimal digits"))?;
    let core = &desk.0.core;
    let item = core.item(id).await.map_err(|error| failed(&error))?;
    let item = item.ok_or_else(|| missing("no such answer was handed over".to_owned()))?;
    let job = match item.state {
        ItemState::Waiting => return Err(early("the answer waits for its payment to settle")),
        ItemState::Ready => return Err(early("the answer waits for its batch to close")),
        ItemState::Refused { reason } => return Err(missing(reason)),
        ItemState::Taken { job } => find_job(&desk, job).await?,
    };
    if job.kind == JobKind::Individual {
        return Err(missing(
            "the answer is settled individually: its transaction is the proof".to_owned(),
        ));
    }
    let blob = stored(&desk, &job).await?;
    let tree = Tree::parse(&blob).ok().filter(|tree| tree.root() == job.id);
    let tree = tree.ok_or_else(|| missing("the blob is not the batch's tree".to_owned()))?;
    let index = tree.leaves().iter().position(|leaf| leaf.hash() == id);
    let config = &core.config;
    let proof = index.and_then(|index| {
        InclusionProof::of(
            &tree,
            index,
            config.chain_id,
            config.contract,
            settled(&job),
        )
    });
    let proof = proof.ok_or_else(|| missing("the batch does not hold the answer".to_owned()))?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, proof.to_json()).into_response())
}

async fn find_job(desk: &DataDesk, id: B256) -> Result<Job, Response> {
    let job = desk.0.core.book(move |book| book::job(book, id)).await;
    let job = job.map_err(|error| failed(&error))?;
    job.ok_or_else(|| missing("no such batch is known here".to_owned()))
}

async fn stored(desk: &DataDesk, job: &Job) -> Result<Bytes, Response> {
    let id = job
        .blob()
        .ok_or_else(|| early("the tree of the batch is not stored yet"))?;
    let blob = desk.0.core.config.blobs.get(id).await;
    let blob = blob.map_err(|error| failed(&Error::Blob(error)))?;
    blob.ok_or_else(|| missing("the blob of the batch is gone".to_owned()))
}

fn settled(job: &Job) -> Option<FoundRoot> {
    match &job.stage {
        Stage::Settled {
            blob,
            transaction,
            block_number,
            block_hash,
            is_final: _,
        } => Some(FoundRoot {
            root: job.id,
            size: seamline_core::U256::from(job.items.len()),
            blob: blob.clone().into_bytes().into(),
            transaction: *transaction,
            block_number: *block_number,
            block_hash: *block_hash,
        }),
        Stage::Sealed | Stage::Stored { .. } | Stage::Sent { .. } | Stage::Failed { .. } => None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn word(digits: &str) -> Option<B256> {
    let bytes: [u8; 32] = hex::decode_to_array(digits).ok()?;
    Some(B256::from(bytes))
}

/// What a peer named, cut.
fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}

fn bad(text: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid_request", text.to_owned())
}

fn early(text: &str) -> Response {
    problem(StatusCode::CONFLICT, "not_batched", text.to_owned())
}

fn missing(text: String) -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", text)
}

pub(super) fn failed(error: &Error) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = Problem::new(
        status,
        "data_unavailable",
        "data settlement cannot answer now; nothing was taken",
    )
    .with_internal(seamline_core::chain(error))
    .into_response_as(Shape::OpenGradient);
    if matches!(error, Error::Busy) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, BUSY_S.into());
    }
    response
}

/// Seconds after which a busy desk may be asked again.
const BUSY_S: u64 = 5;

fn problem(status: StatusCode, code: &'static str, text: String) -> Response {
    Problem::new(status, code, text).into_response_as(Shape::OpenGradient)
}
