//! Records of the first layout, which had one transaction and one replica.

use seamline_core::{Address, B256};
use seamline_evm::x402::{Reason, SettleResponse};
use serde::Deserialize;

use super::{Attempt, End, Lease, Place, Purpose, Settlement, Stage, VERSION};

/// The layout before this one, which lacks members that have a default.
const SECOND: u32 = 2;

/// The first layout.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    version: u32,
    fingerprint: B256,
    request: String,
    deadline_s: u64,
    state: FirstState,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum FirstState {
    Broadcasting(FirstSent),
    Done {
        response: SettleResponse,
        block: Option<Place>,
    },
}

#[derive(Deserialize)]
struct FirstSent {
    raw: String,
    transaction: B256,
    account_nonce: u64,
}

/// What tells the layouts apart.
#[derive(Deserialize)]
struct Layout {
    version: u32,
}

pub(super) fn decode(key: B256, bytes: &[u8]) -> Option<Settlement> {
    let Layout { version } = serde_json::from_slice(bytes).ok()?;
    match version {
        1 => first(key, serde_json::from_slice(bytes).ok()?),
        SECOND | VERSION => {
            let mut settlement: Settlement = serde_json::from_slice(bytes).ok()?;
            settlement.version = VERSION;
            (settlement.key == key).then_some(settlement)
        }
        _ => None,
    }
}

fn first(key: B256, first: First) -> Option<Settlement> {
    let First {
        version,
        fingerprint,
        request,
        deadline_s,
        state,
    } = first;
    let (attempts, stage) = match state {
        FirstState::Broadcasting(sent) => {
            let attempt = Attempt {
                purpose: Purpose::Settle,
                raw: sent.raw,
                transaction: sent.transaction,
                account_nonce: sent.account_nonce,
                fees: None,
            };
            (vec![attempt], Stage::Broadcasting)
        }
        FirstState::Done { response, block } => {
            let end = if response.success {
                End::Settled
            } else {
                End::Reverted
            };
            let stage = Stage::Done {
                end,
                response,
                block,
                settled_for_good: true,
            };
            (Vec::new(), stage)
        }
    };
    (version == 1).then(|| Settlement {
        attempts,
        stage,
        // The account is filled in by whoever takes it up: there was one for each file.
        ..Settlement::new(
            key,
            fingerprint,
            request,
            deadline_s,
            Address::ZERO,
            None,
            SettleResponse::failed("", None, Reason::SettlementPending, None),
            Lease::default(),
        )
    })
}
