//! Who may have payments settled: the file of `--sellers`.

use std::net::SocketAddr;
use std::path::Path;

use seamline_core::Address;
use seamline_services::facilitator::Sellers;
use serde::Deserialize;

use crate::args;
use crate::failure::Failure;

/// Longest file: ten thousand sellers.
const MAX_FILE: u64 = 2 * 1024 * 1024;
/// Stands for every recipient.
const ANY: &str = "any";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seller: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    pay_to: String,
    token_sha256: String,
}

/// The sellers of the command line. Without any, whoever reaches the facilitator is taken for one: that
/// is for this machine, unless somebody takes the blame.
pub(super) fn sellers(args: &args::Facilitator) -> Result<Sellers, Failure> {
    if let Some(path) = &args.sellers {
        return read(path);
    }
    if !is_own_machine(args.listen) && !args.danger_any_seller {
        return Err(Failure::usage(
            "sellers.missing",
            format!(
                "{} can be reached from other machines, and whoever reaches it settles payments at \
                 amounts of its choice: payers, too",
                args.listen
            ),
        )
        .hint(
            "list your sellers with --sellers, listen on this machine only, or say --danger-any-seller \
             where something else keeps strangers out",
        ));
    }
    Ok(Sellers::danger_anybody())
}

const fn is_own_machine(listen: SocketAddr) -> bool {
    listen.ip().is_loopback()
}

fn read(path: &Path) -> Result<Sellers, Failure> {
    let refused = |what: &str| {
        let message = format!("cannot read the sellers of `{}`: {what}", path.display());
        Failure::usage("sellers.malformed", message).hint("see docs/paywall.md for the file")
    };
    let size = std::fs::metadata(path).map_err(|err| refused(&err.to_string()))?;
    if size.len() > MAX_FILE {
        return Err(refused("it is too long"));
    }
    let text = std::fs::read_to_string(path).map_err(|err| refused(&err.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|err| refused(err.message()))?;
    if file.seller.is_empty() {
        return Err(refused("it has none"));
    }
    let entry = |entry: Entry| {
        let pay_to = match entry.pay_to.as_str() {
            ANY => None,
            address => {
                let address = address.parse::<Address>();
                Some(address.map_err(|_| refused("a pay_to is neither an address nor `any`"))?)
            }
        };
        let token = hex::decode_to_array(&entry.token_sha256);
        let token = token.map_err(|_| refused("a token_sha256 is not 64 hex digits"))?;
        Ok((pay_to, token))
    };
    let entries: Result<Vec<_>, Failure> = file.seller.into_iter().map(entry).collect();
    Ok(Sellers::listed(entries?))
}
