//! The bounds of a JSON document, checked before anything reads it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::Malformed;

/// Deepest nesting of an x402 message; JSON schemas echoed by extensions reach about ten.
pub const MAX_DEPTH: usize = 24;

/// Checks that `json` is one document of bounded size and depth in which no object has a member
/// twice: with such a document, two readers could see two different payments.
pub(super) fn check(json: &[u8], limit: usize) -> Result<(), Malformed> {
    if json.len() > limit {
        return Err(Malformed::Size);
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    Level(MAX_DEPTH).deserialize(&mut reader).map_err(|err| {
        // The visitor below has only strings to say which rule broke.
        let text = err.to_string();
        if text.starts_with(DUPLICATE) {
            Malformed::Duplicate
        } else if text.starts_with(DEPTH) {
            Malformed::Depth
        } else {
            Malformed::Json
        }
    })?;
    reader.end().map_err(|_| Malformed::Json)
}

/// Checks the bounds of `json`, then reads it.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a [u8], limit: usize) -> Result<T, Malformed> {
    check(json, limit)?;
    serde_json::from_slice(json).map_err(|_| Malformed::Json)
}

/// Writes an object whose members are JSON already, in the order given.
pub(super) fn object(members: &[(&'static str, String)]) -> Box<RawValue> {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    #[expect(clippy::expect_used, reason = "names are literals and values are JSON")]
    RawValue::from_string(text).expect("an object of JSON members is JSON")
}

/// How many levels may still be entered.
#[derive(Clone, Copy)]
struct Level(usize);

impl Level {
    fn down<E: serde::de::Error>(self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom(DEPTH))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = self.down()?;
        while items.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let below = self.down()?;
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom(DUPLICATE));
            }
            members.next_value_seed(below)?;
        }
        Ok(())
    }
}

const DUPLICATE: &str = "duplicate member";
const DEPTH: &str = "too deep";
