use seamline_core::json::{Number, Object, Value};

/// How deep a schema is followed: a schema may contain itself.
const DEPTH: u32 = 8;

/// A value that `schema` allows: its first choice, one item of each array, all members that it
/// names, and `text` where a string is wanted.
pub(super) fn instance(schema: &Value, text: &str) -> Value {
    build(schema, text, DEPTH)
}

fn build(schema: &Value, text: &str, depth: u32) -> Value {
    let Some(deeper) = depth.checked_sub(1) else {
        return Value::Null;
    };
    for fixed in ["const", "default"] {
        if let Some(value) = schema.get(fixed) {
            return value.clone();
        }
    }
    if let Some(value) = schema.get("enum").and_then(|choices| choices.at(0)) {
        return value.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|choices| choices.at(0)) {
            return build(first, text, deeper);
        }
    }
    let named = schema.get("type");
    let first = named.and_then(|named| named.as_str().or_else(|| named.at(0)?.as_str()));
    match first {
        Some("string") => Value::from(text),
        Some("integer") => bound(schema, 1),
        Some("number") => match schema.get("minimum") {
            Some(least) => least.clone(),
            None => Number::float(1.5).into(),
        },
        Some("boolean") => Value::Bool(true),
        Some("null") => Value::Null,
        Some("array") => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            Value::array([build(item, text, deeper)])
        }
        Some(_) | None => {
            let mut object = Object::new();
            let members = schema.get("properties").and_then(Value::as_object);
            for (name, member) in members.into_iter().flat_map(Object::iter) {
                object.insert(name.clone(), build(member, text, deeper));
            }
            object.into()
        }
    }
}

fn bound(schema: &Value, default: u64) -> Value {
    match schema.get("minimum") {
        Some(least) if least.as_i64().is_some() => least.clone(),
        Some(_) | None => default.into(),
    }
}
