//! The types of inputs and how they are written.

use std::fmt;

/// The type of an input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Type {
    /// `int`.
    Integer,
    /// `float`.
    Float,
    /// `str`.
    Text,
    /// `bool`.
    Bool,
    /// `datetime`.
    Moment,
    /// `duration`.
    Duration,
    /// `any`.
    Any,
    /// `None`.
    None,
    /// `list[T]`.
    List(Box<Type>),
    /// `dict[K, V]`; `dict` alone is `dict[str, any]`.
    Mapping(Box<Type>, Box<Type>),
    /// `A | B`.
    Union(Vec<Type>),
    /// `enum["a", "b"]`.
    Enumeration(Vec<String>),
}

/// Why a text is no type, and from which byte on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TypeError {
    /// Where it goes wrong.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TypeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The most values of an enumeration.
const MOST_VALUES: usize = 20;
/// Types inside of each other.
const DEEPEST: usize = 20;

impl Type {
    /// Reads a type.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
        };
        let parsed = reader.union()?;
        if reader.rest().is_empty() {
            Ok(parsed)
        } else {
            reader.error("the type should end before this")
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |formatter: &mut fmt::Formatter<'_>, items: Vec<String>, between: &str| {
            formatter.write_str(&items.join(between))
        };
        match self {
            Self::Integer => formatter.write_str("int"),
            Self::Float => formatter.write_str("float"),
            Self::Text => formatter.write_str("str"),
            Self::Bool => formatter.write_str("bool"),
            Self::Moment => formatter.write_str("datetime"),
            Self::Duration => formatter.write_str("duration"),
            Self::Any => formatter.write_str("any"),
            Self::None => formatter.write_str("None"),
            Self::List(of) => write!(formatter, "list[{of}]"),
            Self::Mapping(key, member) => write!(formatter, "dict[{key}, {member}]"),
            Self::Union(types) => list(
                formatter,
                types.iter().map(Self::to_string).collect(),
                " | ",
            ),
            Self::Enumeration(values) => {
                formatter.write_str("enum[")?;
                let values = values.iter().map(|value| format!("{value:?}"));
                list(formatter, values.collect(), ", ")?;
                formatter.write_str("]")
            }
        }
    }
}

struct Reader<'text> {
    text: &'text str,
    at: usize,
    depth: usize,
}

impl<'text> Reader<'text> {
    /// What follows, blanks skipped.
    fn rest(&mut self) -> &'text str {
        let rest = &self.text[self.at..];
        let rest = rest.trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), TypeError> {
        if self.takes(symbol) {
            return Ok(());
        }
        self.error(&format!("`{symbol}` is missing here"))
    }

    fn error<T>(&mut self, message: &str) -> Result<T, TypeError> {
        let message = message.to_owned();
        Err(TypeError {
            at: self.at,
            message,
        })
    }

    fn union(&mut self) -> Result<Type, TypeError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("the types are nested too deep");
        }
        let mut types = vec![self.single()?];
        while self.takes("|") {
            types.push(self.single()?);
        }
        self.depth -= 1;
        Ok(match types.len() {
            1 => types.remove(0),
            _ => Type::Union(types),
        })
    }

    fn single(&mut self) -> Result<Type, TypeError> {
        let rest = self.rest();
        let end = rest
            .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .unwrap_or(rest.len());
        let name = &rest[..end];
        let start = self.at;
        self.at += end;
        Ok(match name {
            "int" => Type::Integer,
            "float" => Type::Float,
            "str" => Type::Text,
            "bool" => Type::Bool,
            "datetime" => Type::Moment,
            "duration" => Type::Duration,
            "any" | "Any" => Type::Any,
            "None" => Type::None,
            "list" => {
                self.expect("[")?;
                let of = self.union()?;
                self.expect("]")?;
                Type::List(Box::new(of))
            }
            "dict" if self.takes("[") => {
                let key = self.union()?;
                self.expect(",")?;
                let member = self.union()?;
                self.expect("]")?;
                Type::Mapping(Box::new(key), Box::new(member))
            }
            "dict" => Type::Mapping(Box::new(Type::Text), Box::new(Type::Any)),
            "enum" => self.enumeration()?,
            "" if rest.starts_with('$') => {
                return self.error("a type of another template can't be used here");
            }
            _ => {
                self.at = start;
                return self.error(
                    "a type is int, float, str, bool, datetime, duration, any, None, list[…], dict, dict[…, …], enum[…] or several with | between",
                );
            }
        })
    }

    fn enumeration(&mut self) -> Result<Type, TypeError> {
        self.expect("[")?;
        let mut values = Vec::new();
        loop {
            let rest = self.rest();
            let quote = rest
                .chars()
                .next()
                .filter(|first| matches!(first, '"' | '\''));
            let found = quote.and_then(|quote| rest[1..].split_once(quote));
            let Some((value, _)) = found else {
                return self.error("a value of an enumeration is quoted text");
            };
            let is_known = |known: &String| known.to_lowercase() == value.to_lowercase();
            if values.iter().any(is_known) {
                return self.error("the values of an enumeration differ in more than case");
            }
            values.push(value.to_owned());
            self.at += value.len() + 2;
            if !self.takes(",") {
                break;
            }
        }
        self.expect("]")?;
        if values.len() > MOST_VALUES {
            return self.error("an enumeration has at most 20 values");
        }
        Ok(Type::Enumeration(values))
    }
}
