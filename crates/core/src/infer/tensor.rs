use core::fmt;
use std::collections::BTreeMap;

use super::{
    Fixed, FixedError, MAX_DIMENSIONS, MAX_ELEMENTS, MAX_NAME_BYTES, MAX_STRING_BYTES, MAX_TENSORS,
};

/// What a tensor holds, in row-major order.
///
/// `Debug` shows how many there are and nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub enum Values {
    /// Numbers in fixed point. They have no type of their own: the model's input says what they
    /// become.
    Numbers(Vec<Fixed>),
    /// Strings.
    Strings(Vec<String>),
}

/// A named tensor whose shape fits its values.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    name: String,
    shape: Vec<u32>,
    values: Values,
}

/// The tensors of a request or of an answer, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TensorSet {
    tensors: BTreeMap<String, Tensor>,
}

/// What goes into a model.
pub type Inputs = TensorSet;

/// What comes out of a model.
pub type Outputs = TensorSet;

/// Why tensors are refused. Names are the caller's own; nothing else of a tensor is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// A name is empty, too long, or holds control characters.
    #[error("a tensor's name is empty, longer than {MAX_NAME_BYTES} bytes, or not printable")]
    Name,
    /// The shape has more dimensions than [`MAX_DIMENSIONS`].
    #[error("tensor `{name}` has more than {MAX_DIMENSIONS} dimensions")]
    Dimensions {
        /// The tensor.
        name: String,
    },
    /// The shape asks for another number of values than there are.
    #[error(
        "tensor `{name}` has {values} values, and its shape {shape:?} does not ask for that many"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u32>,
        /// How many values it has.
        values: usize,
    },
    /// The explicit form of a tensor is not `shape` beside `values` or `strings`, or holds something else
    /// than it says.
    #[error("tensor `{name}` is not of the form `shape` beside `values` or `strings`")]
    Form {
        /// The tensor.
        name: String,
    },
    /// The tensors are not an object of tensors by name.
    #[error("the tensors are not an object")]
    NotAnObject,
    /// Nested lists are not as long as one another.
    #[error("tensor `{name}` is ragged: lists of one level differ in length or depth")]
    Ragged {
        /// The tensor.
        name: String,
    },
    /// A tensor holds strings beside numbers.
    #[error("tensor `{name}` holds strings beside numbers")]
    Mixed {
        /// The tensor.
        name: String,
    },
    /// A value is neither a number nor a string.
    #[error("tensor `{name}` holds something that is neither a number nor a string")]
    ValueType {
        /// The tensor.
        name: String,
    },
    /// A number has no fixed-point form.
    #[error("tensor `{name}` holds a number that cannot be converted")]
    Number {
        /// The tensor.
        name: String,
        /// Why.
        source: FixedError,
    },
    /// Two tensors have the same name.
    #[error("two tensors are named `{name}`")]
    Twice {
        /// The name.
        name: String,
    },
    /// There are more tensors than [`MAX_TENSORS`].
    #[error("there are more than {MAX_TENSORS} tensors")]
    TooMany,
    /// All tensors together have more elements than [`MAX_ELEMENTS`].
    #[error("the tensors have more than {MAX_ELEMENTS} elements together")]
    Elements,
    /// All strings together are longer than [`MAX_STRING_BYTES`].
    #[error("the strings are longer than {MAX_STRING_BYTES} bytes together")]
    StringBytes,
}

impl TensorError {
    /// Returns the stable code of this error, as the vectors name it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Name => "tensor_name",
            Self::Dimensions { .. } => "tensor_dimensions",
            Self::Shape { .. } => "tensor_shape",
            Self::Form { .. } => "tensor_form",
            Self::NotAnObject => "tensors_not_an_object",
            Self::Ragged { .. } => "tensor_ragged",
            Self::Mixed { .. } => "tensor_mixed",
            Self::ValueType { .. } => "tensor_value_type",
            Self::Number { source, .. } => source.code(),
            Self::Twice { .. } => "tensor_twice",
            Self::TooMany => "tensors_too_many",
            Self::Elements => "tensors_elements",
            Self::StringBytes => "tensors_string_bytes",
        }
    }
}

impl Tensor {
    /// Makes a tensor of numbers; an empty shape is a scalar.
    ///
    /// # Errors
    ///
    /// [`TensorError`] where the name or the shape is refused.
    pub fn numbers(
        name: impl Into<String>,
        shape: Vec<u32>,
        values: Vec<Fixed>,
    ) -> Result<Self, TensorError> {
        Self::new(name.into(), shape, Values::Numbers(values))
    }

    /// Makes a tensor of strings.
    ///
    /// # Errors
    ///
    /// As [`Tensor::numbers`].
    pub fn strings(
        name: impl Into<String>,
        shape: Vec<u32>,
        values: Vec<String>,
    ) -> Result<Self, TensorError> {
        Self::new(name.into(), shape, Values::Strings(values))
    }

    fn new(name: String, shape: Vec<u32>, values: Values) -> Result<Self, TensorError> {
        let printable = !name.chars().any(char::is_control);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !printable {
            return Err(TensorError::Name);
        }
        if shape.len() > MAX_DIMENSIONS {
            return Err(TensorError::Dimensions { name });
        }
        // A dimension of zero makes the product zero, however large the others are.
        let product = if shape.contains(&0) {
            Some(0)
        } else {
            shape.iter().try_fold(1_usize, |product, length| {
                product.checked_mul(usize::try_from(*length).ok()?)
            })
        };
        let count = values.len();
        if product != Some(count) {
            let values = count;
            return Err(TensorError::Shape {
                name,
                shape,
                values,
            });
        }
        Ok(Self {
            name,
            shape,
            values,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the lengths of the dimensions, outermost first; none for a scalar.
    pub fn shape(&self) -> &[u32] {
        &self.shape
    }

    /// Returns the values, in row-major order.
    pub const fn values(&self) -> &Values {
        &self.values
    }
}

impl Values {
    /// Returns how many there are.
    pub const fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Strings(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn string_bytes(&self) -> usize {
        match self {
            Self::Numbers(_) => 0,
            Self::Strings(values) => values
                .iter()
                .map(String::len)
                .fold(0, usize::saturating_add),
        }
    }
}

impl TensorSet {
    /// Puts tensors together.
    ///
    /// # Errors
    ///
    /// [`TensorError`] where two have one name, or all together break a limit.
    pub fn new(tensors: Vec<Tensor>) -> Result<Self, TensorError> {
        if tensors.len() > MAX_TENSORS {
            return Err(TensorError::TooMany);
        }
        let values = || tensors.iter().map(Tensor::values);
        if values().map(Values::len).fold(0, usize::saturating_add) > MAX_ELEMENTS {
            return Err(TensorError::Elements);
        }
        let bytes = values().map(Values::string_bytes);
        if bytes.fold(0, usize::saturating_add) > MAX_STRING_BYTES {
            return Err(TensorError::StringBytes);
        }
        let mut named = BTreeMap::new();
        for tensor in tensors {
            let name = tensor.name.clone();
            if named.insert(name.clone(), tensor).is_some() {
                return Err(TensorError::Twice { name });
            }
        }
        Ok(Self { tensors: named })
    }

    /// Returns the tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Returns the tensors, ordered by the bytes of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.values()
    }

    /// Returns how many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Returns how many elements are priced: each number one, each string one per started 16 bytes and
    /// at least one (`spec/infer.md`, "What it costs").
    pub fn elements(&self) -> u64 {
        let priced = self.iter().map(|tensor| match tensor.values() {
            Values::Numbers(values) => values.len(),
            Values::Strings(values) => values
                .iter()
                .map(|text| text.len().div_ceil(16).max(1))
                .fold(0, usize::saturating_add),
        });
        u64::try_from(priced.fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Numbers(_) => "numbers",
            Self::Strings(_) => "strings",
        };
        write!(f, "{} {kind}", self.len())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {:?}", self.name, self.shape, self.values)
    }
}

impl fmt::Debug for TensorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
