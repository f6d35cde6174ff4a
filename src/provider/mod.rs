//! Providers as data: the vocabulary of a provider file, typed, and the [`Spec`] of one grant type made from it.
//!
//! Nothing here sends anything. `catalog` finds providers, `file` reads their files, `merge` lays one over the other, `spec` makes a [`Spec`],
//! `parameters` fills templates, `scope` and `hosts` judge, `check` says what is wrong with a file. What a file may say stands in
//! `vocabulary` and `request`.

pub mod catalog;
pub mod check;
mod entry;
mod file;
mod grant;
pub mod hosts;
pub mod installed;
mod merge;
pub mod parameters;
mod request;
pub mod scope;
mod spec;
mod vocabulary;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::GrantType;

pub use request::*;
pub use vocabulary::*;

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
    /// The names among `values` that a sign-in brought.
    pub kept: BTreeSet<String>,
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
    /// The request that swaps the token just issued for another, right after the code exchange.
    pub exchange: Option<RequestRules>,
    /// A request for values that the token's reply does not hold.
    pub lookup: Option<LookupRules>,
    /// The assertion that a service grant signs (RFC 7523).
    pub assertion: Option<AssertionRules>,
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
    /// Hosts that only the issuer's metadata named: they have to be public.
    pub server_named: Vec<String>,
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
    /// The server takes pushed authorization requests only (RFC 9126 section 5).
    pub pushed: bool,
    /// Of the scopes that the file asks for where the server knows them: those it knows.
    pub supported_scopes: Vec<String>,
    /// The protected resource, an MCP server for one, whose metadata named the issuer.
    pub resource: Option<String>,
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
            .field("pushed", &self.pushed)
            .field("supported_scopes", &self.supported_scopes)
            .field("resource", &self.resource)
            .finish()
    }
}
