//! The writer thread: it drains its queue and commits what it found in one transaction, so that many share an fsync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Inner;
use super::connection::explain;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fault;
use crate::store::{Slot, Spilled};
use crate::system;

/// How often, and after what pause, a batch is tried again while another process writes: 10 s in all.
const TRIES: u32 = 80;
const PAUSE: Duration = Duration::from_millis(25);

/// How long a commit waits for the next reply for each one that is on its way.
const PATIENCE: Duration = Duration::from_millis(1);
/// How many of those on their way count, and how long it waits in all, in the same unit: 10 ms, and 50 ms.
const AT_MOST: usize = 10;
const IN_ALL: u32 = 50;

/// The jobs that wait for the writer thread of one store.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// Replies that are on their way, each with a commit that the disk must have.
    expected: AtomicUsize,
}

struct State {
    jobs: Vec<Job>,
    started: bool,
    stopped: bool,
    patience: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self {
            jobs: Vec::new(),
            started: false,
            stopped: false,
            patience: PATIENCE,
        }
    }
}

/// A slot whose reply is on its way: until it is dropped, its commit is expected.
struct Expected {
    slot: Box<dyn Slot>,
    queue: Arc<Queue>,
}

impl Slot for Expected {
    fn write(&self, reply: &Spilled) -> Result<()> {
        self.slot.write(reply)
    }

    fn sync(&self) -> Result<()> {
        self.slot.sync()
    }

    fn clear(&self) -> Result<()> {
        self.slot.clear()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.queue.expected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Work for the writer thread, and where its outcome goes.
pub(super) struct Job {
    durable: bool,
    /// Keeps the store open until the job is done, whoever has let go of it.
    store: Arc<Inner>,
    task: Box<dyn Task>,
}

impl Job {
    /// A job and where its outcome will be told, after the commit. `durable`: the disk has it by then.
    pub(super) fn new<T, F>(
        store: Arc<Inner>,
        durable: bool,
        work: F,
    ) -> (Self, oneshot::Receiver<Result<T>>)
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let task = Box::new(Pending {
            work: Some(work),
            outcome: None,
            sender,
        });
        let job = Self {
            durable,
            store,
            task,
        };
        (job, receiver)
    }
}

trait Task: Send {
    /// Does the work in the batch's transaction, all of it or nothing; an error is returned and kept for the answer.
    fn run(&mut self, store: &Inner, connection: &Connection) -> Option<Error>;

    /// Tells the outcome, or what the whole batch failed with.
    fn answer(self: Box<Self>, failed: Option<Error>);
}

struct Pending<T, F> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    sender: oneshot::Sender<Result<T>>,
}

impl<T, F> Task for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, store: &Inner, connection: &Connection) -> Option<Error> {
        let work = self.work.take()?;
        let outcome = in_savepoint(store, connection, work);
        let failed = outcome.as_ref().err().cloned();
        self.outcome = Some(outcome);
        failed
    }

    fn answer(self: Box<Self>, failed: Option<Error>) {
        let outcome = match (failed, self.outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(Error::internal("a committed job never ran")),
        };
        // Nobody listens when the caller was cancelled; the work is done all the same.
        let _ = self.sender.send(outcome);
    }
}

impl Queue {
    /// Hands a job to the writer thread, which the first one starts.
    pub(super) fn submit(self: &Arc<Self>, job: Job) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.started {
            let queue = Arc::clone(self);
            system::spawn_thread("evergrant-store", move || queue.serve()).map_err(|error| {
                Error::store(
                    "thread_unavailable",
                    format!("the store's writer can't start: {error}"),
                )
            })?;
            state.started = true;
        }
        state.jobs.push(job);
        self.ready.notify_one();
        Ok(())
    }

    /// Counts the reply that `slot` was reserved for among those on their way.
    pub(super) fn expect(self: Arc<Self>, slot: Box<dyn Slot>) -> Box<dyn Slot> {
        self.expected.fetch_add(1, Ordering::Relaxed);
        Box::new(Expected { slot, queue: self })
    }

    /// Sets how long a commit waits for the next reply for each one that is on its way.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .patience = patience;
    }

    /// Lets the thread end: the store is closed.
    pub(super) fn stop(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopped = true;
        self.ready.notify_one();
    }

    fn serve(&self) {
        while let Some(jobs) = self.take() {
            // A panic ends this batch, whose callers get an error; the thread goes on for all others.
            if catch_unwind(AssertUnwindSafe(|| commit(jobs))).is_err() {
                tracing::error!("the store's writer panicked");
            }
        }
    }

    /// Waits for jobs outside the fork gate; `None` when the store is closed.
    fn take(&self) -> Option<Vec<Job>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.jobs.is_empty() {
            if state.stopped {
                return None;
            }
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut self.gather(state).jobs))
    }

    /// Waits for the replies that are on their way, as long as they keep coming: a flush of the disk is short beside the
    /// time in which many replies are read one by one, so without this each would get a flush of its own. A commit that
    /// nothing is on its way beside waits for nobody.
    fn gather<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let clock = Clock::system();
        let until = clock.monotonic().after(state.patience * IN_ALL);
        loop {
            let here = state.jobs.iter().filter(|job| job.durable).count();
            let missing = self.expected.load(Ordering::Relaxed).saturating_sub(here);
            if here == 0 || missing == 0 || clock.monotonic() >= until {
                return state;
            }
            let gap = state.patience * missing.min(AT_MOST) as u32;
            let (after, waited) = self
                .ready
                .wait_timeout(state, gap)
                .unwrap_or_else(PoisonError::into_inner);
            state = after;
            if waited.timed_out() {
                return state;
            }
        }
    }
}

/// One transaction for all. While another process writes, the gate is left between tries, so that a fork can happen.
fn commit(mut jobs: Vec<Job>) {
    for left in (0..TRIES).rev() {
        match try_commit(jobs, left == 0) {
            None => return,
            Some(again) => jobs = again,
        }
        std::thread::sleep(PAUSE);
    }
}

/// Gives the jobs back when the file is busy, unless this is the `last` try.
fn try_commit(mut jobs: Vec<Job>, last: bool) -> Option<Vec<Job>> {
    let _entered = system::enter();
    let store = Arc::clone(&jobs.first()?.store);
    let mut side = store.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let durable = jobs.iter().any(|job| job.durable);
    let begun = store
        .for_writing(&mut side)
        .and_then(|connection| begin(&store, connection, durable).map(|()| connection));
    let failed = match begun {
        Err(error) if error.code() == "store_busy" && !last => return Some(jobs),
        Err(error) => Some(error),
        Ok(connection) => run_all(&store, connection, &mut jobs).err(),
    };
    if failed.is_some() {
        // SQLite opens what fails to open for writing as read-only, and would stay with that when the disk has recovered.
        side.close();
    }
    drop(side);
    // Let go of the store first: whoever has the answer may close it, and then it is closed.
    let tasks: Vec<_> = jobs.into_iter().map(|job| job.task).collect();
    drop(store);
    for task in tasks {
        task.answer(failed.clone());
    }
    None
}

fn begin(store: &Inner, connection: &Connection, durable: bool) -> Result<()> {
    let synchronous = if durable { "FULL" } else { "NORMAL" };
    if !connection.is_autocommit() {
        // What a panic left open.
        execute(connection, "ROLLBACK").map_err(|error| explain(&store.file, &error))?;
    }
    connection
        .pragma_update(None, "synchronous", synchronous)
        .and_then(|()| execute(connection, "BEGIN IMMEDIATE"))
        .map_err(|error| explain(&store.file, &error))
}

/// Runs every job and commits. An error is the whole batch's; a job's own is in its answer.
fn run_all(store: &Inner, connection: &Connection, jobs: &mut [Job]) -> Result<()> {
    for job in jobs {
        let failed = job.task.run(store, connection);
        // Some errors (a full disk) end the transaction, and what ran before is undone with it.
        if connection.is_autocommit() {
            return Err(failed.unwrap_or_else(|| Error::internal("a transaction ended early")));
        }
    }
    fault::point("store.write");
    match execute(connection, "COMMIT") {
        Ok(()) => {
            store.count_commit();
            Ok(())
        }
        Err(error) => {
            // Fails when the commit ended the transaction itself.
            let _ = execute(connection, "ROLLBACK");
            Err(explain(&store.file, &error))
        }
    }
}

/// One job's part of a transaction: undone alone when it fails. A panic is its error, not the thread's end.
fn in_savepoint<T>(
    store: &Inner,
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T> {
    let explain = |error| explain(&store.file, &error);
    execute(connection, "SAVEPOINT job").map_err(explain)?;
    let outcome = match catch_unwind(AssertUnwindSafe(|| work(connection))) {
        Ok(outcome) => outcome.map_err(explain),
        Err(_) => Err(Error::internal("a write to the store panicked")),
    };
    if outcome.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK TO job").map_err(explain)?;
    }
    if !connection.is_autocommit() {
        execute(connection, "RELEASE job").map_err(explain)?;
    }
    outcome
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
