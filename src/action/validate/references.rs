//! What expressions refer to: inputs, steps, secrets, functions.

use super::check::{nearest, shown};
use super::{Check, Severity};
use crate::action::expression::path::Path;
use crate::action::expression::syntax::{Context, Expression, Kind};
use crate::action::functions;
use crate::action::shape::Shape;
use crate::action::template::{GrantType, Secret, SecretKind, Step};
use crate::action::yaml::{Node, Position};

/// What stands beside `result` in the context of a step.
const BESIDE_RESULT: [&str; 6] = [
    "result_typename",
    "error",
    "error_typename",
    "interaction",
    "interaction_id",
    "interaction_type",
];
/// What an HTTP step gives.
const REPLY: [&str; 3] = ["status_code", "headers", "data"];

/// A text with expressions: where it begins, and what it is.
type Text<'t> = (Position, &'t str);

impl Check<'_> {
    /// What expressions refer to and is not there.
    pub(super) fn references(&mut self) {
        let template = self.template;
        for (index, step) in template.steps.iter().enumerate() {
            self.of_shape(&step.arguments, index);
        }
        self.of_shape(&template.returns, template.steps.len());
    }

    /// `done` is how many steps have run when the shape is evaluated.
    fn of_shape(&mut self, shape: &Shape, done: usize) {
        for (at, pattern, text) in shape.patterns() {
            for expression in pattern.expressions() {
                self.of_expression(expression, (at, text), done);
            }
        }
    }

    fn of_expression(&mut self, expression: &Expression, text: Text<'_>, done: usize) {
        if self.is_full() {
            return;
        }
        match &expression.kind {
            Kind::Path(Context::Inputs, path) => self.input(expression, path, text),
            Kind::Path(Context::Steps, path) => self.step(expression, path, text, done),
            Kind::Path(Context::Secrets, path) => self.secret(expression, path, text),
            Kind::Path(Context::Unset, _) => {
                let message = "this is known to workflows only; in a template it is None";
                self.at(Severity::Warning, expression, text, message, None);
            }
            Kind::Call {
                name, arguments, ..
            } => self.call(expression, name, arguments.len(), text),
            _ => {}
        }
        for child in expression.children() {
            self.of_expression(child, text, done);
        }
    }

    fn input(&mut self, expression: &Expression, path: &Path, text: Text<'_>) {
        let expects = &self.template.expects;
        // A template that expects nothing takes anything.
        let Some(name) = path.names().next().filter(|_| !expects.is_empty()) else {
            return;
        };
        let known = expects.iter().map(|(input, _)| input.name.as_str());
        if !known.clone().any(|known| known == name) {
            let message = format!("there is no input {}", shown(name));
            let hint = nearest(name, known);
            self.at(Severity::Error, expression, text, message, hint);
        }
    }

    fn step(&mut self, expression: &Expression, path: &Path, text: Text<'_>, done: usize) {
        let mut names = path.names();
        let Some(name) = names.next() else { return };
        let steps = &self.template.steps;
        let Some(index) = steps.iter().position(|step| step.reference == name) else {
            let earlier = steps.iter().take(done);
            let hint = nearest(name, earlier.map(|step| step.reference.as_str()));
            let message = format!("there is no step {}", shown(name));
            return self.at(Severity::Error, expression, text, message, hint);
        };
        if index >= done {
            let when = if index == done {
                "it is not done yet"
            } else {
                "it comes later"
            };
            let message = format!("nothing is known here of the step {}: {when}", shown(name));
            return self.at(Severity::Error, expression, text, message, None);
        }
        if let Some((message, hint)) = member(&steps[index], names.next(), names.next()) {
            self.at(Severity::Warning, expression, text, message, hint);
        }
    }

    fn secret(&mut self, expression: &Expression, path: &Path, text: Text<'_>) {
        let mut names = path.names();
        let (Some(name), Some(key)) = (names.next(), names.next()) else {
            return;
        };
        // What is declared wrongly may have been meant.
        let written = self.definition("secrets").map_or(0, Node::length);
        if written > self.template.secrets.len() {
            return;
        }
        let (message, hint) = match self.secrets.get(name) {
            None => {
                let message = format!("the template declares no secret {}", shown(name));
                (
                    message,
                    nearest(name, self.secrets.keys().map(String::as_str)),
                )
            }
            Some(keys) if keys.iter().any(|known| known == key) => return,
            Some(keys) => {
                let message = format!(
                    "the secret {} is declared without {}",
                    shown(name),
                    shown(key)
                );
                (message, nearest(key, keys.iter().map(String::as_str)))
            }
        };
        self.at(Severity::Error, expression, text, message, hint);
    }

    fn call(&mut self, expression: &Expression, name: &str, count: usize, text: Text<'_>) {
        let (message, hint) = match functions::find(name) {
            None => {
                let message = format!("there is no function FN.{}", shown(name));
                let hint = functions::nearest(name).map(|near| format!("did you mean FN.{near}?"));
                (message, hint)
            }
            Some(function) => match function.check_count(count) {
                Ok(()) => return,
                Err(failure) => (failure.to_string(), None),
            },
        };
        self.at(Severity::Error, expression, text, message, hint);
    }

    /// Notes what concerns an expression.
    pub(super) fn at(
        &mut self,
        severity: Severity,
        expression: &Expression,
        (at, text): Text<'_>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.note_within(severity, (at, text, &expression.span), message, hint);
    }
}

/// What is wrong with a path into a step that is done, from the names behind the step's.
fn member(
    step: &Step,
    first: Option<&str>,
    second: Option<&str>,
) -> Option<(String, Option<String>)> {
    let first = first?;
    if BESIDE_RESULT.contains(&first) {
        return None;
    }
    if first != "result" {
        let message = format!("a step has result, not {}: this is None", shown(first));
        let hint = format!(
            "did you mean steps.{}.result.{}?",
            shown(&step.reference),
            shown(first)
        );
        return Some((message, Some(hint)));
    }
    let is_reply = matches!(step.action.as_str(), "core.http_request" | "core.http_poll");
    let second = second.filter(|second| is_reply && !REPLY.contains(second))?;
    let message = format!(
        "{} gives status_code, headers and data, not {}: this is None",
        step.action,
        shown(second)
    );
    let hint = format!(
        "did you mean steps.{}.result.data.{}?",
        shown(&step.reference),
        shown(second)
    );
    Some((message, Some(hint)))
}

/// The keys that a secret has under its name.
pub(super) fn keys_of(secret: &Secret) -> Vec<String> {
    match &secret.kind {
        SecretKind::OAuth {
            provider_id,
            grant_type,
        } => {
            let whose = match grant_type {
                GrantType::AuthorizationCode => "USER",
                GrantType::ClientCredentials => "SERVICE",
            };
            vec![format!("{}_{whose}_TOKEN", provider_id.to_uppercase())]
        }
        SecretKind::Static {
            keys,
            optional_keys,
            ..
        } => keys.iter().chain(optional_keys).cloned().collect(),
    }
}
