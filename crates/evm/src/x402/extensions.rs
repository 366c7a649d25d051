//! Extensions of x402 messages: what a server declares, what a payer echoes and adds
//! (`spec/payment.md`, "Extensions").
//!
//! A declaration is an object `{info, schema}` under the extension's key. A payer sends it back with
//! its own members added to `info`; a server refuses an echo that changed what it declared.

pub mod eip2612;
pub mod offer_receipt;
pub mod payment_identifier;

use serde_json::{Map, Value};

use super::Reason;

/// The extension of builder codes: `a` is the server's, `s` grows along the way.
const BUILDER_CODE: &str = "builder-code";
/// Most service codes that an echo may hold.
const MAX_SERVICE_CODES: usize = 10;

/// Checks that `sent` (a payment's `extensions`) left unchanged what `declared` (the 402's) says. A
/// payer that sends no extensions passes; so do keys that were not declared.
///
/// # Errors
///
/// [`Reason::ExtensionEchoMismatch`].
pub fn check_echo(declared: Option<&Value>, sent: Option<&Value>) -> Result<(), Reason> {
    let sent = match sent {
        None | Some(Value::Null) => return Ok(()),
        Some(sent) => sent.as_object().ok_or(Reason::ExtensionEchoMismatch)?,
    };
    let unchanged = sent.iter().all(|(key, echo)| {
        let declared = declared.and_then(|all| all.get(key));
        echoes(key, declared.map(info), info(echo))
    });
    if unchanged {
        Ok(())
    } else {
        Err(Reason::ExtensionEchoMismatch)
    }
}

/// The `extensions` of a payment: everything that the 402 declares, with the payer's `additions` by
/// key. Objects are joined member by member; where both say something else, the server's stays.
pub fn merge(declared: Option<&Value>, additions: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = match declared {
        Some(Value::Object(declared)) => declared.clone(),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        )
        | None => Map::new(),
    };
    for (key, addition) in additions {
        match merged.get_mut(key) {
            Some(declared) => overlay(declared, addition),
            None => {
                merged.insert(key.clone(), addition.clone());
            }
        }
    }
    merged
}

/// The `info` of the extension `key`, where it is there.
pub(super) fn info_of<'a>(extensions: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    extensions?.get(key)?.get("info")
}

/// Adds to `server` what only `client` has.
fn overlay(server: &mut Value, client: &Value) {
    if let (Value::Object(server), Value::Object(client)) = (server, client) {
        for (name, value) in client {
            match server.get_mut(name) {
                Some(said) => overlay(said, value),
                None => {
                    server.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

/// Members of `info` that a server makes anew for every 402, so that an echo of an earlier one
/// differs.
fn is_dynamic(key: &str, member: &str) -> bool {
    match key {
        "sign-in-with-x" => matches!(member, "nonce" | "issuedAt" | "expirationTime"),
        offer_receipt::KEY => member == "offers",
        _ => false,
    }
}

/// Members of `info` that say something to people only. The client of `og-x402` 0.0.2 sends what it signed in
/// place of what was declared, and leaves them out.
fn is_prose(key: &str, member: &str) -> bool {
    matches!(key, eip2612::KEY | "erc20ApprovalGasSponsoring") && member == "description"
}

fn info(entry: &Value) -> &Value {
    entry.get("info").unwrap_or(entry)
}

fn echoes(key: &str, declared: Option<&Value>, echo: &Value) -> bool {
    if key == BUILDER_CODE && !builder_codes_hold(declared, echo) {
        return false;
    }
    let members = match declared {
        None => return true,
        Some(Value::Object(members)) => members,
        Some(other) => return other == echo,
    };
    members.iter().all(|(member, value)| {
        is_dynamic(key, member)
            || (key == BUILDER_CODE && member == "s")
            || match echo.get(member) {
                Some(echo) => holds(value, echo),
                None => value.is_null() || is_prose(key, member),
            }
    })
}

/// Whether `echo` holds everything of `value`: objects by member, everything else equal.
fn holds(value: &Value, echo: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| match echo.get(name) {
            Some(echo) => holds(value, echo),
            None => value.is_null() && echo.is_object(),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value == echo
        }
    }
}

/// The application's code is the server's own; service codes are kept and at most ten.
fn builder_codes_hold(declared: Option<&Value>, echo: &Value) -> bool {
    let member = |info: Option<&Value>, name: &str| {
        let value = info.and_then(|info| info.get(name)).cloned();
        value.filter(|value| !value.is_null())
    };
    let application = member(Some(echo), "a");
    if application.is_some() && application != member(declared, "a") {
        return false;
    }
    let codes = |value: Option<Value>| match value {
        None => Vec::new(),
        Some(Value::Array(codes)) => codes,
        Some(one) => vec![one],
    };
    let echoed = codes(member(Some(echo), "s"));
    echoed.len() <= MAX_SERVICE_CODES
        && codes(member(declared, "s"))
            .iter()
            .all(|code| echoed.contains(code))
}

#[cfg(test)]
mod tests;
