//! The URL of a request: judged as it will be asked, with what stands in it as the dialect writes it.

use ::url::Url;

use super::arguments::invalid;
use crate::action::value::{Mapping, Value};
use crate::error::Result;

/// A URL of a step, and the user name and password that stood in it.
pub(super) struct Address {
    /// Without userinfo and fragment.
    pub(super) url: Url,
    /// What stood before the host.
    pub(super) basic: Option<(String, String)>,
    /// A segment of the path was `.` or `..`: it is another path than the one that was written.
    pub(super) climbs: bool,
}

impl Address {
    /// Reads a URL as it was written.
    pub(super) fn read(text: &str) -> Result<Self> {
        if text.chars().any(char::is_control) {
            return Err(invalid("the URL holds a control character"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(invalid("the URL does not begin with https:// or http://"));
        };
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(invalid("the URL does not begin with https:// or http://"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        // A backslash would end the host for one reader and not for the next.
        if authority.is_empty() || authority.contains(['\\', ' ']) {
            return Err(invalid(
                "the URL has no host, or one with a blank or a backslash",
            ));
        }
        let path_end = behind.find(['?', '#']).unwrap_or(behind.len());
        let (path, behind) = behind.split_at(path_end);
        // Else the end of the text would lose its blanks, and a backslash become a slash.
        let path = path.replace(' ', "%20").replace('\\', "%5C");
        let behind = behind.replace(' ', "%20");
        let Ok(url) = Url::parse(&format!("{scheme}://{authority}{path}{behind}")) else {
            return Err(invalid("the URL can't be read"));
        };
        Ok(Self {
            climbs: path.split('/').any(is_dots),
            ..Self::of(url)?
        })
    }

    /// Where a redirect leads.
    pub(super) fn of(mut url: Url) -> Result<Self> {
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("the URL is neither http nor https, or has no host"));
        }
        url.set_fragment(None);
        let plain = |text: &str| {
            let decoded = percent_decoded(text);
            String::from_utf8_lossy(&decoded).into_owned()
        };
        let has_userinfo = !url.username().is_empty() || url.password().is_some();
        let basic = has_userinfo.then(|| {
            let password = url.password().map(plain).unwrap_or_default();
            (plain(url.username()), password)
        });
        // A URL with a host takes both.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Self {
            url,
            basic,
            climbs: false,
        })
    }
}

/// Puts the members of `params` in place of the query; an empty mapping leaves it as it is.
pub(super) fn set_query(url: &mut Url, params: &Mapping) {
    if params.is_empty() {
        return;
    }
    let present = params
        .iter()
        .filter(|(_, value)| !matches!(value, Value::None));
    let query = form(present.map(|(key, value)| (key.value(), value)));
    url.set_query((!query.is_empty()).then_some(query.as_str()));
}

/// A form as it is sent: lists repeat their key, None is empty.
pub(super) fn form<'value>(fields: impl Iterator<Item = (&'value Value, &'value Value)>) -> String {
    let mut query = String::new();
    for (key, value) in fields {
        let key = key.to_string();
        match value {
            Value::List(items) => {
                for item in items.iter() {
                    field(&key, item, &mut query);
                }
            }
            one => field(&key, one, &mut query),
        }
    }
    query
}

fn field(key: &str, value: &Value, query: &mut String) {
    if !query.is_empty() {
        query.push('&');
    }
    encode(key, query);
    query.push('=');
    encode(&primitive(value), query);
}

/// A value as forms and queries show it: as JSON's words, and all else as Python's text.
pub(super) fn primitive(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        Value::Bool(flag) => flag.to_string(),
        other => other.to_string(),
    }
}

/// `application/x-www-form-urlencoded`, in which only letters, digits and `-._~` stay.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Whether a segment is `.` or `..`, also in percent-encoding (URL Standard, "double-dot path segment").
fn is_dots(segment: &str) -> bool {
    matches!(percent_decoded(segment).as_slice(), b"." | b"..")
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3);
        let code = code.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}
