//! The values of templates: Python's, since the dialect shows them wherever it turns one into text, compares or orders.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::civil::{Date, Time};

pub mod json;
mod moment;
mod text;

pub use moment::{Duration, Moment, Zone};
pub(crate) use moment::{date_iso, offset_text, time_iso};
pub(crate) use text::plain_float;

/// A value of a template. Copies share what they hold.
///
/// An integer has 128 bits; what goes beyond is an error that says so (Python's have any size, JSON's here 64 bits).
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Integer(i128),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A mapping, in the order in which its keys came.
    Mapping(Arc<Mapping>),
    /// A day.
    Date(Date),
    /// A day and time, with or without a zone.
    Moment(Moment),
    /// A time of day.
    Time(Time),
    /// A span of time.
    Duration(Duration),
}

/// What a mapping holds, in order.
pub type Mapping = IndexMap<Key, Value>;

/// A value that can be a key or a member of a set: no list, no mapping. As a key NaN is equal to itself, as in JSON, where it
/// is text then.
#[derive(Clone, Debug)]
pub struct Key(Value);

/// Why a value could not be computed: about types and names, never about what a value holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure(String);

impl Failure {
    /// A failure in these words, a sentence without its full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Key {
    /// `value` as a key; a list or mapping can't be one.
    pub fn new(value: Value) -> Result<Self, Failure> {
        match value {
            Value::List(_) | Value::Mapping(_) => Err(Failure::new(format!(
                "{} can't be a key or a member of a set",
                value.kind()
            ))),
            value => Ok(Self(value)),
        }
    }

    /// The value.
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// The key, when it is text.
    pub fn text(&self) -> Option<&str> {
        self.0.text()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Value::from(text))
    }
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl Value {
    /// A list of these.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    /// A mapping of these.
    pub fn mapping(entries: Mapping) -> Self {
        Self::Mapping(Arc::new(entries))
    }

    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number as an integer: booleans count, as in Python.
    pub const fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bool(flag) => Some(*flag as i128),
            _ => None,
        }
    }

    /// The number as a float, integers and booleans included.
    pub const fn float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            _ => match self.integer() {
                Some(number) => Some(number as f64),
                None => None,
            },
        }
    }

    /// The member of a mapping under a text.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Mapping(entries) => entries.get(&Key::from(key)),
            _ => None,
        }
    }

    /// What it is, for messages, with its article.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
            Self::Date(_) => "a date",
            Self::Moment(_) => "a datetime",
            Self::Time(_) => "a time",
            Self::Duration(_) => "a duration",
        }
    }

    /// Python's truth: nothing, zero and the empty are false.
    pub fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(flag) => *flag,
            Self::Integer(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Mapping(entries) => !entries.is_empty(),
            Self::Duration(duration) => duration.microseconds() != 0,
            Self::Date(_) | Self::Moment(_) | Self::Time(_) => true,
        }
    }

    /// Python's `len`.
    pub fn length(&self) -> Result<usize, Failure> {
        match self {
            Self::Text(text) => Ok(text.chars().count()),
            Self::List(items) => Ok(items.len()),
            Self::Mapping(entries) => Ok(entries.len()),
            other => Err(Failure::new(format!("{} has no length", other.kind()))),
        }
    }

    /// What Python's iteration over it gives: members, characters, keys.
    pub fn members(&self) -> Result<Vec<Self>, Failure> {
        match self {
            Self::List(items) => Ok(items.to_vec()),
            Self::Mapping(entries) => Ok(entries.keys().map(|key| key.0.clone()).collect()),
            Self::Text(text) => Ok(text
                .chars()
                .map(|character| Self::from(character.to_string()))
                .collect()),
            other => Err(Failure::new(format!("{} has no members", other.kind()))),
        }
    }

    /// Python's `item in self`.
    pub fn contains(&self, item: &Self) -> Result<bool, Failure> {
        match self {
            Self::List(items) => Ok(items.iter().any(|member| member == item)),
            Self::Mapping(entries) => Ok(entries.contains_key(&Key::new(item.clone())?)),
            Self::Text(text) => match item {
                Self::Text(part) => Ok(text.contains(part.as_ref())),
                other => Err(Failure::new(format!(
                    "only text can be in text, not {}",
                    other.kind()
                ))),
            },
            other => Err(Failure::new(format!("nothing is in {}", other.kind()))),
        }
    }

    /// Python's order; no answer about NaN, a failure about kinds that have no order.
    pub fn compare(&self, other: &Self) -> Result<Option<Ordering>, Failure> {
        if let (Some(left), Some(right)) = (self.number(), other.number()) {
            return Ok(left.compare(right));
        }
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Ok(Some(left.cmp(right))),
            (Self::Date(left), Self::Date(right)) => Ok(Some(left.cmp(right))),
            (Self::Time(left), Self::Time(right)) => Ok(Some(left.cmp(right))),
            (Self::Duration(left), Self::Duration(right)) => Ok(Some(left.cmp(right))),
            (Self::Moment(left), Self::Moment(right)) => left.compare(right).map(Some),
            (Self::List(left), Self::List(right)) => {
                match left.iter().zip(right.iter()).find(|(a, b)| a != b) {
                    Some((left, right)) => left.compare(right),
                    None => Ok(Some(left.len().cmp(&right.len()))),
                }
            }
            _ => Err(Failure::new(format!(
                "{} and {} have no order",
                self.kind(),
                other.kind()
            ))),
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Float(number) => Some(Number::Float(*number)),
            other => other.integer().map(Number::Integer),
        }
    }
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// Exactly, as Python does: an integer is not rounded to be compared with a float.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(&right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(&right),
            (Self::Integer(left), Self::Float(right)) => integer_against_float(left, right),
            (Self::Float(left), Self::Integer(right)) => {
                integer_against_float(right, left).map(Ordering::reverse)
            }
        }
    }
}

/// 2 to the 127th, the first number that an `i128` can't hold.
const BEYOND: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

fn integer_against_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(
        integer
            .cmp(&(whole as i128))
            .then_with(|| 0.0_f64.total_cmp(&(float - whole + 0.0))),
    )
}

/// The integer that a float without fraction is, if one of ours can be it.
pub(crate) fn whole(float: f64) -> Option<i128> {
    (float.trunc() == float && (-BEYOND..BEYOND).contains(&float)).then_some(float as i128)
}

impl PartialEq for Value {
    /// Python's equality: `True`, `1` and `1.0` are the same, a naive and an aware moment never.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::List(left), Self::List(right)) => left == right,
            (Self::Mapping(left), Self::Mapping(right)) => left == right,
            (Self::List(_) | Self::Mapping(_), _) | (_, Self::List(_) | Self::Mapping(_)) => false,
            _ => matches!(self.compare(other), Ok(Some(Ordering::Equal))),
        }
    }
}

// Of floats only NaN is unequal to itself.
impl Eq for Value {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Value::Float(left), Value::Float(right)) if left.is_nan() => right.is_nan(),
            (left, right) => left == right,
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Value::Float(float) => match whole(*float) {
                Some(number) => Some(number).hash(state),
                None if float.is_nan() => f64::NAN.to_bits().hash(state),
                None => float.to_bits().hash(state),
            },
            Value::Bool(_) | Value::Integer(_) => self.0.integer().hash(state),
            Value::Text(text) => text.hash(state),
            Value::Date(date) => date.hash(state),
            Value::Time(time) => time.hash(state),
            Value::Duration(duration) => duration.hash(state),
            Value::Moment(moment) => moment.instant().hash(state),
            // A key is none of these but None.
            Value::None | Value::List(_) | Value::Mapping(_) => {}
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i128> for Value {
    fn from(number: i128) -> Self {
        Self::Integer(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(number as i128)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::list(items)
    }
}

impl From<Mapping> for Value {
    fn from(entries: Mapping) -> Self {
        Self::mapping(entries)
    }
}
