//! Wall and monotonic time, the only reader of clocks in the core, injectable for tests.

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

    /// The time from `earlier` until this instant, zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Reads both clocks: the machine's own, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<ManualClock>>);

impl Clock {
    /// The machine's clocks.
    pub const fn system() -> Self {
        Self(None)
    }

    /// Clocks that move only when `clock` is told to.
    pub const fn manual(clock: Arc<ManualClock>) -> Self {
        Self(Some(clock))
    }

    /// The clock that a test moves, if this is one.
    pub fn manual_clock(&self) -> Option<&Arc<ManualClock>> {
        self.0.as_ref()
    }

    /// Whether both read the same clocks.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// The wall clock (UTC), to the resolution of the kernel's tick (1-4 ms).
    #[inline]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            None => Timestamp(system::coarse_wall_millis()),
            Some(clock) => Timestamp(clock.wall.load(Ordering::Relaxed)),
        }
    }

    /// The monotonic clock, to the resolution of the kernel's tick (1-4 ms).
    #[inline]
    pub fn monotonic(&self) -> Monotonic {
        match &self.0 {
            None => Monotonic(system::coarse_monotonic_millis()),
            Some(clock) => Monotonic(clock.monotonic.load(Ordering::Relaxed)),
        }
    }
}

/// Clocks for tests: they stand still until moved.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `wall` and an arbitrary monotonic instant.
    pub const fn new(wall: Timestamp) -> Self {
        Self {
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

    /// The wall clock alone jumps, forwards or back, as an administrator or NTP moves it.
    pub fn jump_wall(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::Relaxed);
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
