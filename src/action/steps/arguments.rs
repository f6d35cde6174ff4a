//! The arguments of a step, each of the kind that it has to be: nothing is converted.

use std::time::Duration;

use crate::action::value::{Key, Mapping, Value};
use crate::error::{Error, Result};

/// The arguments of an action by name.
pub(super) struct Arguments<'step> {
    action: &'static str,
    given: &'step Mapping,
}

impl<'step> Arguments<'step> {
    /// Those given, all of which have to be among `known`.
    pub(super) fn read(
        action: &'static str,
        given: &'step Mapping,
        known: &[&[&str]],
    ) -> Result<Self> {
        let known = Vec::from_iter(known.iter().copied().flatten().copied());
        let arguments = Self { action, given };
        for key in given.keys() {
            let name = key.value().to_string();
            if !known.contains(&name.as_str()) {
                let likeness = |known: &str| strsim::jaro_winkler(known, &name);
                let near = known.iter().filter(|known| likeness(known) > 0.8);
                let near = near.max_by(|one, two| likeness(one).total_cmp(&likeness(two)));
                let offer = near.map(|near| format!("; did you mean {near}?"));
                return Err(invalid(format!(
                    "{action} takes no argument {name}{}",
                    offer.unwrap_or_default()
                )));
            }
        }
        Ok(arguments)
    }

    /// The argument; `None` when it was left out or is None.
    pub(super) fn value(&self, name: &str) -> Option<&'step Value> {
        let value = self.given.get(&Key::from(name))?;
        (!matches!(value, Value::None)).then_some(value)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'step str>> {
        self.of_kind(name, "text", Value::text)
    }

    pub(super) fn required_text(&self, name: &str) -> Result<&'step str> {
        let text = self.text(name)?;
        text.ok_or_else(|| invalid(format!("{} needs {name}", self.action)))
    }

    pub(super) fn mapping(&self, name: &str) -> Result<Option<&'step Mapping>> {
        self.of_kind(name, "a mapping", |value| match value {
            Value::Mapping(entries) => Some(&**entries),
            _ => None,
        })
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        let flag = self.of_kind(name, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })?;
        Ok(flag.unwrap_or(default))
    }

    pub(super) fn count(&self, name: &str, default: usize) -> Result<usize> {
        let count = self.of_kind(name, "a whole number from 0", |value| match value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        })?;
        Ok(count.unwrap_or(default))
    }

    /// A number of seconds above zero.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        self.of_kind(name, "a number of seconds above 0", |value| match value {
            Value::Integer(_) | Value::Float(_) => {
                let seconds = value.float().filter(|seconds| *seconds > 0.0)?;
                Duration::try_from_secs_f64(seconds.min(1e9)).ok()
            }
            _ => None,
        })
    }

    /// Status codes, one or a list of them.
    pub(super) fn codes(&self, name: &str) -> Result<Option<Vec<u16>>> {
        let code = |value: &Value| match value {
            Value::Integer(number) => u16::try_from(*number).ok(),
            _ => None,
        };
        self.of_kind(
            name,
            "a status code or a list of them",
            |value| match value {
                Value::List(items) => items.iter().map(code).collect(),
                one => Some(vec![code(one)?]),
            },
        )
    }

    /// Whether an argument was left out, so that its default counts; one that is None was not.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        !self.given.contains_key(&Key::from(name))
    }

    fn of_kind<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'step Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(invalid(format!("{name} is {kind}, not {}", value.kind()))),
        }
    }
}

/// The error for arguments that are wrong.
pub(super) fn invalid(reason: impl Into<String>) -> Error {
    Error::action("invalid_arguments", reason)
}
