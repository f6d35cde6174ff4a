//! Action templates: loading, expressions, functions, inputs.

use _core::action::expression::{Contexts, Pattern};
use _core::action::value::{Value, json};

use crate::support;

mod constructs;
mod expressions;
mod functions;
mod google_api;
mod hostile;
mod inputs;
mod library;
mod manual;
mod needs;
mod paths;
mod run;
mod seeds;
mod templates;
mod validate;
mod values;
mod ways_out;
mod yaml;

/// The value of a JSON text.
fn json(text: &str) -> Value {
    json::read(text).unwrap()
}

/// What the expressions of these tests see: the clock stands, and there are a few inputs.
fn contexts() -> Contexts {
    Contexts {
        inputs: json(
            r#"{"n": 3, "s": "abc", "l": [1, 2, 3], "z": null, "x": null, "if": 7, "d": {"k": 5, "k-1": 6},
                "items": [{"id": 1}, {"id": 2}]}"#,
        ),
        steps: json(r#"{"one": {"result": {"data": [1]}, "error": null}}"#),
        secrets: json(r#"{"a": {"KEY": "k"}}"#),
        variables: json(r#"{"v": {"w": [1, 2]}}"#),
        environment: json(r#"{"environment": "default"}"#),
        clock: support::clock(),
        ..Contexts::default()
    }
}

/// What a text of a template comes to, as Python writes it, or why it fails.
fn shown(text: &str) -> String {
    match Pattern::parse(text).and_then(|pattern| pattern.evaluate(&contexts())) {
        Ok(value) => value.repr(),
        Err(error) => format!("fails: {error}"),
    }
}

/// What an expression comes to.
fn computed(expression: &str) -> String {
    shown(&format!("${{{{ {expression} }}}}"))
}

/// Checks a table of expressions and what each comes to.
fn assert_values(rows: &[(&str, &str)]) {
    let wrong = rows.iter().filter_map(|(expression, expected)| {
        let found = computed(expression);
        (found != *expected).then(|| format!("{expression}\n  is {found}\n not {expected}"))
    });
    let wrong = Vec::from_iter(wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks that each of the expressions fails, when it is read or when it is evaluated.
fn assert_failures(expressions: &[&str]) {
    let wrong = expressions.iter().filter_map(|expression| {
        let found = computed(expression);
        (!found.starts_with("fails: ")).then(|| format!("{expression}\n  is {found}"))
    });
    let wrong = Vec::from_iter(wrong);
    assert!(wrong.is_empty(), "these should fail:\n{}", wrong.join("\n"));
}
