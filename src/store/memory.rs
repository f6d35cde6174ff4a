//! The store in memory, for tests and for containers that configure everything at start: it ends with its process.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::schema::KEPT_EVENTS;
use super::{
    Attempt, AttemptId, Claimant, Claimed, Commit, Committed, ConnectionRow, Ending, EventRow,
    IntegrationRow, KeyRow, Loaded, NewKey, Orphan, PendingRow, Sealed, Slot, Spilled, Store,
    StoreFuture, StoredState, TokenRow, lock,
};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, GrantType, IntegrationKey};
use crate::system::{self, Liveness, Owner};

/// How such a store is named.
pub const LOCATION: &str = "memory:";

/// A store that nothing else can see. Clones are the same store.
#[derive(Clone, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    /// Replies whose slots were dropped with them.
    abandoned: Arc<Mutex<Vec<Orphan>>>,
    stands_in: bool,
    sight: Option<Sight>,
}

/// Tells in the system's place who lives.
pub type Sight = Arc<dyn Fn(&Owner) -> Liveness + Send + Sync>;

#[derive(Default)]
struct Tables {
    keys: Vec<KeyRow>,
    integrations: BTreeMap<IntegrationKey, IntegrationRow>,
    connections: BTreeMap<ConnectionKey, Connection>,
    attempts: BTreeMap<ConnectionKey, Attempt>,
    pending: BTreeMap<Vec<u8>, PendingRow>,
    /// The newest last, each with its workspace.
    events: VecDeque<(Arc<str>, EventRow)>,
}

struct Connection {
    row: ConnectionRow,
    fingerprint: Option<Vec<u8>>,
    /// By resource.
    tokens: BTreeMap<String, TokenRow>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store in place of one that can't be written.
    pub fn stand_in() -> Self {
        Self {
            stands_in: true,
            ..Self::default()
        }
    }

    /// An empty store of processes that only `sight` sees.
    pub fn seen_by(sight: Sight) -> Self {
        Self {
            sight: Some(sight),
            ..Self::default()
        }
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        match &self.sight {
            None => system::liveness(owner),
            Some(sight) => sight(owner),
        }
    }

    /// Runs `work` when the future is polled, alone and inside the fork gate.
    fn with<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Tables) -> Result<T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let _entered = system::enter();
            work(&mut lock(&self.tables))
        })
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        LOCATION.to_owned()
    }

    fn writable(&self) -> bool {
        true
    }

    fn keeps(&self) -> bool {
        !self.stands_in
    }

    fn keys<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<KeyRow>> {
        self.with(move |tables| Ok(tables.keys_of(workspace)))
    }

    fn master_key_id(&self) -> StoreFuture<'_, Option<String>> {
        self.with(|tables| Ok(tables.keys.last().map(|key| key.master_key_id.clone())))
    }

    fn add_key(&self, key: NewKey) -> StoreFuture<'_, KeyRow> {
        self.with(move |tables| {
            if let Some(first) = tables.keys_of(&key.workspace).into_iter().next() {
                return Ok(first);
            }
            if let Some(other) = tables.keys.last()
                && other.master_key_id != key.master_key_id
            {
                return Err(Error::new(
                    ErrorKind::WrongKey,
                    "key_of_another_store",
                    format!(
                        "the store memory: is sealed under the key {}",
                        other.master_key_id
                    ),
                ));
            }
            let row = KeyRow {
                key_id: tables.keys.last().map_or(1, |last| last.key_id + 1),
                workspace: key.workspace,
                master_key_id: key.master_key_id,
                wrapped: key.wrapped,
            };
            tables.keys.push(row.clone());
            Ok(row)
        })
    }

    fn integration<'a>(
        &'a self,
        key: &'a IntegrationKey,
    ) -> StoreFuture<'a, Option<IntegrationRow>> {
        self.with(move |tables| Ok(tables.integrations.get(key).cloned()))
    }

    fn integrations<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<IntegrationRow>> {
        self.with(move |tables| {
            let all = tables.integrations.values();
            Ok(all
                .filter(|row| &*row.key.workspace == workspace)
                .cloned()
                .collect())
        })
    }

    fn put_integration(&self, row: IntegrationRow, expected: Option<u64>) -> StoreFuture<'_, bool> {
        self.with(move |tables| {
            if tables
                .integrations
                .get(&row.key)
                .map(|stored| stored.revision)
                != expected
            {
                return Ok(false);
            }
            tables.must_open([Some(&row.sealed)])?;
            tables.integrations.insert(row.key.clone(), row);
            Ok(true)
        })
    }

    fn delete_integration<'a>(&'a self, key: &'a IntegrationKey) -> StoreFuture<'a, bool> {
        self.with(move |tables| {
            let holds = |(name, connection): (&ConnectionKey, &Connection)| {
                name.integration == *key && connection.row.grant.is_some()
            };
            if key.grant_type == GrantType::AuthorizationCode
                && tables.connections.iter().any(holds)
            {
                return Ok(false);
            }
            tables.integrations.remove(key);
            tables.pending.retain(|_, row| row.key.integration != *key);
            for (name, connection) in &mut tables.connections {
                if name.integration == *key {
                    *connection = Connection::tombstone(name, connection.row.generation + 1);
                }
            }
            let of_integration = |name: &ConnectionKey, _: &mut Attempt| name.integration == *key;
            for (name, _) in tables.attempts.extract_if(.., of_integration) {
                let tombstone = Connection::tombstone(&name, 1);
                tables.connections.entry(name).or_insert(tombstone);
            }
            Ok(true)
        })
    }

    fn load<'a>(&'a self, key: &'a ConnectionKey, resource: &'a str) -> StoreFuture<'a, Loaded> {
        self.with(move |tables| {
            let connection = tables.connections.get(key);
            Ok(Loaded {
                connection: connection.map(|connection| connection.row.clone()),
                token: connection.and_then(|connection| connection.tokens.get(resource).cloned()),
                attempt: tables.attempts.get(key).cloned(),
            })
        })
    }

    fn list<'a>(
        &'a self,
        workspace: &'a str,
        integration: Option<&'a IntegrationKey>,
        after: Option<&'a ConnectionKey>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<ConnectionRow>> {
        self.with(move |tables| {
            let rows = tables
                .connections
                .values()
                .map(|connection| &connection.row);
            Ok(rows
                .filter(|row| &*row.key.integration.workspace == workspace)
                .filter(|row| row.state != StoredState::Disconnected)
                .filter(|row| integration.is_none_or(|key| row.key.integration == *key))
                .filter(|row| after.is_none_or(|after| row.key > *after))
                .take(limit)
                .cloned()
                .collect())
        })
    }

    fn claim<'a>(&'a self, key: &'a ConnectionKey, claimant: Claimant) -> StoreFuture<'a, Claimed> {
        self.with(move |tables| {
            if tables.generation(key) != claimant.generation {
                return Ok(Claimed::Changed);
            }
            let previous = tables.attempts.get(key).cloned();
            if let Some(running) = previous
                .as_ref()
                .filter(|one| one.holds_off(&claimant, |owner| self.liveness(owner)))
            {
                return Ok(Claimed::Held(running.clone()));
            }
            let attempt = Attempt {
                id: claimant.attempt,
                owner: claimant.owner,
                deadline: claimant.deadline,
                generation: claimant.generation,
                ending: None,
            };
            tables.attempts.insert(key.clone(), attempt);
            Ok(Claimed::Ours { previous })
        })
    }

    fn settle<'a>(
        &'a self,
        key: &'a ConnectionKey,
        attempt: AttemptId,
        ending: Ending,
    ) -> StoreFuture<'a, bool> {
        self.with(move |tables| {
            tables.must_open([ending.note.as_ref()])?;
            match tables.attempts.get_mut(key).filter(|one| one.id == attempt) {
                Some(ours) => {
                    ours.ending = Some(ending);
                    Ok(true)
                }
                None => Ok(false),
            }
        })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.with(move |tables| tables.commit(commit))
    }

    fn put_pending(&self, row: PendingRow, now: Timestamp) -> StoreFuture<'_, ()> {
        self.with(move |tables| {
            tables.must_open([Some(&row.sealed)])?;
            tables.pending.retain(|_, other| other.expires_at >= now);
            tables.pending.insert(row.state_hash.clone(), row);
            Ok(())
        })
    }

    fn pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, Option<PendingRow>> {
        self.with(move |tables| Ok(tables.pending.get(state_hash).cloned()))
    }

    fn claim_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, bool> {
        self.with(move |tables| {
            let row = tables.pending.get_mut(state_hash);
            Ok(row.is_some_and(|row| !std::mem::replace(&mut row.claimed, true)))
        })
    }

    fn release_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        self.with(move |tables| {
            if let Some(row) = tables.pending.get_mut(state_hash) {
                row.claimed = false;
            }
            Ok(())
        })
    }

    fn delete_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        self.with(move |tables| {
            tables.pending.remove(state_hash);
            Ok(())
        })
    }

    fn events<'a>(&'a self, workspace: &'a str, limit: usize) -> StoreFuture<'a, Vec<EventRow>> {
        self.with(move |tables| {
            let newest = tables.events.iter().rev();
            Ok(newest
                .filter(|(name, _)| &**name == workspace)
                .take(limit)
                .map(|(_, event)| event.clone())
                .collect())
        })
    }

    fn changed(&self) -> StoreFuture<'_, u64> {
        // No other process can write it.
        self.with(|_| Ok(0))
    }

    fn reserve(&self) -> Result<Box<dyn Slot>> {
        Ok(Box::new(MemorySlot {
            reply: Mutex::new(None),
            abandoned: Arc::clone(&self.abandoned),
        }))
    }

    fn orphans(&self, connection: Option<&ConnectionKey>) -> Result<Vec<Orphan>> {
        let _entered = system::enter();
        let mut orphans = lock(&self.abandoned).clone();
        orphans.retain(|orphan| connection.is_none_or(|key| *key == orphan.spilled.connection));
        Ok(orphans)
    }

    fn reply_of(&self, _attempt: AttemptId) -> Result<Option<Spilled>> {
        // A process that stands still asks nothing, and no other sees this store.
        Ok(None)
    }

    fn forget_orphan(&self, orphan: &Orphan) -> Result<()> {
        let _entered = system::enter();
        lock(&self.abandoned).retain(|other| other.spilled != orphan.spilled);
        Ok(())
    }
}

impl Tables {
    /// The newest first.
    fn keys_of(&self, workspace: &str) -> Vec<KeyRow> {
        let newest = self.keys.iter().rev();
        newest
            .filter(|key| key.workspace == workspace)
            .cloned()
            .collect()
    }

    fn generation(&self, key: &ConnectionKey) -> u64 {
        let connection = self.connections.get(key);
        connection.map_or(0, |connection| connection.row.generation)
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed> {
        if self.generation(&commit.key) != commit.expected {
            return Ok(Committed::Lost);
        }
        if commit.only_holder
            && let Some(holder) = self.other_holder(&commit)
        {
            return Ok(Committed::Held(holder.clone()));
        }
        self.must_open([
            commit.grant.as_ref(),
            commit.token.as_ref().map(|token| &token.sealed),
        ])?;
        let replaces = commit.replaces_default_token();
        let key = commit.key;
        let stored = self
            .connections
            .entry(key.clone())
            .or_insert_with(|| Connection::tombstone(&key, 0));
        if commit.drop_grant {
            (
                stored.row.grant,
                stored.row.refreshed_at,
                stored.fingerprint,
            ) = (None, None, None);
        }
        if commit.drop_tokens {
            stored.tokens.clear();
        }
        stored.row.generation = commit.generation;
        stored.row.state = commit.state;
        if replaces {
            stored.row.expires_at = commit.expires_at;
        }
        stored.row.refreshed_at = commit.refreshed_at.or(stored.row.refreshed_at);
        if commit.grant.is_some() {
            (stored.row.grant, stored.fingerprint) = (commit.grant, commit.fingerprint);
        }
        if let Some(token) = commit.token {
            stored.tokens.insert(token.resource.clone(), token);
        }
        if self
            .attempts
            .get(&key)
            .is_some_and(|attempt| commit.forget_attempt || Some(attempt.id) == commit.attempt)
        {
            self.attempts.remove(&key);
        }
        let event = EventRow {
            at: commit.event.at,
            provider: key.integration.provider.to_string(),
            grant_type: key.integration.grant_type,
            connection: key.connection.to_string(),
            what: commit.event.what.to_owned(),
            reason: commit.event.reason,
        };
        self.events.push_back((key.integration.workspace, event));
        if self.events.len() as i64 > KEPT_EVENTS {
            self.events.pop_front();
        }
        Ok(Committed::Done)
    }

    /// The other connection of the workspace that holds the refresh token of `commit`.
    fn other_holder(&self, commit: &Commit) -> Option<&ConnectionKey> {
        let fingerprint = commit.fingerprint.as_ref()?;
        let mut all = self.connections.iter();
        let holds = |(key, connection): &(&ConnectionKey, &Connection)| {
            **key != commit.key
                && key.integration.workspace == commit.key.integration.workspace
                && connection.fingerprint.as_ref() == Some(fingerprint)
        };
        all.find(holds).map(|(key, _)| key)
    }

    /// Refuses records under a data key that is gone: nobody could open them.
    fn must_open<'a>(&self, records: impl IntoIterator<Item = Option<&'a Sealed>>) -> Result<()> {
        let known = |sealed: &Sealed| self.keys.iter().any(|key| key.key_id == sealed.key_id);
        match records.into_iter().flatten().all(known) {
            true => Ok(()),
            false => Err(Error::store(
                "data_key_gone",
                "the store memory: no longer has the data key that a record was sealed under",
            )),
        }
    }
}

impl Connection {
    fn tombstone(key: &ConnectionKey, generation: u64) -> Self {
        Self {
            row: ConnectionRow {
                key: key.clone(),
                generation,
                state: StoredState::Disconnected,
                expires_at: None,
                refreshed_at: None,
                grant: None,
            },
            fingerprint: None,
            tokens: BTreeMap::new(),
        }
    }
}

/// Survives what a slot in memory can survive: the flight that holds it.
struct MemorySlot {
    reply: Mutex<Option<Spilled>>,
    abandoned: Arc<Mutex<Vec<Orphan>>>,
}

impl Slot for MemorySlot {
    fn write(&self, reply: &Spilled) -> Result<()> {
        let _entered = system::enter();
        *lock(&self.reply) = Some(reply.clone());
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        let _entered = system::enter();
        *lock(&self.reply) = None;
        Ok(())
    }
}

impl Drop for MemorySlot {
    fn drop(&mut self) {
        let _entered = system::enter();
        lock(&self.abandoned).extend(lock(&self.reply).take().map(|spilled| Orphan {
            spilled,
            place: (PathBuf::new(), 0),
        }));
    }
}
