//! `seamline wallet import`: a key of the user's, encrypted. It comes on standard input only: arguments
//! can be read by others.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use seamline_evm::Wallet;
use zeroize::Zeroizing;

use super::wallet_create::{keep, refuse_if_there, report};
use crate::args::Json;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::keys::{self, Keystore};
use crate::output;
use crate::settings::Settings;

/// Longest input: keystore files are below a kilobyte.
const MAX_BYTES: u64 = 16 * 1024;

pub(crate) fn run(context: &Context, args: Json) -> Result<Exit, Failure> {
    let home = context.home()?.ready()?;
    let _lock = home.lock()?;
    refuse_if_there(&home)?;
    let input = input()?;
    let settings = Settings::read(&home)?;
    let (wallet, password) = if input.trim_ascii_start().starts_with(b"{") {
        let path = Path::new("standard input");
        let keystore = Keystore::parse(&input, path)?;
        let password = keys::password(&settings, "Password of the keystore: ")?;
        (keystore.unlock(&password, path)?, password)
    } else {
        let wallet = plain(&input)?;
        (wallet, keys::new_password(&settings)?)
    };
    keep(&home, &wallet, &password)?;
    report(&home, wallet.address(), args)?;
    if keys::throwaway_address(&home) == Some(wallet.address()) {
        output::message(
            "note: the plain file `wallet.key` of the home still holds this key: delete it",
        );
    }
    Ok(Exit::Ok)
}

fn plain(input: &[u8]) -> Result<Wallet, Failure> {
    let text = core::str::from_utf8(input).map_err(|_| malformed())?;
    Wallet::from_hex(text.trim()).map_err(|_| malformed())
}

fn malformed() -> Failure {
    Failure::usage(
        "wallet.import",
        "standard input holds no private key of 64 hexadecimal digits, and no keystore",
    )
    .hint("pipe the key in: `seamline wallet import < FILE`; nothing was written")
}

fn input() -> Result<Zeroizing<Vec<u8>>, Failure> {
    if io::stdin().is_terminal() {
        return Err(malformed());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(32 * 1024));
    io::stdin()
        .lock()
        .take(MAX_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|_| malformed())?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(malformed());
    }
    Ok(bytes)
}
