//! The actions that steps name, and what they are called with.

use super::check::{nearest, shown};
use super::{Check, Surroundings, Templates};
use crate::action::shape::{Shape, ShapeKind};
use crate::action::template::{Step, Template};
use crate::action::value::Value;
use crate::action::yaml::Position;

/// An action of evergrant's own.
struct Action {
    name: &'static str,
    /// What it must be given.
    required: &'static [&'static str],
    /// What it may be given.
    optional: &'static [&'static str],
}

/// What all HTTP steps may be given.
macro_rules! http {
    ($($more:literal),*) => {
        &["headers", "params", "payload", "form_data", "auth", "timeout", "follow_redirects", "max_redirects",
          "verify_ssl", $($more),*]
    };
}

const ITEMS: &[&str] = &["items"];
const ITEMS_AND_LAMBDA: &[&str] = &["items", "python_lambda"];
const ITEMS_AND_COLLECTION: &[&str] = &["items", "collection"];
const LAMBDA: &[&str] = &["python_lambda"];
const GOOGLE: &[&str] = &["service_name", "version", "resource", "method_name"];

const ACTIONS: &[Action] = &[
    action(
        "core.http_request",
        &["url", "method"],
        http!(
            "content",
            "files",
            "ignore_status_codes",
            "base64_encode_data"
        ),
    ),
    action(
        "core.http_poll",
        &["url", "method"],
        http!(
            "poll_retry_codes",
            "poll_interval",
            "poll_max_attempts",
            "poll_condition"
        ),
    ),
    action(
        "core.http_paginate",
        &["url", "method", "stop_condition", "next_request"],
        http!("items_jsonpath", "limit"),
    ),
    action("core.transform.reshape", &["value"], &[]),
    action("core.transform.filter", ITEMS_AND_LAMBDA, &[]),
    action("core.transform.map", ITEMS_AND_LAMBDA, &[]),
    action("core.transform.apply", &["value", "python_lambda"], &[]),
    action("core.transform.is_in", ITEMS_AND_COLLECTION, LAMBDA),
    action("core.transform.not_in", ITEMS_AND_COLLECTION, LAMBDA),
    action("core.transform.drop_nulls", ITEMS, &[]),
    action("core.transform.flatten_json", &["json"], &[]),
    action("core.transform.eval_jsonpaths", &["json", "jsonpaths"], &[]),
    action(
        "core.transform.deduplicate",
        &["items", "keys"],
        &["expire_seconds", "persist"],
    ),
    action(
        "core.script.run_python",
        &["script"],
        &[
            "inputs",
            "dependencies",
            "timeout_seconds",
            "allow_network",
            "env_vars",
        ],
    ),
    action(
        "tools.google_api.call_api",
        GOOGLE,
        &["params", "scopes", "subject", "static_discovery"],
    ),
    action(
        "tools.google_api.call_paginated_api",
        GOOGLE,
        &[
            "params",
            "scopes",
            "subject",
            "static_discovery",
            "page_token_param",
            "next_page_token_path",
            "max_pages",
        ],
    ),
];

/// Names that begin so are evergrant's own: nobody else can add one.
const OWN: [&str; 2] = ["core.", "tools.google_api."];

const fn action(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Action {
    Action {
        name,
        required,
        optional,
    }
}

impl Check<'_> {
    /// Steps whose action nobody knows.
    pub(super) fn actions(&mut self, templates: &Templates<'_>, surroundings: &Surroundings<'_>) {
        let template = self.template;
        for step in &template.steps {
            let name = step.action.as_str();
            if name.is_empty()
                || ACTIONS.iter().any(|action| action.name == name)
                || templates.contains_key(name)
            {
                continue;
            }
            let known = ACTIONS.iter().map(|action| action.name);
            let known = known.chain(templates.keys().copied());
            let hint = nearest(name, known);
            let is_own = OWN.iter().any(|own| name.starts_with(own)) || !name.contains('.');
            if is_own {
                let message = format!("there is no action {}", shown(name));
                self.error(step.action_at, message, hint);
            } else if !(surroundings.is_action)(name) {
                let message = format!(
                    "the action {} is not known here; when this runs, a template or a registered function has to have that name",
                    shown(name)
                );
                self.warn(step.action_at, message, hint);
            }
        }
    }

    /// Arguments that an action does not have, lacks, or can't be given together.
    pub(super) fn arguments(&mut self, templates: &Templates<'_>) {
        let template = self.template;
        for step in &template.steps {
            let ShapeKind::Mapping(given) = &step.arguments.kind else {
                continue;
            };
            let given = Vec::from_iter(given.iter().map(|(key, _)| (key.at, name_of(key))));
            let own = ACTIONS.iter().find(|action| action.name == step.action);
            match (own, templates.get(step.action.as_str())) {
                (Some(action), _) => {
                    self.given(step, &given, action.required, action.optional);
                    self.together(step);
                }
                (None, Some((_, called))) if !called.expects.is_empty() => {
                    let (required, optional) = expected(called);
                    self.given(step, &given, &required, &optional);
                }
                _ => {}
            }
        }
    }

    fn given(
        &mut self,
        step: &Step,
        given: &[(Position, Option<&str>)],
        required: &[&str],
        optional: &[&str],
    ) {
        let known = || required.iter().chain(optional).copied();
        for (at, name) in given {
            // What an expression makes of a key is not known yet.
            let Some(name) = name.filter(|_| !self.is_full()) else {
                continue;
            };
            if !known().any(|known| known == name) {
                let message = format!("{} has no argument {}", shown(&step.action), shown(name));
                self.error(*at, message, nearest(name, known()));
            }
        }
        if given.iter().any(|(_, name)| name.is_none()) {
            return;
        }
        for wanted in required {
            if !given.iter().any(|(_, name)| *name == Some(wanted)) {
                let message = format!(
                    "{} needs the argument {}",
                    shown(&step.action),
                    shown(wanted)
                );
                self.error(step.action_at, message, None);
            }
        }
    }

    /// Arguments of evergrant's own actions that depend on each other.
    fn together(&mut self, step: &Step) {
        let has = |name: &str| {
            let is_null = |shape: &Shape| matches!(shape.kind, ShapeKind::Plain(Value::None));
            step.arguments.get(name).filter(|shape| !is_null(shape))
        };
        if step.action == "core.http_poll"
            && has("poll_condition").is_none()
            && has("poll_retry_codes").is_none()
        {
            let message = "core.http_poll needs poll_condition or poll_retry_codes";
            self.error(step.action_at, message, None);
        }
        if let Some(content) = has("content")
            && let Some(other) = ["payload", "form_data", "files"]
                .into_iter()
                .find(|name| has(name).is_some())
        {
            let message = format!("content can't be sent together with {other}");
            self.error(content.at, message, None);
        }
        if let Some(ShapeKind::Plain(Value::Text(script))) =
            has("script").map(|script| &script.kind)
            && !script.contains("def ")
        {
            let at = has("script").map_or(step.at, |script| script.at);
            self.error(
                at,
                "the script defines no function",
                Some("def main(…): return …".to_owned()),
            );
        }
        for name in [
            "python_lambda",
            "poll_condition",
            "stop_condition",
            "next_request",
        ] {
            let Some(shape) = step.arguments.get(name) else {
                continue;
            };
            match &shape.kind {
                ShapeKind::Plain(Value::Text(source)) if !source.starts_with("lambda") => {
                    let message = format!("{name} is a Python lambda");
                    self.error(shape.at, message, Some("lambda x: …".to_owned()));
                }
                _ => {}
            }
        }
    }
}

/// The inputs that a template must be given, and those that it may be given.
fn expected(template: &Template) -> (Vec<&str>, Vec<&str>) {
    let inputs = template.expects.iter().map(|(input, _)| input);
    let (optional, required): (Vec<_>, Vec<_>) = inputs.partition(|input| input.default.is_some());
    (
        required
            .into_iter()
            .map(|input| input.name.as_str())
            .collect(),
        optional
            .into_iter()
            .map(|input| input.name.as_str())
            .collect(),
    )
}

/// A key as it is written; none where an expression makes it.
fn name_of(key: &Shape) -> Option<&str> {
    match &key.kind {
        ShapeKind::Plain(key) => key.text(),
        _ => None,
    }
}
