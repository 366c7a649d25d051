//! `seamline model show`: what a model takes and gives.

use seamline_onnx::{Dimension, Graph, Port, StoreError};
use serde_json::{Value, json};

use super::model::{failed, parse, store};
use crate::args::ModelShow;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(context: &Context, args: &ModelShow) -> Result<Exit, Failure> {
    let store = store(context, &args.store)?;
    let id = parse(&args.id)?;
    let model = store.load(id).map_err(|err| failed(&err))?;
    let graph = Graph::read(&model).map_err(|err| failed(&StoreError::Graph(err)))?;
    let path = store.path(id);
    if args.output.json {
        output::json(&json!({
            "version": 1,
            "id": id.to_string(),
            "name": graph.name,
            "bytes": model.len(),
            "path": path,
            "inputs": graph.inputs.iter().map(view).collect::<Vec<_>>(),
            "outputs": graph.outputs.iter().map(view).collect::<Vec<_>>(),
            "operators": graph.operators,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut lines = vec![format!("model      {id}")];
    if let Some(name) = &graph.name {
        lines.push(format!("name       {name}"));
    }
    lines.push(format!(
        "file       {} ({} bytes)",
        path.display(),
        model.len()
    ));
    lines.extend(
        graph
            .inputs
            .iter()
            .map(|port| format!("input      {}", text(port))),
    );
    lines.extend(
        graph
            .outputs
            .iter()
            .map(|port| format!("output     {}", text(port))),
    );
    let operators: Vec<_> = graph.operators.iter().map(String::as_str).collect();
    lines.push(format!("operators  {}", operators.join(" ")));
    output::answer(&(lines.join("\n") + "\n"))?;
    Ok(Exit::Ok)
}

/// A dimension is a number, a name, or null where any length goes; a shape is null where the model leaves it open.
fn view(port: &Port) -> Value {
    let length = |dimension: &Dimension| match dimension {
        Dimension::Any => Value::Null,
        Dimension::Length(length) => json!(length),
        Dimension::Named(name) => json!(name),
    };
    let shape = port.shape.as_ref();
    json!({
        "name": port.name,
        "element": port.element.name(),
        "shape": shape.map(|shape| shape.iter().map(length).collect::<Vec<_>>()),
    })
}

fn text(port: &Port) -> String {
    let length = |dimension: &Dimension| match dimension {
        Dimension::Any => "?".to_owned(),
        Dimension::Length(length) => length.to_string(),
        Dimension::Named(name) => name.clone(),
    };
    let shape = match &port.shape {
        Some(shape) => shape.iter().map(length).collect::<Vec<_>>().join(", "),
        None => "...".to_owned(),
    };
    format!("{}: {}[{shape}]", port.name, port.element.name())
}
