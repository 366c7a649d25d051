//! What a request costs, and the 402 that says it.

use core::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use seamline_core::{Amount, Timestamp};
use seamline_evm::scheme::{Method, Scheme};
use seamline_evm::x402::extensions::{eip2612, offer_receipt, payment_identifier};
use seamline_evm::x402::{Offer, OfferTerms, PaymentRequired, Resource, v1};
use serde_json::{Map, Value};

use super::answer;
use super::request::target;
use super::session::SessionOffer;
use super::{Inner, PaymentIdentifiers};
use crate::facilitator::FacilitatorError;
use crate::problem::Problem;

/// A request that is for sale.
#[derive(Clone, Debug)]
pub(super) struct Sale {
    pub(super) offers: Vec<Offer>,
    pub(super) resource: Resource,
    /// Extensions that every 402 declares; the signed offers come on top.
    pub(super) declared: Map<String, Value>,
    /// The offer that opens a session; one of the offers.
    pub(super) session: Option<SessionOffer>,
}

/// An offer that a payer accepted.
pub(super) struct Accepted {
    /// The requirement: with the payer's own ceiling where that is higher.
    pub(super) offer: Offer,
    /// What is asked for this request.
    pub(super) asked: Amount,
    /// Whether it opens a session.
    pub(super) session: bool,
}

/// Why the 402 is sent.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) error: String,
    /// Members for the `extra` of the offers of a scheme.
    pub(super) correction: Option<(String, Map<String, Value>)>,
}

impl Inner {
    /// Asks the pricer, and completes what only the facilitator or a local scheme knows.
    pub(super) async fn sale(
        &self,
        head: &Parts,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Sale, Problem> {
        let asked = self.pricer.offers(head, body)?;
        self.sale_of(asked, head, now).await
    }

    /// The sale where it does not depend on the body.
    pub(super) async fn sale_by_head(
        &self,
        head: &Parts,
        now: Timestamp,
    ) -> Option<Result<Sale, Problem>> {
        match self.pricer.offers_by_head(head)? {
            Ok(asked) => Some(self.sale_of(asked, head, now).await),
            Err(problem) => Some(Err(problem)),
        }
    }

    async fn sale_of(
        &self,
        asked: Vec<OfferTerms>,
        head: &Parts,
        now: Timestamp,
    ) -> Result<Sale, Problem> {
        let mut offers = Vec::new();
        let mut permit2 = false;
        for mut terms in asked {
            if let Some(local) = self.local(&terms.scheme) {
                local.complete(&mut terms).await?;
            } else if !self.name_facilitator(&mut terms, now).await? {
                continue;
            }
            permit2 |= method_of(&terms) == Some(Method::Permit2);
            offers.push(Offer::new(terms));
        }
        if offers.is_empty() {
            let text = "there is no offer that the facilitator settles";
            return Err(Problem::internal("facilitator_unsupported", text));
        }
        let session = self.session_offer(&offers);
        if let Some(session) = &session
            && !offers
                .iter()
                .any(|offer| offer.terms() == session.offer.terms())
        {
            // Who does not choose takes the first.
            offers.insert(0, session.offer.clone());
        }
        let target = target(head);
        let path = target.split('?').next().unwrap_or_default();
        let url = format!("{}{path}", self.config.public_url);
        let (description, mime_type) = (&self.config.description, &self.config.mime_type);
        Ok(Sale {
            offers,
            resource: Resource::new(&url, description, mime_type),
            declared: self.declared(permit2, now).await,
            session,
        })
    }

    /// What a session is asked for: the cap. A request that can cost as much is paid alone: its offer
    /// would be that of a session, and a session's answers come without a settlement.
    fn session_offer(&self, offers: &[Offer]) -> Option<SessionOffer> {
        let rules = self.config.sessions?;
        let alone = offers.iter().find(|offer| {
            let terms = offer.terms();
            terms.scheme == Scheme::Upto.as_str() && method_of(terms) == Some(Method::Permit2)
        })?;
        let asked = alone.terms().amount().filter(|it| *it < rules.cap)?;
        Some(SessionOffer {
            offer: alone.with_amount(rules.cap),
            asked,
        })
    }

    /// Adds the settling account to an offer of `upto`; `false` where nobody settles it.
    async fn name_facilitator(
        &self,
        terms: &mut OfferTerms,
        now: Timestamp,
    ) -> Result<bool, Problem> {
        if terms.scheme != Scheme::Upto.as_str() || terms.extra.contains_key(FACILITATOR) {
            return Ok(true);
        }
        let (scheme, network) = (&terms.scheme, &terms.network);
        let wanted = |supported: &seamline_evm::x402::Supported| {
            supported.facilitator(scheme, network).is_some()
        };
        let api = self.facilitator.as_ref();
        let supported = self.supported.get(api, now, wanted).await;
        let supported = supported.map_err(|error| no_facilitator(&error))?;
        let Some(address) = supported.facilitator(scheme, network) else {
            return Ok(false);
        };
        let address = Value::from(address.to_string());
        terms.extra.insert(FACILITATOR.to_owned(), address);
        Ok(true)
    }

    async fn declared(&self, permit2: bool, now: Timestamp) -> Map<String, Value> {
        let mut declared = Map::new();
        let required = match self.config.identifiers {
            PaymentIdentifiers::Ignored => None,
            PaymentIdentifiers::Honoured => Some(false),
            PaymentIdentifiers::Required => Some(true),
        };
        if let Some(required) = required {
            let declaration = payment_identifier::declaration(required);
            declared.insert(payment_identifier::KEY.to_owned(), declaration);
        }
        if permit2 {
            let api = self.facilitator.as_ref();
            if self.supported.knows(api, now, eip2612::KEY).await {
                declared.insert(eip2612::KEY.to_owned(), eip2612::declaration());
            }
        }
        declared
    }

    /// The 402 of a sale.
    pub(super) async fn payment_required(&self, sale: Sale, refused: Refused) -> Response {
        let Sale {
            mut offers,
            resource,
            mut declared,
            session: _,
        } = sale;
        if let Some((scheme, correction)) = refused.correction {
            for offer in offers.iter_mut().filter(|it| it.terms().scheme == scheme) {
                let mut terms = offer.terms().clone();
                terms.extra.extend(correction.clone());
                *offer = Offer::new(terms);
            }
        }
        if let Some(signed) = self.signed_offers(&offers, resource.url()).await {
            declared.insert(offer_receipt::KEY.to_owned(), signed);
        }
        let error = refused.error.as_str();
        let old = self.config.v1.then(|| {
            let old = offers.iter();
            let old = old.filter_map(|offer| v1::Requirements::of_offer(offer, &resource));
            let old = old.collect::<Vec<_>>();
            let body = v1::PaymentRequired::new(error, &old);
            String::from_utf8_lossy(body.raw()).into_owned()
        });
        let required = PaymentRequired::new(Some(error), Some(&resource), &offers);
        let required = required.with_extensions(declared);
        answer::payment_required(&required.to_header(), old)
    }
}

impl Sale {
    /// The offer that `accepted` echoes, by the rule of the official servers.
    ///
    /// An `upto` echo may name a higher amount than is asked now: a payer that remembers an offer
    /// authorizes its own ceiling, and the meter decides. It may never name a lower one.
    pub(super) fn accept(&self, accepted: &OfferTerms) -> Option<Accepted> {
        if let Some(SessionOffer { offer, asked }) = &self.session
            && offer.terms().mismatch(accepted).is_none()
        {
            let (offer, asked) = (offer.clone(), *asked);
            let session = true;
            return Some(Accepted {
                offer,
                asked,
                session,
            });
        }
        self.offers.iter().find_map(|offer| {
            let terms = offer.terms();
            let asked = terms.amount()?;
            let offer = match terms.mismatch(accepted) {
                None => offer.clone(),
                Some("amount") if terms.scheme == Scheme::Upto.as_str() => {
                    let higher = accepted.amount().filter(|higher| *higher > asked)?;
                    let raised = offer.with_amount(higher);
                    // As written, and nothing else differs.
                    raised
                        .terms()
                        .mismatch(accepted)
                        .is_none()
                        .then_some(raised)?
                }
                Some(_) => return None,
            };
            let session = false;
            Some(Accepted {
                offer,
                asked,
                session,
            })
        })
    }

    /// Reads a payment of version 1 as an answer to the offer of its scheme and network.
    pub(super) fn read_v1(&self, json: &[u8]) -> Option<seamline_evm::x402::PaymentPayload> {
        let payload = v1::Payload::parse(json).ok()?;
        self.offers.iter().find_map(|offer| {
            let read = payload.to_v2(offer, Some(&self.resource)).ok()?;
            let same = offer.terms().mismatch(read.accepted().terms()).is_none();
            same.then_some(read)
        })
    }
}

/// Member of an offer's `extra` that names the settling account.
const FACILITATOR: &str = "facilitatorAddress";

fn method_of(terms: &OfferTerms) -> Option<Method> {
    Method::of(Scheme::parse(&terms.scheme)?, terms)
}

/// A 503 for a facilitator that gives no answer: nothing was computed and nothing is charged, and the
/// same payment is good when it is back.
pub(crate) fn no_facilitator(error: &FacilitatorError) -> Problem {
    unavailable().with_internal(seamline_core::chain(error))
}

/// The same for one that answers that it could not find out.
pub(super) fn unavailable() -> Problem {
    let text = "the facilitator cannot be reached";
    let status = http::StatusCode::SERVICE_UNAVAILABLE;
    let problem = Problem::new(status, "facilitator_unavailable", text);
    problem.not_charged("facilitator", FACILITATOR_PAUSE)
}

/// When a facilitator that is out of reach, or whose chain is, may be back: a restart.
const FACILITATOR_PAUSE: Duration = Duration::from_secs(2);
