//! Errors of the token endpoint: which code, what it condemns, and whether the server acted at all.

use std::cmp::Reverse;
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
    let status = reply.status;
    let body = content.value().unwrap_or(&Value::Null);
    let code = error_code(body, &spec.reply);
    let words = description(body, &spec.reply);
    let meaning = meaning(spec, body, code.as_deref(), words.as_deref(), status);
    let error = code.as_deref().map(|code| question.mask.clean(code));
    let description = words.map(|words| question.mask.clean(&words));
    let reason = in_words(
        status,
        content,
        error.as_deref(),
        description.as_deref(),
        meaning,
    );

    let busy = matches!(status, 429 | 503) || code.as_deref() == Some("temporarily_unavailable");
    // Other server errors, and a reply that broke off, leave it open what was done before.
    let cut = reply.truncated && matches!(content, Content::Other | Content::Empty);
    if !busy && (status >= 500 || cut) {
        return Outcome::Unknown {
            reason: if cut {
                format!("{reason}, and the reply broke off")
            } else {
                reason
            },
            // A proxy says so in a web page: the provider is away, not wrong.
            html: false,
        };
    }
    let condemns = match (meaning, code.as_deref()) {
        _ if busy => Condemns::Nothing,
        (Some(meaning), _) => meaning.condemns,
        (None, Some("invalid_grant")) => Condemns::Grant,
        (None, Some("invalid_client")) => Condemns::Client,
        (None, _) => Condemns::Nothing,
    };
    match (condemns, question.asked) {
        // A service has no grant that could be lost.
        (Condemns::Grant | Condemns::Resource, Asked::Code | Asked::Refresh) => Outcome::Refused {
            error: error.unwrap_or_else(|| format!("http_{status}")),
            description,
            condemns: if question.asked == Asked::Refresh && !question.resource.is_empty() {
                // The refresh token may still be good for everything else.
                Condemns::Resource
            } else {
                condemns
            },
            reason,
        },
        (condemns, _) => Outcome::NotProcessed {
            error,
            description,
            status: Some(status),
            retry_after: retry_after(&reply.headers, question.received_at),
            condemns: if condemns == Condemns::Client {
                condemns
            } else {
                Condemns::Nothing
            },
            reason,
        },
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

/// Whether a reply of another endpoint than the token's bears the provider's mark, and not that of success.
pub(super) fn is_marked_failure(whole: &Value, rules: &ReplyRules) -> bool {
    let marked = |path: &str| paths::find(whole, path).is_some();
    is_failure(whole, rules)
        && rules
            .success
            .as_ref()
            .is_some_and(|success| marked(&success.path))
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
/// the code alone, by the words alone, by a code in another member, by the status.
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
    let members = other_codes(body);
    let rank = |key: &str| -> Option<u8> {
        let key = key.to_lowercase();
        if let Some((code, part)) = key.split_once(": ")
            && code == error
        {
            return words.contains(part).then_some(0);
        }
        let found = [
            vendor_codes.contains(&key),
            !error.is_empty() && key == error,
            !words.is_empty() && key == words || key.contains(' ') && words.contains(&key),
            members.contains(&key),
            key == format!("http_{status}"),
        ];
        let place = found.iter().position(|found| *found)?;
        u8::try_from(place + 1).ok()
    };
    spec.errors
        .iter()
        .filter(|(_, meaning)| is_of_token_endpoint(meaning))
        .filter_map(|(key, meaning)| Some((rank(key)?, Reverse(key.len()), meaning)))
        .min_by_key(|(rank, length, _)| (*rank, *length))
        .map(|(_, _, meaning)| meaning)
}

fn is_of_token_endpoint(meaning: &ErrorMeaning) -> bool {
    let mut places = meaning.at.iter().flat_map(Paths::iter).peekable();
    places.peek().is_none() || places.any(|place| place == "token")
}

/// Codes that Microsoft adds to the standard one: numbers in `error_codes`, which the words call `AADSTS70008`.
fn vendor_codes(body: &Value, words: &str) -> Vec<String> {
    let listed = body.get("error_codes").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(paths::text);
    let worded = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.starts_with("aadsts"));
    listed
        .map(|code| format!("aadsts{code}"))
        .chain(worded.map(str::to_owned))
        .collect()
}

/// Codes in members that vendors have beside `error`, or in its place.
fn other_codes(body: &Value) -> Vec<String> {
    ["code", "error_code", "suberror", "status", "reason"]
        .iter()
        .filter_map(|name| body.get(*name).and_then(paths::text))
        .map(|code| code.to_lowercase())
        .collect()
}

fn in_words(
    status: u16,
    content: &Content,
    error: Option<&str>,
    description: Option<&str>,
    meaning: Option<&ErrorMeaning>,
) -> String {
    let mut words = match error {
        Some(error) => format!("the provider answered {error}"),
        None if (300..400).contains(&status) => format!("the provider redirects (HTTP {status})"),
        None if matches!(content, Content::Html) => {
            format!("the provider answered HTTP {status} with a web page")
        }
        None => format!("the provider answered HTTP {status}"),
    };
    let meaning = meaning.map(|meaning| meaning.meaning.as_str());
    for more in [description, meaning].into_iter().flatten() {
        words.push_str(": ");
        words.push_str(more.trim_end_matches('.'));
    }
    words
}
