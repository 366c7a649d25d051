//! Carrying one sealed request to a node, and paying for it.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use seamline::pay::{Answer, ErrorKind, Outlet, PayOptions, Payees};
use seamline::{Payer, Purchase};
use seamline_core::{Amount, Charged, NodeId};
use seamline_net::{ClientOptions, TlsTrust, http_client};
use seamline_ohttp::MEDIA_REQUEST;

use super::targets::Target;

/// What is to be carried.
#[derive(Clone)]
pub struct Errand {
    /// Where to.
    pub target: Target,
    /// The path at the node.
    pub path: &'static str,
    /// The sealed request.
    pub body: Bytes,
    /// Most that it may cost.
    pub max_price: Amount,
}

impl core::fmt::Debug for Errand {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Errand")
            .field("path", &self.path)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Carried {
    /// The node's answer: its head alone where it went to the outlet.
    pub reply: Result<Reply, CarryError>,
    /// What it cost the relay.
    pub paid: Paid,
}

/// A node's answer.
#[derive(Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The media type.
    pub media_type: String,
    /// The body: sealed, or an error in clear. Empty where it went to the outlet.
    pub body: Bytes,
}

impl core::fmt::Debug for Reply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What a request cost the relay, in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// This much, zero included.
    Exactly(Amount),
    /// Not known yet: up to this much.
    UpTo(Amount),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarryError {
    /// The node does not answer, or not as it should.
    #[error("the node does not answer")]
    Node,
    /// The node asks more than a request may cost, or its payment was refused.
    #[error("the node cannot be paid")]
    Payment,
    /// The relay itself cannot pay or keep its books.
    #[error("the relay cannot pay")]
    Relay,
}

/// The future of a carrier.
pub type CarrierFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Carries sealed requests and pays for them.
pub trait Carrier: Send + Sync {
    /// Carries one request. An answer of success goes to `outlet` as it comes; whoever reads it leaves
    /// to stop the request. This runs to its end although nobody waits for it any more: the payment must.
    fn carry(&self, errand: Errand, outlet: Outlet) -> CarrierFuture<'_, Carried>;

    /// Asks a node for its signed key configuration, which is free.
    fn config(&self, target: Target) -> CarrierFuture<'_, Result<Bytes, CarryError>>;
}

/// Makes a payer with these options, all of them over one account, budget and journal.
type OpenPayer = dyn Fn(PayOptions) -> Result<Payer, seamline::pay::Error> + Send + Sync;

/// Pays with the payers of one [`Client`](seamline::Client): one account, budget and journal. Each node is believed by its registered
/// certificate only, and paid at its registered address only.
pub struct PayingCarrier {
    open: Box<OpenPayer>,
    payers: Mutex<HashMap<NodeId, (Target, Arc<Payer>)>>,
}

/// Longest answer.
const ANSWER: u64 = 32 * 1024 * 1024;
/// Longest key configuration: it is below 1 KiB.
const CONFIG: u64 = 16 * 1024;
/// How long a node may take to say its key configuration.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(10);

impl PayingCarrier {
    /// Pays with what `open` makes, such as [`Client::payer`](seamline::Client::payer).
    pub fn new(
        open: impl Fn(PayOptions) -> Result<Payer, seamline::pay::Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            open: Box::new(open),
            payers: Mutex::default(),
        }
    }

    fn payer(&self, target: &Target) -> Result<Arc<Payer>, CarryError> {
        let mut payers = self.payers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, payer)) = payers.get(&target.node)
            && known == target
        {
            return Ok(Arc::clone(payer));
        }
        let mut options = PayOptions::default();
        options.tls = TlsTrust::Pinned(target.tls_certificate.clone());
        options.payees = Payees::Listed(vec![target.pay_to]);
        options.max_answer_bytes = ANSWER;
        let payer = (self.open)(options).map_err(|_| CarryError::Relay)?;
        let payer = Arc::new(payer);
        payers.insert(target.node, (target.clone(), Arc::clone(&payer)));
        Ok(payer)
    }

    async fn pay(&self, errand: Errand, outlet: Outlet) -> Carried {
        let Errand {
            target,
            path,
            body,
            max_price,
        } = errand;
        let payer = match self.payer(&target) {
            Ok(payer) => payer,
            Err(err) => return nothing(err),
        };
        let url = format!("{}{path}", target.endpoint);
        let media_type = HeaderValue::from_static(MEDIA_REQUEST);
        let purchase = Purchase::new(http::Method::POST, url)
            .header(CONTENT_TYPE, media_type)
            .body(body)
            .max_price(max_price);
        match payer.fetch_into(&purchase, outlet).await {
            Ok(bought) => {
                let most = bought.authorized.unwrap_or(Amount::ZERO);
                let paid = match (bought.settled, bought.charged) {
                    (Some(settled), _) => Paid::Exactly(settled),
                    (None, Charged::No) => Paid::Exactly(Amount::ZERO),
                    (None, Charged::Yes | Charged::Unknown) => Paid::UpTo(most),
                };
                let reply = Ok(reply(&bought.answer));
                Carried { reply, paid }
            }
            Err(err) => {
                let paid = match (err.settled(), err.charged()) {
                    (Some(settled), _) => Paid::Exactly(settled),
                    (None, Charged::No) => Paid::Exactly(Amount::ZERO),
                    (None, Charged::Yes | Charged::Unknown) => {
                        Paid::UpTo(err.authorized().unwrap_or(max_price))
                    }
                };
                let reply = match err.kind() {
                    ErrorKind::Status(answer) => Ok(reply(answer)),
                    ErrorKind::Refused(_)
                    | ErrorKind::PayeeChanged { .. }
                    | ErrorKind::PaymentRefused { .. }
                    | ErrorKind::OfferChanged
                    | ErrorKind::NoOffer
                    | ErrorKind::Offer(_) => Err(CarryError::Payment),
                    ErrorKind::Unreachable(_)
                    | ErrorKind::Interrupted(_)
                    | ErrorKind::Stopped
                    | ErrorKind::Redirect { .. }
                    | ErrorKind::PaidInVain => Err(CarryError::Node),
                    ErrorKind::Url { .. }
                    | ErrorKind::ZeroBudget
                    | ErrorKind::NoChain { .. }
                    | ErrorKind::Http(_)
                    | ErrorKind::Journal(_)
                    | ErrorKind::Write { .. }
                    | ErrorKind::Seal(_)
                    | ErrorKind::Entropy(_)
                    | ErrorKind::Chain(_)
                    | ErrorKind::OverBudget(_)
                    | ErrorKind::Sign(_)
                    | ErrorKind::Payment(_)
                    | ErrorKind::Funds { .. }
                    | ErrorKind::Allowance { .. }
                    | ErrorKind::Channel(_)
                    | ErrorKind::Unresolved { .. }
                    | _ => Err(CarryError::Relay),
                };
                Carried { reply, paid }
            }
        }
    }
}

impl Carrier for PayingCarrier {
    fn carry(&self, errand: Errand, outlet: Outlet) -> CarrierFuture<'_, Carried> {
        Box::pin(self.pay(errand, outlet))
    }

    fn config(&self, target: Target) -> CarrierFuture<'_, Result<Bytes, CarryError>> {
        Box::pin(async move {
            let mut options = ClientOptions::pinned(target.tls_certificate.clone());
            options.total_timeout = CONFIG_TIMEOUT;
            options.max_response_bytes = CONFIG;
            let client = http_client(options).map_err(|_| CarryError::Relay)?;
            let url = format!("{}/v1/ohttp/config", target.endpoint);
            let answer = client.get(&url).await.map_err(|_| CarryError::Node)?;
            if answer.status() != http::StatusCode::OK {
                return Err(CarryError::Node);
            }
            let body = answer.into_body().bytes().await;
            body.map_err(|_| CarryError::Node)
        })
    }
}

impl core::fmt::Debug for PayingCarrier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PayingCarrier").finish_non_exhaustive()
    }
}

fn nothing(err: CarryError) -> Carried {
    Carried {
        reply: Err(err),
        paid: Paid::Exactly(Amount::ZERO),
    }
}

fn reply(answer: &Answer) -> Reply {
    let media_type = answer.headers.get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    Reply {
        status: answer.status,
        media_type: media_type.unwrap_or_default().to_owned(),
        body: answer.body.clone(),
    }
}
