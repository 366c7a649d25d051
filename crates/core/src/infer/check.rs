//! Inputs held against what a model takes, before anything is paid.

use super::{ElementKind, Inputs, ModelInfo, PortInfo, RunError, Tensor, Values};

impl ModelInfo {
    /// Holds inputs against the model's description: names, kinds, shapes, and whether whole numbers
    /// are whole and fit. What it lets through the model may still refuse.
    ///
    /// # Errors
    ///
    /// The [`RunError`] that a run would end with; always the caller's fault.
    pub fn check(&self, inputs: &Inputs) -> Result<(), RunError> {
        let known = |tensor: &&Tensor| self.inputs.iter().any(|port| port.name == tensor.name());
        if let Some(stranger) = inputs.iter().find(|tensor| !known(tensor)) {
            let name = stranger.name().to_owned();
            return Err(RunError::UnknownInput { name });
        }
        self.inputs.iter().try_for_each(|port| {
            let missing = || RunError::MissingInput {
                name: port.name.clone(),
            };
            port.check(inputs.get(&port.name).ok_or_else(missing)?)
        })
    }

    /// The most elements that all outputs have together, as [`super::TensorSet::elements`] counts them;
    /// `None` where the model does not say, or gives strings.
    pub fn output_elements(&self) -> Option<u64> {
        self.outputs.iter().try_fold(0_u64, |sum, port| {
            if port.kind == ElementKind::String {
                return None;
            }
            let product = port.shape.iter().try_fold(1_u64, |product, length| {
                product.checked_mul(u64::from((*length)?))
            });
            sum.checked_add(product?)
        })
    }
}

impl PortInfo {
    fn check(&self, tensor: &Tensor) -> Result<(), RunError> {
        let name = || self.name.clone();
        let fits = self.shape.len() == tensor.shape().len()
            && self
                .shape
                .iter()
                .zip(tensor.shape())
                .all(|(port, length)| port.is_none_or(|port| port == *length));
        match (self.kind, tensor.values()) {
            (ElementKind::Number, Values::Numbers(_))
            | (ElementKind::String, Values::Strings(_)) => {}
            (ElementKind::Number, Values::Strings(_))
            | (ElementKind::String, Values::Numbers(_)) => {
                let expected = self.element.clone();
                return Err(RunError::WrongKind {
                    name: name(),
                    expected,
                });
            }
        }
        if !fits {
            return Err(RunError::WrongShape {
                name: name(),
                expected: self.shape_text(),
                found: tensor.shape().to_vec(),
            });
        }
        let (Some(range), Values::Numbers(numbers)) = (integers(&self.element), tensor.values())
        else {
            return Ok(());
        };
        let whole = numbers
            .iter()
            .all(|number| number.decimals() == 0 && range.contains(&number.value()));
        if whole {
            return Ok(());
        }
        Err(RunError::WrongNumber {
            name: name(),
            expected: self.element.clone(),
        })
    }

    /// The shape for people, such as `[?, 3]`.
    pub fn shape_text(&self) -> String {
        let length =
            |length: &Option<u32>| length.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let lengths: Vec<_> = self.shape.iter().map(length).collect();
        format!("[{}]", lengths.join(", "))
    }
}

/// The whole numbers that an element type holds; `None` for one that holds fractions or is not known.
fn integers(element: &str) -> Option<core::ops::RangeInclusive<i128>> {
    let range = match element {
        "bool" => 0..=1,
        "int8" => i8::MIN.into()..=i8::MAX.into(),
        "int16" => i16::MIN.into()..=i16::MAX.into(),
        "int32" => i32::MIN.into()..=i32::MAX.into(),
        "int64" => i64::MIN.into()..=i64::MAX.into(),
        "uint8" => 0..=u8::MAX.into(),
        "uint16" => 0..=u16::MAX.into(),
        "uint32" => 0..=u32::MAX.into(),
        "uint64" => 0..=u64::MAX.into(),
        _ => return None,
    };
    Some(range)
}
