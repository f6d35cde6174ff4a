//! Inputs as JSON Schema (draft 2020-12), for those who show or check them before a run.

use super::{Input, Type};
use crate::action::value::{Key, Mapping, Value};

/// The schema of what a template expects.
pub fn schema(inputs: &[Input]) -> Value {
    let properties = inputs.iter().map(|input| {
        let mut property = of(&input.kind);
        if !input.description.is_empty() {
            let description = Value::from(input.description.as_str());
            property.insert("description".into(), description);
        }
        if let Some(default) = &input.default {
            property.insert("default".into(), default.clone());
        }
        (Key::from(input.name.as_str()), Value::mapping(property))
    });
    let required = inputs.iter().filter(|input| input.default.is_none());
    let required = required.map(|input| Value::from(input.name.as_str()));
    let mut schema = Mapping::from_iter([
        ("type".into(), Value::from("object")),
        ("properties".into(), Value::mapping(properties.collect())),
        ("required".into(), Value::list(required.collect())),
    ]);
    if !inputs.is_empty() {
        schema.insert("additionalProperties".into(), Value::Bool(false));
    }
    Value::mapping(schema)
}

fn of(kind: &Type) -> Mapping {
    let one = |name: &str, value: Value| Mapping::from_iter([(Key::from(name), value)]);
    let named = |name: &str| one("type", Value::from(name));
    let formatted = |format: &str| {
        let mut schema = named("string");
        schema.insert("format".into(), Value::from(format));
        schema
    };
    match kind {
        Type::Integer => named("integer"),
        Type::Float => named("number"),
        Type::Text => named("string"),
        Type::Bool => named("boolean"),
        Type::Moment => formatted("date-time"),
        Type::Duration => formatted("duration"),
        Type::Any => Mapping::new(),
        Type::None => named("null"),
        Type::List(of_each) => {
            let mut schema = named("array");
            schema.insert("items".into(), Value::mapping(of(of_each)));
            schema
        }
        Type::Mapping(_, member) => {
            let mut schema = named("object");
            schema.insert("additionalProperties".into(), Value::mapping(of(member)));
            schema
        }
        Type::Union(types) => {
            let types = types.iter().map(|kind| Value::mapping(of(kind)));
            one("anyOf", Value::list(types.collect()))
        }
        Type::Enumeration(values) => {
            let values = values.iter().map(|value| Value::from(value.as_str()));
            one("enum", Value::list(values.collect()))
        }
    }
}
