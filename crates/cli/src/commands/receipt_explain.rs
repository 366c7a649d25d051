//! `seamline receipt explain`: the story of one call on one screen.

use serde_json::json;

use crate::args::ReceiptShow;
use crate::commands::receipt_show::open;
use crate::commands::receipt_verify::amendments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{output, session};

pub(crate) fn run(context: &Context, args: &ReceiptShow) -> Result<Exit, Failure> {
    let (path, bytes, bundle) = open(context, &args.receipt)?;
    let (trust, late) = (context.trust()?, amendments(&path)?);
    let verdict = seamline_verify::verify_amended(&bytes, &late, &trust, session::now());
    let story = seamline_verify::story(&verdict, &bundle, &context.tokens());
    if args.output.json {
        let verdict = seamline_verify::view::verdict_json(&verdict);
        let receipt = seamline_verify::view::receipt_json(&bundle);
        output::json(
            &json!({ "version": 1, "story": story, "verdict": verdict, "receipt": receipt }),
        )?;
    } else {
        output::line(story.trim_end())?;
    }
    Ok(Exit::Ok)
}
