//! Tensors of requests and answers, and those of `tract`.

use std::collections::BTreeMap;

use seamline_core::infer::{Fixed, Inputs, RunError, Tensor as Named, TensorError, Values};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::tract_ndarray::{ArrayD, IxDyn};

use crate::graph::{Dimension, Element, Graph, Port};

/// Checks the inputs against the model and converts them, in the model's order.
pub(super) fn given(graph: &Graph, inputs: &Inputs) -> Result<Vec<Tensor>, RunError> {
    let known = |name: &str| graph.inputs.iter().any(|port| port.name == name);
    if let Some(stranger) = inputs.iter().find(|tensor| !known(tensor.name())) {
        let name = stranger.name().to_owned();
        return Err(RunError::UnknownInput { name });
    }
    let mut named = BTreeMap::new();
    let mut tensors = Vec::new();
    for port in &graph.inputs {
        let name = || port.name.clone();
        let tensor = inputs.get(&port.name);
        let tensor = tensor.ok_or_else(|| RunError::MissingInput { name: name() })?;
        if !fits(port, tensor.shape(), &mut named) {
            return Err(RunError::WrongShape {
                name: name(),
                expected: shape_text(port, &named),
                found: tensor.shape().to_vec(),
            });
        }
        tensors.push(convert(port, tensor)?);
    }
    Ok(tensors)
}

/// Whether a shape is one that the model takes. Dimensions of one name are as long as one another.
fn fits<'a>(port: &'a Port, shape: &[u32], named: &mut BTreeMap<&'a str, u32>) -> bool {
    let Some(dimensions) = &port.shape else {
        return true;
    };
    let fits = |(dimension, found): (&'a Dimension, &u32)| match dimension {
        Dimension::Any => true,
        Dimension::Length(length) => length == found,
        Dimension::Named(name) => named.entry(name.as_str()).or_insert(*found) == found,
    };
    dimensions.len() == shape.len() && dimensions.iter().zip(shape).all(fits)
}

fn shape_text(port: &Port, named: &BTreeMap<&str, u32>) -> String {
    let dimensions = port.shape.iter().flatten();
    let lengths: Vec<_> = dimensions
        .map(|dimension| match dimension {
            Dimension::Any => "?".to_owned(),
            Dimension::Length(length) => length.to_string(),
            Dimension::Named(name) => match named.get(name.as_str()) {
                Some(length) => format!("{name} = {length}"),
                None => name.clone(),
            },
        })
        .collect();
    format!("[{}]", lengths.join(", "))
}

/// What `tract` calls the type of these elements, where this runtime converts them.
pub(super) fn datum_type(element: Element) -> Option<DatumType> {
    Some(match element {
        Element::Bool => DatumType::Bool,
        Element::Float32 => DatumType::F32,
        Element::Float64 => DatumType::F64,
        Element::Int8 => DatumType::I8,
        Element::Int16 => DatumType::I16,
        Element::Int32 => DatumType::I32,
        Element::Int64 => DatumType::I64,
        Element::String => DatumType::String,
        Element::Uint8 => DatumType::U8,
        Element::Uint16 => DatumType::U16,
        Element::Uint32 => DatumType::U32,
        Element::Uint64 => DatumType::U64,
        Element::Other(_) => return None,
    })
}

fn convert(port: &Port, tensor: &Named) -> Result<Tensor, RunError> {
    let expected = || port.element.name();
    let name = || port.name.clone();
    let wrong_kind = || RunError::WrongKind {
        name: name(),
        expected: expected(),
    };
    let numbers = match (tensor.values(), port.element) {
        (Values::Strings(texts), Element::String) => return build(tensor, texts.clone()),
        (Values::Numbers(_), Element::String) | (Values::Strings(_), _) => {
            return Err(wrong_kind());
        }
        (Values::Numbers(numbers), _) => numbers,
    };
    let wrong_number = || RunError::WrongNumber {
        name: name(),
        expected: expected(),
    };
    match port.element {
        Element::Bool => build(tensor, all(numbers, boolean).ok_or_else(wrong_number)?),
        Element::Float32 => {
            let single = |number: Fixed| Some(number.to_f32()).filter(|single| single.is_finite());
            build(tensor, all(numbers, single).ok_or_else(wrong_number)?)
        }
        Element::Float64 => {
            let double = |number: Fixed| Some(number.to_f64()).filter(|double| double.is_finite());
            build(tensor, all(numbers, double).ok_or_else(wrong_number)?)
        }
        Element::Int8 => build(
            tensor,
            all(numbers, integer::<i8>).ok_or_else(wrong_number)?,
        ),
        Element::Int16 => build(
            tensor,
            all(numbers, integer::<i16>).ok_or_else(wrong_number)?,
        ),
        Element::Int32 => build(
            tensor,
            all(numbers, integer::<i32>).ok_or_else(wrong_number)?,
        ),
        Element::Int64 => build(
            tensor,
            all(numbers, integer::<i64>).ok_or_else(wrong_number)?,
        ),
        Element::Uint8 => build(
            tensor,
            all(numbers, integer::<u8>).ok_or_else(wrong_number)?,
        ),
        Element::Uint16 => build(
            tensor,
            all(numbers, integer::<u16>).ok_or_else(wrong_number)?,
        ),
        Element::Uint32 => build(
            tensor,
            all(numbers, integer::<u32>).ok_or_else(wrong_number)?,
        ),
        Element::Uint64 => build(
            tensor,
            all(numbers, integer::<u64>).ok_or_else(wrong_number)?,
        ),
        // Refused by name when the model is prepared; here only its length matters.
        Element::Other(_) => build(tensor, vec![0_u8; numbers.len()]),
        Element::String => Err(wrong_kind()),
    }
}

fn all<T>(numbers: &[Fixed], convert: impl Fn(Fixed) -> Option<T>) -> Option<Vec<T>> {
    numbers.iter().map(|number| convert(*number)).collect()
}

fn integer<T: TryFrom<i128>>(number: Fixed) -> Option<T> {
    let whole = Some(number.value()).filter(|_| number.decimals() == 0);
    whole.and_then(|value| T::try_from(value).ok())
}

fn boolean(number: Fixed) -> Option<bool> {
    match (number.value(), number.decimals()) {
        (0, 0) => Some(false),
        (1, 0) => Some(true),
        _ => None,
    }
}

fn build<T: Datum>(tensor: &Named, values: Vec<T>) -> Result<Tensor, RunError> {
    let misshapen = || RunError::Runtime {
        reason: "a tensor's shape does not fit its values".to_owned(),
    };
    let shape: Result<Vec<usize>, _> = tensor
        .shape()
        .iter()
        .copied()
        .map(usize::try_from)
        .collect();
    let shape = shape.map_err(|_| misshapen())?;
    let array = ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| misshapen())?;
    Ok(array.into_tensor())
}

/// Converts a result; floats as the shortest digits that read back.
pub(super) fn result(name: &str, tensor: &Tensor) -> Result<Named, RunError> {
    let lengths: Result<Vec<u32>, _> = tensor.shape().iter().copied().map(u32::try_from).collect();
    let shape = lengths.map_err(|_| RunError::TooLarge)?;
    let not_representable = || RunError::NotRepresentable {
        name: name.to_owned(),
    };
    let named = match values(tensor)? {
        Read::Strings(texts) => Named::strings(name, shape, texts),
        Read::Numbers(numbers) => {
            let numbers = numbers.ok_or_else(not_representable)?;
            Named::numbers(name, shape, numbers)
        }
    };
    named.map_err(|err| {
        if matches!(err, TensorError::Dimensions { .. }) {
            return RunError::TooLarge;
        }
        RunError::Model {
            reason: format!("output `{name}`: {err}"),
        }
    })
}

enum Read {
    /// `None` where one of them is no number.
    Numbers(Option<Vec<Fixed>>),
    Strings(Vec<String>),
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the runtime has besides is refused by its name"
)]
fn values(tensor: &Tensor) -> Result<Read, RunError> {
    let kind = tensor.datum_type().unquantized();
    Ok(Read::Numbers(match kind {
        DatumType::String => {
            return slice::<String>(tensor).map(|texts| Read::Strings(texts.to_vec()));
        }
        DatumType::F32 => each(slice::<f32>(tensor)?, |number| Fixed::of_f32(*number).ok()),
        DatumType::F64 => each(slice::<f64>(tensor)?, |number| Fixed::of_f64(*number).ok()),
        DatumType::Bool => each(slice::<bool>(tensor)?, |truth| {
            Some(Fixed::of_i64(i64::from(*truth)))
        }),
        DatumType::U64 => each(slice::<u64>(tensor)?, |number| Some(Fixed::of_u64(*number))),
        DatumType::F16 => return cast(tensor, DatumType::F32),
        // What a model computes of shapes is of a type of its own.
        DatumType::TDim | DatumType::U8 | DatumType::U16 | DatumType::U32 => {
            return cast(tensor, DatumType::I64);
        }
        DatumType::I8 | DatumType::I16 | DatumType::I32 => return cast(tensor, DatumType::I64),
        DatumType::I64 => each(slice::<i64>(tensor)?, |number| Some(Fixed::of_i64(*number))),
        other => return Err(unreadable(other)),
    }))
}

fn cast(tensor: &Tensor, kind: DatumType) -> Result<Read, RunError> {
    let cast = tensor.cast_to_dt(kind);
    let cast = cast.map_err(|_| unreadable(tensor.datum_type()))?;
    values(cast.as_ref())
}

fn each<T>(values: &[T], convert: impl Fn(&T) -> Option<Fixed>) -> Option<Vec<Fixed>> {
    values.iter().map(convert).collect()
}

fn slice<T: Datum>(tensor: &Tensor) -> Result<&[T], RunError> {
    let plain = tensor.as_plain_ram();
    let values = plain.and_then(|view| view.as_slice::<T>().ok());
    values.ok_or_else(|| unreadable(tensor.datum_type()))
}

fn unreadable(kind: DatumType) -> RunError {
    RunError::Model {
        reason: format!("an output is of type {kind:?}"),
    }
}
