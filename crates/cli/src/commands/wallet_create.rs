//! `seamline wallet create`: a new key, encrypted.

use seamline_core::Address;
use seamline_evm::Wallet;
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::Json;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::{Home, write_private};
use crate::keys::{self, Keystore};
use crate::output;
use crate::session::fresh;
use crate::settings::Settings;

pub(crate) fn run(context: &Context, args: Json) -> Result<Exit, Failure> {
    let home = context.home()?.ready()?;
    let _lock = home.lock()?;
    refuse_if_there(&home)?;
    let password = keys::new_password(&Settings::read(&home)?)?;
    let secret = Zeroizing::new(fresh()?);
    let wallet = Wallet::from_bytes(&secret)
        .map_err(|_| Failure::new(Exit::Bug, "entropy", "the random bytes are no key"))?;
    keep(&home, &wallet, &password)?;
    report(&home, wallet.address(), args)?;
    output::message(
        "keep a copy of the file and the password apart: nothing else restores the key",
    );
    Ok(Exit::Ok)
}

/// A key is never replaced: it may hold money.
pub(super) fn refuse_if_there(home: &Home) -> Result<(), Failure> {
    let path = home.keystore();
    // What cannot be looked at may be there.
    if path.try_exists().unwrap_or(true) {
        return Err(Failure::usage(
            "wallet.exists",
            format!("there is a keystore already: `{}`", path.display()),
        )
        .hint("move it away first, or name another --home; a key is never replaced"));
    }
    Ok(())
}

/// Encrypts a key and writes it for its owner only.
pub(super) fn keep(home: &Home, wallet: &Wallet, password: &str) -> Result<(), Failure> {
    let mut entropy = [0; 64];
    let (first, second) = entropy.split_at_mut(32);
    first.copy_from_slice(&fresh()?);
    second.copy_from_slice(&fresh()?);
    let keystore = Keystore::encrypt(wallet, password, &entropy)?;
    let path = home.keystore();
    write_private(&path, &keystore.to_json()).map_err(|err| {
        Failure::usage(
            "key.unwritable",
            format!("cannot write `{}`: {err}", path.display()),
        )
        .hint("see to the home's permissions")
    })
}

/// Says what is kept now.
pub(super) fn report(home: &Home, address: Address, args: Json) -> Result<(), Failure> {
    let path = home.keystore();
    if args.json {
        return output::json(&json!({
            "version": 1,
            "address": address,
            "keystore": path.display().to_string(),
        }));
    }
    output::line(&format!("address    {address}"))?;
    output::line(&format!("keystore   {}", path.display()))
}
