//! The verbs under test on a workspace in a folder: what a victim does, and what was there before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::connect::{self, ConnectRequest};
use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{Choice, Environment, open};
use _core::engine::{Engine, TokenRequest};
use _core::error::{Error, Result};
use _core::model::{ConnectionKey, GrantType, IntegrationKey};
use _core::secret::Secret;
use _core::store::sqlite::SqliteStore;
use _core::store::{Store as _, StoredState};

use super::server::{LASTING, Server};
use crate::support::{Authority, NOW};

/// An hour, after which the access tokens of `acme` are over and those of `elsewhere` are not.
const LATER: Duration = Duration::from_secs(3600);
/// Longer than anybody rests after a failure, shorter than a lease.
const REST: Duration = Duration::from_secs(60);
/// Where a test keeps the URL that a sign-in brings back.
pub(super) const CALLBACK_FILE: &str = "callback";
const CALLBACK: &str = "https://app.example/callback";

/// What a victim does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    /// A whole sign-in of `acme`.
    Connect,
    /// `get_token` of `acme`, whose token is over.
    Refresh,
    /// `disconnect` of `acme`, with revocation.
    Disconnect,
    /// `remove` of `acme`, which has two connections.
    Remove,
    /// `apply` of a file with an integration and two connections.
    Apply,
    /// The first `configure` in a home that is not there yet.
    Migrate,
}

impl Verb {
    const ALL: [Self; 6] = [
        Self::Connect,
        Self::Refresh,
        Self::Disconnect,
        Self::Remove,
        Self::Apply,
        Self::Migrate,
    ];

    /// Its name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Disconnect => "disconnect",
            Self::Remove => "remove",
            Self::Apply => "apply",
            Self::Migrate => "migrate",
        }
    }

    /// The verb of that name.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word() == word)
    }
}

/// A workspace as a process opens it.
pub(super) struct Workspace {
    pub(super) engine: Arc<Engine>,
    store: SqliteStore,
    clock: Arc<ManualClock>,
    folder: PathBuf,
}

impl Workspace {
    /// The workspace in `folder`, when the tokens of `acme` are over.
    pub(super) async fn open(folder: &Path) -> Result<Self> {
        Self::open_after(folder, LATER).await
    }

    /// The same workspace after all rests that failures ask for.
    pub(super) async fn open_rested(folder: &Path) -> Result<Self> {
        Self::open_after(folder, LATER + REST).await
    }

    async fn open_after(folder: &Path, passed: Duration) -> Result<Self> {
        let environment = Environment {
            home: Some(folder.join("home")),
            config_home: Some(folder.join("config")),
            // Else every process reads all roots of the system first: a thousand calls that are about nothing here.
            ca_file: Some(folder.join("roots.pem")),
            ..Environment::default()
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        clock.advance(passed);
        let choice = Choice {
            clock: Clock::manual(Arc::clone(&clock)),
            ..Choice::default()
        };
        Ok(Self {
            engine: open(choice, &environment).await?,
            store: SqliteStore::open(&file(folder))?,
            clock,
            folder: folder.to_owned(),
        })
    }

    /// Does `verb`, for the time that `turn` counts.
    pub(super) async fn call(&self, verb: Verb, base: &str, turn: u32) -> Result<()> {
        match verb {
            Verb::Connect => self.sign_in("default", &format!("turn-{turn}")).await,
            Verb::Refresh => self.token("acme", "default").await.map(drop),
            Verb::Disconnect => {
                let left = self.engine.disconnect("acme", None, "default", true);
                done(left.await?.ok, "disconnect_reported")
            }
            Verb::Remove => {
                let left = self.engine.remove("acme", None, true);
                done(left.await?.ok, "remove_reported")
            }
            Verb::Apply => {
                let lookup = |name: &str| Some(Secret::from(name));
                let file = self.folder.join("evergrant.yaml");
                let applied = self.engine.apply(&file, false, &lookup).await?;
                done(applied.ok, "apply_reported")
            }
            Verb::Migrate => self.configure("acme", "client-1", base).await,
        }
    }

    /// Lets the rest pass that a failure asks for.
    pub(super) fn rest(&self) {
        self.clock.advance(REST);
    }

    /// A token of a connection.
    pub(super) async fn token(&self, provider: &str, connection: &str) -> Result<String> {
        let request = TokenRequest {
            provider: provider.to_owned(),
            connection: connection.to_owned(),
            ..TokenRequest::default()
        };
        let slot = self.engine.get_token(&request).await?;
        Ok(slot.stored.token.value.expose().to_owned())
    }

    /// A whole sign-in of `acme`, whose person brings `code` back.
    pub(super) async fn sign_in(&self, connection: &str, code: &str) -> Result<()> {
        self.sign_in_at("acme", connection, code).await
    }

    async fn sign_in_at(&self, provider: &str, connection: &str, code: &str) -> Result<()> {
        let request = ConnectRequest {
            provider: provider.to_owned(),
            connection: connection.to_owned(),
            ..ConnectRequest::default()
        };
        let session = Secret::from("session-1");
        let engine = Arc::clone(&self.engine);
        let begun = connect::begin_connect(engine, request, CALLBACK, session.clone()).await?;
        let url = format!("{CALLBACK}?state={}&code={code}", begun.state.expose());
        fs::write(self.folder.join(CALLBACK_FILE), &url).unwrap();
        let engine = Arc::clone(&self.engine);
        connect::complete_connect(engine, &url, Some(session))
            .await
            .map(drop)
    }

    /// Brings back what the last sign-in in this folder was to bring.
    pub(super) async fn sign_in_with_the_same_callback(&self) -> Result<()> {
        let url = fs::read_to_string(self.folder.join(CALLBACK_FILE)).unwrap();
        let engine = Arc::clone(&self.engine);
        connect::complete_connect(engine, &url, Some(Secret::from("session-1")))
            .await
            .map(drop)
    }

    /// What is stored of a connection of `acme`.
    pub(super) async fn state(&self, connection: &str) -> Option<StoredState> {
        let key = ConnectionKey {
            integration: IntegrationKey {
                workspace: "default".into(),
                provider: "acme".into(),
                grant_type: GrantType::AuthorizationCode,
            },
            connection: connection.into(),
        };
        let loaded = self.store.load(&key, "").await.unwrap();
        loaded.connection.map(|row| row.state)
    }

    /// Whether `acme` is configured.
    pub(super) async fn is_configured(&self) -> bool {
        let integrations = self.engine.integrations().await.unwrap();
        integrations.iter().any(|status| status.provider == "acme")
    }

    async fn configure(&self, provider: &str, client_id: &str, base: &str) -> Result<()> {
        let endpoints = ["authorization", "token", "revocation", "userinfo"]
            .map(|name| (format!("{name}_endpoint"), format!("{base}/{}", path(name))));
        let request = Configure {
            provider: provider.to_owned(),
            grant_type: Some(GrantType::AuthorizationCode),
            client_id: Some(client_id.to_owned()),
            settings: Settings {
                endpoints: Some(BTreeMap::from(endpoints)),
                ..Settings::default()
            },
            ..Configure::default()
        };
        self.engine.configure(request).await.map(drop)
    }
}

/// Makes in `folder` what is there before `verb`, and lets the server know.
pub(super) async fn prepare(verb: Verb, folder: &Path, server: &Server) {
    let roots = Authority::new().pem;
    fs::write(folder.join("roots.pem"), roots).unwrap();
    if verb == Verb::Migrate {
        return;
    }
    let workspace = Workspace::open_after(folder, Duration::ZERO).await.unwrap();
    let base = &server.base;
    let elsewhere = workspace.configure("elsewhere", LASTING, base);
    elsewhere.await.unwrap();
    let signed_in = workspace.sign_in_at("elsewhere", "default", "elsewhere");
    signed_in.await.unwrap();
    if verb == Verb::Apply {
        let file = folder.join("evergrant.yaml");
        fs::write(file, FILE.replace("SERVER", base)).unwrap();
        server.book().grant("rt-alice");
        server.book().grant("rt-bob");
    } else {
        let acme = workspace.configure("acme", "client-1", base);
        acme.await.unwrap();
    }
    if matches!(verb, Verb::Refresh | Verb::Disconnect | Verb::Remove) {
        workspace.sign_in("default", "default").await.unwrap();
    }
    if verb == Verb::Remove {
        workspace.sign_in("bob", "bob").await.unwrap();
    }
}

/// The store's file.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("home").join("store.db")
}

const FILE: &str = "
integrations:
  - provider: acme
    client_id: client-1
    endpoints: {authorization_endpoint: SERVER/authorize, token_endpoint: SERVER/token}
connections:
  - {provider: acme, connection: alice, refresh_token: {env: rt-alice}}
  - {provider: acme, connection: bob, refresh_token: {env: rt-bob}}
";

fn path(endpoint: &str) -> &str {
    match endpoint {
        "authorization" => "authorize",
        "revocation" => "revoke",
        other => other,
    }
}

/// A report that is not all good, as an error.
fn done(ok: bool, code: &'static str) -> Result<()> {
    match ok {
        true => Ok(()),
        false => Err(Error::store(code, "the report is not ok")),
    }
}

/// Waits no longer than a person would.
pub(super) async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .ok()
}
