//! Plain data that travels between the layers: identities, grants, tokens, states and reports.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::secret::{AccessToken, RefreshToken};

/// How a token is granted (RFC 6749 section 1.3): for a user, or for the application itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A user grant: a person signs in and consents (RFC 6749 section 4.1).
    AuthorizationCode,
    /// A service grant: the client acts as itself (RFC 6749 section 4.4).
    ClientCredentials,
}

impl GrantType {
    /// The name of the RFC: `authorization_code` or `client_credentials`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// The grant type of that RFC name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "authorization_code" => Some(Self::AuthorizationCode),
            "client_credentials" => Some(Self::ClientCredentials),
            _ => None,
        }
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Names an integration: a provider and a grant type in a workspace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IntegrationKey {
    /// The workspace's name.
    pub workspace: Arc<str>,
    /// The provider's id.
    pub provider: Arc<str>,
    /// The grant type.
    pub grant_type: GrantType,
}

/// Names a connection: an account of an integration.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionKey {
    /// The integration it belongs to.
    pub integration: IntegrationKey,
    /// The connection's name, `default` unless the caller chose one.
    pub connection: Arc<str>,
}

/// What a provider granted: all that is needed to get another access token without a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// The refresh token; `None` for a service grant, or where the provider gave none.
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token ends, where the provider says.
    pub refresh_expires_at: Option<Timestamp>,
    /// The scopes asked for when the grant was made.
    pub requested_scopes: Vec<String>,
    /// The scopes granted; what was asked where the provider did not say (RFC 6749 section 5.1).
    pub granted_scopes: Vec<String>,
    /// Whose grant it is.
    pub account: Account,
    /// The `sub` of the first ID token, where one came: a refresh that answers with another is refused.
    pub subject: Option<String>,
    /// The client it was issued to.
    pub client_id: String,
    /// The issuer, where known.
    pub issuer: Option<String>,
    /// The token endpoint that issued it: the only place its refresh token may go.
    pub token_endpoint: String,
    /// The redirect URI of its sign-in, where there was one: a few vendors want it again at each refresh.
    pub redirect_uri: Option<String>,
    /// Values that the provider file keeps (`instance_url`, `team_id`), by name.
    pub kept: BTreeMap<String, String>,
    /// When a person last consented, or the token was imported.
    pub granted_at: Timestamp,
    /// Why only a person can make it work again.
    pub refusal: Option<Refusal>,
}

/// The provider's refusal of a grant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// The OAuth error code (RFC 6749 section 5.2).
    pub error: String,
    /// The provider's own words, cleaned and masked.
    pub description: Option<String>,
    /// What it means, in plain words.
    pub meaning: String,
    /// When (UTC milliseconds).
    pub at: i64,
}

/// The account behind a grant. It labels; it never decides about access.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Account {
    /// The provider's stable id of the account (`sub` of OpenID Connect).
    pub id: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Name to show.
    pub name: Option<String>,
    /// Name of the workspace, team or tenant.
    pub workspace: Option<String>,
    /// Id of the workspace, team or tenant.
    pub workspace_id: Option<String>,
}

impl Account {
    /// The label to show for this account, the most telling one known.
    pub fn label(&self) -> Option<&str> {
        [&self.email, &self.name, &self.id, &self.workspace]
            .into_iter()
            .find_map(|value| value.as_deref())
    }
}

/// An access token of one resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// The access token itself.
    pub value: AccessToken,
    /// What it is for (RFC 8707), empty for the default resource.
    pub resource: String,
    /// Its scopes; narrower than the grant's where the provider said so.
    pub scopes: Vec<String>,
    /// When its request left (UTC): its lifetime is counted from then, for nobody knows when in between the server began.
    pub obtained_at: Timestamp,
    /// When it ends, by the provider's word; `None` when it did not say.
    pub expires_at: Option<Timestamp>,
    /// How it is presented (RFC 6749 section 7.1), mostly `Bearer`.
    pub token_type: String,
    /// The revision of the integration that a service token was fetched under.
    pub revision: u64,
    /// Values kept from the reply, by name.
    pub extra: BTreeMap<String, String>,
}

/// The state of a connection, as users see it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No client id here.
    NotConfigured,
    /// Ready to connect.
    Configured,
    /// Holds a grant that works, as far as is known.
    Connected,
    /// Only a person can make it work again.
    ReauthorizationRequired,
}

/// What is known of a connection without asking the network.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The provider's id.
    pub provider: String,
    /// The grant type, `None` where none is configured and the provider has several.
    pub grant_type: Option<GrantType>,
    /// The connection's name.
    pub connection: String,
    /// Its state.
    pub state: State,
    /// The client id: public by RFC 6749 section 2.2.
    pub client_id: Option<String>,
    /// The redirect URI to register with the provider.
    pub redirect_uri: Option<String>,
    /// Base and additional scopes.
    pub requested_scopes: Vec<String>,
    /// Scopes the provider granted.
    pub granted_scopes: Vec<String>,
    /// Requested and not granted.
    pub missing_scopes: Vec<String>,
    /// The account's label.
    pub account: Option<String>,
    /// When the access token of the default resource ends (UTC milliseconds).
    #[serde(serialize_with = "millis")]
    pub expires_at: Option<Timestamp>,
    /// When it was obtained (UTC milliseconds).
    #[serde(serialize_with = "millis")]
    pub refreshed_at: Option<Timestamp>,
    /// The last failure, in one sentence.
    pub last_error: Option<String>,
    /// What is wrong, in the provider's terms.
    pub reason: Option<String>,
    /// The next command, ready to paste.
    pub hint: Option<String>,
}

/// What a verb did, step by step.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether all that matters succeeded.
    pub ok: bool,
    /// What was tried, in order.
    pub steps: Vec<Step>,
    /// Why it is not `ok`.
    pub reason: Option<String>,
    /// The next command, ready to paste.
    pub hint: Option<String>,
}

/// One step of a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was tried.
    pub what: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// What came of it.
    pub detail: String,
}

impl Report {
    /// Notes a step; one that failed makes the report fail.
    pub fn step(&mut self, what: impl Into<String>, ok: bool, detail: impl Into<String>) {
        self.ok &= ok;
        self.steps.push(Step {
            what: what.into(),
            ok,
            detail: detail.into(),
        });
    }

    /// A report with no step, which is `ok` until one fails.
    pub fn begin() -> Self {
        Self {
            ok: true,
            ..Self::default()
        }
    }
}

fn millis<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::millis).serialize(serializer)
}
