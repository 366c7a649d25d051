//! `seamline infer`: one paid, verified run of a model.

use std::io::{self, Read as _};
use std::path::Path;

use seamline::Infer;
use seamline_core::infer::{InferError, Inputs, ModelId};
use seamline_core::json;
use serde_json::Value;

use super::chat::{Progress, conclude, copy_receipt, refused, report_recovered, view};
use crate::args;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::Session;

pub(crate) fn run(context: &Context, args: &args::Infer) -> Result<Exit, Failure> {
    let infer = request(args)?;
    block_on(async {
        output::progress("~ network   starting, or joining the one that runs");
        let session = Session::open(context, args.max_price.as_deref(), None).await?;
        let outcome = call(&session, &infer, args).await;
        session.close().await;
        outcome
    })
}

async fn call(session: &Session, infer: &Infer, args: &args::Infer) -> Result<Exit, Failure> {
    report_recovered(session).await?;
    let mut watch = Progress::default();
    let inferred = session.client.infer_watched(infer, &mut watch).await;
    let inferred = inferred.map_err(|err| refused(session, &err))?;
    let reply = &inferred.reply;
    copy_receipt(reply, args.receipt.as_deref())?;
    let plain = inferred.outputs.to_plain_json();
    if args.output.json {
        let mut seen = view(session, reply);
        if let (Value::Object(members), Ok(outputs)) = (&mut seen, plain.parse()) {
            members.insert("outputs".to_owned(), outputs);
        }
        output::json(&seen)?;
    } else {
        output::data(&plain)?;
        output::line("")?;
    }
    Ok(conclude(session, reply, args.explain))
}

/// Everything that can be wrong before a network is needed.
fn request(args: &args::Infer) -> Result<Infer, Failure> {
    let model = ModelId::parse(args.model.trim()).map_err(|err| {
        Failure::usage("model.id", format!("`--model` names no model: {err}")).hint(
            "`seamline model list` shows the ids of models; `seamline model add FILE` prints one",
        )
    })?;
    let text = match (&args.input, &args.input_file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(file)) => read(file)?,
        (None, None) => Vec::new(),
    };
    let value = json::parse(&text).map_err(|err| {
        Failure::usage("inputs.json", format!("the inputs are not JSON: {err}"))
            .hint(r#"an object with one member per input, such as {"x": [1, 2.5]}"#)
    })?;
    let inputs = Inputs::from_value(&value).map_err(|err| {
        Failure::usage("inputs.malformed", seamline_core::chain(&err))
            .hint("a number, a string, or lists of them in lists, all of one level equally long")
    })?;
    Infer::new(model, inputs)
        .map(|infer| infer.attach_contents(args.attach))
        .map_err(|err: InferError| Failure::usage("inputs.too_large", err.to_string()))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |err: io::Error| {
        let message = format!("cannot read `{}`: {err}", file.display());
        Failure::usage("inputs.unreadable", message)
    };
    // One byte more than is taken, so that the reader of JSON says what is wrong.
    let most = u64::try_from(json::MAX_BYTES).unwrap_or(u64::MAX);
    let most = most.saturating_add(1);
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        let read = io::stdin().lock().take(most).read_to_end(&mut bytes);
        read.map_err(unreadable)?;
    } else {
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        let read = opened.take(most).read_to_end(&mut bytes);
        read.map_err(unreadable)?;
    }
    Ok(bytes)
}
