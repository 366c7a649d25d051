//! What a model takes and gives, read from its file without running anything (onnx.proto of ONNX 1.16).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use seamline_core::infer::{
    ElementKind, MAX_DIMENSIONS, MAX_TENSORS, ModelId, ModelInfo, PortInfo,
};

use crate::wire::{Fields, Malformed, Value};

/// Deepest nesting of graphs in nodes of graphs. Exported models have two or three.
const MAX_DEPTH: usize = 16;

/// The description of a model, as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The graph's name, where it has one that can be shown.
    pub name: Option<String>,
    /// What the caller gives, in the model's order: inputs that have no value in the file.
    pub inputs: Vec<Port>,
    /// What comes out, in the model's order.
    pub outputs: Vec<Port>,
    /// The operators that it uses, in its subgraphs too.
    pub operators: BTreeSet<String>,
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub element: Element,
    /// The lengths of its dimensions, outermost first; `None` where the model does not even say how many there are.
    pub shape: Option<Vec<Dimension>>,
}

/// How long one dimension is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// As long as the caller likes.
    Any,
    /// So many.
    Length(u32),
    /// As long as the caller likes, but the same wherever the name stands.
    Named(String),
}

/// ONNX's types of elements (`TensorProto.DataType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are what they are")]
pub enum Element {
    Bool,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    String,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    /// Float16, bfloat16, complex numbers and what came later: nothing here converts them.
    Other(u64),
}

/// Why a file is not a model that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// It is not protobuf, or ends early.
    #[error("the file is not an ONNX model, or is cut off")]
    Malformed,
    /// It has no graph, or the graph has no outputs.
    #[error("the file has no graph with outputs: it is not an ONNX model")]
    NoGraph,
    /// Its weights are elsewhere, so its id would not say what it computes.
    #[error("the tensor `{name}` is kept in another file; save the model with its weights inside")]
    ExternalData {
        /// The tensor.
        name: String,
    },
    /// An operator draws random numbers: two runs would not agree.
    #[error("the model uses `{operator}`, which draws random numbers: two runs would not agree")]
    Random {
        /// The operator.
        operator: String,
    },
    /// An input or output is a sequence, a map or optional.
    #[error("`{name}` is not a tensor")]
    NotTensor {
        /// The input or output.
        name: String,
    },
    /// A name is empty or twice, or a shape has more dimensions than a request can have.
    #[error("the input or output `{name}` has no usable name or shape")]
    Port {
        /// The input or output.
        name: String,
    },
    /// More inputs or outputs than a request or an answer can have.
    #[error("the model has more than {MAX_TENSORS} inputs or outputs")]
    TooManyPorts,
    /// Graphs inside of nodes of graphs, too deep.
    #[error("graphs are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl GraphError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "model.malformed",
            Self::NoGraph => "model.no_graph",
            Self::ExternalData { .. } => "model.external_data",
            Self::Random { .. } => "model.random",
            Self::NotTensor { .. } => "model.not_tensor",
            Self::Port { .. } => "model.port",
            Self::TooManyPorts => "model.too_many_ports",
            Self::TooDeep => "model.too_deep",
        }
    }
}

impl From<Malformed> for GraphError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Operators whose outputs two runs do not agree on.
const RANDOM: [&str; 6] = [
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];

impl Graph {
    /// Reads a model's file. Whether a runtime has its operators shows when it is run.
    ///
    /// # Errors
    ///
    /// [`GraphError`].
    pub fn read(model: &[u8]) -> Result<Self, GraphError> {
        let mut fields = Fields::of(model);
        let mut graph = None;
        let mut operators = BTreeSet::new();
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (7, Value::Bytes(message)) => graph = Some(message),
                (25, Value::Bytes(function)) => scan_function(function, &mut operators)?,
                _ => {}
            }
        }
        let graph = graph.ok_or(GraphError::NoGraph)?;
        scan_graph(graph, &mut operators, 0)?;
        let graph = Self::of(graph, operators)?;
        if let Some(operator) = RANDOM.iter().find(|name| graph.operators.contains(**name)) {
            let operator = (*operator).to_owned();
            return Err(GraphError::Random { operator });
        }
        Ok(graph)
    }

    /// Describes the model for callers of it.
    pub fn info(&self, id: ModelId, bytes: u64) -> ModelInfo {
        ModelInfo {
            id,
            title: self.name.clone(),
            bytes,
            inputs: self.inputs.iter().map(Port::info).collect(),
            outputs: self.outputs.iter().map(Port::info).collect(),
        }
    }

    fn of(graph: &[u8], operators: BTreeSet<String>) -> Result<Self, GraphError> {
        let mut fields = Fields::of(graph);
        let (mut name, mut given) = (None, BTreeSet::new());
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (2, Value::Bytes(text)) => name = printable(text),
                (5, Value::Bytes(tensor)) => {
                    given.insert(string_field(tensor, 8)?);
                }
                (11, Value::Bytes(port)) => inputs.push(port),
                (12, Value::Bytes(port)) => outputs.push(port),
                _ => {}
            }
        }
        // Before IR version 4, weights are inputs too.
        let mut left = Vec::new();
        for input in inputs {
            if !given.contains(&string_field(input, 1)?) {
                left.push(input);
            }
        }
        if outputs.is_empty() {
            return Err(GraphError::NoGraph);
        }
        Ok(Self {
            name,
            inputs: ports(&left)?,
            outputs: ports(&outputs)?,
            operators,
        })
    }
}

impl Port {
    /// Describes it for callers. A shape that the model leaves open shows as no dimensions.
    fn info(&self) -> PortInfo {
        let length = |dimension: &Dimension| match dimension {
            Dimension::Length(length) => Some(*length),
            Dimension::Any | Dimension::Named(_) => None,
        };
        PortInfo {
            name: self.name.clone(),
            kind: if self.element == Element::String {
                ElementKind::String
            } else {
                ElementKind::Number
            },
            element: self.element.name(),
            shape: self.shape.iter().flatten().map(length).collect(),
        }
    }
}

impl Element {
    const fn of(number: u64) -> Self {
        match number {
            1 => Self::Float32,
            2 => Self::Uint8,
            3 => Self::Int8,
            4 => Self::Uint16,
            5 => Self::Int16,
            6 => Self::Int32,
            7 => Self::Int64,
            8 => Self::String,
            9 => Self::Bool,
            11 => Self::Float64,
            12 => Self::Uint32,
            13 => Self::Uint64,
            other => Self::Other(other),
        }
    }

    /// Returns the name that people know it by, such as `float32`.
    pub fn name(self) -> String {
        let known = match self {
            Self::Bool => "bool",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::String => "string",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Other(10) => "float16",
            Self::Other(16) => "bfloat16",
            Self::Other(number) => return format!("onnx type {number}"),
        };
        known.to_owned()
    }
}

fn ports(messages: &[&[u8]]) -> Result<Vec<Port>, GraphError> {
    if messages.len() > MAX_TENSORS {
        return Err(GraphError::TooManyPorts);
    }
    let ports: Result<Vec<_>, _> = messages.iter().map(|message| port(message)).collect();
    let ports = ports?;
    let mut names = BTreeSet::new();
    for port in &ports {
        let long = port.shape.iter().any(|shape| shape.len() > MAX_DIMENSIONS);
        if port.name.is_empty() || long || !names.insert(&port.name) {
            return Err(GraphError::Port {
                name: port.name.clone(),
            });
        }
    }
    Ok(ports)
}

/// ValueInfoProto { 1: name, 2: TypeProto { 1: Tensor { 1: elem_type, 2: TensorShapeProto } } }
fn port(message: &[u8]) -> Result<Port, GraphError> {
    let name = string_field(message, 1)?;
    let not_tensor = || GraphError::NotTensor { name: name.clone() };
    let described = message_field(message, 2)?.ok_or_else(not_tensor)?;
    let tensor = message_field(described, 1)?.ok_or_else(not_tensor)?;
    let mut fields = Fields::of(tensor);
    let (mut element, mut shape) = (Element::Other(0), None);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Varint(number)) => element = Element::of(number),
            (2, Value::Bytes(message)) => shape = Some(dimensions(message)?),
            _ => {}
        }
    }
    Ok(Port {
        name,
        element,
        shape,
    })
}

/// TensorShapeProto { 1: Dimension { 1: dim_value, 2: dim_param } }
fn dimensions(message: &[u8]) -> Result<Vec<Dimension>, GraphError> {
    let mut shape = Vec::new();
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        let (1, Value::Bytes(message)) = (field, value) else {
            continue;
        };
        let mut dimension = Dimension::Any;
        let mut fields = Fields::of(message);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, Value::Varint(length)) => {
                    let length = u32::try_from(length).map_err(|_| GraphError::Malformed)?;
                    dimension = Dimension::Length(length);
                }
                (2, Value::Bytes(name)) => {
                    if let Some(name) = printable(name) {
                        dimension = Dimension::Named(name);
                    }
                }
                _ => {}
            }
        }
        shape.push(dimension);
    }
    Ok(shape)
}

/// Looks through a graph, and the graphs in its nodes, for operators and for weights that are elsewhere.
fn scan_graph(
    graph: &[u8],
    operators: &mut BTreeSet<String>,
    depth: usize,
) -> Result<(), GraphError> {
    if depth > MAX_DEPTH {
        return Err(GraphError::TooDeep);
    }
    let mut fields = Fields::of(graph);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(node)) => scan_node(node, operators, depth)?,
            (5, Value::Bytes(tensor)) => scan_tensor(tensor)?,
            (15, Value::Bytes(sparse)) => scan_sparse(sparse)?,
            _ => {}
        }
    }
    Ok(())
}

fn scan_function(function: &[u8], operators: &mut BTreeSet<String>) -> Result<(), GraphError> {
    let mut fields = Fields::of(function);
    while let Some((field, value)) = fields.next()? {
        if let (7, Value::Bytes(node)) = (field, value) {
            scan_node(node, operators, 0)?;
        }
    }
    Ok(())
}

fn scan_node(
    node: &[u8],
    operators: &mut BTreeSet<String>,
    depth: usize,
) -> Result<(), GraphError> {
    operators.insert(string_field(node, 4)?);
    let mut fields = Fields::of(node);
    while let Some((field, value)) = fields.next()? {
        let (5, Value::Bytes(attribute)) = (field, value) else {
            continue;
        };
        let mut fields = Fields::of(attribute);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (5 | 10, Value::Bytes(tensor)) => scan_tensor(tensor)?,
                (6 | 11, Value::Bytes(graph)) => {
                    scan_graph(graph, operators, depth.saturating_add(1))?;
                }
                (22 | 23, Value::Bytes(sparse)) => scan_sparse(sparse)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// SparseTensorProto { 1: values, 2: indices }
fn scan_sparse(sparse: &[u8]) -> Result<(), GraphError> {
    let mut fields = Fields::of(sparse);
    while let Some((field, value)) = fields.next()? {
        if let (1 | 2, Value::Bytes(tensor)) = (field, value) {
            scan_tensor(tensor)?;
        }
    }
    Ok(())
}

/// TensorProto { 8: name, 13: external_data, 14: data_location }
fn scan_tensor(tensor: &[u8]) -> Result<(), GraphError> {
    let mut fields = Fields::of(tensor);
    while let Some((field, value)) = fields.next()? {
        if matches!((field, value), (13, _) | (14, Value::Varint(1..))) {
            let name = string_field(tensor, 8)?;
            return Err(GraphError::ExternalData { name });
        }
    }
    Ok(())
}

/// Returns the last string of that number, empty where there is none.
fn string_field(message: &[u8], number: u64) -> Result<String, GraphError> {
    let found = message_field(message, number)?.unwrap_or_default();
    let text = core::str::from_utf8(found).map_err(|_| GraphError::Malformed)?;
    Ok(text.to_owned())
}

fn message_field(message: &[u8], number: u64) -> Result<Option<&[u8]>, GraphError> {
    let mut fields = Fields::of(message);
    let mut found = None;
    while let Some((field, value)) = fields.next()? {
        if let (true, Value::Bytes(bytes)) = (field == number, value) {
            found = Some(bytes);
        }
    }
    Ok(found)
}

/// A name that can be shown to people: UTF-8 without control characters, not empty, not long.
fn printable(text: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(text).ok()?;
    let shown = !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    shown.then(|| text.to_owned())
}
