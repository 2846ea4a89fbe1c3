//! What a JSON schema says of a configuration, as the derive of schemars writes it.

use serde_json::{Map, Value};

/// The keys of a map that has fixed ones. `root` is the schema that references in `schema` are about.
#[must_use]
pub fn properties<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Map<String, Value>> {
    resolve(root, schema).get("properties")?.as_object()
}

/// What a schema refers to, through `allOf` of one and the `anyOf` of an option.
#[must_use]
pub fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let referred = schema.get("$ref").and_then(Value::as_str);
    if let Some(found) = referred.and_then(|it| root.pointer(it.trim_start_matches('#'))) {
        return resolve(root, found);
    }
    let of = schema.get("allOf").or_else(|| schema.get("anyOf"));
    match of.and_then(Value::as_array).map(Vec::as_slice) {
        Some([one, rest @ ..]) if rest.iter().all(|it| it["type"] == "null") => resolve(root, one),
        _ => schema,
    }
}
