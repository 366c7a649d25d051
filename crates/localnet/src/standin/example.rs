//! The smallest value of a JSON schema, as far as applications use schemas.

use serde_json::{Map, Value, json};

/// Deeper than any schema of a tool; a schema that nests further has `null` there.
const DEPTH: usize = 16;

/// A value of `schema`: every property, one element of each array, the first of each choice.
/// References are not followed: `null` stands for them.
pub(super) fn example(schema: &Value) -> Value {
    of(schema, DEPTH)
}

fn of(schema: &Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    let first = |name: &str| schema.get(name)?.as_array()?.first();
    if let Some(value) = first("enum") {
        return value.clone();
    }
    if let Some(choice) = first("anyOf").or_else(|| first("oneOf")) {
        return of(choice, depth);
    }
    let kind = schema.get("type");
    let kind = kind
        .and_then(Value::as_array)
        .map_or(kind, |kinds| kinds.first());
    match kind.and_then(Value::as_str) {
        Some("object") => {
            let mut object = Map::new();
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                object.insert(name.clone(), of(property, depth));
            }
            Value::Object(object)
        }
        Some("array") => schema
            .get("items")
            .map_or_else(|| json!([]), |items| json!([of(items, depth)])),
        Some("string") => json!("stand-in"),
        Some("integer") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
        Some("boolean") => json!(true),
        Some(_) | None => Value::Null,
    }
}
