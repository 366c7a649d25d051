use core::fmt;

use super::{Text, Value};

/// The members of a JSON object: in insertion order, each key once.
///
/// `Debug` shows the number of members only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Object(Vec<(Text, Value)>);

impl Object {
    /// Returns an object without members.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets the member `key`; an existing one keeps its place, as in a Python `dict`. Linear in the
    /// number of members: to build a large object, collect it.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// Sets the member `key` and returns the object, for chains.
    #[must_use]
    pub fn with(mut self, key: impl Into<Text>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// Sets the member `key` if there is a value, and returns the object.
    #[must_use]
    pub fn with_some(self, key: impl Into<Text>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Removes and returns the member `key`; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(index).1)
    }

    /// Returns the member `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }

    /// Returns the members in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Counts the members.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of a repeated key the last value wins, at the place of the first, as in a Python `dict`.
impl<K: Into<Text>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        let members: Vec<(usize, Text, Value)> = members
            .into_iter()
            .enumerate()
            .map(|(place, (key, value))| (place, key.into(), value))
            .collect();
        Self(without_repetitions(members))
    }
}

/// Sorts by key to find repetitions, because comparing each pair takes hours on an object of
/// 100,000 members that somebody sends.
fn without_repetitions(mut members: Vec<(usize, Text, Value)>) -> Vec<(Text, Value)> {
    members.sort_by(|(_, a, _), (_, b, _)| a.cmp(b));
    let mut unique: Vec<(usize, Text, Value)> = Vec::with_capacity(members.len());
    for (place, key, value) in members {
        match unique.last_mut() {
            Some((_, last, old)) if *last == key => *old = value,
            Some(_) | None => unique.push((place, key, value)),
        }
    }
    unique.sort_by_key(|(place, _, _)| *place);
    unique
        .into_iter()
        .map(|(_, key, value)| (key, value))
        .collect()
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object of {} members", self.0.len())
    }
}
