use std::fmt;

use alloy_primitives::B256;
use seamline_core::Amount;
use serde_json::Value;

use super::wire::{self, Reader};
use super::{ChannelConfig, typed};
use crate::signer::{Signer, sign_checked};
use crate::{Error, Malformed, Signature};

/// A payer's promise: of this channel, up to this much in total.
///
/// # Security
///
/// Whoever speaks for the receiver can claim up to [`Voucher::max_claimable`] with it, for ever.
/// `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Voucher {
    /// The channel's id.
    pub channel_id: B256,
    /// The most that may be claimed of the channel in total, base units.
    pub max_claimable: Amount,
    /// The signature: 65 bytes of an account's key, anything of a contract.
    pub signature: Vec<u8>,
}

/// What a voucher's signature is worth, as far as that can be known without a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherCheck {
    /// The payer's account signs itself: its code, if it has any, must be asked about this digest.
    AskPayer(B256),
    /// Another key signed, or the bytes are no signature.
    Invalid,
    /// The channel's authorizer signed.
    Valid,
}

impl Voucher {
    /// Signs a promise with the channel's authorizer. Safe to repeat: the same promise twice is
    /// one promise.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`].
    pub fn sign(
        channel_id: B256,
        max_claimable: Amount,
        chain_id: u64,
        authorizer: &dyn Signer,
    ) -> Result<Self, Error> {
        let digest = typed::voucher_digest(&channel_id, max_claimable, chain_id);
        let signature = sign_checked(authorizer, &digest)?;
        Ok(Self {
            channel_id,
            max_claimable,
            signature: signature.as_bytes().to_vec(),
        })
    }

    /// The digest that must have been signed.
    pub fn digest(&self, chain_id: u64) -> B256 {
        typed::voucher_digest(&self.channel_id, self.max_claimable, chain_id)
    }

    /// Checks the signature as the contract will: an authorizer's key only, or whatever the
    /// payer's code says. The channel's id is not checked here; see [`ChannelConfig::check`].
    pub fn check(&self, config: &ChannelConfig, chain_id: u64) -> VoucherCheck {
        let digest = self.digest(chain_id);
        let Some(authorizer) = config.voucher_signer() else {
            return VoucherCheck::AskPayer(digest);
        };
        let signer = Signature::parse(&self.signature).and_then(|it| it.recover(&digest));
        if signer.is_ok_and(|signer| signer == authorizer) {
            VoucherCheck::Valid
        } else {
            VoucherCheck::Invalid
        }
    }

    /// Reads `voucher`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        Ok(Self {
            channel_id: reader.word("channelId")?,
            max_claimable: reader.amount("maxClaimableAmount")?,
            signature: reader.signature("signature")?,
        })
    }

    /// Writes `voucher` with the members in the order of the official SDKs.
    pub fn write(&self) -> String {
        format!(
            r#"{{"channelId":"{}","maxClaimableAmount":"{}","signature":"{}"}}"#,
            wire::hex(self.channel_id.as_slice()),
            self.max_claimable,
            wire::hex(&self.signature),
        )
    }
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voucher")
            .field("channel_id", &self.channel_id)
            .field("max_claimable", &self.max_claimable)
            .finish_non_exhaustive()
    }
}
