//! Before a refresh is sent and after it failed: may it go, and what is noted for the next.

use std::sync::Arc;
use std::time::Duration;

use super::{LEASE, LEFT_TO_SEND, Lead, transient};
use crate::engine::freshness::Freshness;
use crate::engine::record::Note;
use crate::error::{Error, ErrorKind, Result};
use crate::model::GrantType;
use crate::provider::{Condemns, Grace, Rotates};
use crate::store::{Claimant, Claimed, Ending, EndingOutcome, Slot};
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
        let Some(ending) = self
            .loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
        else {
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
        self.check_replay(ending.outcome)?;
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
    pub(super) fn check_replay(&self, outcome: EndingOutcome) -> Result<()> {
        let Some(refresh) = self
            .spec
            .refresh
            .as_ref()
            .filter(|_| outcome == EndingOutcome::Unknown)
        else {
            return Ok(());
        };
        let now = self.engine.clock.wall();
        let sent_at = self
            .loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
            .map(|ending| ending.at);
        let forgiving = refresh.rotates == Rotates::Never
            || match refresh.grace {
                Grace::None => false,
                Grace::Seconds(seconds) => sent_at
                    .is_some_and(|at| now < at.after(Duration::from_secs_f64(seconds.max(0.0)))),
                Grace::FirstUse | Grace::Unlimited => true,
            };
        let used_up = self.order.reason == Freshness::Refused
            || self
                .token
                .as_ref()
                .is_none_or(|token| match token.token.expires_at {
                    Some(_) => token.used_up(now),
                    None => token.assumed_until.is_some_and(|until| until <= now),
                });
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
            .await?;
        let ending = Ending {
            outcome,
            failures,
            retry_at: rest.map(|rest| now.after(rest)),
            at: now,
            note: Some(note),
        };
        self.engine
            .store
            .settle(&self.order.key, self.attempt, ending)
            .await?;
        Ok(())
    }

    /// Gives the claim back as it was found: nothing was sent.
    pub(super) async fn release(&self) -> Result<()> {
        let before = self
            .loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.clone());
        let ending = before.unwrap_or(Ending {
            outcome: EndingOutcome::NotProcessed,
            failures: 0,
            retry_at: None,
            at: self.engine.clock.wall(),
            note: None,
        });
        self.engine
            .store
            .settle(&self.order.key, self.attempt, ending)
            .await?;
        Ok(())
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

    pub(super) fn replays(&self) -> bool {
        self.loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
            .is_some_and(|ending| ending.outcome == EndingOutcome::Unknown)
    }

    pub(super) fn failures(&self) -> u32 {
        self.loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
            .map_or(0, |ending| ending.failures)
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
