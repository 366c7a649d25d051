//! `seamline settlement prove`: a file that proves that a batch holds an answer.

use std::path::{Path, PathBuf};

use seamline::Home as ClientHome;
use seamline::records::include;
use seamline_core::B256;
use seamline_core::receipt::{Bundle, SignatureChecked, events_of};
use seamline_evm::merkle::Leaf;
use seamline_evm::settlement::InclusionProof;
use serde_json::json;

use super::settlement::Place;
use crate::args::SettlementProve;
use crate::commands::{block_on, receipt_verify};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{now, recorder};

/// Which answer is meant: every member that is known must be the leaf's.
#[derive(Default)]
struct Wanted {
    id: Option<B256>,
    input_hash: Option<B256>,
    output_hash: Option<B256>,
    timestamp_s: Option<u64>,
    signature: Option<Vec<u8>>,
}

pub(crate) fn run(context: &Context, args: &SettlementProve) -> Result<Exit, Failure> {
    let wanted = Wanted::of(args)?;
    block_on(async {
        let place = Place::find(context, &args.place).await?;
        let proof = find(&place, args, &wanted).await?;
        proof.check(None).map_err(|err| {
            Failure::new(Exit::Bug, "settlement.proof", seamline_core::chain(&err))
        })?;
        let file = proof.to_json();
        if let Some(path) = &args.out {
            std::fs::write(path, &file).map_err(|err| {
                let text = format!("cannot write `{}`: {err}", path.display());
                Failure::usage("settlement.unwritable", text).hint("name another file with --out")
            })?;
            if args.output.json {
                output::json(&json!({
                    "version": 1,
                    "file": path.display().to_string(),
                    "id": proof.inference.id(),
                    "root": proof.root,
                    "settled": proof.settled.is_some(),
                }))?;
            } else {
                output::line(&format!(
                    "{} holds {}; the proof is in {}",
                    proof.root,
                    proof.inference.id(),
                    path.display()
                ))?;
            }
        } else {
            output::data(&file)?;
        }
        if proof.settled.is_none() {
            output::message("note: no block holds the root yet; prove again later");
        }
        if let Some(receipt) = &args.receipt {
            amend(context, receipt, &proof);
        }
        Ok(Exit::Ok)
    })
}

/// Writes the inclusion down beside the receipt, where this home has its books. The proof is what was asked
/// for: why it is not written down is said, and is no failure.
fn amend(context: &Context, receipt: &Path, proof: &InclusionProof) {
    match try_amend(context, receipt, proof) {
        Ok(Some(file)) => output::message(&format!(
            "note: the receipt says so from now on: {}",
            file.display()
        )),
        Ok(None) => {}
        Err(reason) => output::message(&format!("note: the receipt is not amended: {reason}")),
    }
}

fn try_amend(
    context: &Context,
    receipt: &Path,
    proof: &InclusionProof,
) -> Result<Option<PathBuf>, String> {
    let bytes = receipt_verify::read(receipt).map_err(|err| err.message)?;
    let home = context.home().map_err(|err| err.message)?;
    // Who only audits has no books, and gets none made.
    if !home.journal().exists() {
        return Err("this home has no journal".to_owned());
    }
    let recorder = recorder(&home).map_err(|err| err.message)?;
    let books = ClientHome {
        journal: home.journal(),
        receipts: home.receipts(),
    };
    include(&books, &recorder, &bytes, proof, now()).map_err(|err| seamline_core::chain(&err))
}

async fn find(
    place: &Place,
    args: &SettlementProve,
    wanted: &Wanted,
) -> Result<InclusionProof, Failure> {
    // 1. The facilitator knows answers by their id, also those that wait.
    let mut said = None;
    if let (Some(id), None) = (wanted.id, &args.blobs) {
        match place.ask(&format!("/settlement/proof/{id}")).await? {
            Ok(file) => {
                let proof = InclusionProof::parse(&file).map_err(|err| {
                    let text = seamline_core::chain(&err);
                    Failure::new(Exit::No, "settlement.proof", text)
                })?;
                let mine = proof.inference.id() == id && proof.check(None).is_ok();
                if !mine || proof.contract != place.contract || proof.chain_id != place.chain_id {
                    let text = "the facilitator's proof does not prove the answer";
                    return Err(Failure::new(Exit::No, "settlement.proof", text));
                }
                // Where the root is, the chain says, not the facilitator.
                let found = place.batches(Some(proof.root), args.place.from_block);
                let settled = found.await?.into_iter().next();
                return Ok(InclusionProof { settled, ..proof });
            }
            Err(text) => said = Some(text),
        }
    }
    // 2. Every batch on record, newest first.
    let mut unread: u32 = 0;
    let batches = place.batches(None, args.place.from_block).await?;
    for batch in batches.iter().rev() {
        let Some(tree) = place.tree(batch, args.blobs.as_deref()).await? else {
            unread = unread.saturating_add(1);
            continue;
        };
        let index = tree.leaves().iter().position(|leaf| wanted.is(leaf));
        let settled = Some(batch.clone());
        let proof = index.and_then(|index| {
            InclusionProof::of(&tree, index, place.chain_id, place.contract, settled)
        });
        if let Some(proof) = proof {
            return Ok(proof);
        }
    }
    let text = match (said, unread) {
        (Some(said), _) => {
            format!("no batch on record holds the answer; the facilitator says: {said}")
        }
        (None, 0) => "no batch on record holds the answer".to_owned(),
        (None, unread) => format!(
            "no tree that could be read holds the answer; the blobs of {unread} batches are missing"
        ),
    };
    Err(Failure::new(Exit::Unknown, "settlement.absent", text).hint(
        "batches close after minutes: try again; a private answer is in none, an individual one has a transaction of its own",
    ))
}

impl Wanted {
    fn of(args: &SettlementProve) -> Result<Self, Failure> {
        if let Some(path) = &args.receipt {
            let bytes = receipt_verify::read(path)?;
            let bundle = Bundle::decode(&bytes).map_err(|err| {
                Failure::usage("receipt.unreadable", seamline_core::chain(&err))
                    .hint("name a receipt file; `seamline receipt list` names those of this home")
            })?;
            let slots = bundle.slots();
            let mut checked = events_of::<SignatureChecked>(&slots);
            let Some((_, _, signed)) = checked.next_back() else {
                return Err(Failure::usage(
                    "settlement.unsigned",
                    "the receipt shows no signed answer: there was none, or it is hidden",
                )
                .hint("use the whole receipt, or --request-hash and --output-hash"));
            };
            return Ok(Self {
                id: None,
                input_hash: Some(signed.input_hash),
                output_hash: Some(signed.output_hash),
                timestamp_s: Some(signed.timestamp_s),
                signature: Some(signed.signature.clone()),
            }
            .with_id(*signed.node.as_b256()));
        }
        Ok(Self {
            id: args.id,
            input_hash: args.request_hash,
            output_hash: args.output_hash,
            ..Self::default()
        })
    }

    /// A whole signed answer has an id.
    fn with_id(self, tee_id: B256) -> Self {
        let id = match (
            self.input_hash,
            self.output_hash,
            self.timestamp_s,
            &self.signature,
        ) {
            (Some(input_hash), Some(output_hash), Some(timestamp), Some(signature)) => {
                let leaf = Leaf {
                    tee_id,
                    input_hash,
                    output_hash,
                    signature: signature.clone().into(),
                    timestamp: seamline_core::U256::from(timestamp),
                };
                Some(leaf.hash())
            }
            _ => None,
        };
        Self { id, ..self }
    }

    fn is(&self, leaf: &Leaf) -> bool {
        self.id.is_none_or(|id| leaf.hash() == id)
            && self.input_hash.is_none_or(|hash| leaf.input_hash == hash)
            && self.output_hash.is_none_or(|hash| leaf.output_hash == hash)
    }
}
