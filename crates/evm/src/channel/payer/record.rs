//! The books of a channel as bytes: one JSON object.

use seamline_core::Amount;
use serde_json::{Value, json};

use super::Channel;
use crate::Malformed;
use crate::channel::wire::Reader;
use crate::channel::{ChannelConfig, Deposit};

/// Version of the record.
const VERSION: u64 = 1;

impl Channel {
    /// Writes the books. A payment that is under way is written as one without an answer: after a
    /// crash it is.
    ///
    /// # Security
    ///
    /// Holds the open deposit's signature: whoever has it can make the deposit.
    pub fn encode(&self) -> Vec<u8> {
        let mut books = self.clone();
        books.lost();
        let nested = |json: String| -> Value { serde_json::from_str(&json).unwrap_or_default() };
        let record = json!({
            "v": VERSION,
            "chainId": books.chain_id,
            "channelConfig": nested(books.config.write()),
            "balance": books.balance.to_string(),
            "charged": books.charged.to_string(),
            "maybeCharged": books.maybe_charged.to_string(),
            "signed": books.signed.to_string(),
            "deposit": books.deposit.as_ref().map(|deposit| nested(deposit.write())),
            "closing": books.closing,
            "complete": books.complete,
        });
        record.to_string().into_bytes()
    }

    /// Reads books.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| Malformed::Json)?;
        let reader = Reader(&value);
        if reader.small("v")? != VERSION {
            return Err(Malformed::Version);
        }
        let config = ChannelConfig::parse(reader.member("channelConfig")?)?;
        let flag = |name: &'static str| {
            let value = reader.member(name)?.as_bool();
            value.ok_or(Malformed::Field(name))
        };
        let charged = reader.amount("charged")?;
        let signed = reader.amount("signed")?;
        let maybe_charged = reader.amount("maybeCharged")?;
        // Nothing is owed that was not signed: anything else is no record of ours.
        if charged > maybe_charged.max(charged) || maybe_charged.max(charged) > signed {
            return Err(Malformed::Field("signed"));
        }
        let deposit = reader.optional("deposit").map(Deposit::parse);
        let balance: Amount = reader.amount("balance")?;
        Ok(Self {
            balance,
            charged,
            maybe_charged,
            signed,
            deposit: deposit.transpose()?,
            closing: flag("closing")?,
            complete: flag("complete")?,
            ..Self::new(config, reader.small("chainId")?)
        })
    }
}
