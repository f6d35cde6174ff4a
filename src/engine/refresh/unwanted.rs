//! What was issued for a connection that was left meanwhile: nobody here wants it, so the provider gets it back.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::engine::record::Spill;
use crate::engine::runtime::Unfinished;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ConnectionKey;
use crate::oauth::revoke::{self, RevokedToken};
use crate::provider::Spec;
use crate::secret::{AccessToken, RefreshToken};
use crate::store::{Orphan, StoredState};
use crate::vault::{Kind, Subject};

/// How long giving back may take before it is left to the next process.
const DEADLINE: Duration = Duration::from_secs(15);

impl Engine {
    /// Revokes what nobody has stored; nothing is sent where the provider revokes nothing.
    pub(crate) async fn revoke_unwanted(
        &self,
        integration: &Integration,
        spec: &Spec,
        refresh_token: Option<&RefreshToken>,
        access_token: Option<&AccessToken>,
    ) -> Result<()> {
        let chosen = RevokedToken::choose(&spec.revocation, refresh_token, access_token);
        let Some(token) = chosen else { return Ok(()) };
        let (http, client) = (self.http(), integration.client(spec));
        let revoked = revoke::revoke(&http, spec, client, token, &self.clock);
        match tokio::time::timeout(DEADLINE, revoked).await {
            Ok(revoked) => revoked.map(drop),
            Err(_) => Err(Error::new(
                ErrorKind::ProviderUnavailable { retry_after: None },
                "provider_unavailable",
                format!("{} did not answer in time", spec.name),
            )),
        }
    }

    /// Gives the reply of a process that is gone back to the provider, in the background: its connection was left before
    /// it was stored. It is forgotten once the provider has answered; until then every later process tries again.
    pub(super) fn give_back(self: &Arc<Self>, orphan: Orphan) {
        let engine = Arc::clone(self);
        let unfinished = Unfinished::begin();
        self.runtime.spawn(async move {
            let key = &orphan.spilled.connection;
            let outcome = engine.give_back_now(&orphan).await;
            let keep = match &outcome {
                Ok(()) => {
                    tracing::info!(provider = %key.integration.provider, connection = %key.connection,
                        "revoked what was issued while disconnecting");
                    false
                }
                Err(error) => {
                    tracing::warn!(provider = %key.integration.provider, connection = %key.connection,
                        reason = error.reason(), "what was issued while disconnecting may live on");
                    matches!(
                        error.kind(),
                        ErrorKind::ProviderUnavailable { .. } | ErrorKind::Store
                    )
                }
            };
            if !keep && let Err(error) = engine.store().forget_orphan(&orphan) {
                let reason = error.reason();
                tracing::warn!(reason, "a revoked reply stays in its slot");
            }
            drop(unfinished);
        });
    }

    async fn give_back_now(&self, orphan: &Orphan) -> Result<()> {
        let (key, sealed) = (&orphan.spilled.connection, &orphan.spilled.sealed);
        let spill: Spill = self
            .open(Subject::Connection(key), Kind::Spill, "", sealed)
            .await?;
        self.revoke_if_left(key, &spill).await
    }

    /// Revokes what a reply brought that lost its commit, if it lost it to a disconnect: a sign-in can be of the same
    /// grant, which must not end with it.
    pub(super) async fn revoke_if_left(&self, key: &ConnectionKey, spill: &Spill) -> Result<()> {
        let now = self.store.load(key, "").await?;
        if !now.connection.is_some_and(|row| row.state.is_left()) {
            return Ok(());
        }
        let (id, grant_type) = (&key.integration.provider, key.integration.grant_type);
        let integration = self.integration(id, Some(grant_type)).await?;
        self.same_client(&integration, &spill.grant, key)?;
        let spec = integration.spec_with(&spill.grant.kept)?;
        let access_token = spill.token.as_ref().map(|stored| &stored.token.value);
        let refresh_token = spill.grant.refresh_token.as_ref();
        self.revoke_unwanted(&integration, &spec, refresh_token, access_token)
            .await
    }
}

impl StoredState {
    /// Whether the person has left, so that nobody gets tokens any more.
    pub(super) fn is_left(self) -> bool {
        matches!(self, Self::Disconnecting | Self::Disconnected)
    }
}
