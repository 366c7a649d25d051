//! Checks 12 and 13 for payment channels: the voucher, the deposit that goes along, and the charge.

use std::collections::BTreeMap;

use seamline_core::receipt::{Admitted, EventKind, SettleReplied, VoucherCharged, VoucherSigned};
use seamline_core::{Amount, B256, SourceClass};
use seamline_evm::Signature;
use seamline_evm::channel::{
    ChannelConfig, Charge, Deposit, DepositAuthorization, PERMIT2_COLLECTOR, Payload, Terms,
    Voucher, VoucherCheck,
};
use seamline_evm::policy::Spent;
use seamline_evm::scheme::{Method, Scheme};
use seamline_evm::typed::TokenDomain;
use seamline_evm::x402::{PaymentPayload, SettleResponse};

use super::payment::{Broken, LIFETIME_SLACK_S, offer_of, own_chain, report};
use crate::case::{Case, Last};
use crate::claim::{Claim, Outcome};

/// A voucher with its channel, as it was sent.
struct Promise {
    payload: PaymentPayload,
    terms: Terms,
    config: ChannelConfig,
    voucher: Voucher,
    deposit: Option<Deposit>,
}

pub(super) fn check(case: &mut Case<'_>) {
    for (index, dt_us, event) in case.events::<VoucherSigned>() {
        voucher(case, index, dt_us, event);
    }
    for (index, _, event) in case.events::<VoucherCharged>() {
        match charge(case, index, event) {
            Ok(()) => case.pass(Claim::VoucherCharge, SourceClass::Asserted, index),
            Err(broken) => report(case, Claim::VoucherCharge, index, broken),
        }
    }
    let kinds = [EventKind::VoucherSigned, EventKind::VoucherCharged];
    if kinds.into_iter().any(|kind| case.hides(kind)) {
        let detail = "a voucher event is hidden";
        for claim in [Claim::AuthorizationSigner, Claim::VoucherCharge] {
            case.open(claim, Outcome::Redacted, (), detail);
        }
    }
}

fn voucher(case: &mut Case<'_>, index: usize, dt_us: u64, event: &VoucherSigned) {
    let promise = match promise_of(case, event) {
        Ok(promise) => promise,
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
    let wrong = signer(&promise, event).err();
    case.recomputed(Claim::AuthorizationSigner, index, wrong);
    let wrong = channel(&promise, event).err();
    case.recomputed(Claim::VoucherChannel, index, wrong);
    let wrong = terms(case, &promise, event, admitted).err();
    case.recomputed(Claim::AuthorizationTerms, index, wrong);
    let wrong = caps(case, index, &promise, event, admitted).err();
    case.recomputed(Claim::AuthorizationCap, index, wrong);
    if let Some(deposit) = &promise.deposit {
        let wrong = lifetime(case, dt_us, deposit, admitted).err();
        case.recomputed(Claim::AuthorizationLifetime, index, wrong);
    }
}

fn promise_of(case: &Case<'_>, event: &VoucherSigned) -> Result<Promise, Broken> {
    let raw = case.blob(&event.authorization);
    let raw = raw.ok_or(Broken::Absent("the voucher is withheld"))?;
    let payload = PaymentPayload::parse(raw)
        .map_err(|error| Broken::Wrong(format!("it cannot be read: {error}")))?;
    let terms = Terms::of(payload.accepted())
        .map_err(|reason| Broken::Wrong(format!("it accepts no channel: {reason}")))?;
    let parsed = Payload::parse(payload.payload())
        .map_err(|reason| Broken::Wrong(format!("it is no voucher: {reason}")))?;
    let (config, voucher, deposit) = match parsed {
        Payload::Deposit {
            config,
            voucher,
            deposit,
        } => (config, voucher, Some(deposit)),
        Payload::Voucher { config, voucher } => (config, voucher, None),
        Payload::Refund { .. } | Payload::Claim { .. } | Payload::Settle { .. } => {
            let wrong = "it is another message than a voucher".to_owned();
            return Err(Broken::Wrong(wrong));
        }
    };
    Ok(Promise {
        payload,
        terms,
        config,
        voucher,
        deposit,
    })
}

/// The voucher is the authorizer's, the deposit the payer's, over the digests of what they say.
fn signer(promise: &Promise, event: &VoucherSigned) -> Result<(), String> {
    let Promise {
        config, voucher, ..
    } = promise;
    let chain_id = promise.terms.chain_id;
    if voucher.digest(chain_id) != event.digest {
        return Err("the digest comes out otherwise".to_owned());
    }
    match voucher.check(config, chain_id) {
        VoucherCheck::Valid => {}
        VoucherCheck::Invalid => {
            return Err("the channel's authorizer did not sign the voucher".to_owned());
        }
        VoucherCheck::AskPayer(_) => {
            return Err("who signed the voucher is a question to the payer's code".to_owned());
        }
    }
    if config.payer != event.payer {
        return Err(format!("the channel is of {}", config.payer));
    }
    let Some(deposit) = &promise.deposit else {
        return Ok(());
    };
    let domain = token_domain(&promise.terms).ok_or("the offer does not name the token")?;
    let digest = deposit.digest(&voucher.channel_id, config.payer, &domain);
    let signer = Signature::parse(deposit.signature()).and_then(|it| it.recover(&digest));
    match signer {
        Ok(signer) if signer == config.payer => Ok(()),
        Ok(_) | Err(_) => Err("the payer did not sign the deposit".to_owned()),
    }
}

/// What an ERC-3009 deposit is signed under; Permit2 needs no more of it than the token.
fn token_domain(terms: &Terms) -> Option<TokenDomain> {
    match terms.method {
        Method::Eip3009 => terms.domain.clone(),
        Method::Permit2 => Some(TokenDomain {
            name: String::new(),
            version: String::new(),
            chain_id: terms.chain_id,
            token: terms.asset,
        }),
    }
}

/// The voucher names the channel of these parties and terms.
fn channel(promise: &Promise, event: &VoucherSigned) -> Result<(), String> {
    let id = &promise.voucher.channel_id;
    if *id != event.channel {
        return Err("the channel differs".to_owned());
    }
    let checked = promise.config.check(id, &promise.terms);
    checked.map_err(|reason| reason.to_string())
}

/// Raw message, event, admission and offer say the same, and the total grows by this call's amount.
fn terms(
    case: &Case<'_>,
    promise: &Promise,
    event: &VoucherSigned,
    admitted: &Admitted,
) -> Result<(), String> {
    let accepted = promise.payload.accepted().terms();
    let echoed = match offer_of(case, admitted) {
        Ok((_, offer)) => offer.terms().mismatch(accepted),
        // Reported with the offer.
        Err(_) => None,
    };
    let deposit = promise.deposit.as_ref();
    let grown = event.charged_before.checked_add(event.amount);
    let checks = [
        (
            "total",
            promise.voucher.max_claimable == event.max_claimable,
        ),
        ("growth", grown == Some(event.max_claimable)),
        ("offer's amount", event.amount == admitted.amount),
        ("recipient", promise.config.receiver == admitted.pay_to),
        ("token", promise.config.token == admitted.asset),
        ("scheme", admitted.scheme == accepted.scheme.as_str()),
        ("network", admitted.network == accepted.network.as_str()),
        ("deposit", deposit.map(|it| it.amount) == event.deposit),
        (
            "deposit's promise",
            deposit.is_none_or(|it| same_deposit(promise, it)),
        ),
        ("accepted offer", echoed.is_none()),
    ];
    let differing = checks.into_iter().find(|(_, same)| !same);
    differing.map_or(Ok(()), |(what, _)| Err(format!("the {what} differs")))
}

/// What a deposit repeats is what the channel says; the rest of it is signed for this channel alone.
fn same_deposit(promise: &Promise, deposit: &Deposit) -> bool {
    let method = deposit.method() == promise.terms.method;
    method
        && match &deposit.authorization {
            DepositAuthorization::Erc3009(_) => true,
            DepositAuthorization::Permit2(it) => {
                it.from == promise.config.payer
                    && it.token == promise.config.token
                    && it.spender == PERMIT2_COLLECTOR
                    && it.channel_id == promise.voucher.channel_id
                    && Amount::try_from(it.amount) == Ok(deposit.amount)
            }
        }
}

fn caps(
    case: &Case<'_>,
    index: usize,
    promise: &Promise,
    event: &VoucherSigned,
    admitted: &Admitted,
) -> Result<(), String> {
    if let Some(cap) = case.route.as_ref().map(|route| route.cap)
        && event.amount > cap
    {
        let amount = event.amount;
        return Err(format!("{amount} is above the route policy's cap of {cap}"));
    }
    let Some(spend) = &case.spend else {
        return Ok(()); // reported with the policy hash
    };
    let (all, cap) = (promised_until(case, index), spend.per_call);
    if all > cap {
        return Err(format!("{all} is above the cap per call of {cap}"));
    }
    let (put, cap) = (promise.deposit.as_ref(), spend.channel_cap());
    if let Some(put) = put.map(|it| it.amount).filter(|put| *put > cap) {
        return Err(format!(
            "a deposit of {put} is above the cap per channel of {cap}"
        ));
    }
    let offer = promise.payload.accepted();
    let again = spend.admit_offer(offer, admitted.pay_to, &Spent::default());
    let again =
        again.map_err(|refusal| format!("the spend policy refuses the offer: {refusal}"))?;
    if again.scheme() != Scheme::BatchSettlement {
        return Err("it promises in another way than the offer asks for".to_owned());
    }
    own_chain(case, &promise.payload)
}

/// The most that the vouchers up to event `index` promise for this call: per channel the largest
/// amount, since a later voucher of a channel takes the place of an earlier one.
fn promised_until(case: &Case<'_>, index: usize) -> Amount {
    let mut channels: BTreeMap<B256, Amount> = BTreeMap::new();
    for (at, _, voucher) in case.events::<VoucherSigned>() {
        if at <= index {
            let channel = channels.entry(voucher.channel).or_default();
            *channel = voucher.amount.max(*channel);
        }
    }
    let mut all = channels.into_values();
    let sum = all.try_fold(Amount::ZERO, Amount::checked_add);
    sum.unwrap_or(Amount::MAX)
}

fn lifetime(
    case: &Case<'_>,
    dt_us: u64,
    deposit: &Deposit,
    admitted: &Admitted,
) -> Result<(), String> {
    let now_s = match case.wall(dt_us) {
        Some(now) => now.as_secs(),
        None => return Ok(()), // reported with the open event
    };
    let after = match &deposit.authorization {
        DepositAuthorization::Erc3009(it) => u64::try_from(it.valid_after).unwrap_or(u64::MAX),
        DepositAuthorization::Permit2(_) => 0,
    };
    let dead_at_s = u64::try_from(deposit.dead_at_s()).unwrap_or(u64::MAX);
    if after > now_s.saturating_add(LIFETIME_SLACK_S) || dead_at_s <= now_s {
        return Err("the deposit was not valid when it was signed".to_owned());
    }
    let spend = case.spend.as_ref();
    let allowed = spend.map_or(u64::MAX, |spend| spend.max_lifetime_s);
    let allowed = allowed.min(admitted.max_timeout_s);
    let lifetime = dead_at_s.saturating_sub(now_s);
    if lifetime > allowed.saturating_add(LIFETIME_SLACK_S) {
        return Err(format!(
            "the deposit lives {lifetime} s, allowed are {allowed} s"
        ));
    }
    Ok(())
}

/// The charge is the one of the raw reply, and within the voucher before it.
fn charge(case: &Case<'_>, index: usize, event: &VoucherCharged) -> Result<(), Broken> {
    let wrong = |detail: &str| Err(Broken::Wrong(detail.to_owned()));
    let voucher = match case.last_before::<VoucherSigned>(index, |_| true) {
        Last::Shown(voucher) => voucher,
        Last::Hidden => return Err(Broken::Hidden("the voucher is hidden")),
        Last::Never => return wrong("no voucher was signed before"),
    };
    if event.channel != voucher.channel {
        return wrong("it is of another channel than the voucher");
    }
    if event.amount > voucher.amount {
        let (charged, promised) = (event.amount, voucher.amount);
        let detail = format!("{charged} was charged, {promised} was promised");
        return Err(Broken::Wrong(detail));
    }
    if voucher.charged_before.checked_add(event.amount) != Some(event.charged_after) {
        return wrong("the total does not grow by the charge");
    }
    let replied = match case.last_before::<SettleReplied>(index, |_| true) {
        Last::Shown(replied) => replied,
        Last::Hidden => return Err(Broken::Hidden("the reply is hidden")),
        Last::Never => return wrong("the node replied nothing"),
    };
    if case.last_place_before(EventKind::SettleReplied, index)
        < case.last_place_before(EventKind::VoucherSigned, index)
    {
        return wrong("the node replied to an earlier voucher");
    }
    let raw = case.blob(&replied.settle_response);
    let raw = raw.ok_or(Broken::Absent("the reply is withheld"))?;
    let reply = SettleResponse::parse(raw);
    let reply = reply.map_err(|error| Broken::Wrong(error.to_string()))?;
    let said = Charge::of(&reply).map_err(|error| Broken::Wrong(error.to_string()))?;
    if !reply.success || said.amount != event.amount {
        return wrong("the reply says otherwise");
    }
    if said.total.is_some_and(|total| total != event.charged_after) {
        return wrong("the reply names another total");
    }
    let deposited = voucher.deposit.and_then(|_| reply.transaction_hash());
    if deposited != event.deposit_transaction {
        return wrong("the reply names another deposit");
    }
    Ok(())
}
