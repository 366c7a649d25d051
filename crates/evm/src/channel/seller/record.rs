//! The books of a channel as bytes: one JSON object, its members named as the official servers name
//! theirs.

use seamline_core::{Amount, Timestamp};
use serde_json::{Value, json};

use super::Channel;
use crate::Malformed;
use crate::channel::wire::{self, Reader};
use crate::channel::{ChainState, ChannelConfig, Voucher};

/// Version of the record.
const VERSION: u64 = 1;

impl Channel {
    /// Writes the books, without the request that holds the channel.
    ///
    /// # Security
    ///
    /// Holds the newest voucher: whoever speaks for the receiver can claim with it.
    pub fn encode(&self) -> Vec<u8> {
        let voucher = self.voucher.as_ref().map(|it| {
            json!({ "signedMaxClaimable": it.max_claimable.to_string(), "signature": wire::hex(&it.signature) })
        });
        let mut chain = self.chain.write(&self.id);
        let withdrawal = json!(self.chain.withdraw_amount.to_string());
        chain.insert("withdrawAmount".to_owned(), withdrawal);
        let config: Value = serde_json::from_str(&self.config.write()).unwrap_or_default();
        let record = json!({
            "v": VERSION,
            "chainId": self.chain_id,
            "channelConfig": config,
            "chargedCumulativeAmount": self.charged.to_string(),
            "voucher": voucher,
            "chain": chain,
            "syncedAt": self.synced_at.map(Timestamp::as_millis),
            "unclaimedSince": self.unclaimed_since.map(Timestamp::as_millis),
            "lastRequest": self.last_request.as_millis(),
        });
        record.to_string().into_bytes()
    }

    /// Reads books.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: a seller stops then, because going on with other books means charging twice or
    /// forgetting a charge.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| Malformed::Json)?;
        let reader = Reader(&value);
        if reader.small("v")? != VERSION {
            return Err(Malformed::Version);
        }
        let config = ChannelConfig::parse(reader.member("channelConfig")?)?;
        let chain_id = reader.small("chainId")?;
        let id = config.id(chain_id);
        let charged = reader.amount("chargedCumulativeAmount")?;
        let chain_record = reader.object("chain")?;
        let chain = ChainState {
            withdraw_amount: chain_record.amount("withdrawAmount")?,
            ..ChainState::parse(reader.member("chain")?)?
        };
        let voucher = reader.optional("voucher").map(Reader);
        let voucher = voucher.map(|it| -> Result<Voucher, Malformed> {
            Ok(Voucher {
                channel_id: id,
                max_claimable: it.amount("signedMaxClaimable")?,
                signature: it.signature("signature")?,
            })
        });
        let voucher = voucher.transpose()?;
        // What is charged is promised or was claimed: anything else is no record of ours.
        let ceiling = voucher.as_ref().map_or(Amount::ZERO, |it| it.max_claimable);
        if charged > ceiling.max(chain.total_claimed) || chain_record.word("channelId")? != id {
            return Err(Malformed::Field("chargedCumulativeAmount"));
        }
        let time = |name: &'static str| -> Result<Option<Timestamp>, Malformed> {
            let present = reader.optional(name).map(|_| reader.small(name));
            Ok(present.transpose()?.map(Timestamp::from_millis))
        };
        Ok(Self {
            config,
            chain_id,
            id,
            charged,
            voucher,
            chain,
            synced_at: time("syncedAt")?,
            unclaimed_since: time("unclaimedSince")?,
            last_request: Timestamp::from_millis(reader.small("lastRequest")?),
            held: None,
        })
    }
}
