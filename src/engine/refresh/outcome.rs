//! What each outcome of a refresh does: to the store, and to those who wait.

use std::sync::Arc;
use std::time::Duration;

use super::reply::{Place, Reply, rotate, stored_token};
use super::{Lead, Next, transient};
use crate::clock::Timestamp;
use crate::engine::freshness;
use crate::engine::record::{Note, Spill};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Account, Grant, Refusal};
use crate::oauth::response::Issued;
use crate::provider::Condemns;
use crate::secret::RefreshToken;
use crate::store::{Commit, Committed, EndingOutcome, StoredState};
use crate::vault::{Kind, Subject};

impl Lead<'_> {
    /// The reply brought a token: into the slot, into the store, and only then to the callers.
    pub(super) async fn issued(&self, issued: Issued, place: Option<Place>) -> Result<Next> {
        let now = self.engine.clock.wall();
        // A service grant has no use for one (RFC 6749 section 4.4.3).
        let refresh_token = issued.refresh_token.filter(|_| !self.service());
        let rotated = self.rotated(refresh_token.as_ref()) || self.renews_itself();
        let mut grant = self
            .grant
            .clone()
            .unwrap_or_else(|| self.service_grant(now));
        rotate(&mut grant, refresh_token, issued.refresh_expires_at);
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
        let stored = stored_token(token, &grant, &self.spec, &self.engine.clock);
        let reply = Reply {
            spill: Spill {
                grant,
                token: Some(stored.clone()),
            },
            expected: self.loaded.generation(),
            attempt: self.attempt,
            slot: None,
            rotated,
        };
        let spill = reply.spill.clone();
        match self.engine.keep(&self.order.key, reply, place).await? {
            Committed::Done => Ok(Next::Landed(Arc::new(stored))),
            Committed::Lost | Committed::Held(_) => self.lost(spill).await,
        }
    }

    /// The reply is against a rule, but its refresh token may be the only one that works now.
    pub(super) async fn unusable(
        &self,
        refresh_token: Option<RefreshToken>,
        refresh_expires_at: Option<Timestamp>,
        rule: String,
        place: Option<Place>,
    ) -> Result<Next> {
        let failures = self.failures() + 1;
        let rest = freshness::back_off(failures, None, self.engine.runtime.fraction());
        let note = self.note(rule.clone());
        if let (Some(refresh_token), Some(grant)) = (refresh_token, &self.grant) {
            let mut grant = grant.clone();
            let rotated = self.rotated(Some(&refresh_token));
            rotate(&mut grant, Some(refresh_token.clone()), refresh_expires_at);
            let reply = Reply {
                spill: Spill { grant, token: None },
                expected: self.loaded.generation(),
                attempt: self.attempt,
                slot: None,
                rotated,
            };
            let spill = reply.spill.clone();
            if self.engine.keep(&self.order.key, reply, place).await? == Committed::Lost {
                return self.lost(spill).await;
            }
            self.rest_after_commit(failures, rest, note).await?;
        } else {
            let now = self.engine.clock.wall();
            self.settle(EndingOutcome::NotProcessed, now, failures, rest, note)
                .await?;
        }
        Err(self.rejected("reply_unusable", rule))
    }

    /// The server refused the grant, or this resource of it.
    pub(super) async fn refused(
        &self,
        error: String,
        description: Option<String>,
        condemns: Condemns,
        reason: String,
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
        let meaning = if replayed {
            format!(
                "the reply of {} to an earlier refresh was lost, and it no longer accepts the refresh token it replaced",
                self.spec.name
            )
        } else {
            reason
        };
        if condemns == Condemns::Resource || !self.order.resource.is_empty() || self.service() {
            let note = Note {
                error: Some(error.clone()),
                description: description.clone(),
                ..self.note(meaning.clone())
            };
            let failures = self.failures() + 1;
            let rest = freshness::back_off(failures, None, self.engine.runtime.fraction());
            let now = self.engine.clock.wall();
            self.settle(EndingOutcome::ResourceRefused, now, failures, rest, note)
                .await?;
            return Err(self.resource_refused(error, description, meaning));
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
            Committed::Lost | Committed::Held(_) => {
                self.release().await?;
                Ok(Next::LookAgain)
            }
        }
    }

    /// Whether a refresh token is another than the grant's.
    fn rotated(&self, refresh_token: Option<&RefreshToken>) -> bool {
        let before = self
            .grant
            .as_ref()
            .and_then(|grant| grant.refresh_token.as_ref());
        refresh_token.is_some() && refresh_token != before
    }

    /// Another commit came before ours: another leader's is adopted, after a leave ours is revoked. After a reconnect ours
    /// is dropped as the grant before a reconnect always is: many providers know one grant per account and application,
    /// and revoking the old refresh token would end the new one.
    async fn lost(&self, ours: Spill) -> Result<Next> {
        self.release().await?;
        let loaded = self.engine.store.load(&self.order.key, "").await?;
        if matches!(
            loaded.connection.as_ref().map(|row| row.state),
            Some(StoredState::Connected | StoredState::ReauthorizationRequired)
        ) {
            return Ok(Next::LookAgain);
        }
        // Whoever left has dealt with the one before.
        let refresh_token = ours.grant.refresh_token.as_ref();
        let refresh_token = refresh_token.filter(|token| self.rotated(Some(token)));
        let access_token = ours.token.as_ref().map(|stored| &stored.token.value);
        let revoked =
            self.engine
                .revoke_unwanted(&self.integration, &self.spec, refresh_token, access_token);
        if let Err(error) = revoked.await {
            let reason = error.reason();
            tracing::warn!(reason, "a token issued while disconnecting lives on");
        }
        Err(self.engine.not_connected(&self.order.key))
    }

    /// Nobody can know what became of the request that left at `sent_at`.
    pub(super) async fn unknown(
        &self,
        sent_at: Timestamp,
        reason: String,
        html: bool,
    ) -> Result<Next> {
        let failures = self.failures() + 1;
        let (outcome, forgiven) = match self.service() {
            true => (EndingOutcome::NotProcessed, false),
            false => (EndingOutcome::Unknown, self.forgives(sent_at)),
        };
        let rest = match forgiven && failures == 1 {
            // The grace runs: once at once.
            true => Duration::ZERO,
            false => freshness::back_off(failures, None, self.engine.runtime.fraction()),
        };
        let note = self.note(reason.clone());
        self.settle(outcome, sent_at, failures, rest, note).await?;
        if html {
            return Err(self.rejected("reply_not_json", reason));
        }
        let wait = match self.service() || forgiven {
            true => rest,
            false => Some(self.left_of_tokens())
                .filter(|left| *left < Duration::MAX)
                .map_or(rest, |left| rest.max(left)),
        };
        Err(self.unavailable(reason, Some(wait)))
    }

    pub(super) fn service_grant(&self, now: Timestamp) -> Grant {
        Grant {
            refresh_token: None,
            refresh_expires_at: None,
            requested_scopes: self
                .engine
                .requested_scopes(&self.integration, &self.spec, &[]),
            granted_scopes: self
                .engine
                .requested_scopes(&self.integration, &self.spec, &[]),
            account: Account::default(),
            subject: None,
            client_id: self.integration.client_id().to_owned(),
            issuer: self.spec.endpoints.issuer.clone(),
            token_endpoint: self
                .spec
                .endpoints
                .token_endpoint
                .clone()
                .unwrap_or_default(),
            redirect_uri: None,
            kept: std::collections::BTreeMap::new(),
            granted_at: now,
            refusal: None,
        }
    }

    /// The server refused what was asked for and nothing is recorded of the grant.
    pub(super) fn resource_refused(
        &self,
        error: String,
        description: Option<String>,
        meaning: String,
    ) -> Error {
        let hint = self.engine.connect_command(&self.order.key, true);
        let error = Some(error);
        let kind = match self.service() {
            true => ErrorKind::ProviderRejected { error, description },
            false => ErrorKind::ReauthorizationRequired { error, description },
        };
        Error::new(kind, "resource_refused", meaning).hint(hint)
    }

    pub(super) fn not_processed(
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
            reason,
        )
        .hint(hint)
    }

    pub(super) fn unavailable(&self, reason: String, retry_after: Option<Duration>) -> Error {
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

    pub(super) fn rejected(&self, code: &'static str, reason: String) -> Error {
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
