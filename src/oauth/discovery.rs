//! Metadata of an authorization server: RFC 8414, then OpenID Connect Discovery 1.0.

use serde_json::Value;
use url::Url;

use super::content::Content;
use super::refusal;
use super::request::LOOKUP_DEADLINE;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, HostRule, Method, Reply, Request};
use crate::provider::{Endpoints, hosts};
use crate::secret::Secret;

/// What an authorization server says of itself. Nothing in it was derived, and nothing widens what is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metadata {
    /// Its endpoints; those that are no https URLs (http to a loopback literal for such an issuer) are left out.
    pub endpoints: Endpoints,
    /// Scopes it knows.
    pub scopes_supported: Vec<String>,
    /// PKCE methods it knows (RFC 7636); empty: it did not say.
    pub code_challenge_methods_supported: Vec<String>,
    /// How clients may authenticate; empty: it did not say.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Grant types it knows; empty: it did not say.
    pub grant_types_supported: Vec<String>,
    /// It promises to name itself in callbacks (RFC 9207).
    pub authorization_response_iss_parameter_supported: bool,
}

/// Fetches the metadata of `issuer`, which must be the issuer's own spelling (RFC 8414 section 3.3).
///
/// # Errors
/// `InvalidParameter` for what is no issuer; `ProviderUnavailable` when the server is away; `ProviderRejected` when it
/// has no metadata, or metadata of another issuer.
pub async fn discover(http: &http::Client, issuer: &str, clock: &Clock) -> Result<Metadata> {
    let url = hosts::judge_url(issuer, true)?;
    if url.query().is_some() {
        return Err(Error::invalid_parameter(
            "issuer_invalid",
            "an issuer has no query (RFC 8414 section 2)",
        ));
    }
    let mut first_failure = None;
    for place in places(&url) {
        match fetch(http, &place, issuer, &url, clock).await {
            Ok(metadata) => return Ok(metadata),
            Err(error) => {
                // A server that is away, or a wrong issuer, says more than the 404 of the other place.
                let telling = error.code() != "discovery_missing";
                if first_failure.is_none() || (telling && is_missing(first_failure.as_ref())) {
                    first_failure = Some(error);
                }
            }
        }
    }
    Err(first_failure
        .unwrap_or_else(|| Error::internal("an issuer has two places for its metadata")))
}

/// Between host and path (RFC 8414 section 3), and behind the path (OpenID Connect Discovery section 4).
fn places(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/').to_owned();
    let place = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    [
        place(format!("/.well-known/oauth-authorization-server{path}")),
        place(format!("{path}/.well-known/openid-configuration")),
    ]
}

async fn fetch(
    http: &http::Client,
    place: &Url,
    issuer: &str,
    asked: &Url,
    clock: &Clock,
) -> Result<Metadata> {
    let request = Request {
        leaves_by: None,
        method: Method::GET,
        url: place.clone(),
        headers: vec![("Accept".to_owned(), Secret::from("application/json"))],
        body: None,
        deadline: LOOKUP_DEADLINE,
        host_rule: HostRule::Named,
    };
    let reply = http.send(request).await.map_err(|failure| {
        let reason = format!(
            "{} could not be asked for its metadata: {}",
            host(asked),
            failure.reason()
        );
        Error::new(
            ErrorKind::ProviderUnavailable { retry_after: None },
            "discovery_unavailable",
            reason,
        )
    })?;
    let content = Content::of(&reply);
    match (reply.status, content.value()) {
        (429 | 500.., _) => {
            let retry_after = refusal::retry_after(&reply.headers, clock.wall());
            let reason = format!(
                "{} answered HTTP {} instead of its metadata",
                host(asked),
                reply.status
            );
            Err(Error::new(
                ErrorKind::ProviderUnavailable { retry_after },
                "discovery_unavailable",
                reason,
            ))
        }
        (200, Some(document @ Value::Object(_))) => read(document, issuer, asked),
        _ => Err(missing(asked, &reply, &content)),
    }
}

fn read(document: &Value, issuer: &str, asked: &Url) -> Result<Metadata> {
    let own = document
        .get("issuer")
        .and_then(Value::as_str)
        .ok_or_else(|| {
            rejected(
                "discovery_malformed",
                format!("the metadata of {} names no issuer", host(asked)),
            )
        })?;
    if own != issuer {
        let own = super::clean_label(own);
        return Err(rejected(
            "discovery_issuer_mismatch",
            format!(
                "{issuer} says that its issuer is {own}, which is not the one asked (RFC 8414 section 3.3)"
            ),
        ));
    }
    let mut endpoints = Endpoints {
        issuer: Some(issuer.to_owned()),
        ..Endpoints::default()
    };
    let usable = |name: &str| -> Option<String> {
        let url = document.get(name)?.as_str()?;
        hosts::judge_url(
            url,
            hosts::is_loopback_literal(asked) && asked.scheme() == "http",
        )
        .ok()?;
        Some(url.to_owned())
    };
    for (name, _) in Endpoints::default().named() {
        if let (Some(slot), true) = (
            endpoints.named_mut(name),
            name != "issuer" && name != "metadata_url",
        ) {
            *slot = usable(name);
        }
    }
    if endpoints.token_endpoint.is_none() {
        let reason = format!(
            "the metadata of {} names no usable token endpoint",
            host(asked)
        );
        return Err(rejected("discovery_malformed", reason));
    }
    Ok(Metadata {
        endpoints,
        scopes_supported: texts(document, "scopes_supported"),
        code_challenge_methods_supported: texts(document, "code_challenge_methods_supported"),
        token_endpoint_auth_methods_supported: texts(
            document,
            "token_endpoint_auth_methods_supported",
        ),
        grant_types_supported: texts(document, "grant_types_supported"),
        authorization_response_iss_parameter_supported: document
            .get("authorization_response_iss_parameter_supported")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    })
}

fn texts(document: &Value, name: &str) -> Vec<String> {
    let items = document
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn missing(asked: &Url, reply: &Reply, content: &Content) -> Error {
    let host = host(asked);
    let reason = match content {
        Content::Html => format!(
            "{host} answered with a web page (HTTP {}) instead of its metadata",
            reply.status
        ),
        _ => format!(
            "{host} has no metadata of an authorization server (HTTP {}); that of MCP servers, RFC 9728, is not \
             supported yet",
            reply.status
        ),
    };
    rejected("discovery_missing", reason)
}

fn is_missing(error: Option<&Error>) -> bool {
    error.is_some_and(|error| error.code() == "discovery_missing")
}

fn rejected(code: &'static str, reason: String) -> Error {
    Error::new(
        ErrorKind::ProviderRejected {
            error: None,
            description: None,
        },
        code,
        reason,
    )
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}
