//! Signing in by a code that is typed elsewhere: the device authorization grant (RFC 8628).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::content::Content;
use super::request::{Draft, LOOKUP_DEADLINE, Mask, Parameters, Values};
use super::response::Outcome;
use super::{clean_label, paths, refusal, scope, token};
use crate::clock::{Clock, Monotonic};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, Method, Reply};
use crate::provider::{DeviceRules, Spec, hosts};
use crate::secret::Secret;

/// How often to ask where the server does not say (RFC 8628 section 3.2), and by how much less often after `slow_down`
/// (section 3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// No server makes a person wait longer between saying yes and being connected.
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);
/// Where neither the server nor the provider file says how long its codes live.
const LIFETIME: Duration = Duration::from_secs(900);
/// No code is waited for longer: a day.
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);

/// What a person types where, and how this client learns of it (RFC 8628 section 3.2).
#[derive(Clone)]
pub struct DeviceAuthorization {
    /// What the client shows the server; nobody else may see it.
    pub(super) device_code: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The same with the code in it, for a link or a QR code.
    pub verification_uri_complete: Option<String>,
    /// How long to wait between two requests.
    pub interval: Duration,
    /// How long the codes live.
    pub expires_in: Duration,
}

impl fmt::Debug for DeviceAuthorization {
    /// Without the codes.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeviceAuthorization")
            .field("verification_uri", &self.verification_uri)
            .field("interval", &self.interval)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// What a server answers whoever asks whether the person has decided.
#[derive(Debug)]
pub enum Answer {
    /// Not yet, or nobody knows: ask again after the interval.
    Pending,
    /// Ask less often from now on.
    SlowDown {
        /// How long the server asks to wait, where it says so.
        at_least: Option<Duration>,
    },
    /// It is over: a token, or an error that no further request changes.
    Ended(Box<Outcome>),
}

/// When to ask, and until when.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval: Duration,
    ends_at: Monotonic,
}

impl Schedule {
    /// The schedule of codes that were issued at `now`.
    pub fn begin(authorization: &DeviceAuthorization, now: Monotonic) -> Self {
        Self {
            interval: authorization.interval,
            ends_at: now.after(authorization.expires_in),
        }
    }

    /// How long to wait before the next request; `None` when the codes would be over by then.
    pub fn pause(&self, now: Monotonic) -> Option<Duration> {
        (self.ends_at.since(now) > self.interval).then_some(self.interval)
    }

    /// Five seconds more, for this and every later request, or what the server asks for (RFC 8628 section 3.5).
    pub fn slow_down(&mut self, at_least: Option<Duration>) {
        let more = (self.interval + INTERVAL).min(LONGEST_INTERVAL);
        self.interval = more.max(at_least.unwrap_or_default());
    }
}

/// Whether a person can sign in to this provider by a code: its file says so, or the user named the endpoint.
pub fn is_offered(spec: &Spec) -> bool {
    spec.device.is_some()
        || spec.user_endpoints && spec.endpoints.device_authorization_endpoint.is_some()
}

/// Asks for codes (RFC 8628 section 3.1).
///
/// # Errors
/// `InvalidParameter` for a provider without them, and for scopes that it gives no device; `ProviderUnavailable`;
/// `ProviderRejected`.
pub async fn authorize(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    scopes: &[String],
    clock: &Clock,
) -> Result<DeviceAuthorization> {
    let rules = rules(spec)?;
    if let Some(scope) = scopes
        .iter()
        .find(|scope| !rules.scopes.is_empty() && !rules.scopes.contains(scope))
    {
        return Err(Error::invalid_parameter(
            "scope_not_for_devices",
            format!(
                "{} gives {} to nobody who signs in by a code, only {}",
                spec.name,
                clean_label(scope),
                rules.scopes.join(", ")
            ),
        ));
    }
    let mut standard = Parameters::default();
    scope::set(&mut standard, spec, "authorization", scopes, "");
    let draft = Draft {
        spec,
        client,
        rules: &rules.request,
        endpoint: spec.endpoints.device_authorization_endpoint.as_deref(),
        authentication: client.authentication,
        method: Method::POST,
        standard,
        values: Values::new(spec, Some(&client)).with("scope", Some(&scope::join(spec, scopes))),
        bearer: None,
        deadline: LOOKUP_DEADLINE,
        now: clock.wall(),
    };
    let (request, mask) = draft.finish()?;
    let reply = http
        .send(request)
        .await
        .map_err(|failure| unavailable(spec, failure.reason(), None))?;
    read(&reply, spec, &rules, &mask, clock)
}

/// Asks once whether the person has decided (RFC 8628 section 3.4).
pub async fn poll(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    authorization: &DeviceAuthorization,
    scopes: &[String],
    clock: &Clock,
) -> Answer {
    let pending_status = spec.device.as_ref().and_then(|rules| rules.pending_status);
    match token::device_code(http, spec, client, authorization, scopes, clock).await {
        Outcome::NotProcessed {
            status,
            error,
            retry_after,
            ..
        } if is_pending(status, error.as_deref(), pending_status) => match retry_after {
            Some(at_least) if at_least > authorization.interval => Answer::SlowDown {
                at_least: Some(at_least),
            },
            _ => Answer::Pending,
        },
        Outcome::NotProcessed {
            status,
            error,
            retry_after,
            ..
        } if is_slow(status, error.as_deref()) => Answer::SlowDown {
            at_least: retry_after,
        },
        // If the lost reply held the token, the next one says that the code was used.
        Outcome::Unknown { html: false, .. } => Answer::SlowDown { at_least: None },
        ended => Answer::Ended(Box::new(ended)),
    }
}

fn is_pending(status: Option<u16>, error: Option<&str>, pending_status: Option<u16>) -> bool {
    error == Some("authorization_pending")
        || error != Some("slow_down") && status.is_some() && status == pending_status
}

/// The server asks for it, is busy, or was not reached: a time-out counts as `slow_down` (RFC 8628 section 3.5).
fn is_slow(status: Option<u16>, error: Option<&str>) -> bool {
    match error {
        Some(error) => matches!(
            error,
            "slow_down" | "temporarily_unavailable" | "server_error"
        ),
        None => matches!(status, None | Some(429 | 503)),
    }
}

fn rules(spec: &Spec) -> Result<Cow<'_, DeviceRules>> {
    match &spec.device {
        Some(rules) => Ok(Cow::Borrowed(rules)),
        None if is_offered(spec) => Ok(Cow::Owned(DeviceRules::default())),
        None => Err(Error::invalid_parameter(
            "device_code_unsupported",
            format!("{} has no sign-in by a device code (RFC 8628)", spec.name),
        )),
    }
}

fn read(
    reply: &Reply,
    spec: &Spec,
    rules: &DeviceRules,
    mask: &Mask,
    clock: &Clock,
) -> Result<DeviceAuthorization> {
    let content = Content::of(reply);
    let whole = content.value().unwrap_or(&Value::Null);
    if !(200..300).contains(&reply.status) || refusal::error_code(whole, &spec.reply).is_some() {
        return Err(refused(reply, whole, spec, mask, clock));
    }
    let text = |name: &str| -> Option<String> {
        let path = rules.reply.get(name).map_or(name, String::as_str);
        paths::text(&*paths::find(whole, path)?).filter(|text| !text.is_empty())
    };
    let seconds = |name: &str| {
        let seconds = text(name)?.parse::<f64>().ok()?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|seconds| !seconds.is_zero())
    };
    let url = |name: &str| -> Option<String> {
        let url = hosts::judge_url(&text(name)?, spec.user_endpoints).ok()?;
        Some(url.to_string())
    };
    let unusable = |what: &str| {
        rejected(
            "device_authorization_malformed",
            None,
            format!("{} began a sign-in by code without {what}", spec.name),
        )
    };
    Ok(DeviceAuthorization {
        device_code: text("device_code")
            .map(Secret::from)
            .ok_or_else(|| unusable("a device code"))?,
        user_code: text("user_code")
            .filter(|code| super::clean(code, &[]) == *code)
            .ok_or_else(|| unusable("a code that can be shown"))?,
        verification_uri: url("verification_uri")
            .ok_or_else(|| unusable("an address that can be shown"))?,
        verification_uri_complete: url("verification_uri_complete"),
        interval: seconds("interval").map_or(INTERVAL, |told| told.min(LONGEST_INTERVAL)),
        expires_in: seconds("expires_in")
            .or_else(|| Duration::try_from_secs_f64(rules.lifetime?).ok())
            .map_or(LIFETIME, |told| told.min(LONGEST_LIFETIME)),
    })
}

fn refused(reply: &Reply, whole: &Value, spec: &Spec, mask: &Mask, clock: &Clock) -> Error {
    let status = reply.status;
    let error = refusal::error_code(whole, &spec.reply).map(|error| mask.clean(&error));
    let reason = match &error {
        Some(error) => format!("{} began no sign-in by code: {error}", spec.name),
        None => format!("{} began no sign-in by code (HTTP {status})", spec.name),
    };
    if status == 429 || status >= 500 {
        let retry_after = refusal::retry_after(&reply.headers, clock.wall());
        return unavailable(spec, &format!("HTTP {status}"), retry_after);
    }
    rejected("device_authorization_refused", error, reason)
}

fn rejected(code: &'static str, error: Option<String>, reason: String) -> Error {
    let kind = ErrorKind::ProviderRejected {
        error,
        description: None,
    };
    Error::new(kind, code, reason)
}

fn unavailable(spec: &Spec, reason: &str, retry_after: Option<Duration>) -> Error {
    Error::new(
        ErrorKind::ProviderUnavailable { retry_after },
        "provider_unavailable",
        format!("{} could not be asked for a code: {reason}", spec.name),
    )
}
