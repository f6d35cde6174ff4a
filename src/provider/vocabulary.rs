//! The fields of a provider file that are no request, by the names that files give them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a client authenticates at the token endpoint (RFC 7591 section 2, `token_endpoint_auth_method`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ClientAuthentication {
    ClientSecretBasic,
    ClientSecretPost,
    ClientSecretJwt,
    PrivateKeyJwt,
    TlsClientAuth,
    None,
    Custom,
    Bearer,
}

/// How clients of a provider authenticate and are registered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ClientRules {
    pub authentication: Vec<ClientAuthentication>,
    pub registration: Vec<Registration>,
    pub fixed: Option<FixedClient>,
    pub secret_lifetime: Option<f64>,
    pub id_pattern: Option<String>,
    /// Beginnings of the provider's tokens, by what they are.
    pub token_prefixes: BTreeMap<String, String>,
    pub assertion: Option<AssertionRules>,
    pub note: Option<String>,
}

/// How a client comes to its id.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Registration {
    Dynamic,
    MetadataUrl,
    Static,
}

/// What is asked for metadata.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryFrom {
    /// An authorization server (RFC 8414).
    Issuer,
    /// A resource, which names its authorization server (RFC 9728).
    ProtectedResource,
}

/// How an assertion is signed (RFC 7523).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AssertionRules {
    #[serde(rename = "use", deserialize_with = "super::words::assertion_use")]
    pub usage: Option<String>,
    pub optional: Option<bool>,
    #[serde(deserialize_with = "super::words::assertion_key")]
    pub key: Option<String>,
    pub algorithms: Vec<String>,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub audience: Option<String>,
    pub claims: BTreeMap<String, String>,
    pub lifetime: Option<f64>,
    pub client_authentication: Option<ClientAuthentication>,
    pub note: Option<String>,
}

/// One public client that everyone uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FixedClient {
    pub client_id: String,
    pub client_secret: Option<String>,
}

/// Whether PKCE (RFC 7636) is sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Pkce {
    Required,
    Supported,
    Tolerated,
    #[default]
    Unknown,
    PublicClients,
    Never,
}

/// The authorization request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AuthorizationRules {
    pub parameters: BTreeMap<String, String>,
    pub optional: BTreeMap<String, String>,
    pub rename: BTreeMap<String, String>,
    pub omit: Vec<String>,
    pub fragment: bool,
    /// The request is pushed first (RFC 9126).
    pub pushed: bool,
    pub note: Option<String>,
}

/// The callback.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct CallbackRules {
    /// `{code: auth_code}`: the vendor's name of a standard parameter.
    pub rename: BTreeMap<String, String>,
    pub keep: BTreeMap<String, serde_json::Value>,
    pub signature: Option<SignatureRules>,
    /// Stands beside `callback` in a file.
    #[serde(skip)]
    pub state: Option<StateRules>,
    pub note: Option<String>,
}

/// How the vendor signs callbacks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureRules {
    /// The parameter that holds the signature, in hexadecimal digits.
    pub parameter: String,
    /// How it is made.
    pub algorithm: SignatureAlgorithm,
    /// The template of the key.
    pub key: String,
    /// What is signed.
    pub message: SignedMessage,
}

/// How a callback is signed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub enum SignatureAlgorithm {
    /// RFC 2104 over SHA-256.
    #[serde(rename = "HMAC-SHA256")]
    HmacSha256,
}

/// What of a callback is signed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedMessage {
    /// All parameters but the signature, as a query sorted by their names.
    SortedParameters,
}

/// The state parameter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct StateRules {
    pub min_length: Option<usize>,
    pub note: Option<String>,
}

/// Which redirect URIs a client may register.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RedirectRules {
    /// How the URI is compared with the registered one: `exact` (default), `prefix`, `host` or `any`.
    #[serde(rename = "match", deserialize_with = "super::words::redirect_match")]
    pub comparison: Option<String>,
    /// Loopback hosts accepted over http.
    pub loopback: Vec<String>,
    /// A loopback port may differ from the registered one (RFC 8252 section 7.3).
    pub any_port: bool,
    /// Plain http is accepted elsewhere too.
    pub http: bool,
    /// The redirect URI is a name, not a URI.
    pub opaque: bool,
    pub out_of_band: Option<String>,
    pub note: Option<String>,
}

impl RedirectRules {
    /// The redirect URI to register unless the user configures one: loopback on any free port (RFC 8252 section 7.3),
    /// under the name of it that the provider accepts.
    pub fn by_default(&self) -> String {
        // Not localhost where there is a choice: it may resolve to another address (RFC 8252 section 8.3).
        let literal = self.loopback.iter().find(|host| *host == "127.0.0.1");
        let host = literal
            .or(self.loopback.first())
            .map_or("127.0.0.1", String::as_str);
        format!("http://{host}/callback")
    }
}

/// Which scopes may be asked for, and how they are written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ScopeRules {
    pub base: Vec<String>,
    pub suggested: BTreeMap<String, String>,
    pub if_supported: Vec<String>,
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
    /// A granted scope: the scopes that it includes, or by which names they are asked for.
    pub implies: BTreeMap<String, Vec<String>>,
    /// Between the scopes of a request; a space unless told.
    #[serde(deserialize_with = "super::words::separator")]
    pub separator: Option<String>,
    /// Between the scopes of a reply; space and comma are both read unless told.
    #[serde(deserialize_with = "super::words::separator")]
    pub reply_separator: Option<String>,
    /// `false`: no scope parameter.
    pub sent: Option<bool>,
    pub set_on_app: Option<bool>,
    pub omit_empty: Option<bool>,
    pub note: Option<String>,
}

/// Access tokens of several resources from one grant (RFC 8707 and its relatives).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ResourceRules {
    /// `resource`, `audience`, or `scope` (a prefix of scopes).
    #[serde(deserialize_with = "super::words::resource_parameter")]
    pub parameter: Option<String>,
    pub default: Option<String>,
    /// Other spellings of `default`.
    pub aliases: Vec<String>,
    pub sent_in: Vec<String>,
    pub others: BTreeMap<String, OtherResource>,
    pub note: Option<String>,
}

/// Another resource of a grant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct OtherResource {
    pub value: Option<String>,
    pub scopes: Vec<String>,
    pub hosts: Vec<String>,
    pub note: Option<String>,
}

/// One path or several, tried in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a path or a list of paths")]
#[allow(missing_docs)]
pub enum Paths {
    One(String),
    Several(Vec<String>),
}

impl Paths {
    /// The paths in the order tried.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// How the token endpoint's reply is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ReplyRules {
    pub root: Option<String>,
    /// Where `access_token`, `refresh_token`, `token_type`, `scope`, `id_token` are; absent ones at their own names.
    pub fields: BTreeMap<String, Paths>,
    /// Statuses of success; empty: all 2xx.
    pub status: Vec<u16>,
    pub success: Option<SuccessRule>,
    pub error: Option<Paths>,
    pub error_description: Option<Paths>,
    pub expires: ExpiresRule,
    pub refresh_expires: Option<ExpiresRule>,
    pub issued_at: Option<ExpiresRule>,
    /// The provider sends no `token_type`.
    pub token_type_missing: Option<bool>,
    pub keep: BTreeMap<String, serde_json::Value>,
    pub note: Option<String>,
}

/// Errors inside HTTP 200.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SuccessRule {
    pub path: String,
    pub equals: serde_json::Value,
}

/// Where an expiry is and in what unit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ExpiresRule {
    /// `reply` (default), `jwt`, `introspection` or `none`.
    #[serde(deserialize_with = "super::words::expires_source")]
    pub source: Option<String>,
    pub path: Option<Paths>,
    /// `seconds` (default), `milliseconds`, `unix`, `unix_ms` or `iso8601`.
    #[serde(deserialize_with = "super::words::expires_unit")]
    pub unit: Option<String>,
    pub never: Vec<serde_json::Value>,
    pub may_be_missing: Option<bool>,
    pub note: Option<String>,
}

/// A lifetime: seconds, or for ever.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected seconds or `never`")]
#[allow(missing_docs)]
pub enum Lifetime {
    Seconds(f64),
    Never(Never),
}

/// The word for "it does not end".
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Never {
    Never,
}

/// Until when a provider answers with the token it gave before.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "expected true, false or seconds")]
pub enum SameUntilExpiry {
    /// Until it ends, or not at all.
    Whole(bool),
    /// Until so many seconds before it ends.
    Seconds(f64),
}

/// Lifetimes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Lifetimes {
    pub access_token: Option<Lifetime>,
    pub access_token_range: Option<Vec<f64>>,
    pub access_token_idle: Option<f64>,
    pub assumed: Option<f64>,
    pub refresh_token: Option<Lifetime>,
    pub refresh_token_idle: Option<f64>,
    pub code: Option<f64>,
    pub margin_cap: Option<f64>,
    pub min_age: Option<f64>,
    pub same_until_expiry: Option<SameUntilExpiry>,
    pub exclusive: Option<bool>,
    pub note: Option<String>,
}

/// The API that the token is for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ApiRules {
    pub hosts: Vec<String>,
    pub base_url: Option<String>,
    pub token_header: Option<String>,
    pub token_scheme: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub note: Option<String>,
}

/// What a reply of the API means for the token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ExpirySignal {
    pub status: Option<u16>,
    pub path: Option<String>,
    pub equals: Option<serde_json::Value>,
    pub header: Option<String>,
    pub body: Option<String>,
    /// `expired`, `scope`, `consent` or `other`.
    pub means: Meaning,
    pub sample: Option<String>,
    pub note: Option<String>,
}

/// What a refusal of the API says about the token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Meaning {
    /// A person has to consent.
    Consent,
    /// The token has to be replaced.
    Expired,
    Other,
    /// A scope is missing.
    Scope,
}

/// An error code in plain words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ErrorMeaning {
    pub meaning: String,
    #[serde(default)]
    pub condemns: Condemns,
    #[serde(rename = "where")]
    pub at: Option<Paths>,
    pub status: Option<u16>,
    pub action: Option<String>,
}

/// What an error code condemns. Tokens are kept in any case.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Condemns {
    Client,
    Grant,
    #[default]
    Nothing,
    Resource,
}

/// How to register an application at the provider.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Setup {
    pub console_url: Option<String>,
    pub menu: Option<String>,
    pub app_type: Option<String>,
    pub steps: Vec<String>,
    pub credentials_at: Option<String>,
    pub admin_consent: Option<String>,
}
