//! Settlements that the chain knows and the store does not.

use std::sync::Arc;

use seamline_evm::x402::FacilitatorRequest;

use super::other::{SpentBy, refuse};
use super::{Begun, join};
use crate::facilitator::keeper::{Held, Mail, is_confirmed};
use crate::facilitator::settlement::{End, Place, Settlement, Stage};
use crate::facilitator::shared::Core;
use crate::facilitator::store::with;
use crate::facilitator::subject::Subject;
use crate::facilitator::{Error, respond};

/// How many blocks back a settlement is looked for that this store does not know: beyond the
/// lifetime of any authorization that we accept, at 2 s a block.
pub(in crate::facilitator) const SEARCH_BLOCKS: u64 = 5_000;
/// How many where that is more than the endpoint answers: the lifetime of usual authorizations.
pub(in crate::facilitator) const SEARCH_BLOCKS_AGAIN: u64 = 256;

/// The nonce is spent and this store does not know by what: a settlement of ours whose record was
/// lost, or a stranger's, moved exactly this to exactly this seller.
pub(super) async fn found_on_chain(
    core: &Core,
    subject: &Arc<Subject>,
    request: &FacilitatorRequest,
) -> Result<Option<Begun>, Error> {
    let rpc = core.rpc.as_ref();
    let Ok(newest) = seamline_evm::chain::newest_block(rpc).await else {
        return Ok(None);
    };
    let mut found = None;
    for blocks in [SEARCH_BLOCKS, SEARCH_BLOCKS_AGAIN] {
        let query = subject.query(newest.number.saturating_sub(blocks));
        if let Ok(facts) = seamline_evm::chain::find_settlement(rpc, &query, &newest).await {
            found = facts;
            break;
        }
    }
    let Some(facts) = found else {
        return Ok(None);
    };
    if facts.pay_to != subject.authorization.pay_to() || facts.amount != subject.amount {
        let by = SpentBy::on_chain(subject, &facts);
        return Ok(Some(Begun::Answer(refuse(core, subject, by))));
    }
    // Not deep enough to be answered: whoever asks again gets to know.
    if !is_confirmed(core, facts.block_number, newest.number) {
        let pending = respond::pending(core, subject, Some(facts.transaction));
        return Ok(Some(Begun::Answer(pending)));
    }
    let response = respond::settled(core, subject, Some(facts.transaction));
    let mut found = Settlement::new(
        subject.key,
        subject.fingerprint,
        request.to_json(),
        subject.authorization.deadline_s(),
        core.address(),
        None,
        respond::blank(core, subject),
        core.fresh_lease(),
    );
    found.stage = Stage::Done {
        end: End::Replaced,
        response: response.clone(),
        block: Some(Place {
            number: facts.block_number,
            hash: facts.block_hash,
        }),
        settled_for_good: false,
    };
    let key = subject.key;
    let written = with(core.store.as_ref(), key, None, move |page| {
        if let Some(known) = &page.settlement {
            return Err(Box::new(known.clone()));
        }
        page.settlement = Some(found.clone());
        Ok(Box::new(found))
    });
    Ok(Some(match written.await.map_err(Error::Store)? {
        Ok(found) => {
            let held = Held::new(*found, Some(Arc::clone(subject)));
            core.post(Mail::Carry(Box::new(held)));
            Begun::Answer(response)
        }
        Err(known) => join(core, subject, &known),
    }))
}
