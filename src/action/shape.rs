//! Values with expressions in them: the arguments of a step, what a template returns.

use std::collections::HashMap;

use super::expression::{Contexts, Pattern};
use super::template::Reader;
use super::value::json::trip;
use super::value::{Key, Mapping, Value};
use super::yaml::{Content, Node, Position, Problem};

/// A value of a template whose texts may hold expressions, in keys too.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Where it stands.
    pub at: Position,
    /// What it is.
    pub kind: ShapeKind,
}

/// What a shape is.
#[derive(Clone, Debug)]
pub enum ShapeKind {
    /// Stays as it is.
    Plain(Value),
    /// A text with expressions, and that text.
    Text(Pattern, String),
    /// A list.
    List(Vec<Shape>),
    /// A mapping; keys are shapes too.
    Mapping(Vec<(Shape, Shape)>),
}

impl Shape {
    /// Reads the expressions in a node.
    pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Self {
        let kind = match &node.content {
            Content::Scalar { value, .. } => match trip(value) {
                Value::Text(text) => match reader.pattern(&text, node) {
                    Pattern::Plain(value) => ShapeKind::Plain(value),
                    pattern => ShapeKind::Text(pattern, text.to_string()),
                },
                value => ShapeKind::Plain(value),
            },
            Content::List(items) => {
                let items = items.iter().map(|item| Self::read(item, reader));
                ShapeKind::List(items.collect())
            }
            Content::Mapping(entries) => {
                let entries = entries.iter().map(|(key, member)| {
                    let mut key = Self::read(key, reader);
                    if let ShapeKind::Plain(plain) = &mut key.kind {
                        *plain = json_key(plain);
                    }
                    (key, Self::read(member, reader))
                });
                ShapeKind::Mapping(without_repeated(entries.collect()))
            }
        };
        Self { at: node.at, kind }
    }

    /// The value, with the values of its expressions put in.
    pub fn evaluate(&self, contexts: &Contexts) -> Result<Value, Problem> {
        match &self.kind {
            ShapeKind::Plain(value) => Ok(value.clone()),
            ShapeKind::Text(pattern, text) => pattern.evaluate(contexts).map_err(|error| {
                let underlined = error.underlined(text);
                Problem::new(self.at, format!("{error}\n{underlined}"))
            }),
            ShapeKind::List(items) => {
                let items = items.iter().map(|item| item.evaluate(contexts));
                Ok(Value::list(items.collect::<Result<_, _>>()?))
            }
            ShapeKind::Mapping(entries) => {
                let mut mapping = Mapping::new();
                for (key, member) in entries {
                    let key_value = Key::new(key.evaluate(contexts)?)
                        .map_err(|failure| Problem::new(key.at, failure.to_string()))?;
                    if mapping.contains_key(&key_value) {
                        return Err(Problem::new(key.at, "another key comes to the same value"));
                    }
                    mapping.insert(key_value, member.evaluate(contexts)?);
                }
                Ok(Value::mapping(mapping))
            }
        }
    }

    /// The member of that key, when this is a mapping that has it as it was written.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let ShapeKind::Mapping(entries) = &self.kind else {
            return None;
        };
        let found = entries.iter().find(|(key, _)| match &key.kind {
            ShapeKind::Plain(key) => key.text() == Some(name),
            _ => false,
        });
        found.map(|(_, member)| member)
    }

    /// All patterns in it, each with its place and text.
    pub fn patterns(&self) -> Vec<(Position, &Pattern, &str)> {
        match &self.kind {
            ShapeKind::Plain(_) => Vec::new(),
            ShapeKind::Text(pattern, text) => vec![(self.at, pattern, text.as_str())],
            ShapeKind::List(items) => items.iter().flat_map(Self::patterns).collect(),
            ShapeKind::Mapping(entries) => entries
                .iter()
                .flat_map(|(key, member)| key.patterns().into_iter().chain(member.patterns()))
                .collect(),
        }
    }

    /// The text as it was written, when it is one key or value.
    fn written(&self) -> Option<&str> {
        match &self.kind {
            ShapeKind::Plain(value) => value.text(),
            ShapeKind::Text(_, text) => Some(text),
            _ => None,
        }
    }
}

/// A key as JSON holds it.
fn json_key(key: &Value) -> Value {
    let Ok(key) = Key::new(key.clone()) else {
        return key.clone();
    };
    match trip(&Value::mapping(Mapping::from_iter([(key, Value::None)]))) {
        Value::Mapping(entries) => entries
            .keys()
            .next()
            .map_or(Value::None, |key| key.value().clone()),
        other => other,
    }
}

/// Of keys that were written alike the last value counts, at the place of the first.
fn without_repeated(entries: Vec<(Shape, Shape)>) -> Vec<(Shape, Shape)> {
    let mut kept: Vec<(Shape, Shape)> = Vec::with_capacity(entries.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for (key, member) in entries {
        let written = key.written().map(str::to_owned);
        match written.as_ref().and_then(|written| places.get(written)) {
            Some(&place) => kept[place].1 = member,
            None => {
                places.extend(written.map(|written| (written, kept.len())));
                kept.push((key, member));
            }
        }
    }
    kept
}
