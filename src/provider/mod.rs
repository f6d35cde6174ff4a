//! Providers as data: the vocabulary of a provider file, typed, and the [`Spec`] of one grant type made from it.
//!
//! Nothing here sends anything. `catalog` finds providers, `file` reads and merges their files, `spec` makes a [`Spec`],
//! `parameters` fills templates, `scope` and `hosts` judge, `check` says what is wrong with a file.

pub mod catalog;
pub mod check;
mod file;
pub mod hosts;
pub mod parameters;
pub mod scope;
mod spec;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::GrantType;

/// One grant type of a provider, with parameters filled in and the user's overrides applied: all that the protocol needs.
///
/// Every endpoint in it has been judged (https, or http to a loopback literal that the user gave; no userinfo, no
/// fragment). The `url` of a request may still hold placeholders that only a sign-in fills.
#[derive(Clone)]
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
    /// Which redirect URIs may be registered.
    pub redirect: RedirectRules,
    /// The code exchange, or the client credentials request, over the defaults of every token request.
    pub token: RequestRules,
    /// The refresh, over the same defaults; `None`: the provider gives no refresh token.
    pub refresh: Option<RefreshRules>,
    /// The device authorization request (RFC 8628); `None`: the provider does not offer it.
    pub device: Option<DeviceRules>,
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

impl fmt::Debug for Spec {
    /// Leaves out `values` and the added parameters: the user may have marked some as secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Spec")
            .field("id", &self.id)
            .field("grant_type", &self.grant_type)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
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

impl Endpoints {
    /// Every endpoint with its name, in a fixed order.
    pub fn named(&self) -> [(&'static str, Option<&String>); 11] {
        [
            ("issuer", self.issuer.as_ref()),
            (
                "authorization_endpoint",
                self.authorization_endpoint.as_ref(),
            ),
            ("token_endpoint", self.token_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
            (
                "introspection_endpoint",
                self.introspection_endpoint.as_ref(),
            ),
            ("userinfo_endpoint", self.userinfo_endpoint.as_ref()),
            (
                "device_authorization_endpoint",
                self.device_authorization_endpoint.as_ref(),
            ),
            ("registration_endpoint", self.registration_endpoint.as_ref()),
            (
                "pushed_authorization_request_endpoint",
                self.pushed_authorization_request_endpoint.as_ref(),
            ),
            ("end_session_endpoint", self.end_session_endpoint.as_ref()),
            ("metadata_url", self.metadata_url.as_ref()),
        ]
    }

    /// The endpoint of that name, to be set; `None` when no endpoint has it.
    pub fn named_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "issuer" => &mut self.issuer,
            "authorization_endpoint" => &mut self.authorization_endpoint,
            "token_endpoint" => &mut self.token_endpoint,
            "revocation_endpoint" => &mut self.revocation_endpoint,
            "introspection_endpoint" => &mut self.introspection_endpoint,
            "userinfo_endpoint" => &mut self.userinfo_endpoint,
            "device_authorization_endpoint" => &mut self.device_authorization_endpoint,
            "registration_endpoint" => &mut self.registration_endpoint,
            "pushed_authorization_request_endpoint" => {
                &mut self.pushed_authorization_request_endpoint
            }
            "end_session_endpoint" => &mut self.end_session_endpoint,
            "metadata_url" => &mut self.metadata_url,
            _ => return None,
        })
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, url)| url.is_none())
    }
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

/// How an assertion is signed (RFC 7523). Read and kept; signing comes later.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AssertionRules {
    #[serde(rename = "use")]
    pub usage: Option<String>,
    pub optional: Option<bool>,
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
    /// Stands beside `callback` in a file.
    #[serde(skip)]
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

/// Which redirect URIs a client may register.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RedirectRules {
    /// How the URI is compared with the registered one: `exact` (default), `prefix`, `host` or `any`.
    #[serde(rename = "match")]
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
    #[serde(deserialize_with = "texts")]
    pub parameters: BTreeMap<String, String>,
    pub optional: BTreeMap<String, String>,
    pub rename: BTreeMap<String, String>,
    pub omit: Vec<String>,
    pub note: Option<String>,
}

/// Parameters of a request: a number or a truth value counts as its text.
fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text, a number or true or false")]
    enum Text {
        Flag(bool),
        Number(serde_json::Number),
        Text(String),
    }
    let texts = BTreeMap::<String, Text>::deserialize(deserializer)?;
    Ok(texts
        .into_iter()
        .map(|(name, text)| match text {
            Text::Flag(flag) => (name, flag.to_string()),
            Text::Number(number) => (name, number.to_string()),
            Text::Text(text) => (name, text),
        })
        .collect())
}

/// Defines a struct that is a request with more fields, as files write it: in one flat map.
///
/// `#[serde(flatten)]` would do, but with it serde no longer refuses unknown fields.
macro_rules! request_with {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct $name {
            url: Option<String>,
            method: Option<String>,
            body: Option<Body>,
            authentication: Option<ClientAuthentication>,
            headers: BTreeMap<String, String>,
            #[serde(deserialize_with = "texts")]
            parameters: BTreeMap<String, String>,
            optional: BTreeMap<String, String>,
            rename: BTreeMap<String, String>,
            omit: Vec<String>,
            note: Option<String>,
            $($(#[$field_meta])* $field: $type,)*
        }

        impl $name {
            /// The request itself, taken out.
            fn request(&mut self) -> RequestRules {
                RequestRules {
                    url: self.url.take(),
                    method: self.method.take(),
                    body: self.body,
                    authentication: self.authentication,
                    headers: std::mem::take(&mut self.headers),
                    parameters: std::mem::take(&mut self.parameters),
                    optional: std::mem::take(&mut self.optional),
                    rename: std::mem::take(&mut self.rename),
                    omit: std::mem::take(&mut self.omit),
                    note: self.note.take(),
                }
            }
        }
    };
}

request_with! {
    /// `refresh` as files write it.
    RefreshFile {
        rotates: Rotates,
        grace: Grace,
        single_use: bool,
        replay_revokes: bool,
        ends_access_token: Option<EndsAccessToken>,
        uses: Option<String>,
        issued: Option<String>,
        requires: RefreshRequires,
    }
}

/// `refresh.requires` as files write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RefreshRequires {
    scope: Option<String>,
    parameters: BTreeMap<String, String>,
    app_setting: Option<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

impl From<RefreshFile> for RefreshRules {
    fn from(mut file: RefreshFile) -> Self {
        Self {
            request: file.request(),
            rotates: file.rotates,
            grace: file.grace,
            single_use: file.single_use,
            replay_revokes: file.replay_revokes,
            ends_access_token: file.ends_access_token,
            uses_access_token: file.uses.as_deref() == Some("access_token"),
            issued: file.issued,
            requires_scope: file.requires.scope,
            requires_parameters: file.requires.parameters,
            requires_app_setting: file.requires.app_setting,
        }
    }
}

/// The refresh.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "RefreshFile")]
pub struct RefreshRules {
    /// The request.
    pub request: RequestRules,
    /// Whether each use returns a new refresh token.
    pub rotates: Rotates,
    /// How long the old one still works.
    pub grace: Grace,
    /// A refresh token works once.
    pub single_use: bool,
    /// A second use of a refresh token ends the whole grant.
    pub replay_revokes: bool,
    /// What a refresh does to the access token before it.
    pub ends_access_token: Option<EndsAccessToken>,
    /// There is no refresh token: the access token renews itself.
    pub uses_access_token: bool,
    /// When the provider gives a refresh token, in words.
    pub issued: Option<String>,
    /// Scopes that make the provider give one (`offline_access`).
    pub requires_scope: Option<String>,
    /// Authorization parameters that make the provider give one.
    pub requires_parameters: BTreeMap<String, String>,
    /// A setting of the application that makes the provider give one, in words.
    pub requires_app_setting: Option<String>,
}

/// When a refresh ends the access token before it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "expected true, false or seconds")]
#[allow(missing_docs)]
pub enum EndsAccessToken {
    AtOnce(bool),
    AfterSeconds(f64),
}

request_with! {
    /// `device` as files write it.
    DeviceFile {
        poll: PollFile,
        reply: BTreeMap<String, String>,
        lifetime: Option<f64>,
        scopes: Vec<String>,
        setup: Option<Setup>,
    }
}

request_with! {
    /// `device.poll` as files write it.
    PollFile {
        pending_status: Option<u16>,
    }
}

impl From<DeviceFile> for DeviceRules {
    fn from(mut file: DeviceFile) -> Self {
        Self {
            request: file.request(),
            poll: file.poll.request(),
            pending_status: file.poll.pending_status,
            reply: file.reply,
            lifetime: file.lifetime,
            scopes: file.scopes,
            setup: file.setup,
        }
    }
}

/// The device authorization grant (RFC 8628).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "DeviceFile")]
pub struct DeviceRules {
    /// The request for the device code.
    pub request: RequestRules,
    /// What differs when the token endpoint is polled.
    pub poll: RequestRules,
    /// The status of "not yet", where it is not the standard error.
    pub pending_status: Option<u16>,
    /// Standard name of a reply's field: the vendor's.
    pub reply: BTreeMap<String, String>,
    /// How long codes live, in seconds.
    pub lifetime: Option<f64>,
    /// The scopes that may be asked for this way; empty: all.
    pub scopes: Vec<String>,
    /// How to register an application for it.
    pub setup: Option<Setup>,
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
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(try_from = "GraceFile")]
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

/// `grace` as files write it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected seconds, `first_use` or `unlimited`")]
enum GraceFile {
    Seconds(f64),
    Word(String),
}

impl TryFrom<GraceFile> for Grace {
    type Error = &'static str;

    fn try_from(file: GraceFile) -> std::result::Result<Self, Self::Error> {
        match file {
            GraceFile::Seconds(seconds) if seconds > 0.0 => Ok(Self::Seconds(seconds)),
            GraceFile::Seconds(_) => Ok(Self::None),
            GraceFile::Word(word) if word == "first_use" => Ok(Self::FirstUse),
            GraceFile::Word(word) if word == "unlimited" => Ok(Self::Unlimited),
            GraceFile::Word(_) => Err("expected seconds, `first_use` or `unlimited`"),
        }
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

request_with! {
    /// `account` as files write it.
    AccountFile {
        source: Option<String>,
        email: Option<Paths>,
        name: Option<Paths>,
        id: Option<Paths>,
        workspace: Option<Paths>,
        workspace_id: Option<Paths>,
        needs_scope: Option<String>,
        email_from: Option<FollowUp>,
        id_from: Option<FollowUp>,
    }
}

impl From<AccountFile> for AccountRules {
    fn from(mut file: AccountFile) -> Self {
        let fields = [
            ("email", file.email.take()),
            ("name", file.name.take()),
            ("id", file.id.take()),
            ("workspace", file.workspace.take()),
            ("workspace_id", file.workspace_id.take()),
        ];
        Self {
            request: file.request(),
            source: file.source,
            fields: fields
                .into_iter()
                .filter_map(|(name, paths)| Some((name.to_owned(), paths?)))
                .collect(),
            needs_scope: file.needs_scope,
            email_from: file.email_from,
            id_from: file.id_from,
        }
    }
}

/// How to look up the account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "AccountFile")]
pub struct AccountRules {
    /// The request; without a `url` it is the userinfo endpoint's.
    pub request: RequestRules,
    /// `reply`, `id_token` or `key` instead of a request.
    pub source: Option<String>,
    /// Paths of email, name, id, workspace, workspace_id.
    pub fields: BTreeMap<String, Paths>,
    /// Scopes without which the request is refused, in words.
    pub needs_scope: Option<String>,
    /// A second call that knows the e-mail address.
    pub email_from: Option<FollowUp>,
    /// A second call that knows the id.
    pub id_from: Option<FollowUp>,
}

/// A second call of the account look-up: a GET of `url` with the token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FollowUp {
    pub url: String,
    pub email: Option<Paths>,
    pub id: Option<Paths>,
    pub workspace_id: Option<Paths>,
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

request_with! {
    /// `revocation` as files write it.
    RevocationFile {
        kind: Option<RevocationKind>,
        token: Option<String>,
        success: Option<u16>,
        effect: Option<String>,
        manual: Option<String>,
    }
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
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
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

impl fmt::Debug for Overrides {
    /// Shows the names of parameters, never their values: some are secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |values: &BTreeMap<String, String>| values.keys().cloned().collect::<Vec<_>>();
        formatter
            .debug_struct("Overrides")
            .field("parameters", &names(&self.parameters))
            .field("endpoints", &self.endpoints)
            .field("discovered", &self.discovered)
            .field("client_authentication", &self.client_authentication)
            .field("api_hosts", &self.api_hosts)
            .field(
                "authorization_parameters",
                &names(&self.authorization_parameters),
            )
            .field("token_parameters", &names(&self.token_parameters))
            .field("scope_separator", &self.scope_separator)
            .field("pkce", &self.pkce)
            .finish()
    }
}
