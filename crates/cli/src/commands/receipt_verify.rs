//! `seamline receipt verify`: checks a receipt offline. Opens no socket.

use std::path::Path;

use seamline_verify::Status;

use crate::args::ReceiptVerify;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{output, session};

/// Longest file that is read: a bundle's own limit, and a byte to see that there is more.
const MAX_FILE: u64 = 4 * 1024 * 1024 + 1;

pub(crate) fn run(context: &Context, args: &ReceiptVerify) -> Result<Exit, Failure> {
    let bytes = read(&args.file)?;
    let trust = context.trust()?;
    let verdict = seamline_verify::verify(&bytes, &trust, session::now());
    if args.output.json {
        output::json(&seamline_verify::view::verdict_json(&verdict))?;
    } else {
        output::data(&seamline_verify::findings_text(&verdict))?;
    }
    Ok(match verdict.status {
        Status::Satisfied => Exit::Ok,
        Status::Refuted => Exit::No,
        Status::Incomplete => Exit::Unknown,
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
