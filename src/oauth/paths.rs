//! Paths into a JSON reply: `a.b[0].c`, `a[?flag].c`, `x + y`, `["a.b"]`, and `""` for the whole.

use std::borrow::Cow;

use serde_json::Value;

use crate::provider::Paths;

/// The value at `path`; null counts as absent. `x + y` joins the texts that are there by a space.
pub fn find<'v>(root: &'v Value, path: &str) -> Option<Cow<'v, Value>> {
    if !path.contains(" + ") {
        return walk(root, path).map(Cow::Borrowed);
    }
    let texts: Vec<String> = path
        .split(" + ")
        .filter_map(|part| walk(root, part.trim()).and_then(text))
        .collect();
    (!texts.is_empty()).then(|| Cow::Owned(Value::String(texts.join(" "))))
}

/// The value at the first of `paths` that leads to one.
pub fn first<'v>(root: &'v Value, paths: &Paths) -> Option<Cow<'v, Value>> {
    paths.iter().find_map(|path| find(root, path))
}

/// A text, number or truth value as text; `None` for anything else and for empty text.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The key that a path ends at, if it ends at one.
pub(super) fn last_key(path: &str) -> Option<&str> {
    let (step, rest) = next(path)?;
    match step {
        _ if !rest.is_empty() => last_key(rest),
        Step::Key(key) => Some(key),
        Step::Item(_) | Step::Flagged(_) => None,
    }
}

fn walk<'v>(root: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = root;
    let mut rest = path;
    while !rest.is_empty() {
        let step;
        (step, rest) = next(rest)?;
        value = match step {
            Step::Key(key) => value.get(key)?,
            Step::Item(index) => value.get(index)?,
            Step::Flagged(flag) => value
                .as_array()?
                .iter()
                .find(|item| item.get(flag) == Some(&Value::Bool(true)))?,
        };
    }
    (!value.is_null()).then_some(value)
}

enum Step<'p> {
    Key(&'p str),
    Item(usize),
    Flagged(&'p str),
}

/// The first step of a path, and what follows it; `None` where the path makes no sense.
fn next(path: &str) -> Option<(Step<'_>, &str)> {
    let (step, rest) = if let Some(quoted) = path.strip_prefix("[\"") {
        let (key, rest) = quoted.split_once("\"]")?;
        (Step::Key(key), rest)
    } else if let Some(bracket) = path.strip_prefix('[') {
        let (inside, rest) = bracket.split_once(']')?;
        let step = match inside.strip_prefix('?') {
            Some(flag) => Step::Flagged(flag),
            None => Step::Item(inside.parse().ok()?),
        };
        (step, rest)
    } else {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        (Step::Key(&path[..end]), &path[end..])
    };
    Some((step, rest.strip_prefix('.').unwrap_or(rest)))
}
