//! What is inside sealed records: the one place where secrets become bytes, on their way into the vault and back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::{Anchor, Monotonic, Timestamp};
use crate::engine::freshness::StoredToken;
use crate::error::{Error, Result};
use crate::model::{Account, Grant, Refusal, Token};
use crate::provider::{ClientAuthentication, Overrides};
use crate::secret::{PkceVerifier, Secret, SecretBytes, live};

/// The configuration of an integration, as it is sealed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// The client id (RFC 6749 section 2.2).
    pub client_id: Option<String>,
    /// The client secret.
    pub client_secret: Option<crate::secret::ClientSecret>,
    /// Additional scopes.
    pub scopes: Vec<String>,
    /// The redirect URI, when it is not the loopback default.
    pub redirect_uri: Option<String>,
    /// The issuer or MCP server the user named.
    pub issuer: Option<String>,
    /// Whether the issuer's metadata is still to be fetched, at the first use.
    pub discovery_due: bool,
    /// Whether the server promised `iss` in its callbacks (RFC 9207 section 3).
    pub issuer_promised: bool,
    /// The connection, `provider` or `provider/connection`, whose token this integration's is made from (RFC 8693).
    pub exchange_from: Option<String>,
    /// No provider file said anything of it: there are only its endpoints.
    pub has_no_file: bool,
    /// How a client that registers itself is to authenticate, of what the server takes.
    pub registers_as: Option<ClientAuthentication>,
    /// The registration of the client, where evergrant made it.
    pub registered: Option<Registered>,
    /// What the user changed in the provider file's word.
    pub overrides: Overrides,
}

/// A registration of a client (RFC 7591).
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// Where it was made.
    pub endpoint: String,
    /// The redirect URI it was made with.
    pub redirect_uri: String,
    /// How the client authenticates, where the server said.
    pub authentication: Option<ClientAuthentication>,
    /// What reads and changes it (RFC 7592).
    pub access_token: Option<Secret>,
    /// Where.
    pub client_uri: Option<String>,
}

/// A pending sign-in, as it is sealed.
#[derive(Debug)]
pub struct Pending {
    /// The PKCE verifier, where PKCE is used.
    pub verifier: Option<PkceVerifier>,
    /// The nonce that the ID token must repeat.
    pub nonce: Option<Secret>,
    /// The redirect URI that was sent.
    pub redirect_uri: String,
    /// The browser session that began it.
    pub session: Option<Secret>,
    /// The scopes asked for.
    pub scopes: Vec<String>,
    /// Client and token endpoint that it was begun for; a changed configuration makes it void.
    pub client_id: String,
    /// See `client_id`.
    pub token_endpoint: String,
    /// When it began, by the clock that nobody sets back.
    pub begun: Option<Anchor>,
    /// How long it is accepted.
    pub lifetime: Duration,
}

/// The reply of a refresh, as it is spilled: the grant and the token it brought.
#[derive(Clone, Debug)]
pub struct Spill {
    /// The grant after the reply.
    pub grant: Grant,
    /// The token, unless it was unusable.
    pub token: Option<StoredToken>,
}

/// A failed attempt in words.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Note {
    /// What happened, in one sentence.
    pub reason: String,
    /// The OAuth error code, if the server named one.
    #[serde(default)]
    pub error: Option<String>,
    /// The server's own words, cleaned and masked.
    #[serde(default)]
    pub description: Option<String>,
    /// The revision of the integration that was used: a later one may try at once.
    pub revision: u64,
    /// The resource that was asked for, empty for the default one.
    #[serde(default)]
    pub resource: String,
}

/// Becomes the plaintext of a record, and is made from one.
pub trait Record: Sized {
    /// The plaintext, wiped when dropped.
    fn to_plaintext(&self) -> SecretBytes;

    /// The record of that plaintext. One that a later version wrote with unknown fields is read without them.
    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self>;
}

impl Record for Grant {
    fn to_plaintext(&self) -> SecretBytes {
        plaintext(&GrantText::from(self))
    }

    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self> {
        Ok(parse::<GrantText>(plaintext)?.into())
    }
}

impl Record for StoredToken {
    fn to_plaintext(&self) -> SecretBytes {
        plaintext(&TokenText::from(self))
    }

    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self> {
        Ok(parse::<TokenText>(plaintext)?.into())
    }
}

impl Record for Spill {
    fn to_plaintext(&self) -> SecretBytes {
        plaintext(&SpillText {
            grant: GrantText::from(&self.grant),
            token: self.token.as_ref().map(TokenText::from),
        })
    }

    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self> {
        let text = parse::<SpillText>(plaintext)?;
        Ok(Self {
            grant: text.grant.into(),
            token: text.token.map(Into::into),
        })
    }
}

impl Record for Configuration {
    fn to_plaintext(&self) -> SecretBytes {
        plaintext(&ConfigurationText {
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.as_ref().map(Plain::of),
            scopes: self.scopes.clone(),
            redirect_uri: self.redirect_uri.clone(),
            issuer: self.issuer.clone(),
            discovery_due: self.discovery_due,
            issuer_promised: self.issuer_promised,
            exchange_from: self.exchange_from.clone(),
            has_no_file: self.has_no_file,
            registers_as: self.registers_as,
            registered: self.registered.as_ref().map(|registered| RegisteredText {
                endpoint: registered.endpoint.clone(),
                redirect_uri: registered.redirect_uri.clone(),
                authentication: registered.authentication,
                access_token: registered.access_token.as_ref().map(Plain::of),
                client_uri: registered.client_uri.clone(),
            }),
            overrides: self.overrides.clone(),
        })
    }

    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self> {
        let text = parse::<ConfigurationText>(plaintext)?;
        Ok(Self {
            client_id: text.client_id,
            client_secret: text.client_secret.map(Plain::into_secret),
            scopes: text.scopes,
            redirect_uri: text.redirect_uri,
            issuer: text.issuer,
            discovery_due: text.discovery_due,
            issuer_promised: text.issuer_promised,
            exchange_from: text.exchange_from,
            has_no_file: text.has_no_file,
            registers_as: text.registers_as,
            registered: text.registered.map(|registered| Registered {
                endpoint: registered.endpoint,
                redirect_uri: registered.redirect_uri,
                authentication: registered.authentication,
                access_token: registered.access_token.map(Plain::into_secret),
                client_uri: registered.client_uri,
            }),
            overrides: text.overrides,
        })
    }
}

impl Record for Pending {
    fn to_plaintext(&self) -> SecretBytes {
        plaintext(&PendingText {
            verifier: self.verifier.as_ref().map(Plain::of),
            nonce: self.nonce.as_ref().map(Plain::of),
            redirect_uri: self.redirect_uri.clone(),
            session: self
                .session
                .as_ref()
                .map(|session| Plain(session.expose().to_owned())),
            scopes: self.scopes.clone(),
            client_id: self.client_id.clone(),
            token_endpoint: self.token_endpoint.clone(),
            begun: self.begun.as_ref().map(anchor_text),
            lifetime: millis(self.lifetime),
        })
    }

    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self> {
        let text = parse::<PendingText>(plaintext)?;
        Ok(Self {
            verifier: text.verifier.map(Plain::into_secret),
            nonce: text.nonce.map(Plain::into_secret),
            redirect_uri: text.redirect_uri,
            session: text.session.map(|session| Secret::from(session.0.as_str())),
            scopes: text.scopes,
            client_id: text.client_id,
            token_endpoint: text.token_endpoint,
            begun: text.begun.map(anchor),
            lifetime: Duration::from_millis(text.lifetime),
        })
    }
}

impl Record for Note {
    fn to_plaintext(&self) -> SecretBytes {
        plaintext(self)
    }

    fn from_plaintext(plaintext: &SecretBytes) -> Result<Self> {
        parse(plaintext)
    }
}

/// Plain text inside a record, wiped when dropped.
#[derive(Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
struct Plain(String);

impl Plain {
    /// The text of a secret that is about to be sealed. From here on `redact` looks for it.
    fn of(secret: &(impl AsRef<Secret> + ?Sized)) -> Self {
        live::add(&secret.as_ref());
        Self(secret.as_ref().expose().to_owned())
    }

    /// The secret of a record that was opened. From here on `redact` looks for it.
    fn into_secret<T: From<Secret>>(mut self) -> T {
        let secret = Secret::from(std::mem::take(&mut self.0));
        live::add(&secret);
        T::from(secret)
    }
}

#[derive(Deserialize, Serialize)]
struct GrantText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Plain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<i64>,
    requested_scopes: Vec<String>,
    granted_scopes: Vec<String>,
    #[serde(default)]
    account: Account,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    token_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    #[serde(default)]
    kept: BTreeMap<String, String>,
    granted_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
}

impl From<&Grant> for GrantText {
    fn from(grant: &Grant) -> Self {
        Self {
            refresh_token: grant.refresh_token.as_ref().map(Plain::of),
            refresh_expires_at: grant.refresh_expires_at.map(Timestamp::millis),
            requested_scopes: grant.requested_scopes.clone(),
            granted_scopes: grant.granted_scopes.clone(),
            account: grant.account.clone(),
            subject: grant.subject.clone(),
            client_id: grant.client_id.clone(),
            issuer: grant.issuer.clone(),
            token_endpoint: grant.token_endpoint.clone(),
            redirect_uri: grant.redirect_uri.clone(),
            kept: grant.kept.clone(),
            granted_at: grant.granted_at.millis(),
            refusal: grant.refusal.clone(),
        }
    }
}

impl From<GrantText> for Grant {
    fn from(text: GrantText) -> Self {
        Self {
            refresh_token: text.refresh_token.map(Plain::into_secret),
            refresh_expires_at: text.refresh_expires_at.map(Timestamp::from_millis),
            requested_scopes: text.requested_scopes,
            granted_scopes: text.granted_scopes,
            account: text.account,
            subject: text.subject,
            client_id: text.client_id,
            issuer: text.issuer,
            token_endpoint: text.token_endpoint,
            redirect_uri: text.redirect_uri,
            kept: text.kept,
            granted_at: Timestamp::from_millis(text.granted_at),
            refusal: text.refusal,
        }
    }
}

#[derive(Deserialize, Serialize)]
struct TokenText {
    value: Plain,
    #[serde(default)]
    resource: String,
    scopes: Vec<String>,
    obtained_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    token_type: String,
    revision: u64,
    #[serde(default)]
    extra: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assumed_until: Option<i64>,
    margin_cap: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monotonic: Option<AnchorText>,
}

impl From<&StoredToken> for TokenText {
    fn from(stored: &StoredToken) -> Self {
        let token = &stored.token;
        Self {
            value: Plain::of(&token.value),
            resource: token.resource.clone(),
            scopes: token.scopes.clone(),
            obtained_at: token.obtained_at.millis(),
            expires_at: token.expires_at.map(Timestamp::millis),
            token_type: token.token_type.clone(),
            revision: token.revision,
            extra: token.extra.clone(),
            assumed_until: stored.assumed_until.map(Timestamp::millis),
            margin_cap: millis(stored.margin_cap),
            monotonic: stored.anchor.as_ref().map(anchor_text),
        }
    }
}

impl From<TokenText> for StoredToken {
    fn from(text: TokenText) -> Self {
        Self {
            token: Token {
                value: text.value.into_secret(),
                resource: text.resource,
                scopes: text.scopes,
                obtained_at: Timestamp::from_millis(text.obtained_at),
                expires_at: text.expires_at.map(Timestamp::from_millis),
                token_type: text.token_type,
                revision: text.revision,
                extra: text.extra,
            },
            assumed_until: text.assumed_until.map(Timestamp::from_millis),
            margin_cap: Duration::from_millis(text.margin_cap),
            anchor: text.monotonic.map(anchor),
        }
    }
}

#[derive(Deserialize, Serialize)]
struct SpillText {
    grant: GrantText,
    #[serde(default)]
    token: Option<TokenText>,
}

#[derive(Deserialize, Serialize)]
struct ConfigurationText {
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    client_secret: Option<Plain>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    redirect_uri: Option<String>,
    #[serde(default)]
    issuer: Option<String>,
    #[serde(default)]
    discovery_due: bool,
    #[serde(default)]
    issuer_promised: bool,
    #[serde(default)]
    exchange_from: Option<String>,
    #[serde(default)]
    has_no_file: bool,
    #[serde(default)]
    registers_as: Option<ClientAuthentication>,
    #[serde(default)]
    registered: Option<RegisteredText>,
    #[serde(default)]
    overrides: Overrides,
}

#[derive(Deserialize, Serialize)]
struct RegisteredText {
    endpoint: String,
    redirect_uri: String,
    #[serde(default)]
    authentication: Option<ClientAuthentication>,
    #[serde(default)]
    access_token: Option<Plain>,
    #[serde(default)]
    client_uri: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct PendingText {
    #[serde(default)]
    verifier: Option<Plain>,
    #[serde(default)]
    nonce: Option<Plain>,
    redirect_uri: String,
    #[serde(default)]
    session: Option<Plain>,
    scopes: Vec<String>,
    client_id: String,
    token_endpoint: String,
    #[serde(default)]
    begun: Option<AnchorText>,
    #[serde(default)]
    lifetime: u64,
}

/// The name of a monotonic clock and what it showed, in milliseconds.
type AnchorText = (String, i64);

fn anchor_text(anchor: &Anchor) -> AnchorText {
    (anchor.origin.to_string(), anchor.at.millis())
}

fn anchor((origin, at): AnchorText) -> Anchor {
    Anchor {
        origin: origin.into(),
        at: Monotonic::from_millis(at),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn plaintext<T: Serialize>(text: &T) -> SecretBytes {
    // Only maps with string keys, strings and numbers are in a record: nothing that could fail to serialize.
    serde_json::to_vec(text)
        .expect("a record is plain data")
        .into()
}

fn parse<T: DeserializeOwned>(plaintext: &SecretBytes) -> Result<T> {
    // The parser's own message can quote the text, so it is dropped.
    serde_json::from_slice(plaintext.expose()).map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::store(
        "record_malformed",
        "a sealed record opened, but was written by an incompatible version of evergrant",
    )
    .hint("pip install --upgrade evergrant")
}
