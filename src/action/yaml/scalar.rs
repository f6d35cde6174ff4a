//! What a scalar of YAML 1.1 is, by its spelling or by its tag.

use std::sync::LazyLock;

use base64::Engine as _;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use regex::Regex;

use crate::action::value::{Moment, Value, Zone};

/// A pattern of the specification, blanks left out.
fn pattern(text: &str) -> Regex {
    let text: String = text.split_whitespace().collect();
    Regex::new(&format!("^(?:{text})$")).expect("the pattern is constant")
}

static INTEGER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "[-+]?0b[01_]+ | [-+]?0[0-7_]+ | [-+]?0x[0-9a-fA-F_]+ | [-+]?(0|[1-9][0-9_]*)
        | [-+]?[1-9][0-9_]*(:[0-5]?[0-9])+",
    )
});
static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)? | \.[0-9][0-9_]*([eE][-+][0-9]+)?
        | [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]* | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN)",
    )
});
static TIMESTAMP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"([0-9]{4})-([0-9][0-9]?)-([0-9][0-9]?)
        (?:(?:[Tt]|[\x20\t]+)([0-9][0-9]?):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?
        (?:[\x20\t]*(?:(Z)|([-+])([0-9][0-9]?)(?::([0-9]{2}))?))?)?",
    )
});

/// The value of a scalar: its tag decides, else, when it is plain, its spelling.
pub(super) fn resolve(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Value, String> {
    let as_tagged = match tag {
        None if is_plain => return by_spelling(text),
        None | Some("str" | "!") => return Ok(Value::from(text)),
        Some("int") => integer(text),
        Some("float") => float(text).or_else(|| integer(text)?.float().map(Value::Float)),
        Some("bool") => boolean(text),
        Some("null") => Some(Value::None),
        Some("timestamp") => return timestamp(text),
        Some("binary") => binary(text),
        Some(tag) => return Err(format!("the tag {tag} is not one that a template may use")),
    };
    as_tagged.ok_or_else(|| format!("the value is not one of its tag, {}", tag.unwrap_or("")))
}

fn by_spelling(text: &str) -> Result<Value, String> {
    let Some(first) = text.chars().next() else {
        return Ok(Value::None);
    };
    match text {
        "~" | "null" | "Null" | "NULL" => return Ok(Value::None),
        "=" => return Err("a lone `=` must be quoted".to_owned()),
        _ => {}
    }
    if let Some(flag) = boolean_exactly(text) {
        return Ok(Value::Bool(flag));
    }
    if !(first.is_ascii_digit() || matches!(first, '-' | '+' | '.')) {
        return Ok(Value::from(text));
    }
    if INTEGER.is_match(text) {
        return integer(text).ok_or_else(|| "the integer has no digits".to_owned());
    }
    if FLOAT.is_match(text) {
        return float(text).ok_or_else(|| "the number can't be read".to_owned());
    }
    // The specification wants two digits in a lone date.
    let is_date = text.len() == 10 || text.contains(':');
    if is_date && TIMESTAMP.is_match(text) {
        return timestamp(text);
    }
    Ok(Value::from(text))
}

fn boolean_exactly(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn boolean(text: &str) -> Option<Value> {
    boolean_exactly(&text.to_ascii_lowercase()).map(Value::Bool)
}

fn signed(text: &str) -> (bool, String) {
    let digits = text.replace('_', "");
    match digits.strip_prefix('-') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, digits.trim_start_matches('+').to_owned()),
    }
}

/// An integer; one beyond 128 bits is the nearest float, which it would be after its trip through JSON anyhow.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = signed(text);
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if digits.contains(':') {
        let mut total = 0_i128;
        for part in digits.split(':') {
            total = total.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        return Some(Value::Integer(if negative { -total } else { total }));
    }
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    match i128::from_str_radix(digits, radix) {
        Ok(number) => Some(Value::Integer(if negative { -number } else { number })),
        Err(_) => {
            let base = f64::from(radix);
            let number = digits
                .chars()
                .filter_map(|digit| digit.to_digit(radix))
                .fold(0.0, |total, digit| total * base + f64::from(digit));
            let number = if radix == 10 {
                digits.parse().ok()?
            } else {
                number
            };
            Some(Value::Float(if negative { -number } else { number }))
        }
    }
}

fn float(text: &str) -> Option<Value> {
    let (negative, digits) = signed(text);
    let digits = digits.to_ascii_lowercase();
    let number = match digits.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        digits if digits.contains(':') => {
            let mut total = 0.0;
            for part in digits.split(':') {
                total = total * 60.0 + part.parse::<f64>().ok()?;
            }
            total
        }
        digits if digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    Some(Value::Float(if negative { -number } else { number }))
}

fn binary(text: &str) -> Option<Value> {
    let text: String = text.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    String::from_utf8(bytes).ok().map(Value::from)
}

fn timestamp(text: &str) -> Result<Value, String> {
    read_timestamp(text)
        .ok_or_else(|| "there is no such date or time; quote it if it is text".to_owned())
}

fn read_timestamp(text: &str) -> Option<Value> {
    let found = TIMESTAMP.captures(text)?;
    let number = |index: usize| found.get(index)?.as_str().parse::<i16>().ok();
    let small = |index: usize| i8::try_from(number(index)?).ok();
    let date = Date::new(number(1).filter(|year| *year > 0)?, small(2)?, small(3)?).ok()?;
    if found.get(4).is_none() {
        return Some(Value::Date(date));
    }
    let fraction = found.get(7).map_or("", |fraction| fraction.as_str());
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let nanoseconds = fraction.parse::<i32>().ok()? * 1000;
    let time = Time::new(small(4)?, small(5)?, small(6)?, nanoseconds).ok()?;
    let clock = date.to_datetime(time);
    let zone = match (found.get(8), found.get(9)) {
        (Some(_), _) => Some(Zone::UTC),
        (None, Some(sign)) => {
            let seconds = i32::from(number(10)?) * 3600 + i32::from(number(11).unwrap_or(0)) * 60;
            let sign = if sign.as_str() == "-" { -1 } else { 1 };
            Some(Zone::fixed(Offset::from_seconds(sign * seconds).ok()?))
        }
        (None, None) => None,
    };
    Some(Value::Moment(Moment { clock, zone }))
}
