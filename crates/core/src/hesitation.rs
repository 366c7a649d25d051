//! Hesitations: coded, measured events, recomputed from a receipt by anyone.
//!
//! A hesitation is never an opinion of the recorder: each [`Code`] is a pure function over recorded
//! events with fixed thresholds (`spec/hesitations.md`), so a verifier computes the same list, and a
//! receipt whose list differs is refuted.

mod code;
mod rules;
#[cfg(test)]
mod tests;

pub use code::Code;
pub use code::{Rule, Side, Unit};
pub use rules::{Comparison, compare, of};

use crate::cbor::{Error, Reader, Writer};

/// How much a hesitation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth seeing.
    Notice,
    /// Worth acting on if it repeats.
    Warn,
    /// Something that was meant to hold did not.
    Error,
}

impl Severity {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Notice => 0,
            Self::Warn => 1,
            Self::Error => 2,
        }
    }
}

/// One hesitation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hesitation {
    /// Index of the event that shows it.
    pub event: u32,
    /// What it is.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// The observed value, in the unit of the code.
    pub arg: i64,
    /// The threshold that was crossed, in the same unit.
    pub limit: i64,
}

impl Hesitation {
    pub(crate) fn write(&self, writer: &mut Writer) {
        let Self {
            event,
            code,
            severity,
            arg,
            limit,
        } = self;
        writer.array(5).uint(u64::from(code.number()));
        writer.uint(u64::from(severity.number()));
        writer.int(*arg).int(*limit).uint(u64::from(*event));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.array_of(5)?;
        let (at, field) = (reader.at(), "the code of a hesitation");
        let code = Code::from_number(reader.uint_in(field)?);
        let code = code.ok_or(Error::OutOfRange { field, at })?;
        let (at, field) = (reader.at(), "the severity of a hesitation");
        let severity = match reader.uint()? {
            0 => Severity::Notice,
            1 => Severity::Warn,
            2 => Severity::Error,
            _ => return Err(Error::OutOfRange { field, at }),
        };
        Ok(Self {
            code,
            severity,
            arg: reader.int()?,
            limit: reader.int()?,
            event: reader.uint_in("the event of a hesitation")?,
        })
    }
}
