//! Before a refresh is sent and after it failed: may it go, and what is noted for the next.

use std::sync::Arc;
use std::time::Duration;

use super::{COMMIT_TRIES, LEASE, LEFT_TO_SEND, Lead, random_fraction, transient};
use crate::clock::Timestamp;
use crate::engine::freshness::{self, Freshness};
use crate::engine::record::Note;
use crate::error::{Error, ErrorKind, Result};
use crate::model::GrantType;
use crate::provider::{Condemns, Grace, Rotates};
use crate::store::{Attempt, Claimant, Claimed, Ending, EndingOutcome, Slot};
use crate::system;
use crate::vault::{Kind, Subject};

impl Lead<'_> {
    /// A user grant needs a refresh token from here on.
    pub(super) fn check_grant(&self) -> Result<()> {
        if self.service() {
            return Ok(());
        }
        let Some(grant) = &self.grant else {
            return Err(self.engine.not_connected(&self.order.key));
        };
        if grant.refresh_token.is_some() && self.spec.refresh.is_some() {
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
                "The token of {} is {}, and {} gave no refresh token",
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
        let reconfigured = self
            .note
            .as_ref()
            .is_some_and(|note| note.revision != self.integration.revision);
        if reconfigured && ending.outcome == EndingOutcome::NotProcessed
            || after_invalid_client.is_some()
        {
            return Ok(());
        }
        self.check_replay(ending.outcome, ending.at)?;
        let now = self.engine.clock.wall();
        match ending.retry_at {
            // A clock that was set back must not lengthen a rest beyond what it was.
            Some(retry_at) if retry_at > now && ending.at <= now => {
                let rest = retry_at.since(now);
                let (reason, error, description) = match &self.note {
                    Some(note) => (
                        note.reason.clone(),
                        note.error.clone(),
                        note.description.clone(),
                    ),
                    None => (format!("{} failed lately", self.spec.name), None, None),
                };
                match error {
                    Some(error) if ending.outcome == EndingOutcome::ResourceRefused => {
                        Err(self.resource_refused(error, description, reason))
                    }
                    Some(error) if !transient(&error) => Err(self.not_processed(
                        Some(error),
                        description,
                        Condemns::Nothing,
                        reason,
                        rest,
                    )),
                    _ => Err(self.unavailable(reason, Some(rest))),
                }
            }
            _ => Ok(()),
        }
    }

    /// After an unknown outcome the same refresh token may go again at once only where the provider is known to accept
    /// a used one; else not before the access token is used up, which a replay could revoke with the family.
    pub(super) fn check_replay(&self, outcome: EndingOutcome, sent_at: Timestamp) -> Result<()> {
        let Some(refresh) = self
            .spec
            .refresh
            .as_ref()
            .filter(|_| outcome == EndingOutcome::Unknown)
        else {
            return Ok(());
        };
        let now = self.engine.clock.wall();
        let forgiving = refresh.rotates == Rotates::Never
            || match refresh.grace {
                Grace::None => false,
                Grace::Seconds(seconds) => {
                    now < sent_at.after(Duration::from_secs_f64(seconds.max(0.0)))
                }
                Grace::FirstUse | Grace::Unlimited => true,
            };
        let default_ends_at = self
            .loaded
            .connection
            .as_ref()
            .and_then(|row| row.expires_at);
        let used_up = self.order.reason == Freshness::Refused
            || self
                .token
                .as_ref()
                .is_none_or(|token| match token.token.expires_at {
                    Some(_) => token.used_up(now),
                    None => token.assumed_until.is_some_and(|until| until <= now),
                })
                && default_ends_at.is_none_or(|ends_at| ends_at <= now);
        if forgiving || used_up {
            return Ok(());
        }
        let left = self
            .token
            .as_ref()
            .and_then(|token| token.token.expires_at)
            .map(|expires_at| expires_at.since(now));
        Err(self.unavailable(
            format!(
                "The reply to the last refresh of {} was lost; asking again could end the token that still works",
                self.spec.name
            ),
            left,
        ))
    }

    /// Space for the reply, taken before anything is sent: this is how a full disk is found first.
    pub(super) fn reserve(&self) -> Result<Option<Arc<dyn Slot>>> {
        let rotates = self
            .spec
            .refresh
            .as_ref()
            .is_some_and(|refresh| refresh.rotates.possible());
        if self.service() || !rotates {
            return Ok(None);
        }
        Ok(Some(Arc::from(self.engine.store.reserve()?)))
    }

    /// Whether the attempt still is ours with enough time left, read last.
    pub(super) async fn may_send(&self) -> Result<bool> {
        let now = self
            .engine
            .store
            .load(&self.order.key, &self.order.resource)
            .await?;
        Ok(now.generation() == self.loaded.generation()
            && now.attempt.is_some_and(|attempt| {
                attempt.id == self.attempt
                    && attempt.ending.is_none()
                    && attempt.deadline.since(self.engine.clock.monotonic()) >= LEFT_TO_SEND
            }))
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

    pub(super) async fn settle(
        &self,
        outcome: EndingOutcome,
        failures: u32,
        rest: Option<Duration>,
        note: Note,
    ) -> Result<()> {
        let now = self.engine.clock.wall();
        tracing::warn!(provider = %self.order.key.integration.provider, connection = %self.order.key.connection,
            reason = %note.reason, "refresh failed");
        let subject = Subject::Connection(&self.order.key);
        let note = self
            .engine
            .seal(subject, Kind::Note, "", self.loaded.generation(), &note)
            .await
            // The ending counts; its words are dispensable.
            .ok();
        let ending = Ending {
            outcome,
            failures,
            retry_at: rest.map(|rest| now.after(rest)),
            at: match outcome {
                // A provider's grace counts from the use of the token, which was not before the request left.
                EndingOutcome::Unknown => self.sent_at.unwrap_or(now),
                EndingOutcome::NotProcessed | EndingOutcome::ResourceRefused => now,
            },
            note,
        };
        self.engine
            .store
            .settle(&self.order.key, self.attempt, ending)
            .await?;
        Ok(())
    }

    /// Gives the claim back as it was found: nothing was sent.
    pub(super) async fn release(&self) -> Result<()> {
        let nothing_known = |outcome, at| Ending {
            outcome,
            failures: 0,
            retry_at: None,
            at,
            note: None,
        };
        let ending = match &self.loaded.attempt {
            None => nothing_known(EndingOutcome::NotProcessed, self.engine.clock.wall()),
            Some(attempt) => match &attempt.ending {
                Some(ending) => ending.clone(),
                None => nothing_known(self.unknown(), self.claimed_at(attempt)),
            },
        };
        self.engine
            .store
            .settle(&self.order.key, self.attempt, ending)
            .await?;
        Ok(())
    }

    /// Ends the attempt if an error left it without an end: nobody could refresh until its deadline.
    pub(super) async fn give_up(&self) {
        // A reply that still is to be stored needs the attempt, which keeps others from asking.
        if self.engine.left_behind.holds(&self.order.key) {
            return;
        }
        for tries in 1..=COMMIT_TRIES {
            match self.end_if_running().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        reason = error.reason(),
                        tries,
                        "an attempt could not be ended"
                    );
                }
            }
            tokio::time::sleep(Duration::from_millis(50 << tries)).await;
        }
    }

    async fn end_if_running(&self) -> Result<()> {
        let now = self
            .engine
            .store
            .load(&self.order.key, &self.order.resource)
            .await?;
        let runs = now
            .attempt
            .is_some_and(|attempt| attempt.id == self.attempt && attempt.ending.is_none());
        if !runs {
            return Ok(());
        }
        if self.sent_at.is_none() {
            return self.release().await;
        }
        let failures = self.failures() + 1;
        let rest = freshness::back_off(failures, None, random_fraction());
        let note = self.note("The store failed during the refresh".to_owned());
        self.settle(self.unknown(), failures, Some(rest), note)
            .await
    }

    /// What is known of a request that may have been acted on. A service grant has nothing to lose by asking again.
    pub(super) fn unknown(&self) -> EndingOutcome {
        match self.service() {
            true => EndingOutcome::NotProcessed,
            false => EndingOutcome::Unknown,
        }
    }

    /// When an attempt was claimed (UTC): its request left later. One of another boot left long ago.
    pub(super) fn claimed_at(&self, attempt: &Attempt) -> Timestamp {
        if attempt.owner.boot_id != system::owner().boot_id {
            return Timestamp::default();
        }
        let now = self.engine.clock.monotonic();
        let age = (LEASE + now.since(attempt.deadline)).saturating_sub(attempt.deadline.since(now));
        self.engine.clock.wall().before(age)
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
            self.settle(EndingOutcome::NotProcessed, failures, Some(rest), note)
                .await?;
        }
        Ok(())
    }

    pub(super) fn service(&self) -> bool {
        self.order.key.integration.grant_type == GrantType::ClientCredentials
    }

    /// How the last attempt on this very grant ended: after a commit an ending says nothing any more.
    fn ending(&self) -> Option<&Ending> {
        let generation = self.loaded.generation();
        let attempt = self.loaded.attempt.as_ref();
        attempt
            .filter(|attempt| attempt.generation == generation)
            .and_then(|attempt| attempt.ending.as_ref())
    }

    pub(super) fn replays(&self) -> bool {
        self.ending()
            .is_some_and(|ending| ending.outcome == EndingOutcome::Unknown)
    }

    pub(super) fn failures(&self) -> u32 {
        self.ending().map_or(0, |ending| ending.failures)
    }

    pub(super) fn note(&self, reason: String) -> Note {
        Note {
            reason,
            error: None,
            description: None,
            revision: self.integration.revision,
        }
    }
}
