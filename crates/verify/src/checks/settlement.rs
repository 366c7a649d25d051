//! Check 13: what became of the money.

use std::collections::BTreeSet;

use seamline_core::receipt::{
    Admitted, Authorized, Event, EventKind, RequestSent, SettleReplied, SettlementSeen,
    SettlementState as State, VoucherCharged, VoucherSigned,
};
use seamline_core::{Amount, B256, Charged, SourceClass};
use seamline_evm::scheme::Scheme;
use seamline_evm::x402::SettleResponse;

use crate::case::{At, Case, Last};
use crate::claim::{Claim, Outcome};

pub(super) fn check(case: &mut Case<'_>) {
    for (index, _, replied) in case.events::<SettleReplied>() {
        let reply = case
            .blob(&replied.settle_response)
            .map(SettleResponse::parse);
        match reply {
            None => {
                let detail = "the reply is withheld";
                case.open(Claim::SettlementReply, Outcome::Absent, index, detail);
            }
            Some(Err(error)) => case.fail(Claim::SettlementReply, index, error),
            Some(Ok(reply)) if same_reply(&reply, replied) => {
                case.pass(Claim::SettlementReply, SourceClass::Asserted, index);
            }
            Some(Ok(_)) => {
                case.fail(Claim::SettlementReply, index, "its reading is another");
            }
        }
    }
    if case.hides(EventKind::SettleReplied) {
        let detail = "a reply event is hidden";
        case.open(Claim::SettlementReply, Outcome::Redacted, (), detail);
    }
    let promises = [
        EventKind::Authorized,
        EventKind::VoucherSigned,
        EventKind::VoucherCharged,
    ];
    let hidden = promises.into_iter().any(|kind| case.hides(kind));
    if case.hides(EventKind::SettlementSeen) || hidden {
        let detail = "a settlement event is hidden";
        for claim in [
            Claim::SettlementStates,
            Claim::SettlementAmount,
            Claim::SettlementFinal,
        ] {
            case.open(claim, Outcome::Redacted, (), detail);
        }
        return;
    }
    let promised = promises.into_iter().any(|kind| case.happened(kind));
    if let Err(detail) = amendments(case) {
        return case.fail(Claim::SettlementStates, (), detail);
    }
    if !promised && !case.happened(EventKind::SettlementSeen) {
        return unpaid(case);
    }
    case.recomputed(Claim::SettlementStates, (), states(case).err());
    case.recomputed(Claim::SettlementAmount, (), amounts(case).err());
    let last = case.events::<SettlementSeen>().pop();
    let late = case.amended.last().cloned();
    let open = match &late {
        Some((dt_us, seen)) => unsettled_late(case, *dt_us, seen),
        None => unsettled(case, last),
    };
    match open {
        None => {
            let detail = late
                .as_ref()
                .map_or(String::new(), |(_, seen)| known_late(case, seen));
            let source = SourceClass::Asserted;
            case.add(Claim::SettlementFinal, source, Outcome::Pass, (), detail);
        }
        Some(detail) => case.open(Claim::SettlementFinal, Outcome::Absent, (), detail),
    }
    let shown = last.map(|(index, _, seen)| (At::from(index), seen.clone()));
    let late = late.map(|(_, seen)| (At::from(()), seen));
    if let Some((index, seen)) = late.or(shown)
        && seen.state == State::Settled
    {
        let block = match seen.block_number {
            Some(number) => format!("block {number}"),
            None => "an unrecorded block".to_owned(),
        };
        let detail = format!("the recorder read it at {block}; ask the chain");
        case.open(
            Claim::SettlementOnChain,
            Outcome::UncheckedOffline,
            index,
            detail,
        );
    }
}

/// A call in which nothing was authorized neither pays nor owes.
fn unpaid(case: &mut Case<'_>) {
    let sent = case.events::<RequestSent>();
    let paid = sent.iter().any(|(_, _, sent)| sent.paid);
    let charged = case.closed().map(|closed| closed.charged);
    let detail = "nothing was authorized";
    // What was not recorded for lack of room may have been the authorization.
    if (paid || charged == Some(Charged::Yes)) && case.core().dropped == 0 {
        case.fail(Claim::SettlementStates, (), detail);
    } else if paid || matches!(charged, Some(Charged::Yes | Charged::Unknown)) {
        case.open(Claim::SettlementFinal, Outcome::Absent, (), detail);
    }
}

/// Why it is not known whether money moved, after the last word about it.
fn unsettled(case: &Case<'_>, last: Option<(usize, u64, &SettlementSeen)>) -> Option<String> {
    let open = |state: State| Some(format!("the settlement is {}", state.as_str()));
    // What was authorized after the last word is not what that word is about.
    let voucher = case.last_place(EventKind::VoucherSigned);
    let signed = case.last_place(EventKind::Authorized).max(voucher);
    if voucher.is_some() && case.last_place(EventKind::VoucherCharged) > voucher {
        return Some("the node says what it charged, its claim is still to come".to_owned());
    }
    let Some((index, dt_us, seen)) = last.filter(|(index, ..)| Some(*index) > signed) else {
        return open(State::Authorized);
    };
    match seen.state {
        State::Settled => {
            let in_a_block = seen.block_number.is_some() && seen.block_hash.is_some();
            let named = seen.transaction.is_some() && in_a_block;
            (!named).then(|| "it names no transaction in a block".to_owned())
        }
        State::NotSettled => usable(case, index, dt_us)
            .then(|| "the authorization was out, and could still be used".to_owned()),
        State::None | State::Superseded => None,
        State::Authorized | State::Submitted | State::Unknown => open(seen.state),
    }
}

/// Whether the authorization before event `index` could still be used at its time. Before the
/// deadline only one that nobody else has cannot be.
fn usable(case: &Case<'_>, index: usize, dt_us: u64) -> bool {
    let Last::Shown(authorized) = case.last_before::<Authorized>(index, |_| true) else {
        return false; // reported with the states
    };
    let Some(now) = case.wall(dt_us) else {
        return false; // reported with the open event
    };
    let replies = [
        EventKind::ResponseFirst,
        EventKind::SignatureChecked,
        EventKind::SettleReplied,
    ];
    let signed = case.last_place(EventKind::Authorized);
    let answered = replies.iter().any(|kind| case.last_place(*kind) > signed);
    answered && now.as_secs() <= authorized.deadline_s
}

/// Whether what became known later follows from what the receipt records.
fn amendments(case: &Case<'_>) -> Result<(), String> {
    let shown = case.events::<SettlementSeen>();
    let recorded = shown.last().map(|(.., seen)| *seen);
    let charge = case.events::<VoucherCharged>().pop();
    let voucher = case.events::<VoucherSigned>().pop();
    let mut before = recorded;
    for (_, seen) in &case.amended {
        let (from, to) = (before.map_or(State::None, |it| it.state), seen.state);
        let said = || {
            format!(
                "an amendment goes from {} to {}",
                from.as_str(),
                to.as_str()
            )
        };
        let final_state = matches!(from, State::Settled | State::NotSettled | State::Superseded);
        if (final_state && to != from) || to == State::None {
            return Err(said());
        }
        let another =
            before.is_some_and(|it| from == State::Settled && it.transaction != seen.transaction);
        if another {
            return Err("an amendment names another transaction".to_owned());
        }
        if to == State::Settled {
            let amount = seen.amount.ok_or("an amendment settles no amount")?;
            let most = most_promised(case);
            if amount > most {
                return Err(format!("{amount} was settled later, {most} was promised"));
            }
            let charged = charge.map_or(Amount::ZERO, |(.., charge)| charge.amount);
            if voucher.is_some() && amount < charged {
                return Err(format!("{amount} was claimed, {charged} was charged"));
            }
        }
        let owed = charge.is_some_and(|(.., charge)| !charge.amount.is_zero());
        if to == State::NotSettled && voucher.is_some() && owed {
            return Err("an amendment takes back what was charged".to_owned());
        }
        before = Some(seen);
    }
    Ok(())
}

/// The most that the call may be charged: its largest voucher or authorization.
fn most_promised(case: &Case<'_>) -> Amount {
    let vouchers = case.events::<VoucherSigned>();
    let signed = case.events::<Authorized>();
    let amounts = vouchers.iter().map(|(.., it)| it.amount);
    let amounts = amounts.chain(signed.iter().map(|(.., it)| it.amount));
    amounts.max().unwrap_or_default()
}

/// Why it is still not known whether money moved, after what became known later.
fn unsettled_late(case: &Case<'_>, dt_us: u64, seen: &SettlementSeen) -> Option<String> {
    match seen.state {
        State::Settled => {
            let in_a_block = seen.block_number.is_some() && seen.block_hash.is_some();
            let named = seen.transaction.is_some() && in_a_block;
            (!named).then(|| "it names no transaction in a block".to_owned())
        }
        State::NotSettled if usable(case, case.slots.len(), dt_us) => {
            Some("the authorization was out, and could still be used".to_owned())
        }
        State::NotSettled | State::Superseded => None,
        State::None | State::Authorized | State::Submitted | State::Unknown => {
            Some(format!("the settlement is {}", seen.state.as_str()))
        }
    }
}

/// What became known, in words.
fn known_late(case: &Case<'_>, seen: &SettlementSeen) -> String {
    let Some(amount) = seen.amount.filter(|_| seen.state == State::Settled) else {
        return format!("known later: {}", seen.state.as_str());
    };
    let charge = case.events::<VoucherCharged>().pop();
    match charge.map(|(.., charge)| charge.amount) {
        Some(charged) if charged != amount => {
            format!("known later: the node charged {charged} and claimed {amount}")
        }
        Some(_) => format!("known later: the node claimed {amount}"),
        None => format!("known later: {amount} was settled"),
    }
}

fn same_reply(reply: &SettleResponse, event: &SettleReplied) -> bool {
    reply.success == event.success
        && reply.transaction_hash() == event.transaction
        && reply.settled_amount() == event.amount
}

/// Legal sequences of states, and their agreement with authorizations and the close event.
fn states(case: &Case<'_>) -> Result<(), String> {
    let mut state = State::None;
    let mut transaction: Option<B256> = None;
    let (mut leg, mut settled) = (0, BTreeSet::new());
    let mut promise = Promise::default();
    for (index, slot) in case.slots.iter().enumerate() {
        let Some(event) = slot.event() else { continue };
        if event.get::<VoucherSigned>().is_some() && promise.charged.is_some() {
            return Err(format!("event {index} promises again what was charged"));
        }
        if promise.signed(event) {
            state = State::Authorized;
        }
        if event.get::<VoucherCharged>().is_some() {
            state = State::Submitted;
        }
        // After money moved only a further leg authorizes again.
        if let Some(authorized) = event.get::<Authorized>() {
            leg = authorized.leg;
            if settled.contains(&leg) {
                return Err(format!("event {index} authorizes again what was settled"));
            }
            state = State::Authorized;
            transaction = None;
        }
        let Some(seen) = event.get::<SettlementSeen>() else {
            continue;
        };
        let moved = (state, seen.state);
        let legal = match state {
            State::None => seen.state == State::None,
            State::Authorized | State::Submitted | State::Unknown => seen.state != State::None,
            State::Settled | State::NotSettled | State::Superseded => seen.state == state,
        };
        if !legal || !promise.allows(seen.state) {
            let (from, to) = (moved.0.as_str(), moved.1.as_str());
            return Err(format!("event {index} goes from {from} to {to}"));
        }
        if seen.state == State::Settled {
            if transaction.is_some_and(|known| Some(known) != seen.transaction) {
                return Err(format!("event {index} names another transaction"));
            }
            transaction = seen.transaction;
            settled.insert(leg);
        }
        state = seen.state;
    }
    if promise.voucher && case.happened(EventKind::Authorized) {
        return Err("it is authorized and promised in a channel at once".to_owned());
    }
    let charged = case.closed().map(|closed| closed.charged);
    let legal = match (state, charged) {
        (_, None) => true,
        // What a voucher costs is the node's word; money moves later.
        (State::Submitted, Some(charged)) if promise.voucher => {
            let nothing = promise.charged.is_some_and(|amount| amount.is_zero());
            charged == if nothing { Charged::No } else { Charged::Yes }
        }
        // Whatever became of a further leg, this one was paid.
        (_, Some(charged)) if !settled.is_empty() => charged == Charged::Yes,
        (State::Settled, Some(charged)) => charged == Charged::Yes,
        (State::None | State::NotSettled, Some(charged)) => charged == Charged::No,
        // The nonce went to another node of the same call.
        (State::Superseded, Some(charged)) => charged != Charged::No,
        (State::Authorized, Some(charged)) => charged != Charged::Yes,
        (State::Submitted | State::Unknown, Some(charged)) => charged == Charged::Unknown,
    };
    if legal {
        return Ok(());
    }
    let (state, charged) = (state.as_str(), charged.map_or("nothing", Charged::as_str));
    Err(format!("the state is {state}, charged says {charged}"))
}

/// What is promised in a channel, so far.
#[derive(Default)]
struct Promise {
    voucher: bool,
    /// What the node says that it charged under the last voucher.
    charged: Option<Amount>,
}

impl Promise {
    /// Takes in an event. Says whether it is a voucher.
    fn signed(&mut self, event: &Event) -> bool {
        if let Some(charged) = event.get::<VoucherCharged>() {
            self.charged = Some(charged.amount);
        }
        let signed = event.get::<VoucherSigned>().is_some();
        if signed {
            self.voucher = true;
            self.charged = None;
        }
        signed
    }

    /// Whether a settlement event may say so. A claim comes after the call: under a voucher nothing
    /// settles in it, nothing is proven not to, and what was submitted is the node's own event.
    const fn allows(&self, state: State) -> bool {
        match state {
            State::Unknown | State::Authorized => self.charged.is_none(),
            State::Submitted
            | State::None
            | State::Settled
            | State::NotSettled
            | State::Superseded => !self.voucher,
        }
    }
}

/// What was settled against the most that was authorized until then on the same leg: the
/// authorizations of one leg share a nonce.
fn amounts(case: &Case<'_>) -> Result<(), String> {
    let (mut leg, mut most) = (None, Amount::ZERO);
    // Amounts that alone can be settled, while nothing metered was authorized.
    let (mut exact, mut admitted_exact) = (Some(BTreeSet::new()), false);
    for event in case.slots.iter().filter_map(|slot| slot.event()) {
        if let Some(admitted) = event.get::<Admitted>() {
            admitted_exact = admitted.scheme == Scheme::Exact.as_str();
        }
        if let Some(authorized) = event.get::<Authorized>() {
            if leg != Some(authorized.leg) {
                exact = Some(BTreeSet::new());
            }
            exact = exact.filter(|_| admitted_exact);
            if let Some(amounts) = &mut exact {
                amounts.insert(authorized.amount);
            }
            let same = leg.replace(authorized.leg) == Some(authorized.leg);
            most = authorized
                .amount
                .max(if same { most } else { Amount::ZERO });
        }
        let Some(seen) = event.get::<SettlementSeen>() else {
            continue;
        };
        if seen.state != State::Settled {
            continue;
        }
        let Some(amount) = seen.amount else {
            return Err("a settlement without an amount".to_owned());
        };
        if amount > most {
            return Err(format!("{amount} was settled, {most} was authorized"));
        }
        let only = exact.as_ref().filter(|only| !only.is_empty());
        if only.is_some_and(|only| !only.contains(&amount)) {
            return Err(format!(
                "{amount} was settled, exactly {most} was authorized"
            ));
        }
    }
    Ok(())
}
