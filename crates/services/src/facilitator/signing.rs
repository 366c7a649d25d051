//! Gives a settlement an account nonce and a signature, and remembers it: one change of the store.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use seamline_evm::facilitator::DEADLINE_BUFFER_S;
use seamline_evm::signer::SignError;
use seamline_evm::tx::Fees;

use super::settlement::{Action, Attempt, Event, Purpose, Settlement};
use super::shared::Core;
use super::store::{Page, StoreError, with};
use super::{Error, Unavailable};

/// For which settlement an account nonce is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// For one that has no record yet.
    Begin,
    /// For one that this replica carries, whose former account nonce is gone.
    Anew,
}

/// What came of it.
pub(super) enum Signing {
    /// The record is written; what is to be done besides.
    Signed(Box<Settlement>, Vec<Action>),
    /// There is a record already.
    Known(Box<Settlement>),
    /// The lane is full, or others were quicker: begin again.
    NoRoom,
    /// Another replica carries the settlement now.
    Lost,
}

/// What came of one change.
enum Step {
    Signed(Box<Settlement>, Vec<Action>),
    Known(Box<Settlement>),
    NoRoom,
    Lost,
    /// A signature under this account nonce is wanted first.
    Wanted(u64),
    Refused(SignError),
}

/// How often an account nonce that somebody else has by now is followed by the next one. Replicas that
/// share an account with a slow signer take one from each other now and then.
const MAX_TRIES: u32 = 64;

/// Signs `settlement`, whose call is set.
///
/// # Errors
///
/// [`Error::Store`], [`Error::Unavailable`] where the signer failed: nothing was written then.
pub(super) async fn sign(
    core: &Core,
    settlement: Settlement,
    fees: Fees,
    mode: Mode,
) -> Result<Signing, Error> {
    let account = &core.account;
    let turn = if account.is_immediate() {
        None
    } else {
        Some(account.turn().await.map_err(refused)?)
    };
    let Some(call) = settlement.call.clone() else {
        return Err(Error::Store(StoreError::Corrupt));
    };
    let mut prepared: Option<Attempt> = None;
    for _ in 0..MAX_TRIES {
        if is_late(core, &settlement) {
            return Ok(Signing::NoRoom);
        }
        let tried = Arc::new(AtomicU64::new(0));
        let change = change(core, &settlement, fees, mode, prepared.take(), &tried);
        let signer = Some(core.address());
        let step = with(core.store.as_ref(), settlement.key(), signer, change).await;
        match step {
            Ok(Step::Signed(settlement, actions)) => {
                return Ok(Signing::Signed(settlement, actions));
            }
            Ok(Step::Known(known)) => return Ok(Signing::Known(known)),
            Ok(Step::NoRoom) => return Ok(Signing::NoRoom),
            Ok(Step::Lost) => return Ok(Signing::Lost),
            Ok(Step::Refused(error)) => return Err(refused(error)),
            Ok(Step::Wanted(account_nonce)) => {
                let signed = account.sign(Purpose::Settle, &call, account_nonce, fees);
                prepared = Some(signed.await.map_err(refused)?);
            }
            // Somebody has it whom the sequence does not know: the next one.
            Err(StoreError::AccountNonce) => {
                core.learn_floor(tried.load(Ordering::Relaxed).saturating_add(1));
            }
            Err(error) => return Err(Error::Store(error)),
        }
    }
    drop(turn);
    Ok(Signing::NoRoom)
}

fn change(
    core: &Core,
    settlement: &Settlement,
    fees: Fees,
    mode: Mode,
    prepared: Option<Attempt>,
    tried: &Arc<AtomicU64>,
) -> impl FnOnce(&mut Page) -> Step + Send + 'static {
    let (floor, mined, most) = (core.floor(), core.mined(), core.max_in_flight);
    let (now, pace) = (core.now(), core.pace);
    let (account, tried) = (Arc::clone(&core.account), Arc::clone(tried));
    let mut new = settlement.clone();
    move |page| {
        match (mode, &page.settlement) {
            (Mode::Begin, None) => {}
            (Mode::Begin, Some(known)) => return Step::Known(Box::new(known.clone())),
            (Mode::Anew, Some(known)) if known.lease() == new.lease() => {}
            (Mode::Anew, _) => return Step::Lost,
        }
        let account_nonce = page.next.max(floor);
        tried.store(account_nonce, Ordering::Relaxed);
        if mode == Mode::Begin && account_nonce.saturating_sub(mined) >= most {
            return Step::NoRoom;
        }
        let attempt = match (prepared, &new.call) {
            (Some(attempt), _) if attempt.account_nonce == account_nonce => attempt,
            (None | Some(_), Some(call)) if account.is_immediate() => {
                match account.sign_now(Purpose::Settle, call, account_nonce, fees) {
                    Ok(attempt) => attempt,
                    Err(error) => return Step::Refused(error),
                }
            }
            (None | Some(_), _) => return Step::Wanted(account_nonce),
        };
        let actions = new.on_event(Event::Signed(attempt), now, &pace);
        page.next = account_nonce.saturating_add(1);
        page.settlement = Some(new.clone());
        // Written already.
        let rest = actions.into_iter().filter(|it| *it != Action::Persist);
        Step::Signed(Box::new(new), rest.collect())
    }
}

/// Whether a signer took so long that the authorization may expire before a block holds it.
fn is_late(core: &Core, settlement: &Settlement) -> bool {
    let earliest = (core.clock)().as_secs().saturating_add(DEADLINE_BUFFER_S);
    !settlement.is_filler() && settlement.deadline_s() < earliest
}

fn refused(error: SignError) -> Error {
    Error::Unavailable(Unavailable::Signer(error))
}
