//! `seamline settlement verify`: checks a proof file against a chain, or offline against a root.

use seamline_core::chain;
use seamline_evm::chain::{block_at, newest_block};
use seamline_evm::settlement::{FoundRoot, InclusionProof, node_key};
use serde_json::json;

use super::settlement::{Place, unreachable};
use crate::args::SettlementVerify;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// What one check said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Yes,
    No,
    Unknown,
}

/// A check: its name, what it said, and in words.
type Finding = (&'static str, Outcome, String);

pub(crate) fn run(context: &Context, args: &SettlementVerify) -> Result<Exit, Failure> {
    let bytes = std::fs::read(&args.file).map_err(|err| {
        let text = format!("cannot read the proof `{}`: {err}", args.file.display());
        Failure::usage("settlement.unreadable", text)
            .hint("name a file that `seamline settlement prove` wrote")
    })?;
    let proof = InclusionProof::parse(&bytes).map_err(|err| {
        Failure::usage("settlement.malformed", chain(&err))
            .hint("name a file that `seamline settlement prove` wrote")
    })?;
    // 1. What needs nobody.
    let mut findings = vec![match proof.check(None) {
        Ok(()) => (
            "inclusion",
            Outcome::Yes,
            format!("the answer is a leaf of the tree {}", proof.root),
        ),
        Err(err) => ("inclusion", Outcome::No, chain(&err)),
    }];
    // 2. The root: given, or the chain's.
    let mut record = None;
    match args.root {
        Some(root) => {
            findings.push(if root == proof.root {
                ("root", Outcome::Yes, "the root is the given one".to_owned())
            } else {
                (
                    "root",
                    Outcome::No,
                    format!("the proof's root is {}", proof.root),
                )
            });
            let text = "not checked: the registry's key is on the chain".to_owned();
            findings.push(("signature", Outcome::Unknown, text));
        }
        None => {
            let (seen, found) = block_on(online(context, args, &proof))?;
            findings.extend(seen);
            record = found;
        }
    }
    report(args, &proof, record.as_ref(), &findings)?;
    let has = |outcome| findings.iter().any(|(_, it, _)| *it == outcome);
    // Offline, the signature is not asked for.
    let open = findings.iter().any(|(name, it, _)| {
        *it == Outcome::Unknown && (args.root.is_none() || *name != "signature")
    });
    Ok(if has(Outcome::No) {
        Exit::No
    } else if open {
        Exit::Unknown
    } else {
        Exit::Ok
    })
}

async fn online(
    context: &Context,
    args: &SettlementVerify,
    proof: &InclusionProof,
) -> Result<(Vec<Finding>, Option<FoundRoot>), Failure> {
    let place = Place::find(context, &args.place).await?;
    let mut findings = Vec::new();
    let same = place.chain_id == proof.chain_id && place.contract == proof.contract;
    if !same {
        findings.push((
            "place",
            Outcome::No,
            format!(
                "the proof is about contract {} on chain {}, this is {} on {}",
                proof.contract, proof.chain_id, place.contract, place.chain_id
            ),
        ));
    }
    let found = place
        .batches(Some(proof.root), args.place.from_block)
        .await?;
    let found = found.into_iter().next();
    match &found {
        Some(batch) => {
            let text = format!(
                "settled in block {} by transaction {}",
                batch.block_number, batch.transaction
            );
            findings.push(("root", Outcome::Yes, text));
            let depth = args.depth.unwrap_or(place.finality_depth);
            findings.push(finality(&place, batch, depth).await?);
        }
        None => {
            let text = "the chain has no batch of this root, or an older one than --from-block";
            findings.push(("root", Outcome::No, text.to_owned()));
        }
    }
    findings.push(signature(&place, proof).await?);
    Ok((findings, found))
}

/// Whether enough blocks hold the root: a chain may drop its newest ones.
async fn finality(place: &Place, batch: &FoundRoot, depth: u64) -> Result<Finding, Failure> {
    const NAME: &str = "finality";
    let rpc = place.rpc.as_ref();
    let newest = newest_block(rpc).await.map_err(|err| unreachable(&err))?;
    let held = block_at(rpc, batch.block_number).await;
    if held.map_err(|err| unreachable(&err))? != Some(batch.block_hash) {
        let text = "the block of the root left the chain while it was read: verify again";
        return Ok((NAME, Outcome::Unknown, text.to_owned()));
    }
    let above = newest.number.saturating_sub(batch.block_number);
    let held = above.saturating_add(1);
    Ok(if held >= depth {
        let text = format!("{held} blocks hold it, {depth} are asked for");
        (NAME, Outcome::Yes, text)
    } else {
        let text = format!(
            "{held} of the {depth} blocks that are asked for hold it: it may leave the chain yet, verify again later"
        );
        (NAME, Outcome::Unknown, text)
    })
}

/// The enclave's signature: a batch may hold anything.
async fn signature(place: &Place, proof: &InclusionProof) -> Result<Finding, Failure> {
    const NAME: &str = "signature";
    let Some(registry) = place.registry else {
        let text = "not checked: it is not said which registry has the node's key (--registry)";
        return Ok((NAME, Outcome::Unknown, text.to_owned()));
    };
    let inference = &proof.inference;
    let key = node_key(place.rpc.as_ref(), registry, inference.node).await;
    let Some(key) = key.map_err(|err| unreachable(&err))? else {
        let text = "not checked: the registry has no such enabled node".to_owned();
        return Ok((NAME, Outcome::Unknown, text));
    };
    let message = inference.message_hash();
    let verified = seamline_attest::verify_rsa_pss(&key.public_key, &message, &inference.signature);
    Ok(match verified {
        Ok(()) => {
            let text = format!("node {} signed it, by the registry's key", inference.node);
            (NAME, Outcome::Yes, text)
        }
        Err(err) => (NAME, Outcome::No, chain(&err)),
    })
}

fn report(
    args: &SettlementVerify,
    proof: &InclusionProof,
    record: Option<&FoundRoot>,
    findings: &[Finding],
) -> Result<(), Failure> {
    if args.output.json {
        let findings: Vec<_> = findings
            .iter()
            .map(|(name, outcome, text)| json!({"check": name, "outcome": outcome.word(), "text": text}))
            .collect();
        return output::json(&json!({
            "version": 1,
            "id": proof.inference.id(),
            "root": proof.root,
            "settled": record.map(FoundRoot::to_value),
            "findings": findings,
        }));
    }
    for (name, outcome, text) in findings {
        output::line(&format!("{:<8} {name:<10} {text}", outcome.word()))?;
    }
    Ok(())
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}
