//! `core.http_request`, and what the other HTTP steps share with it.

use std::time::Duration;

use super::REQUEST;
use super::arguments::{Arguments, invalid};
use super::body::Parts;
use super::reply;
use super::send::{self, Prepared};
use super::url::{Address, set_query};
use crate::action::run::runner::Runner;
use crate::action::value::{Key, Mapping, Value};
use crate::error::{Error, Result};
use crate::http::{HeaderName, HostRule, Method, Trust};

/// The arguments of every HTTP step.
pub(super) const SHARED: &[&str] = &[
    "url",
    "method",
    "headers",
    "params",
    "payload",
    "form_data",
    "auth",
    "timeout",
    "follow_redirects",
    "max_redirects",
    "verify_ssl",
];
const OWN: &[&str] = &[
    "content",
    "files",
    "ignore_status_codes",
    "base64_encode_data",
];
const TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 20;

/// One request, and what came back.
pub(super) async fn run(runner: &Runner, given: &Mapping) -> Result<Value> {
    let arguments = Arguments::read(REQUEST, given, &[SHARED, OWN])?;
    let ignored = arguments.codes("ignore_status_codes")?.unwrap_or_default();
    let as_base64 = arguments.flag("base64_encode_data", false)?;
    let answer = send::send(runner, prepare(runner, &arguments)?).await?;
    let status = answer.reply.status;
    if !ignored.contains(&status) {
        answer.check(runner)?;
    }
    reply::result(runner, &answer, as_base64)
}

/// A request as its arguments describe it, not yet sent.
pub(super) fn prepare(runner: &Runner, arguments: &Arguments<'_>) -> Result<Prepared> {
    let written = arguments.required_text("url")?;
    let Address {
        mut url,
        basic,
        climbs,
    } = Address::read(written)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    refuse_tokens(runner, "URL", &Value::from(written), &host)?;
    if let Some(params) = arguments.mapping("params")? {
        refuse_tokens(runner, "params", &Value::mapping(params.clone()), &host)?;
        set_query(&mut url, params);
    }
    let parts = Parts::read(arguments)?;
    for (place, value) in parts.named() {
        if let Some(value) = value {
            refuse_tokens(runner, place, &value, &host)?;
        }
    }
    let method = arguments.required_text("method")?.to_uppercase();
    let method = match Method::from_bytes(method.as_bytes()) {
        // TRACE is answered with the request, its headers included (RFC 9110 section 9.3.8).
        Ok(method) if ![Method::CONNECT, Method::TRACE].contains(&method) => method,
        _ => return Err(invalid("method is none that can be sent")),
    };
    let given = arguments.mapping("headers")?;
    for name in given.into_iter().flat_map(Mapping::keys) {
        refuse_tokens(runner, "name of a header", name.value(), &host)?;
    }
    let mut headers = headers(given)?;
    let mut body = None;
    if let Some(made) = parts.body()? {
        let is_given = headers.iter().any(|(name, _)| name == "content-type");
        if let (Some(content_type), false) = (made.content_type, is_given) {
            headers.push((HeaderName::from_static("content-type"), content_type));
        }
        body = Some(made.bytes);
    }
    let timeout = match arguments.is_absent("timeout") {
        true => Some(TIMEOUT),
        false => arguments.seconds("timeout")?,
    };
    let follows = arguments.flag("follow_redirects", false)?;
    let most = arguments.count("max_redirects", MOST_REDIRECTS)?;
    Ok(Prepared {
        method,
        url,
        climbs,
        host_rule: HostRule::Named,
        headers,
        basic: authentication(arguments)?.or(basic),
        body,
        timeout,
        redirects: follows.then_some(most),
        trust: Trust {
            is_blind: !arguments.flag("verify_ssl", true)?,
            ..runner.secrets.trust.clone()
        },
    })
}

/// A token that stands anywhere but in a header never leaves.
fn refuse_tokens(runner: &Runner, place: &str, value: &Value, host: &str) -> Result<()> {
    let Some(placeholder) = runner.secrets.placeholders().first_in(value) else {
        return Ok(());
    };
    let provider = &placeholder.provider;
    let own = send::own_hosts(runner, placeholder);
    Err(Error::action(
        "token_out_of_place",
        format!(
            "a token of {provider} stands in the {place} of a request to {host}: it is sent in headers only, to {own}"
        ),
    ))
}

fn headers(given: Option<&Mapping>) -> Result<Vec<(HeaderName, String)>> {
    let mut headers = Vec::new();
    for (key, value) in given.into_iter().flatten() {
        let name = key.value().to_string();
        let text = match value {
            Value::None => continue,
            Value::Text(text) => text,
            other => {
                let kind = other.kind();
                return Err(invalid(format!("the header {name} is text, not {kind}")));
            }
        };
        let Ok(parsed) = HeaderName::try_from(name.as_str()) else {
            return Err(invalid("a header has a name that can't be sent"));
        };
        // What frames the message is ours to say.
        if ["content-length", "transfer-encoding", "connection"].contains(&parsed.as_str()) {
            continue;
        }
        let is_sound = text
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t')
            && text.trim_matches([' ', '\t']) == text.as_ref();
        if !is_sound {
            return Err(invalid(format!(
                "the header {name} holds what can't be sent: a line break, a character beyond ASCII, or a blank at an end"
            )));
        }
        headers.push((parsed, text.to_string()));
    }
    Ok(headers)
}

/// The user name and password of `auth`.
fn authentication(arguments: &Arguments<'_>) -> Result<Option<(String, String)>> {
    let Some(given) = arguments.mapping("auth")?.filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let text = |name: &str| {
        given
            .get(&Key::from(name))
            .and_then(Value::text)
            .map(str::to_owned)
    };
    match (text("username"), text("password"), given.len()) {
        (Some(username), Some(password), 2) => Ok(Some((username, password))),
        _ => Err(invalid(
            "auth is a mapping of username and password, both text",
        )),
    }
}
