use crate::aead::Aead;
use crate::context::ENC;
use crate::error::{Error, Part};

/// A gateway's public key and what it may be used with (RFC 9458 §3.1).
///
/// Only DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 is implemented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    key_id: u8,
    public_key: [u8; ENC],
    aeads: Vec<Aead>,
}

/// DHKEM(X25519, HKDF-SHA256).
pub(crate) const KEM: u16 = 0x0020;
/// HKDF-SHA256.
pub(crate) const KDF: u16 = 0x0001;
/// Key identifier, KEM, KDF, AEAD: the start of every encapsulated request.
pub(crate) const HEADER: usize = 7;
/// Suites that a configuration may list: there are about a dozen registered combinations per KEM.
const MAX_SUITES: usize = 64;
/// Longest `application/ohttp-keys`: about 1,400 configurations of one suite.
const MAX_LIST: usize = 64 * 1024;

impl KeyConfig {
    /// A configuration. The first AEAD is the gateway's preference.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] without an AEAD, or with one twice.
    pub fn new(key_id: u8, public_key: [u8; 32], aeads: &[Aead]) -> Result<Self, Error> {
        let mut sorted = aeads.to_vec();
        sorted.sort();
        sorted.dedup();
        if aeads.is_empty() || sorted.len() != aeads.len() {
            return Err(Error::Malformed(Part::KeyConfig));
        }
        Ok(Self {
            key_id,
            public_key,
            aeads: aeads.to_vec(),
        })
    }

    /// The identifier.
    pub fn key_id(&self) -> u8 {
        self.key_id
    }

    /// The X25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// AEADs on offer that are implemented here, in the gateway's order; at least one.
    pub fn aeads(&self) -> &[Aead] {
        &self.aeads
    }

    /// The AEAD that a client uses: the gateway's first.
    pub(crate) fn preferred(&self) -> Result<Aead, Error> {
        let first = self.aeads.first().copied();
        first.ok_or(Error::Unsupported(Part::Aead))
    }

    /// Encodes one configuration, without a length in front: 41 bytes with one AEAD.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.key_id];
        out.extend(KEM.to_be_bytes());
        out.extend(self.public_key);
        // At most three AEADs exist here, four bytes each.
        let len = u16::try_from(self.aeads.len().saturating_mul(4)).unwrap_or(u16::MAX);
        out.extend(len.to_be_bytes());
        for aead in &self.aeads {
            out.extend(KDF.to_be_bytes());
            out.extend(aead.id().to_be_bytes());
        }
        out
    }

    /// Reads exactly one configuration. Suites that are not implemented here are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Trailing`], [`Error::Malformed`];
    /// [`Error::Unsupported`] for another KEM, or where no suite is left.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let cut = || Error::Truncated(Part::KeyConfig);
        // 1. Key identifier and KEM.
        let (&key_id, rest) = bytes.split_first().ok_or_else(cut)?;
        let (kem, rest) = u16_of(rest).ok_or_else(cut)?;
        if kem != KEM {
            return Err(Error::Unsupported(Part::Kem));
        }
        // 2. Public key. One of zeros only is of small order: everybody knows its shared secret.
        let (public_key, rest) = rest.split_first_chunk::<ENC>().ok_or_else(cut)?;
        if public_key.iter().all(|byte| *byte == 0) {
            return Err(Error::Malformed(Part::PublicKey));
        }
        // 3. Symmetric suites: a length in bytes, then pairs.
        let (len, rest) = u16_of(rest).ok_or_else(cut)?;
        let len = usize::from(len);
        let suites = rest.get(..len).ok_or_else(cut)?;
        if rest.len() > len {
            return Err(Error::Trailing(Part::KeyConfig));
        }
        if len == 0 || len % 4 != 0 || len / 4 > MAX_SUITES {
            return Err(Error::Malformed(Part::KeyConfig));
        }
        let mut aeads = Vec::new();
        for suite in suites.chunks_exact(4) {
            let (kdf, aead) = suite.split_at_checked(2).ok_or_else(cut)?;
            let (Some((kdf, _)), Some((aead, _))) = (u16_of(kdf), u16_of(aead)) else {
                return Err(cut());
            };
            match Aead::from_id(aead) {
                Ok(aead) if kdf == KDF => aeads.push(aead),
                Ok(_) | Err(_) => {}
            }
        }
        if aeads.is_empty() {
            return Err(Error::Unsupported(Part::Aead));
        }
        Self::new(key_id, *public_key, &aeads)
    }
}

/// Encodes a list (`application/ohttp-keys`): each configuration with its length in front.
pub fn encode_list(configs: &[KeyConfig]) -> Vec<u8> {
    let mut out = Vec::new();
    for config in configs {
        let encoded = config.encode();
        let len = u16::try_from(encoded.len()).unwrap_or(u16::MAX);
        out.extend(len.to_be_bytes());
        out.extend(encoded);
    }
    out
}

/// Reads a list (`application/ohttp-keys`). Configurations with algorithms that are not implemented here
/// are left out (RFC 9458 §3.2); everything else that is wrong spoils the list.
///
/// # Errors
///
/// As [`KeyConfig::decode`]; [`Error::TooLong`]; [`Error::Unsupported`] where nothing is left.
pub fn decode_list(bytes: &[u8]) -> Result<Vec<KeyConfig>, Error> {
    if bytes.len() > MAX_LIST {
        return Err(Error::TooLong(Part::KeyConfig));
    }
    let cut = || Error::Truncated(Part::KeyConfig);
    let mut rest = bytes;
    let mut configs = Vec::new();
    while !rest.is_empty() {
        let (len, after) = u16_of(rest).ok_or_else(cut)?;
        let (config, after) = after.split_at_checked(usize::from(len)).ok_or_else(cut)?;
        rest = after;
        match KeyConfig::decode(config) {
            Ok(config) => configs.push(config),
            Err(Error::Unsupported(_)) => {}
            Err(err) => return Err(err),
        }
    }
    if configs.is_empty() {
        return Err(Error::Unsupported(Part::KeyConfig));
    }
    Ok(configs)
}

/// `hdr`: key identifier, KEM, KDF, AEAD.
pub(crate) fn header(key_id: u8, aead: Aead) -> [u8; HEADER] {
    let [kem_high, kem_low] = KEM.to_be_bytes();
    let [kdf_high, kdf_low] = KDF.to_be_bytes();
    let [aead_high, aead_low] = aead.id().to_be_bytes();
    [
        key_id, kem_high, kem_low, kdf_high, kdf_low, aead_high, aead_low,
    ]
}

/// The key identifier and the AEAD of a request, whose KEM and KDF must be the ones implemented here.
pub(crate) fn read_header(header: &[u8; HEADER]) -> Result<(u8, Aead), Error> {
    let [key_id, kem_high, kem_low, kdf_high, kdf_low, high, low] = *header;
    if u16::from_be_bytes([kem_high, kem_low]) != KEM {
        return Err(Error::Unsupported(Part::Kem));
    }
    if u16::from_be_bytes([kdf_high, kdf_low]) != KDF {
        return Err(Error::Unsupported(Part::Kdf));
    }
    Ok((key_id, Aead::from_id(u16::from_be_bytes([high, low]))?))
}

fn u16_of(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (value, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*value), rest))
}
