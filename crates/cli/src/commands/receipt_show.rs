//! `seamline receipt show`: what a receipt records, event by event.

use std::path::{Path, PathBuf};

use seamline_core::receipt::{Amendment, Bundle, Event, PublicKey, Slot, Value};
use seamline_verify::view;

use crate::args::ReceiptShow;
use crate::commands::receipt_verify::{amendments, read};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(context: &Context, args: &ReceiptShow) -> Result<Exit, Failure> {
    let (path, _, bundle) = open(context, &args.receipt)?;
    let late = late(&path, &bundle)?;
    if args.output.json {
        let mut receipt = view::receipt_json(&bundle);
        if let Some(members) = receipt.as_object_mut() {
            let late: Vec<_> = late.iter().map(view::amendment_json).collect();
            members.insert("amendments".to_owned(), late.into());
        }
        output::json(&receipt)?;
    } else {
        output::data(&text(&bundle, &late))?;
    }
    Ok(Exit::Ok)
}

/// What became known after the receipt was sealed, as its recorder signed it, oldest first.
fn late(path: &Path, bundle: &Bundle) -> Result<Vec<Amendment>, Failure> {
    let core = bundle.core();
    let key = PublicKey::from_bytes(&core.recorder).ok();
    let read = amendments(path)?.into_iter().filter_map(|file| {
        let amendment = Amendment::decode(&file).ok()?;
        let own = amendment.check(key.as_ref()?, core.seq, &bundle.receipt_hash());
        own.ok().map(|()| amendment)
    });
    Ok(read.collect())
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
fn text(bundle: &Bundle, late: &[Amendment]) -> String {
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
                let millis = recorded.dt_us / 1_000;
                format!(
                    "{index:>3} +{millis:>5} ms {:<15} {}",
                    slot.kind().as_str(),
                    written(&recorded.event)
                )
            }
            Slot::Hidden(kind) => format!("{index:>3}           {:<15} hidden", kind.as_str()),
        });
    }
    for amendment in late {
        let Some(recorded) = amendment.recorded() else {
            continue;
        };
        lines.push(format!(
            "    later        {:<15} {}",
            recorded.event.kind().as_str(),
            written(&recorded.event)
        ));
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

/// The fields of an event on one line.
fn written(event: &Event) -> String {
    let fields = event.fields().into_iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}={}", shown(&value)))
        .collect();
    fields.join(" ")
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
