//! Dynamic registration of a client (RFC 7591), for servers where nobody registers one by hand.

use serde_json::{Value, json};
use url::Url;

use super::content::Content;
use super::refusal;
use super::request::LOOKUP_DEADLINE;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, HostRule, Method, Request};
use crate::provider::hosts;
use crate::secret::{ClientSecret, Secret, SecretBytes};

/// A client that a server registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its id.
    pub client_id: String,
    /// Its secret, unless it is public.
    pub client_secret: Option<ClientSecret>,
}

/// Registers a client with one redirect URI: a public one, or one with a secret where the server takes no public ones.
///
/// # Errors
/// `InvalidParameter` for an endpoint that is none, `ProviderUnavailable`, `ProviderRejected`.
pub async fn register(
    http: &http::Client,
    endpoint: &str,
    host_rule: HostRule,
    redirect_uri: &str,
    clock: &Clock,
) -> Result<Registered> {
    let url = hosts::judge_url(endpoint, true)?;
    match ask(http, &url, host_rule, redirect_uri, "none", clock).await {
        Err(error) if error.code() == "registration_refused" => {
            let method = "client_secret_post";
            ask(http, &url, host_rule, redirect_uri, method, clock).await
        }
        answer => answer,
    }
}

async fn ask(
    http: &http::Client,
    url: &Url,
    host_rule: HostRule,
    redirect_uri: &str,
    method: &str,
    clock: &Clock,
) -> Result<Registered> {
    let metadata = json!({
        "client_name": "evergrant",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    });
    let request = Request {
        method: Method::POST,
        url: url.clone(),
        headers: vec![("Accept".to_owned(), Secret::from("application/json"))],
        body: Some((
            "application/json",
            SecretBytes::from(metadata.to_string().into_bytes()),
        )),
        deadline: LOOKUP_DEADLINE,
        leaves_by: None,
        host_rule,
    };
    let host = url.host_str().unwrap_or_default();
    let unavailable = |reason: String, retry_after| {
        Error::new(
            ErrorKind::ProviderUnavailable { retry_after },
            "registration_unavailable",
            reason,
        )
    };
    let reply = http.send(request).await.map_err(|failure| {
        let reason = failure.reason();
        unavailable(
            format!("{host} could not be asked for a client: {reason}"),
            None,
        )
    })?;
    let content = Content::of(&reply);
    let document = content.value().unwrap_or(&Value::Null);
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    match (reply.status, text("client_id").filter(|id| !id.is_empty())) {
        (200..300, Some(client_id)) => Ok(Registered {
            client_id: client_id.to_owned(),
            client_secret: text("client_secret")
                .filter(|secret| !secret.is_empty() && method != "none")
                .map(ClientSecret::from),
        }),
        (429 | 500.., _) => Err(unavailable(
            format!("{host} answered HTTP {} instead of a client", reply.status),
            refusal::retry_after(&reply.headers, clock.wall()),
        )),
        (status, _) => {
            let said = text("error_description").or(text("error"));
            let said = said.map(|said| format!(": {}", super::clean(said, &[])));
            let kind = ErrorKind::ProviderRejected {
                error: text("error").map(|error| super::clean(error, &[])),
                description: None,
            };
            Err(Error::new(
                kind,
                "registration_refused",
                format!(
                    "{host} registers no client (HTTP {status}){}",
                    said.unwrap_or_default()
                ),
            ))
        }
    }
}
