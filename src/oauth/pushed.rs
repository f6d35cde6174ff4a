//! Pushed authorization requests (RFC 9126): the parameters go to the server first, the browser carries a reference.

use serde_json::Value;

use super::authorize::{Authorization, carrying};
use super::client::Client;
use super::content::Content;
use super::refusal;
use super::request::{Draft, LOOKUP_DEADLINE, Mask, Parameters, Values};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, Method, Reply};
use crate::provider::{RequestRules, Spec};

/// Whether authorization requests are pushed: there is an endpoint, and the server or the provider file wants it used.
pub fn is_wanted(spec: &Spec) -> bool {
    let endpoint = &spec.endpoints.pushed_authorization_request_endpoint;
    spec.authorization.pushed && endpoint.is_some()
}

/// Pushes an authorization request; its URL then holds nothing but the client id and a reference that works once.
///
/// # Errors
/// `ProviderUnavailable`, `ProviderRejected`.
pub async fn push(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    authorization: Authorization,
    clock: &Clock,
) -> Result<Authorization> {
    let draft = Draft {
        spec,
        client,
        rules: &RequestRules::default(),
        endpoint: spec
            .endpoints
            .pushed_authorization_request_endpoint
            .as_deref(),
        authentication: client.authentication,
        method: Method::POST,
        standard: authorization.parameters.clone(),
        values: Values::new(spec, Some(&client)),
        bearer: None,
        deadline: LOOKUP_DEADLINE,
        now: clock.wall(),
    };
    let (request, mask) = draft.finish()?;
    let reply = http.send(request).await.map_err(|failure| {
        unavailable(format!(
            "{} could not be given the authorization request: {}",
            spec.name,
            failure.reason()
        ))
    })?;
    let request_uri = read(&reply, spec, &mask, clock)?;
    let name = |standard: &str| {
        let own = spec.authorization.rename.get(standard);
        own.map_or_else(|| standard.to_owned(), Clone::clone)
    };
    let mut parameters = Parameters::default();
    parameters.set(&name("client_id"), client.id);
    parameters.set("request_uri", request_uri);
    Ok(Authorization {
        url: carrying(spec, &parameters)?,
        ..authorization
    })
}

/// The reference (RFC 9126 section 2.2).
fn read(reply: &Reply, spec: &Spec, mask: &Mask, clock: &Clock) -> Result<String> {
    let content = Content::of(reply);
    let whole = content.value().unwrap_or(&Value::Null);
    let (status, name) = (reply.status, &spec.name);
    let rejected = |code, error: Option<String>, reason| {
        let kind = ErrorKind::ProviderRejected {
            error,
            description: None,
        };
        Err(Error::new(kind, code, reason))
    };
    if status == 429 || status >= 500 {
        let retry_after = refusal::retry_after(&reply.headers, clock.wall());
        let kind = ErrorKind::ProviderUnavailable { retry_after };
        let reason = format!("{name} took no authorization request (HTTP {status})");
        return Err(Error::new(kind, "provider_unavailable", reason));
    }
    let error = refusal::error_code(whole, &spec.reply).map(|error| mask.clean(&error));
    if !(200..300).contains(&status) || error.is_some() {
        let why = error.clone().unwrap_or_else(|| format!("HTTP {status}"));
        let reason = format!("{name} refused the authorization request: {why}");
        return rejected("pushed_request_refused", error, reason);
    }
    match whole.get("request_uri").and_then(Value::as_str) {
        Some(uri) if !uri.is_empty() && !uri.contains(char::is_control) => Ok(uri.to_owned()),
        _ => rejected(
            "pushed_request_malformed",
            None,
            format!("{name} took the authorization request and named no request_uri"),
        ),
    }
}

fn unavailable(reason: String) -> Error {
    let kind = ErrorKind::ProviderUnavailable { retry_after: None };
    Error::new(kind, "provider_unavailable", reason)
}
