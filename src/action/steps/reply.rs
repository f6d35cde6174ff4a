//! What came back, as steps see it: status, headers and the body as JSON, text, base64 or None.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::send::Answer;
use crate::action::run::runner::Runner;
use crate::action::value::json::{read, trip};
use crate::action::value::{Key, Mapping, Value};
use crate::error::{Error, Result};
use crate::http::{HeaderMap, Reply};

/// `{status_code, headers, data}`.
pub(super) fn result(runner: &Runner, answer: &Answer, as_base64: bool) -> Result<Value> {
    let reply = &answer.reply;
    let body = reply.body.expose();
    let data = match reply.status {
        204 => Value::None,
        _ if as_base64 => Value::from(STANDARD.encode(body)),
        _ if content_type(reply).starts_with("application/json") => {
            json(body).ok_or_else(|| {
                let reason = format!(
                    "{} answered with what is no JSON, and says it is",
                    answer.what
                );
                Error::action("reply_not_json", reason)
            })?
        }
        _ => Value::from(text(reply)),
    };
    Ok(shown(runner, reply, data))
}

/// The same for a condition: the body as JSON whatever its type says, else as text.
pub(super) fn lenient(runner: &Runner, answer: &Answer) -> Value {
    let reply = &answer.reply;
    let data = match json(reply.body.expose()) {
        Some(data) => data,
        None => Value::from(text(reply)),
    };
    shown(runner, reply, data)
}

/// The reply as steps see it. What it repeats of a token, in whatever encoding, is its placeholder again.
fn shown(runner: &Runner, reply: &Reply, data: Value) -> Value {
    let value = Value::mapping(Mapping::from_iter([
        (
            Key::from("status_code"),
            Value::Integer(reply.status.into()),
        ),
        (Key::from("headers"), headers(&reply.headers)),
        (Key::from("data"), data),
    ]));
    runner.secrets.without_tokens(value)
}

fn headers(headers: &HeaderMap) -> Value {
    let mut joined: Mapping = Mapping::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| latin1(value.as_bytes()));
        let values = Vec::from_iter(values).join(", ");
        joined.insert(Key::from(name.as_str()), Value::from(values));
    }
    Value::mapping(joined)
}

/// Header values are bytes, of which UTF-8 is read as such.
fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn content_type(reply: &Reply) -> String {
    let value = reply.headers.get("content-type");
    value
        .map(|value| latin1(value.as_bytes()))
        .unwrap_or_default()
}

/// The body as text: by the charset of its type, else as UTF-8; what can't be read becomes U+FFFD.
fn text(reply: &Reply) -> String {
    let content_type = content_type(reply);
    let parameters = content_type.split(';').skip(1);
    let parameters: BTreeMap<String, &str> = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .map(|(name, value)| {
            (
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"'),
            )
        })
        .collect();
    let charset = parameters.get("charset");
    let encoding = charset.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
    let encoding = encoding.unwrap_or(encoding_rs::UTF_8);
    let (text, _) = encoding.decode_without_bom_handling(reply.body.expose());
    text.into_owned()
}

/// A body as JSON: in UTF-8, 16 or 32, told apart by its first bytes; NaN and infinities are null.
fn json(body: &[u8]) -> Option<Value> {
    let text = decoded(body)?;
    let value = match read(&text) {
        Ok(value) => value,
        Err(_) => read(&without_numbers_beyond_json(&text)?).ok()?,
    };
    Some(trip(&value))
}

fn decoded(body: &[u8]) -> Option<String> {
    let is_big = match body {
        [0xef, 0xbb, 0xbf, rest @ ..] => return String::from_utf8(rest.to_vec()).ok(),
        [0, 0, 0xfe, 0xff, rest @ ..] => return utf32(rest, true),
        [0xff, 0xfe, 0, 0, rest @ ..] => return utf32(rest, false),
        [0, 0, 0, _, ..] => return utf32(body, true),
        [_, 0, 0, 0, ..] => return utf32(body, false),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, true),
        [0xff, 0xfe, rest @ ..] => return utf16(rest, false),
        [0, _, ..] => true,
        [_, 0, ..] => false,
        _ => return String::from_utf8(body.to_vec()).ok(),
    };
    utf16(body, is_big)
}

fn utf16(bytes: &[u8], is_big: bool) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let read = if is_big {
        u16::from_be_bytes
    } else {
        u16::from_le_bytes
    };
    let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
    String::from_utf16(&Vec::from_iter(units)).ok()
}

fn utf32(bytes: &[u8], is_big: bool) -> Option<String> {
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let read = if is_big {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    };
    let units = bytes
        .chunks_exact(4)
        .map(|four| read([four[0], four[1], four[2], four[3]]));
    units.map(char::from_u32).collect()
}

/// The text with null for `NaN`, `Infinity` and `-Infinity`, which some servers write; `None` when there is none of them.
fn without_numbers_beyond_json(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut found) = (text, false);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = end_of_string(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let words = ["NaN", "-Infinity", "Infinity"];
        if let Some(word) = words.iter().find(|word| rest.starts_with(**word)) {
            out.push_str("null");
            rest = &rest[word.len()..];
            found = true;
            continue;
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    found.then_some(out)
}

/// Where the string that `text` begins with ends, its quotes included.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
