//! Claims of channels: what a node says that it charged becomes final when the chain shows the claim.

use std::collections::BTreeMap;
use std::sync::Arc;

use seamline_core::receipt::{Recorded, SettlementSeen, SettlementState};
use seamline_core::{Amount, B256, Timestamp};
use seamline_evm::channel::{Claimed, StateRead, find_claims};
use seamline_evm::{Error as ChainError, Rpc, chain};

use crate::books::Books;
use crate::error::ErrorKind;
use crate::journal::{CallRecord, ClaimRecord, VoucherRecord, VoucherState};
use crate::recover::Endpoints;

/// Round trips of one look back for a channel's claims, of 2,000 blocks each: three days of a chain with
/// blocks of two seconds. Sellers claim sooner.
const TRIPS: u32 = 64;

/// What a call of a channel waits for.
struct Waiting {
    call: CallRecord,
    before: Amount,
    /// What it brought the charged total to.
    after: Amount,
    /// The most that it may have brought it to.
    most: Amount,
}

/// Looks for the claims that settle the charges of sealed calls, and amends those calls. Signs and sends
/// nothing. Returns how many were amended.
pub(crate) async fn observe(
    books: &Books,
    rpc: &Endpoints<'_>,
    now: Timestamp,
) -> Result<usize, ErrorKind> {
    let _alone = books.recovering.lock().await;
    let calls = books.journal.calls().map_err(ErrorKind::Journal)?;
    let mut amended = 0_usize;
    for ((chain_id, channel), calls) in waiting(calls) {
        let Some(rpc) = rpc(chain_id) else { continue };
        let found = ask(&rpc, &channel, &calls).await;
        let (claims, total) = found.map_err(ErrorKind::Chain)?;
        let newest = calls.iter().map(|it| it.before).max().unwrap_or_default();
        for waiting in calls {
            let claimed = claims.iter().find(|claim| claim.total >= waiting.after);
            let Some(claimed) = claimed else { continue };
            // Beyond what it charged, a seller can claim only of the newest voucher.
            let until = if waiting.before == newest {
                total.clamp(waiting.after, waiting.most)
            } else {
                waiting.after
            };
            let amount = until.checked_sub(waiting.before).unwrap_or(Amount::ZERO);
            amend(books, waiting.call, claimed, amount, now)?;
            amended = amended.saturating_add(1);
        }
    }
    Ok(amended)
}

/// Sealed calls whose charge is known and whose claim is not, by chain and channel.
fn waiting(calls: Vec<CallRecord>) -> BTreeMap<(u64, B256), Vec<Waiting>> {
    let mut channels: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for call in calls {
        if call.receipt.is_none() {
            continue;
        }
        if let Some((key, waiting)) = call.voucher.clone().and_then(|it| place(call, &it)) {
            channels.entry(key).or_default().push(waiting);
        }
    }
    channels
}

fn place(call: CallRecord, voucher: &VoucherRecord) -> Option<((u64, B256), Waiting)> {
    let charged = voucher.charged.filter(|charged| !charged.is_zero())?;
    if voucher.state != VoucherState::Charged || voucher.claim.is_some() {
        return None;
    }
    let chain_id = voucher.network.strip_prefix("eip155:")?.parse().ok()?;
    let before = voucher.before?;
    let waiting = Waiting {
        call,
        before,
        after: before.checked_add(charged)?,
        most: before.checked_add(voucher.amount)?,
    };
    Some(((chain_id, voucher.channel), waiting))
}

/// The claims that concern these calls, and the total that was claimed at last.
async fn ask(
    rpc: &Arc<dyn Rpc>,
    channel: &B256,
    calls: &[Waiting],
) -> Result<(Vec<Claimed>, Amount), ChainError> {
    let read = StateRead::new(vec![*channel]);
    let states = read.conclude(&rpc.batch(read.calls()).await?)?;
    let total = states.first().map(|(_, state)| state.total_claimed);
    let total = total.unwrap_or(Amount::ZERO);
    let least = calls.iter().map(|it| it.after).min().unwrap_or_default();
    if total < least {
        return Ok((Vec::new(), total));
    }
    let above = calls.iter().map(|it| it.before).min().unwrap_or_default();
    let until = chain::newest_block(&**rpc).await?;
    let claims = find_claims(&**rpc, channel, above, &until, TRIPS).await?;
    Ok((claims, total))
}

fn amend(
    books: &Books,
    mut call: CallRecord,
    claimed: &Claimed,
    amount: Amount,
    now: Timestamp,
) -> Result<(), ErrorKind> {
    let (Some(receipt), Some(voucher)) = (call.receipt, &mut call.voucher) else {
        return Ok(());
    };
    voucher.claim = Some(ClaimRecord {
        transaction: claimed.transaction,
        block: claimed.block_number,
        block_hash: claimed.block_hash,
        amount,
    });
    let waited_ms = now.as_millis().saturating_sub(call.opened_ms);
    let event = Recorded {
        dt_us: waited_ms.saturating_mul(1_000),
        event: SettlementSeen {
            state: SettlementState::Settled,
            transaction: Some(claimed.transaction),
            block_number: Some(claimed.block_number),
            block_hash: Some(claimed.block_hash),
            amount: Some(amount),
            waited_ms,
        }
        .into(),
    };
    let written = books
        .journal
        .amend_call(&call, now.as_millis(), receipt, event);
    written.map_err(ErrorKind::Journal)
}
