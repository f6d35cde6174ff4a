//! The vendor: each request is compared with the next one of the round, to the letter, and answered as documented.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use _core::http::{self, Failure, HeaderMap, Request, Sending, Transport};
use _core::secret::SecretBytes;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::keys::is_signed;
use super::round::{Asked, Assertion, Exchange, Reply};

/// What placeholders stand for, as far as it is known.
pub(super) type Known = BTreeMap<String, String>;

#[derive(Default)]
pub(super) struct Vendor(Mutex<State>);

#[derive(Default)]
struct State {
    expected: VecDeque<Exchange>,
    known: Known,
    problems: Vec<String>,
}

impl Vendor {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The exchanges that come next.
    pub(super) fn expects<'a>(&self, exchanges: impl IntoIterator<Item = &'a Exchange>) {
        self.state().expected.extend(exchanges.into_iter().cloned());
    }

    /// Whatever was still to come does not.
    pub(super) fn expects_no_more(&self) {
        self.state().expected.clear();
    }

    pub(super) fn know(&self, name: &str, value: &str) {
        self.state().known.insert(name.to_owned(), value.to_owned());
    }

    /// `text` with the placeholders that are known.
    pub(super) fn filled(&self, text: &str) -> String {
        filled(text, &self.state().known)
    }

    /// Whether all that was expected was asked, and nothing else.
    pub(super) fn satisfied(&self, step: &str) -> Result<(), String> {
        let mut state = self.state();
        if let Some(problem) = state.problems.first() {
            return Err(format!("{step}: {problem}"));
        }
        match state.expected.drain(..).next() {
            Some(missing) => Err(format!(
                "{step}: {} {} was not asked",
                missing.request.method, missing.request.url
            )),
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn answer(&self, request: &Request) -> Result<http::Reply, Failure> {
        let mut state = self.state();
        let State {
            expected,
            known,
            problems,
        } = &mut *state;
        let Some(exchange) = expected.pop_front() else {
            problems.push(format!(
                "nothing was to be asked, but {} {} was",
                request.method, request.url
            ));
            return Err(unanswered());
        };
        if let Err(problem) = compare(&exchange.request, request, known) {
            let (method, url) = (&exchange.request.method, &exchange.request.url);
            problems.push(format!("{method} {url}: {problem}"));
            return Err(unanswered());
        }
        Ok(reply(&exchange.reply, known))
    }
}

impl Transport for Vendor {
    fn send(&self, request: Request) -> Sending {
        let answer = self.answer(&request);
        Box::pin(async move { answer })
    }
}

fn unanswered() -> Failure {
    Failure::NoReply("this is no request of the round".to_owned())
}

/// What differs between the documented request and the one that was sent.
fn compare(asked: &Asked, request: &Request, known: &Known) -> Result<(), String> {
    if asked.method != request.method.as_str() {
        return Err(format!("the method is {}", request.method));
    }
    let expected = Url::parse(&filled(&asked.url, known)).map_err(|error| error.to_string())?;
    let bare = |url: &Url| {
        let mut url = url.clone();
        url.set_query(None);
        url
    };
    if bare(&expected) != bare(&request.url) {
        return Err(format!("the URL is {}", bare(&request.url)));
    }
    let mut query: BTreeMap<String, String> = expected.query_pairs().into_owned().collect();
    query.extend(asked.query.clone());
    let sent = pairs("query", request.url.query_pairs().into_owned())?;
    same("query", &query, &sent, &|expected, sent| {
        fits(asked, expected, sent, known)
    })?;
    headers(asked, request, known)?;
    body(asked, request, known)
}

fn headers(asked: &Asked, request: &Request, known: &Known) -> Result<(), String> {
    let lower = |(name, value): (&String, &str)| (name.to_ascii_lowercase(), value.to_owned());
    let expected: BTreeMap<String, String> = asked
        .headers
        .iter()
        .map(|(name, value)| lower((name, value)))
        .collect();
    // Of those with the same name the last counts.
    let sent: BTreeMap<String, String> = request
        .headers
        .iter()
        .map(|(name, value)| lower((name, value.expose())))
        .filter(|(name, _)| name != "accept" || expected.contains_key(name))
        .collect();
    same("headers", &expected, &sent, &|expected, sent| {
        fits(asked, expected, sent, known)
    })
}

fn body(asked: &Asked, request: &Request, known: &Known) -> Result<(), String> {
    let sent = request
        .body
        .as_ref()
        .map(|(kind, body)| (*kind, body.expose()));
    match (&asked.form, &asked.json, sent) {
        (Some(form), None, Some(("application/x-www-form-urlencoded", body))) => {
            let sent = pairs("form", form_urlencoded::parse(body).into_owned())?;
            same("form", form, &sent, &|expected, sent| {
                fits(asked, expected, sent, known)
            })
        }
        (None, Some(json), Some(("application/json", body))) => {
            let sent: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            let expected = filled_value(json, known);
            let (Value::Object(wanted), Value::Object(given)) = (&expected, &sent) else {
                return (expected == sent)
                    .then_some(())
                    .ok_or_else(|| format!("the body is {sent}"));
            };
            let texts = |fields: &serde_json::Map<String, Value>| -> BTreeMap<String, String> {
                let text = |value: &Value| {
                    let plain = value.as_str().map(str::to_owned);
                    plain.unwrap_or_else(|| value.to_string())
                };
                let texts = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), text(value)));
                texts.collect()
            };
            same("body", &texts(wanted), &texts(given), &|expected, sent| {
                fits(asked, expected, sent, known)
            })
        }
        (None, None, None) => Ok(()),
        (_, _, sent) => Err(format!("the body is {:?}", sent.map(|(kind, _)| kind))),
    }
}

fn pairs(
    place: &str,
    pairs: impl Iterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for (name, value) in pairs {
        if found.insert(name.clone(), value).is_some() {
            return Err(format!("`{name}` stands twice in the {place}"));
        }
    }
    Ok(found)
}

/// What differs between two maps, the first difference in words.
pub(super) fn same(
    place: &str,
    expected: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
    fits: &dyn Fn(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    for (name, value) in expected {
        match found.get(name) {
            None => return Err(format!("`{name}` is missing in the {place}")),
            Some(own) => {
                fits(value, own).map_err(|why| format!("`{name}` in the {place}: {why}"))?;
            }
        }
    }
    match found.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(format!("`{name}` is too much in the {place}")),
        None => Ok(()),
    }
}

/// Whether a sent value is the documented one.
fn fits(asked: &Asked, expected: &str, sent: &str, known: &Known) -> Result<(), String> {
    match (expected, &asked.assertion) {
        ("{code_verifier}", _) => {
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(sent));
            return equal(
                known.get("code_challenge").map_or("", String::as_str),
                &challenge,
            );
        }
        ("{uuid}", _) => return equal("36", &sent.len().to_string()),
        ("{assertion}" | "Bearer {assertion}", Some(assertion)) => {
            let scheme = expected.trim_end_matches("{assertion}");
            let token = sent.strip_prefix(scheme).unwrap_or_default();
            return signed(assertion, token, known);
        }
        _ => {}
    }
    equal(&filled(expected, known), sent)
}

pub(super) fn equal(expected: &str, found: &str) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("it is {found:?}, not {expected:?}")),
    }
}

/// Whether a signed assertion says what is documented.
fn signed(expected: &Assertion, sent: &str, known: &Known) -> Result<(), String> {
    if !is_signed(sent) {
        return Err("its signature is wrong".to_owned());
    }
    let mut parts = sent.split('.').map(|part| {
        let decoded = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&decoded).ok()
    });
    let (Some(Some(header)), Some(Some(Value::Object(mut claims)))) = (parts.next(), parts.next())
    else {
        return Err("it is no JWT".to_owned());
    };
    equal(
        &expected.algorithm,
        header["alg"].as_str().unwrap_or_default(),
    )?;
    claims.remove("jti");
    let texts = |claims: &dyn Fn() -> Vec<(String, Value)>| -> BTreeMap<String, String> {
        let claims = claims().into_iter();
        claims
            .map(|(name, value)| (name, filled_value(&value, known).to_string()))
            .collect()
    };
    let wanted = texts(&|| expected.claims.clone().into_iter().collect());
    let found = texts(&|| claims.clone().into_iter().collect());
    same("claims", &wanted, &found, &equal)
}

/// The documented reply, its JWTs made.
pub(super) fn reply(documented: &Reply, known: &mut Known) -> http::Reply {
    for (name, claims) in &documented.jwt {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encode(&serde_json::json!({"alg": "RS256", "typ": "JWT"}));
        let token = format!("{header}.{}.c2ln", encode(&filled_value(claims, known)));
        known.insert(name.clone(), token);
    }
    let (kind, body) = if let Some(json) = &documented.json {
        ("application/json", filled_value(json, known).to_string())
    } else if let Some(form) = &documented.form {
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form {
            body.append_pair(name, &filled(value, known));
        }
        ("application/x-www-form-urlencoded", body.finish())
    } else {
        let text = documented.text.as_deref().unwrap_or_default();
        ("text/plain", filled(text, known))
    };
    let mut headers = HeaderMap::new();
    headers.insert("content-type", kind.parse().unwrap());
    for (name, value) in &documented.headers {
        let name: ::http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    http::Reply {
        status: documented.status,
        headers,
        body: SecretBytes::from(body.into_bytes()),
        truncated: false,
    }
}

/// What `Basic` authentication carries (RFC 6749 section 2.3.1).
pub(super) fn basic(client_id: &str, client_secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    STANDARD.encode(format!("{}:{}", encode(client_id), encode(client_secret)))
}

fn filled(text: &str, known: &Known) -> String {
    let mut filled = text.to_owned();
    for (name, value) in known {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    filled
}

fn filled_value(value: &Value, known: &Known) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text, known)),
        Value::Array(items) => items.iter().map(|item| filled_value(item, known)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (name.clone(), filled_value(value, known)))
                .collect()
        }
        plain => plain.clone(),
    }
}
