//! `seamline model list`: the models of the store.

use seamline_onnx::{Entry, Graph, ModelStore};
use serde_json::json;

use super::model::{failed, store};
use crate::args::ModelList;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(context: &Context, args: &ModelList) -> Result<Exit, Failure> {
    let store = store(context, &args.store)?;
    let entries = store.list().map_err(|err| failed(&err))?;
    let described: Vec<_> = entries
        .iter()
        .map(|entry| (entry, name(&store, *entry)))
        .collect();
    if args.output.json {
        let models: Vec<_> = described
            .iter()
            .map(|(entry, name)| match name {
                Ok(name) => json!({ "id": entry.id.to_string(), "bytes": entry.bytes, "name": name }),
                Err(err) => json!({ "id": entry.id.to_string(), "bytes": entry.bytes, "refused": err.message }),
            })
            .collect();
        output::json(&json!({ "version": 1, "folder": store.folder(), "models": models }))?;
        return Ok(Exit::Ok);
    }
    for (entry, name) in &described {
        let about = match name {
            Ok(name) => name.clone().unwrap_or_default(),
            Err(err) => format!("not usable: {}", err.message),
        };
        output::line(&format!("{}  {:>9} bytes  {about}", entry.id, entry.bytes))?;
    }
    if described.is_empty() {
        output::message("no models are kept here: `seamline model add FILE` keeps one");
    }
    Ok(Exit::Ok)
}

/// What the model calls itself, having checked the file against its id.
fn name(store: &ModelStore, entry: Entry) -> Result<Option<String>, Failure> {
    let model = store.load(entry.id).map_err(|err| failed(&err))?;
    let graph = Graph::read(&model);
    graph
        .map(|graph| graph.name)
        .map_err(|err| failed(&seamline_onnx::StoreError::Graph(err)))
}
