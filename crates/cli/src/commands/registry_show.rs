//! `seamline registry show`: all that the registry holds of one node.

use seamline_core::{NodeId, sha256};
use seamline_evm::registry::{self, Entry};
use serde_json::json;

use crate::args::RegistryShow;
use crate::chain_desk::{Desk, unreachable};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::utc::utc;

pub(crate) fn run(context: &Context, args: &RegistryShow) -> Result<Exit, Failure> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let node = find(&desk, &args.node, args.tee_type).await?;
        let entry = registry::entry(&*desk.rpc, desk.network.registry, node).await;
        let entry = entry.map_err(|err| unreachable(&err))?;
        let entry = entry.ok_or_else(|| unknown(&args.node))?;
        if args.output.json {
            output::json(&view(&desk, node, &entry))?;
        } else {
            output::data(&text(&desk, node, &entry))?;
        }
        Ok(Exit::Ok)
    })
}

/// The one node of the type whose id starts so.
async fn find(desk: &Desk, start: &str, tee_type: u8) -> Result<NodeId, Failure> {
    let digits = start
        .strip_prefix("0x")
        .unwrap_or(start)
        .to_ascii_lowercase();
    let fits = (4..=64).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
    if !fits {
        return Err(Failure::usage(
            "node.malformed",
            format!("`{start}` is not the start of a node's id: 4 to 64 hexadecimal digits"),
        )
        .hint("`seamline registry list` has the ids"));
    }
    let ids = registry::ids(&*desk.rpc, desk.network.registry, tee_type).await;
    let mut found = ids
        .map_err(|err| unreachable(&err))?
        .into_iter()
        .filter(|node| hex::encode(node.as_b256()).starts_with(&digits));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(unknown(start)),
        (Some(_), Some(_)) => Err(Failure::usage(
            "node.ambiguous",
            format!("more than one node's id starts with `{start}`"),
        )
        .hint("write more of it")),
    }
}

fn unknown(start: &str) -> Failure {
    Failure::new(
        Exit::No,
        "node.unknown",
        format!("the registry knows no node `{start}`"),
    )
    .hint("`seamline registry list` has the active ones")
}

fn view(desk: &Desk, node: NodeId, entry: &Entry) -> serde_json::Value {
    let mut view = json!({
        "version": 1,
        "chain_id": desk.network.chain_id,
        "registry": desk.network.registry,
        "block": { "number": entry.block.number, "hash": entry.block.hash },
        "id": node.to_string(),
        "active": entry.active,
        "measurement_approved": entry.approved,
        "measurement_version": entry.version,
        "evidence": desk.network.evidence,
    });
    let Some(fields) = view.as_object_mut() else {
        return view;
    };
    match &entry.record {
        Err(reason) => {
            fields.insert("left_out".to_owned(), json!(reason.to_string()));
        }
        Ok(record) => {
            let ohttp = record.ohttp.as_ref().map(|key| {
                json!({
                    "key_id": key.key_id, "kem_id": key.kem_id, "kdf_id": key.kdf_id, "aead_id": key.aead_id,
                    "public_key": key.public_key, "registered_at": key.registered_at,
                })
            });
            for (name, value) in [
                ("owner", json!(record.owner)),
                ("pay_to", json!(record.pay_to)),
                ("endpoint", json!(record.endpoint)),
                ("measurement", json!(record.pcr_hash)),
                ("type", json!(record.tee_type)),
                ("enabled", json!(record.enabled)),
                ("registered_at", json!(record.registered_at)),
                ("last_heartbeat_at", json!(record.last_heartbeat_at)),
                ("signing_key", json!(record.public_key)),
                (
                    "tls_certificate_sha256",
                    json!(sha256(&[&record.tls_certificate])),
                ),
                ("ohttp", json!(ohttp)),
            ] {
                fields.insert(name.to_owned(), value);
            }
        }
    }
    view
}

fn text(desk: &Desk, node: NodeId, entry: &Entry) -> String {
    let time = |seconds: u64| utc(seconds.saturating_mul(1_000));
    let mut lines = vec![
        format!("node         {node}"),
        format!(
            "at           block {} of chain {}{}",
            entry.block.number,
            desk.network.chain_id,
            if desk.network.evidence == "dev" {
                "; DEV evidence (no hardware)"
            } else {
                ""
            }
        ),
        format!("active       {}", if entry.active { "yes" } else { "no" }),
    ];
    match &entry.record {
        Err(reason) => lines.push(format!("left out     {reason}")),
        Ok(record) => {
            lines.extend([
                format!("enabled      {}", if record.enabled { "yes" } else { "no" }),
                format!("endpoint     {}", record.endpoint),
                format!("owner        {}", record.owner),
                format!("paid at      {}", record.pay_to),
                format!("registered   {}", time(record.registered_at)),
                format!("heartbeat    {}", time(record.last_heartbeat_at)),
                format!("measurement  {}", record.pcr_hash),
            ]);
            lines.push(if entry.approved {
                format!(
                    "approved     as \"{}\", {}",
                    printable(&entry.version),
                    time(entry.approved_at)
                )
            } else {
                "approved     no".to_owned()
            });
            lines.push(format!(
                "certificate  sha256 {}",
                sha256(&[&record.tls_certificate])
            ));
            lines.push(record.ohttp.as_ref().map_or_else(
                || "ohttp        no key".to_owned(),
                |key| {
                    format!(
                        "ohttp        key {} of KEM {}, {}",
                        key.key_id, key.kem_id, key.public_key
                    )
                },
            ));
        }
    }
    lines.join("\n") + "\n"
}

/// What others wrote into the registry goes to a terminal without control characters.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|it| !it.is_control())
        .take(80)
        .collect()
}
