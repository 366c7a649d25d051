//! The encrypted key: Web3 Secret Storage, version 3, as other Ethereum wallets read and write it.
//!
//! The cipher is AES-128-CTR, the key derivation scrypt with N = 131,072, r = 8, p = 1 (128 MiB and
//! some tenths of a second for each guess). Files of other wallets are read with other parameters,
//! and with PBKDF2, within limits.

use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::pbkdf2;
use seamline_core::{Address, B256};
use seamline_evm::Wallet;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// N = 2^17: the recommendation of OWASP for r = 8, p = 1.
const LOG_N: u8 = 17;
const R: u32 = 8;
const P: u32 = 1;
/// Most memory that a file may make us take: four times the widespread N = 2^18, r = 8.
const MAX_MEMORY: u64 = 1 << 30;
/// Most work, in bytes mixed: p repeats the memory's work. Eight times the memory above.
const MAX_WORK: u64 = 8 << 30;
/// Most rounds of PBKDF2: forty times the widespread 262,144.
const MAX_ROUNDS: u32 = 10_485_760;

/// A keystore file that has been read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Keystore {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    id: String,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    #[serde(flatten)]
    kdf: Kdf,
    mac: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt {
        dklen: u32,
        n: u64,
        p: u32,
        r: u32,
        salt: String,
    },
    Pbkdf2 {
        c: u32,
        dklen: u32,
        prf: String,
        salt: String,
    },
}

/// Why a keystore does not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeystoreError {
    #[error("it is not a keystore of version 3: {0}")]
    Malformed(&'static str),
    #[error("it asks for more work than is done here")]
    TooCostly,
    #[error("the password does not open it")]
    WrongPassword,
    #[error("it holds another key than its address says")]
    OtherAddress,
}

use KeystoreError::{Malformed, OtherAddress, TooCostly, WrongPassword};

impl Keystore {
    /// Encrypts a key. `entropy` is fresh: 16 bytes each for the vector and the id, 32 for the salt.
    pub(crate) fn encrypt(
        wallet: &Wallet,
        password: &str,
        entropy: &[u8; 64],
    ) -> Result<Self, Failure> {
        let cannot = |_| Failure::new(Exit::Bug, "wallet.encrypt", "the key cannot be encrypted");
        let (salt, rest) = entropy.split_at(32);
        let (iv, id) = rest.split_at(16);
        let kdf = Kdf::Scrypt {
            dklen: 32,
            n: 1 << LOG_N,
            p: P,
            r: R,
            salt: hex::encode(salt),
        };
        let derived = kdf.derive(password).map_err(cannot)?;
        let mut ciphertext = *wallet.to_bytes();
        apply_cipher(&derived, iv, &mut ciphertext).map_err(cannot)?;
        Ok(Self {
            address: Some(hex::encode(wallet.address())),
            crypto: Crypto {
                cipher: CIPHER.to_owned(),
                cipherparams: CipherParams {
                    iv: hex::encode(iv),
                },
                mac: hex::encode(mac(&derived, &ciphertext)),
                ciphertext: hex::encode(ciphertext),
                kdf,
            },
            id: uuid(id),
            version: 3,
        })
    }

    /// Reads a file.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, Failure> {
        Self::read(bytes).map_err(|err| failure(&err, path))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, KeystoreError> {
        let keystore: Self = serde_json::from_slice(bytes).map_err(|_| Malformed("its fields"))?;
        if keystore.version != 3 {
            return Err(Malformed("its version"));
        }
        Ok(keystore)
    }

    /// The account that the file says it holds: proven only by [`Keystore::unlock`].
    pub(crate) fn address(&self, path: &Path) -> Result<Address, Failure> {
        let address = self.claimed().map_err(|err| failure(&err, path))?;
        address.ok_or_else(|| failure(&Malformed("it names no address"), path))
    }

    fn claimed(&self) -> Result<Option<Address>, KeystoreError> {
        let Some(text) = &self.address else {
            return Ok(None);
        };
        let bytes = hex::decode_to_array::<_, 20>(text).map_err(|_| Malformed("its address"))?;
        Ok(Some(Address::from(bytes)))
    }

    /// Decrypts the key.
    pub(crate) fn unlock(&self, password: &str, path: &Path) -> Result<Wallet, Failure> {
        self.decrypt(password).map_err(|err| failure(&err, path))
    }

    pub(super) fn decrypt(&self, password: &str) -> Result<Wallet, KeystoreError> {
        let crypto = &self.crypto;
        if crypto.cipher != CIPHER {
            return Err(Malformed("its cipher"));
        }
        let bytes = |text: &str, what| hex::decode(text).map_err(|_| Malformed(what));
        let iv = bytes(&crypto.cipherparams.iv, "its initialization vector")?;
        let expected = bytes(&crypto.mac, "its check value")?;
        let mut key: Zeroizing<[u8; 32]> = Zeroizing::new(
            hex::decode_to_array(&crypto.ciphertext).map_err(|_| Malformed("its ciphertext"))?,
        );
        let claimed = self.claimed()?;
        let derived = crypto.kdf.derive(password)?;
        let found = mac(&derived, &*key);
        if !bool::from(found.as_slice().ct_eq(&expected)) {
            return Err(WrongPassword);
        }
        apply_cipher(&derived, &iv, &mut *key)?;
        let wallet = Wallet::from_bytes(&key).map_err(|_| Malformed("its key"))?;
        if claimed.is_some_and(|claimed| claimed != wallet.address()) {
            return Err(OtherAddress);
        }
        Ok(wallet)
    }

    /// The bytes of the file.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl Kdf {
    fn derive(&self, password: &str) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let mut derived = Zeroizing::new([0; 32]);
        let salt_bytes = |salt: &str| hex::decode(salt).map_err(|_| Malformed("its salt"));
        match self {
            Self::Scrypt {
                dklen,
                n,
                p,
                r,
                salt,
            } => {
                if *dklen != 32 || !n.is_power_of_two() || *n < 2 {
                    return Err(Malformed("its scrypt parameters"));
                }
                let salt = salt_bytes(salt)?;
                let memory = n
                    .checked_mul(u64::from(*r))
                    .and_then(|blocks| blocks.checked_mul(128))
                    .ok_or(TooCostly)?;
                let work = memory.checked_mul(u64::from(*p)).ok_or(TooCostly)?;
                if memory > MAX_MEMORY || work > MAX_WORK {
                    return Err(TooCostly);
                }
                let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| TooCostly)?;
                let bad = |_| Malformed("its scrypt parameters");
                let params = scrypt::Params::new(log_n, *r, *p).map_err(bad)?;
                scrypt::scrypt(password.as_bytes(), &salt, &params, &mut *derived)
                    .map_err(|_| Malformed("its scrypt parameters"))?;
            }
            Self::Pbkdf2 {
                c,
                dklen,
                prf,
                salt,
            } => {
                let rounds = NonZeroU32::new(*c).filter(|_| *dklen == 32 && prf == "hmac-sha256");
                let rounds = rounds.ok_or(Malformed("its pbkdf2 parameters"))?;
                if rounds.get() > MAX_ROUNDS {
                    return Err(TooCostly);
                }
                let salt = salt_bytes(salt)?;
                let password = password.as_bytes();
                pbkdf2::derive(
                    pbkdf2::PBKDF2_HMAC_SHA256,
                    rounds,
                    &salt,
                    password,
                    &mut *derived,
                );
            }
        }
        Ok(derived)
    }
}

const CIPHER: &str = "aes-128-ctr";

/// Encrypts or decrypts in place: in counter mode both are the same.
fn apply_cipher(derived: &[u8; 32], iv: &[u8], data: &mut [u8]) -> Result<(), KeystoreError> {
    let iv: &[u8; 16] = iv
        .try_into()
        .map_err(|_| Malformed("its initialization vector"))?;
    let (key, _) = derived.split_at(16);
    let cannot = |_| Malformed("its cipher");
    let key = UnboundCipherKey::new(&AES_128, key).map_err(cannot)?;
    let key = EncryptingKey::ctr(key).map_err(cannot)?;
    key.less_safe_encrypt(data, EncryptionContext::Iv128(iv.into()))
        .map_err(cannot)?;
    Ok(())
}

/// Keccak-256 of the derived key's second half and the ciphertext.
fn mac(derived: &[u8; 32], ciphertext: &[u8]) -> B256 {
    let (_, second) = derived.split_at(16);
    let mut bytes = Zeroizing::new(second.to_vec());
    bytes.extend_from_slice(ciphertext);
    alloy_primitives::keccak256(&*bytes)
}

/// A random UUID (RFC 9562, version 4).
fn uuid(random: &[u8]) -> String {
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(random) {
        *to = *from;
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex::encode(bytes);
    let part = |range| digits.get(range).unwrap_or_default();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

fn failure(err: &KeystoreError, path: &Path) -> Failure {
    let message = format!("cannot open the keystore `{}`: {err}", path.display());
    match err {
        WrongPassword => Failure::usage("wallet.password_wrong", message)
            .hint("try again with the password that it was made with; nothing was signed"),
        Malformed(_) | TooCostly | OtherAddress => Failure::usage("key.damaged", message)
            .hint("restore it from a copy, or move it away and import the key again"),
    }
}

#[cfg(test)]
mod tests;
