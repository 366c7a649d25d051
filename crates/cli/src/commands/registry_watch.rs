//! `seamline registry watch`: what happens in the registry, as it happens, until Ctrl-C.

use std::time::Duration;

use seamline_core::B256;
use seamline_evm::registry::events::{self, Event, Seen};
use seamline_evm::{Error, chain};
use serde_json::{Value, json};

use crate::args::RegistryWatch;
use crate::chain_desk::{Desk, unreachable};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::stop::Stop;

/// How often the chain is asked for its head.
const TURN: Duration = Duration::from_millis(500);
/// Longest pause between attempts at an endpoint that does not answer.
const LONGEST: Duration = Duration::from_secs(10);
/// Blocks of one question: public endpoints refuse more than some thousand.
const RANGE: u64 = 1_000;
/// Blocks that are remembered to notice that the chain was reorganised.
const REMEMBERED: u64 = 64;

pub(crate) fn run(context: &Context, args: &RegistryWatch) -> Result<Exit, Failure> {
    block_on(async {
        let stop = Stop::listen()?;
        let desk = Desk::open(context).await?;
        let head = chain::newest_block(&*desk.rpc).await;
        let head = head.map_err(|err| unreachable(&err))?.number;
        let start = args.from.unwrap_or_else(|| head.saturating_add(1));
        let mut watch = Watch {
            desk,
            start,
            next: start,
            said: Vec::new(),
            as_json: args.output.json,
        };
        output::message(&format!(
            "watching {} from block {}; Ctrl-C ends it",
            watch.desk.network.registry, watch.next
        ));
        tokio::select! {
            failed = watch.run() => failed.map(|()| Exit::Ok),
            () = stop.asked() => Ok(Exit::Ok),
        }
    })
}

struct Watch {
    desk: Desk,
    /// The first block to tell of.
    start: u64,
    /// The first block that was not read.
    next: u64,
    /// The newest events that were said, so that a reorganisation says none twice.
    said: Vec<(u64, B256, u64)>,
    as_json: bool,
}

impl Watch {
    /// Reads and says, for ever; ends where nobody listens any more.
    async fn run(&mut self) -> Result<(), Failure> {
        let mut lost = Duration::ZERO;
        loop {
            match self.turn().await? {
                Ok(()) => {
                    if !lost.is_zero() {
                        output::message("the chain answers again; nothing was missed");
                    }
                    lost = Duration::ZERO;
                }
                Err(error) => {
                    if lost.is_zero() {
                        output::message(&format!(
                            "the chain does not answer ({}); trying again",
                            seamline_core::chain(&error)
                        ));
                    }
                    lost = lost.saturating_mul(2).clamp(TURN, LONGEST);
                }
            }
            tokio::time::sleep(lost.max(TURN)).await;
        }
    }

    /// Says everything up to the head. The inner error is the chain's, the outer one that of the output.
    async fn turn(&mut self) -> Result<Result<(), Error>, Failure> {
        let head = match chain::newest_block(&*self.desk.rpc).await {
            Ok(block) => block.number,
            Err(error) => return Ok(Err(error)),
        };
        // Blocks that may have been replaced are read again, and their events said once.
        let mut from = self.next.saturating_sub(REMEMBERED).max(self.start);
        while from <= head {
            let to = head.min(from.saturating_add(RANGE.saturating_sub(1)));
            let registry = self.desk.network.registry;
            let seen = match events::read(&*self.desk.rpc, registry, from, to).await {
                Ok(seen) => seen,
                Err(error) => return Ok(Err(error)),
            };
            for one in seen {
                self.say(&one)?;
            }
            from = to.saturating_add(1);
            self.next = self.next.max(from);
        }
        let oldest = self.next.saturating_sub(REMEMBERED);
        self.said.retain(|(block, ..)| *block >= oldest);
        Ok(Ok(()))
    }

    fn say(&mut self, seen: &Seen) -> Result<(), Failure> {
        let place = (seen.block_number, seen.transaction, seen.log_index);
        if self.said.contains(&place) {
            return Ok(());
        }
        self.said.push(place);
        if self.as_json {
            output::json(&view(seen))
        } else {
            output::line(&format!("{:>8}  {}", seen.block_number, words(&seen.event)))
        }
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Registered {
            node,
            owner,
            tee_type,
        } => {
            format!(
                "registered   node {} of type {tee_type} by {owner}",
                node.short()
            )
        }
        Event::Disabled { node } => format!("disabled     node {}", node.short()),
        Event::Enabled { node } => format!("enabled      node {}", node.short()),
        Event::Heartbeat { node, timestamp } => {
            format!("heartbeat    node {} at {timestamp}", node.short())
        }
        Event::Approved {
            measurement,
            tee_type,
            version,
        } => {
            let version: String = version
                .chars()
                .filter(|it| !it.is_control())
                .take(80)
                .collect();
            format!("approved     measurement {measurement} for type {tee_type} as \"{version}\"")
        }
        Event::Revoked {
            measurement,
            tee_type,
        } => {
            format!("revoked      measurement {measurement} for type {tee_type}")
        }
        Event::TypeAdded { tee_type, name } => {
            let name: String = name
                .chars()
                .filter(|it| !it.is_control())
                .take(80)
                .collect();
            format!("type         {tee_type} is \"{name}\"")
        }
        Event::RootReplaced { hash } => format!("root         now {hash}"),
        Event::OhttpUpdated { node, key_id } => {
            format!("ohttp        node {} has key {key_id}", node.short())
        }
        Event::OhttpCleared { node } => format!("ohttp        node {} has no key", node.short()),
        Event::RoleGranted { role, account } => format!("granted      {role} to {account}"),
        Event::RoleRevoked { role, account } => format!("taken        {role} from {account}"),
        Event::Other { topic } => format!("unknown      topic {topic}"),
        _ => "unknown".to_owned(),
    }
}

fn view(seen: &Seen) -> Value {
    let event = match &seen.event {
        Event::Registered {
            node,
            owner,
            tee_type,
        } => {
            json!({ "event": "registered", "node": node.to_string(), "owner": owner, "type": tee_type })
        }
        Event::Disabled { node } => json!({ "event": "disabled", "node": node.to_string() }),
        Event::Enabled { node } => json!({ "event": "enabled", "node": node.to_string() }),
        Event::Heartbeat { node, timestamp } => {
            json!({ "event": "heartbeat", "node": node.to_string(), "timestamp": timestamp })
        }
        Event::Approved {
            measurement,
            tee_type,
            version,
        } => {
            json!({ "event": "approved", "measurement": measurement, "type": tee_type, "version": version })
        }
        Event::Revoked {
            measurement,
            tee_type,
        } => {
            json!({ "event": "revoked", "measurement": measurement, "type": tee_type })
        }
        Event::TypeAdded { tee_type, name } => {
            json!({ "event": "type_added", "type": tee_type, "name": name })
        }
        Event::RootReplaced { hash } => json!({ "event": "root_replaced", "hash": hash }),
        Event::OhttpUpdated { node, key_id } => {
            json!({ "event": "ohttp_updated", "node": node.to_string(), "key_id": key_id })
        }
        Event::OhttpCleared { node } => {
            json!({ "event": "ohttp_cleared", "node": node.to_string() })
        }
        Event::RoleGranted { role, account } => {
            json!({ "event": "role_granted", "role": role, "account": account })
        }
        Event::RoleRevoked { role, account } => {
            json!({ "event": "role_revoked", "role": role, "account": account })
        }
        Event::Other { topic } => json!({ "event": "other", "topic": topic }),
        _ => json!({ "event": "other" }),
    };
    let mut view = json!({
        "block": seen.block_number,
        "block_hash": seen.block_hash,
        "transaction": seen.transaction,
        "log_index": seen.log_index,
    });
    if let (Some(fields), Value::Object(event)) = (view.as_object_mut(), event) {
        fields.extend(event);
    }
    view
}
