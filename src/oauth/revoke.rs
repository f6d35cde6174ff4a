//! Ending tokens at the provider (RFC 7009, or a vendor's own way).

use serde_json::Value;

use super::client::Client;
use super::content::Content;
use super::refusal;
use super::request::{Draft, LOOKUP_DEADLINE, Mask, Parameters, Values};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, Method, Reply};
use crate::provider::{RevocationKind, RevocationRules, Spec};
use crate::secret::{AccessToken, RefreshToken};

/// The token that is ended.
#[derive(Clone, Copy, Debug)]
pub enum RevokedToken<'a> {
    /// A refresh token, and by it the grant (RFC 7009 section 2.1).
    Refresh(&'a RefreshToken),
    /// An access token.
    Access(&'a AccessToken),
}

impl<'a> RevokedToken<'a> {
    /// The token that the provider wants, of those held; the refresh token where it takes either.
    pub fn choose(
        rules: &RevocationRules,
        refresh_token: Option<&'a RefreshToken>,
        access_token: Option<&'a AccessToken>,
    ) -> Option<Self> {
        let refresh = refresh_token.map(Self::Refresh);
        let access = access_token.map(Self::Access);
        match rules.token.as_deref() {
            Some("refresh_token") => refresh,
            Some("access_token") => access,
            _ => refresh.or(access),
        }
    }

    fn expose(&self) -> &'a str {
        match self {
            Self::Refresh(token) => token.expose(),
            Self::Access(token) => token.expose(),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Refresh(_) => "refresh_token",
            Self::Access(_) => "access_token",
        }
    }
}

/// What ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revoked {
    /// In words.
    pub what: String,
}

/// Revokes a token.
///
/// # Errors
/// `InvalidParameter` where the provider knows no revocation, `ProviderUnavailable`, `ProviderRejected`.
pub async fn revoke(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    token: RevokedToken<'_>,
    clock: &Clock,
) -> Result<Revoked> {
    let rules = &spec.revocation;
    let mut standard = Parameters::default();
    let endpoint = match rules.kind {
        RevocationKind::None => return Err(none(spec)),
        RevocationKind::Custom => None,
        RevocationKind::Rfc7009 => {
            standard.set("token", token.expose());
            standard.set("token_type_hint", token.hint());
            spec.endpoints.revocation_endpoint.as_deref()
        }
    };
    let values = Values::new(spec, Some(&client))
        .with("token", Some(token.expose()))
        .with(token.hint(), Some(token.expose()));
    let draft = Draft {
        spec,
        client,
        rules: &rules.request,
        endpoint: endpoint.or(spec.endpoints.revocation_endpoint.as_deref()),
        authentication: client.authentication,
        method: Method::POST,
        standard,
        values,
        bearer: Some(token.expose()),
        deadline: LOOKUP_DEADLINE,
        now: clock.wall(),
    };
    let (request, mask) = draft
        .finish()
        .map_err(|error| error.of_provider(&spec.id))?;
    let reply = http
        .send(request)
        .await
        .map_err(|failure| unavailable(spec, failure.reason().to_owned(), None))?;
    judge(spec, &token, &reply, &mask, clock)
}

fn judge(
    spec: &Spec,
    token: &RevokedToken<'_>,
    reply: &Reply,
    mask: &Mask,
    clock: &Clock,
) -> Result<Revoked> {
    let rules = &spec.revocation;
    let content = Content::of(reply);
    let whole = content.value().unwrap_or(&Value::Null);
    let said_no = refusal::is_marked_failure(whole, &spec.reply);
    let error = refusal::error_code(whole, &spec.reply);
    let status = reply.status;
    let accepted = rules.success == Some(status) || (200..300).contains(&status);
    if accepted && !said_no && error.is_none() {
        let what = match (&rules.effect, token) {
            (Some(effect), _) => effect.clone(),
            (None, RevokedToken::Refresh(_)) => "the refresh token ended".to_owned(),
            (None, RevokedToken::Access(_)) => "the access token ended".to_owned(),
        };
        return Ok(Revoked { what });
    }
    // Some servers refuse to end what has ended (RFC 7009 section 2.2 has them say 200).
    if error.as_deref() == Some("invalid_token") {
        return Ok(Revoked {
            what: "the token had ended already".to_owned(),
        });
    }
    let reason = match &error {
        Some(error) => format!(
            "the provider did not revoke the token: {}",
            mask.clean(error)
        ),
        None => format!("the provider did not revoke the token (HTTP {status})"),
    };
    if status == 429 || status >= 500 {
        return Err(unavailable(
            spec,
            reason,
            refusal::retry_after(&reply.headers, clock.wall()),
        ));
    }
    let kind = ErrorKind::ProviderRejected {
        error: error.map(|error| mask.clean(&error)),
        description: None,
    };
    Err(Error::new(kind, "revocation_refused", reason).of_provider(&spec.id))
}

fn none(spec: &Spec) -> Error {
    let reason = match &spec.revocation.manual {
        Some(manual) => format!("{} revokes no tokens; {manual}", spec.name),
        None => format!("{} revokes no tokens", spec.name),
    };
    Error::invalid_parameter("revocation_unsupported", reason.trim_end_matches('.'))
        .of_provider(&spec.id)
}

fn unavailable(spec: &Spec, reason: String, retry_after: Option<std::time::Duration>) -> Error {
    Error::new(
        ErrorKind::ProviderUnavailable { retry_after },
        "revocation_unavailable",
        reason,
    )
    .of_provider(&spec.id)
}
