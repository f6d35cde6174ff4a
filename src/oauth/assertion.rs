//! Assertions that a client signs with a key of its own (RFC 7521 and 7523): in place of a secret, or as the grant itself.
//!
//! The key is what is configured as the client secret: a PEM file, or the JSON key of a service account.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::client::Client;
use super::request::Values;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
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

/// The client id that the JSON key of a service account brings: its e-mail address.
pub fn client_email(secret: &ClientSecret) -> Option<String> {
    let account: ServiceAccount = serde_json::from_str(secret.expose()).ok()?;
    Some(account.client_email)
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

/// An assertion in place of the client's secret.
pub(super) fn of_client(
    client: &Client<'_>,
    values: &Values<'_>,
    now: Timestamp,
) -> Result<Secret> {
    sign(&of_client_by(values.spec()), client, values, now)
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
    let text = |template: &Option<String>| -> Result<Option<String>> {
        let Some(template) = template else {
            return Ok(None);
        };
        let filled = values.fill(template)?;
        Ok(filled
            .map(|value| value.expose().to_owned())
            .filter(|value| !value.is_empty()))
    };
    let lifetime = rules.lifetime.unwrap_or(LIFETIME);
    let issued_at = now.millis() as f64 / 1000.0 - BACKDATED.min(lifetime / 4.0);
    let mut claims = Map::new();
    for (name, template) in [
        ("iss", &rules.issuer),
        ("sub", &rules.subject),
        ("aud", &rules.audience),
    ] {
        claims.extend(text(template)?.map(|value| (name.to_owned(), Value::from(value))));
    }
    claims.insert("iat".to_owned(), json!(issued_at as i64));
    claims.insert("exp".to_owned(), json!((issued_at + lifetime) as i64));
    if let Some(uuid) = values.fill("{uuid}")? {
        claims.insert("jti".to_owned(), Value::from(uuid.expose()));
    }
    for (name, template) in &rules.claims {
        let value = text(&Some(template.clone()))?;
        claims.extend(value.map(|value| (name.clone(), Value::from(value))));
    }
    let mut header = Map::new();
    header.insert("alg".to_owned(), Value::from(algorithm));
    header.insert("typ".to_owned(), Value::from("JWT"));
    let key_id = key.id.clone().or(text(&Some("{key_id}".to_owned()))?);
    header.extend(key_id.map(|id| ("kid".to_owned(), Value::from(id))));
    let thumbprint = key.thumbprint.clone();
    header.extend(thumbprint.map(|print| ("x5t#S256".to_owned(), Value::from(print))));
    let encode = |part: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::from(part).to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(algorithm, signed.as_bytes())?;
    Ok(Secret::from(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(signature)
    )))
}

/// The JSON key of a service account, as Google's console makes it.
#[derive(Deserialize)]
struct ServiceAccount {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// A private key, and what is known with it.
struct Key {
    pair: Pair,
    id: Option<String>,
    /// Of the certificate that stands beside the key (RFC 7515 section 4.1.8).
    thumbprint: Option<String>,
    client_email: Option<String>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    fn read(
        rules: &AssertionRules,
        secret: &ClientSecret,
        token_endpoint: Option<&str>,
    ) -> Result<Self> {
        match rules.key.as_deref() {
            Some("service_account_json") => {
                Self::of_service_account(secret.expose(), token_endpoint)
            }
            Some("secret_jwk") => Err(invalid("keys in the form of a JWK are not supported")),
            _ => Self::of_pem(secret.expose()),
        }
    }

    fn of_service_account(text: &str, token_endpoint: Option<&str>) -> Result<Self> {
        let account: ServiceAccount = serde_json::from_str(text).map_err(|_| {
            invalid(
                "the client secret is not the JSON key of a service account; pass the whole file",
            )
        })?;
        let pem = Zeroizing::new(account.private_key);
        if account.kind != "service_account" {
            return Err(invalid("the JSON key is not one of a service account"));
        }
        if let (Some(own), Some(asked)) = (&account.token_uri, token_endpoint)
            && own != asked
        {
            return Err(invalid(
                "the JSON key belongs to another token endpoint than the one configured",
            ));
        }
        Ok(Self {
            id: account.private_key_id,
            client_email: Some(account.client_email),
            ..Self::of_pem(&pem)?
        })
    }

    fn of_pem(text: &str) -> Result<Self> {
        let mut pair = None;
        let mut thumbprint = None;
        for (label, der) in blocks(text) {
            match label {
                "CERTIFICATE" => {
                    thumbprint.get_or_insert_with(|| URL_SAFE_NO_PAD.encode(Sha256::digest(&*der)));
                }
                "ENCRYPTED PRIVATE KEY" => {
                    return Err(invalid(
                        "the private key is encrypted; decrypt it first (openssl pkey)",
                    ));
                }
                label if label.ends_with("PRIVATE KEY") => pair = Pair::of_der(&der),
                _ => {}
            }
        }
        let pair = pair.ok_or_else(|| {
            invalid("the client secret is no private key in PEM (RSA, P-256, P-384 or Ed25519)")
        })?;
        Ok(Self {
            pair,
            id: None,
            thumbprint,
            client_email: None,
        })
    }

    /// The first algorithm that the provider takes and the key can.
    fn algorithm(&self, taken: &[String]) -> Result<&'static str> {
        let known: &[&'static str] = match self.pair {
            Pair::Rsa(_) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Pair::P256(_) => &["ES256"],
            Pair::P384(_) => &["ES384"],
            Pair::Ed25519(_) => &["EdDSA"],
        };
        if taken.is_empty() {
            return Ok(known[0]);
        }
        taken
            .iter()
            .find_map(|taken| known.iter().find(|known| **known == taken.as_str()))
            .copied()
            .ok_or_else(|| {
                invalid(&format!(
                    "the private key is of another kind than the provider takes ({})",
                    taken.join(", ")
                ))
            })
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| Error::internal("a private key that was read could not sign");
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa(algorithm), &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::P256(pair) | Pair::P384(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(failed),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl Pair {
    /// A key in PKCS#8, PKCS#1 or SEC 1, whichever it is.
    fn of_der(der: &[u8]) -> Option<Self> {
        let rsa = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
        if let Ok(pair) = rsa {
            return Some(Self::Rsa(Box::new(pair)));
        }
        let elliptic = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, der)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, der))
        };
        if let Ok(pair) = elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Some(Self::P256(pair));
        }
        if let Ok(pair) = elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Some(Self::P384(pair));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        pair.ok().map(Self::Ed25519)
    }
}

fn rsa(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

/// The blocks of a PEM file (RFC 7468), each with its label. Line breaks may have been written as `\n`.
fn blocks(text: &str) -> Vec<(&str, Zeroizing<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = begun.split_once("-----") else {
            break;
        };
        let Some((body, after)) = body.split_once("-----END ") else {
            break;
        };
        let compact: Zeroizing<String> = Zeroizing::new(
            body.replace("\\n", "")
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect(),
        );
        found.extend(
            STANDARD
                .decode(compact.as_bytes())
                .ok()
                .map(|der| (label, Zeroizing::new(der))),
        );
        rest = after;
    }
    found
}

fn invalid(reason: &str) -> Error {
    Error::invalid_parameter("client_key_invalid", reason)
}
