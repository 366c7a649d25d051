//! What a person settled for this home: `settings.toml`. Secrets are never in it.

use std::fs;
use std::io;
use std::path::Path;

use seamline_core::Address;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::home::{Home, write_private};

/// Most payment channels with one seller: as many calls at once are beyond what one person asks.
pub(crate) const MOST_CHANNELS: u32 = 16;

/// Version of the file's format.
const VERSION: u32 = 1;

/// The settings of a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    version: u32,
    #[serde(default, skip_serializing_if = "WalletSettings::is_empty")]
    pub(crate) wallet: WalletSettings,
    #[serde(default, rename = "budget", skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<BudgetSettings>,
}

/// How to pay. Programs that sign or know the password: Each is a program and its arguments; no shell reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalletSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signer_command: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_command: Option<Vec<String>>,
    /// Payment channels to keep with each seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<u32>,
}

/// The caps for one token of one chain, in whole tokens as people write them: `0.05`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetSettings {
    /// CAIP-2 id of the chain.
    pub(crate) network: String,
    /// The ERC-20.
    pub(crate) asset: Address,
    #[serde(flatten)]
    pub(crate) caps: CapTexts,
}

/// Caps, in whole tokens; `None` where nothing was settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CapTexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_call: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_hour: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_day: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_node_day: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_model_day: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_channel: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: VERSION,
            wallet: WalletSettings::default(),
            budgets: Vec::new(),
        }
    }
}

impl WalletSettings {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Settings {
    /// Reads the settings; the defaults where there is no file.
    pub(crate) fn read(home: &Home) -> Result<Self, Failure> {
        let path = path(home);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(err)
                if matches!(
                    err.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Self::default());
            }
            Err(err) => return Err(malformed(&path, &err.to_string())),
        };
        let read = toml::from_str(&text).map_err(|err: toml::de::Error| {
            malformed(&path, err.message().lines().next().unwrap_or_default())
        });
        let settings: Self = read?;
        if settings.version != VERSION {
            return Err(malformed(&path, "its version is not known here"));
        }
        settings.check(&path)?;
        Ok(settings)
    }

    fn check(&self, path: &Path) -> Result<(), Failure> {
        let commands = [&self.wallet.signer_command, &self.wallet.password_command];
        let empty = |words: &Vec<String>| words.first().is_none_or(String::is_empty);
        if commands.into_iter().flatten().any(empty) {
            return Err(malformed(path, "a command names no program"));
        }
        if self.wallet.channels.is_some_and(|it| it > MOST_CHANNELS) {
            return Err(malformed(path, "more than 16 channels"));
        }
        Ok(())
    }

    /// The caps for one token of one chain.
    pub(crate) fn caps(&self, network: &str, asset: Address) -> CapTexts {
        let mut budgets = self.budgets.iter();
        let found = budgets.find(|it| it.network == network && it.asset == asset);
        found.map(|it| it.caps.clone()).unwrap_or_default()
    }

    /// Replaces the caps for one token of one chain.
    pub(crate) fn set_caps(&mut self, network: &str, asset: Address, caps: CapTexts) {
        self.budgets
            .retain(|it| it.network != network || it.asset != asset);
        if caps != CapTexts::default() {
            self.budgets.push(BudgetSettings {
                network: network.to_owned(),
                asset,
                caps,
            });
        }
    }

    /// Writes the settings.
    pub(crate) fn write(&self, home: &Home) -> Result<(), Failure> {
        let path = path(home);
        let unwritable = |why: String| {
            Failure::usage(
                "settings.unwritable",
                format!("cannot write `{}`: {why}", path.display()),
            )
            .hint("see to the home's permissions")
        };
        let text = toml::to_string(self).map_err(|err| unwritable(err.to_string()))?;
        write_private(&path, format!("{HEADER}{text}").as_bytes())
            .map_err(|err| unwritable(err.to_string()))
    }
}

const HEADER: &str = "\
# Settings of this home. `seamline wallet budget set` writes the budgets, in whole tokens; comments of yours are lost then.

";

fn path(home: &Home) -> std::path::PathBuf {
    home.root().join("settings.toml")
}

fn malformed(path: &Path, why: &str) -> Failure {
    Failure::usage(
        "settings.malformed",
        format!("the settings `{}` do not read: {why}", path.display()),
    )
    .hint("correct the file, or move it away to start without settings")
}

#[cfg(test)]
mod tests;
