//! The key that pays: where it is kept, and who signs with it.
//!
//! | source | chosen where | usable on |
//! |---|---|---|
//! | external command | `SEAMLINE_WALLET_COMMAND`, or `signer_command` in the settings | every network |
//! | environment | `SEAMLINE_WALLET_KEY` | every network |
//! | keystore | `wallet.json` in the home, encrypted with a password | every network |
//! | throwaway | `wallet.key` in the home, plain, made on first use | the local network only |
//!
//! The first that is there wins. Nothing falls back to another key: a source that fails is a failure.

mod command;
mod keystore;
mod password;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::signer::SignError;
use seamline_evm::{Signature, Signer, Wallet};
use seamline_localnet::chain::CHAIN_ID as LOCAL_CHAIN_ID;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::env_vars;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::network_file::NetworkFile;
use crate::settings::Settings;

pub(crate) use self::keystore::Keystore;
pub(crate) use self::password::{new_password, password};

/// What signatures are for: an external signer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Authorizations of payments.
    Payment,
    /// The transaction that lets Permit2 move tokens.
    Approval,
    /// The transactions of a facilitator.
    Settlement,
    /// Changes to the registry.
    Administration,
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Command,
    Environment,
    Keystore,
    Throwaway,
}

/// A key that is ready to sign.
pub(crate) struct Key {
    pub(crate) source: Source,
    pub(crate) signer: Arc<dyn Signer>,
    /// The key itself, where it is in this process.
    pub(crate) wallet: Option<Arc<Wallet>>,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Approval => "approval",
            Self::Settlement => "settlement",
            Self::Administration => "administration",
        }
    }
}

impl Source {
    /// The stable word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Environment => "environment",
            Self::Keystore => "keystore",
            Self::Throwaway => "throwaway",
        }
    }

    /// The source in words.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Command => "external signer command",
            Self::Environment => "environment variable SEAMLINE_WALLET_KEY",
            Self::Keystore => "encrypted keystore wallet.json",
            Self::Throwaway => "plain file wallet.key, for the local network only",
        }
    }
}

/// The signer that a command line names: a program's path, or a JSON array of program and arguments.
///
/// # Errors
///
/// `wallet.command`: it is no program, or does not say its address.
pub(crate) fn external(
    command: &OsStr,
    option: &str,
    purpose: Purpose,
) -> Result<Arc<dyn Signer>, Failure> {
    let command = command::words(command, option)?;
    let signer = command::External::start(command, purpose.as_str())?;
    Ok(Arc::new(signer))
}

/// The key of a chain, ready to sign. May ask for a password on the terminal, and blocks meanwhile; the
/// home must be ready.
///
/// # Errors
///
/// `wallet.*` and `key.*`: no key, a wrong password, a signer command that does not answer.
pub(crate) fn open(context: &Context, chain_id: u64, purpose: Purpose) -> Result<Key, Failure> {
    Ok(match opened(context, chain_id, purpose)? {
        Opened::Elsewhere(signer) => Key {
            source: Source::Command,
            signer: Arc::new(signer),
            wallet: None,
        },
        Opened::Here(source, wallet) => {
            let wallet = Arc::new(wallet);
            Key {
                source,
                signer: wallet.clone(),
                wallet: Some(wallet),
            }
        }
    })
}

enum Opened {
    Here(Source, Wallet),
    Elsewhere(command::External),
}

fn opened(context: &Context, chain_id: u64, purpose: Purpose) -> Result<Opened, Failure> {
    let home = context.home()?;
    let settings = Settings::read(&home)?;
    if rehearses(context)? {
        only_throwaway(&home, &settings)?;
        return rehearsal_key(&home).map(|wallet| Opened::Here(Source::Throwaway, wallet));
    }
    Ok(match find(&home, &settings)? {
        Found::Command(command) => {
            Opened::Elsewhere(command::External::start(command, purpose.as_str())?)
        }
        Found::Environment(wallet) => Opened::Here(Source::Environment, wallet),
        Found::Keystore(keystore) => {
            let path = home.keystore();
            let password = password(&settings, &format!("Password of {}: ", path.display()))?;
            Opened::Here(Source::Keystore, keystore.unlock(&password, &path)?)
        }
        Found::Nothing => Opened::Here(Source::Throwaway, throwaway(&home, chain_id)?),
    })
}

/// The account of a chain, without a password: it cannot sign.
pub(crate) fn look(context: &Context, chain_id: u64) -> Result<Key, Failure> {
    let home = context.home()?;
    let settings = Settings::read(&home)?;
    if rehearses(context)? {
        return open(context, chain_id, Purpose::Payment);
    }
    match find(&home, &settings)? {
        Found::Keystore(keystore) => {
            let signer = Locked {
                address: keystore.address(&home.keystore())?,
            };
            Ok(Key {
                source: Source::Keystore,
                signer: Arc::new(signer),
                wallet: None,
            })
        }
        Found::Command(_) | Found::Environment(_) | Found::Nothing => {
            open(context, chain_id, Purpose::Payment)
        }
    }
}

/// Whether the named network is a local one under the chain id of a real one.
fn rehearses(context: &Context) -> Result<bool, Failure> {
    let file = context.network.as_ref().map(|path| NetworkFile::read(path));
    Ok(file.transpose()?.is_some_and(|file| file.is_rehearsal()))
}

/// Refuses a home that has a key besides those that a local network drew for itself.
///
/// # Errors
///
/// `wallet.rehearsal`.
pub(crate) fn only_throwaway(home: &Home, settings: &Settings) -> Result<(), Failure> {
    let other = match find(home, settings)? {
        Found::Nothing => return Ok(()),
        Found::Command(_) => Source::Command,
        Found::Environment(_) => Source::Environment,
        Found::Keystore(_) => Source::Keystore,
    };
    Err(Failure::usage(
        "wallet.rehearsal",
        format!(
            "a network laid out as OpenGradient's has the chain id and the addresses of a real one: what a key signs here is valid there and moves real tokens. It works with throwaway keys of its own only, and this home has another: {}",
            other.describe()
        ),
    )
    .hint("unset the variable, or name an empty folder with --home"))
}

/// The key that the network laid out as OpenGradient's drew in this home.
fn rehearsal_key(home: &Home) -> Result<Wallet, Failure> {
    let path = home.opengradient().join("developer.key");
    let secret = fs::read(&path).map(Zeroizing::new);
    let wallet = secret.map(|secret| {
        let secret = secret.as_slice().try_into().ok()?;
        Wallet::from_bytes(secret).ok()
    });
    wallet.ok().flatten().ok_or_else(|| {
        Failure::usage(
            "wallet.rehearsal",
            format!(
                "no key of that network is in `{}`, and no other may sign for it",
                path.display()
            ),
        )
        .hint("use the --home that `seamline up --opengradient` runs in")
    })
}

/// Reads the plain key of the home, which is good for the local network only.
pub(crate) fn throwaway(home: &Home, chain_id: u64) -> Result<Wallet, Failure> {
    let path = home.root().join(PLAIN);
    if chain_id != LOCAL_CHAIN_ID {
        let there = path.try_exists().unwrap_or(true);
        return Err(if there {
            Failure::usage(
                "wallet.plain",
                format!(
                    "`{}` is a plain key and pays on the local network only, not on chain {chain_id}",
                    path.display()
                ),
            )
            .hint(format!(
                "encrypt it with `seamline wallet import < {}`, or make a new key with `seamline wallet create`",
                path.display()
            ))
        } else {
            Failure::usage(
                "wallet.missing",
                format!("this home has no key for chain {chain_id}"),
            )
            .hint("make one with `seamline wallet create`, or bring one with `seamline wallet import`")
        });
    }
    let secret = Zeroizing::new(home.secret(PLAIN, crate::session::fresh)?);
    Wallet::from_bytes(&secret).map_err(|_| {
        Failure::new(
            Exit::Usage,
            "key.damaged",
            format!("`{}` does not hold a usable key", path.display()),
        )
        .hint("restore it from a copy, or move it away to get a new one")
    })
}

/// The address of the plain key, if this home has one that reads.
pub(crate) fn throwaway_address(home: &Home) -> Option<Address> {
    let text = Zeroizing::new(fs::read_to_string(home.root().join(PLAIN)).ok()?);
    Wallet::from_hex(text.trim()).ok().map(|it| it.address())
}

/// Name of the plain key's file.
const PLAIN: &str = "wallet.key";

/// The first source that is there.
enum Found {
    Command(Vec<String>),
    Environment(Wallet),
    Keystore(Keystore),
    Nothing,
}

fn find(home: &Home, settings: &Settings) -> Result<Found, Failure> {
    if let Some(command) = signer_command(settings)? {
        return Ok(Found::Command(command));
    }
    if let Some(value) = env_vars::WALLET_KEY.read() {
        return from_environment(value).map(Found::Environment);
    }
    let path = home.keystore();
    match fs::read(&path) {
        Ok(bytes) => Keystore::parse(&bytes, &path).map(Found::Keystore),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        // A home that is a file has no keystore in it, and fails where it is opened.
        Err(err) if err.kind() == io::ErrorKind::NotADirectory => Ok(Found::Nothing),
        Err(err) => Err(unreadable(&path, &err)),
    }
}

fn signer_command(settings: &Settings) -> Result<Option<Vec<String>>, Failure> {
    let Some(value) = env_vars::WALLET_COMMAND.read() else {
        return Ok(settings.wallet.signer_command.clone());
    };
    command::words(&value, env_vars::WALLET_COMMAND.name).map(Some)
}

fn from_environment(value: std::ffi::OsString) -> Result<Wallet, Failure> {
    let malformed = || {
        Failure::usage(
            "wallet.environment",
            format!(
                "{} does not hold a private key of 64 hexadecimal digits",
                env_vars::WALLET_KEY.name
            ),
        )
        .hint("correct the variable, or unset it to use the keystore")
    };
    let text = Zeroizing::new(value.into_string().map_err(|_| malformed())?);
    Wallet::from_hex(&text).map_err(|_| malformed())
}

fn unreadable(path: &std::path::Path, err: &io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        "key.unreadable",
        format!("cannot read `{}`: {err}", path.display()),
    )
    .hint("see to its permissions")
}

/// An account whose key was not asked for.
struct Locked {
    address: Address,
}

impl Signer for Locked {
    fn address(&self) -> Address {
        self.address
    }

    fn sign_hash(&self, _: &B256) -> Result<Signature, SignError> {
        Err(SignError::Unavailable {
            detail: "this command does not unlock the keystore".to_owned(),
        })
    }
}

impl Home {
    /// The encrypted key.
    pub(crate) fn keystore(&self) -> PathBuf {
        self.root().join("wallet.json")
    }
}

#[cfg(test)]
mod tests;
