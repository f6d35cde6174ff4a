//! The store in one SQLite file: readers answer at once, one writer thread commits in batches.
//!
//! Nothing else in the process may open the file, not even to read a byte: closing it would drop SQLite's locks.

mod connection;
mod file;
mod queries;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rusqlite::Connection;

use self::connection::{close_at_once, explain, open_reader, open_writer};
use self::file::{Identity, StoreFile};
use self::writer::{Job, Queue};
use super::spill::Spill;
use super::{
    AttemptId, Claimant, Claimed, Commit, Committed, ConnectionRow, Ending, EventRow,
    IntegrationRow, KeyRow, Loaded, NewKey, Orphan, PendingRow, Slot, Spilled, Store, StoreFuture,
    lock,
};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, IntegrationKey};
use crate::system::{self, ForkAware, Gated};

/// A store in one SQLite file. Equal paths share one within a process.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

impl SqliteStore {
    /// The store at `path`. Opens nothing yet: a file that is missing reads as empty, and is made by the first write.
    ///
    /// # Errors
    /// `Store` errors for a path that can't be a store's.
    pub fn open(path: &Path) -> Result<Self> {
        static OPEN: Mutex<BTreeMap<PathBuf, Weak<Inner>>> = Mutex::new(BTreeMap::new());
        let _entered = system::enter();
        let file = StoreFile::locate(path)?;
        // Judged now, so that a wrong path fails where it was given.
        let identity = file.look()?;
        let mut open = lock(&OPEN);
        if let Some(inner) = open.get(file.path()).and_then(Weak::upgrade) {
            return Ok(Self { inner });
        }
        // A hard link. Under each of its names the file would have a log of its own, and closing one drops all locks.
        let same = |inner: &Arc<Inner>| matches!(inner.file.look(), Ok(Some(other)) if Some(other) == identity);
        if let Some(other) = open.values().filter_map(Weak::upgrade).find(same) {
            return Err(file.linked(&other.file));
        }
        open.retain(|_, inner| inner.strong_count() > 0);
        let inner = Arc::new(Inner::new(file));
        open.insert(inner.file.path().to_owned(), Arc::downgrade(&inner));
        let aware: Weak<Inner> = Arc::downgrade(&inner);
        system::on_fork(aware);
        Ok(Self { inner })
    }

    /// How many transactions this process has committed to it; a batch counts once.
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }

    /// Sets how long a commit that the disk must have waits for the next of the replies that are on their way (a slot is
    /// reserved for each), to share a flush with it: so long for each of them, 1 ms unless set, and at most ten times
    /// that; fifty times that in all.
    pub fn set_patience(&self, patience: Duration) {
        let _entered = system::enter();
        self.inner.queue().set_patience(patience);
    }

    /// Answers in the first poll, from the reader; `empty` where there is no file.
    fn read<'a, T: Send + 'a>(
        &'a self,
        empty: T,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let _entered = system::enter();
            let inner = &*self.inner;
            inner.usable()?;
            let mut side = lock(&inner.reader);
            match inner.for_reading(&mut side)? {
                None => Ok(empty),
                Some(connection) => query(connection).map_err(|error| explain(&inner.file, &error)),
            }
        })
    }

    /// Has the writer thread do it; the answer comes after the commit.
    fn write<'a, T: Send + 'static>(
        &'a self,
        durable: bool,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        Box::pin(Gated::new(async move {
            self.inner.usable()?;
            if !self.inner.file.writable() {
                return Err(self.inner.file.read_only());
            }
            let (job, answer) = Job::new(Arc::clone(&self.inner), durable, work);
            self.inner.queue().submit(job)?;
            answer
                .await
                .unwrap_or_else(|_| Err(Error::internal("the store's writer gave no answer")))
        }))
    }
}

impl Store for SqliteStore {
    fn location(&self) -> String {
        self.inner.file.path().display().to_string()
    }

    fn set_aside(&self) -> Option<String> {
        Some(self.inner.file.set_aside())
    }

    fn writable(&self) -> bool {
        self.inner.file.writable()
    }

    fn keys<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<KeyRow>> {
        self.read(Vec::new(), move |connection| {
            queries::keys(connection, workspace)
        })
    }

    fn master_key_id(&self) -> StoreFuture<'_, Option<String>> {
        self.read(None, queries::master_key_id)
    }

    fn add_key(&self, key: NewKey) -> StoreFuture<'_, KeyRow> {
        Box::pin(async move {
            let added = self.write(true, move |connection| queries::add_key(connection, &key));
            added.await?.map_err(|other| {
                Error::new(
                    ErrorKind::WrongKey,
                    "key_of_another_store",
                    format!(
                        "the store {} is sealed under the key {other}",
                        self.location()
                    ),
                )
            })
        })
    }

    fn integration<'a>(
        &'a self,
        key: &'a IntegrationKey,
    ) -> StoreFuture<'a, Option<IntegrationRow>> {
        self.read(None, move |connection| {
            queries::integration(connection, key)
        })
    }

    fn integrations<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<IntegrationRow>> {
        self.read(Vec::new(), move |connection| {
            queries::integrations(connection, workspace)
        })
    }

    fn put_integration(&self, row: IntegrationRow, expected: Option<u64>) -> StoreFuture<'_, bool> {
        self.write(true, move |connection| {
            queries::put_integration(connection, &row, expected)
        })
    }

    fn delete_integration<'a>(&'a self, key: &'a IntegrationKey) -> StoreFuture<'a, bool> {
        let key = key.clone();
        self.write(true, move |connection| {
            queries::delete_integration(connection, &key)
        })
    }

    fn load<'a>(&'a self, key: &'a ConnectionKey, resource: &'a str) -> StoreFuture<'a, Loaded> {
        self.read(Loaded::default(), move |connection| {
            in_snapshot(connection, || queries::load(connection, key, resource))
        })
    }

    fn list<'a>(
        &'a self,
        workspace: &'a str,
        integration: Option<&'a IntegrationKey>,
        after: Option<&'a ConnectionKey>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<ConnectionRow>> {
        self.read(Vec::new(), move |connection| {
            queries::list(connection, workspace, integration, after, limit)
        })
    }

    fn claim<'a>(&'a self, key: &'a ConnectionKey, claimant: Claimant) -> StoreFuture<'a, Claimed> {
        let key = key.clone();
        // No fsync: a killed process leaves the page cache behind, and a power cut ends every owner.
        self.write(false, move |connection| {
            queries::claim(connection, &key, &claimant)
        })
    }

    fn settle<'a>(
        &'a self,
        key: &'a ConnectionKey,
        attempt: AttemptId,
        ending: Ending,
    ) -> StoreFuture<'a, bool> {
        let key = key.clone();
        self.write(false, move |connection| {
            queries::settle(connection, &key, attempt, &ending)
        })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        self.write(commit.durable, move |connection| {
            queries::commit(connection, &commit)
        })
    }

    fn put_pending(&self, row: PendingRow, now: Timestamp) -> StoreFuture<'_, ()> {
        self.write(false, move |connection| {
            queries::put_pending(connection, &row, now)
        })
    }

    fn pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, Option<PendingRow>> {
        self.read(None, move |connection| {
            queries::pending(connection, state_hash)
        })
    }

    fn claim_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, bool> {
        let state_hash = state_hash.to_vec();
        self.write(false, move |connection| {
            queries::mark_pending(connection, &state_hash, true)
        })
    }

    fn release_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        let state_hash = state_hash.to_vec();
        self.write(false, move |connection| {
            queries::mark_pending(connection, &state_hash, false).map(drop)
        })
    }

    fn delete_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        let state_hash = state_hash.to_vec();
        self.write(false, move |connection| {
            queries::delete_pending(connection, &state_hash)
        })
    }

    fn events<'a>(&'a self, workspace: &'a str, limit: usize) -> StoreFuture<'a, Vec<EventRow>> {
        self.read(Vec::new(), move |connection| {
            queries::events(connection, workspace, limit)
        })
    }

    fn changed(&self) -> StoreFuture<'_, u64> {
        let opened = move |version: u64| self.inner.opened.load(Ordering::Relaxed) << 32 | version;
        Box::pin(async move {
            let version = self.read(0, |connection| {
                connection
                    .prepare_cached("PRAGMA data_version")?
                    .query_row([], |row| row.get::<_, u32>(0))
            });
            version.await.map(|version| opened(version.into()))
        })
    }

    fn reserve(&self) -> Result<Box<dyn Slot>> {
        let _entered = system::enter();
        self.inner.usable()?;
        let slot = self.inner.spill.reserve()?;
        Ok(self.inner.queue().expect(slot))
    }

    fn orphans(&self, connection: Option<&ConnectionKey>) -> Result<Vec<Orphan>> {
        let _entered = system::enter();
        self.inner.spill.orphans(connection)
    }

    fn reply_of(&self, attempt: AttemptId) -> Result<Option<Spilled>> {
        let _entered = system::enter();
        self.inner.spill.reply_of(attempt)
    }

    fn forget_orphan(&self, orphan: &Orphan) -> Result<()> {
        let _entered = system::enter();
        self.inner.spill.forget(orphan)
    }
}

/// All locks here are taken inside the fork gate, the writer's before the reader's.
struct Inner {
    file: StoreFile,
    reader: Mutex<Side>,
    writer: Mutex<Side>,
    queue: Mutex<(u64, Arc<Queue>)>,
    spill: Spill,
    /// How often a connection was opened: each starts to count changes anew.
    opened: AtomicU64,
    commits: AtomicU64,
    /// Whether there was a file before: one that is missing then was removed.
    seen: AtomicBool,
    /// The epoch in which a connection was opened, [`NEVER`] while none is. In another one than this, a fork that ran no
    /// handlers left it here: SQLite believes to hold locks that the parent holds, so it can be neither used nor closed.
    opened_in: AtomicU64,
}

/// One of the two connections; not open before it is needed, nor across a fork.
#[derive(Default)]
struct Side(Option<Opened>);

struct Opened {
    connection: Connection,
    identity: Identity,
}

const NEVER: u64 = u64::MAX;

impl Inner {
    fn new(file: StoreFile) -> Self {
        Self {
            spill: Spill::new(file.spill_folder()),
            file,
            reader: Mutex::default(),
            writer: Mutex::default(),
            queue: Mutex::new((system::epoch(), Arc::default())),
            opened: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            seen: AtomicBool::new(false),
            opened_in: AtomicU64::new(NEVER),
        }
    }

    /// The queue of this process: a parent's has a thread and jobs that don't exist here.
    fn queue(&self) -> Arc<Queue> {
        let mut queue = lock(&self.queue);
        if queue.0 != system::epoch() {
            let abandoned = std::mem::replace(&mut *queue, (system::epoch(), Arc::default()));
            // Its lock may be held for ever, and its answers belong to the parent's tasks.
            std::mem::forget(abandoned);
        }
        Arc::clone(&queue.1)
    }

    fn for_reading<'a>(&self, side: &'a mut Side) -> Result<Option<&'a Connection>> {
        let identity = self.current(side)?;
        if side.0.is_none()
            && let Some(identity) = identity
            && let Some(connection) = open_reader(&self.file)?
        {
            self.opened(side, connection, identity);
        }
        Ok(side.0.as_ref().map(|opened| &opened.connection))
    }

    fn for_writing<'a>(&self, side: &'a mut Side) -> Result<&'a Connection> {
        let identity = self.current(side)?;
        if side.0.is_none() {
            // The reader must not open the file before it was made and closed again.
            let _reader = lock(&self.reader);
            if identity.is_none() {
                self.file.create()?;
            }
            self.file.close_to_others();
            let connection = open_writer(&self.file)?;
            let identity = self.file.look()?.ok_or_else(|| self.file.gone())?;
            self.opened(side, connection, identity);
        }
        match &side.0 {
            Some(opened) => Ok(&opened.connection),
            None => Err(Error::internal("a writer that was opened is not there")),
        }
    }

    /// Which file is there now. A connection to another one than that is closed.
    fn current(&self, side: &mut Side) -> Result<Option<Identity>> {
        let identity = self.file.look()?;
        if side
            .0
            .as_ref()
            .is_some_and(|opened| Some(opened.identity) != identity)
        {
            side.close();
        }
        if identity.is_none() && self.seen.load(Ordering::Relaxed) {
            return Err(self.file.gone());
        }
        Ok(identity)
    }

    fn opened(&self, side: &mut Side, connection: Connection, identity: Identity) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.seen.store(true, Ordering::Relaxed);
        self.opened_in.store(system::epoch(), Ordering::Release);
        side.0 = Some(Opened {
            connection,
            identity,
        });
    }

    /// Asked before any lock is taken: one that was held at an unprepared fork is held for ever.
    fn usable(&self) -> Result<()> {
        if self.is_orphaned() {
            return Err(self.file.error(
                "store_forked",
                "was open when this process was forked without its fork handlers (a raw fork): \
                 fork with os.fork() or multiprocessing, or start the worker as a new program",
            ));
        }
        Ok(())
    }

    fn is_orphaned(&self) -> bool {
        let opened_in = self.opened_in.load(Ordering::Acquire);
        opened_in != NEVER && opened_in != system::epoch()
    }

    fn count_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}

impl Side {
    fn close(&mut self) {
        if let Some(opened) = self.0.take() {
            close_at_once(opened.connection);
        }
    }
}

impl ForkAware for Inner {
    fn before_fork(&self) {
        lock(&self.writer).close();
        lock(&self.reader).close();
        self.opened_in.store(NEVER, Ordering::Release);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _entered = system::enter();
        let orphaned = self.is_orphaned();
        let (epoch, queue) = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        if *epoch == system::epoch() {
            queue.stop();
        }
        for side in [&mut self.reader, &mut self.writer] {
            let side = side.get_mut().unwrap_or_else(PoisonError::into_inner);
            let Some(opened) = side.0.take() else {
                continue;
            };
            if orphaned {
                std::mem::forget(opened);
            } else if matches!(self.file.look(), Ok(Some(identity)) if identity == opened.identity)
            {
                // The last to close merges the log into the file.
                drop(opened);
            } else {
                close_at_once(opened.connection);
            }
        }
    }
}

/// Several reads of one state of the file.
fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let outcome = read()?;
    transaction.commit()?;
    Ok(outcome)
}
