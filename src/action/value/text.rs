//! How Python writes a value: `str` and `repr`.

use std::fmt;

use super::moment::{date_iso, time_iso};
use super::{Duration, Moment, Value, Zone};

impl fmt::Display for Value {
    /// Python's `str`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Date(date) => formatter.write_str(&date_iso(*date)),
            Self::Time(time) => formatter.write_str(&time_iso(*time)),
            Self::Moment(moment) => formatter.write_str(&moment.iso(' ')),
            Self::Duration(duration) => write!(formatter, "{duration}"),
            other => write_repr(other, formatter),
        }
    }
}

impl Value {
    /// Python's `repr`.
    pub fn repr(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = write_repr(self, &mut text);
        text
    }
}

fn write_repr(value: &Value, out: &mut dyn fmt::Write) -> fmt::Result {
    match value {
        Value::None => out.write_str("None"),
        Value::Bool(true) => out.write_str("True"),
        Value::Bool(false) => out.write_str("False"),
        Value::Integer(number) => write!(out, "{number}"),
        Value::Float(number) => out.write_str(&plain_float(*number)),
        Value::Text(text) => write_quoted(text, out),
        Value::List(items) => {
            out.write_char('[')?;
            for (index, item) in items.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_repr(item, out)?;
            }
            out.write_char(']')
        }
        Value::Mapping(entries) => {
            out.write_char('{')?;
            for (index, (key, member)) in entries.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_repr(key.value(), out)?;
                out.write_str(": ")?;
                write_repr(member, out)?;
            }
            out.write_char('}')
        }
        Value::Date(date) => write!(
            out,
            "datetime.date({}, {}, {})",
            date.year(),
            date.month(),
            date.day()
        ),
        Value::Time(time) => {
            write!(out, "datetime.time({}, {}", time.hour(), time.minute())?;
            write_seconds(time.second(), time.subsec_nanosecond() / 1000, out)?;
            out.write_char(')')
        }
        Value::Moment(moment) => write_moment(moment, out),
        Value::Duration(duration) => write_duration(*duration, out),
    }
}

fn write_seconds(second: i8, microsecond: i32, out: &mut dyn fmt::Write) -> fmt::Result {
    match (second, microsecond) {
        (0, 0) => Ok(()),
        (second, 0) => write!(out, ", {second}"),
        (second, microsecond) => write!(out, ", {second}, {microsecond}"),
    }
}

fn write_moment(moment: &Moment, out: &mut dyn fmt::Write) -> fmt::Result {
    let clock = moment.clock;
    write!(
        out,
        "datetime.datetime({}, {}, {}, {}, {}",
        clock.year(),
        clock.month(),
        clock.day(),
        clock.hour(),
        clock.minute()
    )?;
    write_seconds(clock.second(), clock.subsec_nanosecond() / 1000, out)?;
    if let Some(zone) = &moment.zone {
        out.write_str(", tzinfo=")?;
        write_zone(zone, out)?;
    }
    out.write_char(')')
}

fn write_zone(zone: &Zone, out: &mut dyn fmt::Write) -> fmt::Result {
    match zone.place.iana_name() {
        Some("UTC") | None if zone.offset.is_zero() => out.write_str("datetime.timezone.utc"),
        Some(name) => write!(out, "zoneinfo.ZoneInfo(key='{name}')"),
        None => {
            out.write_str("datetime.timezone(")?;
            let microseconds = i128::from(zone.offset.seconds()) * 1_000_000;
            write_duration(
                Duration::from_microseconds(microseconds).map_err(|_| fmt::Error)?,
                out,
            )?;
            out.write_char(')')
        }
    }
}

fn write_duration(duration: Duration, out: &mut dyn fmt::Write) -> fmt::Result {
    let (days, seconds, microseconds) = duration.parts();
    let parts = [
        ("days", days),
        ("seconds", seconds),
        ("microseconds", microseconds),
    ];
    let parts = Vec::from_iter(
        parts
            .iter()
            .filter(|(_, amount)| *amount != 0)
            .map(|(name, amount)| format!("{name}={amount}")),
    );
    let parts = if parts.is_empty() {
        "0".to_owned()
    } else {
        parts.join(", ")
    };
    write!(out, "datetime.timedelta({parts})")
}

/// Python's `repr` of a float: the shortest digits that read back, an exponent from 1e16 on and below 1e-4.
pub(crate) fn plain_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let text = format!("{number}");
        return if text.contains('.') {
            text
        } else {
            text + ".0"
        };
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn write_quoted(text: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if character == quote => write!(out, "\\{quote}")?,
            _ if is_printable(character) => out.write_char(character)?,
            _ => match u32::from(character) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}")?,
                code @ 0x100..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char(quote)
}

/// Whether Python prints it as it is. Rust's own debug text leaves out the same Unicode categories, after a first letter.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    let mut pair = String::from("a");
    pair.push(character);
    pair.escape_debug().count() == 2
}
