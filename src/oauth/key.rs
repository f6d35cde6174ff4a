//! Keys that sign assertions: in PEM, as a JWK, or in the JSON of a service account; and secrets that sign.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::provider::AssertionRules;
use crate::secret::ClientSecret;

/// The JSON key of a service account, as Google's console makes it.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    #[serde(rename = "type")]
    kind: String,
    pub(super) client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// The JSON key of a service account, where the text is one.
pub(super) fn service_account(text: &str) -> Option<ServiceAccount> {
    serde_json::from_str(text).ok()
}

/// A private JSON Web Key.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t: Option<String>,
    n: Option<Member>,
    e: Option<Member>,
    d: Option<Member>,
    p: Option<Member>,
    q: Option<Member>,
    dp: Option<Member>,
    dq: Option<Member>,
    qi: Option<Member>,
    x: Option<Member>,
    y: Option<Member>,
}

/// A member of a key in base64url, wiped when it is dropped.
struct Member(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        bytes
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .map_err(|_| D::Error::custom("no base64url"))
    }
}

impl AsRef<[u8]> for Member {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A secret that both sides know, as the key of a signature.
pub(super) struct SharedKey {
    /// The algorithm that it signs by (RFC 7518 section 3.2).
    pub(super) algorithm: &'static str,
    key: hmac::Key,
}

impl SharedKey {
    /// The key for the first algorithm of `taken` that there is: HS256 where none is named.
    pub(super) fn of(secret: &ClientSecret, taken: &[String]) -> Self {
        let known = [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ];
        let wanted = taken
            .iter()
            .find_map(|taken| known.iter().find(|(name, _)| name == taken));
        let (algorithm, hash) = *wanted.unwrap_or(&known[0]);
        Self {
            algorithm,
            key: hmac::Key::new(hash, secret.expose().as_bytes()),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key, message).as_ref().to_vec()
    }
}

/// A private key, and what is known with it.
pub(super) struct Key {
    pair: Pair,
    /// Its `kid`.
    pub(super) id: Option<String>,
    /// Of the certificate that stands beside the key (RFC 7515 section 4.1.8).
    pub(super) thumbprint: Option<String>,
    /// Whose key it is, where it is one of a service account.
    pub(super) client_email: Option<String>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// Reads the key that a client has as its secret.
    pub(super) fn read(
        rules: &AssertionRules,
        secret: &ClientSecret,
        token_endpoint: Option<&str>,
    ) -> Result<Self> {
        match rules.key.as_deref() {
            Some("service_account_json") => {
                Self::of_service_account(secret.expose(), token_endpoint)
            }
            Some("secret_jwk") => Self::of_jwk(secret.expose()),
            _ if secret.expose().trim_start().starts_with('{') => Self::of_jwk(secret.expose()),
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

    /// A private JSON Web Key (RFC 7517; its members stand in RFC 7518 section 6 and RFC 8037 section 2).
    fn of_jwk(text: &str) -> Result<Self> {
        let key: Jwk = serde_json::from_str(text)
            .map_err(|_| invalid("the client secret is no JSON Web Key (RFC 7517)"))?;
        let pair = Pair::of_jwk(&key).ok_or_else(|| {
            invalid("the JSON Web Key is no private key (RSA, P-256, P-384 or Ed25519), or it is not whole")
        })?;
        Ok(Self {
            pair,
            id: key.kid,
            thumbprint: key.x5t,
            client_email: None,
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
    pub(super) fn algorithm(&self, taken: &[String]) -> Result<&'static str> {
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

    pub(super) fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
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
    fn of_jwk(key: &Jwk) -> Option<Self> {
        let whole = |bytes: &'static str, width| match key.crv.as_deref() {
            Some(curve) if curve == bytes => Some(width),
            _ => None,
        };
        match key.kty.as_str() {
            "RSA" => {
                let components = KeyPairComponents {
                    public_key: PublicKeyComponents {
                        n: without_zeros(key.n.as_ref()?),
                        e: without_zeros(key.e.as_ref()?),
                    },
                    d: key.d.as_ref()?.as_ref(),
                    p: key.p.as_ref()?.as_ref(),
                    q: key.q.as_ref()?.as_ref(),
                    dP: key.dp.as_ref()?.as_ref(),
                    dQ: key.dq.as_ref()?.as_ref(),
                    qInv: key.qi.as_ref()?.as_ref(),
                };
                let pair = RsaKeyPair::from_components(&components);
                pair.ok().map(|pair| Self::Rsa(Box::new(pair)))
            }
            "EC" => {
                let width = whole("P-256", 32).or(whole("P-384", 48))?;
                let (x, y) = (key.x.as_ref()?, key.y.as_ref()?);
                if x.0.len() != width || y.0.len() != width {
                    return None;
                }
                // Uncompressed (SEC 1 section 2.3.3).
                let public = [&[4], x.as_ref(), y.as_ref()].concat();
                let private = key.d.as_ref()?.as_ref();
                let pair = |algorithm| {
                    EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, &public).ok()
                };
                if width == 32 {
                    pair(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::P256)
                } else {
                    pair(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Self::P384)
                }
            }
            "OKP" => {
                whole("Ed25519", 32)?;
                let (seed, public) = (key.d.as_ref()?, key.x.as_ref()?);
                let pair = Ed25519KeyPair::from_seed_and_public_key(&seed.0, &public.0);
                pair.ok().map(Self::Ed25519)
            }
            _ => None,
        }
    }

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

/// A number without the zeros that may stand before it.
fn without_zeros(number: &Member) -> &[u8] {
    let zeros = number.0.iter().take_while(|byte| **byte == 0).count();
    &number.0[zeros..]
}

/// A key that can't be used, and why.
pub(super) fn invalid(reason: &str) -> Error {
    Error::invalid_parameter("client_key_invalid", reason)
}
