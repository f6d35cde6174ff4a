//! A reply on its way into the store: the slot first, then the commit; kept until it is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{LEASE, PAUSE, TRIES, pause_after};
use crate::clock::{Clock, Timestamp};
use crate::engine::Engine;
use crate::engine::extra::extra;
use crate::engine::freshness::{ASSUMED_LIFETIME, MARGIN_CAP, StoredToken};
use crate::engine::keys::seal;
use crate::engine::record::{Record, Spill};
use crate::engine::runtime::Unfinished;
use crate::error::Result;
use crate::fault;
use crate::model::{ConnectionKey, Grant, GrantType, Token};
use crate::provider::{Lifetime, SameUntilExpiry, Spec};
use crate::secret::RefreshToken;
use crate::store::{
    AttemptId, Commit, Committed, NewEvent, Sealed, Slot, Spilled, StoredState, TokenRow,
};
use crate::vault::{Context, Envelope, Kind, Subject, fingerprint};

/// Replies that could not be stored yet: kept until they are.
#[derive(Debug, Default)]
pub(crate) struct LeftBehind(Mutex<HashMap<ConnectionKey, Reply>>);

/// Where a reply is kept first. All that its writing needs is in hand before the request leaves: once the reply is here,
/// no store that is slow, busy or gone stands between it and its slot.
pub(super) struct Place {
    pub(super) slot: Arc<dyn Slot>,
    pub(super) envelope: Envelope,
}

/// A reply on its way into the store.
#[derive(Clone)]
pub(super) struct Reply {
    pub(super) spill: Spill,
    /// The generation it is committed over.
    pub(super) expected: u64,
    pub(super) attempt: AttemptId,
    pub(super) slot: Option<Arc<dyn Slot>>,
    pub(super) rotated: bool,
}

/// What became of a reply in a slot of another process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Replayed {
    /// It is committed now.
    Stored,
    /// Another commit came first.
    TooLate,
    /// Its connection was left meanwhile.
    Unwanted,
    /// It is of another workspace, or does not open.
    Unread,
}

impl LeftBehind {
    /// The token of a reply that still is to be stored.
    pub(super) fn token(&self, key: &ConnectionKey, resource: &str) -> Option<Arc<StoredToken>> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = left.get(key)?.spill.token.clone()?;
        (stored.token.resource == resource).then(|| Arc::new(stored))
    }

    /// Whether a reply of this connection still is to be stored.
    pub(super) fn holds(&self, key: &ConnectionKey) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(key)
    }
}

impl Reply {
    /// It is stored: what stays in the slot is older than the store, and nobody takes it for new.
    fn clear_slot(&self) {
        if let Some(Err(error)) = self.slot.as_ref().map(|slot| slot.clear()) {
            let reason = error.reason();
            tracing::warn!(reason, "the slot of a stored reply could not be emptied");
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reply")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Stores a reply: the slot first where a refresh token rotated, then the commit, tried again before it is given up.
    pub(super) async fn keep(
        self: &Arc<Self>,
        key: &ConnectionKey,
        mut reply: Reply,
        place: Option<Place>,
    ) -> Result<Committed> {
        fault::point("refresh.reply");
        let written = match place.filter(|_| reply.rotated) {
            Some(Place { slot, envelope }) => {
                let written = self.write(key, &reply, &*slot, envelope);
                reply.slot = Some(slot);
                written
            }
            None => false,
        };
        fault::point("refresh.commit");
        let mut tries = 0;
        loop {
            tries += 1;
            match self.commit_reply(key, &reply).await {
                Ok(committed) => {
                    fault::point("refresh.committed");
                    reply.clear_slot();
                    return Ok(committed);
                }
                Err(error) if tries < TRIES => {
                    tracing::warn!(
                        reason = error.reason(),
                        tries,
                        "the store failed, once more"
                    );
                    self.runtime.sleep(pause_after(tries)).await;
                }
                Err(error) => {
                    let flushed = |slot: &Arc<dyn Slot>| written && slot.sync().is_ok();
                    let saved = !reply.rotated || reply.slot.as_ref().is_some_and(flushed);
                    tracing::error!(
                        reason = error.reason(),
                        saved,
                        "the reply could not be committed"
                    );
                    self.left_behind
                        .0
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(key.clone(), reply);
                    let (engine, key) = (Arc::clone(self), key.clone());
                    // Only this process has it: its exit waits.
                    let unfinished = (!saved).then(Unfinished::begin);
                    self.runtime.spawn(async move {
                        engine.commit_later(&key).await;
                        drop(unfinished);
                    });
                    // Nothing rotated, or the reply is safe in its slot: nothing to lose, so it serves.
                    return if saved {
                        Ok(Committed::Done)
                    } else {
                        Err(error)
                    };
                }
            }
        }
    }

    /// Writes a reply to its slot; whether that worked.
    fn write(
        &self,
        key: &ConnectionKey,
        reply: &Reply,
        slot: &dyn Slot,
        envelope: Envelope,
    ) -> bool {
        let written = self
            .spilled(key, reply, envelope)
            .and_then(|spilled| slot.write(&spilled));
        if let Err(error) = &written {
            let reason = error.reason();
            tracing::warn!(reason, "the reply could not be written to its slot");
        }
        written.is_ok()
    }

    /// Commits a reply that this process could not store before.
    pub(crate) async fn commit_left_behind(&self, key: &ConnectionKey) -> Result<()> {
        let reply = self
            .left_behind
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned();
        let Some(reply) = reply else {
            return Ok(());
        };
        let lost = self.commit_reply(key, &reply).await? != Committed::Done;
        if lost && let Err(error) = self.revoke_if_left(key, &reply.spill).await {
            let reason = error.reason();
            tracing::warn!(reason, "what was issued while disconnecting may live on");
        }
        reply.clear_slot();
        let mut left = self
            .left_behind
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another caller may have committed it too, and left a later one since.
        if left
            .get(key)
            .is_some_and(|left| left.attempt == reply.attempt)
        {
            left.remove(key);
        }
        Ok(())
    }

    /// Tries again while the lease keeps other processes from asking: they can't see the slot of a living one.
    pub(super) async fn commit_later(&self, key: &ConnectionKey) {
        let until = self.clock.monotonic().after(LEASE);
        while self.commit_left_behind(key).await.is_err() && self.clock.monotonic() < until {
            self.runtime.sleep(self.clock.real(PAUSE)).await;
        }
    }

    /// Commits the replies that processes which are gone left in their slots; answers with how many there were.
    pub(crate) async fn replay_orphans(
        self: &Arc<Self>,
        connection: Option<&ConnectionKey>,
    ) -> Result<usize> {
        let mut replayed = 0;
        for orphan in self.store.orphans(connection)? {
            match self.replay(&orphan.spilled).await? {
                // One that does not open stays, and stands in nobody's way.
                Replayed::Unread => {}
                Replayed::Unwanted => self.give_back(orphan),
                Replayed::TooLate => self.store.forget_orphan(&orphan)?,
                Replayed::Stored => {
                    replayed += 1;
                    self.store.forget_orphan(&orphan)?;
                }
            }
        }
        Ok(replayed)
    }

    /// Commits the reply of an attempt that is over, if it is in its slot; whether it was. Its owner may stand still: when
    /// it goes on, it finds that another commit came first, and empties the slot.
    pub(super) async fn replay_attempt(&self, attempt: AttemptId) -> Result<bool> {
        match self.store.reply_of(attempt)? {
            Some(spilled) => Ok(self.replay(&spilled).await? == Replayed::Stored),
            None => Ok(false),
        }
    }

    /// Commits a reply from a slot of another process.
    async fn replay(&self, spilled: &Spilled) -> Result<Replayed> {
        let Spilled {
            connection: key,
            attempt,
            sealed,
        } = spilled;
        if key.integration.workspace != self.workspace {
            return Ok(Replayed::Unread);
        }
        loop {
            let loaded = self.store.load(key, "").await?;
            if loaded
                .connection
                .as_ref()
                .is_some_and(|row| row.state.is_left())
            {
                return Ok(Replayed::Unwanted);
            }
            // It must follow the stored generation directly: else it is older than a reconnect.
            if loaded.generation() == 0 || sealed.generation != loaded.generation() + 1 {
                return Ok(Replayed::TooLate);
            }
            let opened = self.open(Subject::Connection(key), Kind::Spill, "", sealed);
            let spill: Spill = match opened.await {
                Ok(spill) => spill,
                Err(error) => {
                    let reason = error.reason();
                    tracing::warn!(reason, "a reply left behind does not open");
                    return Ok(Replayed::Unread);
                }
            };
            let reply = Reply {
                spill,
                expected: loaded.generation(),
                attempt: *attempt,
                slot: None,
                rotated: true,
            };
            // Compare-and-swap decides between those who replay at once, and those who leave meanwhile.
            if self.commit_reply(key, &reply).await? == Committed::Done {
                tracing::info!(provider = %key.integration.provider, connection = %key.connection,
                    "stored the reply of a process that is gone, or stands still");
                return Ok(Replayed::Stored);
            }
        }
    }

    pub(super) async fn commit_reply(
        &self,
        key: &ConnectionKey,
        reply: &Reply,
    ) -> Result<Committed> {
        let generation = self.next_generation(reply.expected);
        let data_key = self.newest_key().await?;
        let context = Context {
            subject: Subject::Connection(key),
            kind: Kind::Grant,
            resource: "",
            generation,
        };
        let grant = seal(&data_key, &context, &reply.spill.grant)?;
        let token = match &reply.spill.token {
            Some(stored) => {
                let resource = &stored.token.resource;
                let context = Context {
                    kind: Kind::Token,
                    resource,
                    ..context
                };
                Some(TokenRow {
                    resource: resource.clone(),
                    sealed: seal(&data_key, &context, stored)?,
                })
            }
            None => None,
        };
        let shown = reply
            .spill
            .token
            .as_ref()
            .filter(|stored| stored.token.resource.is_empty());
        let refresh_token = reply.spill.grant.refresh_token.as_ref();
        let commit = Commit {
            grant: Some(grant),
            fingerprint: refresh_token.map(|token| fingerprint(&data_key, token)),
            token,
            expires_at: shown.and_then(|stored| stored.token.expires_at),
            refreshed_at: shown.map(|stored| stored.token.obtained_at),
            attempt: Some(reply.attempt),
            durable: reply.rotated,
            ..self.commit_of(key, reply.expected, generation, "refreshed", "")
        };
        self.store.commit(commit).await
    }

    fn spilled(&self, key: &ConnectionKey, reply: &Reply, envelope: Envelope) -> Result<Spilled> {
        let context = Context {
            subject: Subject::Connection(key),
            kind: Kind::Spill,
            resource: "",
            generation: self.next_generation(reply.expected),
        };
        Ok(Spilled {
            connection: key.clone(),
            attempt: reply.attempt,
            sealed: Sealed {
                key_id: envelope.key_id(),
                generation: context.generation,
                blob: envelope.seal(&context, reply.spill.to_plaintext().expose())?,
            },
        })
    }

    /// A keyed hash of a refresh token, to see that two connections hold the same.
    pub(crate) async fn fingerprint(&self, refresh_token: &RefreshToken) -> Result<Vec<u8>> {
        Ok(fingerprint(&*self.newest_key().await?, refresh_token))
    }

    /// The generation after `generation`; the first one is taken from the clock, so that a connection that is removed
    /// and made again never shows a generation it has had.
    pub(crate) fn next_generation(&self, generation: u64) -> u64 {
        match generation {
            0 => u64::try_from(self.clock.wall().millis())
                .unwrap_or(1)
                .max(1),
            _ => generation + 1,
        }
    }

    /// A commit that changes nothing yet.
    pub(crate) fn commit_of(
        &self,
        key: &ConnectionKey,
        expected: u64,
        generation: u64,
        what: &'static str,
        reason: &str,
    ) -> Commit {
        Commit {
            key: key.clone(),
            expected,
            generation,
            state: StoredState::Connected,
            grant: None,
            fingerprint: None,
            only_holder: false,
            token: None,
            drop_grant: false,
            drop_tokens: false,
            expires_at: None,
            refreshed_at: None,
            attempt: None,
            forget_attempt: false,
            durable: false,
            event: NewEvent {
                what,
                reason: reason.to_owned(),
                at: self.clock.wall(),
            },
        }
    }
}

/// Lays a reply's refresh token over the grant's; without one the old one stays (RFC 6749 section 6).
pub(crate) fn rotate(
    grant: &mut Grant,
    refresh_token: Option<RefreshToken>,
    refresh_expires_at: Option<Timestamp>,
) {
    if refresh_token.is_some() {
        grant.refresh_token = refresh_token;
        grant.refresh_expires_at = refresh_expires_at.or(grant.refresh_expires_at);
    }
}

/// Puts the provider file's word on renewal beside a token.
pub(crate) fn stored_token(token: Token, grant: &Grant, spec: &Spec, clock: &Clock) -> StoredToken {
    let renews_itself = spec
        .refresh
        .as_ref()
        .is_some_and(|refresh| refresh.uses_access_token);
    let renewable = grant.refresh_token.is_some()
        || spec.grant_type == GrantType::ClientCredentials
        || renews_itself;
    let assumed = match (
        token.expires_at,
        &spec.lifetimes.assumed,
        &spec.lifetimes.access_token,
    ) {
        (Some(_), ..) => None,
        (None, Some(seconds), _) | (None, None, Some(Lifetime::Seconds(seconds))) => {
            Some(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
        }
        (None, None, Some(Lifetime::Never(_))) => None,
        (None, None, None) => Some(ASSUMED_LIFETIME),
    };
    let seconds = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, 1e9));
    let margin_cap = spec.lifetimes.margin_cap.map_or(MARGIN_CAP, seconds);
    // Asked earlier, the provider gives the same token.
    let margin_cap = match spec.lifetimes.same_until_expiry {
        Some(SameUntilExpiry::Whole(true)) => Duration::ZERO,
        Some(SameUntilExpiry::Seconds(before)) => margin_cap.min(seconds(before)),
        _ => margin_cap,
    };
    StoredToken {
        assumed_until: assumed
            .filter(|_| renewable)
            .map(|lifetime| token.obtained_at.after(lifetime)),
        anchor: clock.anchor(clock.wall().since(token.obtained_at)),
        token: Token {
            extra: extra(grant, spec),
            ..token
        },
        margin_cap,
    }
}
