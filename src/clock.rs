//! Wall and monotonic time, the only reader of clocks in the core, injectable for tests.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::system;

/// An instant of the wall clock: milliseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the Unix epoch (UTC).
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch (UTC).
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant moved later; saturates instead of overflowing.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }

    /// This instant moved earlier; saturates instead of overflowing.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }

    /// The time from `earlier` until this instant, zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// An instant of the monotonic clock of this boot, in milliseconds. It stands still in suspend.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Monotonic(i64);

impl Monotonic {
    /// The instant `millis` milliseconds after the clock's own start.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's own start.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant moved later; saturates instead of overflowing.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }

    /// This instant moved earlier; saturates instead of overflowing.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }

    /// The time from `earlier` until this instant, zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// An instant of a monotonic clock with that clock's name: of other processes only those can read it whose clock has the
/// same name, so those of one boot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor {
    /// The clock.
    pub origin: Arc<str>,
    /// The instant.
    pub at: Monotonic,
}

/// Reads both clocks: the machine's own, one that a test moves by hand, or one whose deadlines come sooner.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Injected>);

/// The clock of a test.
#[derive(Clone, Debug)]
enum Injected {
    Manual(Arc<ManualClock>),
    Paced(NonZeroU32),
}

impl Clock {
    /// The machine's clocks.
    pub const fn system() -> Self {
        Self(None)
    }

    /// Clocks that move only when `clock` is told to.
    pub const fn manual(clock: Arc<ManualClock>) -> Self {
        Self(Some(Injected::Manual(clock)))
    }

    /// The machine's wall clock, beside a monotonic one that runs `pace` times as fast: for tests that wait for a
    /// deadline. It counts from the start of the machine's, so the processes of a host agree on it.
    pub const fn paced(pace: NonZeroU32) -> Self {
        Self(Some(Injected::Paced(pace)))
    }

    /// The clock that a test moves, if this is one.
    pub fn manual_clock(&self) -> Option<&Arc<ManualClock>> {
        match &self.0 {
            Some(Injected::Manual(clock)) => Some(clock),
            _ => None,
        }
    }

    /// How long the machine waits until `duration` has passed on the monotonic clock.
    pub fn real(&self, duration: Duration) -> Duration {
        match &self.0 {
            Some(Injected::Paced(pace)) => duration / pace.get(),
            _ => duration,
        }
    }

    /// The instant `ago`, by the monotonic clock; `None` where the system gives that clock no name.
    pub fn anchor(&self, ago: Duration) -> Option<Anchor> {
        let origin = match &self.0 {
            None => system::monotonic_origin()?,
            Some(Injected::Manual(clock)) => Arc::clone(&clock.origin),
            // It runs faster than the tokens that it would date.
            Some(Injected::Paced(_)) => return None,
        };
        let at = self.monotonic().before(ago);
        Some(Anchor { origin, at })
    }

    /// The time since an instant; `None` when it is not of this clock.
    pub fn since(&self, anchor: &Anchor) -> Option<Duration> {
        let now = self.anchor(Duration::ZERO)?;
        (now.origin == anchor.origin && now.at >= anchor.at).then(|| now.at.since(anchor.at))
    }

    /// Whether both read the same clocks.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(Injected::Manual(one)), Some(Injected::Manual(two))) => Arc::ptr_eq(one, two),
            (Some(Injected::Paced(one)), Some(Injected::Paced(two))) => one == two,
            _ => false,
        }
    }

    /// The wall clock (UTC), to the resolution of the kernel's tick (1-4 ms).
    #[inline]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            None => Timestamp(system::coarse_wall_millis()),
            Some(injected) => injected.wall(),
        }
    }

    /// The monotonic clock, to the resolution of the kernel's tick (1-4 ms).
    #[inline]
    pub fn monotonic(&self) -> Monotonic {
        match &self.0 {
            None => Monotonic(system::coarse_monotonic_millis()),
            Some(injected) => injected.monotonic(),
        }
    }
}

impl Injected {
    fn wall(&self) -> Timestamp {
        match self {
            Self::Manual(clock) => clock.wall(),
            Self::Paced(_) => Timestamp(system::coarse_wall_millis()),
        }
    }

    fn monotonic(&self) -> Monotonic {
        match self {
            Self::Manual(clock) => Monotonic(clock.monotonic.load(Ordering::Relaxed)),
            Self::Paced(pace) => {
                Monotonic(system::coarse_monotonic_millis().saturating_mul(pace.get().into()))
            }
        }
    }
}

/// Clocks for tests: they stand still until moved.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
    origin: Arc<str>,
}

impl ManualClock {
    /// A clock that shows `wall` and an arbitrary monotonic instant.
    pub fn new(wall: Timestamp) -> Self {
        static MADE: AtomicI64 = AtomicI64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self {
            origin: format!("manual-{}-{number}", std::process::id()).into(),
            wall: AtomicI64::new(wall.0),
            monotonic: AtomicI64::new(1_000_000),
        }
    }

    /// The wall clock (UTC).
    pub fn wall(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::Relaxed))
    }

    /// Time passes: both clocks move on.
    pub fn advance(&self, duration: Duration) {
        self.monotonic
            .fetch_add(millis_of(duration), Ordering::Relaxed);
        self.wall.fetch_add(millis_of(duration), Ordering::Relaxed);
    }

    /// The machine sleeps: the wall clock moves on, the monotonic clock stands still.
    pub fn suspend(&self, duration: Duration) {
        self.wall.fetch_add(millis_of(duration), Ordering::Relaxed);
    }

    /// The wall clock alone jumps, forwards or back, as an administrator or NTP moves it.
    pub fn jump_wall(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::Relaxed);
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
