//! Assertions that a client signs with a key of its own (RFC 7521 and 7523): in place of a secret, or as the grant itself.
//!
//! The key is what is configured as the client secret: a PEM file, a JWK, or the JSON key of a service account; or the
//! secret itself, which then only signs and is never sent (`client_secret_jwt`, OpenID Connect Core section 9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::key::{Key, SharedKey, invalid, service_account};
use super::request::Values;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::provider::{AssertionRules, Spec};
use crate::secret::{ClientSecret, Secret};

/// The grant type of an assertion (RFC 7523 section 2.1).
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The type of a client's assertion (RFC 7523 section 2.2).
pub(super) const CLIENT_ASSERTION_TYPE: &str =
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Seconds that an assertion lives unless the provider file says otherwise.
const LIFETIME: f64 = 300.0;
/// Assertions are dated back by as many seconds: a server whose clock is behind would call them not valid yet.
const BACKDATED: f64 = 30.0;

/// Whether a client secret is a private key, by its look.
pub fn is_private_key(secret: &ClientSecret) -> bool {
    let text = secret.expose().trim_start();
    text.starts_with("-----BEGIN ") || text.starts_with('{')
}

/// Whether a private key stands in a client secret: then it signs, and never leaves.
pub(super) fn holds_private_key(secret: &ClientSecret) -> bool {
    secret.expose().contains("PRIVATE KEY-----")
}

/// The client id that the JSON key of a service account brings: its e-mail address.
pub fn client_email(secret: &ClientSecret) -> Option<String> {
    Some(service_account(secret.expose())?.client_email)
}

/// Checks a key before it is configured, by the rules that assertions will be signed by.
///
/// # Errors
/// `InvalidParameter`: it is no key, it is encrypted, or of a kind that the provider does not take.
pub fn check_key(spec: &Spec, secret: &ClientSecret) -> Result<()> {
    let own = spec.assertion.clone();
    let rules = own.unwrap_or_else(|| of_client_by(spec));
    let key = Key::read(&rules, secret, spec.endpoints.token_endpoint.as_deref())?;
    key.algorithm(&rules.algorithms).map(drop)
}

/// The rules of an assertion in place of a secret (RFC 7523 section 3): the provider file's, else the standard's.
fn of_client_by(spec: &Spec) -> AssertionRules {
    let own = spec.client.assertion.clone();
    own.unwrap_or_else(|| AssertionRules {
        issuer: Some("{client_id}".to_owned()),
        subject: Some("{client_id}".to_owned()),
        audience: Some("{token_endpoint}".to_owned()),
        ..AssertionRules::default()
    })
}

/// An assertion in place of the client's secret, signed with its private key.
pub(super) fn of_client(
    client: &Client<'_>,
    values: &Values<'_>,
    now: Timestamp,
) -> Result<Secret> {
    sign(&of_client_by(values.spec()), client, values, now)
}

/// An assertion that the client's secret signs, in its place: a reader of the request learns no secret from it.
pub(super) fn of_secret(
    client: &Client<'_>,
    values: &Values<'_>,
    now: Timestamp,
) -> Result<Secret> {
    let secret = client
        .secret
        .ok_or_else(|| invalid("there is no client secret to sign with"))?;
    let rules = of_client_by(values.spec());
    let key = SharedKey::of(secret, &rules.algorithms);
    let claims = claims(&rules, values, now)?;
    let mut header = Map::new();
    header.insert("alg".to_owned(), Value::from(key.algorithm));
    header.insert("typ".to_owned(), Value::from("JWT"));
    serialized(header, claims, |message| Ok(key.sign(message)))
}

/// An assertion by `rules`, signed with the key that the client has as its secret.
pub(super) fn sign(
    rules: &AssertionRules,
    client: &Client<'_>,
    values: &Values<'_>,
    now: Timestamp,
) -> Result<Secret> {
    let secret = client
        .secret
        .ok_or_else(|| invalid("there is no private key: configure it as the client secret"))?;
    let token_endpoint = values.spec().endpoints.token_endpoint.as_deref();
    let key = Key::read(rules, secret, token_endpoint)?;
    let algorithm = key.algorithm(&rules.algorithms)?;
    let values = values
        .clone()
        .with("client_email", key.client_email.as_deref());
    let claims = claims(rules, &values, now)?;
    let mut header = Map::new();
    header.insert("alg".to_owned(), Value::from(algorithm));
    header.insert("typ".to_owned(), Value::from("JWT"));
    let key_id = key.id.clone().or(filled("{key_id}", &values)?);
    header.extend(key_id.map(|id| ("kid".to_owned(), Value::from(id))));
    let thumbprint = key.thumbprint.clone();
    header.extend(thumbprint.map(|print| ("x5t#S256".to_owned(), Value::from(print))));
    serialized(header, claims, |message| key.sign(algorithm, message))
}

/// What an assertion says, by `rules`.
fn claims(
    rules: &AssertionRules,
    values: &Values<'_>,
    now: Timestamp,
) -> Result<Map<String, Value>> {
    let lifetime = rules.lifetime.unwrap_or(LIFETIME);
    let issued_at = now.millis() as f64 / 1000.0 - BACKDATED.min(lifetime / 4.0);
    let mut claims = Map::new();
    for (name, template) in [
        ("iss", &rules.issuer),
        ("sub", &rules.subject),
        ("aud", &rules.audience),
    ] {
        let value = template.as_deref().map(|template| filled(template, values));
        let value = value.transpose()?.flatten();
        claims.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    }
    claims.insert("iat".to_owned(), json!(issued_at as i64));
    claims.insert("exp".to_owned(), json!((issued_at + lifetime) as i64));
    if let Some(uuid) = values.fill("{uuid}")? {
        claims.insert("jti".to_owned(), Value::from(uuid.expose()));
    }
    for (name, template) in &rules.claims {
        let value = filled(template, values)?;
        claims.extend(value.map(|value| (name.clone(), Value::from(value))));
    }
    Ok(claims)
}

/// A template with its values in it; `None` where one of them is not there or nothing comes of it.
fn filled(template: &str, values: &Values<'_>) -> Result<Option<String>> {
    let filled = values.fill(template)?;
    Ok(filled
        .map(|value| value.expose().to_owned())
        .filter(|value| !value.is_empty()))
}

/// A signed JWT in its compact form (RFC 7515 section 7.1).
fn serialized(
    header: Map<String, Value>,
    claims: Map<String, Value>,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>,
) -> Result<Secret> {
    let encode = |part: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::from(part).to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = sign(signed.as_bytes())?;
    Ok(Secret::from(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(signature)
    )))
}
