//! Bringing a value to the type of its input, leniently, and from there to JSON's kinds.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex::Regex;

use super::Type;
use crate::action::expression::evaluate::{read_float, read_integer};
use crate::action::functions::read_moment;
use crate::action::value::json::trip;
use crate::action::value::{Duration, Key, Mapping, Moment, Value, whole};

/// Why a value can't be of a type, and where in it.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) path: String,
    pub(super) message: String,
}

/// How well a value fits its type: a union takes the type that fits best, of equals the first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fit {
    Coerced,
    Wider,
    Exact,
}

type Fitted = Result<(Value, Fit), Mismatch>;

impl Type {
    /// The value as this type, in JSON's kinds.
    pub(super) fn coerce(&self, value: &Value) -> Result<Value, Mismatch> {
        self.fit(value).map(|(value, _)| value)
    }

    /// Whether a value can stay as it stands where this type is expected: it would come out as the same kind of value.
    pub fn keeps(&self, value: &Value) -> bool {
        let is_number = |value: &Value| matches!(value, Value::Integer(_) | Value::Float(_));
        self.coerce(value).is_ok_and(|coerced| {
            coerced.kind() == value.kind() || is_number(&coerced) && is_number(value)
        })
    }

    fn mismatch(&self, value: &Value) -> Mismatch {
        Mismatch {
            path: String::new(),
            message: format!("{self} is needed, not {}", value.kind()),
        }
    }

    fn fit(&self, value: &Value) -> Fitted {
        let exact = |value: &Value| Some((value.clone(), Fit::Exact));
        let coerced = |value: Option<Value>| value.map(|value| (value, Fit::Coerced));
        let fitted = match (self, value) {
            (Self::Any, _) => Some((trip(value), Fit::Coerced)),
            (Self::None, Value::None)
            | (Self::Integer, Value::Integer(_))
            | (Self::Float, Value::Float(_))
            | (Self::Text, Value::Text(_))
            | (Self::Bool, Value::Bool(_)) => exact(value),
            (Self::Float, Value::Integer(number)) => {
                Some((Value::Float(*number as f64), Fit::Wider))
            }
            (Self::Integer, _) => coerced(integer(value)),
            (Self::Float, _) => coerced(float(value)),
            (Self::Bool, _) => coerced(boolean(value)),
            (Self::Moment, Value::Moment(moment)) => Some((moment.json().into(), Fit::Exact)),
            (Self::Moment, _) => coerced(moment(value).map(|moment| Value::from(moment.json()))),
            (Self::Duration, Value::Duration(duration)) => {
                Some((duration.iso().into(), Fit::Exact))
            }
            (Self::Duration, _) => {
                coerced(duration(value).map(|duration| Value::from(duration.iso())))
            }
            (Self::Enumeration(values), Value::Text(text)) => {
                if !values.iter().any(|known| **known == **text) {
                    return Err(Mismatch {
                        path: String::new(),
                        message: format!("must be one of {}", values.join(", ")),
                    });
                }
                exact(value)
            }
            (Self::List(of), Value::List(items)) => return list(of, items),
            (Self::Mapping(key, member), Value::Mapping(entries)) => {
                return mapping(key, member, entries);
            }
            (Self::Union(types), _) => {
                let mut best: Option<(Value, Fit)> = None;
                for fitted in types.iter().filter_map(|kind| kind.fit(value).ok()) {
                    if best.as_ref().is_none_or(|(_, fit)| fitted.1 > *fit) {
                        best = Some(fitted);
                    }
                }
                best
            }
            _ => None,
        };
        fitted.ok_or_else(|| self.mismatch(value))
    }
}

fn list(of: &Type, items: &[Value]) -> Fitted {
    let mut worst = Fit::Exact;
    let mut list = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (item, fit) = of.fit(item).map_err(|mut mismatch| {
            mismatch.path.insert_str(0, &format!("[{index}]"));
            mismatch
        })?;
        worst = worst.min(fit);
        list.push(item);
    }
    Ok((Value::list(list), worst))
}

fn mapping(key_type: &Type, member_type: &Type, entries: &Mapping) -> Fitted {
    let mut worst = Fit::Exact;
    let mut mapping = Mapping::new();
    for (key, member) in entries {
        let within = |mut mismatch: Mismatch| {
            let name = key.value().to_string();
            mismatch.path.insert_str(0, &format!("[{name:?}]"));
            mismatch
        };
        let (as_key, fit) = key_type.fit(key.value()).map_err(within)?;
        worst = worst.min(fit);
        let (member, fit) = member_type.fit(member).map_err(within)?;
        worst = worst.min(fit);
        let as_key = Key::new(as_key).map_err(|failure| Mismatch {
            path: String::new(),
            message: failure.to_string(),
        })?;
        mapping.insert(as_key, member);
    }
    Ok((trip(&Value::mapping(mapping)), worst))
}

fn integer(value: &Value) -> Option<Value> {
    let number = match value {
        Value::Bool(flag) => i128::from(*flag),
        Value::Float(number) => whole(*number)?,
        Value::Text(text) => {
            let text = text.trim();
            let digits = match text.split_once('.') {
                Some((digits, zeros))
                    if !zeros.is_empty() && zeros.bytes().all(|zero| zero == b'0') =>
                {
                    digits
                }
                Some(_) => return None,
                None => text,
            };
            read_integer(digits)?
        }
        _ => return None,
    };
    Some(Value::Integer(number))
}

fn float(value: &Value) -> Option<Value> {
    let number = match value {
        Value::Text(text) => read_float(text)?,
        other => other.float()?,
    };
    Some(Value::Float(number))
}

fn boolean(value: &Value) -> Option<Value> {
    let flag = match value {
        Value::Integer(0) => false,
        Value::Integer(1) => true,
        Value::Float(0.0) => false,
        Value::Float(1.0) => true,
        Value::Text(text) => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "t" | "y" | "1" => true,
            "false" | "no" | "off" | "f" | "n" | "0" => false,
            _ => return None,
        },
        _ => return None,
    };
    Some(Value::Bool(flag))
}

/// From here on a number is milliseconds since 1970, not seconds.
const FIRST_MILLISECONDS: f64 = 2e10;

fn moment(value: &Value) -> Option<Moment> {
    let number = match value {
        Value::Date(date) => return Some(Moment::naive(date.at(0, 0, 0, 0))),
        Value::Bool(_) => return None,
        Value::Text(text) if NUMBER.is_match(text) => text.parse().ok()?,
        Value::Text(text) => {
            return MOMENT
                .is_match(text)
                .then(|| read_moment(&text.replace('z', "Z")))?;
        }
        other => other.float()?,
    };
    let seconds = if number.abs() > FIRST_MILLISECONDS {
        number / 1000.0
    } else {
        number
    };
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let epoch = Moment::of_clock(epoch, TimeZone::UTC).ok()?;
    epoch.plus(Duration::from_seconds(seconds).ok()?).ok()
}

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-+]?\d+(?:\.\d+)?$").expect("the pattern is constant"));
static MOMENT: LazyLock<Regex> = LazyLock::new(|| {
    let clock = r"\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[-+]\d{2}:?\d{2})?";
    Regex::new(&format!(r"^\d{{4}}-\d{{2}}-\d{{2}}(?:[Tt _]{clock})?$"))
        .expect("the pattern is constant")
});

static ISO: LazyLock<Regex> = LazyLock::new(|| {
    let part = |unit: &str| format!(r"(?:(\d+(?:\.\d+)?){unit})?");
    let days = ["Y", "M", "W", "D"].map(part).concat();
    let clock = ["H", "M", "S"].map(part).concat();
    Regex::new(&format!("^([-+]?)P{days}(?:T{clock})?$")).expect("the pattern is constant")
});
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([-+]?)(?:(\d+) ?d(?:ays?)?,? ?)?(?:(\d{1,2}):(\d{2}):(\d{2}(?:\.\d{1,6})?))?$")
        .expect("the pattern is constant")
});

fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Float(number) => Duration::from_seconds(*number).ok(),
        Value::Text(text) => duration_of_text(text),
        other => Duration::from_microseconds(other.integer()?.checked_mul(1_000_000)?).ok(),
    }
}

fn duration_of_text(text: &str) -> Option<Duration> {
    let (found, units) = match ISO.captures(text) {
        Some(found) => {
            let units: &[f64] = &[365.0, 30.0, 7.0, 1.0];
            let clock = [3600.0, 60.0, 1.0];
            let units = units.iter().map(|days| days * 86_400.0).chain(clock);
            (found, Vec::from_iter(units))
        }
        None => (CLOCK.captures(text)?, vec![86_400.0, 3600.0, 60.0, 1.0]),
    };
    let mut seconds = None;
    for (unit, part) in units.iter().zip(found.iter().skip(2)) {
        if let Some(part) = part {
            let amount: f64 = part.as_str().parse().ok()?;
            seconds = Some(seconds.unwrap_or(0.0) + amount * unit);
        }
    }
    let sign = if &found[1] == "-" { -1.0 } else { 1.0 };
    Duration::from_seconds(sign * seconds?).ok()
}
