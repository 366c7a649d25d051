//! `seamline receipt show`: what a receipt records, event by event.

use std::path::PathBuf;

use seamline_core::receipt::{Bundle, Slot, Value};

use crate::args::ReceiptShow;
use crate::commands::receipt_verify::read;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(context: &Context, args: &ReceiptShow) -> Result<Exit, Failure> {
    let (_, _, bundle) = open(context, &args.receipt)?;
    if args.output.json {
        output::json(&seamline_verify::view::receipt_json(&bundle))?;
    } else {
        output::data(&text(&bundle))?;
    }
    Ok(Exit::Ok)
}

/// Opens a receipt by file name, or by the id (or a prefix of it) of a call of this home.
pub(crate) fn open(context: &Context, named: &str) -> Result<(PathBuf, Vec<u8>, Bundle), Failure> {
    let path = locate(context, named)?;
    let bytes = read(&path)?;
    let bundle = Bundle::decode(&bytes).map_err(|err| {
        let message = format!(
            "`{}` is not a receipt: {}",
            path.display(),
            seamline_core::chain(&err)
        );
        Failure::new(Exit::No, "receipt.malformed", message)
            .hint("`seamline receipt verify` says what was checked; restore the file from a copy")
    })?;
    Ok((path, bytes, bundle))
}

fn locate(context: &Context, named: &str) -> Result<PathBuf, Failure> {
    let file = PathBuf::from(named);
    if file.is_file() {
        return Ok(file);
    }
    let missing = || {
        Failure::usage(
            "receipt.missing",
            format!("there is no file and no call `{named}`"),
        )
        .hint("`seamline receipt list` names the calls of this home")
    };
    let hexadecimal = !named.is_empty() && named.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal {
        return Err(missing());
    }
    let folder = context.home()?.receipts();
    let entries = std::fs::read_dir(&folder).map_err(|_| missing())?;
    let mut matches: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "seam")
        })
        .filter(|path| {
            path.file_stem()
                .is_some_and(|stem| stem.to_string_lossy().starts_with(named))
        })
        .collect();
    match (matches.pop(), matches.is_empty()) {
        (Some(path), true) => Ok(path),
        (None, _) => Err(missing()),
        (Some(_), false) => Err(Failure::usage(
            "receipt.ambiguous",
            format!("several calls begin with `{named}`"),
        )
        .hint("write more digits of the id")),
    }
}

/// Longest field that is printed; `--json` prints all of it.
const MAX_SHOWN: usize = 64;

/// The events in order, one line each, then the evidence that goes with them.
fn text(bundle: &Bundle) -> String {
    let core = bundle.core();
    let mut lines = vec![format!(
        "receipt {} of call {} (#{})",
        bundle.receipt_hash(),
        core.call_id,
        core.seq
    )];
    if core.summary.dev {
        lines.push("! DEV evidence: software attestation, no hardware behind it".to_owned());
    }
    for (index, slot) in bundle.slots().iter().enumerate() {
        lines.push(match slot {
            Slot::Shown(recorded) => {
                let fields: Vec<_> = recorded
                    .event
                    .fields()
                    .into_iter()
                    .map(|(name, value)| format!("{name}={}", shown(&value)))
                    .collect();
                let millis = recorded.dt_us / 1_000;
                format!(
                    "{index:>3} +{millis:>5} ms {:<15} {}",
                    slot.kind().as_str(),
                    fields.join(" ")
                )
            }
            Slot::Hidden(kind) => format!("{index:>3}           {:<15} hidden", kind.as_str()),
        });
    }
    for entry in &core.evidence {
        let held = if bundle.evidence(&entry.hash).is_some() {
            ""
        } else {
            " (not attached)"
        };
        lines.push(format!(
            "    evidence     {:<15} {} {} bytes{held}",
            entry.kind.as_str(),
            entry.hash,
            entry.len
        ));
    }
    lines.join("\n") + "\n"
}

fn shown(value: &Value) -> String {
    let full = match value {
        Value::Null => "-".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Bytes(value) => hex::encode_prefixed(value),
    };
    if full.len() <= MAX_SHOWN {
        full
    } else {
        format!(
            "{}… ({} digits)",
            full.chars().take(MAX_SHOWN).collect::<String>(),
            full.len()
        )
    }
}
