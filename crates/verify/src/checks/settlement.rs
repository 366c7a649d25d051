//! Check 13: what became of the money.

use seamline_core::receipt::{
    Authorized, Closed, EventKind, SettleReplied, SettlementSeen, SettlementState as State,
};
use seamline_core::{Amount, B256, Charged, SourceClass};
use seamline_evm::x402::SettleResponse;

use crate::case::Case;
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
    if case.hides(EventKind::SettlementSeen) || case.hides(EventKind::Authorized) {
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
    if !case.happened(EventKind::Authorized) && !case.happened(EventKind::SettlementSeen) {
        return;
    }
    case.recomputed(Claim::SettlementStates, (), states(case).err());
    case.recomputed(Claim::SettlementAmount, (), amounts(case).err());
    let last = case.events::<SettlementSeen>().pop();
    let state = last.map_or(State::Authorized, |(_, _, seen)| seen.state);
    if state.is_final() {
        case.pass(Claim::SettlementFinal, SourceClass::Asserted, ());
    } else {
        let detail = format!("the settlement is {}", state.as_str());
        case.open(Claim::SettlementFinal, Outcome::Absent, (), detail);
    }
    if let Some((index, _, seen)) = last
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

fn same_reply(reply: &SettleResponse, event: &SettleReplied) -> bool {
    reply.success == event.success
        && reply.transaction_hash() == event.transaction
        && reply.settled_amount() == event.amount
}

/// Legal sequences of states, and their agreement with authorizations and the close event.
fn states(case: &Case<'_>) -> Result<(), String> {
    let mut state = State::None;
    let mut transaction: Option<B256> = None;
    for (index, slot) in case.slots.iter().enumerate() {
        let Some(event) = slot.event() else { continue };
        // After a final state only a further leg authorizes again.
        if event.get::<Authorized>().is_some() {
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
        if !legal {
            let (from, to) = (moved.0.as_str(), moved.1.as_str());
            return Err(format!("event {index} goes from {from} to {to}"));
        }
        if seen.state == State::Settled {
            if transaction.is_some_and(|known| Some(known) != seen.transaction) {
                return Err(format!("event {index} names another transaction"));
            }
            transaction = seen.transaction;
        }
        state = seen.state;
    }
    let closed = case.events::<Closed>().pop();
    let charged = closed.map(|(_, _, closed)| closed.charged);
    let legal = match (state, charged) {
        (_, None) => true,
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

/// What was settled against what was authorized, in sum over the legs.
fn amounts(case: &Case<'_>) -> Result<(), String> {
    let authorized = case.events::<Authorized>();
    let most = authorized.iter().map(|(_, _, event)| event.amount).max();
    let most = most.unwrap_or(Amount::ZERO);
    for (_, _, seen) in case.events::<SettlementSeen>() {
        if seen.state != State::Settled {
            continue;
        }
        let Some(amount) = seen.amount else {
            return Err("a settlement without an amount".to_owned());
        };
        if amount > most {
            return Err(format!("{amount} was settled, {most} was authorized"));
        }
    }
    Ok(())
}
