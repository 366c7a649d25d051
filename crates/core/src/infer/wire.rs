//! Tensors as JSON: the form that is hashed, and the forms that people write.

use super::{Fixed, MAX_DIMENSIONS, MAX_ELEMENTS, Tensor, TensorError, TensorSet, Values};
use crate::json::{Keys, Number, Object, Value};

impl TensorSet {
    /// Reads an object of tensors by name, each in the explicit form or as numbers or strings in nested
    /// lists (`spec/infer.md`, "Tensors").
    ///
    /// # Errors
    ///
    /// [`TensorError`] with the first rule that is broken; [`TensorError::NotAnObject`] for another
    /// value.
    pub fn from_value(value: &Value) -> Result<Self, TensorError> {
        let object = value.as_object().ok_or(TensorError::NotAnObject)?;
        let tensors = object.iter().map(|(name, value)| {
            let name = name.as_str().ok_or(TensorError::Name)?;
            match value {
                Value::Object(form) => explicit(name, form),
                Value::Array(_) | Value::Number(_) | Value::String(_) => nested(name, value),
                Value::Null | Value::Bool(_) => Err(TensorError::ValueType {
                    name: name.to_owned(),
                }),
            }
        });
        Self::new(tensors.collect::<Result<_, _>>()?)
    }

    /// Writes the explicit form, which is the one that is hashed.
    pub fn to_value(&self) -> Value {
        let tensors = self.iter().map(|tensor| {
            let shape = tensor.shape().iter().map(|length| Value::from(*length));
            let form = Object::new().with("shape", shape.collect::<Value>());
            let form = match tensor.values() {
                Values::Numbers(numbers) => {
                    let pairs = numbers.iter().map(|number| pair(*number));
                    form.with("values", pairs.collect::<Value>())
                }
                Values::Strings(strings) => {
                    let strings = strings.iter().map(|text| Value::from(text.as_str()));
                    form.with("strings", strings.collect::<Value>())
                }
            };
            (tensor.name(), Value::from(form))
        });
        Value::object(tensors)
    }
}

impl TensorSet {
    /// Writes tensors as people write them: numbers and strings in nested lists, numbers with all of their
    /// digits. A scalar stands alone. Reading it back yields the same tensors, but for scalars, which
    /// become lists of one, and numbers that a double does not hold.
    pub fn to_plain_json(&self) -> String {
        let tensors = self.iter().map(|tensor| {
            let leaves: Vec<String> = match tensor.values() {
                Values::Numbers(numbers) => numbers.iter().map(|it| it.to_decimal()).collect(),
                Values::Strings(strings) => strings.iter().map(|it| quoted(it)).collect(),
            };
            format!(
                "{}: {}",
                quoted(tensor.name()),
                lists(tensor.shape(), leaves)
            )
        });
        format!("{{{}}}", tensors.collect::<Vec<_>>().join(", "))
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_json(Keys::Insertion)
}

/// Puts leaves into lists, innermost first.
fn lists(shape: &[u32], leaves: Vec<String>) -> String {
    if shape.contains(&0) {
        // Nothing is inside: what is left of the lists are those around the first empty ones.
        let outer = shape.iter().take_while(|length| **length != 0);
        let outer: Vec<u32> = outer.copied().collect();
        let mut count = outer
            .iter()
            .map(|length| usize::try_from(*length).unwrap_or(0));
        let count = count.try_fold(1_usize, usize::checked_mul).unwrap_or(0);
        let empty = vec!["[]".to_owned(); count.min(MAX_ELEMENTS)];
        return lists(&outer, empty);
    }
    let mut items = leaves;
    for length in shape.iter().rev() {
        let length = usize::try_from(*length).unwrap_or(1).max(1);
        let list = |items: &[String]| format!("[{}]", items.join(", "));
        items = items.chunks(length).map(list).collect();
    }
    items.into_iter().next().unwrap_or_else(|| "[]".to_owned())
}

fn pair(number: Fixed) -> Value {
    let value = Number::from(number.value());
    let decimals = u32::from(number.decimals());
    Value::array([value.into(), decimals.into()])
}

/// `{"shape": […], "values": [[value, decimals], …]}` or `{"shape": […], "strings": […]}`.
fn explicit(name: &str, form: &Object) -> Result<Tensor, TensorError> {
    let malformed = || TensorError::Form {
        name: name.to_owned(),
    };
    let list = |member: &str| {
        form.get(member)
            .map(|it| it.as_array().ok_or_else(malformed))
    };
    let length = |value: &Value| {
        let length = value.as_u64().and_then(|length| u32::try_from(length).ok());
        length.ok_or_else(malformed)
    };
    let shape = list("shape").ok_or_else(malformed)??;
    if shape.len() > MAX_DIMENSIONS {
        let name = name.to_owned();
        return Err(TensorError::Dimensions { name });
    }
    let shape = shape.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    match (
        list("values").transpose()?,
        list("strings").transpose()?,
        form.len(),
    ) {
        (Some(values), None, 2) => {
            let values = values.iter().map(|value| number(name, value));
            Tensor::numbers(name, shape, values.collect::<Result<_, _>>()?)
        }
        (None, Some(strings), 2) => {
            let strings = strings.iter().map(|it| it.as_str().map(str::to_owned));
            let strings = strings.collect::<Option<Vec<_>>>().ok_or_else(malformed)?;
            Tensor::strings(name, shape, strings)
        }
        _ => Err(malformed()),
    }
}

/// A number of the explicit form: two integers.
fn number(name: &str, value: &Value) -> Result<Fixed, TensorError> {
    let integer = |at: usize| {
        let number = value.at(at).and_then(Value::as_number)?;
        number.is_integer().then(|| number.to_string())
    };
    let (Some([_, _]), Some(digits), Some(decimals)) = (value.as_array(), integer(0), integer(1))
    else {
        return Err(TensorError::Form {
            name: name.to_owned(),
        });
    };
    let out_of_range = |source| TensorError::Number {
        name: name.to_owned(),
        source,
    };
    let read = |text: String| {
        let number = text.parse::<i128>();
        number.map_err(|_| out_of_range(super::FixedError::OutOfRange))
    };
    Fixed::new(read(digits)?, read(decimals)?).map_err(out_of_range)
}

/// Numbers or strings in lists of lists, or one alone, which the SDK makes a list of one.
fn nested(name: &str, value: &Value) -> Result<Tensor, TensorError> {
    let mut read = Nested {
        name,
        shape: Vec::new(),
        numbers: Vec::new(),
        strings: Vec::new(),
    };
    if value.as_array().is_none() {
        read.shape.push(1);
        read.leaf(value)?;
    } else {
        read.level(value, 0)?;
    }
    let length = |length: &usize| u32::try_from(*length).map_err(|_| TensorError::Elements);
    let shape = read.shape.iter().map(length);
    let shape = shape.collect::<Result<Vec<_>, _>>()?;
    if read.strings.is_empty() {
        Tensor::numbers(name, shape, read.numbers)
    } else {
        Tensor::strings(name, shape, read.strings)
    }
}

struct Nested<'a> {
    name: &'a str,
    /// Lengths of the levels that were seen, outermost first.
    shape: Vec<usize>,
    numbers: Vec<Fixed>,
    strings: Vec<String>,
}

impl Nested<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    /// Reads a value that stands in `depth` lists.
    fn level(&mut self, value: &Value, depth: usize) -> Result<(), TensorError> {
        let Some(items) = value.as_array() else {
            if depth != self.shape.len() {
                return Err(TensorError::Ragged { name: self.name() });
            }
            return self.leaf(value);
        };
        match self.shape.get(depth) {
            Some(length) if *length == items.len() => {}
            None if depth >= MAX_DIMENSIONS => {
                return Err(TensorError::Dimensions { name: self.name() });
            }
            // The first list of its level, and nothing before it was a value.
            None if self.numbers.is_empty() && self.strings.is_empty() => {
                self.shape.push(items.len());
            }
            Some(_) | None => return Err(TensorError::Ragged { name: self.name() }),
        }
        let inner = depth.saturating_add(1);
        items.iter().try_for_each(|item| self.level(item, inner))
    }

    fn leaf(&mut self, value: &Value) -> Result<(), TensorError> {
        let name = self.name();
        match value {
            Value::Number(number) if self.strings.is_empty() => {
                let number = Fixed::of_number(number);
                let number = number.map_err(|source| TensorError::Number { name, source })?;
                self.numbers.push(number);
            }
            Value::String(text) if self.numbers.is_empty() => {
                let text = text.as_str().ok_or(TensorError::Form { name })?;
                self.strings.push(text.to_owned());
            }
            Value::Number(_) | Value::String(_) => return Err(TensorError::Mixed { name }),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(TensorError::ValueType { name });
            }
        }
        if self.numbers.len().max(self.strings.len()) > MAX_ELEMENTS {
            return Err(TensorError::Elements);
        }
        Ok(())
    }
}
