//! `seamline model add`: a model from a file or a server into the store.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use seamline_core::infer::ModelId;
use seamline_net::{ClientOptions, TlsTrust, http_client};
use seamline_onnx::{MAX_MODEL_BYTES, ModelStore, RemoteError, RemoteStore};
use serde_json::json;

use super::model::{failed, parse, store};
use crate::args::ModelAdd;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// How long a model may take to arrive.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(context: &Context, args: &ModelAdd) -> Result<Exit, Failure> {
    let store = store(context, &args.store)?;
    let id = match &args.from {
        None => store.add(&read(&args.model)?).map_err(|err| failed(&err))?,
        Some(server) => fetch(&store, server, &args.model)?,
    };
    if args.output.json {
        output::json(&json!({ "version": 1, "id": id.to_string(), "path": store.path(id) }))?;
    } else {
        output::line(&id.to_string())?;
    }
    Ok(Exit::Ok)
}

/// Reads a file, and not more of it than a model may have.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut model = Vec::new();
        let file = fs::File::open(path)?;
        file.take(MAX_MODEL_BYTES.saturating_add(1))
            .read_to_end(&mut model)?;
        Ok(model)
    };
    read().map_err(|err| {
        let failure = Failure::usage(
            "model.unreadable",
            format!("cannot read `{}`: {err}", path.display()),
        );
        match path.to_str().map(ModelId::parse) {
            Some(Ok(_)) => failure.hint("to fetch a model by its id, name a server with --from"),
            _ => failure.hint("name an .onnx file"),
        }
    })
}

fn fetch(store: &ModelStore, server: &str, id: &Path) -> Result<ModelId, Failure> {
    let id = parse(&id.display().to_string())?;
    let client = http_client(ClientOptions {
        tls: TlsTrust::web(),
        total_timeout: PATIENCE,
        max_response_bytes: MAX_MODEL_BYTES,
        ..ClientOptions::default()
    });
    let client = client.map_err(|err| unreachable(&err))?;
    let remote = RemoteStore::new(client, server, store.clone());
    block_on(async {
        match remote.load(id).await {
            Ok(_) => Ok(id),
            Err(RemoteError::Store(err)) => Err(failed(&err)),
            Err(err) => Err(unreachable(&err)),
        }
    })
}

fn unreachable(err: &(dyn std::error::Error + 'static)) -> Failure {
    let message = seamline_core::chain(err);
    Failure::new(Exit::Unknown, "model.fetch", message)
        .hint("nothing was kept; look at the URL, or try again")
}
