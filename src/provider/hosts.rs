//! Hosts and URLs: which ones may be asked, and which ones belong to a provider. Judged parsed, never as text.

use std::net::IpAddr;

use url::{Host, Url};

use crate::error::{Error, Result};

/// The port of https, which a host stands for unless another is listed.
const HTTPS_PORT: u16 = 443;

/// A URL that a secret may be sent to: https, without userinfo and without fragment. With `allow_http_loopback`, http to
/// a loopback literal (`127.0.0.1`, `[::1]`; RFC 8252 section 7.3) too: for what the user named with their own hand.
///
/// # Errors
/// `InvalidParameter` with code `invalid_url`. The reason never repeats the URL: it may hold a password.
pub fn judge_url(url: &str, allow_http_loopback: bool) -> Result<Url> {
    let refused = |reason: &str| Err(Error::invalid_parameter("invalid_url", reason));
    if url.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return refused("the URL holds a space, a backslash or a control character");
    }
    let Ok(parsed) = Url::parse(url) else {
        return refused("the URL cannot be read: it has to begin with https:// and a host");
    };
    if parsed.host().is_none() {
        return refused("the URL has no host");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || authority(url).contains('@')
    {
        return refused("the URL holds a user name or a password before its host");
    }
    if parsed.fragment().is_some() {
        return refused("the URL has a fragment (what stands behind #)");
    }
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if allow_http_loopback && is_loopback_literal(&parsed) => Ok(parsed),
        "http" => refused(
            "the URL is http; only https is safe, or http to 127.0.0.1 or [::1] that you name yourself",
        ),
        _ => refused("the URL is not https"),
    }
}

/// Whether the URL's host is a loopback address, written as a number: a name could resolve to anything.
pub fn is_loopback_literal(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(_)) | None => false,
    }
}

/// Whether a token of the provider may be sent to `url`: one of `hosts` is its host and port, over https, or over http to
/// a loopback literal.
pub fn owns(hosts: &[String], url: &Url) -> bool {
    if !(url.scheme() == "https" || url.scheme() == "http" && is_loopback_literal(url)) {
        return false;
    }
    let (Some(host), Some(port)) = (
        url.host_str().and_then(canonical),
        url.port_or_known_default(),
    ) else {
        return false;
    };
    hosts
        .iter()
        .filter_map(|entry| HostPattern::parse(entry).ok())
        .any(|pattern| pattern.matches(&host, port))
}

/// An entry of `api_hosts` in its one spelling: `host`, `*.host`, either with `:port` where that isn't 443. A value that
/// holds a URL or a path counts by its host and port.
///
/// # Errors
/// `InvalidParameter` with code `invalid_host`.
pub fn normal(entry: &str) -> Result<String> {
    HostPattern::parse(entry)
        .map(|pattern| pattern.to_string())
        .map_err(|reason| {
            let entry: String = entry
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect();
            Error::invalid_parameter("invalid_host", format!("`{entry}` names no host: {reason}"))
        })
}

/// One entry of `api_hosts`.
#[derive(Debug, Eq, PartialEq)]
struct HostPattern {
    /// `*.host`: any name below `host`, never `host` itself.
    below: bool,
    host: String,
    port: u16,
}

impl HostPattern {
    fn parse(entry: &str) -> std::result::Result<Self, &'static str> {
        let (below, rest) = match entry.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, entry),
        };
        let text = if rest.contains("://") {
            rest.to_owned()
        } else {
            format!("https://{rest}")
        };
        if authority(&text).contains('@') {
            return Err("it holds a user name");
        }
        let url = Url::parse(&text).map_err(|_| "it is neither a host nor a URL")?;
        let host = url.host_str().and_then(canonical).ok_or("it has no host")?;
        if host.contains('*') {
            return Err("a star may only stand for the first labels, as in *.example.com");
        }
        if below && (!host.contains('.') || !matches!(url.host(), Some(Host::Domain(_)))) {
            return Err("a star needs a domain of two labels at least, as in *.example.com");
        }
        let port = url
            .port_or_known_default()
            .ok_or("its scheme has no port")?;
        Ok(Self { below, host, port })
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        let name = if self.below {
            host.strip_suffix(&self.host)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty() && !labels.starts_with('.'))
        } else {
            host == self.host
        };
        name && port == self.port
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let star = if self.below { "*." } else { "" };
        write!(formatter, "{star}{}", self.host)?;
        match self.port {
            HTTPS_PORT => Ok(()),
            port => write!(formatter, ":{port}"),
        }
    }
}

/// A parsed host (lower-case A-labels already, by the URL standard) without its trailing dot.
fn canonical(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty() && !host.ends_with('.')).then(|| host.to_ascii_lowercase())
}

/// What stands between `//` and the path, as written: an empty userinfo vanishes when a URL is parsed.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}
