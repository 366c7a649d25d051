//! `seamline receipt verify`: checks receipts offline. Opens no socket.

use std::path::Path;

use seamline_verify::{Bundle, Outcome, Status, verify_amended, verify_sessions, view};
use serde_json::json;

use crate::args::ReceiptVerify;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{output, session};

/// Longest file that is read: a bundle's own limit, and a byte to see that there is more.
const MAX_FILE: u64 = 4 * 1024 * 1024 + 1;

pub(crate) fn run(context: &Context, args: &ReceiptVerify) -> Result<Exit, Failure> {
    let mut read = Vec::new();
    for file in &args.files {
        read.push((file, self::read(file)?, amendments(file)?));
    }
    let (trust, now) = (context.trust()?, session::now());
    let verdicts: Vec<_> = read
        .iter()
        .map(|(file, bytes, late)| (*file, verify_amended(bytes, late, &trust, now)))
        .collect();
    if let [(_, verdict)] = verdicts.as_slice() {
        if args.output.json {
            output::json(&view::verdict_json(verdict))?;
        } else {
            output::data(&seamline_verify::findings_text(verdict))?;
        }
        return Ok(exit(verdict.status));
    }
    // What does not read has its verdict above, and no place in a channel.
    let bundles = read.iter().map(|(_, bytes, _)| Bundle::decode(bytes));
    let bundles: Vec<_> = bundles.filter_map(Result::ok).collect();
    let sessions = verify_sessions(&bundles);
    if args.output.json {
        let receipts = verdicts.iter().map(|(file, verdict)| {
            json!({ "file": file.display().to_string(), "verdict": view::verdict_json(verdict) })
        });
        let receipts: Vec<_> = receipts.collect();
        let sessions = view::findings_json(&sessions);
        output::json(&json!({ "version": 1, "receipts": receipts, "sessions": sessions }))?;
    } else {
        for (file, verdict) in &verdicts {
            output::line(&format!("{}", file.display()))?;
            output::data(&seamline_verify::findings_text(verdict))?;
        }
        for finding in &sessions {
            output::line(&format!("{}  {}", finding.outcome, finding.detail))?;
        }
    }
    let overlap = sessions.iter().any(|it| it.outcome == Outcome::Fail);
    let mut statuses: Vec<_> = verdicts.iter().map(|(_, it)| it.status).collect();
    statuses.extend(overlap.then_some(Status::Refuted));
    let worst = [Status::Refuted, Status::Incomplete];
    let worst = worst.into_iter().find(|status| statuses.contains(status));
    Ok(exit(worst.unwrap_or(Status::Satisfied)))
}

const fn exit(status: Status) -> Exit {
    match status {
        Status::Satisfied => Exit::Ok,
        Status::Refuted => Exit::No,
        Status::Incomplete => Exit::Unknown,
    }
}

/// The amendments beside a receipt file.
pub(crate) fn amendments(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    seamline::amendments::beside(path).map_err(|err| {
        let path = path.display();
        let message = format!("cannot read the amendments beside `{path}`: {err}");
        Failure::usage("receipt.unreadable", message)
            .hint("copy the receipt to a folder that you can read")
    })
}

/// Reads a receipt file, at most as long as a receipt may be.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let unreadable = |err: std::io::Error| {
        Failure::usage(
            "receipt.unreadable",
            format!("cannot read the receipt `{}`: {err}", path.display()),
        )
        .hint("`seamline receipt list` names the receipts of this home")
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}
