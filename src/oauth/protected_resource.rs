//! Metadata of a protected resource (RFC 9728), as MCP servers have it: which authorization servers it trusts.

use serde_json::Value;
use url::Url;

use super::content::Content;
use super::discovery::{self, Metadata, ask, host, rejected};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::http::{self, HeaderMap, HostRule};
use crate::provider::hosts;

/// How many of the authorization servers that a resource names are asked.
const SERVERS_AT_MOST: usize = 4;

/// The metadata of the first usable authorization server of the resource at `url`; `None` when nothing there says that it
/// is a resource.
///
/// # Errors
/// `ProviderRejected` for metadata of another resource (RFC 9728 section 3.3), or without an authorization server that
/// has metadata; `ProviderUnavailable`.
pub(super) async fn discover(
    http: &http::Client,
    url: &str,
    asked: &Url,
    clock: &Clock,
) -> Result<Option<Metadata>> {
    let Some((resource, document)) = find(http, url, asked, clock).await? else {
        return Ok(None);
    };
    let servers = document.get("authorization_servers");
    let servers = servers.and_then(Value::as_array).into_iter().flatten();
    let mut first_failure = None;
    for issuer in servers.filter_map(Value::as_str).take(SERVERS_AT_MOST) {
        match server(http, issuer, asked, clock).await {
            Ok(metadata) => {
                return Ok(Some(Metadata {
                    resource: Some(resource),
                    ..metadata
                }));
            }
            Err(error) => first_failure = first_failure.or(Some(error)),
        }
    }
    // An endpoint is never derived, so there is nothing to fall back to.
    Err(first_failure.unwrap_or_else(|| {
        let host = host(asked);
        let reason = format!("{host} names no authorization server in its metadata (RFC 9728)");
        rejected("discovery_malformed", reason)
    }))
}

async fn server(http: &http::Client, issuer: &str, asked: &Url, clock: &Clock) -> Result<Metadata> {
    let local = hosts::is_loopback_literal(asked) && asked.scheme() == "http";
    let url = hosts::judge_url(issuer, local).map_err(|error| {
        let named = super::clean_label(issuer);
        let reason = format!(
            "{} names the authorization server {named}, and {}",
            host(asked),
            error.reason()
        );
        rejected("discovery_malformed", reason)
    })?;
    discovery::at_issuer(http, issuer, &url, host_rule(&url, asked), clock).await
}

/// A resource as it writes itself, and its metadata.
type Found = (String, Value);

/// The document between host and path, then that of the whole host, then the one that a refusal points to.
async fn find(http: &http::Client, url: &str, asked: &Url, clock: &Clock) -> Result<Option<Found>> {
    let mut first_failure = None;
    for (place, is_host) in places(asked) {
        match look(http, &place, url, is_host, asked, clock).await {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(error) => first_failure = first_failure.or(Some(error)),
        }
    }
    match challenged(http, asked, clock).await {
        Ok(Some(place)) => return look(http, &place, url, false, asked, clock).await,
        Ok(None) => {}
        Err(error) => first_failure = first_failure.or(Some(error)),
    }
    first_failure.map_or(Ok(None), Err)
}

/// RFC 9728 section 3.1: a slash that ends the host alone goes, any other stays. With each place, whether it is the whole
/// host's.
fn places(asked: &Url) -> Vec<(Url, bool)> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let place = |path: &str| {
        let mut url = asked.clone();
        url.set_path(&format!("{WELL_KNOWN}{path}"));
        url
    };
    match asked.path() {
        "" | "/" => vec![(place(""), true)],
        path => vec![(place(path), false), (place(""), true)],
    }
}

/// Where the answer to a request without a token says that the metadata is (RFC 9728 section 5.1).
async fn challenged(http: &http::Client, asked: &Url, clock: &Clock) -> Result<Option<Url>> {
    let reply = ask(http, asked, asked, HostRule::Named, clock).await?;
    let local = hosts::is_loopback_literal(asked) && asked.scheme() == "http";
    Ok((reply.status == 401)
        .then(|| resource_metadata(&reply.headers))
        .flatten()
        .and_then(|place| hosts::judge_url(&place, local).ok()))
}

fn resource_metadata(headers: &HeaderMap) -> Option<String> {
    const NAME: &str = "resource_metadata=";
    headers
        .get_all(::http::header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|challenge| challenge.to_str().ok())
        .find_map(|challenge| {
            let at = challenge.to_ascii_lowercase().find(NAME)?;
            let before = challenge[..at].chars().next_back();
            let value = &challenge[at + NAME.len()..];
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => value.split([',', ' ']).next(),
            };
            value
                .filter(|_| before.is_none_or(|before| matches!(before, ' ' | ',')))
                .map(str::to_owned)
        })
}

/// The document at one place; `None` for anything but one (401 and 403 included: a gate in front of everything).
async fn look(
    http: &http::Client,
    place: &Url,
    url: &str,
    is_host: bool,
    asked: &Url,
    clock: &Clock,
) -> Result<Option<Found>> {
    let reply = ask(http, place, asked, host_rule(place, asked), clock).await?;
    let content = Content::of(&reply);
    let document = match (reply.status, content.value()) {
        (200, Some(document @ Value::Object(_))) => document,
        _ => return Ok(None),
    };
    match document.get("resource").and_then(Value::as_str) {
        Some(resource) if resource == url || (is_host && is_origin(resource, asked)) => {
            Ok(Some((resource.to_owned(), document.clone())))
        }
        Some(resource) => Err(mismatch(url, resource)),
        None => Ok(None),
    }
}

/// Whether the document is about the whole host of the URL asked.
fn is_origin(resource: &str, asked: &Url) -> bool {
    let origin = asked.origin().ascii_serialization();
    resource.strip_suffix('/').unwrap_or(resource) == origin
}

fn mismatch(url: &str, resource: &str) -> Error {
    let resource = super::clean_label(resource);
    rejected(
        "discovery_resource_mismatch",
        format!(
            "{url} says that its resource is {resource}, which is not the URL asked (RFC 9728 section 3.3)"
        ),
    )
}

/// What only the resource's server named has to be public, unless it is that server.
fn host_rule(url: &Url, asked: &Url) -> HostRule {
    if url.host_str() == asked.host_str() {
        HostRule::Named
    } else {
        HostRule::ServerNamed
    }
}
