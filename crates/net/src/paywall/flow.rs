//! The steps of one request (x402 appendix C), in their order.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use core::time::Duration;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use seamline_core::{Amount, B256, Timestamp, sha256};
use seamline_evm::x402::{
    FacilitatorRequest, Offer, PAYMENT_SIGNATURE, PaymentPayload, Reason, Resource,
};
use seamline_evm::{Malformed, upto};
use tokio::time::Instant;

use super::answer;
use super::ledger::{Admission, Outcome, Presentation, Reservation};
use super::meter::{Meter, PaymentContext};
use super::stream::Job;
use super::{Inner, Paywall};
use crate::facilitator::FacilitatorError;
use crate::problem::Problem;

/// Why a request goes no further.
enum Refusal {
    /// It is answered with this.
    Answer(Box<Response>),
    /// Something is wrong with it, or with us.
    Problem(Problem),
}

impl Refusal {
    fn answer(response: Response) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// A request that is for sale.
struct Sale {
    offer: Offer,
    resource: Resource,
}

impl Paywall {
    /// Answers one request.
    pub(super) async fn handle(&self, request: Request, next: Next) -> Response {
        let shape = self.0.config.problems;
        match self.serve(request, next).await {
            Ok(response) => response,
            Err(Refusal::Answer(response)) => *response,
            Err(Refusal::Problem(problem)) => problem.into_response_as(shape),
        }
    }

    async fn serve(&self, request: Request, next: Next) -> Result<Response, Refusal> {
        let inner = &self.0;
        let now = (inner.config.clock)();
        // 1. HEAD would run the GET handler and lose its answer.
        if request.method() == Method::HEAD {
            return Err(Refusal::answer(
                StatusCode::METHOD_NOT_ALLOWED.into_response(),
            ));
        }
        // 2. The whole request, because its price depends on it.
        let (head, body) = request.into_parts();
        let body = read_body(body, inner.config.max_body_bytes).await?;
        // 3. What it costs: computed, not remembered.
        let sale = inner.sale(&head, &body, now).await?;
        // 4. The payment, at most one.
        let payload = payment(&head.headers).map_err(|error| sale.refuse(error))?;
        let Some(payload) = payload else {
            return Err(sale.refuse("Payment required"));
        };
        // 5. It answers this offer, byte for byte.
        let accepted = payload.accepted().terms();
        if sale.offer.terms().mismatch(accepted).is_some() {
            return Err(sale.refuse("No matching payment requirements"));
        }
        let permit =
            upto::Permit::of(&payload).map_err(|_| sale.refuse(Reason::InvalidPayload.as_str()))?;
        // 6. Reserved before anything is computed or asked.
        let presentation = present(&payload, &permit, &sale, &head, &body, now)?;
        let expires = presentation.deadline;
        let reservation = match self.reserve(presentation, &sale, now).await? {
            Reserved::New(reservation) => reservation,
            Reserved::Open(reservation, answer, amount) => {
                let job = self.job(reservation, payload, &permit, &sale, expires)?;
                return self
                    .detach(async move { job.settle_again(answer, amount).await })
                    .await;
            }
        };
        // 7. It lives long enough to be worked for, then settled.
        if expires <= (inner.config.clock)().saturating_add(SETTLE_TIME) {
            return Err(sale.refuse(Reason::Permit2DeadlineExpired.as_str()));
        }
        // 8. Verified before anything is computed.
        self.verify(&payload, &permit, &sale).await?;
        if !reservation.claim() {
            return Err(sale.refuse(Reason::Permit2InvalidNonce.as_str()));
        }
        // 9. The handler, and the settlement at what it metered: both run to their end, or until
        //    the authorization is about to expire.
        let settle_first = upto::is_fallback(&payload) || !reservation.on_credit();
        let job = self.job(reservation, payload, &permit, &sale, expires)?;
        let mut request = Request::from_parts(head, Body::from(body));
        request.extensions_mut().insert(job.context.clone());
        // A live authorization is none of the handler's business.
        request.headers_mut().remove(PAYMENT_SIGNATURE);
        self.detach(async move {
            match tokio::time::timeout_at(job.stop, next.run(request)).await {
                Ok(response) => job.finish(response, settle_first).await,
                Err(_) => job.too_slow(),
            }
        })
        .await
    }

    async fn reserve(
        &self,
        presentation: Presentation,
        sale: &Sale,
        now: Timestamp,
    ) -> Result<Reserved, Refusal> {
        let wait = self.0.config.join_wait;
        let refused = || sale.refuse(Reason::Permit2InvalidNonce.as_str());
        loop {
            let mut twin = match self.0.ledger.begin(presentation, now) {
                Admission::New(reservation) => return Ok(Reserved::New(reservation)),
                Admission::Resume(reservation, answer, amount) => {
                    return Ok(Reserved::Open(reservation, answer, amount));
                }
                Admission::Done(outcome) => return Err(Refusal::answer(recall(&outcome))),
                Admission::Conflict => return Err(refused()),
                Admission::Full => return Err(Refusal::Problem(busy())),
                Admission::Join(twin) => twin,
            };
            // Nothing is ever sent: the twin's end drops the sender.
            if tokio::time::timeout(wait, twin.changed()).await.is_err() {
                return Err(Refusal::answer(answer::in_flight()));
            }
        }
    }

    async fn verify(
        &self,
        payload: &PaymentPayload,
        permit: &upto::Permit,
        sale: &Sale,
    ) -> Result<(), Refusal> {
        let request = FacilitatorRequest {
            payment_payload: payload.clone(),
            payment_requirements: sale.offer.clone(),
        };
        let verdict = self.0.facilitator.verify(&request).await;
        let verdict = verdict.map_err(|error| Refusal::Problem(no_facilitator(&error)))?;
        let payer = verdict.payer.as_deref();
        let other_payer = payer.is_some_and(|payer| !same_account(payer, permit));
        match verdict.invalid_reason {
            None if verdict.is_valid && !other_payer => Ok(()),
            None => Err(sale.refuse(Reason::UnexpectedVerifyError.as_str())),
            Some(reason) => Err(sale.refuse(reason.as_str())),
        }
    }

    fn job(
        &self,
        reservation: Reservation,
        payload: PaymentPayload,
        permit: &upto::Permit,
        sale: &Sale,
        expires: Timestamp,
    ) -> Result<Job, Refusal> {
        let max = Amount::try_from(permit.authorization.amount)
            .map_err(|_| sale.refuse(Reason::Permit2InvalidAmount.as_str()))?;
        let context = PaymentContext {
            payer: permit.from,
            offer: sale.offer.clone(),
            max,
            auth_nonce: permit.auth_nonce(),
            meter: Meter::new(max),
        };
        let now = (self.0.config.clock)();
        let left = expires.saturating_since(now).saturating_sub(SETTLE_TIME);
        let began = Instant::now();
        Ok(Job {
            paywall: self.clone(),
            reservation,
            payload,
            context,
            stop: began.checked_add(left).unwrap_or(began),
        })
    }

    /// Runs `work` to its end although the client may leave.
    async fn detach(
        &self,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Result<Response, Refusal> {
        // The job's reservation is released by its drop where the handler panicked.
        let task = self.0.tasks.spawn(work);
        task.await
            .map_err(|_| Refusal::Problem(Problem::internal("handler_failed", "a task panicked")))
    }
}

/// What a reservation is for.
enum Reserved {
    /// All of the work.
    New(Reservation),
    /// The settlement only: the handler has run.
    Open(Reservation, Option<answer::Answer>, Amount),
}

impl Inner {
    async fn sale(&self, head: &Parts, body: &Bytes, now: Timestamp) -> Result<Sale, Refusal> {
        let terms = self.pricer.offers(head, body);
        let terms = terms.map_err(Refusal::Problem)?.into_iter().next();
        let mut terms = terms.ok_or_else(|| Refusal::Problem(unsupported()))?;
        if terms.scheme == upto::SCHEME && !terms.extra.contains_key(FACILITATOR) {
            let api = self.facilitator.as_ref();
            let asked = self
                .supported
                .facilitator(api, &terms.scheme, &terms.network, now);
            let found = asked.await;
            let found = found.map_err(|error| Refusal::Problem(no_facilitator(&error)))?;
            let address = found.ok_or_else(|| Refusal::Problem(unsupported()))?;
            let address = serde_json::Value::from(address.to_string());
            terms.extra.insert(FACILITATOR.to_owned(), address);
        }
        let path = head.uri.path();
        let url = format!("{}{path}", self.config.public_url);
        Ok(Sale {
            offer: Offer::new(terms),
            resource: Resource::new(&url, &self.config.description, "application/json"),
        })
    }
}

impl Sale {
    fn refuse(&self, error: &str) -> Refusal {
        Refusal::answer(answer::payment_required(error, &self.resource, &self.offer))
    }
}

/// Member of an offer's `extra` that names the settling account.
const FACILITATOR: &str = "facilitatorAddress";

/// What is kept of an authorization's life for its settlement: facilitators refuse one that expires
/// within six seconds, and the rest is for asking them. Without it a payer could sign for seven
/// seconds, read a stream for a minute, and owe nothing.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// How long a reservation outlives the offer's own lifetime, against clocks that differ.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

async fn read_body(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    to_bytes(body, limit).await.map_err(|_| {
        let text = format!("the request body is incomplete or longer than {limit} bytes");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Refusal::Problem(Problem::new(status, "request_too_large", text))
    })
}

/// Reads the payment header: none, or exactly one that decodes; otherwise the error of the 402.
fn payment(headers: &HeaderMap) -> Result<Option<PaymentPayload>, &'static str> {
    let mut values = headers.get_all(PAYMENT_SIGNATURE).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("invalid_payload");
    }
    match PaymentPayload::from_header(value.as_bytes()) {
        Ok(payload) => Ok(Some(payload)),
        Err(Malformed::Version) => Err("invalid_x402_version"),
        Err(_) => Err("invalid_payload"),
    }
}

fn present(
    payload: &PaymentPayload,
    permit: &upto::Permit,
    sale: &Sale,
    head: &Parts,
    body: &Bytes,
    now: Timestamp,
) -> Result<Presentation, Refusal> {
    let terms = sale.offer.terms();
    let chain_id = terms.chain_id();
    let chain_id = chain_id.ok_or_else(|| sale.refuse(Reason::InvalidNetwork.as_str()))?;
    // A payer may sign for a century; what is kept for it may not.
    let lifetime = Duration::from_secs(terms.max_timeout_seconds).saturating_add(CLOCK_SLACK);
    let signed = u64::try_from(permit.authorization.deadline).unwrap_or(u64::MAX);
    Ok(Presentation {
        key: permit.key(chain_id),
        payer: permit.from,
        authorization: sha256(&[payload.raw().as_bytes()]),
        request: request_hash(head, body),
        deadline: Timestamp::from_secs(signed).min(now.saturating_add(lifetime)),
    })
}

/// Method and target cannot hold a line feed, so the parts cannot be shifted into each other.
fn request_hash(head: &Parts, body: &Bytes) -> B256 {
    let target = head.uri.to_string();
    let method = head.method.as_str();
    sha256(&[method.as_bytes(), b"\n", target.as_bytes(), b"\n", body])
}

fn same_account(text: &str, permit: &upto::Permit) -> bool {
    text.eq_ignore_ascii_case(&permit.from.to_string())
}

/// What an authorization's earlier presentation came to.
fn recall(outcome: &Outcome) -> Response {
    match outcome {
        Outcome::Answered(answer, settled) => answer.respond(settled),
        Outcome::Spent(settled) | Outcome::Unpaid(settled) => answer::withheld(settled),
        // `Ledger::begin` hands these out for resuming.
        Outcome::Unsettled(..) => answer::in_flight(),
    }
}

fn busy() -> Problem {
    let text = "too many payments are in progress, try again soon";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_payments", text)
}

fn unsupported() -> Problem {
    let text = "the facilitator does not settle the scheme and network of this offer";
    Problem::internal("facilitator_unsupported", text)
}

fn no_facilitator(error: &FacilitatorError) -> Problem {
    let text = "the facilitator cannot be reached";
    Problem::new(StatusCode::BAD_GATEWAY, "facilitator_unavailable", text)
        .with_internal(seamline_core::chain(error))
}
