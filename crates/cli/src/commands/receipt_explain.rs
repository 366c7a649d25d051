//! `seamline receipt explain`: the story of one call on one screen.

use serde_json::json;

use crate::args::ReceiptShow;
use crate::commands::receipt_show::open;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{output, session};

pub(crate) fn run(context: &Context, args: &ReceiptShow) -> Result<Exit, Failure> {
    let (bytes, bundle) = open(context, &args.receipt)?;
    let verdict = seamline_verify::verify(&bytes, &context.trust()?, session::now());
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
