//! Sending a request: tokens are put in as it leaves, for their own hosts only, and each redirect is judged anew.

use std::sync::Arc;
use std::time::Duration;

use ::url::Url;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::url::Address;
use crate::action::placeholder::Placeholder;
use crate::action::run::runner::Runner;
use crate::engine::api;
use crate::engine::cache::Slot;
use crate::error::{Error, Result};
use crate::http::{ActionRequest, HeaderName, HeaderValue, HostRule, Method, Reply, Trust};
use crate::provider::hosts;
use crate::secret::SecretBytes;

/// All of a request and its reply, beside the time for which a server may be silent.
const WHOLE: Duration = Duration::from_secs(300);

/// A request that is ready but for its tokens.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) method: Method,
    /// Without userinfo.
    pub(super) url: Url,
    /// It is another path than the one that was written: an input brought `..`.
    pub(super) climbs: bool,
    /// Who named the host: a server, after a redirect to another.
    pub(super) host_rule: HostRule,
    /// Placeholders still stand in their values.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// User name and password, in which placeholders may stand.
    pub(super) basic: Option<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    /// How long the server may be silent.
    pub(super) timeout: Option<Duration>,
    /// How many redirects are followed; `None`: a redirect is the answer.
    pub(super) redirects: Option<usize>,
    pub(super) trust: Trust,
}

/// What a server answered, without the tokens that it may have repeated.
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// `GET https://host/path`, without the query.
    pub(super) what: String,
    /// The token was refused, and the request is not one to be sent twice.
    refused: Option<Error>,
}

impl Answer {
    /// Fails for a status from 400 on, and for a token that was refused.
    pub(super) fn check(&self, runner: &Runner) -> Result<()> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        let status = self.reply.status;
        if status < 400 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(self.reply.body.expose());
        let said = api::clean(&runner.secrets.mask_text(&text), &[]);
        let said = match said.is_empty() {
            true => String::new(),
            false => format!(": {said}"),
        };
        let reason = format!("{} answered {status}{said}", self.what);
        Err(Error::action("http_status", reason))
    }
}

/// The hosts to which a token may go, in words.
pub(super) fn own_hosts(runner: &Runner, placeholder: &Placeholder) -> String {
    const SHOWN: usize = 5;
    match runner.secrets.rules(placeholder) {
        Some(rules) if rules.api.hosts.len() > SHOWN => {
            let (shown, others) = rules.api.hosts.split_at(SHOWN);
            format!("{} and {} others", shown.join(", "), others.len())
        }
        Some(rules) if !rules.api.hosts.is_empty() => rules.api.hosts.join(", "),
        _ => format!(
            "no host yet (name yours with: evergrant configure {} --api-host HOST)",
            placeholder.provider
        ),
    }
}

/// Sends a request, and follows redirects if it is to.
///
/// # Errors
/// `ActionError` where a token may not go or no whole reply came; those of `get_token`.
pub(super) async fn send(runner: &Runner, mut request: Prepared) -> Result<Answer> {
    if let Some((username, password)) = request.basic.take() {
        // Joined here and encoded as it leaves, when tokens are put in.
        request.headers.retain(|(name, _)| name != "authorization");
        request.basic = Some((username, password));
    }
    let mut followed = 0;
    loop {
        let answer = ask(runner, &request).await?;
        let target = match request.redirects {
            Some(_) => redirect(&answer.reply, &request.url)?,
            None => None,
        };
        let Some(target) = target else {
            return Ok(answer);
        };
        if Some(followed) == request.redirects {
            let reason = format!("{} leads from one redirect to the next", answer.what);
            return Err(Error::action("too_many_redirects", reason));
        }
        followed += 1;
        request = redirected(runner, request, answer.reply.status, target);
    }
}

/// Sends one request; with a fresh token once more where the first was refused and nothing can happen twice.
async fn ask(runner: &Runner, request: &Prepared) -> Result<Answer> {
    let what = described(&request.method, &request.url);
    let placeholders = judged(runner, request)?;
    let mut tokens = Vec::new();
    for placeholder in placeholders {
        let slot = runner.secrets.token(&runner.engine, &placeholder, None);
        tokens.push((placeholder.clone(), slot.await?));
    }
    let mut reply = exchange(runner, request, &tokens, &what).await?;
    let mut refused = None;
    let refusing = tokens.iter().position(|(placeholder, _)| {
        let rules = runner.secrets.rules(placeholder);
        rules.is_some_and(|rules| api::is_refusal(rules, &reply))
    });
    // A token that came in place of a refused one is not the reason.
    let refusing = refusing.filter(|index| !runner.secrets.is_replacement(&tokens[*index].1));
    if let Some(index) = refusing {
        let (placeholder, slot) = &tokens[index];
        let old = Some(slot.stored.token.value.clone());
        let fresh = runner
            .secrets
            .token(&runner.engine, placeholder, old)
            .await?;
        runner.secrets.note_replacement(&fresh);
        let is_safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe {
            tokens[index].1 = fresh;
            reply = exchange(runner, request, &tokens, &what).await?;
        } else {
            let provider = &placeholder.provider;
            let method = &request.method;
            let reason = format!(
                "{what} answered {}: the token of {provider} was refused. It has been replaced, but a {method} is not sent \
                 twice by itself: run the action again",
                reply.status
            );
            refused = Some(Error::action("token_refused", reason).of_provider(provider));
        }
    }
    Ok(Answer {
        reply: without(runner, reply),
        what,
        refused,
    })
}

/// The placeholders in a request's headers, each of which may go where it leads.
fn judged(runner: &Runner, request: &Prepared) -> Result<Vec<Placeholder>> {
    let all = runner.secrets.placeholders();
    let basic = request.basic.iter();
    let basic = basic.flat_map(|(username, password)| [username, password]);
    let values = request.headers.iter().map(|(_, value)| value).chain(basic);
    let mut found: Vec<Placeholder> = Vec::new();
    for placeholder in values.flat_map(|value| all.of_text(value)) {
        if !found.contains(placeholder) {
            found.push(placeholder.clone());
        }
    }
    for placeholder in &found {
        may_go(runner, placeholder, request)?;
    }
    Ok(found)
}

/// Whether a token may go with this request.
fn may_go(runner: &Runner, placeholder: &Placeholder, request: &Prepared) -> Result<()> {
    let provider = &placeholder.provider;
    let host = origin(&request.url);
    let refused = |code, reason: String| Err(Error::action(code, reason).of_provider(provider));
    if !is_own(runner, placeholder, &request.url) {
        let own = own_hosts(runner, placeholder);
        return refused(
            "token_for_another_host",
            format!("the token of {provider} goes to {own} only, over https, and not to {host}"),
        );
    }
    if request.climbs {
        return refused(
            "token_for_another_path",
            format!(
                "the path has a segment that is . or .., and would lead elsewhere than it says: the token of {provider} does not go there"
            ),
        );
    }
    if request.trust.is_blind {
        let own = own_hosts(runner, placeholder);
        return refused(
            "token_unprotected",
            format!(
                "the token of {provider} goes to {own} only, and with verify_ssl: false nobody knows whether {host} is that"
            ),
        );
    }
    let named = request.headers.iter().find(|(name, _)| name == "host");
    if let Some((_, named)) = named {
        // Many hosts share an address: the server would hand it on to the one that is named.
        return refused(
            "token_for_another_host",
            format!(
                "the token of {provider} goes to {host} without a Host header, which here says {named}"
            ),
        );
    }
    Ok(())
}

fn is_own(runner: &Runner, placeholder: &Placeholder, url: &Url) -> bool {
    let rules = runner.secrets.rules(placeholder);
    rules.is_some_and(|rules| hosts::owns(&rules.api.hosts, url))
}

/// Puts the tokens in and sends.
async fn exchange(
    runner: &Runner,
    request: &Prepared,
    tokens: &[(Placeholder, Arc<Slot>)],
    what: &str,
) -> Result<Reply> {
    let filled = |text: &str| {
        let mut text = text.to_owned();
        for (placeholder, slot) in tokens {
            let token = slot.stored.token.value.expose();
            text = text.replace(&*placeholder.marker, token);
        }
        text
    };
    let mut headers = Vec::with_capacity(request.headers.len() + 1);
    let mut add = |name: &HeaderName, value: &str| match HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.push((name.clone(), value));
            Ok(())
        }
        Err(_) => {
            let reason = format!("{what}: the header {name} can't be sent");
            Err(Error::action("invalid_arguments", reason))
        }
    };
    for (name, value) in &request.headers {
        // A reply in an encoding that is not undone here would hide a token that it repeats.
        if tokens.is_empty() || name != "accept-encoding" {
            add(name, &filled(value))?;
        }
    }
    if let Some((username, password)) = &request.basic {
        let both = format!("{}:{}", filled(username), filled(password));
        let both = STANDARD.encode(both);
        let held = |(placeholder, _): &&(Placeholder, _)| {
            username.contains(&*placeholder.marker) || password.contains(&*placeholder.marker)
        };
        if let Some((placeholder, _)) = tokens.iter().find(held) {
            runner.secrets.note_encoded(placeholder, &both);
        }
        let value = format!("Basic {both}");
        add(&HeaderName::from_static("authorization"), &value)?;
    }
    let whole = request.timeout.unwrap_or_default() + WHOLE;
    let request = ActionRequest {
        method: request.method.clone(),
        url: request.url.clone(),
        headers,
        body: request.body.clone().map(SecretBytes::from),
        timeout: request.timeout,
        deadline: runner.left().map_or(whole, |left| left.min(whole)),
        trust: request.trust.clone(),
        host_rule: request.host_rule,
    };
    let sent = runner.engine.http().exchange(request).await;
    sent.map_err(|failure| Error::action("no_answer", format!("{what}: {}", failure.reason())))
}

/// The reply with placeholders where it repeats tokens that were sent in this run: no step sees one.
fn without(runner: &Runner, mut reply: Reply) -> Reply {
    for (marker, token) in runner.secrets.sent() {
        let (token, marker) = (token.expose(), &*marker);
        if let Some(body) = replaced(reply.body.expose(), token, marker) {
            reply.body = body.into();
        }
        for value in reply.headers.values_mut() {
            let bytes = replaced(value.as_bytes(), token, marker);
            if let Some(Ok(masked)) = bytes.map(|bytes| HeaderValue::from_bytes(&bytes)) {
                *value = masked;
            }
        }
    }
    reply
}

/// The bytes with every `from` replaced; `None` when there is none.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let pattern = regex::bytes::Regex::new(&regex::escape(from)).ok()?;
    if !pattern.is_match(bytes) {
        return None;
    }
    let to = regex::bytes::NoExpand(to.as_bytes());
    Some(pattern.replace_all(bytes, to).into_owned())
}

/// Where a reply leads, if it does.
fn redirect(reply: &Reply, from: &Url) -> Result<Option<Url>> {
    if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = reply.headers.get("location") else {
        return Ok(None);
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    let Ok(target) = from.join(&location) else {
        let reason = format!("{} redirects to what is no URL", origin(from));
        return Err(Error::action("invalid_redirect", reason));
    };
    // A user name in it is not taken over.
    match Address::of(target) {
        Ok(Address { url, .. }) => Ok(Some(url)),
        Err(error) => {
            let reason = format!("{} redirects: {}", origin(from), error.reason());
            Err(Error::action("invalid_redirect", reason))
        }
    }
}

/// The request to where a redirect leads.
fn redirected(runner: &Runner, mut request: Prepared, status: u16, target: Url) -> Prepared {
    let becomes_get = match status {
        301 => request.method == Method::POST,
        302 | 303 => request.method != Method::HEAD,
        _ => false,
    };
    if becomes_get && request.method != Method::GET {
        request.method = Method::GET;
        request.body = None;
    }
    let same_host = origin(&request.url) == origin(&target);
    let only_safer = request.url.scheme() == "http"
        && target.scheme() == "https"
        && request.url.host_str() == target.host_str()
        && target.port_or_known_default() == Some(443)
        && request.url.port_or_known_default() == Some(80);
    let stays = same_host || only_safer;
    let all = runner.secrets.placeholders();
    let goes_along = |value: &str| {
        all.of_text(value)
            .all(|placeholder| is_own(runner, placeholder, &target))
    };
    // A host that only a server named is no way into a private network, unless the user named it too.
    let is_known = runner.secrets.owns(&target);
    if request.url.host_str() != target.host_str() && !is_known {
        request.host_rule = HostRule::ServerNamed;
    }
    request.headers.retain(|(name, value)| {
        (stays || name != "authorization" && !runner.secrets.holds_ordinary(value))
            && name != "host"
            && name != "cookie"
            && goes_along(value)
    });
    request.basic = request
        .basic
        .filter(|(username, password)| stays && goes_along(username) && goes_along(password));
    request.url = target;
    request.climbs = false;
    request
}

/// Scheme, host and port.
fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match (url.scheme(), url.port()) {
        ("https", None) => host.to_owned(),
        ("https", Some(port)) => format!("{host}:{port}"),
        (scheme, None) => format!("{scheme}://{host}"),
        (scheme, Some(port)) => format!("{scheme}://{host}:{port}"),
    }
}

/// A request in words, without its query.
fn described(method: &Method, url: &Url) -> String {
    format!(
        "{method} {}://{}{}",
        url.scheme(),
        authority(url),
        url.path()
    )
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}
