//! One payment for one request: read, and matched with what is asked.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use seamline_core::{Amount, B256, Timestamp, sha256};
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::extensions::{check_echo, payment_identifier};
use seamline_evm::x402::{Offer, PaymentPayload, Reason};
use serde_json::{Map, Value};

use super::answer;
use super::flow::{Refusal, recall};
use super::job::Manner;
use super::ledger::{Outcome, Presentation};
use super::local::LocalScheme;
use super::promise::Promise;
use super::request::{Presented, payment, request_hash, takes_trailers};
use super::sale::{Accepted, Refused, Sale};
use super::session::SESSION;
use super::session::any_request;
use super::store::Debt;
use super::{Inner, PaymentIdentifiers};
use crate::problem::Problem;

/// The error of a 402 for a request without a payment.
const UNPAID: &str = "Payment required";

/// A payment that answers an offer; nothing of it is verified yet.
pub(super) struct Purchase {
    pub(super) payload: PaymentPayload,
    /// The requirement that it answers.
    pub(super) offer: Offer,
    /// What is asked for this request.
    asked: Amount,
    pub(super) promise: Promise,
    /// The scheme, where it is judged here.
    pub(super) local: Option<Arc<dyn LocalScheme>>,
    /// Whether it is settled before the handler runs.
    pub(super) upfront: bool,
    /// Whether it opens a session.
    pub(super) session: bool,
    /// Hash of the payment identifier, with its payer.
    pub(super) name: Option<B256>,
    /// SHA-256 of the message, signature included: who only knows the nonce has another.
    pub(super) authorization: B256,
    request: B256,
    pub(super) manner: Manner,
}

impl Inner {
    /// Why a request goes no further before its body is read: nothing in it pays.
    pub(super) fn unpaid(&self, sale: &Sale, head: &Parts) -> Option<Refusal> {
        if self.config.sessions.is_some() && head.headers.contains_key(SESSION) {
            return None;
        }
        match payment(&head.headers, self.config.v1) {
            Ok(Presented::None) => Some(sale.refuse(UNPAID)),
            Ok(Presented::V2(_) | Presented::V1(_)) => None,
            Err(error) => Some(sale.refuse(error)),
        }
    }

    /// Reads the payment of a request: at most one, for one of the offers, with the extensions as
    /// they were declared.
    pub(super) fn purchase(
        &self,
        sale: &Sale,
        head: &Parts,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Purchase, Refusal> {
        const UNMATCHED: &str = "No matching payment requirements";
        let presented = payment(&head.headers, self.config.v1);
        let (payload, v1) = match presented.map_err(|error| sale.refuse(error))? {
            Presented::None => return Err(sale.refuse(UNPAID)),
            Presented::V2(payload) => (*payload, false),
            Presented::V1(json) => match sale.read_v1(&json) {
                Some(payload) => (payload, true),
                None => return Err(sale.refuse(UNMATCHED)),
            },
        };
        let accepted = sale.accept(payload.accepted().terms());
        let Some(Accepted {
            offer,
            asked,
            session,
        }) = accepted
        else {
            let outcome = self.paid_before(&payload, head, body, now);
            return Err(outcome.map_or_else(
                || sale.refuse(UNMATCHED),
                |outcome| Refusal::answer(recall(&outcome, v1)),
            ));
        };
        let declared = Value::Object(sale.declared.clone());
        check_echo(Some(&declared), payload.extensions())
            .map_err(|reason| sale.refuse(reason.as_str()))?;
        let local = self.local(&offer.terms().scheme).cloned();
        let promise = match &local {
            Some(local) => Promise::of_local(local, &payload, &offer, now),
            None => Promise::of_authorization(&payload, &offer, now),
        };
        let mut promise = promise.map_err(|reason| sale.refuse(reason.as_str()))?;
        let request = if session {
            any_request()
        } else {
            request_hash(head, body)
        };
        if local.is_some() {
            // Its own books say what became of a promise: the same one for another request gets
            // their answer, such as a correction, not a conflict.
            promise.key = sha256(&[promise.key.as_slice(), request.as_slice()]);
        }
        Ok(Purchase {
            name: self.name(&payload, &promise)?,
            authorization: match &local {
                // The same promise is the same payment, whichever attempt its message names.
                Some(_) => sha256(&[payload.payload().to_string().as_bytes()]),
                None => sha256(&[payload.raw().as_bytes()]),
            },
            request,
            manner: Manner {
                trailers: takes_trailers(&head.headers),
                v1,
                secret: has_secret(&payload),
                url: sale.resource.url().to_owned(),
            },
            upfront: self.is_upfront(&offer)?,
            session,
            payload,
            offer,
            asked,
            promise,
            local,
        })
    }

    /// What an authorization came to that answers an earlier price of this request: whoever lost an
    /// answer that was paid for gets it, although it costs something else by now.
    fn paid_before(
        &self,
        payload: &PaymentPayload,
        head: &Parts,
        body: &Bytes,
        now: Timestamp,
    ) -> Option<Outcome> {
        let promise = Promise::of_authorization(payload, payload.accepted(), now).ok()?;
        self.ledger.recall(Presentation {
            key: promise.key,
            payer: promise.payer,
            authorization: sha256(&[payload.raw().as_bytes()]),
            request: request_hash(head, body),
            deadline: promise.deadline,
        })
    }

    fn is_upfront(&self, offer: &Offer) -> Result<bool, Problem> {
        let terms = offer.terms();
        match terms.extra.get("paymentFlow").and_then(Value::as_str) {
            None | Some("authorization") => Ok(false),
            Some("upfront") if terms.scheme == Scheme::Exact.as_str() => Ok(true),
            Some(flow) => {
                let text = format!("scheme {} has no flow {flow}", terms.scheme);
                Err(Problem::internal("payment_flow_unsupported", text))
            }
        }
    }

    fn name(&self, payload: &PaymentPayload, promise: &Promise) -> Result<Option<B256>, Problem> {
        let identifiers = self.config.identifiers;
        if identifiers == PaymentIdentifiers::Ignored {
            return Ok(None);
        }
        let bad =
            |text: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid_payment_identifier", text);
        let id = payment_identifier::of(payload.extensions())
            .map_err(|_| bad("the payment identifier is malformed"))?;
        match id {
            None if identifiers == PaymentIdentifiers::Required => {
                Err(bad("a payment identifier is required"))
            }
            None => Ok(None),
            Some(id) => Ok(Some(sha256(&[
                b"seamline/v1/payment-identifier",
                self.config
                    .scope
                    .as_ref()
                    .map_or(&[][..], |it| it.as_slice()),
                promise.payer.as_slice(),
                id.as_str().as_bytes(),
            ]))),
        }
    }
}

/// Whether a message holds what the chain never shows, so that only its payer can present it twice:
/// an authorization and its signature are public once they are settled, and the rest of a message can
/// be guessed.
fn has_secret(payload: &PaymentPayload) -> bool {
    let id = payment_identifier::of(payload.extensions());
    id.ok()
        .flatten()
        .is_some_and(|id| id.as_str().len() >= SECRET_CHARS)
}

/// Shortest payment identifier that is taken for a secret: 128 bits in base64url. That it is random is
/// the payer's part.
const SECRET_CHARS: usize = 22;

impl Purchase {
    /// What the ledger and the store know it by.
    pub(super) const fn presentation(&self) -> Presentation {
        Presentation {
            key: self.promise.key,
            payer: self.promise.payer,
            authorization: self.authorization,
            request: self.request,
            deadline: self.promise.deadline,
        }
    }

    /// The ceiling: what is asked, and at most what was authorized.
    pub(super) fn max(&self) -> Amount {
        self.promise.max.min(self.asked)
    }

    /// What is owed once `amount` was delivered.
    pub(super) fn debt(&self, amount: Amount) -> Debt {
        Debt {
            amount,
            upfront: false,
            delivered: false,
            payload: self.payload.clone(),
            offer: self.offer.clone(),
        }
    }

    /// The authorization is in use for something else: 409 where its payer named the purchase, else
    /// the scheme's reason.
    pub(super) fn refuse_conflict(&self, sale: &Sale) -> Refusal {
        if self.name.is_some() {
            return Refusal::answer(answer::conflict());
        }
        sale.refuse(self.promise.spent.as_str())
    }
}

impl Sale {
    pub(super) fn refuse(&self, error: &str) -> Refusal {
        let error = error.to_owned();
        let correction = None;
        Refusal::Required(Box::new(self.clone()), Refused { error, correction })
    }

    /// Refuses with what the payer must know to do better.
    pub(super) fn correct(
        &self,
        offer: &Offer,
        reason: &Reason,
        extra: Map<String, Value>,
    ) -> Refusal {
        let refused = Refused {
            error: reason.as_str().to_owned(),
            correction: Some((offer.terms().scheme.clone(), extra)),
        };
        Refusal::Required(Box::new(self.clone()), refused)
    }
}
