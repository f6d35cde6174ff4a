//! Opening: from a name, a store and a key to an engine; equal ones share one engine in a process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::cache::Cache;
use crate::engine::complaint::quote;
use crate::engine::file::Lookup;
use crate::engine::flight::Flights;
use crate::engine::http_client::HttpClient;
use crate::engine::keys::Keys;
use crate::engine::runtime::Runtime;
use crate::error::{Error, Result};
use crate::http;
pub use crate::http::Network;
use crate::provider::catalog::Catalog;
use crate::store::Store;
use crate::store::memory::{self, MemoryStore};
use crate::store::sqlite::SqliteStore;
use crate::vault;
use crate::vault::source::KeySource;
pub use crate::vault::source::{Environment as KeyEnvironment, ExplicitKey};

static ENGINES: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new());

/// What the environment says. Whoever owns the process reads it; nothing below does.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `EVERGRANT_HOME`, or the data folder of this system with `evergrant` in it.
    pub home: Option<PathBuf>,
    /// `EVERGRANT_STORE`.
    pub store: Option<String>,
    /// `EVERGRANT_WORKSPACE`.
    pub workspace: Option<String>,
    /// The key's variables.
    pub key: KeyEnvironment,
    /// The folder of configuration, where the generated key is.
    pub config_home: Option<PathBuf>,
    /// `EVERGRANT_PROVIDERS`: folders with provider files.
    pub providers: Vec<PathBuf>,
    /// Folders with provider files of installed packages, where they were looked for already.
    pub installed: Vec<PathBuf>,
    /// `EVERGRANT_CA_FILE`, else `SSL_CERT_FILE`.
    pub ca_file: Option<PathBuf>,
}

/// What a caller names of a workspace.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The workspace's name.
    pub workspace: Option<String>,
    /// A path of the SQLite file, or `memory:`.
    pub store: Option<String>,
    /// The master key.
    pub key: Option<ExplicitKey>,
    /// Which servers may be talked to.
    pub network: Network,
    /// The clock, in tests.
    pub clock: Clock,
    /// Stands in for a store that can't be written: what rotates is refused.
    pub transient: bool,
}

/// Opens a workspace. A store that does not exist is made at the first write.
///
/// # Errors
/// `WrongKey` for a malformed or readable key or another store's, `VaultLocked` when a store holds records and no key is
/// found, `StoreError` for a file that is no store, `InvalidParameter` for a workspace name or store that can't be one.
pub async fn open(choice: Choice, environment: &Environment) -> Result<Arc<Engine>> {
    let named = choice
        .workspace
        .as_deref()
        .or(environment.workspace.as_deref());
    let workspace = named.unwrap_or("default").to_owned();
    check_name(&workspace, "workspace")?;
    let chosen = choice.store.as_deref().or(environment.store.as_deref());
    let source = KeySource {
        explicit: choice.key,
        environment: environment.key.clone(),
        config_home: environment.config_home.clone(),
    };
    let keys = Keys::read(source)?;
    let store = open_store(chosen, environment, choice.transient)?;
    let mut options = String::new();
    if let Some(chosen) = &choice.store
        && choice.store != environment.store
        && !choice.transient
    {
        options.push_str(&format!(" --store {}", quote(chosen)));
    }
    if workspace != environment.workspace.as_deref().unwrap_or("default") {
        options.push_str(&format!(" --workspace {}", quote(&workspace)));
    }
    let http_options = http::Options {
        network: choice.network,
        ca_file: environment.ca_file.clone(),
    };
    let adopt = |catalog: &Catalog| match environment.installed.as_slice() {
        [] => Ok(()),
        folders => catalog.adopt(folders),
    };
    if let Some(engine) = shared(&store, &workspace, &keys, &choice.clock, &http_options) {
        adopt(&engine.catalog)?;
        return Ok(engine);
    }
    let catalog = Arc::new(Catalog::with_folders(&environment.providers)?);
    adopt(&catalog)?;
    let engine = Engine {
        command_options: options,
        ..over(
            workspace.into(),
            store,
            keys,
            catalog,
            http_options,
            Surroundings {
                clock: choice.clock,
                ..Surroundings::default()
            },
        )
    };
    let engine = begin(engine).await?;
    ENGINES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Arc::downgrade(&engine));
    Ok(engine)
}

/// Opens a workspace and applies a configuration file: in memory where there is no store and none can be made, as in a
/// container. What is kept there ends with the process, so grants that may rotate are refused.
///
/// # Errors
/// Those of [`open`] and of [`Engine::apply_at_open`].
pub async fn open_with_file(
    choice: Choice,
    environment: &Environment,
    file: &Path,
    lookup: &Lookup<'_>,
) -> Result<Arc<Engine>> {
    const UNWRITABLE: [&str; 5] = [
        "key_file_unwritable",
        "key_has_no_place",
        "store_has_no_place",
        "store_read_only",
        "store_unwritable",
    ];
    match opened(choice.clone(), environment, file, lookup).await {
        Err(error) if UNWRITABLE.contains(&error.code()) => {
            let store = open(choice.clone(), environment).await;
            if let Ok(engine) = store
                && engine.store.master_key_id().await?.is_some()
            {
                // Records that are there are not left out silently.
                return Err(error);
            }
        }
        opened => return opened,
    }
    let in_memory = Choice {
        key: Some(ExplicitKey::Bytes(
            vault::random_array::<32>()?.to_vec().into(),
        )),
        transient: true,
        ..choice
    };
    opened(in_memory, environment, file, lookup).await
}

async fn opened(
    choice: Choice,
    environment: &Environment,
    file: &Path,
    lookup: &Lookup<'_>,
) -> Result<Arc<Engine>> {
    let engine = open(choice, environment).await?;
    engine.apply_at_open(file, lookup).await?;
    Ok(engine)
}

/// Opens a workspace on a store of the caller's own making. The engine is shared with nobody: two on one store behave as
/// two processes do.
///
/// # Errors
/// Those of [`open`], as far as they are not about the place of the store.
pub async fn open_on(
    store: Arc<dyn Store>,
    workspace: &str,
    key: ExplicitKey,
    clock: Clock,
    catalog: Catalog,
) -> Result<Arc<Engine>> {
    let surroundings = Surroundings {
        clock,
        ..Surroundings::default()
    };
    open_in(surroundings, store, workspace, key, Arc::new(catalog)).await
}

/// What an engine meets of the machine: its own, unless a test makes it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The clock.
    pub clock: Clock,
    /// Where flights run.
    pub runtime: Runtime,
    /// What answers requests in place of the network.
    pub transport: Option<Arc<dyn http::Transport>>,
}

/// As [`open_on`], in surroundings of the caller's own making.
///
/// # Errors
/// Those of [`open_on`].
pub async fn open_in(
    surroundings: Surroundings,
    store: Arc<dyn Store>,
    workspace: &str,
    key: ExplicitKey,
    catalog: Arc<Catalog>,
) -> Result<Arc<Engine>> {
    check_name(workspace, "workspace")?;
    let keys = Keys::read(KeySource {
        explicit: Some(key),
        ..KeySource::default()
    })?;
    let options = http::Options::default();
    let engine = over(
        workspace.into(),
        store,
        keys,
        catalog,
        options,
        surroundings,
    );
    begin(engine).await
}

fn over(
    workspace: Arc<str>,
    store: Arc<dyn Store>,
    keys: Keys,
    catalog: Arc<Catalog>,
    http_options: http::Options,
    surroundings: Surroundings,
) -> Engine {
    let Surroundings {
        clock,
        runtime,
        transport,
    } = surroundings;
    Engine {
        workspace,
        store,
        keys,
        cache: Cache::new(clock.clone()),
        catalog,
        rules: super::rules::Rules::default(),
        flights: Flights::on(runtime.clone()),
        left_behind: super::refresh::LeftBehind::default(),
        rests: super::refresh::Rests::default(),
        http: HttpClient::new(http_options, clock.clone(), transport),
        clock,
        runtime,
        command_options: String::new(),
    }
}

/// Holds the key against the store, and stores what processes that are gone left in their slots.
async fn begin(engine: Engine) -> Result<Arc<Engine>> {
    engine.keys.check(&*engine.store).await?;
    let engine = Arc::new(engine);
    if engine.store.writable()
        && let Err(error) = engine.replay_orphans(None).await
    {
        // What can be read is served all the same; the next refresh tries again.
        tracing::warn!(
            reason = error.reason(),
            "replies left in slots could not be stored"
        );
    }
    Ok(engine)
}

/// The engine that already serves this workspace of this store with this key and these options.
fn shared(
    store: &Arc<dyn Store>,
    workspace: &str,
    keys: &Keys,
    clock: &Clock,
    options: &http::Options,
) -> Option<Arc<Engine>> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|engine| engine.strong_count() > 0);
    engines.iter().filter_map(Weak::upgrade).find(|engine| {
        store.location() != memory::LOCATION
            && engine.store.location() == store.location()
            && &*engine.workspace == workspace
            && engine.keys.master_id() == keys.master_id()
            && engine.clock.same(clock)
            && engine.http.options() == options
    })
}

fn open_store(
    chosen: Option<&str>,
    environment: &Environment,
    transient: bool,
) -> Result<Arc<dyn Store>> {
    if transient {
        return Ok(Arc::new(MemoryStore::stand_in()));
    }
    match chosen {
        Some(memory::LOCATION) => Ok(Arc::new(MemoryStore::new())),
        Some(url) if url.starts_with("postgresql://") || url.starts_with("postgres://") => {
            Err(Error::invalid_parameter(
                "not_supported",
                "a PostgreSQL store is not supported yet: name a file",
            )
            .hint("export EVERGRANT_STORE=~/.local/share/evergrant/store.db"))
        }
        Some("") => Err(Error::invalid_parameter(
            "invalid_store",
            "the store is named by an empty text",
        )),
        Some(path) => Ok(Arc::new(SqliteStore::open(Path::new(path))?)),
        None => match &environment.home {
            Some(home) => Ok(Arc::new(SqliteStore::open(&home.join("store.db"))?)),
            None => Err(Error::store(
                "store_has_no_place",
                "there is no home folder to keep a store in",
            )
            .hint("export EVERGRANT_STORE=/a/folder/store.db")),
        },
    }
}

/// A name of a workspace or connection: UTF-8 up to 255 bytes without control characters.
pub(crate) fn check_name(name: &str, what: &str) -> Result<()> {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::invalid_parameter(
            "invalid_name",
            format!("a {what} is named by 1 to 255 bytes of text without control characters"),
        ));
    }
    Ok(())
}
