//! Tasks, timers and chance on one thread: who goes on is drawn from a seed.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use _core::engine::runtime::Task;

/// Numbers a simulated process; 0 is the network, which nobody kills or freezes.
pub(super) type Pid = u32;

/// The tasks of all processes.
#[derive(Default)]
pub(super) struct Tasks(Mutex<Table>);

#[derive(Default)]
struct Table {
    last: u64,
    tasks: BTreeMap<u64, Entry>,
    /// By instant (monotonic milliseconds), and the order in which they were set.
    timers: BTreeMap<(i64, u64), Waker>,
    running: u64,
}

struct Entry {
    pid: Pid,
    /// `None` while it is polled.
    future: Option<Task>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tasks {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap()
    }

    pub(super) fn spawn(&self, pid: Pid, future: Task) {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        let entry = Entry {
            pid,
            future: Some(future),
            woken: Arc::new(Woken(AtomicBool::new(true))),
        };
        table.tasks.insert(number, entry);
    }

    /// The tasks that can go on, of processes that can.
    pub(super) fn ready(&self, can_run: impl Fn(Pid) -> bool) -> Vec<u64> {
        let table = self.table();
        let woken = table
            .tasks
            .iter()
            .filter(|(_, entry)| entry.woken.0.load(Ordering::Relaxed) && can_run(entry.pid));
        woken.map(|(number, _)| *number).collect()
    }

    /// Polls a task once.
    pub(super) fn poll(&self, number: u64) {
        let (mut future, woken) = {
            let mut table = self.table();
            table.running = number;
            let Some(entry) = table.tasks.get_mut(&number) else {
                return;
            };
            entry.woken.0.store(false, Ordering::Relaxed);
            (entry.future.take().unwrap(), Arc::clone(&entry.woken))
        };
        let waker = Waker::from(woken);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut table = self.table();
        table.running = 0;
        match polled {
            Poll::Ready(()) => drop(table.tasks.remove(&number)),
            Poll::Pending => {
                if let Some(entry) = table.tasks.get_mut(&number) {
                    entry.future = Some(future);
                }
            }
        }
    }

    /// The task that is being polled.
    pub(super) fn running(&self) -> u64 {
        self.table().running
    }

    /// The process of a task.
    pub(super) fn pid_of(&self, number: u64) -> Pid {
        self.table().tasks.get(&number).map_or(0, |entry| entry.pid)
    }

    /// Ends all tasks of a process where they stand.
    pub(super) fn kill(&self, pid: Pid) {
        let killed: Vec<_> = {
            let mut table = self.table();
            table
                .tasks
                .extract_if(.., |_, entry| entry.pid == pid)
                .collect()
        };
        drop(killed);
    }

    /// Ends everything.
    pub(super) fn clear(&self) {
        let table = std::mem::take(&mut *self.table());
        drop(table);
    }

    /// Wakes at `at`.
    pub(super) fn set_timer(&self, at: i64, waker: Waker) {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        table.timers.insert((at, number), waker);
    }

    pub(super) fn next_timer(&self) -> Option<i64> {
        let table = self.table();
        table.timers.keys().next().map(|(at, _)| *at)
    }

    /// Wakes all whose time has come.
    pub(super) fn fire(&self, now: i64) {
        let mut table = self.table();
        let later = table.timers.split_off(&(now + 1, 0));
        let due = std::mem::replace(&mut table.timers, later);
        drop(table);
        due.into_values().for_each(Waker::wake);
    }
}

/// Lets the scheduler choose who goes on.
pub(super) async fn pass() {
    let mut passed = false;
    poll_fn(|context| match std::mem::replace(&mut passed, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// SplitMix64: a sequence of numbers that a seed determines.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Whether something happens that happens so often among a hundred.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn among<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}
