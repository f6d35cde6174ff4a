//! What a reply of the API means for the token that was presented.

use regex::Regex;
use serde_json::Value;

use super::content::Content;
use super::paths;
use crate::http::Reply;
use crate::provider::{ExpirySignal, Meaning, Spec};

/// What a reply means for the token: the first signal of the provider file that fits. Without any, every 401 means that
/// the token is used up, unless it names a missing scope (RFC 6750 section 3.1). `None`: nothing.
pub fn read(spec: &Spec, reply: &Reply) -> Option<Meaning> {
    if spec.expiry_signals.is_empty() {
        return (reply.status == 401).then(|| by_default(reply));
    }
    let content = Content::of(reply);
    spec.expiry_signals
        .iter()
        .find(|signal| fits(signal, reply, content.value()))
        .map(|signal| signal.means)
}

fn by_default(reply: &Reply) -> Meaning {
    let challenge = reply.headers.get(::http::header::WWW_AUTHENTICATE);
    let challenge = challenge
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if challenge.contains("insufficient_scope") {
        Meaning::Scope
    } else {
        Meaning::Expired
    }
}

/// Whether all that a signal names is so.
fn fits(signal: &ExpirySignal, reply: &Reply, whole: Option<&Value>) -> bool {
    let status = signal.status.is_none_or(|status| status == reply.status);
    let value = || paths::find(whole?, signal.path.as_deref()?);
    let path = signal.path.is_none()
        || match (&signal.equals, value().as_deref()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(Value::Array(several)), Some(value)) => several.contains(value),
            (Some(one), Some(value)) => one == value,
        };
    // Names of headers have no case (RFC 9110 section 5.1).
    let header = signal.header.as_deref().is_none_or(|pattern| {
        reply.headers.iter().any(|(name, value)| {
            let value = value.to_str().unwrap_or_default();
            is_found(&format!("(?i){pattern}"), &format!("{name}: {value}"))
        })
    });
    let body = signal
        .body
        .as_deref()
        .is_none_or(|pattern| is_found(pattern, &String::from_utf8_lossy(reply.body.expose())));
    status && path && header && body
}

/// Patterns of signals are searched for, wherever they are.
fn is_found(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}
