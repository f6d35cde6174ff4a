//! A store that was damaged, swapped or taken away while nobody looked: an error that names the file and the next step,
//! never another's token, and no harm to what is sound.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use _core::clock::{Clock, ManualClock};
use _core::engine::open::{ExplicitKey, open_on};
use _core::engine::{Engine, TokenRequest};
use _core::error::{Error, ErrorKind, Result};
use _core::model::GrantType;
use _core::provider::catalog::Catalog;
use _core::secret::SecretBytes;
use _core::store::sqlite::SqliteStore;
use tempfile::TempDir;

use super::{Answer, SERVICE, Server, USER, World, value, within};

mod pages;
mod places;
mod records;

/// A store with every kind of record in it, closed; each copy of it can be damaged.
struct Kept {
    server: Server,
    clock: Arc<ManualClock>,
    folder: TempDir,
    copies: AtomicUsize,
}

/// What is asked for: each has a token of its own.
const ASKED: [(GrantType, &str); 3] = [(USER, "default"), (USER, "bob"), (SERVICE, "default")];

impl Kept {
    /// `default` has `at-1` and a failed attempt, `bob` has `at-2`, the service `at-3`, and a sign-in is pending.
    async fn new() -> Self {
        let world = World::sqlite().await;
        world.configure(USER).await;
        world.configure(SERVICE).await;
        world.import("default", "rt-default").await;
        world.import("bob", "rt-bob").await;
        for (grant_type, connection) in ASKED {
            within(world.engine.get_token(&asking(grant_type, connection)))
                .await
                .unwrap();
        }
        world.server.answers(Answer::json(503, "", "{}"));
        let failed = world.engine.refresh_now("acme", Some(USER), "default");
        assert!(!failed.await.unwrap().ok);
        world.advance(2);
        super::connect::begun(&world).await;
        let World {
            server,
            clock,
            folder,
            ..
        } = world;
        Self {
            server,
            clock,
            folder,
            copies: AtomicUsize::new(0),
        }
    }

    /// A copy of the store's folder: the path of the store in it.
    fn copy(&self) -> PathBuf {
        let number = self.copies.fetch_add(1, Ordering::SeqCst);
        let to = self.folder.path().join(format!("copy-{number}"));
        copy_folder(&self.folder.path().join("data"), &to);
        to.join("store.db")
    }

    /// A copy changed by SQL.
    fn changed(&self, sql: &str) -> PathBuf {
        let path = self.copy();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        path
    }

    async fn open(&self, path: &Path) -> Result<Arc<Engine>> {
        let store = Arc::new(SqliteStore::open(path)?);
        let catalog = Catalog::with_folders(&[self.folder.path().join("providers")])?;
        let key = ExplicitKey::Bytes(SecretBytes::from(vec![7; 32]));
        let clock = Clock::manual(Arc::clone(&self.clock));
        within(open_on(store, "default", key, clock, catalog)).await
    }

    /// What every connection of a store gets.
    async fn tokens(&self, path: &Path) -> BTreeMap<&'static str, Result<String>> {
        let engine = self.open(path).await;
        let mut tokens = BTreeMap::new();
        for (name, (grant_type, connection)) in ["default", "bob", "service"].into_iter().zip(ASKED)
        {
            let token = match &engine {
                Ok(engine) => within(engine.get_token(&asking(grant_type, connection)))
                    .await
                    .map(|slot| value(&slot)),
                Err(error) => Err(error.clone()),
            };
            tokens.insert(name, token);
        }
        tokens
    }
}

fn asking(grant_type: GrantType, connection: &str) -> TokenRequest {
    TokenRequest {
        grant_type: Some(grant_type),
        connection: connection.to_owned(),
        ..super::request()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// An error of the store or its key that names the file and says what to do.
fn helps(error: &Error, path: &Path) -> bool {
    let of_the_store = matches!(
        error.kind(),
        ErrorKind::Store | ErrorKind::VaultLocked | ErrorKind::WrongKey
    );
    of_the_store
        && error.reason().contains(path.to_str().unwrap())
        && error.next_command().is_some_and(|hint| !hint.is_empty())
}
