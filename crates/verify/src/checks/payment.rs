//! Checks 11 and 12: offer and authorization.

use std::collections::BTreeMap;

use seamline_core::receipt::{Admitted, Authorized, EventKind, Offered};
use seamline_core::{Amount, SourceClass, binding};
use seamline_evm::policy::Spent;
use seamline_evm::scheme::Authorization;
use seamline_evm::x402::extensions::offer_receipt::verify_offer;
use seamline_evm::x402::{Offer, OfferTerms, PaymentPayload, PaymentRequired};

use crate::case::{Case, Last};
use crate::claim::{Claim, Outcome};

/// How far the deadline may lie beyond the allowed lifetime: the payer's clock is read before the
/// event is written, and both are cut to seconds.
pub(super) const LIFETIME_SLACK_S: u64 = 5;

/// Why a payment cannot be followed from offer to authorization.
pub(super) enum Broken {
    /// It is not in the file.
    Absent(&'static str),
    /// An event is hidden.
    Hidden(&'static str),
    /// It is wrong.
    Wrong(String),
}

pub(super) fn check(case: &mut Case<'_>) {
    // 11. Offers.
    for (index, dt_us, admitted) in case.events::<Admitted>() {
        match offer_of(case, admitted) {
            Ok((required, offer)) => {
                let source = offer_source(case, dt_us, &required, &offer);
                case.pass(Claim::OfferTerms, source, index);
            }
            Err(broken) => report(case, Claim::OfferTerms, index, broken),
        }
        match pay_to(case, index, admitted) {
            _ if super::purchase::is_one(case) => purchase_pay_to(case, index),
            Ok(()) => case.pass(Claim::OfferPayTo, SourceClass::Recomputed, index),
            Err(broken) => report(case, Claim::OfferPayTo, index, broken),
        }
    }
    // 12. Authorizations.
    for (index, dt_us, authorized) in case.events::<Authorized>() {
        authorization(case, index, dt_us, authorized);
    }
    if case.hides(EventKind::Authorized) || case.hides(EventKind::Admitted) {
        let detail = "a payment event is hidden";
        for claim in [Claim::AuthorizationNonce, Claim::AuthorizationSigner] {
            case.open(claim, Outcome::Redacted, (), detail);
        }
    }
}

/// The raw offer that an admission names, among those that the node made.
pub(super) fn offer_of(
    case: &Case<'_>,
    admitted: &Admitted,
) -> Result<(PaymentRequired, Offer), Broken> {
    let offered = offered(case, admitted)?;
    let raw = case.blob(&offered.offer);
    let raw = raw.ok_or(Broken::Absent("the offer is withheld"))?;
    let required = PaymentRequired::parse(raw)
        .map_err(|error| Broken::Wrong(format!("the offer cannot be read: {error}")))?;
    let same = |terms: &OfferTerms| {
        terms.amount() == Some(admitted.amount)
            && terms.asset_address() == Some(admitted.asset)
            && terms.pay_to_address() == Some(admitted.pay_to)
            && admitted.network == terms.network.as_str()
            && admitted.scheme == terms.scheme.as_str()
            && terms.max_timeout_seconds == admitted.max_timeout_s
    };
    let mut offers = required.offers.iter();
    let found = offers.find(|offer| same(offer.terms())).cloned();
    let missing = || Broken::Wrong("the node made no offer with these terms".to_owned());
    let offer = found.ok_or_else(missing)?;
    Ok((required, offer))
}

/// Who stands behind an offer: its recipient, if it signed it (extension `offer-receipt`), else only the
/// recorder, who says that it came so.
fn offer_source(
    case: &Case<'_>,
    dt_us: u64,
    required: &PaymentRequired,
    offer: &Offer,
) -> SourceClass {
    let Some((resource, now)) = required.resource.as_ref().zip(case.wall(dt_us)) else {
        return SourceClass::Asserted;
    };
    let extensions = required.extensions.as_ref();
    match verify_offer(extensions, offer, resource.url(), &[], now) {
        Ok(_) => SourceClass::SignedByNode,
        Err(_) => SourceClass::Asserted,
    }
}

fn offered<'a>(case: &Case<'a>, admitted: &Admitted) -> Result<&'a Offered, Broken> {
    let index = usize::try_from(admitted.offer_event).unwrap_or(usize::MAX);
    let slot = case.slots.get(index);
    let event = slot.and_then(|slot| slot.event());
    let event = event.ok_or(Broken::Hidden("the offer event is hidden"))?;
    let wrong = || Broken::Wrong("it names an event that is no offer".to_owned());
    event.get::<Offered>().ok_or_else(wrong)
}

/// A plain server is no candidate: why its address was believed is the recorder's word.
fn purchase_pay_to(case: &mut Case<'_>, index: usize) {
    let claim = Claim::OfferPayTo;
    match super::purchase::payee(case) {
        Some(why) => case.add(claim, SourceClass::Asserted, Outcome::Pass, index, why),
        None => case.open(claim, Outcome::Redacted, index, "the purchase is hidden"),
    }
}

fn pay_to(case: &Case<'_>, index: usize, admitted: &Admitted) -> Result<(), Broken> {
    let offered = offered(case, admitted)?;
    let catalogue = match case.catalogue_before(index) {
        Last::Shown(catalogue) => catalogue,
        Last::Hidden => return Err(Broken::Hidden("the candidates are hidden")),
        Last::Never => return Err(Broken::Absent("the candidates are missing")),
    };
    let mut candidates = catalogue.candidates().iter();
    let node = candidates.find(|it| it.node == offered.node);
    let node = node.ok_or_else(|| Broken::Wrong("the node is no candidate".to_owned()))?;
    if node.pay_to == admitted.pay_to {
        return Ok(());
    }
    let (offered, registered) = (admitted.pay_to, node.pay_to);
    Err(Broken::Wrong(format!(
        "it pays {offered}, registered is {registered}"
    )))
}

fn authorization(case: &mut Case<'_>, index: usize, dt_us: u64, event: &Authorized) {
    // Nonce: leg 0 of the call's one binding value, or a further leg.
    let nonce = binding::leg_nonce(&case.core().h_bind, event.leg);
    let wrong = (nonce != event.auth_nonce).then_some("the nonce is not that of the call");
    case.recomputed(Claim::AuthorizationNonce, index, wrong);
    let (payload, signed) = match promise_of(case, event) {
        Ok(parsed) => parsed,
        Err(broken) => return report(case, Claim::AuthorizationSigner, index, broken),
    };
    let admitted = match case.last_before::<Admitted>(index, |_| true) {
        Last::Shown(admitted) => admitted,
        Last::Hidden => {
            let broken = Broken::Hidden("the admission is hidden");
            return report(case, Claim::AuthorizationTerms, index, broken);
        }
        Last::Never => {
            let broken = Broken::Wrong("no offer was admitted before".to_owned());
            return report(case, Claim::AuthorizationTerms, index, broken);
        }
    };
    match signer(&payload, &signed, event) {
        Ok(()) => case.pass(Claim::AuthorizationSigner, SourceClass::Recomputed, index),
        Err(detail) => case.fail(Claim::AuthorizationSigner, index, detail),
    }
    let wrong = terms(case, &payload, &signed, event, admitted).err();
    case.recomputed(Claim::AuthorizationTerms, index, wrong);
    let wrong = caps(case, index, &payload, &signed, admitted).err();
    case.recomputed(Claim::AuthorizationCap, index, wrong);
    let wrong = lifetime(case, dt_us, &signed, event, admitted).err();
    case.recomputed(Claim::AuthorizationLifetime, index, wrong);
}

fn promise_of(
    case: &Case<'_>,
    event: &Authorized,
) -> Result<(PaymentPayload, Authorization), Broken> {
    let raw = case.blob(&event.authorization);
    let raw = raw.ok_or(Broken::Absent("the authorization is withheld"))?;
    let payload = PaymentPayload::parse(raw)
        .map_err(|error| Broken::Wrong(format!("it cannot be read: {error}")))?;
    let signed = Authorization::of(&payload)
        .map_err(|reason| Broken::Wrong(format!("it is no authorization: {reason}")))?;
    Ok((payload, signed))
}

/// The signature recovers to the payer over the digest of what is authorized.
fn signer(
    payload: &PaymentPayload,
    signed: &Authorization,
    event: &Authorized,
) -> Result<(), String> {
    let network = payload.accepted().terms().chain_id();
    let chain_id = network.ok_or("its network is no chain that can be paid on")?;
    if signed.digest(chain_id) != event.digest {
        return Err("the digest comes out otherwise".to_owned());
    }
    let signer = signed.recover(chain_id);
    let signer = signer.map_err(|_| "the signature recovers to nobody".to_owned())?;
    if signer == event.payer && signed.payer() == event.payer {
        return Ok(());
    }
    let payer = event.payer;
    Err(format!("it was signed by {signer}, the payer is {payer}"))
}

/// Raw authorization, event, admission and offer say the same.
fn terms(
    case: &Case<'_>,
    payload: &PaymentPayload,
    signed: &Authorization,
    event: &Authorized,
    admitted: &Admitted,
) -> Result<(), String> {
    let echoed = match offer_of(case, admitted) {
        Ok((_, offer)) => offer.terms().mismatch(payload.accepted().terms()),
        // Reported with the offer.
        Err(_) => None,
    };
    let amount = Amount::try_from(signed.amount()).ok();
    // Permit2 obeys the proxy that it is told: it must be the one that the scheme settles through.
    let spender = signed.spender();
    let checks = [
        ("nonce", signed.auth_nonce() == event.auth_nonce),
        ("amount", amount == Some(event.amount)),
        ("offer's amount", event.amount == admitted.amount),
        ("recipient", signed.pay_to() == admitted.pay_to),
        ("token", signed.asset() == admitted.asset),
        ("scheme", admitted.scheme == signed.scheme().as_str()),
        ("spender", spender.is_none_or(|it| it == signed.contract())),
        ("deadline", signed.deadline_s() == event.deadline_s),
        (
            "network",
            admitted.network == payload.accepted().terms().network.as_str(),
        ),
        ("accepted offer", echoed.is_none()),
    ];
    let differing = checks.into_iter().find(|(_, same)| !same);
    differing.map_or(Ok(()), |(what, _)| Err(format!("the {what} differs")))
}

/// Check 20 for money: what the policies allow.
fn caps(
    case: &Case<'_>,
    index: usize,
    payload: &PaymentPayload,
    signed: &Authorization,
    admitted: &Admitted,
) -> Result<(), String> {
    let amount = Amount::try_from(signed.amount()).unwrap_or(Amount::MAX);
    if let Some(route) = &case.route {
        let cap = route.cap;
        if amount > cap {
            return Err(format!("{amount} is above the route policy's cap of {cap}"));
        }
    }
    let Some(spend) = &case.spend else {
        return Ok(()); // reported with the policy hash
    };
    let (all, cap) = (authorized_until(case, index), spend.per_call);
    if all > cap {
        return Err(format!("{all} is above the cap per call of {cap}"));
    }
    // What was spent before is not in this receipt: the caps of hours and days are held with nothing
    // spent, every other rule as the caller applied it.
    let offer = payload.accepted();
    let again = spend.admit_offer(offer, admitted.pay_to, &Spent::default());
    let again =
        again.map_err(|refusal| format!("the spend policy refuses the offer: {refusal}"))?;
    if (again.scheme(), again.method()) != (signed.scheme(), signed.method()) {
        return Err("it promises in another way than the offer asks for".to_owned());
    }
    if again.facilitator() != signed.facilitator() {
        return Err("it names another facilitator than the offer".to_owned());
    }
    let trusted = &case.trust.facilitators;
    if let Some(facilitator) = signed.facilitator()
        && !trusted.is_empty()
        && !trusted.contains(&facilitator)
    {
        return Err(format!("the facilitator {facilitator} is not allowed"));
    }
    own_chain(case, payload)
}

/// The chain is the reader's.
pub(super) fn own_chain(case: &Case<'_>, payload: &PaymentPayload) -> Result<(), String> {
    let chain = payload.accepted().terms().chain_id();
    match &case.trust.network {
        Some(network) if chain != Some(network.chain_id) => {
            Err("it pays on another chain than yours".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

/// The most that the authorizations up to event `index` allow together: per leg the largest, since
/// those of one leg share a nonce.
fn authorized_until(case: &Case<'_>, index: usize) -> Amount {
    let mut legs: BTreeMap<u32, Amount> = BTreeMap::new();
    for (at, _, authorized) in case.events::<Authorized>() {
        if at <= index {
            let leg = legs.entry(authorized.leg).or_default();
            *leg = authorized.amount.max(*leg);
        }
    }
    let mut all = legs.into_values();
    let sum = all.try_fold(Amount::ZERO, Amount::checked_add);
    sum.unwrap_or(Amount::MAX)
}

fn lifetime(
    case: &Case<'_>,
    dt_us: u64,
    signed: &Authorization,
    event: &Authorized,
    admitted: &Admitted,
) -> Result<(), String> {
    let now_s = match case.wall(dt_us) {
        Some(now) => now.as_secs(),
        None => return Ok(()), // reported with the open event
    };
    let after = u64::try_from(signed.valid_after()).unwrap_or(u64::MAX);
    if after > now_s.saturating_add(LIFETIME_SLACK_S) || event.deadline_s < now_s {
        return Err("it was not valid when it was signed".to_owned());
    }
    let spend = case.spend.as_ref();
    let allowed = spend.map_or(u64::MAX, |spend| spend.max_lifetime_s);
    let allowed = allowed.min(admitted.max_timeout_s);
    let lifetime = event.deadline_s.saturating_sub(now_s);
    if lifetime > allowed.saturating_add(LIFETIME_SLACK_S) {
        return Err(format!("it lives {lifetime} s, allowed are {allowed} s"));
    }
    Ok(())
}

pub(super) fn report(case: &mut Case<'_>, claim: Claim, index: usize, broken: Broken) {
    match broken {
        Broken::Absent(detail) => case.open(claim, Outcome::Absent, index, detail),
        Broken::Hidden(detail) => case.open(claim, Outcome::Redacted, index, detail),
        Broken::Wrong(detail) => case.fail(claim, index, detail),
    }
}
