//! Arriving: a grant that a person or a file brought becomes a connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::config::Integration;
use crate::engine::freshness::StoredToken;
use crate::engine::open::check_name;
use crate::engine::refresh::{TRIES, pause_after, stored_token};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Account, ConnectionKey, Grant, GrantType, Status, Token};
use crate::oauth::response::{Issued, is_sound_access_token};
use crate::provider::{Spec, scope};
use crate::secret::{AccessToken, RefreshToken};
use crate::store::{Commit, Committed, StoredState, TokenRow};
use crate::vault::{Kind, Subject};

impl Engine {
    /// Stores what a sign-in brought, over whatever is there: a person's consent counts more than a running refresh.
    ///
    /// A sign-in without a refresh token keeps the old one only for the same account and client. Answers with the
    /// generation that was stored.
    pub(crate) async fn keep_grant(
        &self,
        key: &ConnectionKey,
        integration: &Integration,
        spec: &Spec,
        issued: Issued,
        requested: &[String],
        account: Account,
    ) -> Result<u64> {
        let granted = issued
            .granted_scopes
            .clone()
            .unwrap_or_else(|| requested.to_vec());
        let mut token = issued.token;
        token.revision = integration.revision;
        token.scopes.clone_from(&granted);
        let grant = Grant {
            refresh_token: issued.refresh_token,
            refresh_expires_at: issued.refresh_expires_at,
            requested_scopes: requested.to_vec(),
            granted_scopes: granted,
            account,
            subject: issued
                .id_token
                .as_ref()
                .map(|claims| claims.subject.clone()),
            client_id: integration.client_id().to_owned(),
            issuer: spec.endpoints.issuer.clone(),
            token_endpoint: spec.endpoints.token_endpoint.clone().unwrap_or_default(),
            redirect_uri: issued.redirect_uri,
            kept: issued.kept,
            granted_at: self.clock.wall(),
            refusal: None,
        };
        let expected = spec
            .refresh
            .as_ref()
            .is_some_and(|refresh| !refresh.uses_access_token);
        if grant.refresh_token.is_none() && token.expires_at.is_some() && expected {
            tracing::warn!(provider = %key.integration.provider,
                "no refresh token came: the connection ends with its access token");
        }
        let brought = (grant.refresh_token.clone(), token.value.clone());
        let kept = self.commit_grant(key, grant, Some((token, spec)), "connected");
        let kept = kept.await;
        if let Err(error) = &kept
            && matches!(
                error.kind(),
                ErrorKind::NotConfigured | ErrorKind::UnknownProvider
            )
        {
            let (refresh_token, access_token) = (brought.0.as_ref(), Some(&brought.1));
            let revoked = self.revoke_unwanted(integration, spec, refresh_token, access_token);
            if let Err(error) = revoked.await {
                let reason = error.reason();
                tracing::warn!(reason, "what a sign-in brought during a remove lives on");
            }
        }
        kept
    }

    /// Notes whose grant it is, unless something newer is stored by now.
    pub(crate) async fn label_grant(
        &self,
        key: &ConnectionKey,
        generation: u64,
        account: Account,
    ) -> Result<()> {
        let loaded = self.store.load(key, "").await?;
        let Some(mut grant) = self.open_grant(key, &loaded).await? else {
            return Ok(());
        };
        if loaded.generation() != generation || grant.account == account {
            return Ok(());
        }
        grant.account = account;
        let labelled = self.next_generation(generation);
        let subject = Subject::Connection(key);
        let fingerprint = match &grant.refresh_token {
            Some(refresh_token) => Some(self.fingerprint(refresh_token).await?),
            None => None,
        };
        let commit = Commit {
            grant: Some(
                self.seal(subject, Kind::Grant, "", labelled, &grant)
                    .await?,
            ),
            fingerprint,
            durable: true,
            ..self.commit_of(key, generation, labelled, "labelled", "")
        };
        // Lost to something newer, which knows its own account.
        self.store.commit(commit).await.map(drop)
    }

    /// Takes over a refresh token that was issued elsewhere to the same client.
    ///
    /// # Errors
    /// `InvalidParameter` for a grant type without refresh tokens, a token with control characters, and one that another
    /// connection holds; `NotConfigured`.
    pub async fn import_refresh_token(
        self: &Arc<Self>,
        provider: &str,
        refresh_token: RefreshToken,
        grant_type: Option<GrantType>,
        connection: &str,
        scopes: &[String],
    ) -> Result<Status> {
        check_name(connection, "connection")?;
        self.require_writable("import-refresh-token")?;
        let grant_type = grant_type.unwrap_or(GrantType::AuthorizationCode);
        let integration = self.integration(provider, Some(grant_type)).await?;
        let key = ConnectionKey {
            integration: integration.key.clone(),
            connection: connection.into(),
        };
        let spec = integration.spec()?;
        if grant_type != GrantType::AuthorizationCode || spec.refresh.is_none() {
            return Err(Error::invalid_parameter(
                "no_refresh_tokens",
                format!("{} gives no refresh tokens for {grant_type}", spec.name),
            )
            .of_provider(&key.integration.provider));
        }
        let text = refresh_token.expose();
        if text.is_empty() || text.chars().any(|c| !(' '..='~').contains(&c)) {
            return Err(Error::invalid_parameter(
                "invalid_refresh_token",
                "a refresh token is one line of printable ASCII text (RFC 6749 appendix A.17)",
            )
            .of_provider(&key.integration.provider));
        }
        for scope in scopes {
            scope::validate(&spec.scopes, &key.integration.provider, scope)?;
        }
        let requested = self.requested_scopes(&integration, &spec, scopes);
        let grant = Grant {
            refresh_token: Some(refresh_token),
            refresh_expires_at: None,
            requested_scopes: requested.clone(),
            granted_scopes: requested,
            account: Account::default(),
            subject: None,
            client_id: integration.client_id().to_owned(),
            issuer: spec.endpoints.issuer.clone(),
            token_endpoint: spec.endpoints.token_endpoint.clone().unwrap_or_default(),
            redirect_uri: integration.configuration.redirect_uri.clone(),
            kept: BTreeMap::new(),
            granted_at: self.clock.wall(),
            refusal: None,
        };
        self.commit_grant(&key, grant, None, "imported").await?;
        self.status(&key.integration.provider, Some(grant_type), connection)
            .await
    }

    /// Makes a connection of an access token alone, which nobody can renew: a test's own.
    ///
    /// Without `scopes` it has those that the integration asks for, without `lifetime` it never ends by itself.
    ///
    /// # Errors
    /// `InvalidParameter` for a token that fits no header, `InvalidScope`; `NotConfigured`.
    pub async fn keep_token(
        self: &Arc<Self>,
        provider: &str,
        access_token: AccessToken,
        grant_type: Option<GrantType>,
        connection: &str,
        scopes: Option<Vec<String>>,
        lifetime: Option<Duration>,
    ) -> Result<Status> {
        check_name(connection, "connection")?;
        let integration = self.integration(provider, grant_type).await?;
        let spec = integration.spec()?;
        let key = ConnectionKey {
            integration: integration.key.clone(),
            connection: connection.into(),
        };
        if !is_sound_access_token(access_token.expose()) {
            return Err(Error::invalid_parameter(
                "invalid_access_token",
                "an access token is one line of visible ASCII text (RFC 6750 section 2.1)",
            )
            .of_provider(&key.integration.provider));
        }
        for scope in scopes.iter().flatten() {
            scope::validate(&spec.scopes, &key.integration.provider, scope)?;
        }
        let requested = self.requested_scopes(&integration, &spec, &[]);
        let now = self.clock.wall();
        let issued = Issued {
            token: Token {
                value: access_token,
                resource: String::new(),
                scopes: Vec::new(),
                obtained_at: now,
                expires_at: lifetime.map(|lifetime| now.after(lifetime)),
                token_type: "Bearer".to_owned(),
                revision: integration.revision,
                extra: BTreeMap::new(),
            },
            refresh_token: None,
            refresh_expires_at: None,
            granted_scopes: scopes,
            id_token: None,
            redirect_uri: None,
            kept: BTreeMap::new(),
            account: Account::default(),
        };
        self.keep_grant(
            &key,
            &integration,
            &spec,
            issued,
            &requested,
            Account::default(),
        )
        .await?;
        let grant_type = Some(key.integration.grant_type);
        self.status(&key.integration.provider, grant_type, connection)
            .await
    }

    async fn commit_grant(
        &self,
        key: &ConnectionKey,
        brought: Grant,
        token: Option<(Token, &Spec)>,
        what: &'static str,
    ) -> Result<u64> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_grant(key, &brought, token.as_ref(), what).await {
                Ok(Some(generation)) => return Ok(generation),
                // Another commit came first: over that one.
                Ok(None) => {}
                Err(error) if tries < TRIES && *error.kind() == ErrorKind::Store => {
                    let reason = error.reason();
                    tracing::warn!(reason, tries, "the store failed, once more");
                    self.runtime.sleep(pause_after(tries)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_grant(
        &self,
        key: &ConnectionKey,
        brought: &Grant,
        token: Option<&(Token, &Spec)>,
        what: &'static str,
    ) -> Result<Option<u64>> {
        let (id, grant_type) = (&key.integration.provider, key.integration.grant_type);
        let meant = self.meant(id, Some(grant_type)).await?;
        if meant.row.is_none() {
            return Err(self.not_configured(&meant.key));
        }
        let loaded = self.store.load(key, "").await?;
        let mut grant = brought.clone();
        if grant.refresh_token.is_none()
            && loaded.connection.as_ref().map(|row| row.state) == Some(StoredState::Connected)
            && let Ok(Some(old)) = self.open_grant(key, &loaded).await
            && is_the_same(&old, &grant)
        {
            grant.refresh_token = old.refresh_token;
            grant.refresh_expires_at = old.refresh_expires_at;
        }
        let stored: Option<StoredToken> =
            token.map(|(token, spec)| stored_token(token.clone(), &grant, spec, &self.clock));
        // Ahead of all that a process may have seen before a backup was restored.
        let generation = self
            .next_generation(loaded.generation())
            .max(self.next_generation(0));
        let subject = Subject::Connection(key);
        let token_row = match &stored {
            Some(stored) => Some(TokenRow {
                resource: String::new(),
                sealed: self
                    .seal(subject, Kind::Token, "", generation, stored)
                    .await?,
            }),
            None => None,
        };
        let fingerprint = match &grant.refresh_token {
            Some(refresh_token) => Some(self.fingerprint(refresh_token).await?),
            None => None,
        };
        let commit = Commit {
            state: StoredState::Connected,
            grant: Some(
                self.seal(subject, Kind::Grant, "", generation, &grant)
                    .await?,
            ),
            fingerprint,
            // A sign-in may bring a refresh token that another connection has: some providers give one account one.
            only_holder: what == "imported",
            token: token_row,
            drop_tokens: true,
            expires_at: stored.as_ref().and_then(|stored| stored.token.expires_at),
            refreshed_at: stored.as_ref().map(|stored| stored.token.obtained_at),
            forget_attempt: true,
            durable: true,
            ..self.commit_of(key, loaded.generation(), generation, what, "")
        };
        match self.store.commit(commit).await? {
            Committed::Done => {}
            Committed::Lost => return Ok(None),
            Committed::Held(holder) => return Err(self.refresh_token_held(key, &holder)),
        }
        self.cache.drop_connection(key);
        tracing::info!(provider = %key.integration.provider, connection = %key.connection, what);
        Ok(Some(generation))
    }
}

/// Whether two grants are of one account, client and server, so that the refresh token of the one may serve the other.
fn is_the_same(old: &Grant, new: &Grant) -> bool {
    old.refusal.is_none()
        && old.client_id == new.client_id
        && old.issuer == new.issuer
        && old.token_endpoint == new.token_endpoint
        && old.account.id.is_some()
        && old.account.id == new.account.id
}
