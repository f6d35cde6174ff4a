//! Providers as data: the vocabulary of a provider file, typed, and the [`Spec`] of one grant type made from it.
//!
//! Nothing here sends anything. `catalog` reads and merges files, `parameters` fills templates, `scope` and `hosts` judge.

pub mod catalog;
pub mod hosts;
pub mod parameters;
pub mod scope;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::GrantType;

/// One grant type of a provider, with parameters filled in and the user's overrides applied: all that the protocol needs.
///
/// Every URL in it has been judged (https, or http to a loopback literal that the user gave; no userinfo, no fragment).
#[derive(Clone, Debug)]
pub struct Spec {
    /// The provider's id.
    pub id: String,
    /// The provider's name, for people.
    pub name: String,
    /// The grant type.
    pub grant_type: GrantType,
    /// Parameter values, choices resolved, by name: what templates are filled with.
    pub values: BTreeMap<String, String>,
    /// Endpoints.
    pub endpoints: Endpoints,
    /// How clients authenticate.
    pub client: ClientRules,
    /// Whether PKCE is sent.
    pub pkce: Pkce,
    /// The challenge is hex instead of base64url (a vendor's deviation).
    pub pkce_hex: bool,
    /// The authorization request.
    pub authorization: AuthorizationRules,
    /// The callback.
    pub callback: CallbackRules,
    /// The code exchange, or the client credentials request, over the defaults of every token request.
    pub token: RequestRules,
    /// The refresh, over the same defaults; `None`: the provider gives no refresh token.
    pub refresh: Option<RefreshRules>,
    /// Scopes.
    pub scopes: ScopeRules,
    /// Resources.
    pub resource: Option<ResourceRules>,
    /// The token endpoint's reply.
    pub reply: ReplyRules,
    /// Lifetimes in seconds.
    pub lifetimes: Lifetimes,
    /// The API.
    pub api: ApiRules,
    /// How to look up the account; `None`: the userinfo endpoint with `email`, `name`, `sub`, if there is one.
    pub account: Option<AccountRules>,
    /// What a refused token looks like; empty: any 401 of an API host.
    pub expiry_signals: Vec<ExpirySignal>,
    /// Error codes in plain words, and what they condemn.
    pub errors: BTreeMap<String, ErrorMeaning>,
    /// Revocation.
    pub revocation: RevocationRules,
    /// How to register an application.
    pub setup: Setup,
    /// Whether the user named the endpoints or the issuer (then their hosts may be private).
    pub user_endpoints: bool,
}

/// Endpoints by their RFC 8414 names.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Endpoints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_url: Option<String>,
}

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
    pub registration: Option<String>,
    pub fixed: Option<FixedClient>,
    pub secret_lifetime: Option<f64>,
    pub id_pattern: Option<String>,
    pub token_prefixes: Vec<String>,
    pub assertion: Option<serde_json::Value>,
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
    pub signature: Option<serde_json::Value>,
    pub state: Option<StateRules>,
    pub note: Option<String>,
}

/// The state parameter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct StateRules {
    pub min_length: Option<usize>,
    pub note: Option<String>,
}

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Body {
    #[default]
    Form,
    Json,
    None,
    Query,
    Xml,
}

/// What differs from the standard request: the one shape of code exchange, refresh, revocation and look-ups.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RequestRules {
    pub url: Option<String>,
    pub method: Option<String>,
    pub body: Option<Body>,
    pub authentication: Option<ClientAuthentication>,
    pub headers: BTreeMap<String, String>,
    pub parameters: BTreeMap<String, String>,
    pub optional: BTreeMap<String, String>,
    pub rename: BTreeMap<String, String>,
    pub omit: Vec<String>,
    pub note: Option<String>,
}

/// The refresh.
#[derive(Clone, Debug, Default)]
pub struct RefreshRules {
    /// The request.
    pub request: RequestRules,
    /// Whether each use returns a new refresh token.
    pub rotates: Rotates,
    /// How long the old one still works.
    pub grace: Grace,
    /// Scopes that make the provider give one (`offline_access`).
    pub requires_scope: Option<String>,
    /// Authorization parameters that make the provider give one.
    pub requires_parameters: BTreeMap<String, String>,
    /// A setting of the application that makes the provider give one, in words.
    pub requires_app_setting: Option<String>,
}

/// Whether a refresh returns a new refresh token.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Rotates {
    Always,
    AppSetting,
    Never,
    PublicClients,
    Sometimes,
    #[default]
    Unknown,
}

impl Rotates {
    /// Whether a lost reply can lose the grant: all but `never`.
    pub fn possible(self) -> bool {
        self != Self::Never
    }
}

/// How long a used refresh token still works.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Grace {
    /// Not at all, or not known.
    #[default]
    None,
    /// So many seconds.
    Seconds(f64),
    /// Until the new one is used.
    FirstUse,
    /// For ever.
    Unlimited,
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
    /// Between the scopes of a request; a space unless told.
    pub separator: Option<String>,
    /// Between the scopes of a reply; space and comma are both read unless told.
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
    pub parameter: Option<String>,
    pub default: Option<String>,
    pub aliases: BTreeMap<String, String>,
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
#[serde(untagged)]
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
    pub status: Option<u16>,
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
    pub source: Option<String>,
    pub path: Option<Paths>,
    /// `seconds` (default), `milliseconds`, `unix`, `unix_ms` or `iso8601`.
    pub unit: Option<String>,
    pub never: Vec<serde_json::Value>,
    pub may_be_missing: Option<bool>,
    pub note: Option<String>,
}

/// A lifetime: seconds, or for ever.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Lifetime {
    Seconds(f64),
    Never(String),
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
    pub same_until_expiry: Option<serde_json::Value>,
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

/// How to look up the account.
#[derive(Clone, Debug, Default)]
pub struct AccountRules {
    /// The request; its `url` is set when `source` is `reply`'s alternative, a request.
    pub request: RequestRules,
    /// `reply`, `id_token` or `key` instead of a request.
    pub source: Option<String>,
    /// Paths of email, name, id, workspace, workspace_id.
    pub fields: BTreeMap<String, Paths>,
    /// Scopes without which the request is refused, in words.
    pub needs_scope: Option<String>,
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
    pub means: String,
    pub sample: Option<String>,
    pub note: Option<String>,
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
    pub at: Option<serde_json::Value>,
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

/// How a token is revoked.
#[derive(Clone, Debug, Default)]
pub struct RevocationRules {
    /// `rfc7009`, `custom` or `none`; by default `rfc7009` if there is an endpoint.
    pub kind: RevocationKind,
    /// The request.
    pub request: RequestRules,
    /// Which token is sent: `refresh_token`, `access_token` or `either`.
    pub token: Option<String>,
    /// The status of success, 2xx unless told.
    pub success: Option<u16>,
    /// What else ends.
    pub effect: Option<String>,
    /// What a person can do.
    pub manual: Option<String>,
}

/// The kind of a revocation.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RevocationKind {
    Custom,
    #[default]
    None,
    Rfc7009,
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

/// What a user's configuration changes in a [`Spec`]; every field `None` or empty leaves the file's word.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Overrides {
    pub parameters: BTreeMap<String, String>,
    pub endpoints: Endpoints,
    /// Endpoints that discovery found for the issuer that the user named (they never override `endpoints`).
    pub discovered: Endpoints,
    pub client_authentication: Option<ClientAuthentication>,
    pub api_hosts: Vec<String>,
    pub authorization_parameters: BTreeMap<String, String>,
    pub token_parameters: BTreeMap<String, String>,
    pub scope_separator: Option<String>,
    pub pkce: Option<bool>,
}
