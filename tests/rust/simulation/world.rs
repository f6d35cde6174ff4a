//! What all simulated processes share, and what is noted of each to judge it by.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use _core::clock::{Clock, ManualClock, Timestamp};
use _core::engine::Engine;
use _core::engine::open::Surroundings;
use _core::engine::runtime::{Runtime, Scheduler, Task};
use _core::store::Store as _;

use super::disk::Disk;
use super::provider::{Fate, Rotation, Server};
use super::scheduler::{Chance, Pid, Tasks};
use super::story::{connection, settled};
use crate::support::NOW;

/// A freeze, or a pause between two steps, that no deadline notices: a lease outlasts its request by more.
const UNNOTICED: i64 = 4_000;

/// What a seed decides before the first step.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) rotation: Rotation,
    pub(super) processes: u32,
    /// Whether processes see which of the others live, or only wait for deadlines.
    pub(super) visible: bool,
    pub(super) kills: u32,
    pub(super) freezes: u32,
    pub(super) jumps: u32,
    pub(super) store_faults: u32,
    /// Of a hundred requests.
    pub(super) network_faults: u64,
    pub(super) slow_network: u64,
    /// Whether callers report tokens as refused.
    pub(super) refusals: bool,
    /// How old the first access token is, in seconds.
    pub(super) age: u64,
}

impl Plan {
    /// One in which nothing goes wrong.
    pub(super) fn without_faults(rotation: Rotation) -> Self {
        Self {
            rotation,
            processes: 1,
            visible: true,
            kills: 0,
            freezes: 0,
            jumps: 0,
            store_faults: 0,
            network_faults: 0,
            slow_network: 0,
            refusals: false,
            age: 0,
        }
    }
}

/// One schedule's world.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) tasks: Tasks,
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: Disk,
    chance: Mutex<Chance>,
    server: Mutex<Server>,
    notes: Mutex<Notes>,
    trace: Option<Mutex<Vec<String>>>,
}

/// What happened so far.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) step: u64,
    pub(super) processes: BTreeMap<Pid, Noted>,
    pub(super) sent: Vec<Sent>,
    /// Faults that are still to come.
    pub(super) kills: u32,
    pub(super) freezes: u32,
    pub(super) jumps: u32,
    pub(super) store_faults: u32,
    pub(super) jumped: bool,
    /// What is against a promise.
    pub(super) broken: Vec<String>,
}

/// What is known of a process.
#[derive(Default)]
pub(super) struct Noted {
    pub(super) engine: Option<Arc<Engine>>,
    pub(super) killed: bool,
    pub(super) frozen_until: Option<i64>,
    /// Each freeze: at which step it began, and for how long.
    freezes: Vec<(u64, i64)>,
    /// By task: the step of its last claim, and of its last look at the store.
    claims: BTreeMap<u64, u64>,
    looks: BTreeMap<u64, u64>,
    pub(super) store_faults: u32,
}

/// A request with a refresh token.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) refresh_token: String,
    /// The sender's wall clock when it began to ask.
    pub(super) wall: i64,
    pid: Pid,
    claimed: u64,
    /// Frozen after the last look at its attempt: nothing could hold it back any more.
    window: bool,
    /// The access token in danger was used up.
    used_up: bool,
    /// Its answer never came.
    lost: bool,
}

impl Sent {
    /// What went before the schedule.
    pub(super) fn first(wall: i64) -> Self {
        Self {
            refresh_token: "rt-0".to_owned(),
            wall,
            pid: 0,
            claimed: 0,
            window: false,
            used_up: true,
            lost: false,
        }
    }
}

impl World {
    pub(super) fn new(plan: Plan, chance: Chance, traced: bool) -> Arc<Self> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let now = Clock::manual(Arc::clone(&clock)).monotonic().millis();
        let notes = Notes {
            kills: plan.kills,
            freezes: plan.freezes,
            jumps: plan.jumps,
            store_faults: plan.store_faults,
            ..Notes::default()
        };
        Arc::new(Self {
            tasks: Tasks::default(),
            disk: Disk::new(plan.visible),
            chance: Mutex::new(chance),
            server: Mutex::new(Server::begun(plan.rotation, now, NOW)),
            notes: Mutex::new(notes),
            trace: traced.then(Mutex::default),
            plan,
            clock,
        })
    }

    pub(super) fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().unwrap()
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// The true time, in milliseconds: nobody jumps it.
    pub(super) fn now(&self) -> i64 {
        Clock::manual(Arc::clone(&self.clock)).monotonic().millis()
    }

    /// Notes what happens, where a trace is wanted.
    pub(super) fn trace(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let (step, now) = (self.notes().step, self.now() - 1_000_000);
            let line = format!("step {step:4}  {:9.3} s  {}", now as f64 / 1000.0, what());
            trace.lock().unwrap().push(line);
        }
    }

    pub(super) fn taken_trace(&self) -> Vec<String> {
        let trace = self.trace.as_ref();
        trace.map_or_else(Vec::new, |trace| {
            std::mem::take(&mut *trace.lock().unwrap())
        })
    }

    /// Something is against a promise.
    pub(super) fn breaks(&self, what: String) {
        self.trace(|| format!("BROKEN: {what}"));
        self.notes().broken.push(what);
    }

    /// Ends when `duration` has passed.
    pub(super) fn sleep(self: &Arc<Self>, duration: Duration) -> Task {
        let world = Arc::clone(self);
        let until = self.now() + i64::try_from(duration.as_millis()).unwrap();
        let mut set = false;
        Box::pin(poll_fn(move |context| {
            if world.now() >= until {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut set, true) {
                world.tasks.set_timer(until, context.waker().clone());
            }
            Poll::Pending
        }))
    }

    /// The stored generation.
    pub(super) fn generation(&self) -> u64 {
        let key = connection(self.plan.rotation);
        let loaded = settled(self.disk.store.load(&key, ""));
        loaded.unwrap().generation()
    }

    pub(super) fn sent(&self, number: usize) -> Sent {
        self.notes().sent[number].clone()
    }

    pub(super) fn note_lost(&self, number: usize) {
        self.notes().sent[number].lost = true;
    }

    /// Notes a request; answers with its number.
    pub(super) fn note_sent(
        &self,
        pid: Pid,
        refresh_token: String,
        wall: i64,
        fate: Fate,
    ) -> usize {
        let used_up = self.server().used_up(&refresh_token, wall);
        let task = self.tasks.running();
        let mut notes = self.notes();
        let noted = &notes.processes[&pid];
        let claimed = noted.claims.get(&task).copied().unwrap_or_default();
        let looked = noted.looks.get(&task).copied().unwrap_or_default();
        let window = looked > claimed && noted.frozen_since(looked) > UNNOTICED;
        let number = notes.sent.len();
        let asks_again = self.disk.leaves(self.generation() + 1, pid, claimed);
        notes.sent.push(Sent {
            refresh_token: refresh_token.clone(),
            wall,
            pid,
            claimed,
            window,
            used_up,
            lost: fate != Fate::Answered,
        });
        drop(notes);
        if asks_again {
            self.breaks("a request is sent whose reply lies in a slot".to_owned());
        }
        self.trace(|| {
            format!("process {pid} sends request {number} with {refresh_token}: {fate:?}")
        });
        number
    }

    /// A refresh token came twice: was that allowed?
    pub(super) fn judge_reuse(&self, one: usize, other: usize) {
        let notes = self.notes();
        let (first, second) = (&notes.sent[one.min(other)], &notes.sent[one.max(other)]);
        let sender = &notes.processes[&first.pid];
        let unknown = first.lost
            || sender.killed
            || sender.store_faults > 0
            || sender.frozen_since(first.claimed) > UNNOTICED;
        let excused = self.plan.refusals || notes.jumped || self.plan.rotation == Rotation::Grace;
        let allowed = unknown && (second.used_up || excused) || first.window || second.window;
        if !allowed {
            let what = format!("a used refresh token was sent: {first:?}, then {second:?}");
            drop(notes);
            self.breaks(what);
        }
    }
}

impl Noted {
    /// For how long it was frozen since a step.
    fn frozen_since(&self, step: u64) -> i64 {
        let freezes = self.freezes.iter().filter(|(began, _)| *began >= step);
        freezes.map(|(_, millis)| *millis).sum()
    }

    pub(super) fn freeze(&mut self, step: u64, now: i64, millis: i64) {
        self.frozen_until = Some(now + millis);
        self.freezes.push((step, millis));
    }

    pub(super) fn was_frozen(&self) -> bool {
        !self.freezes.is_empty()
    }
}

/// A process in its world: its part of the store, its network, its scheduler.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) world: Arc<World>,
    pub(super) pid: Pid,
}

impl Process {
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings {
            clock: Clock::manual(Arc::clone(&self.world.clock)),
            runtime: Runtime::scheduled(Arc::new(self.clone())),
            transport: Some(Arc::new(self.clone())),
        }
    }

    pub(super) fn run(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.world.tasks.spawn(self.pid, Box::pin(future));
    }

    /// The running task claimed.
    pub(super) fn note_claim(&self) {
        let task = self.world.tasks.running();
        let mut notes = self.world.notes();
        let step = notes.step;
        let noted = notes.processes.get_mut(&self.pid).unwrap();
        noted.claims.insert(task, step);
    }

    /// The running task looked at the store.
    pub(super) fn note_look(&self) {
        let task = self.world.tasks.running();
        let mut notes = self.world.notes();
        let step = notes.step;
        let noted = notes.processes.get_mut(&self.pid).unwrap();
        noted.looks.insert(task, step);
    }
}

impl Scheduler for Process {
    fn spawn(&self, task: Task) {
        self.world.tasks.spawn(self.pid, task);
    }

    /// However short it is, it may take long: nothing promises that a process gets the processor back at once.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let lag = self.world.chance().among(&[0, 0, 2_000, 40_000, 100_000]);
        self.world.sleep(duration + Duration::from_millis(lag))
    }

    fn fraction(&self) -> f64 {
        self.world.chance().below(1001) as f64 / 1000.0
    }
}
