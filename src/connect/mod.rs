//! Sign-ins: begin one, complete one, and the race of a loopback callback, a code typed at another device, and a sign-in
//! that is finished elsewhere.

pub mod device;
pub mod loopback;
pub mod pending;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use crate::clock::Timestamp;
use crate::engine::config::Integration;
use crate::engine::{Engine, runtime};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, GrantType, Status};
use crate::oauth;
use crate::provider::Spec;
use crate::secret::Secret;
use crate::store::StoredState;

use self::device::{DevicePrompt, DeviceSignIn};
use self::loopback::Listener;
use self::pending::Begun;

/// How often a waiting sign-in looks whether it was finished elsewhere.
const LOOK: Duration = Duration::from_millis(400);

/// What a caller asks of `connect`.
#[derive(Clone, Debug, Default)]
pub struct ConnectRequest {
    /// The provider's id or alias.
    pub provider: String,
    /// The grant type; `None`: the only configured one.
    pub grant_type: Option<GrantType>,
    /// The connection's name.
    pub connection: String,
    /// Asked on top of the integration's scopes, for this connection.
    pub scopes: Vec<String>,
    /// Even when it is connected already.
    pub again: bool,
    /// No browser of the person's reaches this machine: a device code is asked for, too, where there are any.
    pub headless: bool,
    /// How long the sign-in may take.
    pub timeout: Duration,
}

/// A sign-in that a web application began: it sends the person to the URL and gets the callback.
#[derive(Clone)]
pub struct PendingConnection {
    /// Where to send the person.
    pub authorization_url: String,
    /// The state in it.
    pub state: Secret,
    /// When the callback is no longer accepted (UTC).
    pub expires_at: Timestamp,
}

impl fmt::Debug for PendingConnection {
    /// Without the URL: the state stands in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PendingConnection")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// How `connect` goes on.
#[derive(Debug)]
pub enum Connecting {
    /// Nothing to do, or done: connected already, or a service token was fetched.
    Done(Box<Status>),
    /// A person has to sign in.
    SignIn(SignIn),
}

/// A sign-in under way in this process.
pub struct SignIn {
    /// Where to send the person; `None` where there is a device code only.
    pub url: Option<String>,
    /// The redirect URI in it.
    pub redirect_uri: Option<String>,
    /// Whether this process listens for the callback.
    pub listens: bool,
    /// The code to type at another device.
    pub device: Option<DevicePrompt>,
    landing: watch::Receiver<Option<Result<Status>>>,
    cancel: watch::Sender<bool>,
}

impl fmt::Debug for SignIn {
    /// Without the URL: the state stands in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SignIn")
            .field("redirect_uri", &self.redirect_uri)
            .field("listens", &self.listens)
            .finish_non_exhaustive()
    }
}

impl SignIn {
    /// Waits until somebody finished it: the browser, a pasted URL, or another process.
    pub async fn landed(&self) -> Result<Status> {
        let mut landing = self.landing.clone();
        match landing.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().expect("waited for the result"),
            Err(_) => Err(Error::new(
                ErrorKind::ConnectFailed,
                "sign_in_cancelled",
                "the sign-in was cancelled",
            )),
        }
    }

    /// Gives it up and closes the port.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }
}

impl Drop for SignIn {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Begins to connect: answers at once when connected with the scopes asked, fetches a service token, or begins a
/// sign-in: it listens on the loopback redirect URI (RFC 8252 section 7.3), and asks for a device code (RFC 8628) where
/// that is the only way or no browser reaches this machine.
///
/// # Errors
/// `ConnectFailed` for a port that is taken, `InvalidScope`, and what fetching a token can raise.
pub async fn connect(engine: Arc<Engine>, request: ConnectRequest) -> Result<Connecting> {
    let (key, connected) = engine.prepare_connect(&request).await?;
    if let Some(status) = connected {
        return Ok(Connecting::Done(Box::new(status)));
    }
    if key.integration.grant_type == GrantType::ClientCredentials {
        engine.fetch_token(&key, request.again).await?;
        let status = engine.status(
            &key.integration.provider,
            Some(key.integration.grant_type),
            &key.connection,
        );
        return Ok(Connecting::Done(Box::new(status.await?)));
    }
    let integration = engine
        .integration(&key.integration.provider, Some(key.integration.grant_type))
        .await?;
    let spec = integration.spec()?;
    let by_browser = spec.endpoints.authorization_endpoint.is_some();
    let (listener, begun) = if by_browser {
        let (listener, begun) = browser(&engine, &key, &integration, &spec, &request).await?;
        (listener, Some(begun))
    } else {
        (None, None)
    };
    let device = if !by_browser || request.headless && oauth::device::is_offered(&spec) {
        match DeviceSignIn::begin(&engine, &key, &integration, &spec, &request.scopes).await {
            Ok(device) => Some(device),
            Err(error) if begun.is_some() => {
                tracing::info!(reason = error.reason(), "no code for another device");
                None
            }
            Err(error) => return Err(error.of_provider(&key.integration.provider)),
        }
    } else {
        None
    };
    let (landed, landing) = watch::channel(None);
    let (cancel, cancelled) = watch::channel(false);
    let sign_in = SignIn {
        url: begun.as_ref().map(|begun| begun.url.to_string()),
        redirect_uri: begun.as_ref().map(|begun| begun.redirect_uri.clone()),
        listens: listener.is_some(),
        device: device.as_ref().map(DeviceSignIn::prompt),
        landing,
        cancel,
    };
    let ways = Ways {
        listener,
        begun,
        device,
    };
    let timeout = request.timeout;
    runtime::spawn(async move {
        let outcome = race(&engine, &key, ways, cancelled, timeout).await;
        landed.send_replace(Some(outcome));
    });
    Ok(Connecting::SignIn(sign_in))
}

/// Begins a sign-in in a browser, and listens for its callback where the redirect URI is on this machine.
async fn browser(
    engine: &Arc<Engine>,
    key: &ConnectionKey,
    integration: &Integration,
    spec: &Spec,
    request: &ConnectRequest,
) -> Result<(Option<Listener>, Begun)> {
    let configured = integration.redirect_uri(spec);
    // Where the redirect URI is only a name, the person pastes the URL that they came to.
    let listener = if spec.redirect.opaque {
        None
    } else {
        Listener::bind(&configured).await.map_err(|error| {
            let provider = &key.integration.provider;
            let any_port = format!("configure {provider} --redirect-uri http://127.0.0.1/callback");
            error.of_provider(provider).hint(engine.command(&any_port))
        })?
    };
    let redirect_uri = listener
        .as_ref()
        .map_or(configured, |listener| listener.redirect_uri().to_owned());
    let begun = pending::begin(
        engine,
        key,
        &redirect_uri,
        None,
        &request.scopes,
        request.timeout,
    )
    .await?;
    Ok((listener, begun))
}

/// Begins a sign-in whose callback reaches the caller's own redirect URI.
///
/// `session` identifies the browser session (RFC 6749 section 10.12): [`complete_connect`] needs the same.
pub async fn begin_connect(
    engine: Arc<Engine>,
    request: ConnectRequest,
    redirect_uri: &str,
    session: Secret,
) -> Result<PendingConnection> {
    let (key, _) = engine
        .prepare_connect(&ConnectRequest {
            again: true,
            ..request.clone()
        })
        .await?;
    if key.integration.grant_type == GrantType::ClientCredentials {
        return Err(Error::invalid_parameter(
            "no_sign_in",
            "a client credentials grant needs no sign-in",
        )
        .of_provider(&key.integration.provider));
    }
    if session.expose().is_empty() {
        return Err(Error::invalid_parameter(
            "session_missing",
            "session has to identify the browser session",
        ));
    }
    let integration = engine
        .integration(&key.integration.provider, Some(key.integration.grant_type))
        .await?;
    if !integration.provider.has_opaque_redirect() {
        crate::engine::configure::check_redirect_uri(redirect_uri)?;
    }
    let lifetime = pending::LIFETIME;
    let begun = pending::begin(
        &engine,
        &key,
        redirect_uri,
        Some(session),
        &request.scopes,
        lifetime,
    )
    .await?;
    Ok(PendingConnection {
        authorization_url: begun.url.to_string(),
        state: begun.state,
        expires_at: begun.expires_at,
    })
}

/// Finishes a sign-in by the URL that the browser was sent back to, in any process.
///
/// # Errors
/// `ConnectFailed` (unknown, used or expired state, another session, another server's `iss`), `ConnectDenied`,
/// `ProviderRejected`, `ProviderUnavailable`. A wrong state or session consumes nothing.
pub async fn complete_connect(
    engine: Arc<Engine>,
    callback_url: &str,
    session: Option<Secret>,
) -> Result<Status> {
    pending::complete(&engine, callback_url, session.as_ref()).await
}

/// The ways to finish a sign-in.
struct Ways {
    listener: Option<Listener>,
    begun: Option<Begun>,
    device: Option<DeviceSignIn>,
}

/// The first way that is finished wins, and ends the others.
async fn race(
    engine: &Arc<Engine>,
    key: &ConnectionKey,
    ways: Ways,
    mut cancelled: watch::Receiver<bool>,
    timeout: Duration,
) -> Result<Status> {
    let Ways {
        listener,
        begun,
        device,
    } = ways;
    let begun = begun.as_ref();
    let listened = async {
        match (listener, begun) {
            (Some(listener), Some(begun)) => listener.serve(engine, begun).await,
            _ => std::future::pending().await,
        }
    };
    let elsewhere = async {
        match begun {
            Some(begun) => finished_elsewhere(engine, key, begun).await,
            None => std::future::pending().await,
        }
    };
    let typed = async {
        match device {
            Some(device) => match device.landed().await {
                // The browser may still finish it.
                Err(error) if begun.is_some() && *error.kind() != ErrorKind::ConnectDenied => {
                    tracing::info!(
                        reason = error.reason(),
                        "the code for another device is over"
                    );
                    std::future::pending().await
                }
                landed => landed,
            },
            None => std::future::pending().await,
        }
    };
    let abandon = async || {
        if let Some(begun) = begun {
            pending::abandon(engine, begun).await;
        }
    };
    let seconds = timeout.as_secs_f64();
    tokio::select! {
        status = listened => status,
        status = elsewhere => status,
        status = typed => {
            abandon().await;
            status
        }
        () = ended(&mut cancelled) => {
            abandon().await;
            Err(Error::new(ErrorKind::ConnectFailed, "sign_in_cancelled", "the sign-in was cancelled"))
        }
        () = tokio::time::sleep(timeout) => {
            abandon().await;
            Err(Error::new(
                ErrorKind::ConnectTimeout,
                "connect_timeout",
                format!("nobody finished the sign-in at {} within {seconds} s", key.integration.provider),
            )
            .hint(engine.connect_command(key, false)))
        }
    }
    .map_err(|error| error.of_provider(&key.integration.provider).of_connection(&key.connection))
}

async fn ended(cancelled: &mut watch::Receiver<bool>) {
    // An error means that nobody holds the sign-in any more: that ends it too.
    drop(cancelled.wait_for(|cancelled| *cancelled).await);
}

/// Waits until the sign-in is no longer pending and its connection is newer than the sign-in.
async fn finished_elsewhere(
    engine: &Arc<Engine>,
    key: &ConnectionKey,
    begun: &Begun,
) -> Result<Status> {
    loop {
        tokio::time::sleep(LOOK).await;
        if engine.store().pending(&begun.state_hash).await?.is_some() {
            continue;
        }
        // Perhaps it is our own listener that finished it: it shows its page first.
        tokio::time::sleep(2 * loopback::LAST_PAGE).await;
        let loaded = engine.store().load(key, "").await?;
        if loaded.generation() > begun.generation
            && loaded.connection.as_ref().map(|row| row.state) == Some(StoredState::Connected)
        {
            let grant_type = Some(key.integration.grant_type);
            return engine
                .status(&key.integration.provider, grant_type, &key.connection)
                .await;
        }
        if loaded.generation() == begun.generation {
            return Err(Error::new(
                ErrorKind::ConnectFailed,
                "sign_in_ended",
                "the sign-in was ended elsewhere without a connection",
            )
            .hint(engine.connect_command(key, false)));
        }
    }
}

impl Engine {
    /// Which connection is meant, and its status when there is nothing to do.
    async fn prepare_connect(
        self: &Arc<Self>,
        request: &ConnectRequest,
    ) -> Result<(ConnectionKey, Option<Status>)> {
        crate::engine::open::check_name(&request.connection, "connection")?;
        let integration = self
            .integration(&request.provider, request.grant_type)
            .await?;
        let key = ConnectionKey {
            integration: integration.key.clone(),
            connection: request.connection.as_str().into(),
        };
        let spec = integration.spec()?;
        for scope in &request.scopes {
            crate::provider::scope::validate(&spec.scopes, &key.integration.provider, scope)?;
        }
        self.require_writable("connect")?;
        if key.integration.grant_type == GrantType::AuthorizationCode {
            self.require_durable("connect", &spec)?;
        }
        if request.again {
            return Ok((key, None));
        }
        let status = self
            .status(
                &key.integration.provider,
                Some(key.integration.grant_type),
                &key.connection,
            )
            .await?;
        let wanted = self.requested_scopes(&integration, &spec, &request.scopes);
        let all = wanted
            .iter()
            .all(|scope| crate::provider::scope::covers(&status.granted_scopes, scope, &spec));
        let connected = status.state == crate::model::State::Connected && all;
        Ok((key, connected.then_some(status)))
    }
}

/// Whether a URL's host is this machine's loopback interface.
pub(crate) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}
