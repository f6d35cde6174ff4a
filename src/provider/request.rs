//! Requests of a provider file, all of one shape: code exchange, refresh, device, account look-up, revocation.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{ClientAuthentication, Paths, Setup};

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
    #[serde(deserialize_with = "super::words::method")]
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
    enum Plain {
        Flag(bool),
        Number(serde_json::Number),
        Text(String),
    }
    let texts = BTreeMap::<String, Plain>::deserialize(deserializer)?;
    Ok(texts
        .into_iter()
        .map(|(name, text)| match text {
            Plain::Flag(flag) => (name, flag.to_string()),
            Plain::Number(number) => (name, number.to_string()),
            Plain::Text(text) => (name, text),
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
        pub(super) struct $name {
            url: Option<String>,
            #[serde(deserialize_with = "super::words::method")]
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
        #[serde(deserialize_with = "super::words::refresh_uses")]
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

request_with! {
    /// `lookup` as files write it.
    LookupFile {
        list: Option<String>,
        #[serde(rename = "where")]
        matching: BTreeMap<String, serde_json::Value>,
        choose: Option<String>,
        keep: BTreeMap<String, serde_json::Value>,
    }
}

impl From<LookupFile> for LookupRules {
    fn from(mut file: LookupFile) -> Self {
        Self {
            request: file.request(),
            list: file.list,
            matching: file.matching,
            choose: file.choose,
            keep: file.keep,
        }
    }
}

/// A request made once after the sign-in, for values that the token's reply does not hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "LookupFile")]
pub struct LookupRules {
    /// The request, with the token.
    pub request: RequestRules,
    /// The path of the candidates; `None`: the reply itself is the only one.
    pub list: Option<String>,
    /// What a candidate's fields have to be.
    pub matching: BTreeMap<String, serde_json::Value>,
    /// The field by which a person tells candidates apart.
    pub choose: Option<String>,
    /// What is kept of the one candidate.
    pub keep: BTreeMap<String, serde_json::Value>,
}

request_with! {
    /// `account` as files write it.
    AccountFile {
        #[serde(deserialize_with = "super::words::account_source")]
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

request_with! {
    /// `revocation` as files write it.
    RevocationFile {
        kind: Option<RevocationKind>,
        #[serde(deserialize_with = "super::words::revoked_token")]
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

impl RevocationFile {
    /// The rules; without a `kind` they are RFC 7009 where there is an endpoint.
    pub(super) fn rules(mut self, has_endpoint: bool) -> RevocationRules {
        let default = if has_endpoint {
            RevocationKind::Rfc7009
        } else {
            RevocationKind::None
        };
        RevocationRules {
            kind: self.kind.unwrap_or(default),
            request: self.request(),
            token: self.token,
            success: self.success,
            effect: self.effect,
            manual: self.manual,
        }
    }

    /// The template of the URL, where it is not the endpoint.
    pub(super) fn url(&self) -> Option<&String> {
        self.url.as_ref()
    }
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
