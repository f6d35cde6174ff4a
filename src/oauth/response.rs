//! What a reply of the token endpoint means: one [`Outcome`].
//!
//! Lenient where vendors are, strict where safety asks; and strictness never costs a refresh token.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::content::{Content, salvage};
use super::expiry::{self, Moment};
use super::id_token::{self, Expected, IdClaims};
use super::request::Mask;
use super::{keep, paths, refusal, scope};
use crate::clock::Timestamp;
use crate::http::{Failure, Reply};
use crate::model::{Account, Token};
use crate::provider::{Condemns, Spec};
use crate::secret::{AccessToken, RefreshToken, Secret};

/// What came of a request to the token endpoint.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A sound token.
    Issued(Box<Issued>),
    /// The server issued something that may not be used; a new refresh token in it must be kept.
    Unusable {
        /// The new refresh token, if a sound one was found.
        refresh_token: Option<RefreshToken>,
        /// When it ends (UTC), where the provider says.
        refresh_expires_at: Option<Timestamp>,
        /// Values kept from the reply, by name.
        kept: BTreeMap<String, String>,
        /// The rule broken, in words.
        rule: String,
    },
    /// A well-formed error that condemns the grant, or the resource asked for.
    Refused {
        /// The error code (RFC 6749 section 5.2), cleaned.
        error: String,
        /// The provider's words, cleaned and masked.
        description: Option<String>,
        /// The grant or the resource.
        condemns: Condemns,
        /// What happened, in words: the provider's and those of its file.
        reason: String,
    },
    /// The server did not act on the request: it may be sent again.
    NotProcessed {
        /// The error code (RFC 6749 section 5.2), cleaned.
        error: Option<String>,
        /// The provider's words, cleaned and masked.
        description: Option<String>,
        /// The HTTP status; `None` when nothing was sent.
        status: Option<u16>,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// The client, or nothing.
        condemns: Condemns,
        /// What happened, in words.
        reason: String,
    },
    /// Nobody can know whether the server acted on the request.
    Unknown {
        /// What happened, in words.
        reason: String,
        /// The answer was a web page.
        html: bool,
    },
}

/// What a token endpoint issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The access token. Its revision is zero: who configured the integration sets it.
    pub token: Token,
    /// The new refresh token, if the reply holds a sound one other than the one that was sent.
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token ends (UTC), where the provider says.
    pub refresh_expires_at: Option<Timestamp>,
    /// The scopes of the reply; `None`: it did not say (RFC 6749 section 5.1: then they are those asked).
    pub granted_scopes: Option<Vec<String>>,
    /// The claims of the ID token, if one came.
    pub id_token: Option<IdClaims>,
    /// The redirect URI that its code was exchanged with.
    pub redirect_uri: Option<String>,
    /// Values kept from the reply, by name.
    pub kept: BTreeMap<String, String>,
    /// The account, as far as the reply or the ID token tells.
    pub account: Account,
}

/// The grant that was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Code,
    Refresh,
    Service,
}

/// What was asked, as far as it decides how the reply is read.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) spec: &'a Spec,
    pub(super) client_id: &'a str,
    pub(super) asked: Asked,
    /// The refresh token that was sent: coming back, it is not a new one.
    pub(super) sent: Option<&'a RefreshToken>,
    /// The scopes that the token has if the reply doesn't say.
    pub(super) scopes: &'a [String],
    /// The resource's name, empty for the default one.
    pub(super) resource: &'a str,
    pub(super) nonce: Option<&'a Secret>,
    /// The `sub` of the ID token before.
    pub(super) subject: Option<&'a str>,
    /// When the request left, and when the reply had arrived (UTC).
    pub(super) asked_at: Timestamp,
    pub(super) received_at: Timestamp,
    pub(super) mask: &'a Mask,
}

impl Question<'_> {
    fn changed(&self, refresh_token: Option<RefreshToken>) -> Option<RefreshToken> {
        refresh_token.filter(|token| self.sent != Some(token))
    }
}

impl Outcome {
    /// The outcome of a request that brought no reply.
    pub(super) fn without_reply(failure: &Failure, spec: &Spec) -> Self {
        let endpoint = spec.endpoints.token_endpoint.as_deref().unwrap_or_default();
        let host = Url::parse(endpoint)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| "its token endpoint".to_owned());
        match failure {
            Failure::NotSent(reason) => Self::not_sent(format!(
                "{} can't be reached at {host}: {reason}",
                spec.name
            )),
            Failure::NoReply(reason) => Self::Unknown {
                reason: format!("{} gave no reply at {host}: {reason}", spec.name),
                html: false,
            },
        }
    }

    /// The outcome of a request that could not be sent.
    pub(super) fn not_sent(reason: String) -> Self {
        Self::NotProcessed {
            error: None,
            description: None,
            status: None,
            retry_after: None,
            condemns: Condemns::Nothing,
            reason,
        }
    }
}

/// Reads a reply of the token endpoint.
pub(super) fn read(reply: &Reply, question: &Question<'_>) -> Outcome {
    let content = Content::of(reply);
    let spec = question.spec;
    if !(200..300).contains(&reply.status) && !spec.reply.status.contains(&reply.status) {
        return refusal::read(reply, &content, question);
    }
    match &content {
        Content::Value(whole) => read_value(reply, whole, &content, question),
        Content::Html => Outcome::Unknown {
            reason: "the answer is a web page, not a token".to_owned(),
            html: true,
        },
        Content::Empty | Content::Other => {
            match question.changed(salvage(&reply.body, &spec.reply)) {
                Some(refresh_token) => Outcome::Unusable {
                    refresh_token: Some(refresh_token),
                    refresh_expires_at: None,
                    kept: BTreeMap::new(),
                    rule: if reply.truncated {
                        "the reply is not whole".to_owned()
                    } else {
                        "the reply is not well-formed".to_owned()
                    },
                },
                None => Outcome::Unknown {
                    reason: format!("the reply (HTTP {}) can't be read", reply.status),
                    html: false,
                },
            }
        }
    }
}

fn read_value(reply: &Reply, whole: &Value, content: &Content, question: &Question<'_>) -> Outcome {
    let rules = &question.spec.reply;
    let nothing = Value::Null;
    let rooted = rules.root.as_deref().map(|root| paths::find(whole, root));
    let root: &Value = match &rooted {
        None => whole,
        Some(found) => found.as_deref().unwrap_or(&nothing),
    };
    let access_token = field(root, question.spec, "access_token");
    let refresh_token = field(root, question.spec, "refresh_token")
        .and_then(|value| question.changed(sound_refresh_token(&value)));
    let error = refusal::error_code(whole, rules);
    if access_token.is_none() && refresh_token.is_none() {
        if error.is_some() || refusal::is_failure(whole, rules) {
            return refusal::read(reply, content, question);
        }
        return Outcome::Unknown {
            reason: "the reply holds no access token".to_owned(),
            html: false,
        };
    }

    let issued_at = rules
        .issued_at
        .as_ref()
        .and_then(|rule| expiry::instant(root, rule));
    let moment = Moment::new(
        question.asked_at,
        question.received_at,
        &reply.headers,
        issued_at,
    );
    let refresh_expires_at = rules.refresh_expires.as_ref().and_then(|rule| {
        let token = refresh_token.as_ref().map_or("", |token| token.expose());
        expiry::expires_at(root, rule, "refresh_expires_in", token, moment)
    });
    let kept = keep::from_reply(&rules.keep, root, &reply.headers);
    match judge(
        root,
        whole,
        access_token.as_deref(),
        error.as_deref(),
        moment,
        question,
    ) {
        Ok((value, token_type, id_token)) => {
            let granted_scopes = granted(root, question.spec);
            let expires_at =
                expiry::expires_at(root, &rules.expires, "expires_in", value.expose(), moment);
            let account = account(root, id_token.as_ref(), question.spec);
            Outcome::Issued(Box::new(Issued {
                token: Token {
                    value,
                    resource: question.resource.to_owned(),
                    scopes: granted_scopes
                        .clone()
                        .unwrap_or_else(|| question.scopes.to_vec()),
                    obtained_at: question.asked_at,
                    expires_at,
                    token_type,
                    revision: 0,
                    extra: kept.clone(),
                },
                refresh_token,
                refresh_expires_at,
                granted_scopes,
                id_token,
                redirect_uri: None,
                kept,
                account,
            }))
        }
        Err(rule) => Outcome::Unusable {
            refresh_token,
            refresh_expires_at,
            kept,
            rule,
        },
    }
}

/// The parts of a sound reply, or the rule that it breaks.
fn judge(
    root: &Value,
    whole: &Value,
    access_token: Option<&Value>,
    error: Option<&str>,
    moment: Moment,
    question: &Question<'_>,
) -> Result<(AccessToken, String, Option<IdClaims>), String> {
    let spec = question.spec;
    if let Some(error) = error {
        let error = question.mask.clean(error);
        return Err(format!("the reply holds the error {error} beside a token"));
    }
    if refusal::is_failure(whole, &spec.reply) {
        return Err("the reply says that it failed, beside a token".to_owned());
    }
    let Some(value) = access_token else {
        return Err("the reply holds no access token".to_owned());
    };
    let Some(value) = value.as_str().filter(|value| is_sound_access_token(value)) else {
        return Err(
            "the access token is not text that fits a header (RFC 6750 section 2.1)".to_owned(),
        );
    };
    let token_type = token_type(root, spec, question.mask)?;
    let id_token = match field(root, spec, "id_token").as_deref() {
        Some(Value::String(token)) => id_token::check(
            token,
            &Expected {
                issuer: spec.endpoints.issuer.as_deref(),
                client_id: question.client_id,
                nonce: question.nonce,
                subject: question.subject,
                now: moment.server,
            },
        )?,
        _ => None,
    };
    Ok((AccessToken::from(value), token_type, id_token))
}

/// How the token is presented. Whoever doesn't understand a type may not use its token (RFC 6749 section 7.1).
fn token_type(root: &Value, spec: &Spec, mask: &Mask) -> Result<String, String> {
    let scheme = spec.api.token_scheme.as_deref();
    let found = field(root, spec, "token_type").and_then(|value| paths::text(&value));
    let Some(found) = found else {
        return if spec.reply.token_type_missing == Some(true) {
            Ok(scheme.unwrap_or("Bearer").to_owned())
        } else {
            Err("the reply names no token_type (RFC 6749 section 5.1)".to_owned())
        };
    };
    if found.eq_ignore_ascii_case("bearer") {
        return Ok(scheme.unwrap_or("Bearer").to_owned());
    }
    let asked = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(&found));
    // A provider file that says where the type stands knows a vendor with words of its own (Slack: `user`, `bot`).
    let vendors = spec.reply.fields.contains_key("token_type") && !needs_proof(&found);
    if asked || vendors {
        return Ok(mask.clean(&found));
    }
    Err(format!(
        "the token_type is {}, not Bearer",
        mask.clean(&found)
    ))
}

/// Types whose tokens are worth nothing without a key.
fn needs_proof(token_type: &str) -> bool {
    ["dpop", "pop", "mac"]
        .iter()
        .any(|proof| token_type.eq_ignore_ascii_case(proof))
}

/// The scopes of the reply. No scope at all is no scope in the grammar of RFC 6749 section 3.3: GitHub Apps say so of
/// every token.
fn granted(root: &Value, spec: &Spec) -> Option<Vec<String>> {
    let scopes = match &*field(root, spec, "scope")? {
        Value::String(text) => scope::split(spec, text),
        Value::Array(items) => items.iter().filter_map(paths::text).collect(),
        _ => return None,
    };
    (!scopes.is_empty()).then_some(scopes)
}

fn account(root: &Value, id_token: Option<&IdClaims>, spec: &Spec) -> Account {
    let claims = id_token.map(IdClaims::claims);
    match spec
        .account
        .as_ref()
        .and_then(|rules| Some((rules, rules.source.as_deref()?)))
    {
        Some((rules, "reply")) => super::account::read(root, &rules.fields),
        Some((rules, "id_token")) => claims
            .map(|claims| super::account::read(claims, &rules.fields))
            .unwrap_or_default(),
        _ => id_token.map(IdClaims::account).unwrap_or_default(),
    }
}

/// A standard field of the reply: where the provider file says, else under its own name.
fn field<'v>(root: &'v Value, spec: &Spec, name: &str) -> Option<Cow<'v, Value>> {
    match spec.reply.fields.get(name) {
        Some(own) => paths::first(root, own),
        None => paths::find(root, name),
    }
    .filter(|value| value.as_str() != Some(""))
}

/// Visible ASCII: what a header can carry (RFC 6750 section 2.1; RFC 6749 appendix A.12 would allow a space).
pub(crate) fn is_sound_access_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// It only travels in encoded bodies, so whatever arrived whole is sound: losing it would lose the grant.
pub(super) fn sound_refresh_token(value: &Value) -> Option<RefreshToken> {
    let token = value.as_str()?;
    (!token.is_empty() && !token.contains(is_broken)).then(|| RefreshToken::from(token))
}

fn is_broken(character: char) -> bool {
    character.is_control() || character == char::REPLACEMENT_CHARACTER
}
