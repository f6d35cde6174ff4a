//! The store that all processes share. Each looks at it through its own [`Process`], which lets the scheduler choose
//! before and after every step that matters, fails when the seed says so, and puts the simulated owner in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use _core::clock::Timestamp;
use _core::error::{Error, Result};
use _core::model::{ConnectionKey, IntegrationKey};
use _core::store::memory::MemoryStore;
use _core::store::{
    AttemptId, Claimant, Claimed, Commit, Committed, ConnectionRow, Ending, EventRow,
    IntegrationRow, KeyRow, Loaded, NewKey, Orphan, Owner, PendingRow, Slot, Spilled, Store,
    StoreFuture,
};
use _core::system::{self, Liveness};

use super::scheduler::{Pid, pass};
use super::world::Process;

/// The store's file and the slots beside it.
pub(super) struct Disk {
    pub(super) store: MemoryStore,
    state: Arc<Mutex<State>>,
    visible: bool,
}

#[derive(Default)]
struct State {
    dead: BTreeSet<Pid>,
    slots: BTreeMap<u64, Content>,
    last_slot: u64,
    /// How many changes each process made.
    changes: BTreeMap<Pid, u64>,
    /// The newest generation that was written to a slot.
    newest_reply: u64,
}

struct Content {
    owner: Pid,
    reply: Option<Spilled>,
    dropped: bool,
    /// The step since which others can see it.
    seen_since: u64,
}

impl Disk {
    pub(super) fn new(visible: bool) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let seen = Arc::clone(&state);
        let sight = move |owner: &Owner| match visible {
            false => Liveness::Unseen,
            true if seen.lock().unwrap().dead.contains(&owner.pid) => Liveness::Dead,
            true => Liveness::Alive,
        };
        Self {
            store: MemoryStore::seen_by(Arc::new(sight)),
            state,
            visible,
        }
    }

    pub(super) fn bury(&self, pid: Pid, step: u64) {
        let mut state = self.state.lock().unwrap();
        state.dead.insert(pid);
        if self.visible {
            let slots = state.slots.values_mut();
            slots
                .filter(|content| content.owner == pid)
                .for_each(|content| content.seen_since = step);
        }
    }

    /// Whether a slot that process `pid` could look into before `step` holds the reply of `generation`.
    pub(super) fn leaves(&self, generation: u64, pid: Pid, step: u64) -> bool {
        let state = self.state.lock().unwrap();
        state.slots.values().any(|content| {
            let reply = content.reply.as_ref();
            reply.is_some_and(|reply| reply.sealed.generation == generation)
                && content.owner != pid
                && (!self.visible || state.dead.contains(&content.owner))
                && content.seen_since < step
        })
    }

    pub(super) fn newest_reply(&self) -> u64 {
        self.state.lock().unwrap().newest_reply
    }

    fn changed_by(&self, pid: Pid) {
        *self.state.lock().unwrap().changes.entry(pid).or_default() += 1;
    }
}

impl Process {
    /// Whether the store fails now, by the seed.
    fn fails(&self) -> bool {
        let world = &self.world;
        if world.notes().store_faults == 0 || !world.chance().percent(8) {
            return false;
        }
        let mut notes = world.notes();
        notes.store_faults -= 1;
        notes.processes.get_mut(&self.pid).unwrap().store_faults += 1;
        true
    }

    async fn step(&self, what: &'static str) -> Result<()> {
        pass().await;
        if self.fails() {
            let pid = self.pid;
            self.world
                .trace(|| format!("process {pid}: the store fails to {what}"));
            return Err(broken());
        }
        Ok(())
    }
}

impl Process {
    /// A new refresh token that is about to be committed lies in a slot, unless that failed.
    fn is_in_a_slot(&self, commit: &Commit) -> bool {
        let state = self.world.disk.state.lock().unwrap();
        let held = state.slots.values().any(|content| {
            let reply = content.reply.as_ref();
            reply.is_some_and(|reply| reply.sealed.generation == commit.generation)
        });
        drop(state);
        let failed = self.world.notes().processes[&self.pid].store_faults > 0;
        held || failed || !commit.durable || commit.event.what != "refreshed"
    }
}

fn broken() -> Error {
    Error::store("broken", "The store is broken")
}

impl Store for Process {
    fn location(&self) -> String {
        "simulated".to_owned()
    }

    fn writable(&self) -> bool {
        true
    }

    fn load<'a>(&'a self, key: &'a ConnectionKey, resource: &'a str) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            self.step("load").await?;
            let loaded = self.world.disk.store.load(key, resource).await?;
            self.note_look();
            pass().await;
            Ok(loaded)
        })
    }

    fn claim<'a>(&'a self, key: &'a ConnectionKey, claimant: Claimant) -> StoreFuture<'a, Claimed> {
        Box::pin(async move {
            self.step("claim").await?;
            let owner = Owner {
                pid: self.pid,
                start_time: 0,
                ..system::owner()
            };
            let now = self.world.now();
            let claimant = Claimant { owner, ..claimant };
            let claimed = self.world.disk.store.claim(key, claimant).await?;
            if matches!(claimed, Claimed::Ours { .. }) {
                self.note_claim();
                self.world.disk.changed_by(self.pid);
            }
            self.world.trace(|| {
                let what = match &claimed {
                    Claimed::Ours { previous: None } => "claims".to_owned(),
                    Claimed::Ours {
                        previous: Some(attempt),
                    } => format!(
                        "claims after process {} ({:?})",
                        attempt.owner.pid,
                        attempt.ending.as_ref().map(|ending| ending.outcome)
                    ),
                    Claimed::Held(attempt) => format!(
                        "waits for process {}, {} ms at most",
                        attempt.owner.pid,
                        attempt.deadline.millis() - now
                    ),
                    Claimed::Changed => "claims what has changed".to_owned(),
                };
                format!("process {} {what}", self.pid)
            });
            pass().await;
            Ok(claimed)
        })
    }

    fn settle<'a>(
        &'a self,
        key: &'a ConnectionKey,
        attempt: AttemptId,
        ending: Ending,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.step("settle").await?;
            let outcome = ending.outcome;
            let settled = self.world.disk.store.settle(key, attempt, ending).await?;
            self.world.disk.changed_by(self.pid);
            self.world.trace(|| {
                format!(
                    "process {} ends its attempt ({settled}): {outcome:?}",
                    self.pid
                )
            });
            pass().await;
            Ok(settled)
        })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed> {
        Box::pin(async move {
            self.step("commit").await?;
            let in_a_slot = self.is_in_a_slot(&commit);
            let (before, generation) = (
                self.world.disk.store.load(&commit.key, "").await?,
                commit.generation,
            );
            let committed = self.world.disk.store.commit(commit).await?;
            self.world.disk.changed_by(self.pid);
            self.world
                .trace(|| format!("process {} commits: {committed:?}", self.pid));
            if committed == Committed::Done && !in_a_slot {
                let what = "a reply is committed that no slot holds";
                self.world.breaks(what.to_owned());
            }
            if committed == Committed::Done && generation <= before.generation() {
                self.world.breaks("the generation did not grow".to_owned());
            }
            pass().await;
            // It is stored, and the answer says that it is not.
            match self.fails() {
                true => Err(broken()),
                false => Ok(committed),
            }
        })
    }

    fn reserve(&self) -> Result<Box<dyn Slot>> {
        if self.fails() {
            return Err(Error::store("disk_full", "The disk is full"));
        }
        let mut state = self.world.disk.state.lock().unwrap();
        state.last_slot += 1;
        let number = state.last_slot;
        let content = Content {
            owner: self.pid,
            reply: None,
            dropped: false,
            seen_since: 0,
        };
        state.slots.insert(number, content);
        Ok(Box::new(SlotOnDisk {
            process: self.clone(),
            number,
        }))
    }

    /// As the file store has it: of those who are gone, of those who can't be seen, and what this one dropped itself.
    fn orphans(&self, _connection: Option<&ConnectionKey>) -> Result<Vec<Orphan>> {
        let state = self.world.disk.state.lock().unwrap();
        let visible = self.world.disk.visible;
        let left = state.slots.iter().filter(|(_, content)| {
            if content.owner == self.pid {
                content.dropped
            } else {
                !visible || state.dead.contains(&content.owner)
            }
        });
        let orphans = left.filter_map(|(number, content)| {
            Some(Orphan {
                spilled: content.reply.clone()?,
                place: (PathBuf::new(), *number),
            })
        });
        Ok(orphans.collect())
    }

    fn reply_of(&self, attempt: AttemptId) -> Result<Option<Spilled>> {
        let state = self.world.disk.state.lock().unwrap();
        let mut replies = state
            .slots
            .values()
            .filter_map(|content| content.reply.as_ref());
        Ok(replies.find(|reply| reply.attempt == attempt).cloned())
    }

    fn forget_orphan(&self, orphan: &Orphan) -> Result<()> {
        let mut state = self.world.disk.state.lock().unwrap();
        if let Some(content) = state.slots.get_mut(&orphan.place.1)
            && content.reply.as_ref() == Some(&orphan.spilled)
        {
            content.reply = None;
        }
        drop(state);
        self.world
            .trace(|| format!("process {} forgets an orphan", self.pid));
        Ok(())
    }

    fn changed(&self) -> StoreFuture<'_, u64> {
        Box::pin(async {
            let state = self.world.disk.state.lock().unwrap();
            let others = state.changes.iter().filter(|(pid, _)| **pid != self.pid);
            Ok(others.map(|(_, changes)| changes).sum())
        })
    }

    fn keys<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<KeyRow>> {
        self.world.disk.store.keys(workspace)
    }

    fn master_key_id(&self) -> StoreFuture<'_, Option<String>> {
        self.world.disk.store.master_key_id()
    }

    fn add_key(&self, key: NewKey) -> StoreFuture<'_, KeyRow> {
        self.world.disk.store.add_key(key)
    }

    fn integration<'a>(
        &'a self,
        key: &'a IntegrationKey,
    ) -> StoreFuture<'a, Option<IntegrationRow>> {
        self.world.disk.store.integration(key)
    }

    fn integrations<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<IntegrationRow>> {
        self.world.disk.store.integrations(workspace)
    }

    fn put_integration(&self, row: IntegrationRow, expected: Option<u64>) -> StoreFuture<'_, bool> {
        self.world.disk.store.put_integration(row, expected)
    }

    fn delete_integration<'a>(&'a self, key: &'a IntegrationKey) -> StoreFuture<'a, bool> {
        self.world.disk.store.delete_integration(key)
    }

    fn list<'a>(
        &'a self,
        workspace: &'a str,
        integration: Option<&'a IntegrationKey>,
        after: Option<&'a ConnectionKey>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<ConnectionRow>> {
        self.world
            .disk
            .store
            .list(workspace, integration, after, limit)
    }

    fn put_pending(&self, row: PendingRow, now: Timestamp) -> StoreFuture<'_, ()> {
        self.world.disk.store.put_pending(row, now)
    }

    fn pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, Option<PendingRow>> {
        self.world.disk.store.pending(state_hash)
    }

    fn claim_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, bool> {
        self.world.disk.store.claim_pending(state_hash)
    }

    fn release_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        self.world.disk.store.release_pending(state_hash)
    }

    fn delete_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()> {
        self.world.disk.store.delete_pending(state_hash)
    }

    fn events<'a>(&'a self, workspace: &'a str, limit: usize) -> StoreFuture<'a, Vec<EventRow>> {
        self.world.disk.store.events(workspace, limit)
    }
}

/// Outlives its process.
struct SlotOnDisk {
    process: Process,
    number: u64,
}

impl SlotOnDisk {
    fn change(&self, change: impl FnOnce(&mut State, u64)) {
        change(
            &mut self.process.world.disk.state.lock().unwrap(),
            self.number,
        );
    }
}

impl Slot for SlotOnDisk {
    fn write(&self, reply: &Spilled) -> Result<()> {
        if self.process.fails() {
            return Err(broken());
        }
        let step = self.process.world.notes().step;
        self.change(|state, number| {
            state.newest_reply = state.newest_reply.max(reply.sealed.generation);
            let content = state.slots.get_mut(&number).unwrap();
            content.reply = Some(reply.clone());
            content.seen_since = step;
        });
        let pid = self.process.pid;
        self.process
            .world
            .trace(|| format!("process {pid} has the reply in its slot"));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        match self.process.fails() {
            true => Err(broken()),
            false => Ok(()),
        }
    }

    fn clear(&self) -> Result<()> {
        self.change(|state, number| state.slots.get_mut(&number).unwrap().reply = None);
        Ok(())
    }
}

impl Drop for SlotOnDisk {
    fn drop(&mut self) {
        self.change(|state, number| state.slots.get_mut(&number).unwrap().dropped = true);
    }
}
