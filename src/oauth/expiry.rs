//! When a token ends, by what its reply says: numbers, numeric text, dates, or a claim of the token itself.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::paths;
use crate::clock::Timestamp;
use crate::http::HeaderMap;
use crate::provider::{ExpiresRule, Paths};

/// No lifetime is taken to be longer (a century, in seconds): what lies beyond is an overflow or a joke.
const LONGEST: f64 = 3_155_760_000.0;

/// The two clocks a reply is read by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When the request left, by our clock: no lifetime began earlier, and none may be thought to have begun later.
    pub(super) asked_at: Timestamp,
    /// What the server's clock shows, so that its absolute times can be told apart from a wrong clock here.
    pub(super) server: Timestamp,
}

impl Moment {
    /// Reads the server's clock from the `Date` header (RFC 9110 section 6.6.1); else takes `issued_at`, else ours.
    pub(super) fn new(
        asked_at: Timestamp,
        received_at: Timestamp,
        headers: &HeaderMap,
        issued_at: Option<Timestamp>,
    ) -> Self {
        let server = headers
            .get(::http::header::DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(http_date)
            .or(issued_at)
            .unwrap_or(received_at);
        Self { asked_at, server }
    }

    fn after(self, seconds: f64) -> Timestamp {
        self.asked_at
            .after(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST)))
    }
}

/// When the token ends; `None` when the reply doesn't say, or says that it never does.
///
/// A negative lifetime is none at all. An absolute time counts by the server's clock.
pub(super) fn expires_at(
    root: &Value,
    rule: &ExpiresRule,
    default_path: &str,
    token: &str,
    moment: Moment,
) -> Option<Timestamp> {
    let claims;
    let (root, default_path, default_unit) = match rule.source.as_deref() {
        None | Some("reply") => (root, default_path, "seconds"),
        Some("jwt") => {
            claims = jwt_claims(token)?;
            (&claims, "exp", "unix")
        }
        Some(_) => return None,
    };
    let default_path = Paths::One(default_path.to_owned());
    let value = paths::first(root, rule.path.as_ref().unwrap_or(&default_path))?;
    if rule.never.iter().any(|never| same(never, &value)) {
        return None;
    }
    match rule.unit.as_deref().unwrap_or(default_unit) {
        "milliseconds" => Some(moment.after(number(&value)? / 1000.0)),
        unit @ ("unix" | "unix_ms" | "iso8601") => {
            let end = absolute(&value, unit)?;
            let lifetime = end.millis().saturating_sub(moment.server.millis());
            Some(moment.after(lifetime as f64 / 1000.0))
        }
        _ => Some(moment.after(number(&value)?)),
    }
}

/// An absolute time of a reply, as `rule` says where and how.
pub(super) fn instant(root: &Value, rule: &ExpiresRule) -> Option<Timestamp> {
    let value = paths::first(root, rule.path.as_ref()?)?;
    absolute(&value, rule.unit.as_deref().unwrap_or("unix"))
}

/// The claims of a JWT (RFC 7519), unverified; `None` for anything else.
pub(super) fn jwt_claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload)
        .ok()
        .filter(Value::is_object)
}

/// A number, or text that is one; infinities are cut off by the caller, what is not a number is none.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (!number.is_nan()).then_some(number)
}

/// An HTTP date (RFC 9110 section 5.6.7).
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()))
}

fn absolute(value: &Value, unit: &str) -> Option<Timestamp> {
    let millis = match unit {
        "unix" => number(value)? * 1000.0,
        "unix_ms" => number(value)?,
        _ => return iso8601(value.as_str()?),
    };
    // A cast saturates.
    Some(Timestamp::from_millis(millis as i64))
}

/// A date with an offset, or one without, which is taken for UTC.
fn iso8601(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(date).ok()
    })?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

fn same(never: &Value, value: &Value) -> bool {
    never == value
        || match (number(never), number(value)) {
            (Some(never), Some(value)) => never == value,
            _ => false,
        }
}
