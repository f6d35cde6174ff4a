//! Errors of the token endpoint: which code, what it condemns, and whether the server acted at all.

use std::time::Duration;

use serde_json::Value;

use super::content::Content;
use super::response::{Asked, Outcome, Question};
use super::{expiry, paths};
use crate::clock::Timestamp;
use crate::http::{HeaderMap, Reply};
use crate::provider::{Condemns, ErrorMeaning, Paths, ReplyRules, Spec};

/// No server may ask to wait longer: a day.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// The outcome of a reply that brings no token.
pub(super) fn read(reply: &Reply, content: &Content, question: &Question<'_>) -> Outcome {
    let spec = question.spec;
    let clean = |text: &str| question.mask.clean(text);
    let status = reply.status;
    let error = content
        .value()
        .and_then(|value| error_code(value, &spec.reply));
    let words = content
        .value()
        .and_then(|value| description(value, &spec.reply));
    let not_processed = |condemns| Outcome::NotProcessed {
        error: error.as_deref().map(clean),
        description: words.as_deref().map(clean),
        status: Some(status),
        retry_after: retry_after(&reply.headers, question.received_at),
        condemns,
        reason: in_words(
            status,
            content,
            error.as_deref().map(clean),
            words.as_deref().map(clean),
        ),
    };

    if matches!(status, 429 | 503) || error.as_deref() == Some("temporarily_unavailable") {
        return not_processed(Condemns::Nothing);
    }
    // Other server errors, and a reply that broke off, leave it open what was done before.
    let cut = reply.truncated && matches!(content, Content::Other | Content::Empty);
    if status >= 500 || cut {
        return Outcome::Unknown {
            reason: in_words(
                status,
                content,
                error.as_deref().map(clean),
                words.as_deref().map(clean),
            ),
            html: matches!(content, Content::Html),
        };
    }
    let body = content.value().unwrap_or(&Value::Null);
    let marked = meaning(spec, body, error.as_deref(), words.as_deref(), status);
    let condemns = match (marked.map(|meaning| meaning.condemns), error.as_deref()) {
        (Some(condemns), _) => condemns,
        (None, Some("invalid_grant")) => Condemns::Grant,
        (None, Some("invalid_client")) => Condemns::Client,
        (None, _) => Condemns::Nothing,
    };
    let condemns = match condemns {
        // A service grant has no grant that could be lost.
        Condemns::Grant | Condemns::Resource if question.asked == Asked::Service => {
            Condemns::Nothing
        }
        // The refresh token may still be good for everything else.
        Condemns::Grant if question.asked == Asked::Refresh && !question.resource.is_empty() => {
            Condemns::Resource
        }
        condemns => condemns,
    };
    match condemns {
        Condemns::Grant | Condemns::Resource => Outcome::Refused {
            error: error
                .as_deref()
                .map_or_else(|| format!("http_{status}"), clean),
            description: words.as_deref().map(clean),
            condemns,
        },
        Condemns::Client | Condemns::Nothing => not_processed(condemns),
    }
}

/// The error code of a reply: at the paths of the provider file, else at `error` (RFC 6749 section 5.2), be it an object.
pub(super) fn error_code(whole: &Value, rules: &ReplyRules) -> Option<String> {
    let said = match &rules.error {
        // A code of success may stand at the very same place.
        Some(_) if rules.success.is_some() && !is_failure(whole, rules) => return None,
        Some(own) => paths::first(whole, own)
            .map(std::borrow::Cow::into_owned)
            .or_else(|| whole.get("error").cloned())?,
        None => whole.get("error")?.clone(),
    };
    match &said {
        Value::Object(_) => ["code", "type", "error", "status"]
            .iter()
            .find_map(|name| said.get(*name).and_then(code)),
        said => code(said),
    }
}

/// Whether the provider's own mark of success is missing.
pub(super) fn is_failure(whole: &Value, rules: &ReplyRules) -> bool {
    rules.success.as_ref().is_some_and(|success| {
        paths::find(whole, &success.path).as_deref() != Some(&success.equals)
    })
}

/// How long the server asks to wait (RFC 9110 section 10.2.3): seconds, or a date by its own clock.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = text(::http::header::RETRY_AFTER)?.trim();
    let wait = match wait.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => {
            Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT)
        }
        Ok(_) => return None,
        Err(_) => {
            let server = text(::http::header::DATE)
                .and_then(expiry::http_date)
                .unwrap_or(now);
            expiry::http_date(wait)?.since(server)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// A code that says something: null, false, zero and nothing are no error.
fn code(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) => None,
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        value => paths::text(value),
    }
}

fn description(whole: &Value, rules: &ReplyRules) -> Option<String> {
    let standard = [
        "error_description",
        "error.message",
        "message",
        "error.description",
    ]
    .map(str::to_owned)
    .to_vec();
    let standard = Paths::Several(standard);
    let found = rules
        .error_description
        .as_ref()
        .and_then(|own| paths::first(whole, own));
    found
        .or_else(|| paths::first(whole, &standard))
        .and_then(|value| paths::text(&value))
}

/// What the provider file says of an error: by code and words, by a vendor's code in the words or in `error_codes`, by
/// the code alone, by the words alone, by the status.
fn meaning<'a>(
    spec: &'a Spec,
    body: &Value,
    error: Option<&str>,
    words: Option<&str>,
    status: u16,
) -> Option<&'a ErrorMeaning> {
    let lower = |text: Option<&str>| text.unwrap_or_default().to_lowercase();
    let (error, words) = (lower(error), lower(words));
    let vendor_codes = vendor_codes(body, &words);
    let rank = |key: &str| -> Option<u8> {
        let key = key.to_lowercase();
        if let Some((code, part)) = key.split_once(": ")
            && code == error
        {
            return words.contains(part).then_some(0);
        }
        if vendor_codes.contains(&key) {
            Some(1)
        } else if !error.is_empty() && key == error {
            Some(2)
        } else if key.contains(' ') && words.contains(&key) || !words.is_empty() && key == words {
            Some(3)
        } else if key == format!("http_{status}") {
            Some(4)
        } else {
            None
        }
    };
    spec.errors
        .iter()
        .filter(|(_, meaning)| is_of_token_endpoint(meaning))
        .filter_map(|(key, meaning)| Some((rank(key)?, std::cmp::Reverse(key.len()), meaning)))
        .min_by_key(|(rank, length, _)| (*rank, *length))
        .map(|(_, _, meaning)| meaning)
}

fn is_of_token_endpoint(meaning: &ErrorMeaning) -> bool {
    meaning
        .at
        .as_ref()
        .is_none_or(|at| at.iter().any(|place| place == "token"))
}

/// What an error means in the plain words of the provider file, if it knows the code or the words.
pub(super) fn in_plain_words(
    spec: &Spec,
    error: &str,
    description: Option<&str>,
) -> Option<String> {
    meaning(spec, &Value::Null, Some(error), description, 0).map(|meaning| meaning.meaning.clone())
}

/// Codes a vendor adds to the standard one: `error_codes`, which Microsoft writes `AADSTS70008` in the words, and codes
/// in members of their own.
fn vendor_codes(body: &Value, words: &str) -> Vec<String> {
    let listed = body
        .get("error_codes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let members = ["code", "error_code", "suberror", "status", "reason"]
        .iter()
        .filter_map(|name| body.get(*name));
    let nested = body
        .get("error")
        .and_then(|error| error.get("code"))
        .into_iter();
    let plain = listed
        .clone()
        .chain(members)
        .chain(nested)
        .filter_map(paths::text)
        .map(|code| code.to_lowercase());
    let microsoft = listed
        .filter_map(paths::text)
        .map(|code| format!("aadsts{code}"));
    let worded = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.starts_with("aadsts"))
        .map(str::to_owned);
    plain.chain(microsoft).chain(worded).collect()
}

fn in_words(
    status: u16,
    content: &Content,
    error: Option<String>,
    words: Option<String>,
) -> String {
    match (error, words) {
        (Some(error), Some(words)) => format!("the provider answered {error}: {words}"),
        (Some(error), None) => format!("the provider answered {error}"),
        (None, Some(words)) => format!("the provider answered HTTP {status}: {words}"),
        (None, None) => match content {
            Content::Html => format!("the provider answered HTTP {status} with a web page"),
            _ if (300..400).contains(&status) => {
                format!("the token endpoint redirects (HTTP {status})")
            }
            _ => format!("the provider answered HTTP {status}"),
        },
    }
}
