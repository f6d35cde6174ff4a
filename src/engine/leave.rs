//! Leaving: `disconnect` (the tokens go, the configuration stays) and `remove` (all goes).

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::config::Meant;
use crate::engine::freshness::StoredToken;
use crate::error::{Error, Result};
use crate::fault;
use crate::model::{ConnectionKey, Grant, GrantType, Report};
use crate::oauth::revoke::{self, RevokedToken};
use crate::provider::{RevocationKind, Spec};
use crate::store::{Commit, Committed, Loaded, StoredState};

/// How long a revocation may take before it is given up and reported.
const REVOCATION_DEADLINE: Duration = Duration::from_secs(15);

impl Engine {
    /// Revokes and deletes the tokens of a connection; the configuration stays.
    ///
    /// The connection is marked first, so that nobody gets a token from then on, in any process. Killed in between, the
    /// next call finishes. What may live on is reported.
    pub async fn disconnect(
        self: &Arc<Self>,
        provider: &str,
        grant_type: Option<GrantType>,
        connection: &str,
        revoke: bool,
    ) -> Result<Report> {
        let meant = self.meant(provider, grant_type).await?;
        let key = ConnectionKey {
            integration: meant.key.clone(),
            connection: connection.into(),
        };
        self.require_writable("disconnect")?;
        let mut report = Report::begin();
        self.leave(&meant, &key, revoke, &mut report).await?;
        Ok(report)
    }

    /// Disconnects every connection of an integration and forgets the integration itself.
    pub async fn remove(
        self: &Arc<Self>,
        provider: &str,
        grant_type: Option<GrantType>,
        revoke: bool,
    ) -> Result<Report> {
        let meant = self.meant(provider, grant_type).await?;
        self.require_writable("remove")?;
        let mut report = Report::begin();
        loop {
            let found = self.all_connections(Some(&meant.key)).await?;
            for row in &found {
                self.leave(&meant, &row.key, revoke, &mut report).await?;
            }
            fault::point("remove.left");
            match &meant.row {
                Some(row)
                    if row.key == meant.key
                        && !self.store.delete_integration(&meant.key).await? =>
                {
                    // A sign-in that ended meanwhile is left as well: what it brought has to be revoked. What holds a
                    // grant and is not found can't be read.
                    if found.is_empty() {
                        return Err(self.connection_unreadable(&meant.key));
                    }
                }
                _ => break,
            }
        }
        match &meant.row {
            Some(row) if row.key == meant.key => report.step(
                "configuration",
                true,
                format!("{} ({}) removed", meant.key.provider, meant.key.grant_type),
            ),
            Some(row) => report.step(
                "configuration",
                true,
                format!("it is that of {}, which stays", row.key.provider),
            ),
            None => report.step("configuration", true, "there was none"),
        }
        self.cache.doubt_all();
        Ok(report)
    }

    async fn leave(
        self: &Arc<Self>,
        meant: &Meant,
        key: &ConnectionKey,
        revoke: bool,
        report: &mut Report,
    ) -> Result<()> {
        // What was issued and is not stored yet is what has to be revoked.
        self.commit_left_behind(key).await?;
        self.replay_orphans(Some(key)).await?;
        let Some(loaded) = self.mark(key).await? else {
            report.step(
                "tokens",
                true,
                format!("{} was not connected", key.connection),
            );
            return Ok(());
        };
        fault::point("disconnect.marked");
        self.cache.drop_connection(key);
        let grant = self.open_grant(key, &loaded).await;
        if revoke {
            match grant {
                Ok(grant) => {
                    self.revoke(meant, key, &loaded, grant.as_ref(), report)
                        .await
                }
                // A record that does not open can be deleted all the same; what it held lives on.
                Err(error) => report.step("revocation", false, error.reason().to_owned()),
            }
        } else {
            report.step(
                "revocation",
                true,
                "left out, as asked: the tokens live on at the provider until they expire",
            );
        }
        fault::point("disconnect.revoked");
        let mut generation = loaded.generation();
        loop {
            let commit = Commit {
                state: StoredState::Disconnected,
                drop_grant: true,
                drop_tokens: true,
                durable: true,
                ..self.commit_of(key, generation, generation + 1, "disconnected", "")
            };
            if self.store.commit(commit).await? == Committed::Done {
                break;
            }
            let now = self.store.load(key, "").await?;
            if now.connection.as_ref().map(|row| row.state) != Some(StoredState::Disconnecting) {
                // Somebody connected anew, or finished this.
                break;
            }
            generation = now.generation();
        }
        self.cache.drop_connection(key);
        tracing::info!(provider = %key.integration.provider, connection = %key.connection, "disconnected");
        report.step(
            "tokens",
            true,
            format!("those of {} deleted", key.connection),
        );
        Ok(())
    }

    /// Marks a connection so that nobody gets tokens; `None` when there is nothing to leave.
    async fn mark(&self, key: &ConnectionKey) -> Result<Option<Loaded>> {
        loop {
            let loaded = self.store.load(key, "").await?;
            match loaded.connection.as_ref().map(|row| row.state) {
                None | Some(StoredState::Disconnected) => return Ok(None),
                Some(StoredState::Disconnecting) => return Ok(Some(loaded)),
                Some(StoredState::Connected | StoredState::ReauthorizationRequired) => {}
            }
            let generation = loaded.generation();
            let commit = Commit {
                state: StoredState::Disconnecting,
                ..self.commit_of(key, generation, generation + 1, "disconnecting", "")
            };
            if self.store.commit(commit).await? == Committed::Done {
                return Ok(Some(self.store.load(key, "").await?));
            }
        }
    }

    async fn revoke(
        &self,
        meant: &Meant,
        key: &ConnectionKey,
        loaded: &Loaded,
        grant: Option<&Grant>,
        report: &mut Report,
    ) {
        let asked = async {
            let integration = self
                .open_integration(&meant.key, meant.row.as_ref())
                .await?;
            let spec = integration
                .spec_with(&grant.map(|grant| grant.kept.clone()).unwrap_or_default())?;
            if let Some(grant) = grant
                && key.integration.grant_type == GrantType::AuthorizationCode
            {
                self.same_client(&integration, grant, key)?;
            }
            let token = self.open_token(key, loaded).await?;
            if spec.revocation.kind == RevocationKind::None {
                return Ok::<_, Error>(self.lives_on(&spec, grant, token.as_deref()));
            }
            let refresh_token = grant.and_then(|grant| grant.refresh_token.as_ref());
            let access_token = token.as_ref().map(|stored| &stored.token.value);
            let Some(token) = RevokedToken::choose(&spec.revocation, refresh_token, access_token)
            else {
                return Ok("there was no token to revoke".to_owned());
            };
            let (http, client) = (self.http(), integration.client(&spec));
            let revoked = revoke::revoke(&http, &spec, client, token, &self.clock);
            Ok(revoked.await?.what)
        };
        match tokio::time::timeout(self.clock.real(REVOCATION_DEADLINE), asked).await {
            Ok(Ok(what)) => report.step("revocation", true, what),
            Ok(Err(error)) => report.step("revocation", false, error.reason().to_owned()),
            Err(_) => report.step(
                "revocation",
                false,
                "the provider did not answer in time: the tokens may live on",
            ),
        }
        if !report.ok && report.reason.is_none() {
            report.reason =
                Some("the tokens are deleted here, but may live on at the provider".to_owned());
        }
    }

    /// What a provider that revokes nothing leaves alive, and who can end it.
    fn lives_on(&self, spec: &Spec, grant: Option<&Grant>, stored: Option<&StoredToken>) -> String {
        let mut alive = Vec::new();
        match stored.map(|stored| stored.ends_at(&self.clock)) {
            None => {}
            Some(None) => alive.push("the access token lives on there".to_owned()),
            Some(Some(expires_at)) => {
                let left = expires_at.since(self.clock.wall()).as_secs();
                alive.push(format!("the access token lives on there for {left} s"));
            }
        }
        if grant.is_some_and(|grant| grant.refresh_token.is_some()) {
            alive.push("the refresh token until the grant is ended in its settings".to_owned());
        }
        alive.extend(spec.revocation.manual.clone());
        format!("{} revokes no tokens: {}", spec.name, alive.join("; "))
    }
}
