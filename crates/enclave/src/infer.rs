//! `POST /v1/infer`: a model of the caller's choice, run here (`spec/infer.md`).
//!
//! The runtime is behind [`ModelRunner`]; paying, signing and settling are those of a chat. Everything
//! that can be refused without running is refused before payment is asked for; what fails later costs
//! nothing.

mod desk;
mod listing;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use seamline_core::infer::{
    Fixed, InferError, InferRequest, ModelInfo, Outputs, RunError, Tensor, TensorSet, Values,
    outputs_preimage,
};
use seamline_core::json::{Keys, Object, Value};
use seamline_core::{Amount, Fault};
use seamline_net::limits::REQUEST_BODY_BYTES;
use seamline_net::{DataMode, PaymentContext, Problem};

pub use self::desk::InferConfig;
pub(crate) use self::desk::{Desk, Work};
pub(crate) use self::listing::describe;
use crate::call::{Call, payment_of};
use crate::chat::{say_unsettled, unique_id};
use crate::enclave::Enclave;
use crate::error::Error;
use crate::price::CallPrice;
use crate::request::is_json;

/// The path of this route.
pub(crate) const PATH: &str = "/v1/infer";

/// What a request for an inference may cost at most. Refuses what would not run.
pub(crate) fn ceiling(enclave: &Enclave, body: &Bytes) -> Result<Amount, Problem> {
    let asked = understand(enclave, body).map_err(|refusal| refusal.problem())?;
    Ok(asked.price.of(&asked.most))
}

/// Runs what was paid for, signs the outputs and sets what they cost.
pub(crate) async fn handle(enclave: Arc<Enclave>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, REQUEST_BODY_BYTES).await else {
        let too_long = "the request body is too long or was cut off";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Problem::new(status, "body_too_long", too_long).into_response();
    };
    let Some(payment) = head.extensions.get::<PaymentContext>() else {
        // The router puts this handler behind the paywall; without one nothing is served.
        let none = "no payment reached the handler";
        return Problem::internal("request_failed", none).into_response();
    };
    if !is_json(&head.headers) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "Content-Type must be application/json";
        return Problem::new(status, "unsupported_media_type", detail).into_response();
    }
    let wish = head.headers.get("x-settlement-type");
    let mode = DataMode::of_header(wish.map(HeaderValue::as_bytes));
    let mut response = match answer(&enclave, payment, mode, &body).await {
        Ok(response) => response,
        Err(refusal) => {
            payment.meter.set(Amount::ZERO);
            return refusal.problem().into_response();
        }
    };
    say_unsettled(&enclave, &mut response, wish.is_some(), mode);
    response
}

/// Why a request is not answered. Nothing is charged for any of these.
#[derive(Debug)]
enum Refusal {
    NoModels,
    Request(InferError),
    UnknownModel,
    Run(RunError),
    Sign(Error),
}

/// A request that this enclave can run.
struct Asked {
    request: InferRequest,
    info: ModelInfo,
    price: Price,
    /// The most that its run can use.
    most: Work,
}

/// What a run costs here.
#[derive(Clone, Copy)]
struct Price(CallPrice);

fn understand(enclave: &Enclave, body: &Bytes) -> Result<Asked, Refusal> {
    let desk = enclave.desk.as_ref().ok_or(Refusal::NoModels)?;
    let request = InferRequest::parse(body).map_err(Refusal::Request)?;
    let info = desk.info(request.model()).ok_or(Refusal::UnknownModel)?;
    info.check(request.inputs()).map_err(Refusal::Run)?;
    let most = desk.most(&info, request.inputs());
    let price = Price(CallPrice::Token(desk.price()));
    Ok(Asked {
        request,
        info,
        price,
        most,
    })
}

async fn answer(
    enclave: &Arc<Enclave>,
    payment: &PaymentContext,
    mode: DataMode,
    body: &Bytes,
) -> Result<Response, Refusal> {
    // 1. The same checks as before payment: the store may have changed in between.
    let asked = understand(enclave, body)?;
    let desk = enclave.desk.as_ref().ok_or(Refusal::NoModels)?;
    let call = Call {
        model: asked.request.model().to_string(),
        price: asked.price.0,
        input_hash: asked.request.input_hash(),
        meter: payment.meter.clone(),
        payer: payment.payer,
        payment: payment_of(payment),
        mode,
        request: body.clone(),
        prompt_words: 0,
    };
    // 2. Run, away from the async threads.
    let work = asked.most;
    let run = desk.run(asked.request);
    let mut outputs = run.await.map_err(Refusal::Run)?;
    let work = work.with_outputs(&outputs);
    if work.outputs > asked.most.outputs {
        return Err(Refusal::Run(RunError::TooLarge));
    }
    // 3. Sign what is sent.
    let preimage = outputs_preimage(&outputs).map_err(|_| Refusal::Run(RunError::TooLarge))?;
    let proof = enclave
        .prove(call.input_hash, &preimage)
        .map_err(Refusal::Sign)?;
    let id = unique_id("infer").map_err(Refusal::Sign)?;
    call.settle_for(Some(work.usage()), 0, 0);
    if enclave.config.faults.altered_text {
        outputs = altered(&outputs);
    }
    let form = Object::new()
        .with("id", id)
        .with("object", "inference")
        .with("created", proof.timestamp_s)
        .with("model", call.model.as_str())
        .with("outputs", outputs.to_value())
        .with("usage", work.to_object());
    let mut text = Value::from(proof.extend(form)).to_json(Keys::Sorted);
    text.push('\n');
    let answer = Bytes::from(text);
    tracing::debug!(bytes = asked.info.bytes, "a model ran");
    // 4. Settled like a chat.
    let mut headers = enclave
        .settle_data(&call, &proof, &answer)
        .await
        .headers(&proof);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    Ok((headers, answer).into_response())
}

impl Price {
    fn of(self, work: &Work) -> Amount {
        self.0.cost(&crate::price::Used {
            tokens: work.usage(),
            images: 0,
        })
    }
}

impl Refusal {
    fn problem(&self) -> Problem {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::NoModels => {
                let text = "this enclave has no models";
                Problem::new(StatusCode::NOT_FOUND, "no_models", text)
            }
            Self::Request(err) => Problem::new(bad, err.code(), seamline_core::chain(err)),
            Self::UnknownModel => Self::Run(RunError::UnknownModel).problem(),
            Self::Run(err) => run_problem(err),
            Self::Sign(err) => Problem::internal("request_failed", seamline_core::chain(err)),
        }
    }
}

/// Says which of the four parties can mend it: the caller's mistakes are 4xx, ours are 5xx. Of ours,
/// only one that goes away by itself is 503, on which callers present the same payment again.
fn run_problem(err: &RunError) -> Problem {
    let is = |other: &RunError| err == other;
    let status = if is(&RunError::UnknownModel) {
        StatusCode::NOT_FOUND
    } else if is(&RunError::Busy) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if is(&RunError::Stopped) {
        StatusCode::GATEWAY_TIMEOUT
    } else if err.fault() == Fault::Caller {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let problem = Problem::new(status, err.code(), err.to_string());
    if is(&RunError::Busy) {
        return problem.not_charged("node", core::time::Duration::from_secs(1));
    }
    problem
}

/// Changes one value, for the fault of the same name.
fn altered(outputs: &Outputs) -> Outputs {
    let tensors = outputs.iter().enumerate().map(|(at, tensor)| {
        let (name, shape) = (tensor.name(), tensor.shape().to_vec());
        match tensor.values() {
            Values::Numbers(numbers) if at == 0 => {
                let mut numbers = numbers.clone();
                if let Some(first) = numbers.first_mut() {
                    *first = Fixed::of_i64(if *first == Fixed::ZERO { 1 } else { 0 });
                }
                Tensor::numbers(name, shape, numbers)
            }
            Values::Numbers(_) | Values::Strings(_) => Ok(tensor.clone()),
        }
    });
    let altered = tensors.collect::<Result<Vec<_>, _>>();
    altered
        .and_then(TensorSet::new)
        .unwrap_or_else(|_| outputs.clone())
}
