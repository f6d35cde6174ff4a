//! The authorization request (RFC 6749 section 4.1.1) with PKCE (RFC 7636), and the callback that answers it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::hmac;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl};
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::client::Client;
use super::request::{Parameters, Values};
use super::{keep, scope};
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{
    self, CallbackRules, Pkce, RequestRules, SignatureAlgorithm, SignedMessage, Spec,
};
use crate::secret::{AuthorizationCode, PkceVerifier, Secret};

/// Random bytes of a state or nonce: 256 bits.
const RANDOM_BYTES: u32 = 32;

/// An authorization request: where to send the person, and what to remember until they come back.
#[derive(Clone)]
pub struct Authorization {
    /// The URL to open.
    pub url: Url,
    /// The state that the callback must repeat (RFC 6749 section 10.12).
    pub state: Secret,
    /// The verifier for the code exchange, where PKCE is used.
    pub verifier: Option<PkceVerifier>,
    /// The nonce that the ID token must repeat, where `openid` is asked for.
    pub nonce: Option<Secret>,
    /// What the URL carries, for a server that wants it beforehand.
    pub(super) parameters: Parameters,
}

impl fmt::Debug for Authorization {
    /// Without the query: the state stands in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authorization")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// Begins a sign-in.
///
/// # Errors
/// `InvalidParameter` where the provider has no authorization endpoint, or a URL is none.
pub fn begin(
    spec: &Spec,
    client_id: &str,
    has_secret: bool,
    redirect_uri: &str,
    scopes: &[String],
    resource: Option<&str>,
) -> Result<Authorization> {
    let endpoint = spec
        .endpoints
        .authorization_endpoint
        .as_deref()
        .ok_or_else(|| {
            let device = match super::device::is_offered(spec) {
                true => ", and a sign-in by a device code (RFC 8628) has no callback: use connect",
                false => "",
            };
            Error::invalid_parameter(
                "authorization_endpoint_missing",
                format!("{} has no authorization endpoint{device}", spec.name),
            )
        })?;
    let nonce = Secret::from(CsrfToken::new_random_len(RANDOM_BYTES).into_secret());
    // A vendor that is sent none repeats none.
    let wants_nonce = scopes.iter().any(|scope| scope == "openid")
        && !spec.authorization.omit.iter().any(|name| name == "nonce");
    let (challenge, verifier) = if sends_pkce(spec.pkce, has_secret) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        (Some(challenge), Some(verifier.into_secret()))
    } else {
        (None, None)
    };

    let mut parameters = Parameters::default();
    scope::set(
        &mut parameters,
        spec,
        "authorization",
        scopes,
        resource.unwrap_or_default(),
    );
    let (standard, state) = standard_url(spec, endpoint, client_id, redirect_uri, challenge)?;
    // What the endpoint has in its own query stays there.
    let own = parse(endpoint)?.query_pairs().count();
    for (name, value) in standard.query_pairs().skip(own) {
        parameters.set(&name, value.into_owned());
    }
    if spec.pkce_hex
        && let Some(verifier) = &verifier
    {
        parameters.set("code_challenge", hex_challenge(verifier));
    }
    if wants_nonce {
        parameters.set("nonce", nonce.expose());
    }
    let values = Values::new(spec, None)
        .with("client_id", Some(client_id))
        .with("redirect_uri", Some(redirect_uri))
        .with("scope", Some(&scope::join(spec, scopes)))
        .with("state", Some(state.expose()))
        .with("nonce", Some(nonce.expose()));
    parameters.deviate(
        &RequestRules {
            parameters: provider::scope::authorization_parameters(spec, scopes),
            rename: spec.authorization.rename.clone(),
            omit: spec.authorization.omit.clone(),
            ..RequestRules::default()
        },
        &values,
    )?;
    Ok(Authorization {
        url: carrying(spec, &parameters)?,
        state,
        verifier: verifier.map(PkceVerifier::from),
        nonce: wants_nonce.then_some(nonce),
        parameters,
    })
}

/// What came back in the query of a redirect URI (RFC 6749 section 4.1.2).
#[derive(Clone)]
pub struct Callback {
    /// The state, if there is one.
    pub state: Option<Secret>,
    /// All parameters, the state and the code included.
    pub parameters: BTreeMap<String, String>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Callback")
            .field("parameters", &self.parameters.keys())
            .finish_non_exhaustive()
    }
}

impl Callback {
    /// Reads a callback URL, a path with a query, or a query alone, as a person may paste them.
    ///
    /// # Errors
    /// `ConnectFailed` for a parameter that stands twice (RFC 6749 section 3.1), and for a text without any.
    pub fn parse(url: &str) -> Result<Self> {
        let url = url.trim();
        let before_fragment = url.split('#').next().unwrap_or_default();
        let query = before_fragment
            .split_once('?')
            .map_or(before_fragment, |(_, query)| query);
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parameters
                .insert(name.into_owned(), value.into_owned())
                .is_some()
            {
                return Err(failed(
                    "callback_duplicate_parameter",
                    "a parameter stands twice in the callback URL",
                ));
            }
        }
        if parameters.values().all(String::is_empty) {
            return Err(failed(
                "callback_empty",
                "the callback URL has no parameters",
            ));
        }
        let state = parameters
            .get("state")
            .map(|state| Secret::from(state.as_str()));
        Ok(Self { state, parameters })
    }

    /// The authorization code, under the vendor's name of it.
    pub fn code(&self, rules: &CallbackRules) -> Option<AuthorizationCode> {
        self.get(rules, "code").map(AuthorizationCode::from)
    }

    /// The error (RFC 6749 section 4.1.2.1) and its description, cleaned.
    pub fn error(&self, rules: &CallbackRules) -> Option<(String, Option<String>)> {
        let error = super::clean(self.get(rules, "error")?, &[]);
        let description = self
            .get(rules, "error_description")
            .map(|text| super::clean(text, &[]));
        Some((error, description))
    }

    /// The issuer that answered (RFC 9207), if it says.
    pub fn issuer(&self) -> Option<&str> {
        self.parameters.get("iss").map(String::as_str)
    }

    /// Checks the issuer (RFC 9207 section 2.4): the one expected when it is named, and named when that was promised.
    ///
    /// # Errors
    /// `ConnectFailed`: the answer is another server's, a mix-up attack.
    pub fn check_issuer(&self, expected: Option<&str>, promised: bool) -> Result<()> {
        match (self.issuer(), expected) {
            (Some(issuer), Some(expected)) if issuer != expected => Err(failed(
                "issuer_mismatch",
                &format!(
                    "the callback comes from {}, and {expected} was asked (RFC 9207)",
                    super::clean(issuer, &[])
                ),
            )),
            (None, Some(_)) if promised => Err(failed(
                "issuer_missing",
                "the callback names no issuer, which its server promised to do (RFC 9207)",
            )),
            _ => Ok(()),
        }
    }

    /// Checks the vendor's signature, where its callbacks are signed.
    ///
    /// # Errors
    /// `ConnectFailed`: it is missing or wrong, or there is no key to check it by.
    pub fn check_signature(&self, spec: &Spec, client: &Client<'_>) -> Result<()> {
        let Some(rules) = &spec.callback.signature else {
            return Ok(());
        };
        let SignatureAlgorithm::HmacSha256 = rules.algorithm;
        let SignedMessage::SortedParameters = rules.message;
        let key = Values::new(spec, Some(client)).fill(&rules.key)?;
        let signature = self.parameters.get(&rules.parameter);
        let (Some(key), Some(signature)) = (key, signature) else {
            return Err(unsigned());
        };
        let signed = self
            .parameters
            .iter()
            .filter(|(name, _)| **name != rules.parameter);
        // The map is sorted. Vendors write what needs no encoding plainly, and differ in the rest: both are the same query.
        let plain: Vec<String> = signed
            .clone()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let encoded = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(signed)
            .finish();
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        let signature = unhex(signature).ok_or_else(unsigned)?;
        let is_signed = [plain.join("&"), encoded]
            .iter()
            .any(|message| hmac::verify(&key, message.as_bytes(), &signature).is_ok());
        if is_signed { Ok(()) } else { Err(unsigned()) }
    }

    /// The values that the provider file keeps from a callback, by name.
    pub fn kept(&self, rules: &CallbackRules) -> BTreeMap<String, String> {
        keep::from_callback(&rules.keep, &self.parameters)
    }

    fn get(&self, rules: &CallbackRules, standard: &str) -> Option<&str> {
        let name = rules.rename.get(standard).map_or(standard, String::as_str);
        self.parameters
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// PKCE always, unless the provider breaks on it, or takes it for the mark of a public client and this one has a secret.
fn sends_pkce(pkce: Pkce, has_secret: bool) -> bool {
    match pkce {
        Pkce::Never => false,
        Pkce::PublicClients => !has_secret,
        Pkce::Required | Pkce::Supported | Pkce::Tolerated | Pkce::Unknown => true,
    }
}

/// The standard request, and its state.
fn standard_url(
    spec: &Spec,
    endpoint: &str,
    client_id: &str,
    redirect_uri: &str,
    challenge: Option<PkceCodeChallenge>,
) -> Result<(Url, Secret)> {
    let unusable =
        |_| Error::invalid_parameter("authorization_url", "the authorization endpoint is no URL");
    let client = BasicClient::new(ClientId::new(client_id.to_owned()))
        .set_auth_uri(AuthUrl::new(endpoint.to_owned()).map_err(unusable)?);
    let mut request = client.authorize_url(|| random_state(spec));
    // Some vendors take a name instead of a URI: it is set as it is, below.
    let redirect_url = RedirectUrl::new(redirect_uri.to_owned());
    request = match redirect_url {
        Ok(url) => request.set_redirect_uri(Cow::Owned(url)),
        Err(_) => request.add_extra_param("redirect_uri", redirect_uri.to_owned()),
    };
    if let Some(challenge) = challenge {
        request = request.set_pkce_challenge(challenge);
    }
    let (url, state) = request.url();
    Ok((url, Secret::from(state.into_secret())))
}

/// Base64url of random bytes, as long as the provider wants it.
fn random_state(spec: &Spec) -> CsrfToken {
    let length = spec
        .callback
        .state
        .as_ref()
        .and_then(|state| state.min_length)
        .unwrap_or(0);
    let bytes = u32::try_from(length.div_ceil(4).saturating_mul(3)).unwrap_or(u32::MAX);
    CsrfToken::new_random_len(bytes.clamp(RANDOM_BYTES, 1024))
}

fn unsigned() -> Error {
    failed(
        "callback_signature",
        "the callback does not bear the provider's signature",
    )
}

/// The bytes of hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn hex_challenge(verifier: &str) -> String {
    Sha256::digest(verifier.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The URL of the authorization endpoint that carries `parameters` where its page reads them.
pub(super) fn carrying(spec: &Spec, parameters: &Parameters) -> Result<Url> {
    let endpoint = spec.endpoints.authorization_endpoint.as_deref();
    let endpoint = endpoint.unwrap_or_default();
    if spec.authorization.fragment {
        behind_fragment(endpoint, parameters)
    } else {
        in_query(endpoint, parameters)
    }
}

fn in_query(endpoint: &str, parameters: &Parameters) -> Result<Url> {
    let mut url = parse(endpoint)?;
    url.query_pairs_mut().extend_pairs(
        parameters
            .iter()
            .map(|(name, value)| (name, value.expose())),
    );
    Ok(url)
}

/// The query behind the `#` (a vendor's deviation), where a page of theirs reads it.
fn behind_fragment(endpoint: &str, parameters: &Parameters) -> Result<Url> {
    let pairs = parameters
        .iter()
        .map(|(name, value)| (name, value.expose()));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let (page, fragment) = endpoint.split_once('#').unwrap_or((endpoint, ""));
    let mut url = parse(page)?;
    url.set_fragment(Some(&format!("{fragment}?{query}")));
    Ok(url)
}

fn parse(endpoint: &str) -> Result<Url> {
    Url::parse(endpoint).map_err(|_| {
        Error::invalid_parameter("authorization_url", "the authorization endpoint is no URL")
    })
}

fn failed(code: &'static str, reason: &str) -> Error {
    Error::new(ErrorKind::ConnectFailed, code, reason)
}
