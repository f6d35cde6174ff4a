//! The body of a reply, whatever a vendor calls its content type.

use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroize;

use super::paths;
use super::response::sound_refresh_token;
use crate::http::Reply;
use crate::provider::{Paths, ReplyRules};
use crate::secret::{RefreshToken, SecretBytes};

/// What a body is, by its look.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing but white space.
    Empty,
    /// A web page: something between us and the token endpoint, or in its place.
    Html,
    /// JSON, or a form as an object of texts.
    Value(Parsed),
    /// Anything else, a body that is not whole included.
    Other,
}

impl Content {
    pub(super) fn of(reply: &Reply) -> Self {
        let body = trim(reply.body.expose());
        if body.is_empty() {
            return Self::Empty;
        }
        if is_html(body, reply) {
            return Self::Html;
        }
        let parsed = match body[0] {
            b'{' | b'[' => serde_json::from_slice(body).ok(),
            _ if reply.truncated => None,
            _ => form(body),
        };
        parsed.map_or(Self::Other, |value| Self::Value(Parsed(value)))
    }

    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// A parsed body. Its texts are wiped when it is dropped; it is never shown.
pub(super) struct Parsed(Value);

impl std::ops::Deref for Parsed {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl std::fmt::Debug for Parsed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Parsed([redacted])")
    }
}

impl Drop for Parsed {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The refresh token of a body that can't be parsed, cut off or damaged as it may be: a complete text under the right
/// name, if all that stand there are the same.
pub(super) fn salvage(body: &SecretBytes, rules: &ReplyRules) -> Option<RefreshToken> {
    let standard = Paths::One("refresh_token".to_owned());
    let names: Vec<&str> = rules
        .fields
        .get("refresh_token")
        .unwrap_or(&standard)
        .iter()
        .filter_map(paths::last_key)
        .collect();
    let body = trim(body.expose());
    if !body.starts_with(b"{") && !body.starts_with(b"[") {
        return salvage_form(body, &names);
    }
    let mut found: Option<RefreshToken> = None;
    let mut rest = body;
    while let Some((text, after)) = next_text(rest) {
        rest = after;
        let Some(value) = after.trim_ascii_start().strip_prefix(b":") else {
            continue;
        };
        let Some((value, _)) =
            next_text(value).filter(|_| value.trim_ascii_start().starts_with(b"\""))
        else {
            continue;
        };
        if !names
            .iter()
            .any(|name| text == format!("\"{name}\"").as_bytes())
        {
            continue;
        }
        let token = Parsed(serde_json::from_slice(value).ok()?);
        let token = sound_refresh_token(&token)?;
        if found.as_ref().is_some_and(|other| *other != token) {
            return None;
        }
        found = Some(token);
    }
    found
}

/// Of a form that is not whole, the last pair may be cut off.
fn salvage_form(body: &[u8], names: &[&str]) -> Option<RefreshToken> {
    let whole = &body[..body.iter().rposition(|byte| *byte == b'&')?];
    let form = Parsed(form(whole)?);
    names
        .iter()
        .find_map(|name| form.get(*name).and_then(sound_refresh_token))
}

/// The next complete JSON text with its quotes, and what follows it.
fn next_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = bytes.iter().position(|byte| *byte == b'"')?;
    let mut index = start + 1;
    loop {
        match bytes.get(index)? {
            b'"' => return Some((&bytes[start..=index], &bytes[index + 1..])),
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
}

/// A form, if it has the name of a token or of an error.
fn form(body: &[u8]) -> Option<Value> {
    let pairs: Map<String, Value> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    ["access_token", "refresh_token", "error"]
        .iter()
        .any(|name| pairs.contains_key(*name))
        .then_some(Value::Object(pairs))
}

fn is_html(body: &[u8], reply: &Reply) -> bool {
    let starts = |with: &str| {
        body.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    let called_html = reply
        .headers
        .get(::http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("html"));
    starts("<!doctype html") || starts("<html") || (called_html && body[0] == b'<')
}

fn trim(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(body)
        .trim_ascii()
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is salvaged of the first `length` bytes.
    fn salvaged(body: &str, length: usize) -> Option<String> {
        let body = SecretBytes::from(body.as_bytes()[..length].to_vec());
        let token = salvage(&body, &ReplyRules::default());
        token.map(|token| token.expose().to_owned())
    }

    #[test]
    fn wherever_a_reply_is_cut_off_a_refresh_token_is_found_once_it_is_whole_and_none_is_made_up() {
        for (body, end) in [
            (
                r#"{"note": "a \"quoted\" \\", "refresh_token": "r\u00e92\"x", "more": {"a": [1, "b"]}}"#,
                "x\"",
            ),
            ("access_token=a1&refresh_token=r%C3%A92%22x&more=b", "x&"),
        ] {
            let whole = body
                .find(end)
                .expect("the end of the token stands in the body")
                + end.len();
            for length in 0..=body.len() {
                let expected = (length >= whole).then_some("r\u{e9}2\"x");
                assert_eq!(
                    salvaged(body, length).as_deref(),
                    expected,
                    "{}",
                    &body[..length]
                );
            }
        }
    }
}
