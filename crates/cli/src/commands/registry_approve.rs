//! `seamline registry approve`: lets enclaves with a measurement register.

use std::fs;
use std::path::Path;

use alloy_sol_types::SolCall as _;
use seamline_core::B256;
use seamline_core::canonical::pcr_hash;
use seamline_evm::bindings::{IRegistry, PCRMeasurements};
use seamline_evm::registry;
use serde_json::{Value, json};

use crate::args::RegistryApprove;
use crate::chain_desk::{Desk, unreachable};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// Bytes of a SHA-384 measurement.
const LENGTH: usize = 48;
/// The longest file that is read: what `nitro-cli` writes is below 1 KiB.
const MAX_FILE: u64 = 64 * 1024;

pub(crate) fn run(context: &Context, args: &RegistryApprove) -> Result<Exit, Failure> {
    let pcrs = measurements(args)?;
    let [pcr0, pcr1, pcr2] = &pcrs;
    let hash = pcr_hash(pcr0, pcr1, pcr2);
    block_on(async {
        let desk = Desk::open(context).await?;
        let registry = desk.network.registry;
        let approved = registry::is_approved(&*desk.rpc, registry, args.tee_type, hash).await;
        if approved.map_err(|err| unreachable(&err))? {
            return report(hash, None, args).map(|()| Exit::Ok);
        }
        let signer = desk.administrator(context)?;
        let [pcr0, pcr1, pcr2] = pcrs.map(|pcr| pcr.to_vec().into());
        let call = IRegistry::approvePCRCall {
            pcrs: PCRMeasurements { pcr0, pcr1, pcr2 },
            version: args.image.clone(),
            teeType: args.tee_type,
        };
        let sent = desk
            .change(&signer, call.abi_encode(), &args.max_fee)
            .await?;
        report(hash, Some(sent.transaction), args)?;
        Ok(Exit::Ok)
    })
}

fn report(hash: B256, sent: Option<B256>, args: &RegistryApprove) -> Result<(), Failure> {
    if args.output.json {
        return output::json(&json!({
            "version": 1, "measurement": hash, "type": args.tee_type, "transaction": sent,
        }));
    }
    output::line(&match sent {
        Some(transaction) => format!(
            "approved     {hash} for type {}, transaction {transaction}",
            args.tee_type
        ),
        None => format!(
            "approved     {hash} for type {}, as it was before",
            args.tee_type
        ),
    })
}

/// The three measurements, from the command line or from the file that `nitro-cli` writes.
fn measurements(args: &RegistryApprove) -> Result<[[u8; LENGTH]; 3], Failure> {
    let texts = match &args.measurements {
        Some(path) => from_file(path)?,
        None => args.pcrs.clone(),
    };
    let [pcr0, pcr1, pcr2] = <[String; 3]>::try_from(texts).map_err(|_| {
        Failure::usage(
            "measurement.missing",
            "an image has three measurements: PCR0, PCR1 and PCR2",
        )
        .hint("write all three, or name the JSON of `nitro-cli build-enclave` with --measurements")
    })?;
    Ok([
        one("PCR0", &pcr0)?,
        one("PCR1", &pcr1)?,
        one("PCR2", &pcr2)?,
    ])
}

fn one(name: &str, text: &str) -> Result<[u8; LENGTH], Failure> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(digits).ok();
    let pcr = bytes.and_then(|bytes| <[u8; LENGTH]>::try_from(bytes).ok());
    let pcr = pcr.ok_or_else(|| {
        Failure::usage(
            "measurement.malformed",
            format!("{name} is not 96 hexadecimal digits"),
        )
        .hint("`nitro-cli build-enclave` prints them")
    })?;
    if pcr == [0; LENGTH] {
        let message =
            format!("{name} is all zero: the enclave ran in debug mode, which proves nothing");
        return Err(Failure::usage("measurement.debug", message)
            .hint("run the enclave without --debug-mode"));
    }
    Ok(pcr)
}

fn from_file(path: &Path) -> Result<Vec<String>, Failure> {
    let unreadable = |why: String| {
        Failure::usage(
            "measurement.unreadable",
            format!("cannot read `{}`: {why}", path.display()),
        )
        .hint("name the JSON of `nitro-cli build-enclave`")
    };
    let size = fs::metadata(path)
        .map_err(|err| unreadable(err.to_string()))?
        .len();
    if size > MAX_FILE {
        return Err(unreadable("it is too long".to_owned()));
    }
    let bytes = fs::read(path).map_err(|err| unreadable(err.to_string()))?;
    let file: Value =
        serde_json::from_slice(&bytes).map_err(|_| unreadable("it is not JSON".to_owned()))?;
    let inner = file.get("Measurements").unwrap_or(&file);
    let pcr = |name: &str| inner.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(["PCR0", "PCR1", "PCR2"]
        .into_iter()
        .filter_map(pcr)
        .collect())
}
