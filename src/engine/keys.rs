//! The data keys of a workspace: unwrapped at the first need, made at the first write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::freshness::StoredToken;
use crate::engine::record::Record;
use crate::error::{Error, Result};
use crate::model::{ConnectionKey, Grant, GrantType};
use crate::secret::SecretBytes;
use crate::store::memory;
use crate::store::{KeyRow, Loaded, NewKey, Sealed, Store};
use crate::system;
use crate::vault::keys::{DataKey, MasterKey};
use crate::vault::source::KeySource;
use crate::vault::{self, Context, Kind, Subject};

/// The keys of one workspace.
#[derive(Debug)]
pub struct Keys {
    source: KeySource,
    master: Mutex<Option<Arc<MasterKey>>>,
    data: Mutex<HashMap<i64, Arc<DataKey>>>,
}

impl Keys {
    /// Reads the key that `source` names, so that one that is malformed or that others can read is told before the
    /// store is opened. None is made yet.
    pub fn read(source: KeySource) -> Result<Self> {
        let master = read(&source)?.map(Arc::new);
        Ok(Self {
            source,
            master: Mutex::new(master),
            data: Mutex::default(),
        })
    }

    /// Holds the key against the store: another store's key is told before any record is opened, and a store that holds
    /// records without a key at once.
    pub async fn check(&self, store: &dyn Store) -> Result<()> {
        if let Some(wanted) = store.master_key_id().await? {
            self.master(store)
                .await?
                .must_be(&wanted, &store.location())?;
        }
        Ok(())
    }

    /// The id of the key that was read.
    pub fn master_id(&self) -> Option<String> {
        self.master
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|master| master.id())
    }

    /// Opens a record.
    pub async fn open(
        &self,
        store: &dyn Store,
        subject: Subject<'_>,
        kind: Kind,
        resource: &str,
        sealed: &Sealed,
    ) -> Result<SecretBytes> {
        let key = self
            .by_id(store, subject.workspace(), sealed.key_id)
            .await?;
        vault::open(
            &key,
            &Context {
                subject,
                kind,
                resource,
                generation: sealed.generation,
            },
            &sealed.blob,
        )
    }

    /// The data key that records are sealed under from now on; made if the workspace has none.
    pub async fn newest(
        &self,
        store: &dyn Store,
        clock: &Clock,
        workspace: &str,
    ) -> Result<Arc<DataKey>> {
        let rows = store.keys(workspace).await?;
        let row = match rows.into_iter().max_by_key(|row| row.key_id) {
            Some(row) => row,
            None => {
                let master = self.master(store).await?;
                let new = NewKey {
                    workspace: workspace.to_owned(),
                    master_key_id: master.id(),
                    wrapped: master.new_data_key(workspace)?,
                    at: clock.wall(),
                };
                store.add_key(new).await?
            }
        };
        self.unwrap(store, row).await
    }

    async fn by_id(&self, store: &dyn Store, workspace: &str, key_id: i64) -> Result<Arc<DataKey>> {
        if let Some(key) = self.known(key_id) {
            return Ok(key);
        }
        let rows = store.keys(workspace).await?;
        let row = rows.into_iter().find(|row| row.key_id == key_id).ok_or_else(|| {
            Error::store(
                "data_key_missing",
                format!("the store {} lacks the data key {key_id} that a record of workspace {workspace} is sealed under", store.location()),
            )
        })?;
        self.unwrap(store, row).await
    }

    async fn unwrap(&self, store: &dyn Store, row: KeyRow) -> Result<Arc<DataKey>> {
        if let Some(key) = self.known(row.key_id) {
            return Ok(key);
        }
        let master = self.master(store).await?;
        master.must_be(&row.master_key_id, &store.location())?;
        let unwrapped = master.unwrap(&row.workspace, row.key_id, &row.wrapped);
        let key = Arc::new(unwrapped.map_err(|error| {
            let reason = format!("{}, in the store {}", error.reason(), store.location());
            error.reworded(reason)
        })?);
        self.data
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(row.key_id, Arc::clone(&key));
        Ok(key)
    }

    /// The master key, held against the store that wants one before any record is opened.
    async fn master(&self, store: &dyn Store) -> Result<Arc<MasterKey>> {
        if let Some(master) = &*self.master.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(master));
        }
        let wanted = store.master_key_id().await?;
        let settled = match (read(&self.source)?, wanted) {
            // What ends with the process needs no key that outlives it.
            (None, None) if store.location() == memory::LOCATION => MasterKey::generate()?,
            (read, wanted) => self
                .source
                .settle(read, &store.location(), wanted.as_deref())?,
        };
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(master.get_or_insert(Arc::new(settled))))
    }

    fn known(&self, key_id: i64) -> Option<Arc<DataKey>> {
        self.data
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key_id)
            .cloned()
    }
}

/// Seals a record under `key`.
pub(crate) fn seal<R: Record>(key: &DataKey, context: &Context<'_>, record: &R) -> Result<Sealed> {
    Ok(Sealed {
        key_id: key.id(),
        generation: context.generation,
        blob: vault::seal(key, context, record.to_plaintext().expose())?,
    })
}

/// Outside the fork gate: a command that asks a person may take its time, and a fork must not wait for it.
fn read(source: &KeySource) -> Result<Option<MasterKey>> {
    system::outside(|| source.read())
}

/// Sealing and opening.
impl Engine {
    /// The data key that records are sealed under from now on.
    pub(crate) async fn newest_key(&self) -> Result<Arc<DataKey>> {
        self.keys
            .newest(&*self.store, &self.clock, &self.workspace)
            .await
    }

    pub(crate) async fn seal<R: Record>(
        &self,
        subject: Subject<'_>,
        kind: Kind,
        resource: &str,
        generation: u64,
        record: &R,
    ) -> Result<Sealed> {
        let context = Context {
            subject,
            kind,
            resource,
            generation,
        };
        seal(&*self.newest_key().await?, &context, record)
    }

    pub(crate) async fn open<R: Record>(
        &self,
        subject: Subject<'_>,
        kind: Kind,
        resource: &str,
        sealed: &Sealed,
    ) -> Result<R> {
        let opened = self
            .keys
            .open(&*self.store, subject, kind, resource, sealed);
        let plaintext = opened.await.map_err(|error| self.damaged(subject, error))?;
        R::from_plaintext(&plaintext)
    }

    /// Names the store of a damaged record, and the command that replaces the record.
    fn damaged(&self, subject: Subject<'_>, error: Error) -> Error {
        let place = self.store.location();
        if error.code() == "record_damaged" {
            let reason = error
                .reason()
                .replace("in the store", &format!("in the store {place}"));
            let command = match subject {
                Subject::Integration(key) => self.command(&format!(
                    "configure {} --grant-type {} --client-id CLIENT_ID",
                    key.provider, key.grant_type
                )),
                Subject::Connection(key) => self.connect_command(key, true),
            };
            return error.reworded(reason).hint(command);
        }
        match (error.code(), self.store.set_aside()) {
            ("data_key_damaged" | "data_key_missing", Some(command)) => error.hint(command),
            _ => error,
        }
    }

    pub(crate) async fn open_grant(
        &self,
        key: &ConnectionKey,
        loaded: &Loaded,
    ) -> Result<Option<Grant>> {
        let row = loaded.connection.as_ref();
        let Some(sealed) = row.and_then(|row| row.grant.as_ref()) else {
            return Ok(None);
        };
        let grant = self.open(Subject::Connection(key), Kind::Grant, "", sealed);
        match key.integration.grant_type {
            GrantType::AuthorizationCode => grant.await.map(Some),
            GrantType::ClientCredentials => replaceable(grant.await),
        }
    }

    /// A token that is damaged is none: the grant brings another.
    pub(crate) async fn open_token(
        &self,
        key: &ConnectionKey,
        loaded: &Loaded,
    ) -> Result<Option<Arc<StoredToken>>> {
        let Some(row) = &loaded.token else {
            return Ok(None);
        };
        let subject = Subject::Connection(key);
        let stored = self.open(subject, Kind::Token, &row.resource, &row.sealed);
        Ok(replaceable(stored.await)?.map(Arc::new))
    }
}

/// What the provider gives anew without a person; `None` when the record is damaged.
pub(crate) fn replaceable<R>(opened: Result<R>) -> Result<Option<R>> {
    match opened {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.code() == "record_damaged" => {
            let reason = error.reason();
            tracing::warn!(reason, "a damaged record is replaced");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
