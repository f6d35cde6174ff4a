//! Whose account a token is for, and whether the provider still takes the token.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::client::Client;
use super::content::Content;
use super::request::{Draft, LOOKUP_DEADLINE, Mask, Parameters, Values};
use super::{paths, refusal, signal};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, Method, Reply};
use crate::model::{Account, Token};
use crate::provider::{
    AccountRules, ClientAuthentication, Meaning, Paths, RequestRules, Spec, hosts,
};
use crate::secret::AccessToken;

/// What the provider made of a token.
#[derive(Clone, Debug)]
pub enum Probe {
    /// It took it.
    Accepted(Account),
    /// It refused it.
    Refused {
        /// What the refusal means for the token.
        means: Meaning,
        /// What happened, in words.
        reason: String,
    },
    /// There is nothing to ask it.
    NotAsked,
}

/// Looks up the account behind a token: the provider file's request, else the userinfo endpoint (OpenID Connect Core
/// section 5.3). A provider without either has an empty account.
///
/// # Errors
/// `ProviderUnavailable`, `ProviderRejected`; `InvalidParameter` where the token may not be sent to the URL named.
pub async fn account(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    token: &Token,
    clock: &Clock,
) -> Result<Account> {
    match probe(http, spec, client, token, clock).await? {
        Probe::Accepted(account) => Ok(account),
        Probe::NotAsked => Ok(Account::default()),
        Probe::Refused { reason, .. } => Err(Error::new(
            ErrorKind::ProviderRejected {
                error: None,
                description: None,
            },
            "account_refused",
            reason,
        )
        .of_provider(&spec.id)),
    }
}

/// Sends the account request, and says whether the token was taken.
///
/// # Errors
/// As [`account`].
pub async fn probe(
    http: &http::Client,
    spec: &Spec,
    client: Client<'_>,
    token: &Token,
    clock: &Clock,
) -> Result<Probe> {
    let by_default = AccountRules::default();
    let rules = spec.account.as_ref().unwrap_or(&by_default);
    let userinfo = spec.endpoints.userinfo_endpoint.as_deref();
    if rules.source.is_some() || rules.request.url.as_deref().or(userinfo).is_none() {
        return Ok(Probe::NotAsked);
    }
    let asking = Asking {
        http,
        spec,
        client,
        token: &token.value,
        clock,
    };
    let whole = match asking.ask(&rules.request, userinfo, None).await? {
        Answer::Body(whole) => whole,
        Answer::Refused { means, reason } => return Ok(Probe::Refused { means, reason }),
    };
    let standard;
    let fields = if rules.fields.is_empty() {
        standard = standard_fields();
        &standard
    } else {
        &rules.fields
    };
    let mut account = read(&whole, fields);
    for follow in [&rules.email_from, &rules.id_from].into_iter().flatten() {
        let request = RequestRules {
            url: Some(follow.url.clone()),
            ..RequestRules::default()
        };
        // What only labels may be missing: the scope for it may not have been granted.
        if let Ok(Answer::Body(more)) = asking.ask(&request, None, account.id.as_deref()).await {
            let value = |paths: &Option<Paths>| text(&more, paths.as_ref()?);
            account.email = account.email.or_else(|| value(&follow.email));
            account.id = account.id.or_else(|| value(&follow.id));
            account.workspace_id = account.workspace_id.or_else(|| value(&follow.workspace_id));
        }
    }
    Ok(Probe::Accepted(account))
}

/// The account in `root`, by the paths of a provider file.
pub(super) fn read(root: &Value, fields: &BTreeMap<String, Paths>) -> Account {
    let field = |name: &str| text(root, fields.get(name)?);
    Account {
        id: field("id"),
        email: field("email"),
        name: field("name"),
        workspace: field("workspace"),
        workspace_id: field("workspace_id"),
    }
}

/// What a request with the token brought.
pub(super) enum Answer {
    Body(Value),
    Refused { means: Meaning, reason: String },
}

/// What all requests with a token share.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) http: &'a http::Client,
    pub(super) spec: &'a Spec,
    pub(super) client: Client<'a>,
    pub(super) token: &'a AccessToken,
    pub(super) clock: &'a Clock,
}

impl Asking<'_> {
    pub(super) async fn ask(
        &self,
        rules: &RequestRules,
        endpoint: Option<&str>,
        id: Option<&str>,
    ) -> Result<Answer> {
        let spec = self.spec;
        let token = self.token.expose();
        let draft = Draft {
            spec,
            client: self.client,
            rules,
            endpoint,
            authentication: ClientAuthentication::Bearer,
            method: Method::GET,
            standard: Parameters::default(),
            values: Values::new(spec, Some(&self.client))
                .with("access_token", Some(token))
                .with("id", id),
            bearer: Some(token),
            deadline: LOOKUP_DEADLINE,
            now: self.clock.wall(),
        };
        let (request, mask) = draft.finish()?;
        self.may_have_token(&request.url)?;
        let reply = self
            .http
            .send(request)
            .await
            .map_err(|failure| unavailable(spec, failure.reason(), None))?;
        self.judge(&reply, &mask)
    }

    /// The token goes to hosts that the provider owns, and to the userinfo endpoint.
    fn may_have_token(&self, url: &Url) -> Result<()> {
        let userinfo = self
            .spec
            .endpoints
            .userinfo_endpoint
            .as_deref()
            .and_then(|own| Url::parse(own).ok());
        if hosts::owns(&self.spec.api.hosts, url) || userinfo.is_some_and(|own| own == *url) {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        Err(Error::invalid_parameter(
            "host_not_owned",
            format!(
                "the account request goes to {host}, which is not among the API hosts of {}",
                self.spec.name
            ),
        )
        .of_provider(&self.spec.id))
    }

    fn judge(&self, reply: &Reply, mask: &Mask) -> Result<Answer> {
        let spec = self.spec;
        let content = Content::of(reply);
        let whole = content.value().unwrap_or(&Value::Null);
        if let Some(means) = signal::read(spec, reply) {
            return Ok(Answer::Refused {
                means,
                reason: said(reply, mask),
            });
        }
        match reply.status {
            429 | 500.. => Err(unavailable(
                spec,
                &said(reply, mask),
                refusal::retry_after(&reply.headers, self.clock.wall()),
            )),
            200..300 if !refusal::is_marked_failure(whole, &spec.reply) => {
                Ok(Answer::Body(whole.clone()))
            }
            _ => Ok(Answer::Refused {
                means: Meaning::Other,
                reason: said(reply, mask),
            }),
        }
    }
}

fn standard_fields() -> BTreeMap<String, Paths> {
    [("email", "email"), ("name", "name"), ("id", "sub")]
        .map(|(name, path)| (name.to_owned(), Paths::One(path.to_owned())))
        .into()
}

fn text(root: &Value, paths: &Paths) -> Option<String> {
    let text = paths::first(root, paths).and_then(|value| paths::text(&value))?;
    Some(super::clean_label(&text))
}

/// What the API said, in words.
fn said(reply: &Reply, mask: &Mask) -> String {
    let content = Content::of(reply);
    let words = content.value().and_then(|whole| {
        [
            "error_description",
            "error.message",
            "message",
            "error",
            "detail",
        ]
        .iter()
        .find_map(|path| paths::find(whole, path).and_then(|value| paths::text(&value)))
    });
    match words {
        Some(words) => format!(
            "the API answered HTTP {}: {}",
            reply.status,
            mask.clean(&words)
        ),
        None => format!("the API answered HTTP {}", reply.status),
    }
}

fn unavailable(spec: &Spec, reason: &str, retry_after: Option<std::time::Duration>) -> Error {
    Error::new(
        ErrorKind::ProviderUnavailable { retry_after },
        "account_unavailable",
        reason,
    )
    .of_provider(&spec.id)
}
