//! The store's contract: sealed records under clear names, compare-and-swap on a generation, one claim per connection.
//!
//! A store sees ciphertext only. Every implementation passes the same tests (`tests/rust/store.rs`).

pub mod memory;
pub mod schema;
pub mod spill;
pub mod sqlite;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Monotonic, Timestamp};
use crate::error::Result;
use crate::model::{ConnectionKey, GrantType, IntegrationKey};
use crate::system::Liveness;
pub use crate::system::Owner;

/// A future that a store returns. Reads of the embedded stores finish in the first poll, without a runtime.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Keeps sealed records.
pub trait Store: Send + Sync {
    /// Where it is, for messages: a path, `memory:`, or a URL without its password.
    fn location(&self) -> String;

    /// The command that puts a damaged store away, so that a backup or a new one can take its place.
    fn set_aside(&self) -> Option<String> {
        None
    }

    /// Whether it can be written at all, as far as can be told without writing.
    fn writable(&self) -> bool;

    /// Whether it is what the user chose to keep records in; one in memory that stands in for it loses them at the end.
    fn keeps(&self) -> bool {
        true
    }

    /// The newest wrapped data key of a workspace, and any older ones that records still need.
    fn keys<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<KeyRow>>;

    /// The id of the master key that wrapped the keys of this store, if it holds any.
    fn master_key_id(&self) -> StoreFuture<'_, Option<String>>;

    /// Adds the first data key of a workspace; answers with the one that is there when another process was faster.
    ///
    /// Refuses one wrapped by another master key than the store's others (`WrongKey`).
    fn add_key(&self, key: NewKey) -> StoreFuture<'_, KeyRow>;

    /// One integration.
    fn integration<'a>(
        &'a self,
        key: &'a IntegrationKey,
    ) -> StoreFuture<'a, Option<IntegrationRow>>;

    /// All integrations of a workspace, by provider and grant type.
    fn integrations<'a>(&'a self, workspace: &'a str) -> StoreFuture<'a, Vec<IntegrationRow>>;

    /// Writes an integration if its stored revision still is `expected` (`None`: absent); `false` when it is not.
    fn put_integration(&self, row: IntegrationRow, expected: Option<u64>) -> StoreFuture<'_, bool>;

    /// Removes an integration with its tokens, attempts and pending sign-ins; its connections become tombstones, and
    /// so does one that has only an attempt: a reply under way must find another generation. `false`, and nothing is
    /// removed, while a connection holds a person's grant: that one has to be left first.
    fn delete_integration<'a>(&'a self, key: &'a IntegrationKey) -> StoreFuture<'a, bool>;

    /// A connection with its token of one resource and its attempt, read in one snapshot.
    fn load<'a>(&'a self, key: &'a ConnectionKey, resource: &'a str) -> StoreFuture<'a, Loaded>;

    /// Connections of a workspace in name order, at most `limit`, those after `after` (tombstones left out).
    fn list<'a>(
        &'a self,
        workspace: &'a str,
        integration: Option<&'a IntegrationKey>,
        after: Option<&'a ConnectionKey>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<ConnectionRow>>;

    /// Writes the claimant's attempt if the generation still is the expected one and no living owner's attempt runs.
    fn claim<'a>(&'a self, key: &'a ConnectionKey, claimant: Claimant) -> StoreFuture<'a, Claimed>;

    /// Ends an attempt without a commit, if it still is the claimant's; `false` when it is not.
    fn settle<'a>(
        &'a self,
        key: &'a ConnectionKey,
        attempt: AttemptId,
        ending: Ending,
    ) -> StoreFuture<'a, bool>;

    /// Commits in one transaction, if the generation still is `expected`; the stored generation is then the commit's.
    fn commit(&self, commit: Commit) -> StoreFuture<'_, Committed>;

    /// Keeps a pending sign-in, and drops those that expired before `now`.
    fn put_pending(&self, row: PendingRow, now: Timestamp) -> StoreFuture<'_, ()>;

    /// Reads a pending sign-in by the hash of its state.
    fn pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, Option<PendingRow>>;

    /// Claims a pending sign-in: `true` for one caller only. It stays readable, as claimed, until it expires.
    fn claim_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, bool>;

    /// Gives a claimed sign-in back: nothing was sent.
    fn release_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()>;

    /// Removes a pending sign-in: it is finished.
    fn delete_pending<'a>(&'a self, state_hash: &'a [u8]) -> StoreFuture<'a, ()>;

    /// The newest events of a workspace, at most `limit`, newest first.
    fn events<'a>(&'a self, workspace: &'a str, limit: usize) -> StoreFuture<'a, Vec<EventRow>>;

    /// A number that differs after any other process committed or the file was replaced.
    fn changed(&self) -> StoreFuture<'_, u64>;

    /// A slot for the reply of one refresh, its space taken from the disk already.
    fn reserve(&self) -> Result<Box<dyn Slot>>;

    /// Replies that were left in slots: by processes that are gone or can't be seen from here, or by a flight of this
    /// one that dropped its slot. `None` connection: all. Whoever commits one relies on the generation, so a reply
    /// whose owner lives after all does no harm.
    fn orphans(&self, connection: Option<&ConnectionKey>) -> Result<Vec<Orphan>>;

    /// The reply in the slot of an attempt that is over, whoever made it: one that stands still is past its deadline with
    /// its reply in hand. The slot stays its owner's.
    fn reply_of(&self, attempt: AttemptId) -> Result<Option<Spilled>>;

    /// Forgets an orphan: it is committed, or can never be.
    fn forget_orphan(&self, orphan: &Orphan) -> Result<()>;
}

impl std::fmt::Debug for dyn Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Store({})", self.location())
    }
}

/// A place on disk, taken in advance, that survives the process: the reply is written here before anything else.
pub trait Slot: Send + Sync {
    /// Writes a reply (no flush: it survives the process, not a power cut).
    fn write(&self, reply: &Spilled) -> Result<()>;

    /// Flushes it to the disk, to stay there until it is replayed.
    fn sync(&self) -> Result<()>;

    /// Empties the slot: the reply is committed.
    fn clear(&self) -> Result<()>;
}

/// A sealed record: which key opens it, for which generation it was sealed, and its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// The data key's row.
    pub key_id: i64,
    /// The generation bound into it.
    pub generation: u64,
    /// Version byte, key id, nonce, ciphertext and tag (see `vault`).
    pub blob: Vec<u8>,
}

/// A sealed reply with the names it belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spilled {
    /// Whose reply it is.
    pub connection: ConnectionKey,
    /// The attempt that asked.
    pub attempt: AttemptId,
    /// The grant and token, sealed as one spill record for the generation it will have.
    pub sealed: Sealed,
}

/// A reply that a process left behind.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The reply.
    pub spilled: Spilled,
    /// The spill file and the slot in it, for [`Store::forget_orphan`].
    pub place: (std::path::PathBuf, u64),
}

/// A wrapped data key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRow {
    /// Its row, named by the records under it.
    pub key_id: i64,
    /// The workspace it belongs to.
    pub workspace: String,
    /// Which master key wrapped it.
    pub master_key_id: String,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
}

/// A data key to be added.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The workspace it belongs to.
    pub workspace: String,
    /// Which master key wrapped it.
    pub master_key_id: String,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
    /// When (UTC).
    pub at: Timestamp,
}

/// An integration's row. Its sealed part holds the configuration; its generation is the revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IntegrationRow {
    /// Which integration.
    pub key: IntegrationKey,
    /// Grows by one with every change.
    pub revision: u64,
    /// The configuration.
    pub sealed: Sealed,
}

/// What the store knows of a connection's state, in clear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoredState {
    /// Holds a grant.
    Connected,
    /// Holds a grant that only a person can make work again.
    ReauthorizationRequired,
    /// Being revoked: nobody gets tokens, the next call finishes.
    Disconnecting,
    /// A tombstone: keeps the generation, nothing else.
    Disconnected,
}

/// A connection's row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectionRow {
    /// Which connection.
    pub key: ConnectionKey,
    /// Grows by one with every commit.
    pub generation: u64,
    /// Its state.
    pub state: StoredState,
    /// When the access token of the default resource ends.
    pub expires_at: Option<Timestamp>,
    /// When a token was last obtained.
    pub refreshed_at: Option<Timestamp>,
    /// The grant.
    pub grant: Option<Sealed>,
}

/// A token's row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRow {
    /// What it is for, empty for the default resource.
    pub resource: String,
    /// The token.
    pub sealed: Sealed,
}

/// What [`Store::load`] read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// The connection, a tombstone included.
    pub connection: Option<ConnectionRow>,
    /// Its token of the resource asked for.
    pub token: Option<TokenRow>,
    /// Its attempt: running, or how the last one ended.
    pub attempt: Option<Attempt>,
}

impl Loaded {
    /// The stored generation, 0 before the first commit.
    pub fn generation(&self) -> u64 {
        self.connection.as_ref().map_or(0, |row| row.generation)
    }
}

/// Identifies an attempt: 128 random bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AttemptId(pub [u8; 16]);

/// Lease and recorded intent of one refresh.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// Which attempt.
    pub id: AttemptId,
    /// Who makes it.
    pub owner: Owner,
    /// When it is over in any case, by the monotonic clock of the owner's boot.
    pub deadline: Monotonic,
    /// The generation it was claimed at.
    pub generation: u64,
    /// How it ended; `None` while it runs.
    pub ending: Option<Ending>,
}

impl Attempt {
    /// Whether `claimant` has to wait for it, on a store that one host uses: an owner of another boot is gone.
    /// `liveness` tells of the others.
    pub fn holds_off(
        &self,
        claimant: &Claimant,
        liveness: impl FnOnce(&Owner) -> Liveness,
    ) -> bool {
        self.ending.is_none()
            && self.owner.boot_id == claimant.owner.boot_id
            && claimant.now < self.deadline
            // Where the system names no boot, only the clock's new start tells: no lease is ten times another.
            && self.deadline.since(claimant.now) < claimant.deadline.since(claimant.now) * 10
            && liveness(&self.owner) != Liveness::Dead
    }
}

/// How an attempt ended without a commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ending {
    /// What is known of the request.
    pub outcome: EndingOutcome,
    /// Failures in a row, this one included.
    pub failures: u32,
    /// No request before this instant (UTC).
    pub retry_at: Option<Timestamp>,
    /// When it ended (UTC).
    pub at: Timestamp,
    /// The failure in words, sealed.
    pub note: Option<Sealed>,
}

impl Ending {
    /// How much longer no request may go. A clock that was set back since must not lengthen a rest beyond what it was.
    pub fn rest(&self, now: Timestamp) -> Option<Duration> {
        let retry_at = self.retry_at?;
        (retry_at > now && self.at <= now).then(|| retry_at.since(now))
    }
}

/// What is known of the request of an ended attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndingOutcome {
    /// The server did not act on it: it may be sent again.
    NotProcessed,
    /// The server refused it for this resource only.
    ResourceRefused,
    /// Nobody can know whether the server acted on it.
    Unknown,
}

/// Who claims, and what it saw.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The new attempt.
    pub attempt: AttemptId,
    /// Who makes it.
    pub owner: Owner,
    /// The monotonic clock now.
    pub now: Monotonic,
    /// When the attempt is over.
    pub deadline: Monotonic,
    /// The generation that was read before.
    pub generation: u64,
}

/// The answer to a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Claimed {
    /// The attempt is the claimant's; the previous one, if any, as it was.
    Ours {
        /// The attempt that stood there: ended, or of an owner that is gone or past its deadline.
        previous: Option<Attempt>,
    },
    /// A living owner's attempt runs.
    Held(Attempt),
    /// The connection changed since it was read.
    Changed,
}

/// One transaction on a connection.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Which connection.
    pub key: ConnectionKey,
    /// The generation that must still be stored (0: none).
    pub expected: u64,
    /// The generation from then on, greater than `expected`; grant and token are sealed for it.
    pub generation: u64,
    /// The new state.
    pub state: StoredState,
    /// The new grant, sealed for `generation`; `None` keeps the stored one.
    pub grant: Option<Sealed>,
    /// Keyed hash of the new grant's refresh token.
    pub fingerprint: Option<Vec<u8>>,
    /// Whether no other connection of the workspace may hold that refresh token.
    pub only_holder: bool,
    /// The new token, sealed for `generation`.
    pub token: Option<TokenRow>,
    /// Drops the grant (tombstone).
    pub drop_grant: bool,
    /// Drops the tokens of all resources before `token` is written.
    pub drop_tokens: bool,
    /// The expiry of the default resource's token; read only where that token is replaced or dropped.
    pub expires_at: Option<Timestamp>,
    /// When the token was obtained, if one was.
    pub refreshed_at: Option<Timestamp>,
    /// The attempt that this ends; another's stays.
    pub attempt: Option<AttemptId>,
    /// Forgets any attempt, a running one too: its leader sees that it lost before it sends, or when it commits.
    pub forget_attempt: bool,
    /// Whether the disk must have it before the answer: a grant would be lost otherwise.
    pub durable: bool,
    /// What to note in the audit trail.
    pub event: NewEvent,
}

impl Commit {
    /// Whether the token of the default resource is another afterwards, so that `expires_at` counts.
    pub fn replaces_default_token(&self) -> bool {
        self.drop_tokens
            || self
                .token
                .as_ref()
                .is_some_and(|token| token.resource.is_empty())
    }
}

/// The answer to a commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Committed {
    /// Stored; the generation is now the commit's.
    Done,
    /// Another commit came first; nothing was stored.
    Lost,
    /// This other connection holds the refresh token of an [only holder](Commit::only_holder); nothing was stored.
    Held(ConnectionKey),
}

/// A pending sign-in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PendingRow {
    /// SHA-256 of the state parameter.
    pub state_hash: Vec<u8>,
    /// Which connection it will become.
    pub key: ConnectionKey,
    /// Verifier, nonce, redirect URI and session.
    pub sealed: Sealed,
    /// When it is no longer accepted (UTC).
    pub expires_at: Timestamp,
    /// Whether a callback claimed it already.
    pub claimed: bool,
}

/// An audit event to be written with a commit.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// `connected`, `refreshed`, `refused`, `disconnected`, `removed` ...
    pub what: &'static str,
    /// Why, as a stable word, never the provider's text.
    pub reason: String,
    /// When (UTC).
    pub at: Timestamp,
}

/// An audit event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventRow {
    /// When (UTC).
    pub at: Timestamp,
    /// The provider's id.
    pub provider: String,
    /// The grant type.
    pub grant_type: GrantType,
    /// The connection's name.
    pub connection: String,
    /// What happened.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Takes a lock that every holder leaves in order, panic or not.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
