//! A sign-in between its two halves: sealed, bound to one state, redirect URI and session, claimed before the exchange.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use url::Url;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::engine::record::Pending;
use crate::engine::refresh::transient;
use crate::engine::runtime::Unfinished;
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::model::{Account, ConnectionKey, Status};
use crate::oauth::authorize::{self, Callback};
use crate::oauth::response::{Issued, Outcome};
use crate::oauth::token::CodeExchange;
use crate::oauth::{self, account, pushed};
use crate::provider::Spec;
use crate::secret::Secret;
use crate::store::PendingRow;
use crate::vault::{Kind, Subject};

/// How long a callback is accepted after the sign-in began.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// A sign-in that was begun.
pub struct Begun {
    /// Where to send the person.
    pub url: Url,
    /// The redirect URI in it.
    pub redirect_uri: String,
    /// The state in it.
    pub state: Secret,
    /// Under which it is stored.
    pub state_hash: Vec<u8>,
    /// When the callback is no longer accepted.
    pub expires_at: Timestamp,
    /// The connection's generation before.
    pub generation: u64,
}

impl fmt::Debug for Begun {
    /// Without the URL: the state stands in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Begun")
            .field("host", &self.url.host_str())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Begins a sign-in and stores what its callback needs.
pub async fn begin(
    engine: &Arc<Engine>,
    key: &ConnectionKey,
    redirect_uri: &str,
    session: Option<Secret>,
    more_scopes: &[String],
    lifetime: Duration,
) -> Result<Begun> {
    let integration = engine
        .integration(&key.integration.provider, Some(key.integration.grant_type))
        .await?;
    let spec = integration.spec()?;
    let scopes = engine.requested_scopes(&integration, &spec, more_scopes);
    let client = integration.client(&spec);
    let authorization = authorize::begin(
        &spec,
        client.id,
        client.secret.is_some(),
        redirect_uri,
        &scopes,
        None,
    )?;
    let authorization = if pushed::is_wanted(&spec) {
        pushed::push(&engine.http(), &spec, client, authorization, engine.clock())
            .await
            .map_err(|error| error.of_provider(&key.integration.provider))?
    } else {
        authorization
    };
    let state_hash = hash(&authorization.state);
    let lifetime = lifetime.max(LIFETIME);
    let pending = Pending {
        verifier: authorization.verifier,
        nonce: authorization.nonce,
        redirect_uri: redirect_uri.to_owned(),
        session,
        scopes,
        client_id: integration.client_id().to_owned(),
        token_endpoint: spec.endpoints.token_endpoint.clone().unwrap_or_default(),
        begun: engine.clock().anchor(Duration::ZERO),
        lifetime,
    };
    let now = engine.clock().wall();
    let expires_at = now.after(lifetime);
    let sealed = engine
        .seal(
            Subject::Connection(key),
            Kind::Pending,
            &hex(&state_hash),
            0,
            &pending,
        )
        .await?;
    let row = PendingRow {
        state_hash: state_hash.clone(),
        key: key.clone(),
        sealed,
        expires_at,
        claimed: false,
    };
    engine.store().put_pending(row, now).await?;
    let generation = engine.store().load(key, "").await?.generation();
    Ok(Begun {
        url: authorization.url,
        redirect_uri: redirect_uri.to_owned(),
        state: authorization.state,
        state_hash,
        expires_at,
        generation,
    })
}

/// Completes the sign-in that a callback URL belongs to.
pub async fn complete(
    engine: &Arc<Engine>,
    callback_url: &str,
    session: Option<&Secret>,
) -> Result<Status> {
    let callback = Callback::parse(callback_url)?;
    let state = callback
        .state
        .as_ref()
        .ok_or_else(|| failed("state_missing", "the callback URL has no state"))?;
    let state_hash = hash(state);
    let row = engine.store().pending(&state_hash).await?;
    let row = row
        .filter(|row| row.key.integration.workspace.as_ref() == engine.workspace())
        .ok_or_else(|| {
            failed(
                "wrong_state",
                "the state of the callback belongs to no sign-in that is under way here",
            )
            .hint(engine.command("status"))
        })?;
    let key = row.key.clone();
    complete_row(engine, row, &callback, session)
        .await
        .map_err(|error| {
            error
                .of_provider(&key.integration.provider)
                .of_connection(&key.connection)
        })
}

/// Forgets a sign-in that nobody finished.
pub async fn abandon(engine: &Arc<Engine>, begun: &Begun) {
    if let Err(error) = engine.store().delete_pending(&begun.state_hash).await {
        tracing::debug!(
            reason = error.reason(),
            "an abandoned sign-in stays until it expires"
        );
    }
}

async fn complete_row(
    engine: &Arc<Engine>,
    row: PendingRow,
    callback: &Callback,
    session: Option<&Secret>,
) -> Result<Status> {
    let key = &row.key;
    let again = engine.connect_command(key, false);
    let expired =
        || failed("sign_in_expired", "the sign-in was begun too long ago").hint(again.clone());
    if row.expires_at <= engine.clock().wall() {
        return Err(expired());
    }
    if row.claimed {
        return Err(failed("callback_used", "this callback was used already").hint(again));
    }
    let pending: Pending = engine
        .open(
            Subject::Connection(key),
            Kind::Pending,
            &hex(&row.state_hash),
            &row.sealed,
        )
        .await?;
    let passed = pending
        .begun
        .as_ref()
        .and_then(|begun| engine.clock().since(begun));
    if passed.is_some_and(|passed| passed >= pending.lifetime) {
        return Err(expired());
    }
    if pending.session.as_ref() != session {
        return Err(failed(
            "other_session",
            "the sign-in was begun in another browser session (RFC 6749 section 10.12)",
        )
        .hint(again));
    }
    let integration = engine
        .integration(&key.integration.provider, Some(key.integration.grant_type))
        .await?;
    let spec = integration.spec()?;
    let token_endpoint = spec.endpoints.token_endpoint.clone().unwrap_or_default();
    if pending.client_id != integration.client_id() || pending.token_endpoint != token_endpoint {
        return Err(failed(
            "configuration_changed",
            "the integration was configured anew during the sign-in",
        )
        .hint(again));
    }
    let issuer = spec.endpoints.issuer.as_deref();
    callback
        .check_issuer(issuer, integration.configuration.issuer_promised)
        .map_err(|error| error.hint(&again))?;
    if let Some((error, description)) = callback.error(&spec.callback) {
        engine.store().delete_pending(&row.state_hash).await?;
        return Err(denied(&spec, &error, description).hint(again));
    }
    callback
        .check_signature(&spec, &integration.client(&spec))
        .map_err(|error| error.hint(&again))?;
    // The callback may say at which of the provider's hosts the code is good.
    let spec = integration.spec_with(&callback.kept(&spec.callback))?;
    let code = callback.code(&spec.callback).ok_or_else(|| {
        failed(
            "code_missing",
            "the callback URL has neither code nor error",
        )
    })?;
    if !engine.store().claim_pending(&row.state_hash).await? {
        return Err(failed("callback_used", "this callback was used already").hint(again));
    }
    // From here on the code may be spent: the end of the process waits for what it brings.
    let _unfinished = Unfinished::begin();
    let client = integration.client(&spec);
    let exchange = CodeExchange {
        code: &code,
        redirect_uri: &pending.redirect_uri,
        verifier: pending.verifier.as_ref(),
        state: callback.state.as_ref(),
        nonce: pending.nonce.as_ref(),
        requested: &pending.scopes,
        resource: "",
    };
    let outcome =
        oauth::token::exchange_code(&engine.http(), &spec, client, exchange, engine.clock()).await;
    let issued = match outcome {
        Outcome::Issued(issued) => with_callback(*issued, callback, &spec),
        Outcome::NotProcessed {
            error: None,
            status: None,
            reason,
            retry_after,
            ..
        } => {
            // Nothing was sent: the same callback may be tried again.
            engine.store().release_pending(&row.state_hash).await?;
            return Err(Error::new(
                ErrorKind::ProviderUnavailable { retry_after },
                "provider_unavailable",
                reason,
            )
            .hint(engine.command("complete-connect")));
        }
        other => {
            engine.store().delete_pending(&row.state_hash).await?;
            return Err(exchange_failed(engine, key, other));
        }
    };
    fault::point("connect.exchanged");
    // So may the reply, and everything after it goes there.
    let spec = integration.spec_with(&issued.kept)?;
    keep(engine, key, &integration, &spec, issued, &pending.scopes).await?;
    engine.store().delete_pending(&row.state_hash).await?;
    engine
        .status(
            &key.integration.provider,
            Some(key.integration.grant_type),
            &key.connection,
        )
        .await
}

/// Stores what a sign-in brought, and whose it is.
pub(super) async fn keep(
    engine: &Arc<Engine>,
    key: &ConnectionKey,
    integration: &Integration,
    spec: &Spec,
    issued: Issued,
    scopes: &[String],
) -> Result<()> {
    let client = integration.client(spec);
    let token = issued.token.clone();
    let known = issued.account.clone();
    let look_up = async {
        let http = engine.http();
        match account::account(&http, spec, client, &token, engine.clock()).await {
            Ok(account) => merged(known.clone(), account),
            Err(error) => {
                let reason = error.reason();
                tracing::info!(reason, "the account could not be looked up");
                known.clone()
            }
        }
    };
    if issued.refresh_token.is_some() {
        // The grant first: a process that dies during the look-up must not lose it.
        let generation = engine
            .keep_grant(key, integration, spec, issued, scopes, known.clone())
            .await?;
        fault::point("connect.committed");
        engine.label_grant(key, generation, look_up.await).await?;
    } else {
        // Whether an earlier refresh token is kept depends on whose account this is.
        let account = look_up.await;
        engine
            .keep_grant(key, integration, spec, issued, scopes, account)
            .await?;
    }
    Ok(())
}

fn with_callback(mut issued: Issued, callback: &Callback, spec: &Spec) -> Issued {
    for (name, value) in callback.kept(&spec.callback) {
        issued.kept.entry(name).or_insert(value);
    }
    issued
}

pub(super) fn exchange_failed(engine: &Engine, key: &ConnectionKey, outcome: Outcome) -> Error {
    let again = engine.connect_command(key, false);
    let (error, description, reason) = match outcome {
        Outcome::Unknown {
            html: false,
            reason,
        } => {
            let kind = ErrorKind::ProviderUnavailable { retry_after: None };
            return Error::new(kind, "provider_unavailable", reason).hint(again);
        }
        Outcome::NotProcessed {
            error,
            reason,
            retry_after,
            ..
        } if error.as_deref().is_none_or(transient) => {
            let kind = ErrorKind::ProviderUnavailable { retry_after };
            return Error::new(kind, "provider_unavailable", reason).hint(again);
        }
        Outcome::NotProcessed {
            error,
            description,
            reason,
            ..
        } => (error, description, reason),
        Outcome::Refused {
            error,
            description,
            reason,
            ..
        } => (Some(error), description, reason),
        Outcome::Unusable { rule, .. } => (None, None, rule),
        Outcome::Unknown { reason, .. } => (None, None, reason),
        Outcome::Issued(_) => (None, None, String::new()),
    };
    let code = if error.as_deref() == Some("invalid_client") {
        "invalid_client"
    } else {
        "provider_rejected"
    };
    let hint = match code {
        "invalid_client" => engine.command(&format!(
            "configure {} --grant-type {} --client-secret-stdin",
            key.integration.provider, key.integration.grant_type
        )),
        _ => again,
    };
    let kind = ErrorKind::ProviderRejected { error, description };
    Error::new(kind, code, reason).hint(hint)
}

pub(super) fn denied(spec: &Spec, error: &str, description: Option<String>) -> Error {
    let provider = &spec.name;
    let meaning = spec.errors.get(error).map(|known| known.meaning.clone());
    let words = description
        .map(|words| format!(": {words}"))
        .unwrap_or_default();
    if error == "access_denied" || error == "consent_required" {
        return Error::new(
            ErrorKind::ConnectDenied,
            "connect_denied",
            meaning.unwrap_or_else(|| {
                format!("the person, or {provider} for them, said no ({error}{words})")
            }),
        );
    }
    let reason =
        meaning.unwrap_or_else(|| format!("{provider} ended the sign-in ({error}{words})"));
    failed("authorization_error", reason)
}

fn merged(issued: Account, looked_up: Account) -> Account {
    Account {
        id: looked_up.id.or(issued.id),
        email: looked_up.email.or(issued.email),
        name: looked_up.name.or(issued.name),
        workspace: looked_up.workspace.or(issued.workspace),
        workspace_id: looked_up.workspace_id.or(issued.workspace_id),
    }
}

fn failed(code: &'static str, reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::ConnectFailed, code, reason)
}

fn hash(state: &Secret) -> Vec<u8> {
    Sha256::digest(state.expose().as_bytes()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
