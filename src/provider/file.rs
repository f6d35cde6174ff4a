//! Provider files as text: YAML read with its positions.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::merge::{OWN, PER_GRANT, UNREAD};
use crate::model::GrantType;

/// Sections that a grant may not repeat.
const PROVIDER_ONLY: [&str; 5] = ["endpoints", "discovery", "api", "expiry_signals", "errors"];

/// Fields of a user grant.
const AUTHORIZATION_CODE: [&str; 14] = [
    "pkce",
    "pkce_encoding",
    "pkce_note",
    "authorization",
    "callback",
    "state",
    "redirect",
    "token",
    "exchange",
    "refresh",
    "device",
    "setup",
    "needs",
    "note",
];

/// Fields of a service grant.
const CLIENT_CREDENTIALS: [&str; 5] = ["token", "assertion", "setup", "needs", "note"];

/// What is wrong with a file, and where: a path below the grant, if there is one, or below the file.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) grant_type: Option<GrantType>,
    pub(super) path: Vec<String>,
    pub(super) message: String,
}

/// A YAML document, each node with its position.
#[derive(Debug)]
pub(super) struct Document(Node);

type Node = Spanned<Content>;

#[derive(Debug)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Position {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// Text that is not YAML, or not YAML as provider files use it.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) at: Position,
    pub(super) message: String,
}

impl Document {
    /// Reads one YAML document. Only `true` and `false` are truth values, a key stands once, and numbers that YAML 1.1
    /// would bend (`010`, `1_000`) stay text.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_nodes: 20_000,
                max_depth: 32,
                max_aliases: 100,
            },
        };
        serde_saphyr::from_str_with_options(text, options)
            .map(Self)
            .map_err(|error| Malformed {
                at: error
                    .location()
                    .map_or(Position { line: 1, column: 1 }, Position::from),
                message: first_words(&error.without_snippet().render()),
            })
    }

    /// The document as plain data.
    pub(super) fn value(&self) -> Value {
        value_of(&self.0)
    }

    /// Where the value at `path` stands, or, with `key`, where its key does; `None` when this document has no such path.
    pub(super) fn position(&self, path: &[&str], key: bool) -> Option<Position> {
        let mut node = &self.0;
        let mut at = Position::from(node.referenced);
        for step in path {
            let (found, found_at) = match &node.value {
                Content::Map(entries) => entries.iter().find_map(|(name, child)| {
                    (name.value == *step).then(|| {
                        let at = if key {
                            name.referenced
                        } else {
                            child.referenced
                        };
                        (child, at)
                    })
                })?,
                Content::List(items) => {
                    let item = items.get(step.parse::<usize>().ok()?)?;
                    (item, item.referenced)
                }
                Content::Scalar(_) => return None,
            };
            node = found;
            at = found_at.into();
        }
        Some(at)
    }
}

/// What the YAML reader says, without the position, which stands apart, and its advice to programmers.
fn first_words(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let message = message
        .split(", set DuplicateKeyPolicy")
        .next()
        .unwrap_or(message);
    message.to_owned()
}

/// Whether every field of the provider and of its grants stands where the vocabulary puts it. What is inside them is
/// checked when it is read.
pub(super) fn check_names(provider: &Value) -> Result<(), Mistake> {
    let within = |value: &Value, path: &[&str], known: &[&[&str]]| {
        let mistake = |name: Option<&String>, message: String| Mistake {
            grant_type: None,
            path: path
                .iter()
                .map(ToString::to_string)
                .chain(name.cloned())
                .collect(),
            message,
        };
        let Value::Object(fields) = value else {
            return Err(mistake(None, "expected a map".into()));
        };
        match fields
            .keys()
            .find(|name| !known.iter().any(|known| known.contains(&name.as_str())))
        {
            Some(name) => {
                let known = known
                    .concat()
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                Err(mistake(
                    Some(name),
                    format!("unknown field `{name}`, expected one of {known}"),
                ))
            }
            None => Ok(()),
        }
    };
    within(
        provider,
        &[],
        &[&OWN, &UNREAD, &["grants"], &PROVIDER_ONLY, &PER_GRANT],
    )?;
    let Some(grants) = provider.get("grants").filter(|grants| !grants.is_null()) else {
        return Ok(());
    };
    within(
        grants,
        &["grants"],
        &[&["authorization_code", "client_credentials"]],
    )?;
    for (name, own) in [
        ("authorization_code", &AUTHORIZATION_CODE[..]),
        ("client_credentials", &CLIENT_CREDENTIALS[..]),
    ] {
        if let Some(grant) = grants.get(name).filter(|grant| !grant.is_null()) {
            within(grant, &["grants", name], &[own, &PER_GRANT])?;
        }
    }
    Ok(())
}

/// Takes the entries of maps that are null away.
fn value_of(node: &Node) -> Value {
    match &node.value {
        Content::Scalar(value) => value.clone(),
        Content::List(items) => items.iter().map(value_of).collect(),
        Content::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, child)| (name.value.clone(), value_of(child)))
                .collect(),
        ),
    }
}

impl From<serde_saphyr::Location> for Position {
    fn from(location: serde_saphyr::Location) -> Self {
        Self {
            line: location.line().max(1),
            column: location.column().max(1),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map, a list or a plain value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }
}
