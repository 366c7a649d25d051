//! Where the keystore's password comes from: a file, a program, or the terminal. Never an argument, and
//! never the value of a variable.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use super::command;
use crate::env_vars;
use crate::failure::Failure;
use crate::settings::Settings;

/// Longest password, bytes.
const MAX_BYTES: u64 = 1024;
/// Shortest new password, characters: what scrypt makes slow to guess must not be guessed at once.
const MIN_CHARS: usize = 8;

/// The password of an existing keystore.
pub(crate) fn password(settings: &Settings, prompt: &str) -> Result<Zeroizing<String>, Failure> {
    match given(settings)? {
        Some(password) => Ok(password),
        None => ask(prompt),
    }
}

/// A password for a new keystore: asked twice on a terminal.
pub(crate) fn new_password(settings: &Settings) -> Result<Zeroizing<String>, Failure> {
    let password = if let Some(password) = given(settings)? {
        password
    } else {
        let password = ask("New password of the wallet: ")?;
        let again = ask("The same again: ")?;
        if *password != *again {
            return Err(
                Failure::usage("wallet.password_differs", "the two passwords differ")
                    .hint("run the command again"),
            );
        }
        password
    };
    if password.chars().count() < MIN_CHARS {
        return Err(Failure::usage(
            "wallet.password_short",
            format!("a password of the wallet has at least {MIN_CHARS} characters"),
        )
        .hint("choose a longer one; nothing was written"));
    }
    Ok(password)
}

/// The password of the file or the program that was named.
fn given(settings: &Settings) -> Result<Option<Zeroizing<String>>, Failure> {
    if let Some(path) = env_vars::WALLET_PASSWORD_FILE.read() {
        let path = std::path::PathBuf::from(path);
        let bytes = read_file(&path).map_err(|err| {
            unusable(format!(
                "cannot read the password file `{}`: {err}",
                path.display()
            ))
        })?;
        return text(&bytes, "the password file").map(Some);
    }
    let command = match env_vars::WALLET_PASSWORD_COMMAND.read() {
        Some(value) => Some(command::words(
            &value,
            env_vars::WALLET_PASSWORD_COMMAND.name,
        )?),
        None => settings.wallet.password_command.clone(),
    };
    let Some(command) = command else {
        return Ok(None);
    };
    let bytes = command::run(&command, b"")
        .map_err(|err| unusable(format!("the password command {err}")))?;
    text(&bytes, "the password command").map(Some)
}

fn read_file(path: &std::path::Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
    fs::File::open(path)?
        .take(MAX_BYTES.saturating_add(2))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first line. A password has no line ends in it: those of files are their editor's.
fn text(bytes: &[u8], what: &str) -> Result<Zeroizing<String>, Failure> {
    let text = core::str::from_utf8(bytes)
        .map_err(|_| unusable(format!("{what} does not hold UTF-8 text")))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains('\n') {
        return Err(unusable(format!("{what} does not hold one line")));
    }
    if u64::try_from(line.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(unusable(format!(
            "{what} holds more than {MAX_BYTES} bytes"
        )));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Asks on the terminal. The terminal is opened by itself: standard input may be a key.
fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let missing = |why: &str| {
        Failure::usage(
            "wallet.password_missing",
            format!("the wallet's password is needed, and {why}"),
        )
        .hint(format!(
            "name a file that holds it in {}, or a program that prints it in {}",
            env_vars::WALLET_PASSWORD_FILE.name,
            env_vars::WALLET_PASSWORD_COMMAND.name
        ))
    };
    if !io::stderr().is_terminal() {
        return Err(missing("there is no terminal to ask on"));
    }
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|err| missing(&format!("the terminal cannot be read: {err}")))
}

fn unusable(message: String) -> Failure {
    Failure::usage("wallet.password_source", message)
        .hint("give the password on one line of UTF-8 text, or leave the variable away to be asked")
}
