use core::fmt::Write as _;

use super::{Object, Text, Unit, Value};

/// The order in which a writer puts the members of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// By code point at every depth: Python's `sort_keys=True`.
    Sorted,
    /// As they were inserted.
    Insertion,
}

impl Value {
    /// Prints this as Python's `json.dumps` does: `", "` and `": "` between items, ASCII only.
    ///
    /// The text is JSON unless the value holds an infinity or NaN.
    pub fn to_json(&self, keys: Keys) -> String {
        let mut writer = Writer {
            out: String::new(),
            keys,
            indent: None,
        };
        writer.value(self);
        writer.out
    }

    /// Prints this as Python's `json.dumps(indent=2)` does, without a newline at the end.
    pub fn to_json_pretty(&self, keys: Keys) -> String {
        let mut writer = Writer {
            out: String::new(),
            keys,
            indent: Some(0),
        };
        writer.value(self);
        writer.out
    }
}

struct Writer {
    out: String,
    keys: Keys,
    /// How many levels deep the writer is; `None` to print all in one line.
    indent: Option<usize>,
}

impl Writer {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            // Writing to a string cannot fail.
            Value::Number(number) => {
                let _ = write!(self.out, "{number}");
            }
            Value::String(text) => self.string(text),
            Value::Array(items) => self.list('[', items, ']', Self::value),
            Value::Object(object) => self.object(object),
        }
    }

    fn object(&mut self, object: &Object) {
        let mut members: Vec<(&Text, &Value)> = object.iter().collect();
        match self.keys {
            Keys::Sorted => members.sort_by_key(|(key, _)| *key),
            Keys::Insertion => {}
        }
        self.list('{', &members, '}', |writer, (key, value)| {
            writer.string(key);
            writer.out.push_str(": ");
            writer.value(value);
        });
    }

    fn list<T>(
        &mut self,
        open: char,
        items: &[T],
        close: char,
        mut item: impl FnMut(&mut Self, &T),
    ) {
        self.out.push(open);
        self.indent = self.indent.map(|level| level.saturating_add(1));
        for (index, entry) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            match self.indent {
                Some(_) => self.newline(),
                None if index > 0 => self.out.push(' '),
                None => {}
            }
            item(self, entry);
        }
        self.indent = self.indent.map(|level| level.saturating_sub(1));
        if self.indent.is_some() && !items.is_empty() {
            self.newline();
        }
        self.out.push(close);
    }

    fn newline(&mut self) {
        self.out.push('\n');
        for _ in 0..self.indent.unwrap_or(0) {
            self.out.push_str("  ");
        }
    }

    fn string(&mut self, text: &Text) {
        self.out.push('"');
        text.for_each(|unit| match unit {
            Unit::Char(scalar) => self.char(scalar),
            Unit::Surrogate(surrogate) => self.escape(surrogate),
        });
        self.out.push('"');
    }

    fn char(&mut self, scalar: char) {
        match scalar {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            ' '..='~' => self.out.push(scalar),
            '\u{8}' => self.out.push_str("\\b"),
            '\u{c}' => self.out.push_str("\\f"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            _ => {
                for unit in scalar.encode_utf16(&mut [0; 2]) {
                    self.escape(*unit);
                }
            }
        }
    }

    fn escape(&mut self, unit: u16) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, "\\u{unit:04x}");
    }
}
