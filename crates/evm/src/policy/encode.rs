//! The bytes of a spend policy that a receipt holds (`spec/payment.md`, "Encoding of the policy").

use alloy_primitives::{Address, B256};
use seamline_core::Amount;
use seamline_core::cbor::{self, Reader, Writer};

use super::SpendPolicy;
use crate::scheme::Scheme;

/// Versions of the layout, each with the number of its items.
const V1: (u64, usize) = (1, 8);
const V2: (u64, usize) = (2, 12);
/// Most schemes, networks, assets or facilitators that a policy may list.
const MAX_LISTED: usize = 256;
/// Longest CAIP-2 network name: eight characters, a colon, thirty-two.
const MAX_NETWORK: usize = 64;

impl SpendPolicy {
    /// Encodes the policy as deterministic CBOR, in the lowest version that holds it: one policy has
    /// one encoding. Lists keep their order: it is part of the bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            per_call,
            per_hour,
            per_day,
            per_node_day,
            per_model_day,
            per_channel,
            schemes,
            networks,
            assets,
            facilitators,
            max_lifetime_s,
        } = self;
        let (version, items) = if self.fits_version_1() { V1 } else { V2 };
        let second = version == V2.0;
        let mut writer = Writer::with_capacity(256);
        writer.array(items).uint(version).uint128(per_call.get());
        if second {
            cap(&mut writer, *per_hour);
        }
        writer.uint128(per_day.get());
        cap(&mut writer, *per_node_day);
        if second {
            cap(&mut writer, *per_model_day);
            cap(&mut writer, *per_channel);
            writer.array(schemes.len());
            for scheme in schemes {
                writer.uint(number(*scheme));
            }
        }
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

    /// Decodes a policy of version 1 or 2.
    ///
    /// # Errors
    ///
    /// [`cbor::Error`]; more than 256 listed items, a network name over 64 bytes, a scheme or a
    /// version that is not known, and a version 2 that says no more than version 1 could are
    /// [`cbor::Error::OutOfRange`].
    pub fn decode(bytes: &[u8]) -> Result<Self, cbor::Error> {
        let mut input = Reader::new(bytes)?;
        let reader = &mut input;
        let items = reader.array()?;
        if items != V1.1 && items != V2.1 {
            return Err(out_of_range("the number of items"));
        }
        let second = match (reader.uint()?, items) {
            V1 => false,
            V2 => true,
            _ => return Err(out_of_range("the version")),
        };
        let policy = Self {
            per_call: amount(reader)?,
            per_hour: if second { optional(reader)? } else { None },
            per_day: amount(reader)?,
            per_node_day: optional(reader)?,
            per_model_day: if second { optional(reader)? } else { None },
            per_channel: if second { optional(reader)? } else { None },
            schemes: if second {
                list(reader, scheme)?
            } else {
                vec![Scheme::Upto]
            },
            networks: list(reader, network)?,
            assets: list(reader, address)?,
            facilitators: reader.optional(|reader| list(reader, address))?,
            max_lifetime_s: reader.uint()?,
        };
        input.finish()?;
        if second && policy.fits_version_1() {
            return Err(out_of_range("the version"));
        }
        Ok(policy)
    }

    /// Returns `SHA-256("seamline/v1/spend-policy" || encoding)`.
    pub fn policy_hash(&self) -> B256 {
        seamline_core::sha256(&[b"seamline/v1/spend-policy", &self.encode()])
    }

    /// Whether the policy says nothing that version 1 of the layout could not.
    fn fits_version_1(&self) -> bool {
        self.per_hour.is_none()
            && self.per_model_day.is_none()
            && self.per_channel.is_none()
            && self.schemes == [Scheme::Upto]
    }
}

const fn number(scheme: Scheme) -> u64 {
    match scheme {
        Scheme::Exact => 1,
        Scheme::Upto => 2,
        Scheme::BatchSettlement => 3,
    }
}

fn scheme(reader: &mut Reader<'_>) -> Result<Scheme, cbor::Error> {
    match reader.uint()? {
        1 => Ok(Scheme::Exact),
        2 => Ok(Scheme::Upto),
        3 => Ok(Scheme::BatchSettlement),
        _ => Err(out_of_range("a scheme")),
    }
}

fn cap(writer: &mut Writer, cap: Option<Amount>) {
    match cap {
        Some(cap) => writer.uint128(cap.get()),
        None => writer.null(),
    };
}

fn amount(reader: &mut Reader<'_>) -> Result<Amount, cbor::Error> {
    reader.uint128().map(Amount::new)
}

fn optional(reader: &mut Reader<'_>) -> Result<Option<Amount>, cbor::Error> {
    reader.optional(amount)
}

fn network(reader: &mut Reader<'_>) -> Result<String, cbor::Error> {
    let network = reader.text()?;
    if network.len() > MAX_NETWORK {
        return Err(out_of_range("a network"));
    }
    Ok(network.to_owned())
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
    item: impl Fn(&mut Reader<'a>) -> Result<T, cbor::Error>,
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
