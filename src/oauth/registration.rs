//! Dynamic client registration (RFC 7591): a client id without a form to fill in.

use serde_json::{Value, json};
use url::Url;

use super::content::Content;
use super::refusal;
use super::request::LOOKUP_DEADLINE;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, HostRule, Method, Reply, Request};
use crate::provider::{ClientAuthentication, Spec, hosts};
use crate::secret::{ClientSecret, Secret, SecretBytes};

/// How the client shows on the consent page, unless the server asks the person who registers.
const CLIENT_NAME: &str = "evergrant";

/// A client that the server registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// Its id.
    pub client_id: String,
    /// Its secret, where it got one.
    pub client_secret: Option<ClientSecret>,
    /// How it authenticates, where the server says.
    pub authentication: Option<ClientAuthentication>,
    /// What reads and changes the registration (RFC 7592).
    pub access_token: Option<Secret>,
    /// Where.
    pub client_uri: Option<String>,
}

/// Registers a client for sign-ins that end at `redirect_uri`: one with a secret where a public one is refused. No scope is part of it: what is asked for is asked of the
/// person.
///
/// # Errors
/// `InvalidParameter` without an endpoint, `ProviderUnavailable`, `ProviderRejected`.
pub async fn register(
    http: &http::Client,
    spec: &Spec,
    redirect_uri: &str,
    authentication: ClientAuthentication,
    clock: &Clock,
) -> Result<Registration> {
    let ask = |authentication| ask(http, spec, redirect_uri, authentication, clock);
    match ask(authentication).await {
        // Some take no public clients.
        Err(error)
            if error.code() == "registration_refused"
                && authentication == ClientAuthentication::None =>
        {
            ask(ClientAuthentication::ClientSecretPost).await
        }
        answer => answer,
    }
}

async fn ask(
    http: &http::Client,
    spec: &Spec,
    redirect_uri: &str,
    authentication: ClientAuthentication,
    clock: &Clock,
) -> Result<Registration> {
    let endpoint = spec.endpoints.registration_endpoint.as_deref();
    let endpoint = endpoint.ok_or_else(|| {
        let reason = format!("{} registers no clients by itself (RFC 7591)", spec.name);
        Error::invalid_parameter("registration_unsupported", reason)
    })?;
    let url = hosts::judge_url(endpoint, spec.user_endpoints)?;
    let host = url.host_str().unwrap_or_default();
    let host_rule = match spec.server_named.iter().any(|named| named == host) {
        true => HostRule::ServerNamed,
        false => HostRule::Named,
    };
    let request = Request {
        leaves_by: None,
        method: Method::POST,
        url,
        headers: vec![("Accept".to_owned(), Secret::from("application/json"))],
        body: Some((
            "application/json",
            SecretBytes::from(body(spec, redirect_uri, authentication).into_bytes()),
        )),
        deadline: LOOKUP_DEADLINE,
        host_rule,
    };
    let name = &spec.name;
    let reply = http.send(request).await.map_err(|failure| {
        let reason = failure.reason();
        unavailable(
            format!("{name} could not be asked to register a client: {reason}"),
            None,
        )
    })?;
    read(&reply, name, clock)
}

fn body(spec: &Spec, redirect_uri: &str, authentication: ClientAuthentication) -> String {
    let mut grant_types = vec!["authorization_code", "refresh_token"];
    if super::device::is_offered(spec) {
        grant_types.push("urn:ietf:params:oauth:grant-type:device_code");
    }
    let native = Url::parse(redirect_uri).is_ok_and(|url| url.scheme() == "http");
    json!({
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": grant_types,
        "response_types": ["code"],
        "application_type": if native { "native" } else { "web" },
        "token_endpoint_auth_method": match authentication {
            ClientAuthentication::ClientSecretBasic => "client_secret_basic",
            ClientAuthentication::ClientSecretPost => "client_secret_post",
            _ => "none",
        },
    })
    .to_string()
}

fn read(reply: &Reply, name: &str, clock: &Clock) -> Result<Registration> {
    let content = Content::of(reply);
    let whole = content.value().unwrap_or(&Value::Null);
    let text = |member: &str| {
        let text = whole.get(member).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && !text.contains(char::is_control))
    };
    let status = reply.status;
    if status == 429 || status >= 500 {
        let retry_after = refusal::retry_after(&reply.headers, clock.wall());
        let reason = format!("{name} registered no client (HTTP {status})");
        return Err(unavailable(reason, retry_after));
    }
    let error = text("error").map(|error| super::clean(error, &[]));
    if !matches!(status, 200 | 201) || error.is_some() {
        let why = text("error_description").or(text("error"));
        let why = why.map_or_else(|| format!("HTTP {status}"), |why| super::clean(why, &[]));
        let reason = format!("{name} registered no client: {why}");
        return Err(rejected("registration_refused", error, reason));
    }
    let authentication = match text("token_endpoint_auth_method") {
        None => None,
        Some("none") => Some(ClientAuthentication::None),
        Some("client_secret_basic") => Some(ClientAuthentication::ClientSecretBasic),
        Some("client_secret_post") => Some(ClientAuthentication::ClientSecretPost),
        Some(other) => {
            let other = super::clean(other, &[]);
            let reason = format!(
                "{name} registered a client that authenticates by {other}, which none asked for"
            );
            return Err(rejected("registration_malformed", None, reason));
        }
    };
    let Some(client_id) = text("client_id") else {
        let reason = format!("{name} registered a client and named no id");
        return Err(rejected("registration_malformed", None, reason));
    };
    Ok(Registration {
        client_id: client_id.to_owned(),
        client_secret: text("client_secret").map(ClientSecret::from),
        authentication,
        access_token: text("registration_access_token").map(Secret::from),
        client_uri: text("registration_client_uri").map(str::to_owned),
    })
}

fn unavailable(reason: String, retry_after: Option<std::time::Duration>) -> Error {
    let kind = ErrorKind::ProviderUnavailable { retry_after };
    Error::new(kind, "registration_unavailable", reason)
}

fn rejected(code: &'static str, error: Option<String>, reason: String) -> Error {
    let kind = ErrorKind::ProviderRejected {
        error,
        description: None,
    };
    Error::new(kind, code, reason)
}
