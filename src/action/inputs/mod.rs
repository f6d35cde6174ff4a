//! What a template expects: its inputs, checked and brought to their types before anything runs.

use std::fmt;

use super::value::json::trip;
use super::value::{Key, Mapping, Value};

mod coerce;
mod schema;
mod types;

pub use schema::schema;
pub use types::{Type, TypeError};

/// One input that a template expects.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// What it is when it is not given, taken as it stands; without one it has to be given.
    pub default: Option<Value>,
    /// What it is for.
    pub description: String,
}

/// What is wrong with the inputs that were given: one sentence a field, never a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InputErrors(pub Vec<(String, String)>);

impl fmt::Display for InputErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, message)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{field}: {message}")?;
        }
        Ok(())
    }
}

/// The inputs as expressions see them: JSON's kinds only. A template that expects nothing takes anything.
pub fn validate(expected: &[Input], given: &Mapping) -> Result<Value, InputErrors> {
    if expected.is_empty() {
        return Ok(trip(&Value::mapping(given.clone())));
    }
    let mut inputs = Mapping::new();
    let mut errors = Vec::new();
    for input in expected {
        let name = input.name.as_str();
        match (given.get(&Key::from(name)), &input.default) {
            (Some(value), _) => match input.kind.coerce(value) {
                Ok(value) => {
                    inputs.insert(name.into(), value);
                }
                Err(error) => errors.push((format!("{name}{}", error.path), error.message)),
            },
            (None, Some(default)) => {
                inputs.insert(name.into(), default.clone());
            }
            (None, None) => errors.push((name.to_owned(), "is missing".to_owned())),
        }
    }
    for key in given.keys() {
        let name = key.value().to_string();
        if !expected.iter().any(|input| input.name == name) {
            let names = expected.iter().map(|input| input.name.as_str());
            let nearest = names
                .filter(|known| strsim::jaro_winkler(known, &name) > 0.8)
                .max_by(|one, two| {
                    let likeness = |known: &str| strsim::jaro_winkler(known, &name);
                    likeness(one).total_cmp(&likeness(two))
                });
            let offer = nearest.map(|known| format!("; did you mean {known}?"));
            let message = format!("is no input{}", offer.unwrap_or_default());
            errors.push((name, message));
        }
    }
    if errors.is_empty() {
        Ok(Value::mapping(inputs))
    } else {
        Err(InputErrors(errors))
    }
}
