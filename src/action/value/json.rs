//! Values and JSON: reading, writing, and the trip through it that everything makes between two steps.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::moment::{date_iso, time_iso};
use super::{Failure, Key, Mapping, Value, plain_float};

/// The value of a JSON text: strictly JSON, of a repeated key the last member counts.
pub fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(format!(
            "not JSON: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

/// How a value is laid out as JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layout {
    /// No blanks, not more escapes than needed.
    Compact,
    /// Indented by two, ASCII only.
    Pretty,
}

/// The JSON text of a value that has made the [`trip`] or could; NaN and infinities are null.
pub fn write(value: &Value, layout: Layout) -> String {
    let mut text = String::new();
    write_value(&trip(value), layout, 0, &mut text);
    text
}

/// What comes out after a trip through JSON: moments and spans become text, keys too, infinities null, and integers beyond
/// 64 bits floats.
pub fn trip(value: &Value) -> Value {
    match value {
        Value::Integer(number) if !fits(*number) => Value::Float(*number as f64),
        Value::Float(number) if !number.is_finite() => Value::None,
        Value::List(items) => Value::list(items.iter().map(trip).collect()),
        Value::Mapping(entries) => Value::mapping(
            entries
                .iter()
                .map(|(key, member)| (Key::from(key_text(key).as_str()), trip(member)))
                .collect(),
        ),
        Value::Date(date) => Value::from(date_iso(*date)),
        Value::Time(time) => Value::from(time_iso(*time)),
        Value::Moment(moment) => Value::from(moment.json()),
        Value::Duration(duration) => Value::from(duration.iso()),
        other => other.clone(),
    }
}

const fn fits(number: i128) -> bool {
    number >= i64::MIN as i128 && number <= u64::MAX as i128
}

/// A key of any kind as JSON's text: `True` is `true`, `None` stays `None`.
fn key_text(key: &Key) -> String {
    match key.value() {
        Value::Bool(flag) => flag.to_string(),
        Value::Moment(moment) => moment.json(),
        Value::Duration(duration) => duration.iso(),
        other => other.to_string(),
    }
}

fn write_value(value: &Value, layout: Layout, depth: usize, out: &mut String) {
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&plain_float(*number)),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, layout, depth + 1, out);
                write_value(item, layout, depth + 1, out);
            }
            close(items.is_empty(), layout, depth, out);
            out.push(']');
        }
        Value::Mapping(entries) => {
            out.push('{');
            for (index, (key, member)) in entries.iter().enumerate() {
                separate(index, layout, depth + 1, out);
                write_text(&key.value().to_string(), layout, out);
                out.push_str(if layout == Layout::Compact { ":" } else { ": " });
                write_value(member, layout, depth + 1, out);
            }
            close(entries.is_empty(), layout, depth, out);
            out.push('}');
        }
        other => write_text(&other.to_string(), layout, out),
    }
}

fn separate(index: usize, layout: Layout, depth: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
    close(false, layout, depth, out);
}

fn close(is_empty: bool, layout: Layout, depth: usize, out: &mut String) {
    if layout == Layout::Pretty && !is_empty {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
}

fn write_text(text: &str, layout: Layout, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if character < ' ' || layout == Layout::Pretty && character > '\u{7e}' => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        while let Some((key, member)) = entries.next_entry::<String, Value>()? {
            mapping.insert(Key::from(key.as_str()), member);
        }
        Ok(Value::mapping(mapping))
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Bool(flag) => Self::Bool(*flag),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Integer(number.into()),
                (None, Some(number)) => Self::Integer(number.into()),
                (None, None) => Self::Float(number.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => Self::from(text.as_str()),
            serde_json::Value::Array(items) => Self::list(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => Self::mapping(
                members
                    .iter()
                    .map(|(name, member)| (Key::from(name.as_str()), Self::from(member)))
                    .collect(),
            ),
        }
    }
}
