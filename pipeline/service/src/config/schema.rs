//! The JSON schema of a whole configuration of this binary, and the defaults that it has.

use pipeline::config::schema::{properties, resolve};
use pipeline::config::{Node, NodeValue};
use pipeline::{Factory, Registration};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::service::{Service, WrittenDelivery, WrittenReceiver, delivery_config};
use super::types::type_of;

/// A schema ([draft 7](https://json-schema.org/draft-07), which editors know) of all that this binary takes. A value may be
/// written by `${…}`, and a component's map be left empty.
pub(crate) fn schema(program: &str) -> Value {
    let mut definitions = Map::new();
    let mut sections = json!({});
    for section in ["receivers", "processors", "exporters", "extensions"] {
        sections[section] = json!({"type": ["object", "null"], "additionalProperties": false});
    }
    for registration in Registration::all() {
        let kind = registration.factory.kind();
        let name = format!("{kind}.{}", registration.type_name);
        let component = add(&mut definitions, &name, component(registration));
        let id = format!("^{}(/.+)?$", registration.type_name);
        sections[format!("{kind}s")]["patternProperties"][id] = component;
    }
    sections["service"] = add(&mut definitions, "service", of::<Service>());
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("{program}'s configuration"),
        "type": "object",
        "properties": sections,
        "patternProperties": {"^x-": {}},
        "required": ["service"],
        "additionalProperties": false,
        "definitions": definitions,
    })
}

fn of<T: schemars::JsonSchema>() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// A component's schema, a receiver's and an exporter's with the keys that stand around it.
fn component(registration: &Registration) -> Value {
    let mut schema = (registration.schema)().to_value();
    match &registration.factory {
        Factory::Receiver(_) => {
            merge(
                &mut schema["properties"],
                &of::<WrittenReceiver>()["properties"],
            );
        }
        Factory::Exporter(_, delivery) => {
            let around = of::<WrittenDelivery>();
            let defaults = json!(delivery_config(&delivery()));
            merge(&mut schema["definitions"], &around["definitions"]);
            for (key, option) in around["properties"].as_object().into_iter().flatten() {
                let mut option = option.clone();
                option["default"] = defaults[key].clone();
                schema["properties"][key] = option;
            }
        }
        Factory::Processor(_) | Factory::Extension(_) => {}
    }
    schema
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// Adds a schema and what it defines, all by names that begin with `name`; what refers to it.
fn add(definitions: &mut Map<String, Value>, name: &str, mut schema: Value) -> Value {
    let own = schema.as_object_mut().and_then(|it| {
        it.remove("$schema");
        it.remove("definitions")
    });
    for (key, value) in own.iter().filter_map(Value::as_object).flatten() {
        definitions.insert(format!("{name}.{key}"), as_written(value, name));
    }
    let has_required = schema["required"]
        .as_array()
        .is_some_and(|it| !it.is_empty());
    definitions.insert(name.into(), as_written(&schema, name));
    let component = json!({"$ref": format!("#/definitions/{name}")});
    if has_required {
        component
    } else {
        json!({"anyOf": [component, {"type": "null"}]})
    }
}

/// The schema with its references below `name`, and `${…}` allowed for what is no text of any kind.
fn as_written(schema: &Value, name: &str) -> Value {
    match schema {
        Value::Array(all) => all.iter().map(|it| as_written(it, name)).collect(),
        Value::Object(map) => {
            let written = map.iter().map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        json!(to.replace("#/definitions/", &format!("#/definitions/{name}.")))
                    }
                    // Here keys are the user's, and no words of a schema.
                    ("properties", Value::Object(options)) => {
                        let options = options.iter();
                        let options = options.map(|(key, it)| (key.clone(), as_written(it, name)));
                        Value::Object(options.collect())
                    }
                    ("default" | "enum" | "const" | "examples" | "required", _) => value.clone(),
                    _ => as_written(value, name),
                };
                (key.clone(), value)
            });
            let written = Value::Object(written.collect());
            if is_narrow(map) {
                json!({"anyOf": [written, {"type": "string", "pattern": r"\$\{.+\}"}]})
            } else {
                written
            }
        }
        other => other.clone(),
    }
}

/// Whether a text of any kind does not fit it, though it is one value.
fn is_narrow(schema: &Map<String, Value>) -> bool {
    const KINDS: [&str; 3] = ["integer", "number", "boolean"];
    let kinds = match schema.get("type") {
        Some(Value::String(kind)) => std::slice::from_ref(kind)
            .iter()
            .map(String::as_str)
            .collect(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let takes_text = kinds.contains(&"string");
    (kinds.iter().any(|kind| KINDS.contains(kind)) && !takes_text)
        || (takes_text
            && ["enum", "const", "pattern"]
                .iter()
                .any(|it| schema.contains_key(*it)))
}

/// Writes every option of every component that has a default and is not written.
pub(crate) fn add_defaults(node: &mut Node) {
    for registration in Registration::all() {
        let section = format!("{}s", registration.factory.kind());
        let components = map(node).iter_mut().filter(|(key, _)| *key == section);
        for (id, node) in components.flat_map(|(_, section)| map(section)) {
            if type_of(id) == registration.type_name {
                let schema = component(registration);
                add_defaults_of(&schema, &schema, node);
            }
        }
    }
    let service = map(node).iter_mut().find(|(key, _)| key == "service");
    if let Some((_, node)) = service {
        let schema = of::<Service>();
        add_defaults_of(&schema, &schema, node);
    }
}

fn add_defaults_of(root: &Value, schema: &Value, node: &mut Node) {
    if let (NodeValue::List(items), Some(of)) = (&mut node.tree, resolve(root, schema).get("items"))
    {
        items
            .iter_mut()
            .for_each(|(_, item)| add_defaults_of(root, of, item));
    }
    let Some(options) = properties(root, schema) else {
        return;
    };
    if matches!(node.tree, NodeValue::Null) {
        node.tree = NodeValue::Map(Vec::new());
    }
    let NodeValue::Map(written) = &mut node.tree else {
        return;
    };
    for (key, option) in options {
        if let Some((_, below)) = written.iter_mut().find(|(it, _)| it == key) {
            add_defaults_of(root, option, below);
        } else if let Some(default) = option.get("default").filter(|it| !it.is_null())
            && let Ok(value) = serde_yaml::to_value(default)
        {
            written.push((key.clone(), Node::from(value)));
        }
    }
}

/// The entries of a map; none of anything else.
fn map(node: &mut Node) -> &mut [(String, Node)] {
    match &mut node.tree {
        NodeValue::Map(map) => map,
        _ => &mut [],
    }
}
