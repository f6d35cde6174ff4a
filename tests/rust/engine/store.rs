//! A store that fails when told to.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use _core::clock::Timestamp;
use _core::error::{Error, Result};
use _core::model::{ConnectionKey, IntegrationKey};
use _core::store::{
    AttemptId, Claimant, Claimed, Commit, Committed, ConnectionRow, Ending, EventRow,
    IntegrationRow, KeyRow, Loaded, NewKey, Orphan, PendingRow, Slot, Spilled, Store, StoreFuture,
};

/// Passes everything on, except what it was told to fail.
pub(super) struct Unreliable {
    inner: Arc<dyn Store>,
    /// So many commits fail.
    pub(super) failing_commits: AtomicU32,
    /// So many attempts cannot be ended.
    pub(super) failing_endings: AtomicU32,
    /// No slot is to be had.
    pub(super) full: AtomicBool,
    pub(super) slots: Arc<Slots>,
    pub(super) read_only: AtomicBool,
    /// Its data keys can't be read.
    pub(super) keyless: AtomicBool,
    /// Who asks after so many others whether it can be written, and only he, is told no.
    pub(super) read_only_once: Mutex<Option<u32>>,
    /// Added to the change counter: another process wrote.
    pub(super) foreign_writes: AtomicU64,
    /// Before the next claim the attempt that runs ends so.
    pub(super) ends_before_claim: Mutex<Option<Ending>>,
    /// Somebody else claims the next sign-in a moment earlier.
    pub(super) another_claims: AtomicBool,
    /// Slots that were asked for.
    pub(super) reservations: AtomicU32,
    /// Happens while the next slot is reserved.
    pub(super) while_reserving: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Replies that processes which are gone left.
    pub(super) left: Mutex<Vec<Orphan>>,
}

/// What happens to slots.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) unwritable: AtomicBool,
    pub(super) unflushable: AtomicBool,
    pub(super) never_empty: AtomicBool,
    /// What was written to them.
    pub(super) written: Mutex<Vec<Spilled>>,
}

impl Unreliable {
    /// The store without failures: what another process sees.
    pub(super) fn reliable(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner)
    }

    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            failing_commits: AtomicU32::new(0),
            failing_endings: AtomicU32::new(0),
            full: AtomicBool::new(false),
            slots: Arc::default(),
            read_only: AtomicBool::new(false),
            keyless: AtomicBool::new(false),
            read_only_once: Mutex::default(),
            foreign_writes: AtomicU64::new(0),
            ends_before_claim: Mutex::default(),
            another_claims: AtomicBool::new(false),
            reservations: AtomicU32::new(0),
            while_reserving: Mutex::default(),
            left: Mutex::default(),
        }
    }

    fn broken() -> Error {
        Error::store("broken", "The store is broken")
    }
}

impl Store for Unreliable {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn writable(&self) -> bool {
        let mut once = self.read_only_once.lock().unwrap();
        let denied = *once == Some(0);
        *once = once.and_then(|left| left.checked_sub(1));
        !denied && !self.read_only.load(Ordering::SeqCst) && self.inner.writable()
    }

    fn keys<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<KeyRow>> {
        if self.keyless.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Self::broken()) });
        }
        self.inner.keys(workspace)
    }

    fn master_key_id(&self) -> StoreFuture<'_, Option<String>> {
        self.inner.master_key_id()
    }

    fn add_key(&self, key: NewKey) -> StoreFuture<'_, KeyRow> {
        self.inner.add_key(key)
    }

    fn integration<'a>(
        &'a self,
        key: &'a IntegrationKey,
    ) -> StoreFuture<'a, Option<IntegrationRow>> {
        self.inner.integration(key)
    }

    fn integrations<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<IntegrationRow>> {
        self.inner.integrations(workspace)
    }

    fn put_integration(&self, row: IntegrationRow, expected: Option<u64>) -> StoreFuture<'_, bool> {
        self.inner.put_integration(row, expected)
    }

    fn delete_integration<'a>(&'a self, key: &'a IntegrationKey) -> StoreFuture<'a, bool> {
        self.inner.delete_integration(key)
    }

    fn load<'a>(&'a self, key: &'a ConnectionKey, resource: &'a str) -> StoreFuture<'a, Loaded> {
        self.inner.load(key, resource)
    }

    fn list<'a>(
        &'a self,
        workspace: &'a str,
        integration: Option<&'a IntegrationKey>,
        after: Option<&'a ConnectionKey>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<ConnectionRow>> {
        self.inner.list(workspace, integration, after, limit)
    }

    fn claim<'a>(&'a self, key: &'a ConnectionKey, claimant: Claimant) -> StoreFuture<'a, Claimed> {
        let ending = self.ends_before_claim.lock().unwrap().take();
        Box::pin(async move {
            if let Some(ending) = ending {
                let running = self.inner.load(key, "").await?.attempt.expect("one runs");
                self.inner.settle(key, running.id, ending).await?;
            }
            self.inner.claim(key, claimant).await
        })
    }

    fn settle<'a>(
        &'a self,
        key: &'a ConnectionKey,
        attempt: AttemptId,
        ending: Ending,
    ) -> StoreFuture<'a, bool> {
        if failed(&self.failing_endings) {
            return Box::pin(async { Err(Self::broken()) });
        }
        self.inner.settle(key, attempt, ending)
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        if failed(&self.failing_commits) {
            return Box::pin(async { Err(Self::broken()) });
        }
        self.inner.commit(commit)
    }

    fn put_pending(&self, row: PendingRow, now: Timestamp) -> StoreFuture<'_, ()> {
        self.inner.put_pending(row, now)
    }

    fn pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, Option<PendingRow>> {
        self.inner.pending(state_hash)
    }

    fn claim_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, bool> {
        let another = self.another_claims.load(Ordering::SeqCst);
        Box::pin(async move {
            if another {
                self.inner.claim_pending(state_hash).await?;
            }
            self.inner.claim_pending(state_hash).await
        })
    }

    fn release_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        self.inner.release_pending(state_hash)
    }

    fn delete_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        self.inner.delete_pending(state_hash)
    }

    fn events<'a>(&'a self, workspace: &'a str, limit: usize) -> StoreFuture<'a, Vec<EventRow>> {
        self.inner.events(workspace, limit)
    }

    fn changed(&self) -> StoreFuture<'_, u64> {
        Box::pin(async {
            Ok(self.inner.changed().await? + self.foreign_writes.load(Ordering::SeqCst))
        })
    }

    fn reserve(&self) -> Result<Box<dyn Slot>> {
        self.reservations.fetch_add(1, Ordering::SeqCst);
        if self.full.load(Ordering::SeqCst) {
            return Err(Error::store("disk_full", "The disk is full"));
        }
        if let Some(happens) = self.while_reserving.lock().unwrap().take() {
            happens();
        }
        Ok(Box::new(UnreliableSlot {
            inner: self.inner.reserve()?,
            slots: Arc::clone(&self.slots),
        }))
    }

    fn orphans(&self, connection: Option<&ConnectionKey>) -> Result<Vec<Orphan>> {
        let mut orphans = self.inner.orphans(connection)?;
        let left = self.left.lock().unwrap();
        let wanted =
            |orphan: &&Orphan| connection.is_none_or(|key| *key == orphan.spilled.connection);
        orphans.extend(left.iter().filter(wanted).cloned());
        Ok(orphans)
    }

    fn reply_of(&self, attempt: AttemptId) -> Result<Option<Spilled>> {
        self.inner.reply_of(attempt)
    }

    fn forget_orphan(&self, orphan: &Orphan) -> Result<()> {
        self.left
            .lock()
            .unwrap()
            .retain(|other| other.spilled != orphan.spilled);
        self.inner.forget_orphan(orphan)
    }
}

struct UnreliableSlot {
    inner: Box<dyn Slot>,
    slots: Arc<Slots>,
}

impl Slot for UnreliableSlot {
    fn write(&self, reply: &Spilled) -> Result<()> {
        check(&self.slots.unwritable)?;
        self.slots.written.lock().unwrap().push(reply.clone());
        self.inner.write(reply)
    }

    fn sync(&self) -> Result<()> {
        check(&self.slots.unflushable)?;
        self.inner.sync()
    }

    fn clear(&self) -> Result<()> {
        check(&self.slots.never_empty)?;
        self.inner.clear()
    }
}

/// Counts down; whether it was still counting.
fn failed(left: &AtomicU32) -> bool {
    let counted = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    counted.is_ok()
}

fn check(broken: &AtomicBool) -> Result<()> {
    match broken.load(Ordering::SeqCst) {
        true => Err(Error::store("broken_slot", "The slot is broken")),
        false => Ok(()),
    }
}
