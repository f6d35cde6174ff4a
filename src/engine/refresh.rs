//! One refresh of one connection, step by step: claim, reserve, send, read the outcome, commit.
//!
//! Of every line the question is: what if the process dies here? The attempt's row says who leads and that a request
//! may have left; the slot holds the reply from its first microsecond; the commit is compare-and-swap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::engine::freshness::{
    self, ASSUMED_LIFETIME, Freshness, MARGIN_CAP, Need, StoredToken, judge,
};
use crate::engine::record::{Note, Spill};
use crate::engine::runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ConnectionKey, Grant, GrantType, Refusal, Token};
use crate::oauth::response::{Issued, Outcome};
use crate::oauth::{self, revoke::RevokedToken};
use crate::provider::{Condemns, Grace, Lifetime, Rotates, Spec};
use crate::secret::RefreshToken;
use crate::store::{
    Attempt, AttemptId, Claimant, Claimed, Commit, Committed, Ending, EndingOutcome, Loaded,
    NewEvent, Slot, Spilled, StoredState, TokenRow,
};
use crate::system;
use crate::vault::{self, Kind, Subject};

/// An attempt is over after this long in any case: it outlasts its request (10 s to connect, 120 s to reply).
const LEASE: Duration = Duration::from_secs(150);
/// What must be left of the lease for a request to be sent.
const LEFT_TO_SEND: Duration = Duration::from_secs(135);
/// How often a commit is tried before the reply stays in its slot.
const COMMIT_TRIES: u32 = 4;

/// Why a refresh is wanted, and of what.
#[derive(Clone, Debug)]
pub struct Order {
    /// The connection.
    pub key: ConnectionKey,
    /// The resource, empty for the default.
    pub resource: String,
    /// What was wrong with the stored token.
    pub reason: Freshness,
    /// What the caller needs.
    pub need: Need,
}

/// Replies that could not be stored yet: kept until they are.
#[derive(Debug, Default)]
pub struct LeftBehind(Mutex<HashMap<ConnectionKey, Reply>>);

/// A reply on its way into the store.
#[derive(Clone)]
struct Reply {
    spill: Spill,
    /// The generation it is committed over.
    expected: u64,
    attempt: AttemptId,
    slot: Option<Arc<dyn Slot>>,
    rotated: bool,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reply")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// What a leader knows when it claims.
struct Lead<'a> {
    engine: &'a Arc<Engine>,
    order: &'a Order,
    integration: Integration,
    spec: Spec,
    loaded: Loaded,
    grant: Option<Grant>,
    token: Option<Arc<StoredToken>>,
    note: Option<Note>,
    attempt: AttemptId,
}

/// Whether the flight is over or has to look again.
enum Next {
    Landed(Arc<StoredToken>),
    LookAgain,
}

/// Refreshes until there is a token that suits, or an error that says whose move it is.
pub async fn refresh(engine: Arc<Engine>, order: Order) -> Result<Arc<StoredToken>> {
    let mut invalid_client_seen = None;
    loop {
        engine.commit_left_behind(&order.key).await?;
        let loaded = engine.store.load(&order.key, &order.resource).await?;
        let service = order.key.integration.grant_type == GrantType::ClientCredentials;
        engine.check_state(&order.key, &loaded, service).await?;
        let meant = engine
            .meant(
                &order.key.integration.provider,
                Some(order.key.integration.grant_type),
            )
            .await?;
        let integration = engine
            .open_integration(&meant.key, meant.row.as_ref())
            .await?;
        let token = engine.open_token(&order.key, &loaded).await?;
        let judged = judge(
            token.as_deref(),
            &order.key,
            &order.need,
            service.then_some(integration.revision),
            engine.clock.wall(),
        );
        if let Some(token) = &token
            && judged.serves()
            && judged != order.reason
        {
            return Ok(Arc::clone(token));
        }
        let grant = engine.open_grant(&order.key, &loaded).await?;
        let kept = grant
            .as_ref()
            .map(|grant| grant.kept.clone())
            .unwrap_or_default();
        let spec = integration.spec_with(&kept)?;
        if let Some(grant) = &grant
            && !service
        {
            engine.same_client(&integration, grant, &order.key)?;
        }
        let mut lead = Lead {
            engine: &engine,
            order: &order,
            note: engine.note_of(&order.key, &loaded).await,
            integration,
            spec,
            loaded,
            grant,
            token,
            attempt: AttemptId(vault::random_array()?),
        };
        lead.check_grant()?;
        lead.check_rest(invalid_client_seen)?;
        if !engine.store.writable() {
            return lead.unrecorded().await;
        }
        match engine.store.claim(&order.key, lead.claimant()).await? {
            Claimed::Changed => {}
            Claimed::Held(attempt) => pause(&engine, &attempt).await,
            Claimed::Ours { previous } => match lead.fly(previous).await {
                Ok(Next::Landed(token)) => return Ok(token),
                Ok(Next::LookAgain) => {}
                Err(error) if error.code() == "invalid_client" && invalid_client_seen.is_none() => {
                    // Once more, if the configuration changed meanwhile.
                    let now = engine.meant(
                        &order.key.integration.provider,
                        Some(order.key.integration.grant_type),
                    );
                    let revision = now.await?.row.map(|row| row.revision);
                    if revision == Some(lead.integration.revision) {
                        return Err(error);
                    }
                    invalid_client_seen = Some(lead.integration.revision);
                }
                Err(error) => return Err(error),
            },
        }
    }
}

impl Lead<'_> {
    /// Leads the claimed attempt to its end.
    async fn fly(&mut self, previous: Option<Attempt>) -> Result<Next> {
        let abandoned = previous
            .as_ref()
            .is_some_and(|attempt| attempt.ending.is_none());
        if abandoned {
            if self.engine.replay_orphans(Some(&self.order.key)).await? > 0 {
                self.release().await?;
                return Ok(Next::LookAgain);
            }
            if let Err(error) = self.check_replay(EndingOutcome::Unknown) {
                let note = self.note(
                    "The process that was refreshing ended before the reply was stored".to_owned(),
                );
                self.settle(EndingOutcome::Unknown, self.failures(), None, note)
                    .await?;
                return Err(error);
            }
        }
        let replays = abandoned || self.replays();
        let slot = match self.reserve() {
            Ok(slot) => slot,
            Err(error) => {
                self.release().await?;
                return Err(error);
            }
        };
        if !self.may_send().await? {
            self.release().await?;
            return Ok(Next::LookAgain);
        }
        tracing::info!(provider = %self.order.key.integration.provider, connection = %self.order.key.connection,
            reason = self.order.reason.as_str(), "refreshing");
        match self.send().await {
            Outcome::Issued(issued) => self.issued(*issued, slot).await.map(Next::Landed),
            Outcome::Unusable {
                refresh_token,
                refresh_expires_at,
                rule,
                ..
            } => {
                self.unusable(refresh_token, refresh_expires_at, rule, slot)
                    .await
            }
            Outcome::Refused {
                error,
                description,
                condemns,
            } => self.refused(error, description, condemns, replays).await,
            Outcome::NotProcessed {
                error,
                description,
                retry_after,
                condemns,
                reason,
                ..
            } => {
                let failures = self.failures() + 1;
                let rest = freshness::back_off(failures, retry_after, random_fraction());
                let note = Note {
                    error: error.clone(),
                    description: description.clone(),
                    ..self.note(reason.clone())
                };
                self.settle(EndingOutcome::NotProcessed, failures, Some(rest), note)
                    .await?;
                Err(self.not_processed(error, description, condemns, reason, rest))
            }
            Outcome::Unknown { reason, html } => {
                let failures = self.failures() + 1;
                let rest = freshness::back_off(failures, None, random_fraction());
                let outcome = match self.service() {
                    true => EndingOutcome::NotProcessed,
                    false => EndingOutcome::Unknown,
                };
                self.settle(outcome, failures, Some(rest), self.note(reason.clone()))
                    .await?;
                Err(if html {
                    self.rejected("reply_not_json", reason)
                } else {
                    self.unavailable(reason, Some(rest))
                })
            }
        }
    }

    /// A user grant needs a refresh token from here on.
    fn check_grant(&self) -> Result<()> {
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
    fn check_rest(&self, after_invalid_client: Option<u64>) -> Result<()> {
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
    fn check_replay(&self, outcome: EndingOutcome) -> Result<()> {
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
    fn reserve(&self) -> Result<Option<Arc<dyn Slot>>> {
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
    async fn may_send(&self) -> Result<bool> {
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

    async fn send(&self) -> Outcome {
        let http = self.engine.http();
        let client = self.integration.client(&self.spec);
        let clock = &self.engine.clock;
        match self
            .grant
            .as_ref()
            .and_then(|grant| Some((grant, grant.refresh_token.as_ref()?)))
        {
            Some((grant, refresh_token)) if !self.service() => {
                let refresh = oauth::token::Refresh {
                    refresh_token: Some(refresh_token),
                    access_token: self.token.as_ref().map(|stored| &stored.token.value),
                    scopes: &[],
                    granted: &grant.granted_scopes,
                    resource: &self.order.resource,
                    redirect_uri: None,
                    subject: grant.subject.as_deref(),
                };
                oauth::token::refresh(&http, &self.spec, client, refresh, clock).await
            }
            _ => {
                let scopes = self
                    .engine
                    .requested_scopes(&self.integration, &self.spec, &[]);
                oauth::token::client_credentials(
                    &http,
                    &self.spec,
                    client,
                    &scopes,
                    &self.order.resource,
                    clock,
                )
                .await
            }
        }
    }

    /// The reply brought a token: into the slot, into the store, and only then to the callers.
    async fn issued(
        &self,
        issued: Issued,
        slot: Option<Arc<dyn Slot>>,
    ) -> Result<Arc<StoredToken>> {
        let now = self.engine.clock.wall();
        let rotated = issued.refresh_token.is_some();
        let mut grant = self
            .grant
            .clone()
            .unwrap_or_else(|| self.service_grant(now));
        rotate(
            &mut grant,
            issued.refresh_token,
            issued.refresh_expires_at,
            &self.spec,
            now,
        );
        grant.kept.extend(issued.kept);
        grant.refusal = None;
        let mut token = issued.token;
        token.revision = self.integration.revision;
        token.resource.clone_from(&self.order.resource);
        match issued.granted_scopes {
            Some(scopes) => token.scopes = scopes,
            None => token.scopes.clone_from(&grant.granted_scopes),
        }
        if self.service() {
            grant.granted_scopes.clone_from(&token.scopes);
        }
        let stored = stored_token(token, &grant, &self.spec);
        let reply = Reply {
            spill: Spill {
                grant,
                token: Some(stored.clone()),
            },
            expected: self.loaded.generation(),
            attempt: self.attempt,
            slot,
            rotated,
        };
        match self.engine.keep(&self.order.key, reply).await? {
            Committed::Done => Ok(Arc::new(stored)),
            Committed::Lost => {
                self.release().await?;
                self.adopt(stored).await
            }
        }
    }

    /// The reply is against a rule, but its refresh token may be the only one that works now.
    async fn unusable(
        &self,
        refresh_token: Option<RefreshToken>,
        refresh_expires_at: Option<Timestamp>,
        rule: String,
        slot: Option<Arc<dyn Slot>>,
    ) -> Result<Next> {
        let failures = self.failures() + 1;
        let rest = freshness::back_off(failures, None, random_fraction());
        let note = self.note(rule.clone());
        if let (Some(refresh_token), Some(grant)) = (refresh_token, &self.grant) {
            let mut grant = grant.clone();
            rotate(
                &mut grant,
                Some(refresh_token),
                refresh_expires_at,
                &self.spec,
                self.engine.clock.wall(),
            );
            let reply = Reply {
                spill: Spill { grant, token: None },
                expected: self.loaded.generation(),
                attempt: self.attempt,
                slot,
                rotated: true,
            };
            self.engine.keep(&self.order.key, reply).await?;
            self.rest_after_commit(failures, rest, note).await?;
        } else {
            self.settle(EndingOutcome::NotProcessed, failures, Some(rest), note)
                .await?;
        }
        Err(self.rejected("reply_unusable", rule))
    }

    /// The server refused the grant, or this resource of it.
    async fn refused(
        &self,
        error: String,
        description: Option<String>,
        condemns: Condemns,
        replayed: bool,
    ) -> Result<Next> {
        let now = self
            .engine
            .store
            .load(&self.order.key, &self.order.resource)
            .await?;
        if now.generation() > self.loaded.generation() {
            self.release().await?;
            return Ok(Next::LookAgain);
        }
        let meaning = self.meaning(&error, description.as_deref(), replayed);
        if condemns == Condemns::Resource || !self.order.resource.is_empty() || self.service() {
            let note = Note {
                error: Some(error.clone()),
                description: description.clone(),
                ..self.note(meaning.clone())
            };
            let failures = self.failures() + 1;
            let rest = freshness::back_off(failures, None, random_fraction());
            self.settle(EndingOutcome::ResourceRefused, failures, Some(rest), note)
                .await?;
            let hint = self.engine.connect_command(&self.order.key, true);
            let kind = match self.service() {
                true => ErrorKind::ProviderRejected {
                    error: Some(error),
                    description,
                },
                false => ErrorKind::ReauthorizationRequired {
                    error: Some(error),
                    description,
                },
            };
            return Err(Error::new(kind, "resource_refused", meaning).hint(hint));
        }
        let mut grant = self
            .grant
            .clone()
            .ok_or_else(|| self.engine.not_connected(&self.order.key))?;
        grant.refusal = Some(Refusal {
            error,
            description,
            meaning,
            at: self.engine.clock.wall().millis(),
        });
        let generation = self.engine.next_generation(self.loaded.generation());
        let sealed = self
            .engine
            .seal(
                Subject::Connection(&self.order.key),
                Kind::Grant,
                "",
                generation,
                &grant,
            )
            .await?;
        let commit = Commit {
            state: StoredState::ReauthorizationRequired,
            grant: Some(sealed),
            attempt: Some(self.attempt),
            durable: true,
            ..self.engine.commit_of(
                &self.order.key,
                self.loaded.generation(),
                generation,
                "refused",
                "invalid_grant",
            )
        };
        match self.engine.store.commit(commit).await? {
            Committed::Done => {
                self.engine.cache.drop_connection(&self.order.key);
                tracing::error!(provider = %self.order.key.integration.provider,
                    connection = %self.order.key.connection, "needs to be connected again");
                Err(self
                    .engine
                    .reauthorization_required(&self.order.key, Some(&grant)))
            }
            Committed::Lost => {
                self.release().await?;
                Ok(Next::LookAgain)
            }
        }
    }

    /// Another commit came before ours: a reconnect or another leader's is adopted, after a leave ours is revoked.
    async fn adopt(&self, ours: StoredToken) -> Result<Arc<StoredToken>> {
        let loaded = self
            .engine
            .store
            .load(&self.order.key, &self.order.resource)
            .await?;
        match loaded.connection.as_ref().map(|row| row.state) {
            Some(StoredState::Connected) => {
                let theirs = self.engine.open_token(&self.order.key, &loaded).await?;
                Ok(theirs.unwrap_or_else(|| Arc::new(ours)))
            }
            Some(StoredState::ReauthorizationRequired) => {
                let grant = self.engine.open_grant(&self.order.key, &loaded).await?;
                Err(self
                    .engine
                    .reauthorization_required(&self.order.key, grant.as_ref()))
            }
            None | Some(StoredState::Disconnected | StoredState::Disconnecting) => {
                let client = self.integration.client(&self.spec);
                let token = RevokedToken::Access(&ours.token.value);
                if let Err(error) = oauth::revoke::revoke(
                    &self.engine.http(),
                    &self.spec,
                    client,
                    token,
                    &self.engine.clock,
                )
                .await
                {
                    tracing::warn!(
                        reason = error.reason(),
                        "a token issued while disconnecting lives on"
                    );
                }
                Err(self.engine.not_connected(&self.order.key))
            }
        }
    }

    /// A store that can't be written serves what has nothing to lose: service grants, and grants that never rotate.
    async fn unrecorded(&self) -> Result<Arc<StoredToken>> {
        let rotates = self
            .spec
            .refresh
            .as_ref()
            .is_some_and(|refresh| refresh.rotates.possible());
        if !self.service() && rotates {
            self.engine
                .require_writable("refreshing a grant that may rotate")?;
        }
        match self.send().await {
            Outcome::Issued(issued) => {
                let grant = self
                    .grant
                    .clone()
                    .unwrap_or_else(|| self.service_grant(self.engine.clock.wall()));
                let mut token = issued.token;
                token.revision = self.integration.revision;
                token.resource.clone_from(&self.order.resource);
                token.scopes = issued
                    .granted_scopes
                    .unwrap_or_else(|| grant.granted_scopes.clone());
                Ok(Arc::new(stored_token(token, &grant, &self.spec)))
            }
            Outcome::Unusable { rule, .. } => Err(self.rejected("reply_unusable", rule)),
            Outcome::Refused {
                error, description, ..
            } => {
                let meaning = self.meaning(&error, description.as_deref(), false);
                let kind = ErrorKind::ReauthorizationRequired {
                    error: Some(error),
                    description,
                };
                Err(Error::new(kind, "reauthorization_required", meaning)
                    .hint(self.engine.connect_command(&self.order.key, true)))
            }
            Outcome::NotProcessed {
                error,
                description,
                condemns,
                reason,
                retry_after,
                ..
            } => Err(self.not_processed(
                error,
                description,
                condemns,
                reason,
                retry_after.unwrap_or_default(),
            )),
            Outcome::Unknown { reason, .. } => Err(self.unavailable(reason, None)),
        }
    }

    fn claimant(&self) -> Claimant {
        let now = self.engine.clock.monotonic();
        Claimant {
            attempt: self.attempt,
            owner: system::owner(),
            now,
            deadline: now.after(LEASE),
            generation: self.loaded.generation(),
        }
    }

    async fn settle(
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
    async fn release(&self) -> Result<()> {
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
    async fn rest_after_commit(&self, failures: u32, rest: Duration, note: Note) -> Result<()> {
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

    fn service(&self) -> bool {
        self.order.key.integration.grant_type == GrantType::ClientCredentials
    }

    fn replays(&self) -> bool {
        self.loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
            .is_some_and(|ending| ending.outcome == EndingOutcome::Unknown)
    }

    fn failures(&self) -> u32 {
        self.loaded
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.ending.as_ref())
            .map_or(0, |ending| ending.failures)
    }

    fn note(&self, reason: String) -> Note {
        Note {
            reason,
            error: None,
            description: None,
            revision: self.integration.revision,
        }
    }

    fn service_grant(&self, now: Timestamp) -> Grant {
        Grant {
            refresh_token: None,
            predecessor: None,
            refresh_expires_at: None,
            requested_scopes: self
                .engine
                .requested_scopes(&self.integration, &self.spec, &[]),
            granted_scopes: self
                .engine
                .requested_scopes(&self.integration, &self.spec, &[]),
            account: crate::model::Account::default(),
            subject: None,
            client_id: self.integration.client_id().to_owned(),
            issuer: self.spec.endpoints.issuer.clone(),
            token_endpoint: self
                .spec
                .endpoints
                .token_endpoint
                .clone()
                .unwrap_or_default(),
            kept: std::collections::BTreeMap::new(),
            granted_at: now,
            refusal: None,
        }
    }

    /// What a refusal means, in the provider file's plain words where it has them.
    fn meaning(&self, error: &str, description: Option<&str>, replayed: bool) -> String {
        if replayed {
            return format!(
                "The reply of {} to an earlier refresh was lost, and it no longer accepts the refresh token it replaced",
                self.spec.name
            );
        }
        oauth::response::meaning(&self.spec, error, description).unwrap_or_else(|| {
            format!(
                "{} no longer accepts the refresh token ({error})",
                self.spec.name
            )
        })
    }

    fn not_processed(
        &self,
        error: Option<String>,
        description: Option<String>,
        condemns: Condemns,
        reason: String,
        rest: Duration,
    ) -> Error {
        let Some(code) = error.filter(|error| !transient(error)) else {
            return self.unavailable(reason, Some(rest));
        };
        let client = condemns == Condemns::Client || code == "invalid_client";
        let meaning =
            oauth::response::meaning(&self.spec, &code, description.as_deref()).unwrap_or(reason);
        let hint = if client {
            let integration = &self.order.key.integration;
            self.engine.command(&format!(
                "configure {} --grant-type {} --client-secret-stdin",
                integration.provider, integration.grant_type
            ))
        } else {
            self.engine
                .command(&format!("test {}", self.order.key.integration.provider))
        };
        let kind = ErrorKind::ProviderRejected {
            error: Some(code),
            description,
        };
        Error::new(
            kind,
            if client {
                "invalid_client"
            } else {
                "provider_rejected"
            },
            meaning,
        )
        .hint(hint)
    }

    fn unavailable(&self, reason: String, retry_after: Option<Duration>) -> Error {
        Error::new(
            ErrorKind::ProviderUnavailable { retry_after },
            "provider_unavailable",
            reason,
        )
        .hint(
            self.engine
                .command(&format!("token {}", self.order.key.integration.provider)),
        )
    }

    fn rejected(&self, code: &'static str, reason: String) -> Error {
        Error::new(
            ErrorKind::ProviderRejected {
                error: None,
                description: None,
            },
            code,
            reason,
        )
        .hint(
            self.engine
                .command(&format!("test {}", self.order.key.integration.provider)),
        )
    }
}

impl Engine {
    /// Stores a reply: the slot first where a refresh token rotated, then the commit, tried again before it is given up.
    async fn keep(self: &Arc<Self>, key: &ConnectionKey, reply: Reply) -> Result<Committed> {
        if reply.rotated
            && let Some(slot) = &reply.slot
        {
            let spilled = self.spilled(key, &reply).await?;
            if let Err(error) = slot.write(&spilled) {
                tracing::warn!(
                    reason = error.reason(),
                    "the reply could not be written to its slot"
                );
            }
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.commit_reply(key, &reply).await {
                Ok(committed) => {
                    if let Some(slot) = &reply.slot {
                        slot.clear()?;
                    }
                    return Ok(committed);
                }
                Err(error) if tries < COMMIT_TRIES => {
                    tracing::warn!(
                        reason = error.reason(),
                        tries,
                        "the store failed, once more"
                    );
                    tokio::time::sleep(Duration::from_millis(50 << tries)).await;
                }
                Err(error) => {
                    let saved = match (&reply.slot, reply.rotated) {
                        (_, false) => true,
                        (Some(slot), true) => slot.sync().is_ok(),
                        (None, true) => false,
                    };
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
                    runtime::spawn(async move { engine.commit_later(&key).await });
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

    /// Commits a reply that this process could not store before.
    async fn commit_left_behind(&self, key: &ConnectionKey) -> Result<()> {
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
        self.commit_reply(key, &reply).await?;
        if let Some(slot) = &reply.slot {
            slot.clear()?;
        }
        self.left_behind
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        Ok(())
    }

    /// Tries again while the lease keeps other processes from asking: they can't see the slot of a living one.
    async fn commit_later(&self, key: &ConnectionKey) {
        const PAUSE: Duration = Duration::from_secs(1);
        let until = self.clock.monotonic().after(LEASE);
        while self.commit_left_behind(key).await.is_err() && self.clock.monotonic() < until {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Commits the replies that processes which are gone left in their slots; answers with how many there were.
    pub(crate) async fn replay_orphans(&self, connection: Option<&ConnectionKey>) -> Result<usize> {
        let mut replayed = 0;
        for orphan in self.store.orphans(connection)? {
            let Spilled {
                connection: key,
                attempt,
                sealed,
            } = &orphan.spilled;
            if key.integration.workspace != self.workspace {
                continue;
            }
            let loaded = self.store.load(key, "").await?;
            // It must follow the stored generation directly: else it is older than a reconnect.
            if loaded.generation() > 0 && sealed.generation == loaded.generation() + 1 {
                let spill: Spill = self
                    .open(Subject::Connection(key), Kind::Spill, "", sealed)
                    .await?;
                let reply = Reply {
                    spill,
                    expected: loaded.generation(),
                    attempt: *attempt,
                    slot: None,
                    rotated: true,
                };
                // Compare-and-swap decides between those who replay at once.
                if self.commit_reply(key, &reply).await? == Committed::Done {
                    replayed += 1;
                    tracing::info!(provider = %key.integration.provider, connection = %key.connection,
                        "stored the reply of a process that is gone");
                }
            }
            self.store.forget_orphan(&orphan)?;
        }
        Ok(replayed)
    }

    async fn commit_reply(&self, key: &ConnectionKey, reply: &Reply) -> Result<Committed> {
        let generation = self.next_generation(reply.expected);
        let subject = Subject::Connection(key);
        let grant = self
            .seal(subject, Kind::Grant, "", generation, &reply.spill.grant)
            .await?;
        let token = match &reply.spill.token {
            Some(stored) => Some(TokenRow {
                resource: stored.token.resource.clone(),
                sealed: self
                    .seal(
                        subject,
                        Kind::Token,
                        &stored.token.resource,
                        generation,
                        stored,
                    )
                    .await?,
            }),
            None => None,
        };
        let shown = reply
            .spill
            .token
            .as_ref()
            .filter(|stored| stored.token.resource.is_empty());
        let fingerprint = match &reply.spill.grant.refresh_token {
            Some(refresh_token) => Some(self.fingerprint(refresh_token).await?),
            None => None,
        };
        let commit = Commit {
            grant: Some(grant),
            fingerprint,
            token,
            expires_at: shown.and_then(|stored| stored.token.expires_at),
            refreshed_at: shown.map(|stored| stored.token.obtained_at),
            attempt: Some(reply.attempt),
            durable: reply.rotated,
            ..self.commit_of(key, reply.expected, generation, "refreshed", "")
        };
        self.store.commit(commit).await
    }

    async fn spilled(&self, key: &ConnectionKey, reply: &Reply) -> Result<Spilled> {
        let generation = self.next_generation(reply.expected);
        let sealed = self
            .seal(
                Subject::Connection(key),
                Kind::Spill,
                "",
                generation,
                &reply.spill,
            )
            .await?;
        Ok(Spilled {
            connection: key.clone(),
            attempt: reply.attempt,
            sealed,
        })
    }

    async fn note_of(&self, key: &ConnectionKey, loaded: &Loaded) -> Option<Note> {
        let sealed = loaded.attempt.as_ref()?.ending.as_ref()?.note.as_ref()?;
        self.open(Subject::Connection(key), Kind::Note, "", sealed)
            .await
            .ok()
    }

    /// A keyed hash of a refresh token, to see that two connections hold the same.
    pub(crate) async fn fingerprint(&self, refresh_token: &RefreshToken) -> Result<Vec<u8>> {
        self.keys
            .fingerprint(&*self.store, &self.clock, &self.workspace, refresh_token)
            .await
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

/// Lays a reply's refresh token over the grant's; the predecessor is kept only as long as the provider accepts it.
pub(crate) fn rotate(
    grant: &mut Grant,
    refresh_token: Option<RefreshToken>,
    refresh_expires_at: Option<Timestamp>,
    spec: &Spec,
    now: Timestamp,
) {
    let Some(refresh_token) = refresh_token else {
        return;
    };
    if refresh_expires_at.is_some() {
        grant.refresh_expires_at = refresh_expires_at;
    }
    if grant.refresh_token.as_ref() == Some(&refresh_token) {
        return;
    }
    let replaced = grant.refresh_token.replace(refresh_token);
    grant.predecessor = match spec.refresh.as_ref().map(|refresh| refresh.grace) {
        Some(Grace::Seconds(seconds)) if seconds > 0.0 => {
            replaced.map(|replaced| (replaced, now.after(Duration::from_secs_f64(seconds))))
        }
        _ => None,
    };
}

/// Puts the provider file's word on renewal beside a token.
pub(crate) fn stored_token(token: Token, grant: &Grant, spec: &Spec) -> StoredToken {
    let renewable =
        grant.refresh_token.is_some() || spec.grant_type == GrantType::ClientCredentials;
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
    let margin_cap = spec.lifetimes.margin_cap.map_or(MARGIN_CAP, |seconds| {
        Duration::from_secs_f64(seconds.max(0.0))
    });
    StoredToken {
        assumed_until: assumed
            .filter(|_| renewable)
            .map(|lifetime| token.obtained_at.after(lifetime)),
        token,
        margin_cap,
    }
}

/// Error codes that mean "later", not "no".
fn transient(error: &str) -> bool {
    matches!(
        error,
        "temporarily_unavailable" | "server_error" | "slow_down" | "rate_limited" | "ratelimited"
    )
}

/// Waits for another leader's attempt, a little longer each time by chance, so that waiters don't march in step.
async fn pause(engine: &Engine, attempt: &Attempt) {
    let left = attempt.deadline.since(engine.clock.monotonic());
    let pause = Duration::from_millis(25).mul_f64(1.0 + 3.0 * random_fraction());
    tokio::time::sleep(pause.min(left.max(Duration::from_millis(1)))).await;
}

/// A number from 0 to 1. Without random numbers the waiters march in step, and no more happens.
fn random_fraction() -> f64 {
    f64::from(u16::from_be_bytes(
        vault::random_array().unwrap_or_default(),
    )) / f64::from(u16::MAX)
}
