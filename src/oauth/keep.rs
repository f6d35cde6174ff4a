//! Values that a provider file keeps from a reply or a callback.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::paths;
use crate::http::HeaderMap;

/// A kept value is a host, an id or a name: nothing longer.
const LONGEST: usize = 2048;

type Rules = BTreeMap<String, Value>;
type Kept = BTreeMap<String, String>;

/// The values kept from a reply, whose token object is `root`.
pub(super) fn from_reply(rules: &Rules, root: &Value, headers: &HeaderMap) -> Kept {
    collect(rules, |rule| {
        if let Some(header) = rule.get("header").and_then(Value::as_str) {
            return Some(headers.get(header)?.to_str().ok()?.to_owned());
        }
        let path = rule
            .as_str()
            .or_else(|| rule.get("path").and_then(Value::as_str))?;
        let value = paths::find(root, path)?;
        match &*value {
            value @ (Value::Array(_) | Value::Object(_)) => Some(value.to_string()),
            value => paths::text(value),
        }
    })
}

/// The values kept from the parameters of a callback.
pub(super) fn from_callback(rules: &Rules, parameters: &BTreeMap<String, String>) -> Kept {
    collect(rules, |rule| {
        let name = rule
            .as_str()
            .or_else(|| rule.get("parameter").and_then(Value::as_str))?;
        parameters.get(name).cloned()
    })
}

/// What does not fit its pattern is not kept: it could enter a host.
fn collect(rules: &Rules, value: impl Fn(&Value) -> Option<String>) -> Kept {
    rules
        .iter()
        .filter_map(|(name, rule)| {
            let value = value(rule)?;
            let value = match rule.get("pattern").and_then(Value::as_str) {
                Some(pattern) => fit(pattern, &value)?,
                None => value,
            };
            let fits =
                !value.is_empty() && value.len() <= LONGEST && !value.contains(char::is_control);
            fits.then(|| (name.clone(), value))
        })
        .collect()
}

/// The value if the whole of it matches; a pattern with one group keeps the group.
fn fit(pattern: &str, value: &str) -> Option<String> {
    let pattern = Regex::new(&format!("^(?:{pattern})$")).ok()?;
    let found = pattern.captures(value)?;
    let part = if found.len() == 2 {
        found.get(1)?
    } else {
        found.get(0)?
    };
    Some(part.as_str().to_owned())
}
