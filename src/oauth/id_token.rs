//! The ID token (OpenID Connect Core section 2). It comes straight from the token endpoint over TLS, so its signature
//! may stay unread (section 3.1.3.7, rule 6); its claims label the account and never decide about access.

use serde_json::Value;

use super::{expiry, paths};
use crate::clock::Timestamp;
use crate::model::Account;
use crate::secret::Secret;

/// How far past its end an ID token is still taken: servers' clocks differ among themselves.
const LEEWAY_MILLIS: i64 = 5 * 60 * 1000;

/// The claims of an ID token that passed the checks.
#[derive(Clone, PartialEq)]
pub struct IdClaims {
    /// The account's id at this issuer (`sub`).
    pub subject: String,
    claims: Value,
}

impl std::fmt::Debug for IdClaims {
    /// Without the claims: they are about a person.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("IdClaims(..)")
    }
}

impl IdClaims {
    /// All claims, for the paths of a provider file.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The account by the standard claims (OpenID Connect Core section 5.1).
    pub(super) fn account(&self) -> Account {
        let claim = |name| paths::find(&self.claims, name).and_then(|value| paths::text(&value));
        Account {
            id: Some(self.subject.clone()),
            email: claim("email"),
            name: claim("name"),
            ..Account::default()
        }
    }
}

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: Option<&'a str>,
    pub(super) client_id: &'a str,
    pub(super) nonce: Option<&'a Secret>,
    pub(super) subject: Option<&'a str>,
    /// By the server's clock.
    pub(super) now: Timestamp,
}

/// Checks the claims of an ID token (OpenID Connect Core sections 3.1.3.7 and 12.2); the error names the rule broken.
///
/// What can't be read (encrypted, not a JWT) is no label, and nothing more: `None`.
pub(super) fn check(token: &str, expected: &Expected<'_>) -> Result<Option<IdClaims>, String> {
    let Some(claims) = expiry::jwt_claims(token) else {
        return Ok(None);
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let Some(subject) = text("sub").filter(|subject| !subject.is_empty()) else {
        return Err("the ID token has no sub".to_owned());
    };
    if let Some(issuer) = expected.issuer
        && !text("iss").is_some_and(|iss| is_issuer(iss, issuer, text("tid")))
    {
        return Err("the ID token's iss is not the issuer asked".to_owned());
    }
    if !is_audience(&claims, expected.client_id) {
        return Err("the ID token's aud is not this client".to_owned());
    }
    if let Some(nonce) = expected.nonce
        && text("nonce").map(Secret::from).as_ref() != Some(nonce)
    {
        return Err("the ID token's nonce is not the one sent".to_owned());
    }
    // A cast saturates.
    let ends = claims
        .get("exp")
        .and_then(expiry::number)
        .map(|seconds| (seconds * 1000.0) as i64);
    if ends.is_none_or(|ends| ends.saturating_add(LEEWAY_MILLIS) <= expected.now.millis()) {
        return Err("the ID token's exp has passed".to_owned());
    }
    if expected.subject.is_some_and(|before| before != subject) {
        return Err("the ID token's sub is another account's".to_owned());
    }
    let subject = subject.to_owned();
    Ok(Some(IdClaims { subject, claims }))
}

/// Equal, or equal by a vendor's word: Google leaves out the scheme
/// (<https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken>), Microsoft names the
/// account's own tenant where several may sign in
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/access-tokens#validate-the-issuer>).
fn is_issuer(iss: &str, issuer: &str, tenant: Option<&str>) -> bool {
    if iss == issuer || issuer.strip_prefix("https://") == Some(iss) {
        return true;
    }
    let Some(tenant) = tenant.filter(|tenant| {
        tenant.len() == 36
            && tenant
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    }) else {
        return false;
    };
    ["{tenantid}", "common", "organizations", "consumers"]
        .into_iter()
        .any(|any| issuer.replacen(&format!("/{any}/"), &format!("/{tenant}/"), 1) == iss)
}

fn is_audience(claims: &Value, client_id: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(audience)) => audience == client_id,
        Some(Value::Array(audiences)) => {
            let ours = audiences.iter().any(|audience| audience == client_id);
            let presenter = claims.get("azp").is_none_or(|azp| azp == client_id);
            ours && (audiences.len() == 1 || presenter)
        }
        _ => false,
    }
}
