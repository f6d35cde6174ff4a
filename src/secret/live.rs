//! The secrets that this process holds or has handed out, so that `redact` finds them in anything that leaves it.
//!
//! There is no lock here, only a snapshot that is swapped: a fork at any instant leaves the child a whole one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use super::Secret;
use super::redact::Index;
use super::writing::{TAIL, tail, writings};

/// Secrets shorter than this many bytes are not looked for: they would mask ordinary words.
pub const SHORTEST: usize = 8;

/// How many current secrets are looked for at most; the ones added longest ago are dropped first.
pub const CURRENT_KEPT: usize = 4096;

/// How many superseded secrets are looked for still: user code may hold the old token for as long as it likes.
pub const SUPERSEDED_KEPT: usize = 256;

static PROCESS: Live = Live::new();

/// Looks for `secret` from now on in everything that passes [`redact`](super::redact::redact): a token, refresh token
/// or client secret that was loaded, received or handed out. Adding it again is cheap and brings a superseded one back.
pub fn add(secret: &impl AsRef<Secret>) {
    PROCESS.add(secret);
}

/// Says that `secret` was replaced or revoked: it is forgotten once [`SUPERSEDED_KEPT`] others were superseded after it.
pub fn supersede(secret: &impl AsRef<Secret>) {
    PROCESS.supersede(secret);
}

/// Whether any secret is or was live in this process: one atomic load.
#[inline]
pub fn any() -> bool {
    PROCESS.any()
}

/// The secrets of this process.
pub(super) fn process() -> &'static Live {
    &PROCESS
}

/// A set of secrets to look for. The process has one; tests make their own.
#[derive(Default)]
pub struct Live {
    any: AtomicBool,
    snapshot: ArcSwapOption<Snapshot>,
}

impl Live {
    /// No secrets.
    pub const fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            snapshot: ArcSwapOption::const_empty(),
        }
    }

    /// As the function [`add`].
    pub fn add(&self, secret: &impl AsRef<Secret>) {
        let secret = secret.as_ref();
        if secret.expose().len() < SHORTEST || self.holds(secret) {
            return;
        }
        let known = Arc::new(Known::new(secret.clone()));
        // Before the secret can leave: a reader that sees `false` must be one that was faster than its hand-out.
        self.any.store(true, Ordering::Release);
        self.snapshot.rcu(|snapshot| {
            let mut next = Snapshot::after(snapshot.as_deref());
            next.superseded.retain(|other| !other.is(secret));
            if !next.current.iter().any(|other| other.is(secret)) {
                push_bounded(&mut next.current, Arc::clone(&known), CURRENT_KEPT);
            }
            Some(Arc::new(next))
        });
    }

    /// As the function [`supersede`].
    pub fn supersede(&self, secret: &impl AsRef<Secret>) {
        let secret = secret.as_ref();
        if !self.holds(secret) {
            return;
        }
        self.snapshot.rcu(|snapshot| {
            let mut next = Snapshot::after(snapshot.as_deref());
            if let Some(at) = next.current.iter().position(|other| other.is(secret)) {
                let known = next.current.remove(at);
                push_bounded(&mut next.superseded, known, SUPERSEDED_KEPT);
            }
            Some(Arc::new(next))
        });
    }

    /// As the function [`any`].
    #[inline]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// As the function [`redact`](super::redact::redact), for these secrets.
    pub fn redact(&self, text: &str) -> Option<String> {
        if !self.any() || text.len() < SHORTEST {
            return None;
        }
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        snapshot.index().redact(text, snapshot)
    }

    /// Whether `secret` is current.
    fn holds(&self, secret: &Secret) -> bool {
        match &*self.snapshot.load() {
            Some(snapshot) => snapshot.current.iter().any(|known| known.is(secret)),
            None => false,
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Live([redacted])")
    }
}

/// The live secrets at one instant.
#[derive(Default)]
pub(super) struct Snapshot {
    current: Vec<Arc<Known>>,
    superseded: Vec<Arc<Known>>,
    // Built by the first text that is looked at, so that many rotations between two log lines cost one index.
    index: ArcSwapOption<Index>,
}

impl Snapshot {
    /// All secrets, in the order in which an [`Index`] numbers them.
    pub(super) fn known(&self) -> impl Iterator<Item = &Known> {
        self.current.iter().chain(&self.superseded).map(Arc::as_ref)
    }

    /// The secret of that number.
    pub(super) fn get(&self, number: usize) -> Option<&Known> {
        let superseded = number.checked_sub(self.current.len());
        match superseded {
            None => self.current.get(number),
            Some(number) => self.superseded.get(number),
        }
        .map(Arc::as_ref)
    }

    fn after(previous: Option<&Self>) -> Self {
        previous.map_or_else(Self::default, |previous| Self {
            current: previous.current.clone(),
            superseded: previous.superseded.clone(),
            index: ArcSwapOption::empty(),
        })
    }

    fn index(&self) -> Arc<Index> {
        if let Some(index) = &*self.index.load() {
            return Arc::clone(index);
        }
        // Two threads may both build it; waiting for each other could wait for a thread that a fork left behind.
        let index = Arc::new(Index::new(self));
        self.index.store(Some(Arc::clone(&index)));
        index
    }
}

/// A secret and where to look for it.
pub(super) struct Known {
    pub(super) secret: Secret,
    /// The last bytes of each way it is written, in the order of [`writings`].
    pub(super) tails: Zeroizing<Vec<u128>>,
    /// The length of its shortest writing.
    pub(super) shortest: usize,
}

impl Known {
    fn new(secret: Secret) -> Self {
        let written = writings(secret.expose());
        let lengths = written.iter().map(|writing| writing.text.len());
        let tails = written
            .iter()
            .map(|writing| tail::<TAIL>(writing.text.as_bytes()));
        Self {
            shortest: lengths.min().unwrap_or(0),
            tails: Zeroizing::new(tails.collect()),
            secret,
        }
    }

    fn is(&self, secret: &Secret) -> bool {
        self.tails.first() == Some(&tail::<TAIL>(secret.expose().as_bytes()))
            && self.secret == *secret
    }
}

fn push_bounded(list: &mut Vec<Arc<Known>>, known: Arc<Known>, most: usize) {
    if list.len() >= most {
        list.remove(0);
    }
    list.push(known);
}
