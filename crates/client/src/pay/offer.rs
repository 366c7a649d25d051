//! The request without payment, the policy over all offers, and one signature.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::receipt::{self as event, EvidenceType, Word};
use seamline_core::{Address, B256};
use seamline_evm::payment::{Event, Misuse};
use seamline_evm::policy::{self, Admitted, NotAdmitted, Payee, Refusal};
use seamline_evm::scheme::{Scheme, SignedAuthorization};
use seamline_evm::x402::extensions::offer_receipt::{self, Finding};
use seamline_evm::x402::{PaymentRequired, VERSION, v1};
use seamline_evm::{Malformed, chain};

use super::error::ErrorKind;
use super::exchange::SendFault;
use super::open::LEG;
use super::run::Buying;
use super::wire::{self, Asked, Presentation};
use super::{Answer, Payees, Signed};
use crate::call::each_token;
use crate::journal::PaymentRecord;
use crate::leg::Next;
use crate::sign::{self, Means};
use crate::step::Step;

/// What was admitted, for the checks of what comes after.
pub(super) struct Sold {
    pub(super) network: String,
    pub(super) resource_url: String,
    pub(super) pay_to: Address,
}

impl Buying<'_> {
    /// Asks without payment. The outer `Ok(Err)` is an answer that is free.
    pub(super) async fn offer(&mut self) -> Result<Result<Asked, Answer>, ErrorKind> {
        self.begin(Step::Offer);
        self.record_request(false);
        let answer = self.send(None).await.map_err(SendFault::unpaid)?;
        let status = answer.status;
        if status != 402 {
            self.record_first(&answer);
            return self.checked(answer).map(Err);
        }
        let asked = wire::asked(&answer.headers, &answer.body).ok_or(ErrorKind::NoOffer)?;
        let asked = asked.map_err(ErrorKind::Offer)?;
        if let Some(v1) = &asked.v1 {
            // As it came, beside its reading in the terms of version 2.
            self.attach(EvidenceType::Offer, v1.raw().to_vec());
        }
        self.done();
        Ok(Ok(asked))
    }

    /// An answer that is none of a payment: everything but a redirect is the caller's to judge.
    fn checked(&mut self, answer: Answer) -> Result<Answer, ErrorKind> {
        if (300..400).contains(&answer.status) && answer.status != 304 {
            return Err(self.redirect(&answer));
        }
        self.record_end(&answer);
        self.done();
        Ok(answer)
    }

    pub(super) fn redirect(&self, answer: &Answer) -> ErrorKind {
        ErrorKind::Redirect {
            status: answer.status,
            to: wire::redirect_origin(&answer.headers, &self.target),
        }
    }

    /// Holds all offers against the policy; whom to pay is the caller's list, or who was paid before.
    pub(super) async fn admit(&mut self, asked: &Asked) -> Result<(Admitted, Means), ErrorKind> {
        self.begin(Step::Admit);
        let required = &asked.required;
        let offer = self.attach(EvidenceType::Offer, required.raw().to_vec());
        let node = self.node;
        let offer_event = self.event(event::Offered {
            node,
            offer,
            remembered: false,
        });
        let known = match &self.payer.options.payees {
            Payees::Listed(listed) => listed.clone(),
            Payees::FirstUse => {
                let pins = self.payer.books.journal.pins(&self.target.origin);
                pins.map_err(ErrorKind::Journal)?
            }
        };
        let first_use = self.payer.options.payees == Payees::FirstUse;
        let payee = if first_use && known.is_empty() {
            Payee::Anyone
        } else {
            Payee::Listed(&known)
        };
        let admitted = self.admitted(required, payee).map_err(|refused| {
            let changed = |it: &Refusal| matches!(it, Refusal::PayToNotListed { .. });
            if first_use && refused.refusals.iter().any(changed) {
                return ErrorKind::PayeeChanged {
                    origin: self.target.origin.clone(),
                    known: known.clone(),
                };
            }
            ErrorKind::Refused(refused)
        })?;
        let no_chain = || ErrorKind::NoChain {
            network: admitted.offer().terms().network.clone(),
        };
        self.leg.rpc = self.payer.rpc(admitted.chain_id()).ok_or_else(no_chain)?;
        let now = self.now();
        let outlay = match admitted.scheme() {
            Scheme::BatchSettlement => self.purse().outlay(&admitted)?,
            Scheme::Exact | Scheme::Upto => admitted.amount(),
        };
        let (rpc, signer) = (Arc::clone(&self.leg.rpc), &*self.payer.signer);
        let funds = &self.payer.funds;
        let means = funds.check(&*rpc, signer, &admitted, required, outlay, now);
        let means = means.await?;
        let terms = admitted.offer().terms();
        let (network, scheme) = (Word::new(&terms.network), Word::new(&terms.scheme));
        let max_timeout_s = terms.max_timeout_seconds;
        self.event(event::Admitted {
            offer_event,
            amount: admitted.amount(),
            asset: admitted.asset(),
            network,
            pay_to: admitted.pay_to(),
            scheme,
            max_timeout_s,
        });
        self.note_sold(required, &admitted);
        self.done();
        Ok((admitted, means))
    }

    fn admitted(
        &self,
        required: &PaymentRequired,
        payee: Payee<'_>,
    ) -> Result<Admitted, NotAdmitted> {
        let purchase = policy::Purchase {
            payee,
            request_url: Some(&self.target.url),
        };
        let now = self.now();
        let journal = &self.payer.books.journal;
        let channels = self.payer.options.channels_per_seller > 0;
        each_token(&self.leg.budget, channels, |policy, token| {
            let origin = &self.target.origin;
            let spent = journal.spent_of(token, self.node.as_b256(), origin, now);
            policy.admit_purchase(required, &purchase, &spent)
        })
    }

    /// Before anything is signed: who is paid first is whom the next purchase expects.
    pub(super) fn pin(&self, pay_to: Address) -> Result<(), ErrorKind> {
        if self.payer.options.payees != Payees::FirstUse {
            return Ok(());
        }
        let (journal, origin) = (&self.payer.books.journal, &self.target.origin);
        if journal
            .pin_first(origin, pay_to)
            .map_err(ErrorKind::Journal)?
        {
            return Ok(());
        }
        Err(ErrorKind::PayeeChanged {
            origin: origin.clone(),
            known: journal.pins(origin).map_err(ErrorKind::Journal)?,
        })
    }

    /// Keeps what the seller says of itself, and looks at its signature over the offer.
    fn note_sold(&mut self, required: &PaymentRequired, admitted: &Admitted) {
        let resource = required.resource.as_ref();
        let url = resource.map_or_else(|| self.target.url.clone(), |it| it.url().to_owned());
        let extensions = required.extensions.as_ref();
        let offer = admitted.offer();
        let now = self.now();
        self.signed_offer = worth(&offer_receipt::verify_offer(
            extensions,
            offer,
            &url,
            &[],
            now,
        ));
        self.sold = Some(Sold {
            network: offer.terms().network.clone(),
            resource_url: url,
            pay_to: admitted.pay_to(),
        });
    }

    /// Signs the purchase's one nonce and stores it, with its reservation, before it can be sent.
    pub(super) async fn authorize(
        &mut self,
        asked: &Asked,
        admitted: &Admitted,
        means: Means,
    ) -> Result<Presentation, ErrorKind> {
        self.begin(Step::Authorize);
        self.pin(admitted.pay_to())?;
        let from_block = chain::newest_block(&*self.leg.rpc).await;
        let from_block = from_block.map_err(ErrorKind::Chain)?.number;
        let auth_nonce = *self.leg.payment.auth_nonce();
        let id = self.payer.env.payment_id().map_err(ErrorKind::Entropy)?;
        let (signer, now) = (&self.payer.signer, self.now());
        let required = &asked.required;
        let signed = sign::sign(signer, admitted, required, means, auth_nonce, id, now);
        let authorization = signed.await?;
        let v1 = version_1(asked, admitted, &authorization).map_err(ErrorKind::Offer)?;
        let presentation = match &v1 {
            Some(payload) => Presentation::new(v1::VERSION, &payload.to_header()),
            None => Presentation::new(VERSION, &authorization.header()),
        };
        let presentation = presentation.ok_or(ErrorKind::Offer(Malformed::Size))?;
        let node: B256 = *self.node.as_b256();
        let record = PaymentRecord::new(&authorization, node, from_block, None);
        self.leg.record.payment = Some(record);
        if let Some(purchase) = &mut self.leg.record.purchase {
            purchase.v1_payload = v1.map(|payload| payload.raw().to_owned());
        }
        let told = Event::Signed((&authorization).into());
        match self.leg.pay(told, Duration::ZERO).await? {
            Next::Present => {}
            Next::Report => return Err(ErrorKind::Payment(Misuse::OutOfOrder)),
        }
        self.payer.funds.signed(admitted);
        let raw = authorization.payload.raw().as_bytes().to_vec();
        let blob = self.attach(EvidenceType::Authorization, raw);
        self.event(event::Authorized {
            auth_nonce,
            leg: LEG,
            payer: authorization.payer,
            amount: authorization.amount,
            deadline_s: authorization.deadline_s,
            digest: authorization.digest,
            authorization: blob,
        });
        self.done();
        Ok(presentation)
    }
}

/// The message of version 1, where the server speaks that.
fn version_1(
    asked: &Asked,
    admitted: &Admitted,
    authorization: &SignedAuthorization,
) -> Result<Option<v1::Payload>, Malformed> {
    let Some(v1) = &asked.v1 else {
        return Ok(None);
    };
    let requirements = v1.accepts.get(admitted.index());
    let requirements = requirements.ok_or(Malformed::Field("accepts"))?;
    v1::Payload::answering(&authorization.payload, requirements).map(Some)
}

/// What a signed statement is worth.
pub(super) fn worth(found: &Result<Address, Finding>) -> Signed {
    match found {
        Ok(_) => Signed::Yes,
        Err(Finding::Missing) => Signed::No,
        Err(Finding::UnsupportedFormat { .. }) => Signed::Unsupported,
        Err(_) => Signed::Broken,
    }
}
