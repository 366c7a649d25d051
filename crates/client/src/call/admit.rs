//! 7. admit and 8. authorize: the spend policy over all offers, then one signature, on disk
//!    before it is on the wire.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::receipt::{self as event, EvidenceType};
use seamline_evm::payment::{Event, Misuse};
use seamline_evm::policy::{Admitted, NotAdmitted, SpendPolicy};
use seamline_evm::registry::NodeRecord;
use seamline_evm::scheme::{Scheme, SignedAuthorization};
use seamline_evm::x402::{PaymentRequired, is_test_network};

use super::offer::Terms;
use super::open::LEG;
use super::{Call, word};
use crate::error::ErrorKind;
use crate::journal::{PaymentRecord, Token};
use crate::leg::Next;
use crate::sign::{self, Means};
use crate::step::Step;

impl Call<'_> {
    pub(super) async fn admit(
        &mut self,
        record: &NodeRecord,
        terms: &Terms,
    ) -> Result<(Admitted, Means), ErrorKind> {
        self.begin(Step::Admit, &format!("node {}", record.node.short()));
        let node = record.node;
        let admitted = self
            .admitted(record, &terms.required)
            .map_err(|source| ErrorKind::Refused { node, source })?;
        let outlay = match admitted.scheme() {
            Scheme::BatchSettlement => self.purse().outlay(&admitted)?,
            Scheme::Exact | Scheme::Upto => admitted.amount(),
        };
        let config = &self.client.config;
        let means = self.client.funds.check(
            &*config.network.rpc,
            &*config.signer,
            &admitted,
            &terms.required,
            outlay,
            self.now(),
        );
        // At the same time: neither waits for the other.
        let (active, means) = futures_util::join!(self.client.still_active(node), means);
        active?;
        let means = means?;
        let offered = admitted.offer().terms();
        let (network, scheme) = (word(&offered.network), word(&offered.scheme));
        let max_timeout_s = offered.max_timeout_seconds;
        self.event(event::Admitted {
            offer_event: terms.event,
            amount: admitted.amount(),
            asset: admitted.asset(),
            network,
            pay_to: admitted.pay_to(),
            scheme,
            max_timeout_s,
        });
        self.done();
        Ok((admitted, means))
    }

    /// The best offer that the policy admits now. Each token is held against its own books.
    pub(super) fn admitted(
        &self,
        record: &NodeRecord,
        required: &PaymentRequired,
    ) -> Result<Admitted, NotAdmitted> {
        let model = self.ask.model();
        let now = self.now();
        let journal = &self.client.books.journal;
        let channels = self.client.config.options.channels_per_node > 0;
        each_token(&self.leg.budget, channels, |policy, token| {
            let spent = journal.spent_of(token, record.node.as_b256(), model, now);
            policy.admit(required, record.pay_to, &spent)
        })
    }

    /// Signs the one authorization of this call and stores it, with its reservation, before it can
    /// be sent.
    pub(super) async fn authorize(
        &mut self,
        record: &NodeRecord,
        terms: &Terms,
        admitted: &Admitted,
        means: Means,
    ) -> Result<SignedAuthorization, ErrorKind> {
        let network = &self.client.config.network;
        let amount = admitted.amount().to_decimal(network.decimals);
        let symbol = &network.symbol;
        self.begin(Step::Authorize, &format!("at most {amount} {symbol}"));
        let now = self.now();
        let auth_nonce = *self.leg.payment.auth_nonce();
        let signer = Arc::clone(&self.client.config.signer);
        let id = self
            .client
            .config
            .env
            .payment_id()
            .map_err(ErrorKind::Entropy)?;
        let required = &terms.required;
        let signed = sign::sign(&signer, admitted, required, means, auth_nonce, id, now);
        let authorization = signed.await?;
        let node = *record.node.as_b256();
        let earlier = self.leg.record.payment.as_ref();
        if earlier.is_some_and(|earlier| !earlier.shares_nonce_with(&authorization)) {
            // Another token or method spends another nonce: both could settle.
            return Err(ErrorKind::OfferChanged { node: record.node });
        }
        let earlier = self.leg.record.payment.take();
        let payment = PaymentRecord::new(&authorization, node, self.from_block, earlier);
        self.leg.record.payment = Some(payment);
        let signed = Event::Signed((&authorization).into());
        match self.leg.pay(signed, Duration::ZERO).await? {
            Next::Present => {}
            Next::Report => return Err(ErrorKind::Payment(Misuse::OutOfOrder)),
        }
        self.client.funds.signed(admitted);
        self.record_authorization(&authorization);
        self.done();
        Ok(authorization)
    }

    fn record_authorization(&mut self, authorization: &SignedAuthorization) {
        let raw = authorization.payload.raw().as_bytes().to_vec();
        let blob = self.attach(EvidenceType::Authorization, raw);
        self.event(event::Authorized {
            auth_nonce: authorization.auth_nonce,
            leg: LEG,
            payer: authorization.payer,
            amount: authorization.amount,
            deadline_s: authorization.deadline_s,
            digest: authorization.digest,
            authorization: blob,
        });
    }
}

/// Asks for each allowed token by itself, in the order in which the policy lists them: base units of
/// different tokens neither compare nor add up. The first token that is admitted wins; within it the
/// policy's own preference. Payment channels are left out where there is no pool of them.
pub(crate) fn each_token(
    policy: &SpendPolicy,
    channels: bool,
    admit: impl Fn(&SpendPolicy, &Token) -> Result<Admitted, NotAdmitted>,
) -> Result<Admitted, NotAdmitted> {
    let mut narrow = policy.clone();
    if !channels {
        narrow.schemes.retain(|it| *it != Scheme::BatchSettlement);
    }
    let mut first = None;
    // A list with a test network allows test networks only, each by itself too.
    let testing = policy.networks.iter().any(|it| is_test_network(it));
    for network in &policy.networks {
        if testing && !is_test_network(network) {
            continue;
        }
        for asset in &policy.assets {
            narrow.networks = vec![network.clone()];
            narrow.assets = vec![*asset];
            let token = Token {
                network: network.clone(),
                asset: *asset,
            };
            match admit(&narrow, &token) {
                Ok(admitted) => return Ok(admitted),
                Err(refused) => keep(&mut first, refused),
            }
        }
    }
    Err(first.unwrap_or(NotAdmitted {
        refusals: Vec::new(),
    }))
}

/// Of several refusals of the same offers, the one that came furthest explains most: an offer in
/// another token is refused for its token by every policy but the one of its own.
fn keep(best: &mut Option<NotAdmitted>, refused: NotAdmitted) {
    let Some(best) = best else {
        *best = Some(refused);
        return;
    };
    for (kept, new) in best.refusals.iter_mut().zip(refused.refusals) {
        if is_about_token(kept) && !is_about_token(&new) {
            *kept = new;
        }
    }
}

fn is_about_token(refusal: &seamline_evm::policy::Refusal) -> bool {
    matches!(refusal.code(), "network_not_allowed" | "asset_not_allowed")
}
