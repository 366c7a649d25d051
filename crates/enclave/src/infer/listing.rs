//! A model in `GET /v1/models`: what it costs, and what it takes.

use seamline_core::infer::{ModelInfo, PortInfo, model_elements};
use seamline_core::json::{Object, Value};

use super::Desk;
use crate::enclave::Enclave;

/// One model, with what a caller needs to check inputs and to compute the ceiling before asking.
pub(crate) fn describe(enclave: &Enclave, desk: &Desk, info: &ModelInfo) -> Object {
    let config = &enclave.config;
    let price = desk.price();
    let infer = Object::new()
        .with("bytes", info.bytes)
        .with("model_elements", model_elements(info.bytes))
        .with("max_output_elements", desk.most_outputs(info))
        .with("inputs", ports(&info.inputs))
        .with("outputs", ports(&info.outputs));
    let terms = Object::new()
        .with("price_input", price.input.to_string())
        .with("price_output", price.output.to_string())
        .with("price_unit", "base units per million elements")
        .with("asset", config.asset.to_checksum(None))
        .with("network", config.network.as_str())
        .with("facilitator", config.facilitator_url.as_str())
        .with("infer", infer);
    Object::new()
        .with("id", info.id.to_string())
        .with("object", "model")
        .with("created", enclave.started.as_secs())
        .with("owned_by", "seamline")
        .with_some("title", info.title.as_deref())
        .with("seamline", terms)
}

fn ports(ports: &[PortInfo]) -> Value {
    let ports = ports.iter().map(|port| {
        let shape = port.shape.iter().map(|length| Value::from(*length));
        let port = Object::new()
            .with("name", port.name.as_str())
            .with("kind", port.kind.as_str())
            .with("element", port.element.as_str())
            .with("shape", shape.collect::<Value>());
        Value::from(port)
    });
    ports.collect()
}
