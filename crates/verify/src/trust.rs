//! What the reader of a receipt trusts. Never taken from the receipt.

use seamline_attest::TrustRoots;
use seamline_core::receipt::PublicKey;
use seamline_core::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::token::Token;
use crate::verdict::Level;

/// What the reader of a receipt trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Installations whose account of a call is taken as theirs.
    pub recorders: Vec<PublicKey>,
    /// Roots of evidence.
    pub roots: TrustRoots,
    /// Measurements of code that the reader knows.
    pub measurements: Vec<B256>,
    /// The network whose registry is trusted to name nodes.
    pub network: Option<Network>,
    /// Facilitators that may settle. Empty: any.
    pub facilitators: Vec<Address>,
    /// The level that a receipt must reach to satisfy.
    pub required: Level,
}

/// A network: a chain and its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Address of the registry contract.
    pub registry: Address,
}

impl Trust {
    /// Trusts nobody: shows integrity, attributes nothing.
    pub const fn nobody() -> Self {
        Self {
            recorders: Vec::new(),
            roots: TrustRoots::none(),
            measurements: Vec::new(),
            network: None,
            facilitators: Vec::new(),
            required: Level::L3,
        }
    }
}

/// A trust file, as `seamline up` and `seamline chat` write it and people edit it.
///
/// All binary values are hexadecimal, with or without `0x`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// Version of the file's format: 1.
    pub version: u32,
    /// Ed25519 public keys of installations.
    #[serde(default)]
    pub recorders: Vec<String>,
    /// Whether AWS Nitro's root is trusted.
    #[serde(default)]
    pub aws_nitro: bool,
    /// Measurements (PCR hashes).
    #[serde(default)]
    pub measurements: Vec<String>,
    /// EIP-155 chain id of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<u64>,
    /// Address of the registry contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Addresses of facilitators. Empty: any.
    #[serde(default)]
    pub facilitators: Vec<String>,
    /// The level that a receipt must reach: `L1`, `L2` or `L3` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<String>,
    /// Root certificates (DER) of development networks. Whoever holds such a root's key can make
    /// evidence that says anything; there is no hardware behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub danger_accept_dev_roots: Vec<String>,
    /// Names of tokens, for printing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
}

/// Why a trust file is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file is of another version.
    #[error("trust file version {found} is not supported")]
    Version {
        /// The version.
        found: u32,
    },
    /// A value is not what its key asks for.
    #[error("`{key}` holds `{value}`, which is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, cut to 80 characters.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A development root is not one.
    #[error("`danger_accept_dev_roots` holds a certificate that is no development root")]
    DevRoot(#[source] seamline_attest::Error),
    /// Only one of chain id and registry is given.
    #[error("`chain_id` and `registry` come together")]
    HalfNetwork,
}

impl TryFrom<&TrustFile> for Trust {
    type Error = TrustError;

    fn try_from(file: &TrustFile) -> Result<Self, TrustError> {
        let TrustFile {
            version,
            recorders,
            aws_nitro,
            measurements,
            chain_id,
            registry,
            facilitators,
            require,
            danger_accept_dev_roots,
            // Names decide nothing.
            tokens: _,
        } = file;
        if *version != 1 {
            return Err(TrustError::Version { found: *version });
        }
        let mut roots = if *aws_nitro {
            TrustRoots::aws()
        } else {
            TrustRoots::none()
        };
        for der in danger_accept_dev_roots {
            let expected = "a certificate in hexadecimal DER";
            let der = value("danger_accept_dev_roots", der, expected, |text| {
                hex::decode(text).ok()
            })?;
            roots = roots.danger_accept_dev(&der).map_err(TrustError::DevRoot)?;
        }
        let address = |key, text: &String| value(key, text, "an address", |text| text.parse().ok());
        let network = match (chain_id, registry) {
            (None, None) => None,
            (Some(chain_id), Some(registry)) => Some(Network {
                chain_id: *chain_id,
                registry: address("registry", registry)?,
            }),
            (Some(_), None) | (None, Some(_)) => return Err(TrustError::HalfNetwork),
        };
        Ok(Self {
            recorders: recorders
                .iter()
                .map(|text| {
                    value("recorders", text, "an Ed25519 public key", |text| {
                        PublicKey::parse(text).ok()
                    })
                })
                .collect::<Result<_, _>>()?,
            roots,
            measurements: measurements
                .iter()
                .map(|text| value("measurements", text, "32 bytes", |text| text.parse().ok()))
                .collect::<Result<_, _>>()?,
            network,
            facilitators: facilitators
                .iter()
                .map(|text| address("facilitators", text))
                .collect::<Result<_, _>>()?,
            required: match require {
                None => Level::L3,
                Some(text) => value("require", text, "L1, L2 or L3", Level::parse)?,
            },
        })
    }
}

fn value<T>(
    key: &'static str,
    text: &str,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, TrustError> {
    parse(text).ok_or_else(|| TrustError::Value {
        key,
        value: text.chars().take(80).collect(),
        expected,
    })
}
