//! The runtime of this process: tokio at the first need, forgotten in a forked child, and the wait at exit.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
/// The lock of the flights: a test of their interleavings has its own in this place.
pub(super) use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Clock;
use crate::system;
use crate::vault;

static RUNTIME: Mutex<Option<(u64, Arc<tokio::runtime::Runtime>)>> = Mutex::new(None);
static UNFINISHED: Mutex<(u64, usize)> = Mutex::new((0, 0));

/// Runs `future` to its end, whoever stops waiting for it.
///
/// Every poll is inside the fork gate, so that no lock of ours is held by another thread when the process forks.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    handle().spawn(system::Gated::new(future));
}

/// A future that a [`Scheduler`] runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the futures of an engine in place of tokio, so that a test chooses what happens when.
pub trait Scheduler: Send + Sync {
    /// Runs `task` to its end.
    fn spawn(&self, task: Task);

    /// Ends when `duration` has passed.
    fn sleep(&self, duration: Duration) -> Task;

    /// A number from 0 to 1, by chance.
    fn fraction(&self) -> f64;
}

/// Where the flights of an engine run, how they wait, and what chance they have: the machine's, unless a test schedules.
#[derive(Clone, Default)]
pub struct Runtime(Option<Arc<dyn Scheduler>>);

impl Runtime {
    /// One on which `scheduler` chooses.
    pub fn scheduled(scheduler: Arc<dyn Scheduler>) -> Self {
        Self(Some(scheduler))
    }

    /// As the function [`spawn`].
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            None => spawn(future),
            Some(scheduler) => scheduler.spawn(Box::pin(future)),
        }
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            None => tokio::time::sleep(duration).await,
            Some(scheduler) => scheduler.sleep(duration).await,
        }
    }

    /// A number from 0 to 1. Without random numbers the waiters march in step, and no more happens.
    pub fn fraction(&self) -> f64 {
        match &self.0 {
            None => {
                let random = vault::random_array().unwrap_or_default();
                f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX)
            }
            Some(scheduler) => scheduler.fraction(),
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Runtime")
    }
}

/// An unfinished request of this process. Exit waits until none is left.
#[derive(Debug)]
pub struct Unfinished {
    epoch: u64,
}

impl Unfinished {
    /// Counts a request that must not be cut off by the end of the process.
    pub fn begin() -> Self {
        let _entered = system::enter();
        let epoch = system::epoch();
        let mut count = lock(&UNFINISHED);
        if count.0 != epoch {
            *count = (epoch, 0);
        }
        count.1 += 1;
        Self { epoch }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _entered = system::enter();
        let mut count = lock(&UNFINISHED);
        if count.0 == self.epoch {
            count.1 = count.1.saturating_sub(1);
        }
    }
}

/// Whether a request of this process is unfinished.
pub fn unfinished() -> bool {
    // Nothing begins after a fork without handlers, and the lock may be held by a thread that is not here.
    if system::unprepared_fork() {
        return false;
    }
    let _entered = system::enter();
    let count = lock(&UNFINISHED);
    count.0 == system::epoch() && count.1 > 0
}

/// Waits until this process has no unfinished request, or until `timeout` has passed; `true` when none is left.
pub fn drain(timeout: Duration) -> bool {
    // Looked at in steps, not waited for on a condition: the lock may only be held inside the fork gate.
    const STEP: Duration = Duration::from_millis(5);
    let clock = Clock::system();
    let deadline = clock.monotonic().after(timeout);
    loop {
        if !unfinished() {
            return true;
        }
        let left = deadline.since(clock.monotonic());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(STEP.min(left));
    }
}

/// The runtime. A child of a fork gets one of its own: the parent's threads do not exist there, so the parent's
/// runtime is forgotten without being touched.
fn handle() -> Arc<tokio::runtime::Runtime> {
    let _entered = system::enter();
    let mut runtime = lock(&RUNTIME);
    let epoch = system::epoch();
    if let Some((born, running)) = &*runtime
        && *born == epoch
    {
        return Arc::clone(running);
    }
    // The workers inherit the mask: a signal must land on a thread of the interpreter's.
    let built = system::with_signals_blocked(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .thread_name("evergrant")
            .enable_all()
            .build()
    });
    let built = Arc::new(built.expect("the operating system gives a process its first threads"));
    if let Some(inherited) = runtime.replace((epoch, Arc::clone(&built))) {
        std::mem::forget(inherited);
    }
    built
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
