//! The engine and the sign-ins against a provider on loopback: time is moved by hand, replies are held back by hand.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::engine::cache::Slot;
use _core::engine::configure::{Configure, Settings};
use _core::engine::open::{ExplicitKey, open_on};
use _core::engine::{Engine, TokenRequest};
use _core::error::{Error, ErrorKind, Result};
use _core::model::{ConnectionKey, GrantType, IntegrationKey};
use _core::provider::catalog::Catalog;
use _core::secret::SecretBytes;
use _core::store::memory::MemoryStore;
use _core::store::sqlite::SqliteStore;
use _core::store::{Ending, Loaded, Store, StoredState};
use tempfile::TempDir;

use self::server::{Answer, Server};
use self::store::Unreliable;
use crate::support::NOW;

mod apply;
mod arrive;
mod backoff;
mod cache;
mod claim;
mod clocks;
mod commit;
mod configure;
mod connect;
mod damage;
mod device;
mod ended;
mod exchange;
mod flight;
mod freshness;
mod introspection;
mod leave;
mod loopback;
mod meanwhile;
mod outcomes;
mod record;
mod registration;
mod replay;
mod resources;
mod server;
mod status;
mod store;
mod vendors;

const USER: GrantType = GrantType::AuthorizationCode;
const SERVICE: GrantType = GrantType::ClientCredentials;

/// A provider file `acme` whose user grant refreshes as `refresh` says, with more sections in `more`.
fn acme(refresh: &str, more: &str) -> String {
    format!(
        "id: acme
name: Acme
category: other
summary: A provider made up for tests.
endpoints: {{authorization_endpoint: 'https://acme.example/authorize', token_endpoint: 'https://acme.example/token'}}
client: {{authentication: [client_secret_post, none]}}
scopes: {{base: [base], allowed: ['[a-z.:/]+']}}
grants:
  authorization_code: {{refresh: {refresh}}}
  client_credentials: {{}}
{more}
"
    )
}

/// A workspace with its provider. `engine` is one process, [`another`](World::another) makes a second one.
struct World {
    server: Server,
    clock: Arc<ManualClock>,
    store: Arc<Unreliable>,
    engine: Arc<Engine>,
    folder: TempDir,
}

impl World {
    /// A provider of the user's own, on a store in memory; nothing is configured.
    pub(super) async fn bare() -> Self {
        Self::on(
            Arc::new(MemoryStore::new()),
            tempfile::tempdir().unwrap(),
            None,
        )
        .await
    }

    /// The same on a SQLite file.
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("data").join("store.db")).unwrap();
        Self::on(Arc::new(store), folder, None).await
    }

    /// With the provider file `acme`, nothing configured.
    pub(super) async fn with_file(file: &str) -> Self {
        Self::on(
            Arc::new(MemoryStore::new()),
            tempfile::tempdir().unwrap(),
            Some(file),
        )
        .await
    }

    async fn on(store: Arc<dyn Store>, folder: TempDir, file: Option<&str>) -> Self {
        let providers = folder.path().join("providers");
        std::fs::create_dir(&providers).unwrap();
        if let Some(file) = file {
            std::fs::write(providers.join("acme.yaml"), file).unwrap();
        }
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let store = Arc::new(Unreliable::new(store));
        let engine = engine_on(store.clone(), &clock, &folder).await;
        Self {
            server: Server::start().await,
            clock,
            store,
            engine,
            folder,
        }
    }

    /// A user grant whose refresh token is `rt-0`; no access token yet.
    async fn imported(self) -> Self {
        self.configure(USER).await;
        self.import("default", "rt-0").await;
        self
    }

    /// A user grant with the access token `at-1` and the refresh token `rt-1`, both an hour long: one request was made.
    async fn connected(self) -> Self {
        let world = self.imported().await;
        assert_eq!(world.token().await.unwrap(), "at-1");
        world
    }

    /// A configured service grant, no token yet.
    async fn service(self) -> Self {
        self.configure(SERVICE).await;
        self
    }

    async fn configure(&self, grant_type: GrantType) {
        self.configure_with(grant_type, |_| {}).await.unwrap();
    }

    async fn configure_with(
        &self,
        grant_type: GrantType,
        change: impl FnOnce(&mut Configure),
    ) -> Result<_core::model::Status> {
        let mut request = self.configuration(grant_type);
        change(&mut request);
        self.engine.configure(request).await
    }

    /// The configuration of `acme` with this world's server.
    fn configuration(&self, grant_type: GrantType) -> Configure {
        let endpoint = |path: &str| format!("{}{path}", self.server.base);
        let mut endpoints = BTreeMap::from([
            ("token_endpoint".to_owned(), endpoint("/token")),
            ("revocation_endpoint".to_owned(), endpoint("/revoke")),
        ]);
        if grant_type == USER {
            endpoints.insert("authorization_endpoint".to_owned(), endpoint("/authorize"));
        }
        Configure {
            provider: "acme".to_owned(),
            grant_type: Some(grant_type),
            client_id: Some("client-1".to_owned()),
            client_secret: Some("s3cret".into()),
            settings: Settings {
                endpoints: Some(endpoints),
                ..Settings::default()
            },
        }
    }

    pub(super) async fn import(&self, connection: &str, refresh_token: &str) {
        let imported = self.engine.import_refresh_token(
            "acme",
            refresh_token.into(),
            Some(USER),
            connection,
            &[],
        );
        imported.await.unwrap();
    }

    /// A second process on the same store.
    async fn another(&self) -> Arc<Engine> {
        engine_on(self.store.clone(), &self.clock, &self.folder).await
    }

    /// A second process for which the store never fails.
    async fn another_on_a_sound_store(&self) -> Arc<Engine> {
        engine_on(self.store.reliable(), &self.clock, &self.folder).await
    }

    /// A process that runs on a sound store when another one dies.
    async fn another_with_what_is_left_later(&self) -> Arc<Engine> {
        let sound = Arc::new(Unreliable::new(self.store.reliable()));
        let engine = engine_on(sound.clone(), &self.clock, &self.folder).await;
        let left = std::mem::take(&mut *self.store.left.lock().unwrap());
        *sound.left.lock().unwrap() = left;
        engine
    }

    /// A process that starts on a sound store and finds what was left.
    async fn another_with_what_was_left(&self) -> Arc<Engine> {
        self.survivor().await.0
    }

    /// The same with its store, whose slots can be looked at.
    async fn survivor(&self) -> (Arc<Engine>, Arc<Unreliable>) {
        let sound = Arc::new(Unreliable::new(self.store.reliable()));
        let left = std::mem::take(&mut *self.store.left.lock().unwrap());
        *sound.left.lock().unwrap() = left;
        let engine = engine_on(sound.clone(), &self.clock, &self.folder).await;
        (engine, sound)
    }

    /// The default connection's token, as a caller without wishes gets it.
    async fn token(&self) -> Result<String> {
        self.token_for(|_| {}).await
    }

    async fn token_for(&self, wish: impl FnOnce(&mut TokenRequest)) -> Result<String> {
        Ok(value(&*self.slot_for(wish).await?))
    }

    async fn slot_for(&self, wish: impl FnOnce(&mut TokenRequest)) -> Result<Arc<Slot>> {
        let mut request = request();
        wish(&mut request);
        within(self.engine.get_token(&request)).await
    }

    /// A call that runs while the test goes on.
    fn calling(&self) -> tokio::task::JoinHandle<Result<String>> {
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move { token_of(&engine).await })
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn loaded(&self) -> Loaded {
        self.loaded_of(USER, "").await
    }

    pub(super) async fn loaded_of(&self, grant_type: GrantType, resource: &str) -> Loaded {
        self.store
            .load(&key_of(grant_type), resource)
            .await
            .unwrap()
    }

    async fn state(&self) -> Option<StoredState> {
        self.loaded().await.connection.map(|row| row.state)
    }

    /// How the last attempt ended, if it is over without a commit.
    async fn ending(&self, grant_type: GrantType) -> Option<Ending> {
        self.loaded_of(grant_type, "").await.attempt?.ending
    }
}

pub(super) async fn engine_on(
    store: Arc<dyn Store>,
    clock: &Arc<ManualClock>,
    folder: &TempDir,
) -> Arc<Engine> {
    let catalog = Catalog::with_folders(&[folder.path().join("providers")]).unwrap();
    let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
    open_on(
        store,
        "default",
        key,
        Clock::manual(Arc::clone(clock)),
        catalog,
    )
    .await
    .unwrap()
}

pub(super) fn request() -> TokenRequest {
    TokenRequest {
        provider: "acme".to_owned(),
        connection: "default".to_owned(),
        ..TokenRequest::default()
    }
}

fn key_of(grant_type: GrantType) -> ConnectionKey {
    ConnectionKey {
        integration: IntegrationKey {
            workspace: "default".into(),
            provider: "acme".into(),
            grant_type,
        },
        connection: "default".into(),
    }
}

async fn token_of(engine: &Arc<Engine>) -> Result<String> {
    Ok(value(&*within(engine.get_token(&request())).await?))
}

fn value(slot: &Slot) -> String {
    slot.stored.token.value.expose().to_owned()
}

/// A test that would wait for ever fails instead.
async fn within<T>(work: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, work)
        .await
        .expect("it ends in time")
}

/// Waits for what happens in the background.
async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not happen");
}

/// A word for an error's kind.
fn kind_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::AmbiguousGrant => "ambiguous",
        ErrorKind::ConnectDenied => "denied",
        ErrorKind::ConnectFailed => "connect failed",
        ErrorKind::ConnectTimeout => "timeout",
        ErrorKind::Internal => "internal",
        ErrorKind::InvalidParameter => "invalid parameter",
        ErrorKind::InvalidScope { .. } => "invalid scope",
        ErrorKind::MissingScopes { .. } => "missing scopes",
        ErrorKind::NotConfigured => "not configured",
        ErrorKind::NotConnected => "not connected",
        ErrorKind::ProviderRejected { .. } => "rejected",
        ErrorKind::ProviderUnavailable { .. } => "unavailable",
        ErrorKind::ReauthorizationRequired { .. } => "reauthorization",
        ErrorKind::Store => "store",
        ErrorKind::UnknownProvider => "unknown provider",
        _ => "another",
    }
}

/// The wait that an unavailable provider asks for.
fn retry_after(error: &Error) -> Option<Duration> {
    match error.kind() {
        ErrorKind::ProviderUnavailable { retry_after } => *retry_after,
        _ => None,
    }
}
