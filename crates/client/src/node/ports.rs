//! What a node says about a model that it runs: what the model takes, and what a run counts as.

use seamline_core::infer::{
    ElementKind, MAX_DIMENSIONS, MAX_NAME_BYTES, MAX_TENSORS, ModelId, ModelInfo, PortInfo,
};
use serde::Deserialize;

/// What a node says about a model that it runs. Asserted: the offer and the answer decide.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedInfer {
    /// What the model takes and gives.
    pub info: ModelInfo,
    /// Elements that the model itself counts.
    pub model_elements: u64,
    /// The most elements that an answer may have.
    pub max_output_elements: u64,
}

#[derive(Deserialize)]
pub(super) struct WireInfer {
    bytes: u64,
    model_elements: u64,
    max_output_elements: u64,
    inputs: Vec<WirePort>,
    outputs: Vec<WirePort>,
}

#[derive(Deserialize)]
struct WirePort {
    name: String,
    kind: String,
    element: String,
    shape: Vec<Option<u32>>,
}

/// Longest name of an element type.
const MAX_ELEMENT: usize = 32;

impl WireInfer {
    /// Reads a listing under the limits of tensors, without anything that could steer a terminal.
    pub(super) fn read(self, id: &str) -> Option<ListedInfer> {
        let ports = |ports: Vec<WirePort>| -> Option<Vec<PortInfo>> {
            if ports.len() > MAX_TENSORS {
                return None;
            }
            ports.into_iter().map(WirePort::read).collect()
        };
        let info = ModelInfo {
            id: ModelId::parse(id).ok()?,
            title: None,
            bytes: self.bytes,
            inputs: ports(self.inputs)?,
            outputs: ports(self.outputs)?,
        };
        Some(ListedInfer {
            info,
            model_elements: self.model_elements,
            max_output_elements: self.max_output_elements,
        })
    }
}

impl WirePort {
    fn read(self) -> Option<PortInfo> {
        let printable = |text: &str, longest: usize| {
            (1..=longest).contains(&text.len())
                && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        let kind = match self.kind.as_str() {
            "number" => ElementKind::Number,
            "string" => ElementKind::String,
            _ => return None,
        };
        let fits = printable(&self.name, MAX_NAME_BYTES)
            && printable(&self.element, MAX_ELEMENT)
            && self.shape.len() <= MAX_DIMENSIONS;
        fits.then_some(PortInfo {
            name: self.name,
            kind,
            element: self.element,
            shape: self.shape,
        })
    }
}
