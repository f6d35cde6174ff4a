//! Metadata of an authorization server (RFC 8414, then OpenID Connect Discovery 1.0), and which one protects a resource
//! (RFC 9728).

use serde_json::Value;
use url::Url;

use super::content::Content;
use super::request::LOOKUP_DEADLINE;
use super::{protected_resource, refusal};
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
    /// It takes pushed authorization requests only (RFC 9126 section 5).
    pub require_pushed_authorization_requests: bool,
    /// The protected resource that it was found by (RFC 9728), to the letter of that resource's own metadata.
    pub resource: Option<String>,
}

/// Fetches the metadata of the issuer at `url`, in the issuer's own spelling (RFC 8414 section 3.3), or of the
/// authorization server that the protected resource at `url` names (RFC 9728), an MCP server's say.
///
/// # Errors
/// `InvalidParameter` for what is neither; `ProviderUnavailable` when the server is away; `ProviderRejected` when it has no
/// metadata, or metadata of another issuer or resource.
pub async fn discover(http: &http::Client, url: &str, clock: &Clock) -> Result<Metadata> {
    let asked = judge(url)?;
    let no_issuer = match at_issuer(http, url, &asked, HostRule::Named, clock).await {
        Err(error) if matches!(*error.kind(), ErrorKind::ProviderRejected { .. }) => error,
        outcome => return outcome,
    };
    let found = protected_resource::discover(http, url, &asked, clock).await?;
    found.ok_or(no_issuer)
}

/// The metadata of the authorization server that protects a resource, an MCP server for one (RFC 9728). Where the
/// resource has no metadata, its own host is asked for that of an authorization server.
///
/// # Errors
/// As [`discover`].
pub async fn discover_for(http: &http::Client, resource: &str, clock: &Clock) -> Result<Metadata> {
    let asked = judge(resource)?;
    if let Some(metadata) = protected_resource::discover(http, resource, &asked, clock).await? {
        return Ok(metadata);
    }
    let origin = asked.origin().ascii_serialization();
    at_issuer(http, &origin, &judge(&origin)?, HostRule::Named, clock).await
}

fn judge(url: &str) -> Result<Url> {
    let asked = hosts::judge_url(url, true)?;
    if asked.query().is_some() {
        return Err(Error::invalid_parameter(
            "issuer_invalid",
            "an issuer has no query (RFC 8414 section 2)",
        ));
    }
    Ok(asked)
}

/// Fetches the metadata of `issuer`, which is at `url`.
pub(super) async fn at_issuer(
    http: &http::Client,
    issuer: &str,
    url: &Url,
    host_rule: HostRule,
    clock: &Clock,
) -> Result<Metadata> {
    let mut first_failure = None;
    for place in places(url) {
        match fetch(http, &place, issuer, url, host_rule, clock).await {
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
    Err(first_failure.unwrap_or_else(|| Error::internal("an issuer has places for its metadata")))
}

/// Between host and path (RFC 8414 section 3, and section 5 for OpenID's name), and behind the path (OpenID Connect
/// Discovery section 4).
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/').to_owned();
    let place = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    let mut places = vec![
        place(format!("/.well-known/oauth-authorization-server{path}")),
        place(format!("{path}/.well-known/openid-configuration")),
    ];
    if !path.is_empty() {
        places.push(place(format!("/.well-known/openid-configuration{path}")));
    }
    places
}

async fn fetch(
    http: &http::Client,
    place: &Url,
    issuer: &str,
    asked: &Url,
    rule: HostRule,
    clock: &Clock,
) -> Result<Metadata> {
    let reply = ask(http, place, asked, rule, clock).await?;
    let content = Content::of(&reply);
    match (reply.status, content.value()) {
        (200, Some(document @ Value::Object(_))) => read(document, issuer, asked),
        _ => Err(missing(asked, &reply, &content)),
    }
}

/// The reply of a place for metadata, unless the server is away or busy.
pub(super) async fn ask(
    http: &http::Client,
    place: &Url,
    asked: &Url,
    host_rule: HostRule,
    clock: &Clock,
) -> Result<Reply> {
    let request = Request {
        leaves_by: None,
        method: Method::GET,
        url: place.clone(),
        headers: vec![("Accept".to_owned(), Secret::from("application/json"))],
        body: None,
        deadline: LOOKUP_DEADLINE,
        host_rule,
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
    if matches!(reply.status, 429 | 500..) {
        let retry_after = refusal::retry_after(&reply.headers, clock.wall());
        let reason = format!(
            "{} answered HTTP {} instead of its metadata",
            host(asked),
            reply.status
        );
        return Err(Error::new(
            ErrorKind::ProviderUnavailable { retry_after },
            "discovery_unavailable",
            reason,
        ));
    }
    Ok(reply)
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
    let flag = |name: &str| document.get(name).and_then(Value::as_bool).unwrap_or(false);
    Ok(Metadata {
        endpoints,
        scopes_supported: texts(document, "scopes_supported"),
        code_challenge_methods_supported: texts(document, "code_challenge_methods_supported"),
        token_endpoint_auth_methods_supported: texts(
            document,
            "token_endpoint_auth_methods_supported",
        ),
        grant_types_supported: texts(document, "grant_types_supported"),
        authorization_response_iss_parameter_supported: flag(
            "authorization_response_iss_parameter_supported",
        ),
        require_pushed_authorization_requests: flag("require_pushed_authorization_requests"),
        resource: None,
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
            "{host} has no metadata of an authorization server (HTTP {}), and is no resource that names one (RFC 9728)",
            reply.status
        ),
    };
    rejected("discovery_missing", reason)
}

fn is_missing(error: Option<&Error>) -> bool {
    error.is_some_and(|error| error.code() == "discovery_missing")
}

pub(super) fn rejected(code: &'static str, reason: String) -> Error {
    Error::new(
        ErrorKind::ProviderRejected {
            error: None,
            description: None,
        },
        code,
        reason,
    )
}

pub(super) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}
