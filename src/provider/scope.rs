//! Scopes: which may be asked for, which are asked for, and whether a granted one is enough.

use std::collections::{BTreeMap, BTreeSet};

use super::parameters::{nearest, whole};
use super::{ScopeRules, Spec};
use crate::error::{Error, ErrorKind, Result};

/// Every scope of RFC 6749 section 3.3: `1*NQCHAR`.
pub(super) const ANY_SCOPE: &str = r"[\x21\x23-\x5B\x5D-\x7E]+";

/// The scope that asks for a refresh token (OpenID Connect Core section 11). It says how long, not what for, and
/// servers grant it without listing it.
const OFFLINE_ACCESS: &str = "offline_access";

/// Whether `scope` may be asked for: one of the provider's allowed patterns matches it whole and no denied one does.
/// A file without allowed patterns allows all: what it does not say is not known.
///
/// # Errors
/// `InvalidScope`, naming the scope, the patterns and the nearest valid scope.
pub fn validate(rules: &ScopeRules, provider_id: &str, scope: &str) -> Result<()> {
    let known = || {
        rules
            .base
            .iter()
            .chain(rules.suggested.keys())
            .map(String::as_str)
    };
    let mut reason = None;
    if !is_scope_token(scope) {
        reason = Some(
            "a scope is printable ASCII without space, quote and backslash; pass several one by one",
        );
    } else if rules
        .separator
        .as_deref()
        .is_some_and(|separator| scope.contains(separator))
    {
        reason = Some("it holds the character between two scopes; pass several one by one");
    } else if matches(&rules.denied, scope)? {
        reason = Some("it is not offered here");
    } else if !rules.allowed.is_empty() && !matches(&rules.allowed, scope)? {
        reason = Some("no pattern of the provider matches it");
    }
    let Some(reason) = reason else {
        return Ok(());
    };
    let shown: String = scope
        .chars()
        .filter(|c| !c.is_control())
        .take(256)
        .collect();
    // Scopes that are URLs are mostly spoken of by their last segment: `drive.readonly`.
    let in_full = || {
        known().find(|known| {
            known
                .rsplit_once('/')
                .is_some_and(|(_, name)| name == scope)
        })
    };
    let nearest = in_full()
        .or_else(|| nearest(scope, known()))
        .map(str::to_owned);
    let patterns: Vec<String> = rules
        .allowed
        .iter()
        .map(|pattern| in_words(pattern, known()))
        .collect();
    let mut message = format!("`{shown}` is not a scope of {provider_id}: {reason}");
    if !patterns.is_empty() {
        message = format!("{message}; allowed: {}", patterns.join("; "));
    }
    let kind = ErrorKind::InvalidScope {
        scope: shown,
        patterns,
        nearest: nearest.clone(),
    };
    let error = Error::new(kind, "invalid_scope", message).of_provider(provider_id);
    Err(match nearest {
        Some(nearest) => error.hint(format!(
            "evergrant configure {provider_id} --scope {nearest}"
        )),
        None => error.hint(format!("evergrant providers {provider_id}")),
    })
}

/// The scopes to ask for: base, additional, then the connection's own, each once, in that order.
pub fn requested(spec: &Spec, additional: &[String], connection_scopes: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    spec.scopes
        .base
        .iter()
        .chain(additional)
        .chain(connection_scopes)
        .filter(|scope| seen.insert(scope.as_str()))
        .cloned()
        .collect()
}

/// The parameters of the authorization request that asks for `scopes`: the file's and the user's, and `prompt=consent`
/// where `openid` goes together with `offline_access` (OpenID Connect Core section 11 demands it), unless the provider
/// sets `prompt` itself or omits it.
pub fn authorization_parameters(spec: &Spec, scopes: &[String]) -> BTreeMap<String, String> {
    let mut parameters = spec.authorization.parameters.clone();
    let asks = |wanted: &str| scopes.iter().any(|scope| scope == wanted);
    let omitted = spec.authorization.omit.iter().any(|name| name == "prompt");
    if asks("openid") && asks(OFFLINE_ACCESS) && !omitted {
        parameters
            .entry("prompt".into())
            .or_insert_with(|| "consent".into());
    }
    parameters
}

/// Whether `granted` holds what a caller that needs `needed` asks for. Beside the same text it is enough when
/// - a granted scope implies it, by the file's `scopes.implies` (GitHub's `repo` swallows its children, Google returns
///   `email` as a URL);
/// - scopes are prefixed by their resource (`resource.parameter: scope`) and both mean the same one of the default
///   resource, in any case: Microsoft grants `https://graph.microsoft.com/User.Read` as `User.Read`, and `/.default`
///   stands for all that was consented;
/// - it is `offline_access`, which no server has to list.
pub fn covers(granted: &[String], needed: &str, spec: &Spec) -> bool {
    needed == OFFLINE_ACCESS
        || granted
            .iter()
            .any(|granted| granted == needed || means(granted, needed, spec))
        || implied(granted, spec).contains(needed)
}

/// All that `granted` implies, directly or in several steps.
fn implied<'a>(granted: &'a [String], spec: &'a Spec) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&'a str> = BTreeSet::new();
    let mut open: Vec<&'a str> = granted.iter().map(String::as_str).collect();
    while let Some(scope) = open.pop() {
        let included = spec.scopes.implies.get(scope).into_iter().flatten();
        open.extend(
            included
                .map(String::as_str)
                .filter(|included| found.insert(*included)),
        );
    }
    found
}

/// Whether two scopes of a provider that prefixes them by their resource mean the same.
fn means(granted: &str, needed: &str, spec: &Spec) -> bool {
    let Some(rules) = spec
        .resource
        .as_ref()
        .filter(|rules| rules.parameter.as_deref() == Some("scope"))
    else {
        return false;
    };
    let of_default = |resource: &str| {
        let same = |other: &String| other.trim_end_matches('/').eq_ignore_ascii_case(resource);
        rules.default.iter().chain(&rules.aliases).any(same)
    };
    let split = |scope: &str| -> (String, String) {
        let (resource, name) = match scope.rsplit_once('/') {
            Some((resource, name)) if resource.contains("://") => {
                (resource.trim_end_matches('/'), name)
            }
            _ => ("", scope),
        };
        let resource = if of_default(resource) { "" } else { resource };
        (resource.to_ascii_lowercase(), name.to_ascii_lowercase())
    };
    let ((granted_resource, granted), (needed_resource, needed)) = (split(granted), split(needed));
    granted_resource == needed_resource
        && (granted == needed || granted == ".default" || needed == ".default")
}

/// A pattern as a person reads it: alternatives of plain words, else the pattern with a scope that it accepts.
fn in_words<'a>(pattern: &str, mut known: impl Iterator<Item = &'a str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "|_:/-".contains(c);
    if pattern.chars().all(plain) {
        return pattern.split('|').collect::<Vec<_>>().join(", ");
    }
    let example = whole(pattern)
        .ok()
        .and_then(|regex| known.find(|scope| regex.is_match(scope)));
    match example {
        Some(example) => format!("{pattern}, such as {example}"),
        None => pattern.to_owned(),
    }
}

fn matches(patterns: &[String], scope: &str) -> Result<bool> {
    for pattern in patterns {
        let regex = whole(pattern)
            .map_err(|reason| Error::invalid_parameter("invalid_provider_file", reason))?;
        if regex.is_match(scope) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// RFC 6749 section 3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}
