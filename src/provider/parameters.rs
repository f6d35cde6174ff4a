//! What the user fills in: parameters, the values they may have, and the templates that they fill.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A pattern may compile to this many bytes: enough for any provider, too little to fill memory.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

/// One DNS label (RFC 1123 section 2.1): what a parameter in a host may be unless the file says otherwise.
const DNS_LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";

/// One path segment of unreserved characters (RFC 3986 section 2.3). It begins with no dot: `..` would climb.
const PATH_SEGMENT: &str = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*";

/// Names that evergrant itself fills in templates; no parameter may have one.
pub(super) const BUILT_IN: [&str; 17] = [
    "access_token",
    "assertion",
    "client_email",
    "client_id",
    "client_secret",
    "code",
    "id",
    "nonce",
    "redirect_uri",
    "refresh_token",
    "scope",
    "state",
    "token",
    "token_endpoint",
    "user_agent",
    "user_code",
    "uuid",
];

/// A parameter of a provider file: one field of the form that the user fills in.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Parameter {
    pub label: Option<String>,
    pub description: Option<String>,
    pub found_at: Option<String>,
    pub example: Option<String>,
    pub default: Option<String>,
    /// Guards what enters a host or path; matches the whole value.
    pub pattern: Option<String>,
    pub secret: bool,
    pub optional: bool,
    pub choices: Option<Choices>,
}

/// The values to choose from: closed, unless the parameter has a pattern.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "expected a list of values, or a map of what each choice sets"
)]
pub enum Choices {
    /// Plain values.
    Values(Vec<String>),
    /// Each choice sets values of other names.
    Settings(BTreeMap<String, BTreeMap<String, String>>),
}

impl Choices {
    /// What can be chosen.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Values(values) => values.iter().map(String::as_str).collect(),
            Self::Settings(settings) => settings.keys().map(String::as_str).collect(),
        }
    }
}

/// Where a parameter goes, and so what it may be when the file gives no pattern.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Place {
    /// Neither host nor path: any text without control characters.
    #[default]
    Elsewhere,
    Path,
    Host,
}

/// Fills `{name}` in a template with `values`. `Ok(None)`: a value is not known, so that a header or parameter is left
/// out. A brace that encloses no name is plain text.
///
/// # Errors
/// `InvalidParameter`: a value holds control characters, which could end a header or a line.
pub fn fill(template: &str, values: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let mut filled = String::with_capacity(template.len());
    let mut end = 0;
    for (start, name) in placeholders(template) {
        let Some(value) = values(name) else {
            return Ok(None);
        };
        if value.contains(char::is_control) {
            return Err(Error::invalid_parameter(
                "invalid_parameter_value",
                format!("the value of `{name}` holds a control character"),
            ));
        }
        filled.push_str(&template[end..start]);
        filled.push_str(&value);
        end = start + name.len() + 2;
    }
    filled.push_str(&template[end..]);
    Ok(Some(filled))
}

/// The names that `template` needs, each with the position of its brace.
pub fn placeholders(template: &str) -> impl Iterator<Item = (usize, &str)> {
    template.match_indices('{').filter_map(|(start, _)| {
        let rest = &template[start + 1..];
        let name = &rest[..rest.find('}')?];
        is_name(name).then_some((start, name))
    })
}

/// A regex that matches whole values only. The pattern alone must be one: `a)|(b` would escape its anchors.
pub(super) fn whole(pattern: &str) -> std::result::Result<Regex, String> {
    let compile = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(PATTERN_SIZE_LIMIT)
            .build()
            .map_err(|error| {
                // The parser draws the pattern over several lines; its last one says what is wrong.
                let drawing = error.to_string();
                let reason = drawing.lines().last().unwrap_or_default();
                format!(
                    "`{pattern}` is no pattern: {}",
                    reason.trim_start_matches("error: ")
                )
            })
    };
    compile(pattern)?;
    compile(&format!("^(?:{pattern})$"))
}

/// Whether a pattern of a provider file matches the whole of a value.
pub fn matches_whole(pattern: &str, value: &str) -> bool {
    whole(pattern).is_ok_and(|pattern| pattern.is_match(value))
}

/// The nearest of `known` to a name that is not among them, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// The values of a provider's parameters: given, else default; each checked; with what the choices set. What is neither
/// is missing from the result.
pub(super) fn resolve(
    provider: &str,
    declared: &BTreeMap<String, Parameter>,
    given: &BTreeMap<String, String>,
    place: &dyn Fn(&str) -> Place,
) -> Result<BTreeMap<String, String>> {
    if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
        return Err(unknown(provider, name, declared));
    }
    let mut values = BTreeMap::new();
    for (name, parameter) in declared {
        let value = given
            .get(name)
            .filter(|value| !value.is_empty())
            .or(parameter.default.as_ref());
        if let Some(value) = value {
            judge(name, parameter, value, place(name))
                .map_err(|reason| refused(provider, name, parameter, &reason))?;
            adopt(name, parameter, value, &mut values);
        }
    }
    Ok(values)
}

/// Puts a value, and what it sets as a choice, among `values`.
pub(super) fn adopt(
    name: &str,
    parameter: &Parameter,
    value: &str,
    values: &mut BTreeMap<String, String>,
) {
    if let Some(Choices::Settings(settings)) = &parameter.choices
        && let Some(chosen) = settings.get(value)
    {
        let chosen = chosen
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        values.extend(chosen);
    }
    values.insert(name.to_owned(), value.to_owned());
}

/// Whether `parameter` may have `value`; if not, what it has to be, in words.
pub(super) fn judge(
    name: &str,
    parameter: &Parameter,
    value: &str,
    place: Place,
) -> std::result::Result<(), String> {
    if value.contains(char::is_control) {
        return Err("it holds a control character".into());
    }
    let choices = parameter.choices.as_ref().map(Choices::names);
    if let Some(choices) = &choices {
        if choices.contains(&value) {
            return Ok(());
        }
        if parameter.pattern.is_none() {
            return Err(format!("it has to be one of {}", choices.join(", ")));
        }
    }
    let (pattern, words) = match (&parameter.pattern, place) {
        (Some(pattern), _) => (pattern.as_str(), parameter.words(pattern)),
        (None, Place::Host) => (
            DNS_LABEL,
            "it has to be one label of a host name: letters, digits and hyphens".into(),
        ),
        (None, Place::Path) => (
            PATH_SEGMENT,
            "it has to be one segment of a path: letters, digits and . _ ~ -".into(),
        ),
        (None, Place::Elsewhere) => return Ok(()),
    };
    match whole(pattern) {
        Ok(pattern) if pattern.is_match(value) => Ok(()),
        Ok(_) => Err(words),
        Err(reason) => Err(format!(
            "the provider file's pattern of `{name}` is broken: {reason}"
        )),
    }
}

/// The error for a parameter that has to be set and is not.
pub(super) fn missing(provider: &str, name: &str, parameter: Option<&Parameter>) -> Error {
    let label = parameter.and_then(|parameter| {
        parameter
            .description
            .as_deref()
            .or(parameter.label.as_deref())
    });
    let what = label.map_or(String::new(), |label| format!(" ({label})"));
    let example = parameter
        .and_then(|parameter| parameter.example.as_deref())
        .unwrap_or("VALUE");
    Error::invalid_parameter(
        "missing_parameter",
        format!("{provider} needs the parameter `{name}`{what}, which is not set"),
    )
    .of_provider(provider)
    .hint(format!(
        "evergrant configure {provider} --parameter {name}={example}"
    ))
}

impl Parameter {
    /// What a value has to be: the file's own description, else its pattern.
    fn words(&self, pattern: &str) -> String {
        match &self.description {
            Some(description) => format!("it has to be: {description} (pattern {pattern})"),
            None => format!("it has to match {pattern}"),
        }
    }
}

fn unknown(provider: &str, name: &str, declared: &BTreeMap<String, Parameter>) -> Error {
    let error = |reason: String| {
        Error::invalid_parameter("unknown_parameter", reason).of_provider(provider)
    };
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let known: Vec<&str> = declared.keys().map(String::as_str).collect();
    if known.is_empty() {
        return error(format!("{provider} has no parameters, `{name}` neither"));
    }
    let reason = format!(
        "{provider} has no parameter `{name}`, only {}",
        known.join(", ")
    );
    match nearest(&name, known) {
        Some(nearest) => error(reason).hint(format!(
            "evergrant configure {provider} --parameter {nearest}=VALUE"
        )),
        None => error(reason).hint(format!("evergrant providers {provider}")),
    }
}

fn refused(provider: &str, name: &str, parameter: &Parameter, reason: &str) -> Error {
    let example = match (&parameter.example, &parameter.choices) {
        (Some(example), _) => example.as_str(),
        (None, Some(choices)) => choices.names().first().copied().unwrap_or("VALUE"),
        (None, None) => "VALUE",
    };
    Error::invalid_parameter(
        "invalid_parameter_value",
        format!("the value of {provider}'s parameter `{name}` is refused: {reason}"),
    )
    .of_provider(provider)
    .hint(format!(
        "evergrant configure {provider} --parameter {name}={example}"
    ))
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
