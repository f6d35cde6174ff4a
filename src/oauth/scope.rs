//! Scopes and resources as a request carries them.

use super::request::Parameters;
use crate::provider::{ResourceRules, Spec};

/// Scopes of OpenID Connect and of refresh tokens: they belong to no resource.
const WITHOUT_RESOURCE: [&str; 6] = [
    "openid",
    "offline_access",
    "profile",
    "email",
    "address",
    "phone",
];

/// The value sent for a resource that the caller named: its alias or entry of the provider file, or the name itself.
/// An empty name is the default resource.
pub(super) fn resource_value<'a>(spec: &'a Spec, name: &'a str) -> Option<&'a str> {
    let Some(rules) = &spec.resource else {
        return (!name.is_empty()).then_some(name);
    };
    if name.is_empty() {
        return rules.default.as_deref();
    }
    if rules.aliases.iter().any(|alias| alias == name) {
        return rules.default.as_deref();
    }
    let other = rules
        .others
        .get(name)
        .and_then(|other| other.value.as_deref());
    Some(other.unwrap_or(name))
}

/// Whether the scopes of a request say which resource it is for, and one other than the default was named.
pub(super) fn choose_resource(spec: &Spec, resource: &str) -> bool {
    let parameter = spec
        .resource
        .as_ref()
        .and_then(|rules| rules.parameter.as_deref());
    parameter == Some("scope") && !resource.is_empty()
}

/// The scopes that a service asks for: those that are configured are the default resource's, and would give its token
/// under another's name.
pub(super) fn of_service<'a>(spec: &Spec, scopes: &'a [String], resource: &str) -> &'a [String] {
    if choose_resource(spec, resource) {
        &[]
    } else {
        scopes
    }
}

/// Sets the parameters for `scopes` and `resource` in a request of the phase `authorization`, `token` or `refresh`.
pub(super) fn set(
    parameters: &mut Parameters,
    spec: &Spec,
    phase: &str,
    scopes: &[String],
    resource: &str,
) {
    let scopes = asked(spec, scopes, resource);
    if spec.scopes.sent != Some(false) && !scopes.is_empty() {
        parameters.set("scope", join(spec, &scopes));
    }
    let rules = spec.resource.as_ref();
    let name = rules.and_then(|rules| rules.parameter.as_deref());
    if let Some(name @ ("resource" | "audience")) =
        name.or((!resource.is_empty()).then_some("resource"))
        && rules.is_none_or(|rules| sent_in(rules, phase))
    {
        parameters.set_some(name, resource_value(spec, resource));
    }
}

/// Scopes in one text.
pub(super) fn join(spec: &Spec, scopes: &[String]) -> String {
    scopes.join(spec.scopes.separator.as_deref().unwrap_or(" "))
}

/// The scopes of a reply's text: space and comma both separate, unless the provider file names the one that does.
pub(super) fn split(spec: &Spec, text: &str) -> Vec<String> {
    let separators: Vec<char> = match spec.scopes.reply_separator.as_deref() {
        Some(separator) => separator.chars().collect(),
        None => vec![' ', ','],
    };
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split(|c: char| separators.contains(&c)).map(str::trim) {
        if !scope.is_empty() && !scopes.iter().any(|own| own == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// The scopes to ask for: where the resource is a prefix, with it, and all that is configured there if none was named.
pub(super) fn asked(spec: &Spec, scopes: &[String], resource: &str) -> Vec<String> {
    let Some(rules) = spec
        .resource
        .as_ref()
        .filter(|_| choose_resource(spec, resource))
    else {
        return scopes.to_vec();
    };
    let Some(prefix) = resource_value(spec, resource).map(|value| value.trim_end_matches('/'))
    else {
        return scopes.to_vec();
    };
    let own = rules
        .others
        .get(resource)
        .map_or(&[][..], |other| &other.scopes);
    let scopes = if scopes.is_empty() { own } else { scopes };
    if scopes.is_empty() {
        return vec![format!("{prefix}/.default")];
    }
    let with_prefix = |scope: &String| {
        let prefixed = scope.contains("://")
            || scope
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('/'));
        if prefixed || WITHOUT_RESOURCE.contains(&scope.as_str()) {
            scope.clone()
        } else {
            format!("{prefix}/{scope}")
        }
    };
    scopes.iter().map(with_prefix).collect()
}

fn sent_in(rules: &ResourceRules, phase: &str) -> bool {
    rules.sent_in.is_empty() || rules.sent_in.iter().any(|sent| sent == phase)
}
