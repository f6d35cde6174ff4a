//! What YAML 1.1 makes of words and numbers that were meant as text, and keys that are written twice.

use super::Check;
use super::check::shown;
use crate::action::value::Value;
use crate::action::value::json::trip;
use crate::action::yaml::{Content, Node};

/// Arguments of steps that are true or false, so that `yes` and `no` mean what they say.
const FLAGS: [&str; 6] = [
    "verify_ssl",
    "follow_redirects",
    "base64_encode_data",
    "allow_network",
    "persist",
    "static_discovery",
];

impl Check<'_> {
    /// Keys that a mapping has twice.
    pub(super) fn repeated_keys(&mut self) {
        for at in &self.document.repeated {
            let message = "the mapping has this key already; only the last one counts";
            self.warn(*at, message, None);
        }
    }

    /// Words and numbers without quotes that come to something else than they say.
    pub(super) fn spelling(&mut self) {
        let definition = |name: &str| self.definition(name);
        let (steps, expects, returns) = (
            definition("steps"),
            definition("expects"),
            definition("returns"),
        );
        for step in steps.map(members).unwrap_or_default() {
            let Some(Content::Mapping(arguments)) = step.get("args").map(|node| &node.content)
            else {
                continue;
            };
            for (name, argument) in arguments {
                let is_flag = name.text().is_some_and(|name| FLAGS.contains(&name));
                let is_flag = is_flag
                    && matches!(
                        argument.content,
                        Content::Scalar {
                            value: Value::Bool(_),
                            ..
                        }
                    );
                self.spelt(name, true);
                if !is_flag {
                    self.spelt(argument, false);
                }
            }
        }
        if let Some(Content::Mapping(inputs)) = expects.map(|node| &node.content) {
            for (name, field) in inputs {
                self.spelt(name, true);
                let is_flag = field.get("type").and_then(Node::text) == Some("bool");
                if let Some(default) = field.get("default").filter(|_| !is_flag) {
                    self.spelt(default, false);
                }
            }
        }
        if let Some(returns) = returns {
            self.spelt(returns, false);
        }
    }

    fn spelt(&mut self, node: &Node, is_key: bool) {
        match &node.content {
            Content::Scalar {
                value,
                is_plain: true,
                written,
            } => {
                let spelling = self.document.text.get(written.clone()).unwrap_or_default();
                if !is_as_written(value, spelling, is_key) {
                    let message = format!("{} is {} here", shown(spelling), shown(&meaning(value)));
                    self.warn(node.at, message, Some("quote it if it is text".to_owned()));
                }
            }
            Content::Scalar { .. } => {}
            Content::List(items) => items.iter().for_each(|item| self.spelt(item, false)),
            Content::Mapping(entries) => {
                for (key, member) in entries {
                    self.spelt(key, true);
                    self.spelt(member, false);
                }
            }
        }
    }
}

/// Whether a scalar comes to what it says. As a key nothing but text does, since all keys become text.
fn is_as_written(value: &Value, spelling: &str, is_key: bool) -> bool {
    // Nothing is written where an anchor stands for it; there it was looked at.
    if spelling.is_empty() {
        return true;
    }
    match value {
        Value::Bool(_) => !is_key && ["true", "false"].contains(&spelling.to_lowercase().as_str()),
        Value::None => !is_key || spelling == "null",
        Value::Integer(number) => {
            let is_hexadecimal = spelling.contains(['x', 'X']) && !is_key;
            is_hexadecimal || spelling.trim_start_matches('+') == number.to_string()
        }
        // The last zero of `1.10` is lost.
        Value::Float(_) => {
            let is_short = !spelling.ends_with('0') || spelling.ends_with(".0");
            is_short && !spelling.contains(['_', ':'])
        }
        Value::Date(_) | Value::Moment(_) => trip(value).text() == Some(spelling),
        _ => true,
    }
}

fn meaning(value: &Value) -> String {
    match value {
        Value::Bool(true) => "true".to_owned(),
        Value::Bool(false) => "false".to_owned(),
        Value::None => "null".to_owned(),
        value => match trip(value).text() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        },
    }
}

fn members(node: &Node) -> &[Node] {
    match &node.content {
        Content::List(items) => items,
        _ => &[],
    }
}
