//! Before a refresh is sent and after it failed: may it go, and what is noted for the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::reply::Place;
use super::{LEASE, LEFT_TO_LEAVE, LEFT_TO_SEND, Lead, PAUSE, TRIES, pause_after};
use crate::clock::{Monotonic, Timestamp};
use crate::engine::Engine;
use crate::engine::freshness::{self, Freshness};
use crate::engine::record::Note;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, GrantType};
use crate::provider::{Condemns, Grace, Rotates};
use crate::store::{Attempt, AttemptId, Claimant, Claimed, Ending, EndingOutcome, Sealed};
use crate::system;
use crate::vault::{Envelope, Kind, Subject};

impl Lead<'_> {
    /// A user grant needs a refresh token from here on.
    pub(super) fn check_grant(&self) -> Result<()> {
        if self.service() {
            return Ok(());
        }
        let Some(grant) = &self.grant else {
            return Err(self.engine.not_connected(&self.order.key));
        };
        if grant.refresh_token.is_some() && self.spec.refresh.is_some() || self.renews_itself() {
            return Ok(());
        }
        let hint = self.engine.connect_command(&self.order.key, true);
        Err(Error::new(
            ErrorKind::ReauthorizationRequired {
                error: None,
                description: None,
            },
            "no_refresh_token",
            format!(
                "the token of {} is {}, and {} gave no refresh token",
                self.order.key.integration.provider,
                if self.order.reason == Freshness::Refused {
                    "refused"
                } else {
                    "over"
                },
                self.spec.name
            ),
        )
        .hint(hint))
    }

    /// Whether the last failure asks for a rest, or forbids to send the same refresh token again yet.
    pub(super) fn check_rest(&self, after_invalid_client: Option<u64>) -> Result<()> {
        let Some(ending) = self.ending() else {
            return Ok(());
        };
        if after_invalid_client.is_some() {
            return Ok(());
        }
        if ending.outcome == EndingOutcome::Unknown {
            // By whichever clock it is longer ago: one that was set back must not lengthen a grace.
            let begun_at = self.loaded.attempt.as_ref().map(|one| self.begun_at(one));
            self.check_replay(begun_at.map_or(ending.at, |begun_at| begun_at.min(ending.at)))?;
        } else if self
            .note
            .as_ref()
            .is_some_and(|note| note.revision != self.integration.revision)
        {
            return Ok(());
        }
        let Some(rest) = ending.rest(self.engine.clock.wall()) else {
            return Ok(());
        };
        let Some(note) = self.note.clone() else {
            let reason = format!("{} failed lately", self.spec.name);
            return Err(self.unavailable(reason, Some(rest)));
        };
        Err(match note.error {
            Some(error) if ending.outcome == EndingOutcome::ResourceRefused => {
                self.resource_refused(error, note.description, note.reason)
            }
            error => self.not_processed(
                error,
                note.description,
                Condemns::Nothing,
                note.reason,
                rest,
            ),
        })
    }

    /// After an unknown outcome the same refresh token may go again only where the provider is known to accept a used
    /// one; else not before the access token is used up, which a replay could revoke with the family.
    pub(super) fn check_replay(&self, sent_at: Timestamp) -> Result<()> {
        let left = self.left_of_tokens();
        if left.is_zero() || self.forgives(sent_at) {
            return Ok(());
        }
        Err(self.unavailable(
            format!(
                "the reply to the last refresh of {} was lost; asking again could end the token that still works",
                self.spec.name
            ),
            Some(left).filter(|left| *left < Duration::MAX),
        ))
    }

    /// Whether a refresh token that was used at `sent_at` still is accepted, by the provider file's word.
    pub(super) fn forgives(&self, sent_at: Timestamp) -> bool {
        let now = self.engine.clock.wall();
        let Some(refresh) = self.spec.refresh.as_ref().filter(|_| !self.service()) else {
            return true;
        };
        refresh.rotates == Rotates::Never
            || refresh.uses_access_token
            || match refresh.grace {
                Grace::None => false,
                Grace::Seconds(seconds) => {
                    now < sent_at.after(Duration::from_secs_f64(seconds.max(0.0)))
                }
                Grace::FirstUse | Grace::Unlimited => true,
            }
    }

    /// How long the access tokens that are known here still work: that of the resource, and that of the default one,
    /// which has the same refresh token.
    pub(super) fn left_of_tokens(&self) -> Duration {
        let clock = &self.engine.clock;
        let own = self
            .token
            .as_ref()
            .filter(|_| self.order.reason != Freshness::Refused)
            .map(|token| {
                let ends = token.token.expires_at.or(token.assumed_until);
                ends.map_or(Duration::MAX, |ends| ends.since(token.now(clock)))
            });
        let default = self
            .loaded
            .connection
            .as_ref()
            .filter(|_| !self.order.resource.is_empty())
            .and_then(|row| Some(row.expires_at?.since(clock.wall())));
        own.max(default).unwrap_or_default()
    }

    /// A refresh token that may rotate is used only where the one that comes can be kept.
    pub(super) fn check_keeping(&self, writable: bool) -> Result<()> {
        if self.service() || !self.rotates() || (writable && self.engine.store.keeps()) {
            return Ok(());
        }
        Err(Error::store(
            "store_read_only",
            format!(
                "there is no store that can be written, and the refresh token that {} sends has to be kept",
                self.spec.name
            ),
        )
        .hint("export EVERGRANT_STORE=/a/writable/folder/store.db"))
    }

    /// A place for the reply, taken before anything is sent: this is how a full disk is found first.
    pub(super) async fn reserve(&self) -> Result<Option<Place>> {
        if self.service() || !self.rotates() {
            return Ok(None);
        }
        Ok(Some(Place {
            slot: Arc::from(self.engine.store.reserve()?),
            envelope: Envelope::new(self.engine.newest_key().await?)?,
        }))
    }

    /// Until when the request may leave, if the attempt still is ours with enough time left: read last.
    pub(super) async fn may_send(&self) -> Result<Option<Monotonic>> {
        let now = self
            .engine
            .store
            .load(&self.order.key, &self.order.resource)
            .await?;
        let same = now.generation() == self.loaded.generation();
        let ours = now.attempt.filter(|attempt| {
            same && attempt.id == self.attempt
                && attempt.ending.is_none()
                && attempt.deadline.since(self.engine.clock.monotonic()) >= LEFT_TO_SEND
        });
        Ok(ours.map(|attempt| attempt.deadline.before(LEFT_TO_LEAVE)))
    }

    pub(super) fn claimant(&self) -> Claimant {
        let now = self.engine.clock.monotonic();
        Claimant {
            attempt: self.attempt,
            owner: system::owner(),
            now,
            deadline: now.after(LEASE),
            generation: self.loaded.generation(),
        }
    }

    /// Ends the attempt, whose request left at `at`, without a commit.
    pub(super) async fn settle(
        &self,
        outcome: EndingOutcome,
        at: Timestamp,
        failures: u32,
        rest: Duration,
        note: Note,
    ) -> Result<()> {
        tracing::warn!(provider = %self.order.key.integration.provider, connection = %self.order.key.connection,
            reason = %note.reason, "refresh failed");
        // The ending counts; its words are dispensable.
        let note = self.sealed(&note).await.ok();
        let ending = Ending {
            outcome,
            failures,
            retry_at: Some(self.engine.clock.wall().after(rest)),
            at,
            note,
        };
        self.end(ending).await
    }

    /// Tried again before it is given up, and once a second from then on: an attempt that nobody ends holds all others
    /// off until its deadline.
    async fn end(&self, ending: Ending) -> Result<()> {
        let store = &self.engine.store;
        let mut tries = 0;
        loop {
            tries += 1;
            let settled = store.settle(&self.order.key, self.attempt, ending.clone());
            match settled.await {
                Ok(_) => return Ok(()),
                Err(error) if tries == TRIES => {
                    self.ends_later.store(true, Ordering::Relaxed);
                    let engine = Arc::clone(self.engine);
                    let (key, attempt) = (self.order.key.clone(), self.attempt);
                    self.engine.runtime.spawn(async move {
                        engine.end_later(&key, attempt, ending).await;
                    });
                    return Err(error);
                }
                Err(_) => self.engine.runtime.sleep(pause_after(tries)).await,
            }
        }
    }

    async fn sealed(&self, note: &Note) -> Result<Sealed> {
        let subject = Subject::Connection(&self.order.key);
        let generation = self.loaded.generation();
        self.engine
            .seal(subject, Kind::Note, "", generation, note)
            .await
    }

    /// Gives the claim back as it was found: nothing was sent. What an owner that is gone left unended stays unknown.
    pub(super) async fn release(&self) -> Result<()> {
        let ending = match &self.loaded.attempt {
            Some(Attempt {
                ending: Some(before),
                ..
            }) => before.clone(),
            Some(abandoned) if !self.service() => {
                let reason = "the process that was refreshing ended before the reply was stored";
                let note = self.note(reason.to_owned());
                Ending {
                    outcome: EndingOutcome::Unknown,
                    failures: 1,
                    retry_at: None,
                    at: self.begun_at(abandoned),
                    note: self.sealed(&note).await.ok(),
                }
            }
            _ => Ending {
                outcome: EndingOutcome::NotProcessed,
                failures: 0,
                retry_at: None,
                at: self.engine.clock.wall(),
                note: None,
            },
        };
        self.end(ending).await
    }

    /// Ends the attempt if an error after its request left it without an end: nobody could refresh until its deadline.
    pub(super) async fn see_ended(&self, sent_at: Timestamp) {
        // A reply that still is to be stored needs the attempt, which keeps others from asking.
        if self.engine.left_behind.holds(&self.order.key) || self.ends_later.load(Ordering::Relaxed)
        {
            return;
        }
        for tries in 1..=TRIES {
            match self.end_if_running(sent_at).await {
                Ok(()) => return,
                Err(_) if self.ends_later.load(Ordering::Relaxed) => return,
                Err(error) => {
                    let reason = error.reason();
                    tracing::warn!(reason, tries, "an attempt could not be ended");
                }
            }
            self.engine.runtime.sleep(pause_after(tries)).await;
        }
    }

    async fn end_if_running(&self, sent_at: Timestamp) -> Result<()> {
        let now = self.engine.store.load(&self.order.key, "").await?;
        let runs = now
            .attempt
            .is_some_and(|attempt| attempt.id == self.attempt && attempt.ending.is_none());
        if !runs {
            return Ok(());
        }
        let outcome = match self.service() {
            true => EndingOutcome::NotProcessed,
            false => EndingOutcome::Unknown,
        };
        let failures = self.failures() + 1;
        let rest = freshness::back_off(failures, None, self.engine.runtime.fraction());
        let note = self.note("the store failed during the refresh".to_owned());
        self.settle(outcome, sent_at, failures, rest, note).await
    }

    /// When an attempt began; that of another boot long ago.
    pub(super) fn begun_at(&self, attempt: &Attempt) -> Timestamp {
        if attempt.owner.boot_id != system::owner().boot_id {
            return Timestamp::default();
        }
        let now = self.engine.clock.monotonic();
        let age = LEASE.saturating_sub(attempt.deadline.since(now)) + now.since(attempt.deadline);
        let clock = &self.engine.clock;
        clock.wall().before(clock.real(age))
    }

    /// After a commit that brought no token, the next caller must not ask at once.
    pub(super) async fn rest_after_commit(
        &self,
        failures: u32,
        rest: Duration,
        note: Note,
    ) -> Result<()> {
        let generation = self
            .engine
            .store
            .load(&self.order.key, "")
            .await?
            .generation();
        let claimant = Claimant {
            generation,
            ..self.claimant()
        };
        if let Claimed::Ours { .. } = self.engine.store.claim(&self.order.key, claimant).await? {
            let now = self.engine.clock.wall();
            self.settle(EndingOutcome::NotProcessed, now, failures, rest, note)
                .await?;
        }
        Ok(())
    }

    fn rotates(&self) -> bool {
        self.spec
            .refresh
            .as_ref()
            .is_some_and(|refresh| refresh.rotates.possible())
    }

    pub(super) fn service(&self) -> bool {
        self.order.key.integration.grant_type == GrantType::ClientCredentials
    }

    pub(super) fn replays(&self) -> bool {
        self.ending()
            .is_some_and(|ending| ending.outcome == EndingOutcome::Unknown)
    }

    pub(super) fn failures(&self) -> u32 {
        self.ending().map_or(0, |ending| ending.failures)
    }

    /// How the last attempt ended, as far as it matters here: not after a later commit, and a resource that was refused
    /// matters to no other.
    fn ending(&self) -> Option<&Ending> {
        let resource = self.note.as_ref().map_or("", |note| note.resource.as_str());
        let attempt = self.loaded.attempt.as_ref()?;
        let attempt = Some(attempt).filter(|one| one.generation == self.loaded.generation())?;
        let ending = attempt.ending.as_ref()?;
        // RFC 8707 section 2: this error, too, is about the resource and not about the grant.
        let invalid_target = self
            .note
            .as_ref()
            .is_some_and(|note| note.error.as_deref() == Some("invalid_target"));
        let of_resource = ending.outcome == EndingOutcome::ResourceRefused || invalid_target;
        (!of_resource || resource == self.order.resource).then_some(ending)
    }

    pub(super) fn note(&self, reason: String) -> Note {
        Note {
            reason,
            error: None,
            description: None,
            revision: self.integration.revision,
            resource: self.order.resource.clone(),
        }
    }
}

impl Engine {
    /// Goes on where ending an attempt failed, for as long as it holds others off.
    async fn end_later(&self, key: &ConnectionKey, attempt: AttemptId, ending: Ending) {
        let until = self.clock.monotonic().after(LEASE);
        while self
            .store
            .settle(key, attempt, ending.clone())
            .await
            .is_err()
            && self.clock.monotonic() < until
        {
            self.runtime.sleep(self.clock.real(PAUSE)).await;
        }
    }
}
