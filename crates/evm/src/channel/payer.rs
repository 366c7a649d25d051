//! What a payer signs next, and what became of it.
//!
//! A payer's books of a channel hold what it put in, what it was charged, and the most that it ever
//! signed. [`Channel::pay`] makes the next payment, [`Channel::answered`], [`Channel::adopt`],
//! [`Channel::lost`] and [`Channel::observe`] take in what came back. One payment at a time is under
//! way in a channel; a [`Pool`] holds several channels for parallel requests.
//!
//! Whatever a seller says or does:
//! - no voucher exceeds what is in the channel together with the deposit that comes with it;
//! - the most that was ever signed never exceeds what was charged plus the amounts of requests that
//!   the spend policy admitted and that got no answer;
//! - one deposit at a time is under way, and it is presented again rather than replaced until the
//!   chain says what became of it;
//! - a seller's correction is believed only with the payer's own signature under it, and only about
//!   requests that got no answer.
//!
//! Books are stored durably ([`Channel::encode`]) before what they say is sent.

mod adopt;
mod chain;
mod channel;
mod pool;
mod record;
mod sign;

use alloy_primitives::Address;
use seamline_core::Amount;

use crate::policy::Admitted;
use crate::x402::{PaymentPayload, Reason};
use crate::{Error, Signer};

pub use adopt::Adopted;
pub use chain::Observed;
pub use channel::Channel;
pub use pool::Pool;

/// The keys that sign for a payer.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "refers to keys")]
pub struct Keys<'a> {
    /// The payer's account: signs deposits.
    pub payer: &'a dyn Signer,
    /// The channel's authorizer: signs vouchers. The payer's own key, or one that can spend no more
    /// than what is in channels.
    pub authorizer: &'a dyn Signer,
}

/// How much to put into a channel at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositRule {
    /// As many times the price of the request that finds the channel too small. At least what the
    /// seller wishes, and in any case at most what the spend policy lets a channel hold.
    pub multiplier: u32,
}

/// A payment of a channel, ready to be sent once the books are stored.
///
/// # Security
///
/// Holds a voucher and perhaps a deposit. `Debug` leaves the signatures out.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The message, byte for byte.
    pub payload: PaymentPayload,
    /// The most that the seller may claim of the channel in total, base units.
    pub max_claimable: Amount,
    /// What is put into the channel with it, base units.
    pub deposit: Option<Amount>,
}

/// Why a payer does not sign, or does not believe.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A payment of this channel is under way.
    #[error("a payment of this channel is under way")]
    Busy,
    /// The channel is being given up.
    #[error("the channel is closing")]
    Closing,
    /// The policy's cap for a channel leaves no room for the deposit that the request needs.
    #[error("the channel needs {needed} more, the policy leaves {left}")]
    DepositCap {
        /// What the next voucher needs, base units.
        needed: Amount,
        /// What the policy leaves, base units.
        left: Amount,
    },
    /// A deposit was sent and what became of it is not known: the chain must be read first.
    #[error("what became of a deposit is not known")]
    DepositUnknown,
    /// The seller's answer is not one of this scheme.
    #[error("the seller's answer does not say what was charged")]
    Malformed,
    /// The offer is of another scheme or another channel.
    #[error("the offer is not one of this channel")]
    OtherChannel,
    /// The seller says that it charged more than the payer can have owed.
    #[error("the seller says it charged {said}, at most {bound} can be owed")]
    Overcharged {
        /// What it says, in total, base units.
        said: Amount,
        /// What can be owed, in total, base units.
        bound: Amount,
    },
    /// The seller shows no voucher of the payer.
    #[error("the seller's correction carries no voucher of this payer")]
    NotOwnVoucher,
    /// The seller refused for a reason that is no correction.
    #[error("the seller refused: {0}")]
    Refused(Reason),
    /// Nothing was signed.
    #[error("nothing was signed")]
    Sign(#[from] Error),
}

impl Payment {
    /// The value of the `PAYMENT-SIGNATURE` header.
    pub fn header(&self) -> String {
        self.payload.to_header()
    }

    /// Names the call that it pays for: the voucher's bind ([`seamline_core::binding::voucher_bind`]) goes
    /// along in the message, outside of what is signed.
    ///
    /// # Errors
    ///
    /// [`Refusal::Sign`] where the message becomes too large.
    pub fn naming_call(self, bind: &alloy_primitives::B256) -> Result<Self, Refusal> {
        let payload = sign::with_bind(&self.payload, bind)?;
        Ok(Self { payload, ..self })
    }
}

impl Default for DepositRule {
    /// Five requests, as the official clients have it.
    fn default() -> Self {
        Self { multiplier: 5 }
    }
}

/// Names the extension that a message carries its bind in.
pub const SESSION_EXTENSION: &str = "seamline-session";

/// The bind that a message carries, where it carries one.
pub fn bind_of(payload: &PaymentPayload) -> Option<alloy_primitives::B256> {
    let extension = payload.extensions()?.get(SESSION_EXTENSION)?;
    extension.get("info")?.get("bind")?.as_str()?.parse().ok()
}

/// The channel that `admitted` asks for, of this payer, told apart by `salt`; `None` where the offer
/// is of another scheme.
pub fn config_of(
    admitted: &Admitted,
    payer: Address,
    authorizer: Address,
    salt: alloy_primitives::B256,
) -> Option<super::ChannelConfig> {
    let channel = admitted.channel()?;
    Some(super::ChannelConfig {
        payer,
        payer_authorizer: authorizer,
        receiver: admitted.pay_to(),
        receiver_authorizer: channel.receiver_authorizer,
        token: admitted.asset(),
        withdraw_delay_s: channel.withdraw_delay_s,
        salt,
    })
}

#[cfg(test)]
mod tests;
