//! Tokens of this process, each with two deadlines: reading one costs two coarse clocks and no lock.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::freshness::StoredToken;
use crate::model::ConnectionKey;

/// More connections than a process uses at once: above it, those whose tokens are over are forgotten.
const CROWD: usize = 4096;

/// How long a cached token is trusted before the store's change counter is looked at again.
const RECHECK: Duration = Duration::from_secs(1);

/// A cached token. Whoever holds one asks [`fresh`](Slot::fresh) at each use.
pub struct Slot {
    /// Whose token it is.
    pub key: ConnectionKey,
    /// The token.
    pub stored: Arc<StoredToken>,
    /// The generation it was read at.
    pub generation: u64,
    /// What an outer layer keeps beside it: the Python object that callers get.
    pub companion: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// Whether its grant type is the only one of its provider, so that a caller need not name it.
    only_grant_type: AtomicBool,
    clock: Clock,
    /// Monotonic deadline: sees a wall clock that was set back.
    monotonic_until: i64,
    /// Wall deadline: sees suspend and a restored machine.
    wall_until: i64,
    /// The monotonic instant until which nobody needs to look at the store; 0 once it is void.
    checked_until: AtomicI64,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Slot")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// Whether it may be handed out without a look at anything else.
    #[inline]
    pub fn fresh(&self) -> bool {
        let now = self.clock.monotonic().millis();
        now < self.checked_until.load(Ordering::Relaxed)
            && now < self.monotonic_until
            && self.clock.wall().millis() < self.wall_until
    }

    /// Whether it may be handed out once the store is known to be unchanged.
    fn lives(&self) -> bool {
        !self.ended()
            && self.clock.monotonic().millis() < self.monotonic_until
            && self.clock.wall().millis() < self.wall_until
    }

    /// Notes that its grant type was the only configured one when it was read.
    pub(crate) fn note_only_grant_type(&self) {
        self.only_grant_type.store(true, Ordering::Relaxed);
    }

    /// Whether a caller need not name its grant type.
    pub(crate) fn is_of_only_grant_type(&self) -> bool {
        self.only_grant_type.load(Ordering::Relaxed)
    }

    fn ended(&self) -> bool {
        self.checked_until.load(Ordering::Relaxed) == 0
    }

    fn extend(&self, until: i64) {
        // Not from 0: a slot that was made void in between stays void.
        let _ = self
            .checked_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
                (old != 0).then_some(until)
            });
    }

    fn end(&self) {
        self.checked_until.store(0, Ordering::Relaxed);
    }
}

/// By connection and resource.
type Slots = HashMap<(ConnectionKey, Arc<str>), Arc<Slot>>;

/// The tokens cached for one workspace.
#[derive(Debug)]
pub struct Cache {
    clock: Clock,
    slots: RwLock<Slots>,
    /// The store's change counter when it was last looked at.
    seen: AtomicU64,
    /// The monotonic instant of that look.
    looked_at: AtomicI64,
    /// Grows whenever slots are made void: who read the store before must not cache what it read.
    era: AtomicU64,
}

impl Cache {
    /// An empty cache.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            slots: RwLock::default(),
            seen: AtomicU64::new(u64::MAX),
            looked_at: AtomicI64::new(i64::MIN),
            era: AtomicU64::new(0),
        }
    }

    /// To be read before the store is: [`put`](Self::put) drops what an older era read.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// The cached token, if its deadlines are ahead.
    pub fn get(&self, key: &ConnectionKey, resource: &str) -> Option<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(&(key.clone(), resource.into()))?;
        slot.lives().then(|| Arc::clone(slot))
    }

    /// The newest generation this process has seen of a token, 0 if it has seen none.
    pub fn newest(&self, key: &ConnectionKey, resource: &str) -> u64 {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots
            .get(&(key.clone(), resource.into()))
            .map_or(0, |slot| slot.generation)
    }

    /// Trusts `slot` until the next look at the store's change counter is due.
    pub fn extend(&self, slot: &Slot) {
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        slot.extend(looked_at.saturating_add(RECHECK.as_millis() as i64));
    }

    /// Caches a token that was read in `era`; the slot it makes is void at once when the era is over.
    pub fn put(
        &self,
        key: &ConnectionKey,
        stored: Arc<StoredToken>,
        generation: u64,
        era: u64,
    ) -> Arc<Slot> {
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let (monotonic_until, wall_until) = match stored.fresh_until(key) {
            Some(until) => {
                let left = until.since(stored.now(&self.clock));
                (monotonic.after(left).millis(), wall.after(left).millis())
            }
            None => (i64::MAX, i64::MAX),
        };
        let resource: Arc<str> = stored.token.resource.as_str().into();
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let old = slots.get(&(key.clone(), Arc::clone(&resource)));
        // Somebody slower read the store before: what is newer stays.
        let current = self.era() == era && old.is_none_or(|old| old.generation <= generation);
        if let Some(old) = old
            && current
            && !old.ended()
            && old.generation == generation
            && *old.stored == *stored
        {
            // The same token read again: callers keep getting the same object.
            old.checked_until
                .store(monotonic.after(RECHECK).millis(), Ordering::Relaxed);
            return Arc::clone(old);
        }
        let slot = Arc::new(Slot {
            key: key.clone(),
            stored,
            generation,
            companion: OnceLock::new(),
            only_grant_type: AtomicBool::new(false),
            clock: self.clock.clone(),
            monotonic_until,
            wall_until,
            checked_until: AtomicI64::new(monotonic.after(RECHECK).millis()),
        });
        // The same token read again: callers keep getting the same object.
        if let Some(old) = slots.get(&(key.clone(), Arc::clone(&resource)))
            && *old.stored == *slot.stored
            && let Some(companion) = old.companion.get()
        {
            let _ = slot.companion.set(Arc::clone(companion));
        }
        if current {
            if slots.len() >= CROWD {
                slots.retain(|_, slot| slot.lives());
            }
            if let Some(old) = slots.insert((key.clone(), resource), Arc::clone(&slot)) {
                old.end();
            }
        } else {
            slot.end();
        }
        slot
    }

    /// Makes every slot of a connection void: it was disconnected, reconnected or refused.
    pub fn drop_connection(&self, key: &ConnectionKey) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        self.era.fetch_add(1, Ordering::AcqRel);
        slots.retain(|(slot_key, _), slot| {
            let keep = slot_key != key;
            if !keep {
                slot.end();
            }
            keep
        });
    }

    /// Makes every slot void, so that all are read again: the store changed behind us, or a configuration did, and who
    /// else uses it or has to name its grant type from now on is not known here.
    pub fn doubt_all(&self) {
        let slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        self.era.fetch_add(1, Ordering::AcqRel);
        slots.values().for_each(|slot| slot.end());
    }

    /// Whether the last look at the store's change counter is less than a second old.
    pub fn looked_lately(&self) -> bool {
        self.clock
            .monotonic()
            .millis()
            .saturating_sub(self.looked_at.load(Ordering::Relaxed))
            < RECHECK.as_millis() as i64
    }

    /// Notes a look at the store's change counter; a counter that moved makes every slot void.
    pub fn looked(&self, counter: u64) {
        if self.seen.swap(counter, Ordering::AcqRel) != counter {
            self.doubt_all();
        }
        self.looked_at
            .store(self.clock.monotonic().millis(), Ordering::Relaxed);
    }
}
