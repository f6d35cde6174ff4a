//! What the authorization server itself says of a token (RFC 7662).

use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::content::Content;
use super::request::{Draft, Parameters, Values};
use super::{expiry, refusal};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, Method};
use crate::provider::{ExpiresRule, Paths, RequestRules, Spec};
use crate::secret::AccessToken;

/// Short: it may be asked within a refresh, whose lease must outlast both.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Introspection {
    /// Whether it takes the token.
    pub active: bool,
    /// When the token ends (UTC, by our clock), where it says.
    pub expires_at: Option<Timestamp>,
}

/// Whether there is somebody to ask, and a client that may (RFC 7662 section 2.1 wants one that proves who it is).
pub fn is_offered(spec: &Spec, client: &Client<'_>) -> bool {
    spec.endpoints.introspection_endpoint.is_some() && client.secret.is_some()
}

/// Asks about an access token.
///
/// # Errors
/// `InvalidParameter` without an endpoint, `ProviderUnavailable`, `ProviderRejected`.
pub async fn introspect(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    token: &AccessToken,
    clock: &Clock,
) -> Result<Introspection> {
    let mut standard = Parameters::default();
    standard.set("token", token.expose());
    standard.set("token_type_hint", "access_token");
    let draft = Draft {
        spec,
        client,
        rules: &RequestRules::default(),
        endpoint: spec.endpoints.introspection_endpoint.as_deref(),
        authentication: client.authentication,
        method: Method::POST,
        standard,
        values: Values::new(spec, Some(&client)),
        bearer: None,
        deadline: DEADLINE,
        now: clock.wall(),
    };
    let (request, mask) = draft.finish()?;
    let name = &spec.name;
    let unavailable = |reason: &str, retry_after| {
        let reason = format!("{name} could not be asked about the token: {reason}");
        let kind = ErrorKind::ProviderUnavailable { retry_after };
        Error::new(kind, "introspection_unavailable", reason)
    };
    let asked_at = clock.wall();
    let reply = http
        .send(request)
        .await
        .map_err(|failure| unavailable(failure.reason(), None))?;
    let content = Content::of(&reply);
    let whole = content.value().unwrap_or(&Value::Null);
    let status = reply.status;
    if status == 429 || status >= 500 {
        let retry_after = refusal::retry_after(&reply.headers, clock.wall());
        return Err(unavailable(&format!("HTTP {status}"), retry_after));
    }
    let active = whole.get("active").and_then(Value::as_bool);
    let (200..300, Some(active)) = (status, active) else {
        let error = refusal::error_code(whole, &spec.reply).map(|error| mask.clean(&error));
        let why = error.clone().unwrap_or_else(|| format!("HTTP {status}"));
        let kind = ErrorKind::ProviderRejected {
            error,
            description: None,
        };
        let reason = format!("{name} did not say whether the token is valid: {why}");
        return Err(Error::new(kind, "introspection_refused", reason));
    };
    let moment = expiry::Moment::new(asked_at, clock.wall(), &reply.headers, None);
    let rule = ExpiresRule {
        source: None,
        path: spec
            .reply
            .expires
            .path
            .clone()
            .or(Some(Paths::One("exp".to_owned()))),
        unit: spec.reply.expires.unit.clone().or(Some("unix".to_owned())),
        ..ExpiresRule::default()
    };
    Ok(Introspection {
        active,
        expires_at: active
            .then(|| expiry::expires_at(whole, &rule, "exp", token.expose(), moment))
            .flatten(),
    })
}
