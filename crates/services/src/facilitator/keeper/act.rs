//! Does what the state machine asks for.

use std::collections::VecDeque;

use seamline_core::B256;
use seamline_evm::chain::facts;
use seamline_evm::x402::{FacilitatorRequest, Reason};

use super::{Held, is_confirmed};
use crate::facilitator::Error;
use crate::facilitator::board::Progress;
use crate::facilitator::respond;
use crate::facilitator::settle::{SEARCH_BLOCKS, SEARCH_BLOCKS_AGAIN, Verified, verified};
use crate::facilitator::settlement::{
    Action, Event, Inspection, Place, Purpose, Settlement, Stage,
};
use crate::facilitator::shared::Core;
use crate::facilitator::signing::{Mode, Signing, sign};
use crate::facilitator::store::{StoreError, with};

/// How doing actions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::facilitator) enum End {
    /// All done.
    Done,
    /// Some wait to be tried again.
    Later,
    /// Another replica carries the settlement.
    Lost,
    /// The record is removed.
    Forgotten,
}

/// Why an action was not done.
enum Stop {
    /// Try it and what follows again.
    Again,
    Lost,
    Forgotten,
}

/// Does all actions that wait, and those that follow from them.
pub(in crate::facilitator) async fn act(core: &Core, held: &mut Held) -> End {
    let mut todo: VecDeque<Action> = core::mem::take(&mut held.todo).into();
    while let Some(action) = todo.pop_front() {
        match one(core, held, action.clone()).await {
            Ok(more) => {
                for action in more.into_iter().rev() {
                    todo.push_front(action);
                }
            }
            Err(Stop::Lost) => return End::Lost,
            Err(Stop::Forgotten) => return End::Forgotten,
            Err(Stop::Again) => {
                todo.push_front(action);
                held.todo = todo.into();
                return End::Later;
            }
        }
    }
    End::Done
}

async fn one(core: &Core, held: &mut Held, action: Action) -> Result<Vec<Action>, Stop> {
    match action {
        Action::Persist => {
            core.persist(&held.settlement)
                .await
                .map_err(|error| stop(&error))?;
            Ok(Vec::new())
        }
        Action::Send(transaction) => {
            core.send(&held.settlement, transaction);
            Ok(Vec::new())
        }
        Action::Bump => Ok(bump(core, held, None).await),
        Action::Cancel => Ok(bump(core, held, Some(Purpose::Cancel)).await),
        Action::SignAnew => sign_anew(core, held).await,
        Action::Inspect => {
            let Some(inspection) = inspect(core, held).await else {
                // Asked again after a while, by the machine.
                return Ok(Vec::new());
            };
            Ok(feed(core, held, Event::Inspected(inspection)))
        }
        Action::Answer => {
            answer(core, &held.settlement);
            Ok(Vec::new())
        }
        Action::Forget(reason) => {
            forget(core, &held.settlement)
                .await
                .map_err(|error| stop(&error))?;
            core.gas()
                .settle(held.settlement.key(), 0, false, core.elapsed());
            core.board
                .report(held.settlement.key(), Progress::Forgotten(reason));
            Err(Stop::Forgotten)
        }
    }
}

fn stop(error: &StoreError) -> Stop {
    if matches!(error, StoreError::Fenced) {
        return Stop::Lost;
    }
    let error = seamline_core::chain(error);
    tracing::error!(error, "a settlement cannot be remembered");
    Stop::Again
}

fn feed(core: &Core, held: &mut Held, event: Event) -> Vec<Action> {
    held.settlement.on_event(event, core.now(), &core.pace)
}

/// Signs the last transaction again with higher fees, or one that does nothing in its place.
async fn bump(core: &Core, held: &mut Held, purpose: Option<Purpose>) -> Vec<Action> {
    // A failure leaves the fees that are known: an eighth more is a bid, too.
    drop(core.fees().await);
    let Some(last) = held.settlement.attempts.last() else {
        return Vec::new();
    };
    let account_nonce = last.account_nonce;
    let offered = last.fees.map(Into::into);
    let Some(fees) = core.account.bumped(offered) else {
        tracing::warn!(
            account_nonce,
            "the fee ceiling leaves no room for a higher bid"
        );
        return Vec::new();
    };
    if held.settlement.attempts.len() >= MAX_ATTEMPTS {
        return Vec::new();
    }
    let signed = match (purpose.unwrap_or(last.purpose), &held.settlement.call) {
        (Purpose::Settle, Some(call)) => {
            let account = &core.account;
            account
                .sign(Purpose::Settle, call, account_nonce, fees)
                .await
        }
        (Purpose::Settle | Purpose::Cancel, _) => core.account.cancel(account_nonce, fees).await,
    };
    let attempt = match signed {
        Ok(attempt) => attempt,
        Err(error) => {
            // What was sent may be mined yet; the machine asks again.
            let error = seamline_core::chain(&error);
            tracing::error!(error, account_nonce, "a transaction cannot be replaced");
            return Vec::new();
        }
    };
    let transaction = attempt.transaction;
    let cancels = attempt.purpose == Purpose::Cancel;
    tracing::info!(%transaction, account_nonce, cancels, "a transaction is replaced");
    feed(core, held, Event::Signed(attempt))
}

/// Verifies the settlement again and signs it under a new account nonce.
async fn sign_anew(core: &Core, held: &mut Held) -> Result<Vec<Action>, Stop> {
    let Some(subject) = held.subject.clone() else {
        return Ok(Vec::new());
    };
    let request = FacilitatorRequest::parse(held.settlement.request.as_bytes());
    let Ok(request) = request else {
        return Ok(Vec::new());
    };
    let (fees, call) = match verified(core, &subject, &request).await {
        Verified::Ready { fees, call, .. } => (fees, call),
        // No verdict: asked again after a while.
        Verified::Unknown(_) | Verified::Failed(_) | Verified::Full(_) => return Ok(Vec::new()),
        // Perhaps by what only looks displaced: the machine looks again.
        Verified::Invalid { reason } if reason == subject.spent() => return Ok(Vec::new()),
        Verified::Invalid { reason } => {
            return Ok(feed(core, held, Event::Refused(reason)));
        }
    };
    let mut mine = held.settlement.clone();
    mine.call = Some(call);
    match sign(core, mine, fees, Mode::Anew).await {
        Ok(Signing::Signed(settlement, actions)) => {
            held.settlement = *settlement;
            Ok(actions)
        }
        Ok(Signing::Lost) => Err(Stop::Lost),
        // The machine asks again.
        Ok(Signing::NoRoom | Signing::Known(_)) => Ok(Vec::new()),
        Err(Error::Store(error)) => Err(stop(&error)),
        Err(error) => {
            let error = seamline_core::chain(&error);
            tracing::error!(error, "a settlement cannot be signed anew");
            Ok(Vec::new())
        }
    }
}

/// What the chain says about the authorization.
async fn inspect(core: &Core, held: &Held) -> Option<Inspection> {
    let Some(subject) = &held.subject else {
        return Some(Inspection::Unspent {
            expired: Reason::UnexpectedSettleError,
        });
    };
    let newest = seamline_evm::chain::newest_block(core.rpc.as_ref())
        .await
        .ok()?;
    let query = |blocks| subject.query(newest.number.saturating_sub(blocks));
    let rpc = core.rpc.as_ref();
    let facts = match facts(rpc, &query(SEARCH_BLOCKS)).await {
        Ok(facts) => facts,
        // An endpoint that limits its logs, or a payer that pays a thousand times in the longer span.
        Err(_) => facts(rpc, &query(SEARCH_BLOCKS_AGAIN)).await.ok()?,
    };
    // An endpoint that is behind what was seen already knows less than the question.
    if facts.block.number < core.head() {
        return None;
    }
    let authorization = &subject.authorization;
    let exactly = facts
        .settlement
        .filter(|it| it.pay_to == authorization.pay_to() && it.amount == subject.amount);
    Some(match exactly {
        Some(found) => Inspection::Settled {
            response: respond::settled(core, subject, Some(found.transaction)),
            block: Place {
                number: found.block_number,
                hash: found.block_hash,
            },
            confirmed: is_confirmed(core, found.block_number, facts.block.number),
        },
        None if facts.nonce_used => Inspection::Spent {
            reason: subject.spent(),
        },
        None => Inspection::Unspent {
            expired: subject.expired(),
        },
    })
}

fn answer(core: &Core, settlement: &Settlement) {
    let Stage::Done { end, response, .. } = &settlement.stage else {
        return;
    };
    let (success, transaction) = (response.success, &response.transaction);
    tracing::info!(?end, success, transaction, "settlement resolved");
    core.board
        .report(settlement.key(), Progress::Done(response.clone()));
    // What was not counted by its receipt used nothing of ours.
    core.gas()
        .settle(settlement.key(), 0, false, core.elapsed());
}

async fn forget(core: &Core, settlement: &Settlement) -> Result<(), StoreError> {
    let (key, lease) = (settlement.key(), settlement.lease());
    let removed = with(core.store.as_ref(), key, None, move |page| {
        let known = page.settlement.as_ref();
        let mine = known.is_some_and(|known| known.lease() == lease);
        if mine {
            page.settlement = None;
        }
        mine
    });
    match removed.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::Fenced),
        Err(error) => Err(error),
    }
}

/// Transactions that are signed for one settlement at most: enough to bid five hundred times the
/// first fee, and a bound of what is watched.
const MAX_ATTEMPTS: usize = 54;

/// The key of a transaction that fills a gap in the account's sequence.
pub(super) fn gap_key(core: &Core, account_nonce: u64) -> B256 {
    seamline_core::sha256(&[
        b"seamline/v1/gap".as_slice(),
        &core.chain_id.to_be_bytes(),
        core.address().as_slice(),
        &account_nonce.to_be_bytes(),
    ])
}
