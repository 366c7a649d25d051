//! The bytes of a spend policy that a receipt holds (`spec/payment.md`, "Encoding of the policy").

use alloy_primitives::{Address, B256};
use seamline_core::Amount;
use seamline_core::cbor::{self, Reader, Writer};

use super::SpendPolicy;

/// Version of the layout.
const VERSION: u64 = 1;
/// Most networks, assets or facilitators that a policy may list.
const MAX_LISTED: usize = 256;
/// Longest CAIP-2 network name: eight characters, a colon, thirty-two.
const MAX_NETWORK: usize = 64;

impl SpendPolicy {
    /// Encodes the policy as deterministic CBOR. Lists keep their order: it is part of the bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            per_call,
            per_day,
            per_node_day,
            networks,
            assets,
            facilitators,
            max_lifetime_s,
        } = self;
        let mut writer = Writer::with_capacity(256);
        writer
            .array(8)
            .uint(VERSION)
            .uint128(per_call.get())
            .uint128(per_day.get());
        match per_node_day {
            Some(cap) => writer.uint128(cap.get()),
            None => writer.null(),
        };
        writer.array(networks.len());
        for network in networks {
            writer.text(network);
        }
        addresses(&mut writer, assets);
        match facilitators {
            Some(allowed) => addresses(&mut writer, allowed),
            None => {
                writer.null();
            }
        }
        writer.uint(*max_lifetime_s);
        writer.finish()
    }

    /// Decodes a policy.
    ///
    /// # Errors
    ///
    /// [`cbor::Error`]; more than 256 listed items or a network name over 64 bytes is
    /// [`cbor::Error::OutOfRange`].
    pub fn decode(bytes: &[u8]) -> Result<Self, cbor::Error> {
        let mut reader = Reader::new(bytes)?;
        reader.array_of(8)?;
        if reader.uint()? != VERSION {
            return Err(out_of_range("the version"));
        }
        let policy = Self {
            per_call: Amount::new(reader.uint128()?),
            per_day: Amount::new(reader.uint128()?),
            per_node_day: reader.optional(|reader| reader.uint128().map(Amount::new))?,
            networks: list(&mut reader, |reader| {
                let network = reader.text()?;
                if network.len() > MAX_NETWORK {
                    return Err(out_of_range("a network"));
                }
                Ok(network.to_owned())
            })?,
            assets: list(&mut reader, address)?,
            facilitators: reader.optional(|reader| list(reader, address))?,
            max_lifetime_s: reader.uint()?,
        };
        reader.finish()?;
        Ok(policy)
    }

    /// Returns `SHA-256("seamline/v1/spend-policy" || encoding)`.
    pub fn policy_hash(&self) -> B256 {
        seamline_core::sha256(&[b"seamline/v1/spend-policy", &self.encode()])
    }
}

fn addresses(writer: &mut Writer, list: &[Address]) {
    writer.array(list.len());
    for address in list {
        writer.bytes(address.as_slice());
    }
}

fn address(reader: &mut Reader<'_>) -> Result<Address, cbor::Error> {
    reader
        .fixed("an address")
        .map(|bytes: [u8; 20]| Address::from(bytes))
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, cbor::Error>,
) -> Result<Vec<T>, cbor::Error> {
    let length = reader.array()?;
    if length > MAX_LISTED {
        return Err(out_of_range("the length of a list"));
    }
    (0..length).map(|_| item(reader)).collect()
}

const fn out_of_range(field: &'static str) -> cbor::Error {
    cbor::Error::OutOfRange { field, at: 0 }
}
