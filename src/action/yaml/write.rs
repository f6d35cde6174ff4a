//! Values as YAML: block style, keys in order of the alphabet.

use super::load;
use crate::action::value::{Failure, Value};

/// The YAML text of a value; it loads as the same value again.
pub fn write(value: &Value) -> Result<String, Failure> {
    let mut out = String::new();
    match value {
        Value::List(items) if !items.is_empty() => list(items, 0, &mut out)?,
        Value::Mapping(entries) if !entries.is_empty() => mapping(entries, 0, &mut out)?,
        Value::Text(_) | Value::List(_) | Value::Mapping(_) => {
            out = scalar(value)? + "\n";
        }
        plain => out = scalar(plain)? + "\n...\n",
    }
    Ok(out)
}

fn list(items: &[Value], indent: usize, out: &mut String) -> Result<(), Failure> {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match item {
            Value::List(items) if !items.is_empty() => list(items, indent + 2, out)?,
            Value::Mapping(entries) if !entries.is_empty() => mapping(entries, indent + 2, out)?,
            scalar_item => {
                out.push_str(&scalar(scalar_item)?);
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn mapping(
    entries: &crate::action::value::Mapping,
    indent: usize,
    out: &mut String,
) -> Result<(), Failure> {
    let mut sorted = Vec::from_iter(entries.iter());
    sorted.sort_by(|(one, _), (two, _)| {
        let order = one.value().compare(two.value()).ok().flatten();
        order.unwrap_or_else(|| one.value().to_string().cmp(&two.value().to_string()))
    });
    for (index, (key, member)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&scalar(key.value())?);
        out.push(':');
        match member {
            Value::List(items) if !items.is_empty() => {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                list(items, indent, out)?;
            }
            Value::Mapping(entries) if !entries.is_empty() => {
                out.push('\n');
                out.push_str(&" ".repeat(indent + 2));
                mapping(entries, indent + 2, out)?;
            }
            scalar_member => {
                out.push(' ');
                out.push_str(&scalar(scalar_member)?);
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> Result<String, Failure> {
    Ok(match value {
        Value::None => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::List(_) => "[]".to_owned(),
        Value::Mapping(_) => "{}".to_owned(),
        Value::Float(number) if number.is_nan() => ".nan".to_owned(),
        Value::Float(number) if number.is_infinite() => {
            if *number > 0.0 { ".inf" } else { "-.inf" }.to_owned()
        }
        Value::Float(_) => {
            // A float of YAML 1.1 needs its point.
            let text = value.to_string();
            match text.split_once('e') {
                Some((digits, exponent)) if !digits.contains('.') => {
                    format!("{digits}.0e{exponent}")
                }
                _ => text,
            }
        }
        Value::Text(text) => quoted(text),
        Value::Integer(_) | Value::Date(_) | Value::Moment(_) => value.to_string(),
        Value::Time(_) | Value::Duration(_) => {
            return Err(Failure::new(format!(
                "{} has no form in YAML",
                value.kind()
            )));
        }
    })
}

/// Text plain where it loads so, else in single quotes, and with escapes where those don't do.
fn quoted(text: &str) -> String {
    let is_one_line = text
        .chars()
        .all(|character| !character.is_control() && character != '\u{feff}');
    if !is_one_line || text.contains(['\u{2028}', '\u{2029}']) {
        return crate::action::value::json::write(
            &Value::from(text),
            crate::action::value::json::Layout::Compact,
        );
    }
    let looks_plain = text == text.trim()
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.starts_with([
            '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%',
            '@', '`', '=',
        ]);
    let loads = || {
        load(text)
            .ok()
            .is_some_and(|node| node.text() == Some(text))
    };
    if looks_plain && text != "<<" && loads() {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
