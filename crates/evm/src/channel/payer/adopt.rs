use seamline_core::Amount;

use super::{Channel, Refusal};
use crate::Signature;
use crate::channel::{ChainState, CorrectiveState, typed};
use crate::x402::{Offer, Reason};

/// What a correction changed in the payer's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// What was charged before it, in total, base units.
    pub before: Amount,
    /// What is charged now, in total, base units.
    pub now: Amount,
}

impl Channel {
    /// Takes in a corrective 402: `reason` is its `error`, `offer` the channel's offer in it, and
    /// `chain` the state as the payer itself read it, where it did.
    ///
    /// The payment under way was refused, so it counts as lost first. Afterwards the next
    /// [`Channel::pay`] answers the seller's books.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with the first rule that fails; the seller's word changes nothing then.
    pub fn adopt(
        &mut self,
        reason: &Reason,
        offer: &Offer,
        chain: Option<&ChainState>,
    ) -> Result<Adopted, Refusal> {
        self.lost();
        // 1. It is a correction, of this channel.
        let corrects = matches!(
            reason,
            Reason::InvalidBatchSettlementEvmCumulativeAmountMismatch
                | Reason::InvalidBatchSettlementEvmCumulativeBelowClaimed
        );
        if !corrects {
            return Err(Refusal::Refused(reason.clone()));
        }
        let said = CorrectiveState::of(offer).map_err(|_| Refusal::Malformed)?;
        let said = said.ok_or(Refusal::Malformed)?;
        if said.channel_id != self.id {
            return Err(Refusal::OtherChannel);
        }
        let charged = said.charged.ok_or(Refusal::Malformed)?;
        // 2. Beyond what the chain has recorded, the payer's own signature is under it. (A claim of
        //    the chain is under the payer's signature too.)
        let claimed = chain.map_or(Amount::ZERO, |chain| chain.total_claimed);
        let ceiling = match &said.voucher {
            Some((ceiling, signature)) => {
                self.own(*ceiling, signature)?;
                *ceiling
            }
            None => claimed,
        };
        // 3. The seller charged no more than was promised, and no less than it claimed.
        if charged > ceiling {
            return Err(Refusal::Overcharged {
                said: charged,
                bound: ceiling,
            });
        }
        if charged < claimed {
            return Err(Refusal::Malformed);
        }
        // 4. It charged only what has no answer: what was answered is settled between us. Books
        //    that were begun again know nothing better than the signature.
        let bound = self.charged.max(self.maybe_charged).max(claimed);
        if self.complete && charged > bound {
            return Err(Refusal::Overcharged {
                said: charged,
                bound,
            });
        }
        let before = self.charged;
        self.charged = charged;
        // Said, not settled: until the seller takes a voucher on this base, it may still say what it
        // could have said before.
        self.maybe_charged = bound.max(charged);
        self.signed = self.signed.max(ceiling);
        Ok(Adopted {
            before,
            now: charged,
        })
    }

    /// Whether the channel's own authorizer signed a voucher.
    fn own(&self, ceiling: Amount, signature: &[u8]) -> Result<(), Refusal> {
        let digest = typed::voucher_digest(&self.id, ceiling, self.chain_id);
        let signer = Signature::parse(signature).and_then(|it| it.recover(&digest));
        let authorizer = self.config.voucher_signer().unwrap_or(self.config.payer);
        if signer.is_ok_and(|signer| signer == authorizer) {
            Ok(())
        } else {
            Err(Refusal::NotOwnVoucher)
        }
    }
}
